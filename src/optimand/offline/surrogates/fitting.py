"""Fitting a surrogate to offline data, with a place for a regularizer.

The loop is that of the authors of arXiv 2503.04242: Adam with Keras's eps, minibatches in a fresh order every epoch,
optional noise on the inputs of the loss only, 200 points held out. The report names the best epoch besides the last,
because such surrogates overfit: the regularizer acts on the last weights, and so does the search.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..ignite.base import Regularizer, first_output
from ..ignite.baselines import make_regularizer
from ..ignite.perturbation import global_norm
from .mlp import gaussian_nll

KERAS_EPS = 1e-7
GRADIENT_ROWS = 2000
"""Training rows over which the report's norm of the mean prediction's gradient is taken."""


@dataclass
class FitReport:
    """What a fit came to.

    Attributes:
        val_rmse: root mean square error on the held-out points with the weights that were kept; NaN without any.
        best_val_rmse: the least of all epochs.
        best_epoch: the epoch of it, counted from 1; 0 without held-out points.
        gradient_norm: |grad G| of the mean prediction over up to 2,000 fixed training rows, at the kept weights.
        lam: the regularizer's multiplier at the end; NaN without a regularizer.
        train_loss: mean loss of the last epoch, without the penalty.
        epochs: epochs made.
        steps: minibatch steps made.
        seconds: time of the training steps, without evaluations.
        history: one record for each epoch: ``epoch``, ``train_loss``, ``val_rmse``, ``lam``, ``norm``.
    """

    val_rmse: float
    best_val_rmse: float
    best_epoch: int
    gradient_norm: float
    lam: float
    train_loss: float
    epochs: int
    steps: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list, repr=False)


def fit(
    model: nn.Module,
    x: Any,
    y: Any,
    *,
    epochs: int = 100,
    batch: int = 128,
    lr: float = 1e-3,
    generator: torch.Generator | None = None,
    ignite: str | Regularizer | Callable[[nn.Module], Regularizer] | None = None,
    noise: float = 0.0,
    loss: str | Callable[[Any, Tensor], Tensor] = "nll",
    validation: int = 200,
    keep: str = "last",
    on_epoch: Callable[[int], None] | None = None,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
) -> FitReport:
    """Fit ``model`` in place to rows that are standardized already.

    Args:
        model: gives (mean, logstd), or the mean alone with the loss ``mse``, or what an own loss expects.
        x: inputs (n, ...).
        y: targets (n,).
        epochs: passes over the training rows, at least 1.
        batch: rows of a minibatch, at least 1; the last of an epoch may be smaller.
        lr: learning rate of Adam (with Keras's eps), above 0.
        generator: draws the held-out rows, the order and the noise; one with seed 0 if None. Dropout and the
            weights draw from elsewhere: from torch's global generator and from the model's.
        ignite: a kind of :func:`optimand.offline.ignite.make_regularizer`, or a regularizer of this model, or a
            function that makes one; None for none.
        noise: standard deviation of normal noise on the inputs of the loss; the penalty sees the clean inputs.
        loss: ``nll`` (Gaussian), ``mse``, or a function of the model's output and targets.
        validation: rows that are held out, at least 0; at most a fifth of all rows is taken.
        keep: ``last`` or ``best``: the weights of which epoch remain, by the held-out error.
        on_epoch: called with the number of every epoch that ended, from 1 on.
        optimizer: makes another optimizer from the parameters; ``lr`` is not used.

    Returns:
        A :class:`FitReport`.

    Raises:
        OptimandError: a value of ``x`` or ``y`` is not finite, or there are too few rows.
        FloatingPointError: the loss or the norm of the prediction's gradient is no longer finite.

    Example:
        >>> from optimand.offline.surrogates import GaussianMLP
        >>> x = torch.linspace(-1, 1, 64)[:, None]
        >>> model = GaussianMLP(1, width=16, generator=torch.Generator().manual_seed(0))
        >>> report = fit(model, x, x[:, 0], epochs=30, batch=16, lr=1e-2, validation=8, ignite="adaptive")
        >>> report.val_rmse < 0.2, report.epochs
        (True, 30)
    """
    epochs, batch = check_int("epochs", epochs, low=1), check_int("batch", batch, low=1)
    check_number("lr", lr, low=0.0, low_open=True, high_open=True)
    noise = check_number("noise", noise, low=0.0, high_open=True)
    check_choice("keep", keep, ["last", "best"])
    loss_fn = loss if callable(loss) else LOSSES[check_choice("loss", loss, LOSSES)]
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    (x, y), held = _split(x, y, check_int("validation", validation, low=0), generator, model)
    fitted = [p for p in model.parameters() if p.requires_grad]
    # One pass over the states instead of ten: a sixth of a small network's step.
    fused = all(p.device.type in ("cpu", "cuda") for p in fitted)
    steps_with = optimizer(fitted) if optimizer else torch.optim.Adam(fitted, lr=lr, eps=KERAS_EPS, fused=fused)
    regularizer = _regularizer(ignite, model)

    history: list[dict[str, float]] = []
    best, kept, steps, seconds = math.inf, None, 0, 0.0
    for epoch in range(1, epochs + 1):
        begin = time.perf_counter()
        model.train()
        losses = []
        order = torch.randperm(len(y), generator=generator)
        for clean, targets in zip(x[order].split(batch), y[order].split(batch), strict=True):
            inputs = clean
            if noise:
                inputs = clean + noise * torch.randn(clean.shape, generator=generator, dtype=x.dtype).to(x.device)

            def of_output(output: Any, targets: Tensor = targets) -> Tensor:
                return loss_fn(output, targets)

            steps_with.zero_grad(set_to_none=True)
            if regularizer is None:
                found = of_output(model(inputs))
                found.backward()
            else:
                found = regularizer.backward(clean, of_output, inputs)
            steps_with.step()
            losses.append(found.detach())
        steps += len(losses)
        seconds += time.perf_counter() - begin
        train_loss = float(torch.stack(losses).mean())
        if not math.isfinite(train_loss):
            raise FloatingPointError(f"the loss is {train_loss} after {steps} steps: lower the learning rate")
        error = rmse(model, *held) if len(held[1]) else math.nan
        history.append({"epoch": epoch, "train_loss": train_loss, "val_rmse": error, **multiplier(regularizer)})
        if keep == "best" and error < best:
            best, kept = error, copy.deepcopy(model.state_dict())
        if on_epoch is not None:
            on_epoch(epoch)
    if kept is not None:
        model.load_state_dict(kept)
    norm = gradient_norm(model, x[:GRADIENT_ROWS])
    return report_of(history, norm, steps, seconds, val_rmse=error if kept is None else best)


def multiplier(regularizer: Regularizer | None) -> dict[str, float]:
    """A regularizer's multiplier and the norm it saw last, for a record of an epoch."""
    if regularizer is None:
        return {"lam": math.nan, "norm": math.nan}
    return {"lam": regularizer.lam, "norm": regularizer.norm}


def report_of(
    history: list[dict[str, float]], norm: float, steps: int, seconds: float, val_rmse: float | None = None
) -> FitReport:
    """The report of a fit, from its epochs' records; ``val_rmse`` where it is not that of the last epoch."""
    last = history[-1]
    measured = [record for record in history if math.isfinite(record["val_rmse"])]
    best = min(measured, key=lambda record: record["val_rmse"], default={"val_rmse": math.nan, "epoch": 0})
    return FitReport(
        val_rmse=last["val_rmse"] if val_rmse is None else val_rmse,
        best_val_rmse=best["val_rmse"],
        best_epoch=int(best["epoch"]),
        gradient_norm=norm,
        lam=last["lam"],
        train_loss=last["train_loss"],
        epochs=len(history),
        steps=steps,
        seconds=seconds,
        history=history,
    )


def rmse(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Root mean square error of the mean prediction, in evaluation mode; the model's mode is kept."""
    training = model.training
    model.eval()
    with torch.no_grad():
        error = float((first_output(model(x)).reshape(y.shape) - y).square().mean().sqrt())
    model.train(training)
    return error


def gradient_norm(model: nn.Module, x: Tensor, predict: Callable[[Tensor], Tensor] | None = None) -> float:
    """|grad G|: norm over the parameters of the gradient of the mean prediction over rows, in evaluation mode."""
    training = model.training
    model.eval()
    params = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        predicted = predict(x) if predict is not None else first_output(model(x))
        found = torch.autograd.grad(predicted.mean(), params, allow_unused=True)
    model.train(training)
    return global_norm([g for g in found if g is not None])


def _nll(output: Any, y: Tensor) -> Tensor:
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise TypeError(
            f"loss='nll' needs a model that gives (mean, logstd), got {type(output).__name__}; "
            "use loss='mse' for one that gives the mean alone"
        )
    return gaussian_nll(output[0].reshape(y.shape), output[1].reshape(y.shape), y)


LOSSES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "nll": _nll,
    "mse": lambda output, y: (first_output(output).reshape(y.shape) - y).square().mean(),
}


def _regularizer(given: Any, model: nn.Module) -> Regularizer | None:
    if given is None or isinstance(given, str):
        return make_regularizer(given, model)
    made = given if isinstance(given, Regularizer) else given(model)
    if not isinstance(made, Regularizer):
        raise TypeError(f"ignite must be a kind, a Regularizer or a function that makes one, got {made!r}")
    return made


def _split(
    x: Any, y: Any, validation: int, generator: torch.Generator, model: nn.Module
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training rows and held-out rows, on the model's device and in its precision."""
    like = next(model.parameters())
    x, y = checked("x", x).to(like), checked("y", y).to(like).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"x and y must have equally many rows, got {len(x)} and {len(y)}")
    if len(y) < 2:
        raise OptimandError(f"a surrogate needs at least 2 rows, got {len(y)}")
    order = torch.randperm(len(y), generator=generator)
    held = min(validation, len(y) // 5)
    first, rest = order[:held], order[held:]
    return (x[rest], y[rest]), (x[first], y[first])


def checked(name: str, values: Any) -> Tensor:
    """Numbers as a tensor, float32 unless they are float64 tensors; OptimandError where one is not finite."""
    given = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values), dtype=torch.float32)
    tensor = given if given.is_floating_point() else given.float()
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        rows = torch.nonzero(~finite)[:, 0] if tensor.ndim else torch.zeros(1, dtype=torch.int64)
        raise OptimandError(
            f"{name} has {int((~finite).sum())} values that are not finite, the first in row {int(rows[0])}; "
            "leave such rows out"
        )
    return tensor


@dataclass(frozen=True)
class Standardizer:
    """Column-wise (values - center) / scale; a constant column has scale 1.

    Example:
        >>> scaler = Standardizer.of(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaler(torch.tensor([[2.0, 6.0]])).tolist(), scaler.back(torch.tensor([[1.0, 0.0]])).tolist()
        ([[0.0, 1.0]], [[3.0, 5.0]])
    """

    center: Tensor
    scale: Tensor

    @classmethod
    def of(cls, values: Any) -> Standardizer:
        """From the rows of ``values``, (n,) or (n, d); the standard deviation divides by n."""
        rows = checked("values", values)
        if len(rows) == 0:
            raise ValueError("values must have at least one row, got none")
        scale = rows.std(dim=0, unbiased=False)
        # Rounding leaves a constant column a deviation that is tiny but not 0.
        flat = scale <= 1e-6 * rows.abs().amax(dim=0)
        return cls(rows.mean(dim=0), torch.where(flat, torch.ones_like(scale), scale))

    def __call__(self, values: Any) -> Tensor:
        """Standardized values."""
        return (torch.as_tensor(values, dtype=self.center.dtype) - self.center) / self.scale

    def back(self, values: Tensor) -> Tensor:
        """The values that were standardized."""
        return values * self.scale + self.center
