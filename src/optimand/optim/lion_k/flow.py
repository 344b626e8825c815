"""Lion-K in continuous time: the ordinary differential equation whose Lyapunov function the paper found.

    m' = -alpha grad f(x) - gamma m
    x' = dK(m + eps m') - lam x

It minimizes alpha f(x) + (gamma/lam) K*(lam x) (Chen, Liu, Liang, Liu, arXiv 2310.05898). While f and even that
objective may rise on the way, the Lyapunov value H(x, m) never does, once lam x is in the domain of K*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp

from optimand.core.validation import check_number

from ..kappa import Kappa, get_kappa

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class LionKFlow:
    """A trajectory of the flow at N times.

    Attributes:
        t: times, shape (N,).
        x: parameters, shape (N, *x0.shape).
        m: momentum of negative gradients, in the shape of ``x``.
        f: objective f(x), shape (N,).
        F: composite objective alpha f(x) + (gamma/lam) K*(lam x); infinite outside the constraint set.
        H: Lyapunov value; infinite outside the constraint set.
        dist: Euclidean distance from lam x to the domain of K*; it falls as exp(-lam t).
        nfev: evaluations of the gradient.
    """

    t: Array
    x: Array
    m: Array
    f: Array
    F: Array
    H: Array
    dist: Array
    nfev: int


def lion_k_flow(
    f: Callable[[Array], float],
    grad: Callable[[Array], Array],
    x0: Any,
    m0: Any = None,
    *,
    kappa: str | Kappa = "relativistic",
    kappa_kwargs: Mapping[str, Any] | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    eps: float = 0.5,
    lam: float = 1.0,
    t_span: tuple[float, float] = (0.0, 20.0),
    t_eval: Sequence[float] | Array | None = None,
    method: str = "RK45",
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> LionKFlow:
    """Follow the flow of Lion-K with ``scipy.integrate.solve_ivp``.

    Args:
        f: objective of an array in the shape of ``x0``.
        grad: its gradient, in that shape.
        x0: initial parameters.
        m0: initial momentum (of negative gradients); zeros by default.
        kappa: K, by name or as an object. Where K has kinks, so has the flow: regularize it (``relativistic``
            with a small ``e`` instead of ``l1``), for the theory and the solver want a smooth K.
        kappa_kwargs: arguments of a kappa given by name.
        alpha: weight of the gradient, positive.
        gamma: damping of the momentum, positive.
        eps: look-ahead, at least 0 with ``eps * gamma <= 1``.
        lam: weight decay, at least 0 (0: no constraint).
        t_span: first and last time.
        t_eval: times to report; by default 201 equally spaced ones.
        method: integrator of ``solve_ivp``.
        rtol: relative tolerance of the integrator.
        atol: absolute tolerance of the integrator.

    Raises:
        ValueError: a coefficient is out of range, or shapes differ.
        RuntimeError: the integrator gave up.

    Example:
        >>> import numpy as np
        >>> flow = lion_k_flow(lambda x: 0.5 * x @ x, lambda x: x, np.array([0.5, -0.3]), kappa_kwargs={"e": 0.5})
        >>> bool(np.all(np.diff(flow.H) <= 1e-9)), bool(np.abs(flow.x[-1]).max() < 1e-3)
        (True, True)
    """
    check_number("alpha", alpha, low=0, low_open=True)
    check_number("gamma", gamma, low=0, low_open=True)
    check_number("eps", eps, low=0, high=1 / gamma)
    check_number("lam", lam, low=0, high=math.inf, high_open=True)
    K = get_kappa(kappa, **(kappa_kwargs or {}))
    x0 = np.array(x0, dtype=np.float64)
    m0 = np.zeros_like(x0) if m0 is None else np.array(m0, dtype=np.float64)
    if m0.shape != x0.shape:
        raise ValueError(f"m0 must have the shape of x0, {x0.shape}, got {m0.shape}")
    shape, size = x0.shape, x0.size

    def field(_: float, state: Array) -> Array:
        x, m = state[:size].reshape(shape), state[size:].reshape(shape)
        dm = -alpha * np.asarray(grad(x)) - gamma * m
        dx = K.grad(torch.from_numpy(m + eps * dm)).numpy() - lam * x
        return np.concatenate([dx.ravel(), dm.ravel()])

    times = np.linspace(*t_span, 201) if t_eval is None else np.asarray(t_eval, dtype=np.float64)
    found = solve_ivp(  # type: ignore[call-overload]  # the integrators' names are no literals here
        field, t_span, np.concatenate([x0.ravel(), m0.ravel()]), t_eval=times, method=method, rtol=rtol, atol=atol
    )
    if not found.success:
        raise RuntimeError(f"solve_ivp stopped at t={found.t[-1] if len(found.t) else t_span[0]:g}: {found.message}")
    xs, ms = found.y[:size].T.reshape(-1, *shape), found.y[size:].T.reshape(-1, *shape)
    loss = np.array([float(f(x)) for x in xs])
    conj = np.array([float(K.conj(torch.from_numpy(lam * x))) for x in xs])
    gap = conj + np.array([float(K.value(torch.from_numpy(np.ascontiguousarray(m)))) for m in ms])
    gap = gap - lam * (xs * ms).reshape(len(xs), -1).sum(1)
    objective = alpha * loss + (gamma / lam * conj if lam else 0.0)
    return LionKFlow(
        t=found.t,
        x=xs,
        m=ms,
        f=loss,
        F=objective,
        H=objective + (1 - eps * gamma) / (1 + eps * lam) * gap,
        dist=np.array([float(K.dist_domain(torch.from_numpy(lam * x))) for x in xs]),
        nfev=int(found.nfev),
    )
