"""A training problem: data, model, objective and settings; its run is the training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from ..core.catalog import Method
from ..core.recorder import Recorder
from ..core.seeds import SeedTree
from ..core.validation import check_int, check_number
from .batches import Data
from .loop import train
from .objective import Objective, classification
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class TrainingProblem:
    """A network to train on data; every optimizer can run on it.

    Attributes:
        name: what users type.
        data: called once, returns a :class:`TensorData` or :class:`WindowData`.
        model: called at the start of each run, returns a freshly initialized module; the random
            numbers that it draws from torch come from the run's seed.
        objective: loss and metrics.
        settings: batch size, schedule and the like.
        budget: steps of a run by default.
        target: value of the metric on the validation split that counts for time-to-target.
        description: what the problem is, in a few words; sizes are added to it in :attr:`summary`.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.training import TensorData
        >>> x = torch.linspace(-1, 1, 60)[:, None]
        >>> part = (x, (x[:, 0] > 0).long())
        >>> problem = TrainingProblem(
        ...     name="sign", data=lambda: TensorData(part, part, part), model=lambda: nn.Linear(1, 2),
        ...     settings=Settings(batch_size=20), budget=60, description="the sign of a number")
        >>> problem.summary
        'the sign of a number; 60 train, 60 valid, 60 test examples; 4 parameters'
        >>> adamw = Method("adamw", "training", torch.optim.AdamW, {"lr": 0.1}, {})
        >>> recorder = Recorder(problem.budget)
        >>> problem.run(adamw, {}, seed=SeedTree(0), budget=problem.budget, recorder=recorder)
        >>> recorder.last("test", "accuracy") > 0.9
        True
    """

    name: str
    data: Callable[[], Data]
    model: Callable[[], nn.Module]
    objective: Objective = field(default_factory=classification)
    settings: Settings = field(default_factory=Settings)
    budget: int = 1000
    target: float | None = None
    description: str = ""

    family: ClassVar[str] = "training"
    unit: ClassVar[str] = "steps"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        if self.target is not None:
            check_number("target", self.target)
        for key in ("data", "model"):
            if not callable(getattr(self, key)):
                raise TypeError(f"{key} must be a function without arguments, got {getattr(self, key)!r:.60}")

    @property
    def metric(self) -> str:
        """The metric that ranks methods."""
        return self.objective.metric

    @property
    def direction(self) -> Literal["min", "max"]:
        """Whether :attr:`metric` is better when lower or higher."""
        return self.objective.direction

    @functools.cached_property
    def loaded(self) -> Data:
        """The data, loaded once."""
        return self.data()

    @functools.cached_property
    def parameters(self) -> int:
        """Number of parameters of the model."""
        with torch.random.fork_rng(devices=[]):
            return sum(p.numel() for p in self.model().parameters())

    @property
    def summary(self) -> str:
        """What the problem is, the sizes of the splits and of the model."""
        sizes = ", ".join(f"{self.loaded.size(split)} {split}" for split in ("train", "valid", "test"))
        return f"{self.description or self.name}; {sizes} {self.loaded.items}; {self.parameters} parameters"

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Train a fresh model once; see :func:`optimand.training.train`."""
        train(self, method, hyper, seed=seed, budget=budget, recorder=recorder)

    def __getstate__(self) -> dict[str, Any]:
        # what is cached is cheaper to load again than to send to another process
        return {k: v for k, v in self.__dict__.items() if k not in ("loaded", "parameters")}
