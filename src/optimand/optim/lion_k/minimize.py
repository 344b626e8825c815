"""Lion-K as a solver of small constrained problems, behind scipy's interface.

minimize f(x) + K*(lam x)/lam: the choice of kappa is the choice of the constraint (box, ball, simplex, spectral
norm, …) of size 1/lam (Chen, Liu, Liang, Liu, arXiv 2310.05898).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, approx_fprime

from optimand.core.validation import check_choice, check_int, check_number

from ..kappa import Kappa, get_kappa
from .functional import constraint_distance, kkt_score, lion_k_update, regularizer


def minimize_lionk(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    jac: Callable[..., Any] | bool | None = None,
    *,
    kappa: str | Kappa = "l1",
    kappa_kwargs: Mapping[str, Any] | None = None,
    lam: float = 1.0,
    lr: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.99),
    maxiter: int = 20000,
    schedule: str = "linear",
    decay: str = "explicit",
    tol: float = 1e-6,
    shape: tuple[int, ...] | None = None,
    callback: Callable[[Any], Any] | None = None,
    bounds: Any = None,
    constraints: Any = (),
    hess: Any = None,
    hessp: Any = None,
) -> OptimizeResult:
    """Minimize ``fun`` over the constraint set of a kappa.

    Also usable as ``scipy.optimize.minimize(fun, x0, jac=…, method=minimize_lionk, options={"kappa": "l2"})``.

    Args:
        fun: ``fun(x, *args) -> float``, or ``-> (float, gradient)`` with ``jac=True``.
        x0: start, of any shape; ``fun`` sees arrays of that shape.
        args: further arguments of ``fun`` and ``jac``.
        jac: gradient ``jac(x, *args)``; True if ``fun`` returns it; None for forward differences.
        kappa: K, by name or as an object.
        kappa_kwargs: arguments of a kappa given by name.
        lam: weight decay, the reciprocal of the size of the set; 0 for no constraint.
        lr: step size, ``lr * lam < 1``. The iterates chatter around kinks by about ``lr``, hence the schedule.
        betas: the two momentum weights, in [0, 1).
        maxiter: steps.
        schedule: ``linear`` (``lr`` falls to 0 at ``maxiter``) or ``constant``.
        decay: ``explicit`` or ``implicit``.
        tol: stop when the KKT score falls to it (tested every 10 steps); also what success means.
        shape: shape in which the kappa sees x, such as a matrix that scipy flattened; by default that of ``x0``.
        callback: called with the iterate after each step; a true result stops (as does StopIteration).
        bounds: must be None: the kappa is the constraint.
        constraints: must be empty.
        hess: ignored.
        hessp: ignored.

    Returns:
        OptimizeResult with ``x``, ``fun`` (f there), ``objective`` (f plus K*(lam x)/lam), ``jac``, ``kkt_score``,
        ``constraint_violation`` (Euclidean distance to the set), ``nit``, ``nfev``, ``njev``, ``success``,
        ``status`` (0 converged, 1 ``maxiter`` reached, 2 not finite, 3 stopped by the callback), ``message``.

    Raises:
        ValueError: an argument is out of range, or bounds or constraints are given.

    Example:
        >>> import numpy as np
        >>> b = np.array([3.0, 4.0])
        >>> found = minimize_lionk(lambda x: 0.5 * ((x - b) ** 2).sum(), np.zeros(2), jac=lambda x: x - b, kappa="l2")
        >>> found.x.round(4).tolist(), found.success
        ([0.6, 0.8], True)
    """
    if bounds is not None or (constraints is not None and len(constraints)):
        raise ValueError("bounds and constraints must be empty: the kappa and lam are the constraint")
    check_number("lam", lam, low=0, high=math.inf, high_open=True)
    check_number("lr", lr, low=0, low_open=True, high=1 / lam if lam and decay == "explicit" else math.inf)
    check_int("maxiter", maxiter, low=1)
    check_choice("schedule", schedule, ("linear", "constant"))
    check_choice("decay", decay, ("explicit", "implicit"))
    beta1, beta2 = (check_number(f"betas[{i}]", b, low=0, high=1, high_open=True) for i, b in enumerate(betas))
    K = get_kappa(kappa, **(kappa_kwargs or {}))
    start = np.array(x0, dtype=np.float64)
    gradient = _Gradient(fun, jac, args, start.shape)
    x = torch.from_numpy(start).view(shape or start.shape).clone()
    K.check(x)
    m = torch.zeros_like(x)
    g = gradient(x)
    nit, status = 0, 1
    while nit < maxiter:
        if nit % 10 == 0 and bool(kkt_score(K, x, g, lam) <= tol):
            status = 0
            break
        step = lr * (1 - nit / maxiter) if schedule == "linear" else lr
        x, m = lion_k_update(
            x, m, g, K.grad, lr=step, beta1=beta1, beta2=beta2, weight_decay=lam, implicit=decay == "implicit"
        )
        nit += 1
        g = gradient(x)
        if not bool(torch.isfinite(g).all()):
            status = 2
            break
        if callback is not None and _stops(callback, x.numpy().reshape(start.shape).copy()):
            status = 3
            break
    return _result(gradient, K, x, g, lam, tol, nit, status)


class _Gradient:
    """The gradient as a tensor in the kappa's shape, counting its evaluations."""

    def __init__(self, fun: Any, jac: Any, args: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self.fun, self.jac, self.args, self.shape = fun, jac, args, shape
        self.nfev = self.njev = 0

    def value(self, x: torch.Tensor) -> float:
        self.nfev += 1
        found = self.fun(x.numpy().reshape(self.shape), *self.args)
        return float(found[0] if self.jac is True else found)

    def _flat(self, v: Any) -> float:
        return float(self.fun(v.reshape(self.shape), *self.args))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        point = x.numpy().reshape(self.shape)
        self.njev += 1
        if callable(self.jac):
            found = self.jac(point, *self.args)
        elif self.jac:
            self.nfev += 1
            found = self.fun(point, *self.args)[1]
        else:
            self.nfev += point.size + 1
            found = approx_fprime(point.ravel(), self._flat)
        slope = np.asarray(found, dtype=np.float64)
        if slope.size != point.size:
            raise ValueError(f"jac must return an array of shape {self.shape}, got {slope.shape}")
        return torch.tensor(slope).view(x.shape)


def _stops(callback: Callable[[Any], Any], x: Any) -> bool:
    try:
        return bool(callback(x))
    except StopIteration:
        return True


def _result(
    gradient: _Gradient, K: Kappa, x: torch.Tensor, g: torch.Tensor, lam: float, tol: float, nit: int, status: int
) -> OptimizeResult:
    value = gradient.value(x)
    score = float(kkt_score(K, x, g, lam))
    if status == 1 and score <= tol:
        status = 0
    message = {
        0: f"The KKT score {score:.3g} is at most tol={tol:g}.",
        1: f"maxiter={nit} steps were taken; the KKT score {score:.3g} is above tol={tol:g}.",
        2: f"The gradient is not finite after {nit} steps.",
        3: f"The callback stopped the run after {nit} steps.",
    }[status]
    return OptimizeResult(  # type: ignore[call-arg]
        x=x.numpy().reshape(gradient.shape),
        fun=value,
        objective=value + float(regularizer(K, x, lam)),
        jac=g.numpy().reshape(gradient.shape),
        kkt_score=score,
        constraint_violation=float(constraint_distance(K, x, lam)),
        nit=nit,
        nfev=gradient.nfev,
        njev=gradient.njev,
        status=status,
        success=status == 0,
        message=message,
    )
