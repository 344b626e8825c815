"""A small, exactly specified training problem in float64, for claims about the shape of a whole learning-rate grid.

scikit-learn's digits divided by 16, rows permuted by ``default_rng(0)``, the first 1437 for training, the
last 360 for validation; perceptron 64-32-10 with ReLU, He initialization, mean cross-entropy; batches of 64
consecutive entries of a permutation that is redrawn when fewer are left; constant learning rate, no weight
decay, 300 steps. All randomness of a seed comes from NumPy's ``default_rng(seed)``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

TRAIN, STEPS, BATCH = 1437, 300, 64
SIZES = (64, 32, 10)

Build = Callable[[list[Tensor], float], torch.optim.Optimizer]


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropies: on the whole training split after 50 and 300 steps, on validation after 300."""

    train_early: float
    train: float
    valid: float


@functools.cache
def _data() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    return torch.from_numpy(digits.data[order] / 16.0), torch.from_numpy(digits.target[order]).long()


def run(build: Build, lr: float, seeds: int) -> Losses:
    """Train with the optimizer that ``build(parameters, lr)`` makes; the losses are means over the seeds.

    All seeds train at once, along a leading axis of every tensor: the optimizers compared here work element by
    element, so that each seed goes its own way as if it were alone.
    """
    x, y = _data()
    rngs = [np.random.default_rng(seed) for seed in range(seeds)]
    parameters = []
    # Seed by seed, so that each draws its numbers in the order of its own run.
    drawn = [[rng.standard_normal(shape) for shape in itertools.pairwise(SIZES)] for rng in rngs]
    for weights in zip(*drawn, strict=True):
        fan_in, fan_out = weights[0].shape
        parameters.append(torch.from_numpy(np.stack(weights) * np.sqrt(2.0 / fan_in)).requires_grad_())
        parameters.append(torch.zeros(seeds, 1, fan_out, dtype=torch.float64, requires_grad=True))
    w1, b1, w2, b2 = parameters

    def losses(inputs: Tensor, labels: Tensor) -> Tensor:
        scores = torch.relu(inputs @ w1 + b1) @ w2 + b2
        return F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view(seeds, -1).mean(1)

    @torch.no_grad()
    def mean_loss(rows: slice) -> float:
        return float(losses(x[rows].expand(seeds, -1, -1), y[rows].expand(seeds, -1)).mean())

    optimizer = build(parameters, lr)
    orders, used, early = [rng.permutation(TRAIN) for rng in rngs], 0, float("nan")
    for step in range(1, STEPS + 1):
        if used + BATCH > TRAIN:
            orders, used = [rng.permutation(TRAIN) for rng in rngs], 0
        rows = torch.from_numpy(np.stack([order[used : used + BATCH] for order in orders]))
        used += BATCH
        optimizer.zero_grad()
        losses(x[rows], y[rows]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step == 50:
            early = mean_loss(slice(0, TRAIN))
    return Losses(early, mean_loss(slice(0, TRAIN)), mean_loss(slice(TRAIN, None)))


def mean_losses(build: Build, lrs: Sequence[float], seeds: int = 5) -> dict[float, Losses]:
    """The losses of each learning rate."""
    return {lr: run(build, lr, seeds) for lr in lrs}


def best(grid: dict[float, Losses]) -> tuple[float, float]:
    """The learning rate with the lowest training loss, and that loss."""
    lr = min(grid, key=lambda lr: grid[lr].train)
    return lr, grid[lr].train
