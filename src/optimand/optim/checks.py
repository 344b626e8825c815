"""Checks of the hyperparameters that optimizers share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optimand.core.validation import check_number


def check_lr(lr: Any) -> float:
    """The learning rate as a float; ValueError unless it is a non-negative number, or a tensor that holds one."""
    if isinstance(lr, Tensor):
        if lr.numel() != 1:
            raise ValueError(f"lr must be a number or a tensor of one element, got shape {tuple(lr.shape)}")
        lr = lr.detach().item()
    return check_number("lr", lr, low=0.0)


def check_betas(betas: Any, count: int = 2) -> None:
    """ValueError unless ``betas`` are ``count`` numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != count:
        raise ValueError(f"betas must be {('two', 'three')[count - 2]} numbers in [0, 1), got {betas!r}")
    for at, beta in enumerate(betas):
        check_number(f"betas[{at}]", beta, low=0.0, high=1.0, high_open=True)


def warn_of_decay(group: Mapping[str, Any], remedy: str = "") -> None:
    """Warn, for the caller of the caller, where the group's decay alone turns the sign of every parameter.

    Args:
        group: a parameter group whose ``lr`` and ``weight_decay`` have been checked.
        remedy: what to do about it, as the end of the sentence.
    """
    product = check_lr(group["lr"]) * float(group["weight_decay"])
    if product >= 1.0:
        warnings.warn(
            f"lr * weight_decay is {product:g}: from 1 on, the decay turns the sign of every parameter in each step"
            f"{remedy}",
            UserWarning,
            stacklevel=3,
        )


def arguments(scope: Mapping[str, Any], *but: str) -> dict[str, Any]:
    """A constructor's hyperparameters, from its ``locals()`` as it begins.

    Args:
        scope: all of its arguments.
        but: names of arguments that are no hyperparameters, beside ``params`` and ``options``.
    """
    return {name: x for name, x in scope.items() if name not in ("self", "__class__", "params", "options", *but)}
