"""The scheduling of a study: which run can be made when, and how far it all is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.seeds import SeedTree
from ..core.validation import OptimandError
from .executors import Executor
from .runs import RunSpec, describe_error, read_progress
from .store import Outcome
from .tuning import Tuner

if TYPE_CHECKING:
    from .study import Study

Observer = Callable[["Progress"], None]


@dataclass(frozen=True)
class Progress:
    """How far a study is: what the progress bar shows.

    Attributes:
        done, total: runs.
        share: of all work, unfinished runs included, in [0, 1].
        seconds_left: estimate from the runs made so far; None before the first.
        current: what is running, in words.
    """

    done: int
    total: int
    share: float
    seconds_left: float | None
    current: str


class Scheduler:
    """Submits runs as they become possible: all trials of a pair, then its final runs with the best of them.

    Args:
        study: what to run; a run that its store holds is not made again.
        observer: called a few times a second with the progress.
        announce: called with the ids of the runs that the study consists of, whenever more become known.
    """

    def __init__(self, study: Study, observer: Observer | None, announce: Callable[[list[str]], None]) -> None:
        self.study = study
        self.observer = observer
        self.announce = announce
        self.executor: Executor | None = None
        self.total = study.planned_runs()
        self.done = 0
        self.runs: list[str] = []
        self.active: dict[str, RunSpec] = {}
        self.durations: dict[str, list[float]] = {}
        self.started: dict[str, float] = {}
        self.pairs = {(p, e.text): e for p in study.problems for e in study.entries}
        self.tuners = {key: self._tuner(*key) for key in self.pairs} if study.spec.tune else {}
        self.left = {p: self.total // len(study.problems) for p in study.problems}

    def _tuner(self, problem: str, method: str) -> Tuner:
        spec = self.study.spec
        seed = SeedTree(spec.root_seed).child("tuning", problem, method)
        return Tuner(
            self.pairs[problem, method].space, spec.tune, spec.tuner, self.study.problems[problem].direction, seed
        )

    def run(self) -> None:
        """Make every run that is not in the store; OptimandError if the store or a user's file gives way."""
        try:
            for key in self.pairs:
                self._advance(key)
            self.announce(self.runs)
            while self.active:
                assert self.executor is not None
                for spec, result in self.executor.finished(timeout=0.25):
                    self._ended(spec, result)
                self._show()
        finally:
            if self.executor is not None:
                self.executor.close()
        self._show()

    def _advance(self, key: tuple[str, str]) -> None:
        """Submit whatever of a pair can be run now."""
        problem, _ = key
        entry = self.pairs[key]
        hyper: dict[str, Any] = {}
        if tuner := self.tuners.get(key):
            while fresh := tuner.ask():  # a stored trial is told at once, so an adaptive search may go on
                for number, tried in fresh:
                    self._request(self.study.run_spec(problem, entry, "tune", number, 0, tried))
            if not tuner.complete:
                return
            hyper = tuner.best()
        for seed in range(self.study.spec.seeds):
            self._request(self.study.run_spec(problem, entry, "final", -1, seed, hyper))

    def _request(self, spec: RunSpec) -> None:
        self.runs.append(spec.run)
        outcome = self.study.is_done(spec)
        if outcome is not None:
            self._count(spec, outcome)
            return
        if self.executor is None:
            self.executor = self.study.new_executor()
        self.active[spec.run] = spec
        self.executor.submit(spec)

    def _count(self, spec: RunSpec, outcome: Outcome) -> None:
        self.done += 1
        self.left[spec.problem] -= 1
        if spec.phase == "tune":
            value = outcome.valid if outcome.status == "ok" else math.nan
            self.tuners[spec.problem, spec.method].tell(spec.trial, value)

    def _ended(self, spec: RunSpec, result: Outcome | BaseException) -> None:
        del self.active[spec.run]
        if isinstance(result, BrokenProcessPool):
            message = "the worker process died twice, the second time with nothing else running (out of memory?)"
            hyper = self.pairs[spec.problem, spec.method].method.hyper(spec.hyper)
            result = spec.outcome(status="failed", message=message, hyper=hyper)
            try:
                self.study.store.write_run(result, [])
            except OSError as error:
                raise OptimandError(f"run {spec.run!r} could not be stored: {error}") from error
        elif isinstance(result, OptimandError):
            raise result
        elif isinstance(result, BaseException):
            raise OptimandError(f"run {spec.run!r} could not be stored: {describe_error(result)}") from result
        begun = self.started.pop(spec.run, None)
        duration = result.seconds if begun is None else time.monotonic() - begun
        if math.isfinite(duration):
            self.durations.setdefault(spec.problem, []).append(duration)
        self._count(spec, result)
        if spec.phase == "tune":
            tuner = self.tuners[spec.problem, spec.method]
            if tuner.complete or self.study.spec.tuner == "tpe":
                self._advance((spec.problem, spec.method))
                self.announce(self.runs)

    def _show(self) -> None:
        if self.observer is None:
            return
        running = {}
        for run in list(self.active):
            share = read_progress(self.study.store, run)
            if share > 0:
                self.started.setdefault(run, time.monotonic())
                running[run] = share
        mean = {p: sum(d) / len(d) for p, d in self.durations.items()}
        typical = sum(mean.values()) / len(mean) if mean else None
        seconds_left = None
        if typical is not None:
            work = sum(n * mean.get(p, typical) for p, n in self.left.items())
            work -= sum(share * mean.get(self.active[run].problem, typical) for run, share in running.items())
            seconds_left = max(0.0, work / self.study.jobs)
        specs = [self.active[run] for run in running]
        current = "; ".join(sorted({f"{s.method} on {s.problem} ({_phase_words(s)})" for s in specs}))
        share = (self.done + sum(running.values())) / max(1, self.total)
        self.observer(Progress(self.done, self.total, min(1.0, share), seconds_left, current))


def _phase_words(spec: RunSpec) -> str:
    return f"trial {spec.trial + 1}" if spec.phase == "tune" else f"seed {spec.seed + 1}"
