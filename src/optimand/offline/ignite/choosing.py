"""Regularizers of surrogates by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from optimand.core.validation import check_choice

from .base import Regularizer
from .sharpness import SurrogateSharpness

FIXED: dict[str, Any] = {"lam": 1e-2, "rho": 0.2, "r": 0.2, "adaptive": False}
"""IGNITE-2 as the authors run it."""

KINDS = ("adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay")


def make_regularizer(
    kind: str | None,
    model: nn.Module,
    predict: Callable[[Any], Tensor] | None = None,
    **options: Any,
) -> Regularizer | None:
    """The regularizer of a name, with the authors' settings unless others are given.

    Args:
        kind: ``adaptive``: IGNITE; ``fixed``: IGNITE-2; ``sam``: sharpness-aware minimization of the loss;
            ``gradient-norm``: penalty on the norm of the loss's gradient; ``sensitivity``: BOSS, the change of
            predictions under random perturbations of the parameters; ``weight-decay``; None: no regularizer.
        model: the surrogate.
        predict: from a batch to mean predictions; the default is the model's output, or the first of several.
        options: arguments of the regularizer's class.

    Returns:
        A :class:`Regularizer`, or None for None.

    Raises:
        ValueError: an unknown kind, or a number out of range.

    Example:
        >>> import torch
        >>> make_regularizer("fixed", torch.nn.Linear(2, 1)).rho
        0.2
        >>> make_regularizer(None, torch.nn.Linear(2, 1)) is None
        True
    """
    if kind is None or kind == "none":
        return None
    check_choice("kind", kind, KINDS)
    if kind == "adaptive":
        return SurrogateSharpness(model, predict=predict, **options)
    if kind == "fixed":
        return SurrogateSharpness(model, predict=predict, **{**FIXED, **options})
    from . import baselines

    return baselines.CLASSES[kind](model, predict=predict, **options)
