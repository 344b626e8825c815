"""Methods whose states are stored block-wise in 8 bits, or 4."""

from __future__ import annotations

from typing import Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Dimension, Float

from ..lion_k.presets import SIGN_SPACE
from ..low_bit import (
    Adagrad8bit,
    Adam8bit,
    AdamW4bit,
    AdamW8bit,
    AdEMAMix8bit,
    LAMB8bit,
    LARS8bit,
    Lion8bit,
    LowBitOptimizer,
    RMSprop8bit,
    SGD8bit,
)
from ..low_bit.base import shared_defaults
from .elementwise import ADAM_SPACE

PAPER = "blockwise-8bit"


def _register(
    name: str, build: type[LowBitOptimizer], space: dict[str, Dimension], summary: str, **defaults: Any
) -> None:
    # So that a comparison can set them; a gradient that is not finite shows in the loss.
    shared = {**shared_defaults(build.bits), "nonfinite": "skip"}
    del shared["overrides"]
    defaults = {**shared, **defaults}
    method(name, family="training", space=space, defaults=defaults, paper=PAPER, summary=summary)(build)


def _rates(low: float, high: float) -> dict[str, Dimension]:
    """Learning rates from ``low`` to ``high``, with coupled weight decay."""
    return {"lr": Float(low, high, log=True), "weight_decay": Float(1e-6, 1e-2, log=True)}


_register("adamw-8bit", AdamW8bit, ADAM_SPACE, "AdamW with both moments in 8 bits")
_register("adamw-4bit", AdamW4bit, ADAM_SPACE, "AdamW with both moments in 4 bits")
_register("adam-8bit", Adam8bit, _rates(1e-4, 1e-1), "Adam, with decay in the gradient, and both moments in 8 bits")
_register("lion-8bit", Lion8bit, SIGN_SPACE, "Lion with its momentum in 8 bits")
_register(
    "sgd-8bit",
    SGD8bit,
    {"lr": Float(1e-3, 1.0, log=True), "momentum": Choice(0.9, 0.99), "weight_decay": Float(1e-6, 1e-2, log=True)},
    "Stochastic gradient descent with its momentum in 8 bits",
    lr=0.1,
)
_register("rmsprop-8bit", RMSprop8bit, _rates(1e-4, 1e-1), "RMSprop with its second moment in 8 bits", lr=1e-3)
_register("adagrad-8bit", Adagrad8bit, _rates(1e-3, 1.0), "Adagrad with its sum in 8 bits")
_register(
    "lamb-8bit",
    LAMB8bit,
    {"lr": Float(1e-3, 1.0, log=True), "weight_decay": Float(1e-4, 1.0, log=True)},
    "LAMB, Adam under a trust ratio for each tensor, with both moments in 8 bits",
)
_register(
    "lars-8bit",
    LARS8bit,
    _rates(1.0, 1e3),
    "LARS, SGD under a trust ratio for each tensor, with its momentum in 8 bits",
)
_register(
    "ademamix-8bit",
    AdEMAMix8bit,
    {**ADAM_SPACE, "alpha": Float(1.0, 10.0)},
    "AdEMAMix, Adam with a second, slower momentum, all three moments in 8 bits",
)
