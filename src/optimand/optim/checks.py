"""Checks of the hyperparameters that optimizers share."""

from __future__ import annotations

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


def check_betas(betas: Any) -> None:
    """ValueError unless ``betas`` are two numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers in [0, 1), got {betas!r}")
    for name, beta in zip(("betas[0]", "betas[1]"), betas, strict=True):
        check_number(name, beta, low=0.0, high=1.0, high_open=True)
