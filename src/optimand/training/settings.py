"""How a training loop runs, apart from the method: batch size, schedule, clipping, precision, device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..core.validation import check_choice, check_int, check_number


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every method meets alike on a training problem.

    Attributes:
        batch_size: examples a step.
        schedule: ``cosine``, ``linear`` or ``constant``: how the learning rate falls after the warm-up.
        warmup: share of the budget, in [0, 1), over which the learning rate rises from 0.
        floor: share of the learning rate, in [0, 1], that is left at the end.
        clip: largest norm of the gradient, or None for no clipping.
        amp: ``bf16`` (autocast), ``fp16`` (autocast and GradScaler, CUDA only) or None for float32.
        accumulate: number of micro-batches that a batch is computed in.
        compile: whether the model goes through ``torch.compile``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        evaluations: how often the validation split is evaluated during a run.

    Example:
        >>> [round(Settings(warmup=0.5, schedule="linear").factor(step, 4), 2) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """

    batch_size: int = 64
    schedule: str = "cosine"
    warmup: float = 0.05
    floor: float = 0.0
    clip: float | None = None
    amp: str | None = None
    accumulate: int = 1
    compile: bool = False
    device: str = "cpu"
    evaluations: int = 20

    def __post_init__(self) -> None:
        check_int("batch_size", self.batch_size, low=1)
        check_choice("schedule", self.schedule, ("cosine", "linear", "constant"))
        check_number("warmup", self.warmup, low=0, high=1, high_open=True)
        check_number("floor", self.floor, low=0, high=1)
        if self.clip is not None:
            check_number("clip", self.clip, low=0, low_open=True)
        check_choice("amp", self.amp, (None, "bf16", "fp16"))
        check_int("accumulate", self.accumulate, low=1, high=self.batch_size)
        check_choice("compile", self.compile, (False, True))
        check_int("evaluations", self.evaluations, low=1)
        if not isinstance(self.device, str) or self.device.split(":")[0] not in ("cpu", "cuda"):
            raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {self.device!r}")

    def factor(self, step: int, budget: int) -> float:
        """What the learning rate is multiplied by at ``step`` (from 0) of ``budget`` steps."""
        warm = round(self.warmup * budget)
        if step < warm:
            return (step + 1) / warm
        if self.schedule == "constant":
            return 1.0
        done = (step - warm) / max(1, budget - warm)
        rest = 0.5 * (1 + math.cos(math.pi * done)) if self.schedule == "cosine" else 1 - done
        return self.floor + (1 - self.floor) * rest


def set_learning_rates(groups: list[dict[str, Any]], base: list[Any], factor: float) -> None:
    """Set the learning rate of each parameter group to ``factor`` times its own; groups without one are left alone."""
    for group, lr in zip(groups, base, strict=True):
        if lr is None:
            continue
        current = group["lr"]
        if hasattr(current, "fill_"):  # a tensor, as capturable optimizers keep it, must stay the same object
            current.fill_(lr * factor)
        else:
            group["lr"] = lr * factor


def base_learning_rates(groups: list[dict[str, Any]]) -> list[float | None]:
    """The learning rate of each group as the optimizer was built, None where it has none."""
    return [float(group["lr"]) if "lr" in group and group["lr"] is not None else None for group in groups]
