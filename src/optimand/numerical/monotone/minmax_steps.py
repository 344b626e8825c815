"""The steps of :class:`MinMax`, one function a method; a vector is a list with a tensor for each parameter."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from .minmax import MinMax

Vector = list[Tensor]


def _combine(*terms: tuple[Any, Vector]) -> Vector:
    """Linear combination; a coefficient is a number or one for each tensor."""
    total: Vector = []
    for i in range(len(terms[0][1])):
        parts = [(c[i] if isinstance(c, list) else c) * v[i] for c, v in terms]
        total.append(sum(parts[1:], parts[0]))
    return total


def _forward(opt: MinMax, base: Vector, F: Vector) -> None:
    """The projected step from ``base`` against ``F``."""
    opt._assign(opt._project(_combine((1.0, base), ([-lr for lr in opt._lrs()], F))))


def _eg(opt: MinMax, closure: Callable[..., Any], u: Vector) -> Tensor:
    loss, F = opt._field(closure)
    _forward(opt, u, F)
    _, half = opt._field(closure)
    _forward(opt, u, half)
    return loss


def _eag(opt: MinMax, closure: Callable[..., Any], u: Vector) -> Tensor:
    weight = 1.0 / (opt._k + 2)
    return _eg(opt, closure, _combine((weight, opt._kept("anchor")), (1.0 - weight, u)))


def _halpern(opt: MinMax, closure: Callable[..., Any], u: Vector) -> Tensor:
    loss, F = opt._field(closure)
    if opt._has("previous"):
        _warn_if_expansive(opt, u, F)
    _anchored(opt, u, F)
    return loss


def _vr_halpern(opt: MinMax, closure: Callable[..., Any], u: Vector) -> Tensor:
    """Algorithm 1: PAGE, all summands with probability p_k, else the change on a batch."""
    assert opt.n is not None
    root = math.sqrt(opt.n)
    if not opt._has("estimate") or opt._coin(4.0 / (min(opt._k, root) + 5.0)):
        loss, estimate = opt._field(closure)
    else:
        index = opt._draw()
        loss, new = opt._field(closure, index)
        opt._assign(opt._kept("previous"))
        _, old = opt._field(closure, index)
        estimate = _combine((1.0, opt._kept("estimate")), (1.0, new), (-1.0, old))
    _anchored(opt, u, estimate)
    return loss


def _anchored(opt: MinMax, u: Vector, F: Vector) -> None:
    opt._keep("previous", u)
    opt._keep("estimate", F)
    weight = 2.0 / (opt._k + 4)
    _forward(opt, _combine((weight, opt._kept("anchor")), (1.0 - weight, u)), F)


def _warn_if_expansive(opt: MinMax, u: Vector, F: Vector) -> None:
    """The step is nonexpansive where ``lr ‖ΔF‖² <= 2 <ΔF, Δu>``; if not, the anchor may not hold it."""
    du = _combine((1.0, u), (-1.0, opt._kept("previous")))
    dF = _combine((1.0, F), (-1.0, opt._kept("estimate")))
    inner = sum(float((a * b).sum()) for a, b in zip(dF, du, strict=True))
    square = sum(lr * float(a.square().sum()) for lr, a in zip(opt._lrs(), dF, strict=True))
    if square > 2.0 * inner + 1e-6 * abs(square) and square > 1e-12:
        warnings.warn(
            "the operator is not cocoercive at this lr, so 'halpern' may not converge: lower lr, or use 'eag' or 'eg', "
            "which bilinear losses need",
            RuntimeWarning,
            stacklevel=6,
        )


def _vr_halpern_inexact(opt: MinMax, closure: Callable[..., Any], u: Vector) -> Tensor:
    """Algorithm 2 with Algorithm 3 (VR-FoRB) inside; leaves the parameters at v_k, the resolvent's output."""
    assert opt.n is not None
    k, p = opt._k, opt.batch / opt.n
    # The parameters are at v_{k-1}: the point to report; the point to go on from lies nearer to the anchor.
    weight = 1.0 / (k + 1)
    center = _combine((weight, opt._kept("anchor")), (1.0 - weight, u)) if k else u
    ratio = opt.resolvent * math.sqrt(opt.n)  # eta L, with eta = ratio lr
    taus = [math.sqrt(p) * lr / (1.0 + 1.0 / ratio) for lr in opt._lrs()]
    back = math.sqrt(p) / (ratio + 1.0)  # tau/eta, also where a schedule has brought lr to 0
    epoch = max(1.0 / p, math.sqrt(1.0 / p) * (ratio + 1.0))
    steps = math.ceil(opt.inner * epoch * math.log((k + 2) ** 2))
    opt._assign(center)
    loss, snapshot = opt._field(closure)  # F(w)
    z = w = lagged = center
    for _ in range(steps):
        index = opt._draw()
        opt._assign(z)
        _, new = opt._field(closure, index)
        opt._assign(lagged)
        _, old = opt._field(closure, index)
        # tau [A(w) + A_q(z) - A_q(lagged)] of A(v) = F(v) + (v - center) / eta
        direction = _combine((1.0, snapshot), (1.0, new), (-1.0, old))
        pull = _combine((1.0, w), (-1.0, center), (1.0, z), (-1.0, lagged))
        z = opt._project(_combine((1.0 - p, z), (p, w), ([-tau for tau in taus], direction), (-back, pull)))
        lagged = w
        if opt._coin(p):
            w = z
            opt._assign(w)
            _, snapshot = opt._field(closure)
    opt._assign(z)
    return loss


STEPS: dict[str, Callable[[MinMax, Callable[..., Any], Vector], Tensor]] = {
    "eg": _eg,
    "eag": _eag,
    "halpern": _halpern,
    "vr-halpern": _vr_halpern,
    "vr-halpern-inexact": _vr_halpern_inexact,
}
