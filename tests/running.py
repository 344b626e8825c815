"""Running a catalog's method on a problem and reading its records: what the tests of families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optimand.core import catalog
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree


def entry(name: str) -> catalog.Method:
    """A registered method, of whatever family."""
    return catalog._methods[name]


def runner(usual: int) -> Callable[..., Recorder]:
    """``run(problem, method, seed=0, budget=usual, recorder=None, **hyper)``, which returns the recorder."""

    def run(
        problem: Any, method: Any, seed: int = 0, budget: int = usual, recorder: Any = None, **hyper: Any
    ) -> Recorder:
        recorder = recorder or Recorder(budget)
        problem.run(method, hyper, seed=SeedTree(seed), budget=budget, recorder=recorder)
        return recorder

    return run


def reader(usual: str) -> Callable[..., list[tuple[float, float]]]:
    """``curve(recorder, metric=usual, split="test")``: positions and values of what was recorded."""

    def curve(recorder: Recorder, metric: str = usual, split: str = "test") -> list[tuple[float, float]]:
        return [(r.at, r.value) for r in recorder.records if r.split == split and r.metric == metric]

    return curve
