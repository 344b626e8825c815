"""Running a catalog's method on a problem and reading its records: what the tests of families share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optimand.core import catalog
from optimand.core.claims import StudySpec
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.userfiles import split_spec


def entry(name: str) -> catalog.Method:
    """A registered method, of whatever family."""
    return catalog.methods()[name]


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


def told(recorder: Recorder) -> tuple[Any, ...]:
    """All that a run told, except how long things took."""
    costs = {name: value for name, value in recorder.costs.items() if "seconds" not in name}
    return costs, recorder.notes, [(r.at, r.split, r.metric, r.value) for r in recorder.records]


def cut_off(run: Callable[[Recorder], Any], budget: int, file: Path, at: float = 0.5) -> tuple[Recorder, float]:
    """A run that is broken off and made again, and the share of the budget at which the second one began.

    Args:
        run: makes it, with a recorder.
        budget: of the run.
        file: for its checkpoints.
        at: the share of the budget after which it is broken off.
    """

    def stop(share: float) -> None:
        if share > at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Recorder(budget, checkpoint=file, checkpoint_every=0.0, progress=stop))
    shares: list[float] = []
    again = Recorder(budget, checkpoint=file, checkpoint_every=1e9, progress=shares.append)
    run(again)
    return again, shares[0]


class Made:
    """Outcomes of a claim's study, whose runs are made here, without the lab.

    Args:
        study: its spec; methods as they are named in the catalog.
        params: parameters of every problem, besides those that are typed.
    """

    def __init__(self, study: StudySpec, **params: Any) -> None:
        self.study, self.params = study, params

    def mean(self, problem: str, method: str, *, metric: str | None = None, split: str = "test") -> float:
        """The mean over the seeds of the last value."""
        name, _, typed = split_spec(problem)
        built = catalog.problems()[name].build(**typed, **self.params)
        assert self.study.budget is not None
        values = []
        for seed in range(self.study.seeds):
            recorder = Recorder(self.study.budget)
            built.run(entry(method), {}, seed=SeedTree(seed), budget=self.study.budget, recorder=recorder)
            values.append(recorder.last(split, metric or built.metric))
        return sum(values) / len(values)
