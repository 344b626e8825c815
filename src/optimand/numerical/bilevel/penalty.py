"""The penalty function of a bilevel problem, its gradient, and exact solves of its two lower problems.

    min over x of psi(x) = min { f(x, y) : y in argmin g(x, .) }

is replaced by ``psi_sigma(x) = min_y [ f(x, y) + (g(x, y) - min_z g(x, z)) / sigma ]``, whose value and gradient are
within O(sigma) of those of psi where the lower level satisfies an error bound (Kwon, Kwon, Wright, Nowak, "On Penalty
Methods for Nonconvex Bilevel Optimization and First-Order Stochastic Approximation", arXiv 2309.01753).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from ...core.validation import check_number
from ..limits import Limits, Status, message
from .oracle import PairedOracle, checked_projection
from .schedules import Curvature, step_of

Array = Any
Project = Callable[[Array], Array]


def penalty_value(f_y: float, g_y: float, g_z: float, sigma: float) -> float:
    """``f(x, y) + (g(x, y) - g(x, z)) / sigma``: psi_sigma(x) at minimizers y and z.

    Args:
        f_y, g_y: objectives at y, the minimizer of ``sigma f + g``.
        g_z: lower objective at z, its minimizer.
        sigma: penalty, > 0.

    Example:
        >>> penalty_value(0.125, 0.125, 0.0, 0.5)
        0.375
    """
    return f_y + (g_y - g_z) / check_number("sigma", sigma, low=0, low_open=True)


def lower_step(u: Array, gradient: Array, gamma: float, project: Project, anchor: Array, rho: float) -> Array:
    """One projected step of the prox subproblem: ``P(u - gamma (gradient + (u - anchor) / rho))``.

    Args:
        u: current point.
        gradient: gradient there.
        gamma: step size.
        project: projection onto Y.
        anchor: centre of the prox term.
        rho: prox parameter; infinite for none.

    Example:
        >>> lower_step(2.0, 1.0, 0.5, lambda v: v, anchor=0.0, rho=2.0)
        1.0
    """
    if math.isinf(rho):
        return project(u - gamma * gradient)
    return project(u - gamma * (gradient + (u - anchor) / rho))


def solve_lower(
    oracle: PairedOracle,
    x: Array,
    y: Array,
    z: Array,
    sigma: float,
    project: Project,
    *,
    step: float | None = None,
    tol: float = 1e-10,
    maxiter: int = 20_000,
    max_seconds: float = 60.0,
) -> OptimizeResult:
    """Solve both lower problems at fixed x: y minimizes ``sigma f + g`` over Y, and z minimizes ``g``.

    Accelerated projected gradient with restarts where the gradient says so, and steps that shrink where the curvature
    along the path is larger than they allow.

    Args:
        oracle: the problem.
        x: upper variable.
        y, z: starts.
        sigma: penalty, > 0.
        project: projection onto Y.
        step: step size of both; estimated by default.
        tol: for the gradient mapping of each.
        maxiter: cap on iterations.
        max_seconds: cap on time.

    Returns:
        ``y``, ``z``, ``gap_y``, ``gap_z`` (norms of the gradient mappings), ``nit``, ``success``, ``status``,
        ``message``.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2, lambda x, y: 0 * x, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> one, zero = np.float64(1), np.float64(0)
        >>> found = solve_lower(LevelOracle(f, g, (), ()), one, zero, zero, sigma=1.0, project=lambda v: v)
        >>> round(float(found.y), 8), round(float(found.z), 8)
        (1.5, 2.0)
    """
    limits = Limits(maxiter, max_seconds)
    if step is None:
        curvature = Curvature()
        curvature.look(lambda points: oracle.lower(x, points[0], points[1], sigma), [y, z])
        gammas = [step_of(value, 1.0) for value in curvature.values]
    else:
        gammas = [step, step]
    points, ahead, momentum = [y, z], [y, z], [1.0, 1.0]
    last: list[tuple[Array, Array] | None] = [None, None]
    gaps, nit, status = [math.inf, math.inf], 0, None
    while status is None:
        gradients = oracle.lower(x, ahead[0], ahead[1], sigma)
        for i, gradient in enumerate(gradients):
            if not np.isfinite(gradient).all():
                status = Status.NOT_FINITE
                break
            gammas[i] = _allowed_step(gammas[i], ahead[i], gradient, last[i])
            new = project(ahead[i] - gammas[i] * gradient)
            # Measured with a step of at most 1, lest a long one hide the gradient.
            probe = new if gammas[i] <= 1 else project(ahead[i] - gradient)
            gaps[i] = float(np.linalg.norm(ahead[i] - probe)) / min(gammas[i], 1.0)
            last[i] = (ahead[i], gradient)
            if float(np.sum(gradient * (new - points[i]))) > 0:
                momentum[i] = 1.0
            following = (1 + math.sqrt(1 + 4 * momentum[i] ** 2)) / 2
            ahead[i] = new + (momentum[i] - 1) / following * (new - points[i])
            points[i], momentum[i] = new, following
        nit += 1
        if status is None:
            status = Status.CONVERGED if max(gaps) <= tol else limits.reached(nit)
    return OptimizeResult(  # type: ignore[call-arg]
        y=points[0], z=points[1], gap_y=gaps[0], gap_z=gaps[1], nit=nit,
        status=int(status), success=status is Status.CONVERGED, message=message(status),
    )  # fmt: skip


def _allowed_step(gamma: float, point: Array, gradient: Array, last: tuple[Array, Array] | None) -> float:
    if last is None:
        return gamma
    moved, turned = float(np.linalg.norm(point - last[0])), float(np.linalg.norm(gradient - last[1]))
    # Below that, the difference is rounding.
    if moved > 1e-7 * (1 + float(np.linalg.norm(point))) and turned * gamma > 1.01 * moved:
        return 0.9 * moved / turned
    return gamma


def hypergradient(
    oracle: PairedOracle,
    x: Array,
    sigma: float,
    y0: Array,
    z0: Array | None = None,
    project_y: Any = None,
    **solving: Any,
) -> OptimizeResult:
    """Value and gradient of psi_sigma at x, with both lower problems solved.

    Args:
        oracle: the problem.
        x: upper variable.
        sigma: penalty, > 0.
        y0: start of y, and of z where ``z0`` is not given.
        z0: start of z.
        project_y: set Y or projection onto it.
        solving: options of :func:`solve_lower`.

    Returns:
        ``fun`` (psi_sigma), ``grad``, ``y``, ``z``, ``ll_gap`` (largest of the two gradient mappings), ``nit``,
        ``success``, ``status``, ``message``.

    Raises:
        ValueError: ``sigma`` is not positive.

    Reference: arXiv 2309.01753, penalty formulation; the gradient is Danskin's theorem applied to both minima.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> found = hypergradient(LevelOracle(f, g, (), ()), np.float64(1), 0.1, np.float64(0))
        >>> round(found.fun, 6), round(float(found.grad), 6)
        (0.704545, 2.318182)
    """
    check_number("sigma", sigma, low=0, low_open=True)
    project = checked_projection("project_y", project_y)
    x, y0 = np.asarray(x, dtype=np.float64), np.asarray(y0, dtype=np.float64)
    y, z = project(y0), project(y0 if z0 is None else np.asarray(z0, dtype=np.float64))
    found = solve_lower(oracle, x, y, z, sigma, project, **solving)
    found["fun"] = penalty_value(*oracle.values(x, found["y"], found["z"]), sigma)
    found["grad"] = oracle.upper(x, found["y"], found["z"], sigma)
    found["ll_gap"] = max(found["gap_y"], found["gap_z"])
    return found
