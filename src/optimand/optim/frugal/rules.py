"""The two rules of FRUGAL as formulas: the one with states for the subspace, the one without for the rest.

Both are element-wise, so every path (compiled code, torch operations, 8-bit states) takes them from here.
"""

from __future__ import annotations

from typing import Any

from ..formulas import ADAM, SGD, adam_scalars
from ..kernels import Kernel, sign
from ..lion import Lion


def sign_step(p, g, decay, lr):  # type: ignore[no-untyped-def]
    """One element of signSGD with decoupled weight decay."""
    return (p * decay - lr * sign(g),)


def gradient_step(p, g, decay, lr):  # type: ignore[no-untyped-def]
    """One element of SGD with decoupled weight decay."""
    return (p * decay - lr * g,)


def decay_step(p, g, decay, lr):  # type: ignore[no-untyped-def]
    """Weight decay alone; neither ``g`` nor ``lr`` is read."""
    return (p * decay,)


STATE_FULL: dict[str, Kernel] = {"adamw": ADAM, "lion": Lion.kernel, "sgdm": SGD}
STATE_FREE: dict[str, Kernel] = {
    "sign_sgd": Kernel(sign_step),
    "sgd": Kernel(gradient_step),
    "none": Kernel(decay_step),
}


def full_scalars(group: dict[str, Any], lr: Any, decay: Any, step: Any) -> tuple[Any, ...]:
    """The scalars of the group's rule with states.

    Args:
        group: hyperparameters: ``state_full``, ``betas``, ``eps``, ``momentum``, ``dampening``, ``nesterov``.
        lr: the rule's learning rate.
        decay: what weight decay multiplies parameters by.
        step: number of updates since the states began, this one included.
    """
    beta1, beta2 = group["betas"]
    if group["state_full"] == "adamw":
        l2, _, *rest = adam_scalars(lr, (beta1, beta2), group["eps"], 0.0, step)
        return l2, decay, *rest
    if group["state_full"] == "lion":
        return decay, lr, beta1, 1.0 - beta1, beta2, 1.0 - beta2
    momentum = group["momentum"]
    of_grad, of_buffer = (1.0, momentum) if group["nesterov"] else (0.0, 1.0)
    return 0.0, 1.0, decay, lr, momentum, 1.0 - group["dampening"], of_grad, of_buffer


def matrix_scalars(group: dict[str, Any], step: int) -> tuple[tuple[float, ...], tuple[float, float]]:
    """The scalars of both rules for a projectable matrix in update ``step`` of its states."""
    decay = 1.0 - group["lr"] * group["weight_decay"]
    lr = group["lr"] * group["proj_params_lr_scale"]
    return full_scalars(group, lr, decay, step), (decay, lr * group["inactive_lr_scale"])
