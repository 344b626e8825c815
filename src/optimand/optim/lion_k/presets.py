"""Lion-K as methods: one kappa for any network that takes it, and presets that route kappas by shape."""

from __future__ import annotations

from typing import Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Dimension, Float

from ..base import Params
from ..kappa import L2, GroupL2, Huber, Nuclear, Routed
from .optimizer import LionK

PAPER = "lion-k-constrained"
SIGN_SPACE: dict[str, Dimension] = {
    "lr": Float(1e-5, 1e-2, log=True),
    "weight_decay": Float(1e-3, 10.0, log=True),
    "betas": Choice((0.9, 0.99), (0.95, 0.98)),
}
# Updates of the scale of Adam's, hence its ranges.
SCALED_SPACE: dict[str, Dimension] = {
    "lr": Float(1e-4, 1e-1, log=True),
    "weight_decay": Float(1e-4, 1.0, log=True),
    "betas": Choice((0.9, 0.99), (0.95, 0.95)),
}

method("lion-k", family="training", space=SIGN_SPACE, paper=PAPER)(LionK)


@method("lion-k-nuclear", family="training", space=SCALED_SPACE, paper=PAPER)
def lion_k_nuclear(
    params: Params, lr: float = 5e-3, weight_decay: float = 0.1, betas: tuple[float, float] = (0.95, 0.95),
    rms: float = 0.2, method: str = "newton_schulz", **options: Any,
) -> LionK:  # fmt: skip
    """Lion-K with the nuclear norm for matrices (Muon) and l1 for vectors.

    The polar factor of an m x n matrix has entries of root mean square 1/sqrt(max(m, n)); the kappa is scaled by
    s = rms sqrt(max(m, n)), so that one ``lr`` of Adam's scale serves all shapes. The scale multiplies the radius
    too: spectral norms stay below s/weight_decay (about 1.2 of that with ``newton_schulz``).

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        rms: root mean square of the entries of an update divided by ``lr``, positive (see ``Routed``).
        method: ``newton_schulz`` or ``svd``.
        options: further arguments of :class:`LionK`.
    """
    return LionK(params, lr, betas, weight_decay, Routed(Nuclear(method), rms=rms), **options)


@method("lion-k-group", family="training", space=SCALED_SPACE, paper=PAPER)
def lion_k_group(
    params: Params, lr: float = 5e-3, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.99),
    rms: float = 0.2, **options: Any,
) -> LionK:  # fmt: skip
    """Lion-K with the group norm: every row (output unit, filter) of a matrix is normalized by itself.

    The kappa is scaled by s = rms sqrt(row length), and so is the radius: row norms stay below s/weight_decay.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        rms: root mean square of the entries of an update divided by ``lr``, positive (see ``Routed``).
        options: further arguments of :class:`LionK`.
    """
    return LionK(params, lr, betas, weight_decay, Routed(GroupL2(0), rms=rms), **options)


@method("lion-k-l2", family="training", space=SCALED_SPACE, paper=PAPER)
def lion_k_l2(
    params: Params, lr: float = 5e-3, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.99),
    rms: float = 0.2, **options: Any,
) -> LionK:  # fmt: skip
    """Lion-K with the l2 norm of each matrix: normalized momentum; l1 for vectors.

    The kappa is scaled by s = rms sqrt(number of entries), and so is the radius: Frobenius norms stay below
    s/weight_decay.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        rms: root mean square of the entries of an update divided by ``lr``, positive (see ``Routed``).
        options: further arguments of :class:`LionK`.
    """
    return LionK(params, lr, betas, weight_decay, Routed(L2(), rms=rms), **options)


@method("lion-k-huber", family="training", space={**SIGN_SPACE, "e": Float(1e-5, 1e-1, log=True)}, paper=PAPER)
def lion_k_huber(
    params: Params, lr: float = 1e-3, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.99),
    e: float = 1e-3, **options: Any,
) -> LionK:  # fmt: skip
    """Lion-K with the Huber function: Lion where |momentum| > e, proportional to it below.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        e: where the clipping starts, in the units of the gradient, positive.
        options: further arguments of :class:`LionK`.
    """
    return LionK(params, lr, betas, weight_decay, Huber(e), **options)
