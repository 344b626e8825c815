"""How the families of learners run under the lab: repetitions in one run, on validation and on test streams.

A run of a study simulates a block of repetitions at once. Those on the split ``valid`` and those on ``test`` draw from
different branches of the run's seed, so what tuning selects is not what the report shows. Recorded are the mean over
the repetitions and, as ``NAME:q10`` and ``NAME:q90``, quantiles of single repetitions, which the page draws as a band.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.recorder import Diverged, Recorder
from optimand.core.running import resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int

from .contracts import Environment
from .grid import recording_grid
from .rollout import start

SPLITS = ("valid", "test")
QUANTILES = {"q10": 0.1, "q90": 0.9}
POINTS = 80


@dataclass(frozen=True, kw_only=True)
class RepeatedProblem:
    """Repetitions of something to play: the base of the families' problems, which have ``run`` besides.

    Attributes:
        name: what users type.
        make: makes what is played.
        summary: one line.
        budget: rounds by default.
        reps: repetitions on each split.
        target: value of the metric that counts for time-to-target, or None.
        methods: compared by default; none for those of the family.
    """

    name: str
    make: Callable[..., Any]
    summary: str
    budget: int
    reps: int = 100
    target: float | None = None
    methods: tuple[str, ...] = ()

    direction: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        check_int("reps", self.reps, low=1)
        if not callable(self.make):
            raise TypeError(f"make must be a function, got {self.make!r:.60}")


def run_repetitions(
    make_env: Callable[[str], Environment],
    make_learner: Callable[[], Any],
    *,
    reps: int,
    metrics: Mapping[str, str],
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
    points: int = POINTS,
    first: int = 1,
    scale: Callable[[float], float] | Mapping[str, Callable[[float], float]] | None = None,
) -> None:
    """Simulate ``reps`` repetitions on each split and record regret over time.

    An interrupted run goes on from the recording time that was kept last and ends as an unbroken one. A learner whose
    state cannot be pickled (of plain objects that hold generators, say) starts again, and ends the same.

    Args:
        make_env: makes the environment of a split, ``valid`` or ``test``.
        make_learner: makes the learner.
        reps: repetitions on each split.
        metrics: names of the metrics to record, each with the comparator that it measures regret against.
        seed: the run's branch; repetitions on a split draw from ``seed.child(split)``.
        budget: rounds.
        recorder: takes the records. The time of the simulation, environment included, is what is charged.
        points: recording times.
        first: the first of them.
        scale: divides what is recorded at a time, for normalised regret; by metric where only some are.

    Raises:
        Diverged: a regret is not finite.
    """
    grid = recording_grid(budget, points, first)
    saved = resume(recorder, None)
    done, state = (0, None) if saved is None else saved[1]
    for number, split in enumerate(SPLITS):
        if number < done:
            continue
        with recorder.timed():
            rollout = start(
                make_learner(), make_env(split), horizon=budget, reps=np.arange(reps), seed=seed.child(split),
                grid=grid, comparators=tuple(metrics.values()), name="method",
            )  # fmt: skip
        if state is not None:
            rollout.load_state_dict(state)
            state = None
        while rollout.position < len(grid):
            with recorder.timed():
                rollout.advance()
            at = int(grid[rollout.position - 1])
            for name, comparator in metrics.items():
                values = rollout.curves[comparator][:, rollout.position - 1]
                divisor = scale.get(name) if isinstance(scale, Mapping) else scale
                record_repetitions(recorder, at, split, name, values / (divisor(at) if divisor else 1.0))
            recorder.progress((number * budget + at) / len(SPLITS))
            if recorder.checkpoint_due():
                save(recorder, None, number, rollout.state_dict())
        recorder.cost(**{name: float(np.mean(found)) for name, found in rollout.extras().items()})
    recorder.cost(seconds_per_unit=recorder.seconds / (len(SPLITS) * budget * reps), repetitions=reps)


def record_repetitions(recorder: Recorder, at: float, split: str, name: str, values: Any) -> None:
    """Record the mean of ``values`` (R,) and its quantiles; Diverged where one is not finite."""
    if not np.isfinite(values).all():
        raise Diverged(at, f"{name} is {values[~np.isfinite(values)][0]} in {(~np.isfinite(values)).sum()} repetitions")
    recorder.record(at, split, **{name: float(np.mean(values))})
    if len(values) > 1:
        found = np.quantile(values, list(QUANTILES.values()))
        recorder.record(at, split, **{f"{name}:{q}": float(v) for q, v in zip(QUANTILES, found, strict=True)})
