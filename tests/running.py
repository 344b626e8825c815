"""Running a catalog's method on a problem and reading its records: what the tests of families share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class CutOff(BaseException):
    """Ends a run in the middle, as a kill does: no method catches it."""


def cut_and_resumed(
    problem: Any, method: Any, budget: int, file: Path, share: float = 0.5, every: float = 0, **hyper: Any
) -> tuple[Recorder, list[float], list[float]]:
    """End a run at ``share`` of its budget, and make it again on the same checkpoint file.

    All that is recorded, seconds apart, must be that of a run that was not ended.

    Args:
        every: seconds between checkpoints.

    Returns:
        The second run's recorder, and the progress of both.
    """
    shares: tuple[list[float], list[float]] = [], []

    def end(done: float) -> None:
        shares[0].append(done)
        if done >= share:
            raise CutOff

    def run(recorder: Recorder) -> Recorder:
        problem.run(method, hyper, seed=SeedTree(0), budget=budget, recorder=recorder)
        return recorder

    whole = run(Recorder(budget))
    with contextlib.suppress(CutOff):
        run(Recorder(budget, checkpoint=file, checkpoint_every=every, progress=end))
    assert shares[0][-1] >= share, "the run must be long enough to be ended in the middle"
    resumed = run(Recorder(budget, checkpoint=file, checkpoint_every=every, progress=shares[1].append))
    assert told(resumed) == told(whole)
    return resumed, *shares


def told(recorder: Recorder) -> Any:
    """What a recorder holds, without seconds."""
    costs = {name: value for name, value in recorder.costs.items() if "seconds" not in name.split("_")}
    return [(r.at, r.split, r.metric, r.value) for r in recorder.records], costs, recorder.pictures, recorder.notes


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
