"""Bilevel problems behind scipy's interface."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from ...core.validation import check_choice, check_int, check_number
from ..limits import Limits, Status, message, stops
from .diagnostics import (
    GROWTH_LIMIT,
    NO_DEPENDENCE,
    PenaltyWarning,
    confirmed_growth,
    diagnose,
    dominance,
    growth_text,
)
from .double_loop import DoubleLoop
from .oracle import Level, LevelOracle, PairedOracle
from .penalty import penalty_value
from .single_loop import SingleLoop
from .state import PenaltyMethod, finite_array

Array = Any
METHODS = ("double-loop", "single-loop", "storm")


def bilevel_minimize(
    f: Any,
    g: Any,
    x0: Any,
    y0: Any,
    project_x: Any = None,
    project_y: Any = None,
    *,
    method: str = "double-loop",
    sigma: Any = 0.1,
    alpha: Any = "auto",
    gamma: Any = "auto",
    inner_steps: int = 20,
    rho: float = math.inf,
    beta: Any = 1.0,
    eta: Any = 0.2,
    sample: Callable[[np.random.Generator], Any] | None = None,
    rng: Any = None,
    autodiff: str | None = None,
    tol: float = 1e-6,
    maxiter: int = 10_000,
    max_seconds: float = 600.0,
    max_calls: float | None = None,
    check_growth: bool = True,
    callback: Callable[[PenaltyMethod], Any] | None = None,
) -> OptimizeResult:
    """Minimize ``f(x, y)`` over x in X and y among the minimizers of ``g(x, .)`` over Y, by the penalty method.

    Only gradients of f and g and projections are used.

    Args:
        f, g: upper and lower objective: a :class:`Level`, a triple of functions (value, x-gradient, y-gradient), a
            function that returns these three, or with ``autodiff="torch"`` a function of tensors that returns a scalar
            tensor. With ``sample``, all take the samples as a third argument, None for all data. An oracle of your own
            (:class:`PairedOracle`) may stand for f, with ``g=None``. :func:`check_gradients` finds wrong gradients.
        x0, y0: starts, of any shapes.
        project_x, project_y: sets X and Y or projections onto them; None for no constraint.
        method: ``double-loop`` (Algorithm 1), ``single-loop`` (one inner step: Algorithm 1's with exact gradients,
            Algorithm 2's with ``sample``), or ``storm`` (Algorithm 2 with momentum).
        sigma: penalty: a number, or a function of the step k = 1, 2, …
        alpha: upper step size: a number, a function of the step, or ``"auto"`` (exact gradients only).
        gamma: lower step size: a number, or ``"auto"``.
        inner_steps, rho, beta: of the double loop: lower steps, prox parameter, averaging weight.
        eta: momentum rate of ``storm``.
        sample: draws a :class:`PairedBatch` from a generator; None for exact gradients.
        rng: seed or generator of the batches.
        autodiff: ``"torch"`` or None; chosen by itself where a start is a tensor.
        tol: stop when the gradient mapping of x is at most ``tol`` and those of y and z at most ``sigma tol``; steps
            above 1 count as 1 in the mappings.
        maxiter, max_seconds, max_calls: caps on outer steps, time and evaluations of gradients; the last step may
            exceed them by its own.
        check_growth: whether to compare the gradients at sigma, sigma/2 and sigma/4 at the end, with exact gradients.
            It solves both lower problems three times, within what ``max_calls`` and ``max_seconds`` leave.
        callback: called with the solver after each step; a true result stops.

    Returns:
        OptimizeResult with ``x``, ``y`` (penalized lower solution), ``z`` (the lower solution: the answer), ``fun``
        (f at x, z), ``psi`` (penalty function), ``sigma``, ``hypergrad_norm`` (gradient mapping of x), ``ll_gap``
        (largest of those of y and z), ``growth`` (of :func:`~optimand.numerical.bilevel.penalty_growth`; 1 where the
        gradients at sigma, sigma/2 and sigma/4 converge, NaN where that was not looked at or the lower problems could
        not be solved well enough), ``warnings``, ``n_grad_f``, ``n_grad_g`` (with those of the last checks), ``nit``,
        ``status``, ``success``, ``message``. The point is the last one at which gradients were finite: without solving
        both lower problems there is no measure by which an earlier one would be better.

    Raises:
        ValueError: an argument is out of range, a gradient or projection has a wrong shape, or a function of tensors is
            detached: f from x and y, or g from y.
        TypeError: an argument is of a wrong kind.

    Warns:
        PenaltyWarning: the penalty gradient grows like 1/sigma, or x has no influence.

    Reference: Kwon, Kwon, Wright, Nowak, arXiv 2309.01753, Algorithms 1 and 2.

    Example:
        >>> import numpy as np
        >>> found = bilevel_minimize(
        ...     lambda x, y: (0.5 * (y - 1) ** 2 + x**2 / 4, x / 2, y - 1),
        ...     lambda x, y: (0.5 * (y - 2 * x) ** 2, -2 * (y - 2 * x), y - 2 * x),
        ...     x0=1.0, y0=0.0, sigma=0.001)
        >>> round(float(found.x), 3), round(float(found.z), 3), found.success
        (0.444, 0.889, True)
    """
    check_choice("method", method, METHODS)
    check_number("tol", tol, low=0)
    check_int("maxiter", maxiter, low=1)
    if sample is not None and isinstance(alpha, str):
        raise ValueError("alpha must be a number or a function of the step with sample, got 'auto'")
    limits = Limits(maxiter, max_seconds, max_calls)
    oracle, x0, y0 = _oracle(f, g, x0, y0, autodiff, sample is not None)
    points = (oracle, x0, y0, project_x, project_y)
    common = {"sigma": sigma, "alpha": alpha, "gamma": gamma, "sample": sample, "rng": rng}
    solver: PenaltyMethod
    if method == "double-loop" or (method == "single-loop" and sample is None):
        steps = inner_steps if method == "double-loop" else 1
        solver = DoubleLoop(*points, inner_steps=steps, rho=rho, beta=beta, **common)
    elif not math.isinf(rho) or beta != 1:
        raise ValueError(f"rho and beta belong to the double loop, got rho={rho!r} and beta={beta!r}")
    else:
        solver = SingleLoop(*points, eta=eta if method == "storm" else 1.0, **common)
    status, detail = _loop(solver, limits, tol, callback)
    return _result(solver, status, detail, tol, check_growth and sample is None, limits)


def _loop(
    solver: PenaltyMethod, limits: Limits, tol: float, callback: Callable[[PenaltyMethod], Any] | None
) -> tuple[Status, str]:
    while True:
        reached = limits.reached(solver.k, solver.oracle.counter.total)
        if reached is not None:
            return reached, ""
        try:
            # A step that overflows says so by its result.
            with np.errstate(over="ignore", invalid="ignore"):
                solver.step()
        except FloatingPointError as error:
            return Status.NOT_FINITE, f"{error}; if it diverges: project_x, or a smaller alpha"
        if callback is not None and stops(callback, solver):
            return Status.STOPPED, ""
        # The step's own mapping is cheap, but of the point before and perhaps of a batch: it only says when to look.
        if solver.mapping <= tol and _diagnosis(solver).stationary(tol, solver.sigma(solver.k)):
            return Status.CONVERGED, ""


def _diagnosis(solver: PenaltyMethod) -> Any:
    k = max(solver.k, 1)
    # At most 1: in a bounded set a long step would hide the gradient.
    alpha, gamma = (min(step, 1.0) if math.isfinite(step) else 1.0 for step in (solver.alpha.value, solver.gamma.value))
    return diagnose(
        solver.oracle, solver.x, solver.y, solver.z, solver.sigma(k), solver.project_x, solver.project_y,
        alpha=alpha, gamma=gamma,
    )  # fmt: skip


def _result(
    solver: PenaltyMethod, status: Status, detail: str, tol: float, check_growth: bool, limits: Limits
) -> OptimizeResult:
    oracle, sigma = solver.oracle, solver.sigma(max(solver.k, 1))
    with np.errstate(over="ignore", invalid="ignore"):
        found = _diagnosis(solver)
        f_y, g_y, g_z = oracle.values(solver.x, solver.y, solver.z)
        f_z = oracle.values(solver.x, solver.z, solver.z)[0]
    psi = penalty_value(f_y, g_y, g_z, sigma)
    if status is Status.CONVERGED and not math.isfinite(f_z + psi):
        status, detail = Status.NOT_FINITE, f"gradients are finite, but f is {f_z:g} and the penalty function {psi:g}"
    said: list[str] = []
    growth = math.nan
    if found.finite and found.gradient_norm == 0 and solver.k > 0 and _x_does_nothing(solver):
        said.append(NO_DEPENDENCE)
    elif check_growth and found.finite and status in (Status.CONVERGED, Status.ITERATIONS):
        growth = _growth(solver, sigma, tol, limits)
        if growth > GROWTH_LIMIT:
            said.append(growth_text(growth, sigma, dominance(oracle, solver.x, solver.y, solver.z, sigma)))
    counts = {f"n_grad_{kind}": oracle.counter.by_kind.get(kind, 0.0) for kind in ("f", "g")}
    for text in said:
        warnings.warn(text, PenaltyWarning, stacklevel=3)
    return OptimizeResult(  # type: ignore[call-arg]
        x=solver.x, y=solver.y, z=solver.z, fun=f_z, psi=psi, sigma=sigma,
        hypergrad_norm=found.mapping, ll_gap=max(found.gap_y, found.gap_z), growth=growth, warnings=said, **counts,
        nit=solver.k, status=int(status), success=status is Status.CONVERGED and not said,
        message=message(status, "; ".join([*([detail] if detail else []), *said])),
    )  # fmt: skip


def _growth(solver: PenaltyMethod, sigma: float, tol: float, limits: Limits) -> float:
    """How much the penalty gradient grows as sigma falls; NaN where the caps leave too little to say."""
    maxiter, seconds = 2000, 10.0
    if limits.max_calls is not None:
        # Three solves, of three gradients an iteration, and before each the same number for looks at the curvature.
        maxiter = min(maxiter, int((limits.max_calls - solver.oracle.counter.total) / 9) - 20)
    if limits.max_seconds is not None:
        seconds = min(seconds, (limits.max_seconds - limits.seconds) / 3)
    if maxiter < 1 or seconds <= 0:
        return math.nan
    tol = max(tol, 1e-9)
    return confirmed_growth(
        solver.oracle, solver.x, sigma, solver.y, solver.z, solver.project_y,
        floor=tol, tol=1e-3 * sigma * tol, maxiter=maxiter, max_seconds=seconds,
    )  # fmt: skip


def _x_does_nothing(solver: PenaltyMethod) -> bool:
    """Whether the x-gradient is zero wherever x, y and z are, not only at a stationary point."""
    rng = np.random.default_rng(0)
    for size in (1.0, 3.0, 10.0):
        x, y = (p + size * rng.normal(size=np.shape(p)) for p in (solver.x, solver.z))
        if np.any(solver.oracle.upper(solver.project_x(x), solver.project_y(y), solver.z, 1.0)):
            return False
    return True


def _oracle(f: Any, g: Any, x0: Any, y0: Any, autodiff: str | None, stochastic: bool) -> tuple[PairedOracle, Any, Any]:
    check_choice("autodiff", autodiff, (None, "torch"))
    if isinstance(f, PairedOracle):
        if g is not None:
            raise TypeError(f"g must be None where f is an oracle of both levels, got {g!r:.60}")
        return f, x0, y0
    tensors = [value for value in (x0, y0) if type(value).__module__.split(".")[0] == "torch"]
    if autodiff == "torch" or tensors:
        from .torch_levels import check_depends, to_numpy, torch_level

        x0, y0 = to_numpy(x0), to_numpy(y0)
        x, y, none = finite_array("x0", x0), finite_array("y0", y0), (None,) if stochastic else ()
        check_depends("f", f, x, y, none, "xy")
        check_depends("g", g, x, y, none, "y")
        f, g = torch_level(f, "f"), torch_level(g, "g")
    x, y = finite_array("x0", x0), finite_array("y0", y0)
    return LevelOracle(as_level("f", f), as_level("g", g), x.shape, y.shape, stochastic), x, y


def as_level(name: str, value: Any) -> Level:
    """A :class:`Level` of one, of three functions, or of a function that returns three values; TypeError otherwise."""
    if isinstance(value, Level):
        return value
    if isinstance(value, tuple | list) and len(value) == 3:
        return Level(*value)
    if not callable(value):
        raise TypeError(
            f"{name} must be a Level, three functions, or a function that returns value and both gradients, "
            f"got {value!r:.60} ({type(value).__name__})"
        )

    def part(i: int) -> Callable[..., Any]:
        def asked(*arguments: Any) -> Any:
            found = value(*arguments)
            if not isinstance(found, tuple | list) or len(found) != 3:
                raise TypeError(
                    f"{name} must return a value and its gradients in x and y, got {type(found).__name__}; "
                    "for a function of tensors that returns a scalar, say autodiff='torch'"
                )
            return found[i]

        return asked

    return Level(part(0), part(1), part(2))


def check_gradients(
    f: Any, g: Any, x: Any, y: Any, *, autodiff: str | None = None, rng: Any = 0, step: float = 1e-6
) -> dict[str, float]:
    """Relative errors of the gradients of both levels against central differences along a random direction.

    Args:
        f, g, autodiff: as in :func:`bilevel_minimize`, without samples.
        x, y: where.
        rng: seed or generator of the directions.
        step: length of the differences relative to ``max(1, ‖point‖)``, > 0.

    Returns:
        Errors of ``f.grad_x``, ``f.grad_y``, ``g.grad_x`` and ``g.grad_y``: about 1e-8 where they are right.

    Raises:
        TypeError, ValueError: an argument is of a wrong kind, or a gradient of a wrong shape.

    Example:
        >>> errors = check_gradients(
        ...     lambda x, y: (0.5 * (y - 1) ** 2 + x**2 / 4, x, y - 1),
        ...     lambda x, y: (0.5 * (y - 2 * x) ** 2, -2 * (y - 2 * x), y - 2 * x), x=1.0, y=0.5)
        >>> [name for name, error in errors.items() if error > 1e-4]
        ['f.grad_x']
    """
    check_number("step", step, low=0, low_open=True)
    oracle, x, y = _oracle(f, g, x, y, autodiff, False)
    if not isinstance(oracle, LevelOracle):
        raise TypeError(f"f must be an objective, got an oracle of both levels ({type(oracle).__name__})")
    x, y = finite_array("x", x), finite_array("y", y)
    generator, errors = np.random.default_rng(rng), {}
    for kind, which in itertools.product(("f", "g"), ("x", "y")):
        point = x if which == "x" else y
        direction = generator.normal(size=point.shape)
        direction *= step * max(1.0, float(np.linalg.norm(point))) / float(np.linalg.norm(direction))
        values = [oracle.value(kind, *((x + d, y) if which == "x" else (x, y + d))) for d in (direction, -direction)]
        slope = float(np.vdot(oracle.gradient(kind, which, x, y), direction))
        numeric = (values[0] - values[1]) / 2
        scale = max(abs(slope), abs(numeric))
        errors[f"{kind}.grad_{which}"] = abs(slope - numeric) / scale if scale > 0 else 0.0
    return errors
