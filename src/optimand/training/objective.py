"""What is minimized on a mini-batch, and what is measured on a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..core.validation import check_choice
from .batches import Batch

Forward = Callable[..., Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss and the metrics that go with it.

    Attributes:
        loss: ``loss(model, batch)`` -> scalar, the mean over the batch; it is differentiated.
        metrics: ``metrics(model, batch)`` -> means over the batch by name, for evaluation.
        metric: the metric that ranks methods, one of those names.
        direction: whether it is better when lower (``min``) or higher (``max``).
        of_loss: metrics that are a multiple of the training loss, with the factor: they are recorded on
            the mini-batches during training.
    """

    loss: Callable[[Forward, Batch], Tensor]
    metrics: Callable[[Forward, Batch], Mapping[str, Tensor]]
    metric: str = "loss"
    direction: Literal["min", "max"] = "min"
    of_loss: Mapping[str, float] = field(default_factory=lambda: {"loss": 1.0})

    def __post_init__(self) -> None:
        check_choice("direction", self.direction, ("min", "max"))


def _cross_entropy(model: Forward, batch: Batch) -> Tensor:
    x, y = batch
    return F.cross_entropy(model(x), y)


def _class_metrics(model: Forward, batch: Batch) -> dict[str, Tensor]:
    x, y = batch
    scores = model(x).float()
    return {"loss": F.cross_entropy(scores, y), "accuracy": (scores.argmax(-1) == y).float().mean()}


def classification(*, metric: Literal["loss", "accuracy"] = "loss") -> Objective:
    """Cross-entropy in nats of ``model(x)`` (``[batch, classes]``) against labels ``y``, with accuracy in [0, 1].

    Args:
        metric: what ranks methods. The cross-entropy tells methods apart on a few hundred held-out examples,
            where one example more or less moves accuracy by a visible step.
    """
    direction: Literal["min", "max"] = "min" if metric == "loss" else "max"
    return Objective(_cross_entropy, _class_metrics, metric, direction)


def _squared_error(model: Forward, batch: Batch) -> Tensor:
    x, y = batch
    return F.mse_loss(model(x), y)


def _regression_metrics(model: Forward, batch: Batch) -> dict[str, Tensor]:
    return {"loss": _squared_error(model, batch)}


def regression() -> Objective:
    """Mean squared error of ``model(x)`` against ``y`` of the same shape."""
    return Objective(_squared_error, _regression_metrics)


def _next_token_loss(model: Forward, batch: Batch) -> Tensor:
    x, y = batch
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def _byte_metrics(model: Forward, batch: Batch) -> dict[str, Tensor]:
    x, y = batch
    return {"bits_per_byte": F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten()) / math.log(2)}


def language_modeling() -> Objective:
    """Cross-entropy of the next byte; ``model(x)`` maps ``[batch, context]`` to ``[batch, context, 256]``.

    The metric is bits per byte, which compares across contexts and tokenizations.
    """
    return Objective(_next_token_loss, _byte_metrics, "bits_per_byte", "min", {"bits_per_byte": 1 / math.log(2)})


def _token_metrics(model: Forward, batch: Batch) -> dict[str, Tensor]:
    x, y, tokens_per_byte = batch
    loss = F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten())
    return {"bits_per_byte": loss * tokens_per_byte.mean() / math.log(2), "loss": loss}


def token_modeling() -> Objective:
    """Cross-entropy of the next token in nats; the metric is bits per byte of the text that the tokens stand for.

    ``model(x)`` maps ``[batch, context]`` to ``[batch, context, vocabulary]``; batches of evaluation are those of
    :class:`~optimand.training.batches.TokenWindows`.
    """
    return Objective(_next_token_loss, _token_metrics, "bits_per_byte")


@torch.no_grad()
def evaluate(
    model: nn.Module,
    forward: Forward,
    metrics: Callable[[Forward, Batch], Mapping[str, Tensor]],
    batches: Iterable[Batch],
) -> dict[str, float]:
    """Means of ``metrics`` over ``batches``, each batch weighted by its length, in evaluation mode."""
    was_training = model.training
    model.eval()
    totals: dict[str, Tensor] = {}
    count = 0
    try:
        for batch in batches:
            n = len(batch[0])
            count += n
            for name, value in metrics(forward, batch).items():
                totals[name] = totals.get(name, 0.0) + value.double() * n
    finally:
        model.train(was_training)
    return {name: float(total) / count for name, total in totals.items()}
