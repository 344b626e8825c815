"""A training problem of one's own: how diabetes progresses within a year, from ten measurements.

    optimand compare examples/my_problem.py:problem --methods adamw,examples/my_opt.py:MyOpt

A problem is data, a model and an objective; the loop, the schedule, evaluation, checkpoints and the report
come with it.
"""

from __future__ import annotations

import torch
from torch import nn

from optimand.training import Settings, TensorData, TrainingProblem, regression


def load() -> TensorData:
    """442 patients: 300 to learn from, 70 to tune on, 72 to report on; the split never changes."""
    from sklearn.datasets import load_diabetes

    x, y = (torch.tensor(part, dtype=torch.float32) for part in load_diabetes(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order][:, None]
    x = x / x[:300].std(0)
    y = (y - y[:300].mean()) / y[:300].std()
    return TensorData(train=(x[:300], y[:300]), valid=(x[300:370], y[300:370]), test=(x[370:], y[370:]))


def network() -> nn.Module:
    """A small perceptron; called at the start of each run, when torch's seed is already set."""
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))


problem = TrainingProblem(
    name="diabetes",
    description="diabetes progression (scikit-learn), perceptron",
    data=load,
    model=network,
    objective=regression(),
    settings=Settings(batch_size=32, schedule="cosine", warmup=0.1),
    budget=400,
    target=0.55,
)
