"""A study: problems x methods x seeds, with the same tuning effort for each method, kept in a store.

The flow is one way: the plan names runs, the executor makes them, the store keeps them, the summary and
the page read the store. A study that was killed goes on when it is asked for again: whatever run is in
the store is not made twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..core import catalog
from ..core.catalog import Method, Problem
from ..core.claims import StudySpec
from ..core.index import plain
from ..core.userfiles import short_spec, split_spec
from ..core.validation import OptimandError, check_choice, check_int, check_number
from .environment import environment
from .executors import EXECUTORS, Executor, available_cores
from .runs import RunSpec, describe_error, fingerprint, slug
from .scheduler import Observer, Scheduler
from .store import Outcome, Results, Store
from .summary import StudySummary, summarize
from .tuning import TUNERS


@dataclass(frozen=True)
class Entry:
    """A method of the study: as typed, resolved, with the hyperparameters that were given for it."""

    text: str
    label: str
    method: Method
    given: Mapping[str, Any]

    @property
    def space(self) -> dict[str, Any]:
        """What tuning searches: the method's ranges without the hyperparameters that were given."""
        return {k: d for k, d in self.method.space.items() if k not in self.given}


def common_family(problems: Iterable[Problem]) -> str:
    """The family that all problems are of; OptimandError where they are of several."""
    families = sorted({problem.family for problem in problems})
    if len(families) != 1:
        raise OptimandError(
            f"the problems are of different families ({', '.join(families)}); compare one family at a time"
        )
    return families[0]


class Study:
    """A planned study with its store.

    Args:
        spec: what to compare.
        folder: where; by default a folder below ``runs`` named after the spec.
        jobs: runs at a time; by default one a core.
        threads: threads of each run. Results can depend on it in the last digits, so it is part of a run's identity.
        executor: ``local`` or ``ray``.
        checkpoint_every: seconds between two checkpoints of a run.
        retry_failed: make runs again that failed with an error.
        command: the command line to show on the page.

    Raises:
        OptimandError: unknown names, files that do not load, wrong types or values.
    """

    def __init__(
        self,
        spec: StudySpec,
        *,
        folder: str | Path | None = None,
        jobs: int | None = None,
        threads: int = 1,
        executor: str = "local",
        checkpoint_every: float = 30.0,
        retry_failed: bool = False,
        command: str = "",
    ) -> None:
        _check_spec(spec)
        self.spec = spec
        try:
            self.threads = check_int("threads", threads, low=1)
            self.jobs = check_int("jobs", max(1, available_cores() // threads) if jobs is None else jobs, low=1)
            self._executor_name = check_choice("executor", executor, EXECUTORS)
            check_number("checkpoint_every", checkpoint_every, low=0)
        except (TypeError, ValueError) as error:
            raise OptimandError(str(error)) from error
        self._checkpoint_every = checkpoint_every
        self._retry_failed = retry_failed
        self._command = command
        self.problems: dict[str, Problem] = {text: catalog.get_problem(text) for text in spec.problems}
        self.family = common_family(self.problems.values())
        self.entries = _distinct([self._entry(text) for text in spec.methods])
        self._fingerprints = {text: fingerprint(text) for text in (*spec.problems, *spec.methods)}
        self.store = Store(folder or Path("runs") / self.name)

    def _entry(self, text: str) -> Entry:
        method, given = catalog.get_method(text, family=self.family)
        label = self.spec.labels.get(text) or _label(text, method)
        return Entry(text, label, method, given)

    @property
    def digest(self) -> str:
        """Digest of everything that the study's results depend on."""
        content = json.dumps([asdict(self.spec), self.threads, self._fingerprints], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """The study's default folder name: its problems and its digest."""
        return f"{slug('+'.join(short_spec(p) for p in self.spec.problems))}-{self.digest}"

    def budget(self, problem: str) -> int:
        """The budget of a problem, in its unit."""
        return self.spec.budget or self.problems[problem].budget

    def run(self, observer: Observer | None = None) -> Results:
        """Make every run that is not in the store yet, and return all results.

        A store may hold the runs of other studies too (of fewer seeds, say): what fits is used, the rest is left
        alone and does not count.

        Args:
            observer: called a few times a second with the progress.

        Raises:
            OptimandError: the store cannot be written or is in use.
        """
        info = self._info()
        self.store.create()
        with self.store.locked():
            self.damaged = self.store.set_aside_damaged()
            Scheduler(self, observer, lambda runs: self.store.write_info({**info, "runs": sorted(runs)})).run()
            return self.results()

    def results(self) -> Results:
        """What is in the store now."""
        return self.store.load()

    def summary(self) -> StudySummary:
        """What the stored results say."""
        return summarize(self.results())

    def planned_runs(self) -> int:
        """How many runs the study consists of."""
        trials = sum(self.spec.tune if e.space else min(self.spec.tune, 1) for e in self.entries)
        return len(self.problems) * (trials + self.spec.seeds * len(self.entries))

    def run_spec(
        self, problem: str, entry: Entry, phase: str, trial: int, seed: int, hyper: Mapping[str, Any]
    ) -> RunSpec:
        """The description of one run."""
        return RunSpec(
            problem=problem,
            method=entry.text,
            fingerprint=f"{self._fingerprints[problem]}/{self._fingerprints[entry.text]}",
            phase=phase,
            trial=trial,
            seed=seed,
            root_seed=self.spec.root_seed,
            budget=self.budget(problem),
            hyper={**entry.given, **hyper},
            threads=self.threads,
        )

    def new_executor(self) -> Executor:
        """The executor that was asked for."""
        folder = str(self.store.folder.resolve())
        return EXECUTORS[self._executor_name](folder, self.jobs, self.threads, self._checkpoint_every)

    def is_done(self, spec: RunSpec) -> Outcome | None:
        """The stored outcome of a run, unless it is to be made (again)."""
        path = self.store.run_path(spec.run)
        if not path.exists():
            return None
        outcome, _ = self.store.read_run(path)
        return None if outcome.status == "failed" and self._retry_failed else outcome

    def _info(self) -> dict[str, Any]:
        try:
            old = self.store.read_info()
        except OptimandError:
            old = {}
        now = {
            **environment(),
            "threads per run": str(self.threads),
            "runs at a time": str(self.jobs),
            "executor": self._executor_name,
        }
        return {
            "digest": self.digest,
            "spec": asdict(self.spec),
            "problems": {text: self._problem_info(text) for text in self.problems},
            "methods": {entry.text: self._method_info(entry) for entry in self.entries},
            "command": self._command,
            "created": old.get("created") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "environment": _both(old.get("environment", {}), now),
            "planned_runs": self.planned_runs(),
        }

    def _problem_info(self, text: str) -> dict[str, Any]:
        p = self.problems[text]
        try:
            return {
                "name": p.name,
                "label": short_spec(text),
                "family": p.family,
                "summary": p.summary,
                "unit": p.unit,
                "budget": self.budget(text),
                "metric": p.metric,
                "direction": p.direction,
                "target": None if p.target is None else float(p.target),
                "solved": getattr(p, "solved", None),
            }
        except OptimandError:
            raise
        except Exception as error:  # data that a user's problem cannot load, say
            raise OptimandError(f"problem {text!r} cannot be used: {describe_error(error)}") from error

    def _method_info(self, entry: Entry) -> dict[str, Any]:
        return {
            "label": entry.label,
            "name": entry.method.name,
            "family": entry.method.family,
            "summary": entry.method.summary,
            "paper": entry.method.paper,
            "defaults": {k: plain(v) for k, v in entry.method.defaults.items()},
            "given": {k: plain(v) for k, v in entry.given.items()},
            "space": {k: str(d) for k, d in entry.space.items()},
            "facts": describe_method(entry.text, entry.method, entry.given),
        }


def describe_method(text: str, method: Method, given: Mapping[str, Any]) -> dict[str, str]:
    """What the method's family measures of it; OptimandError if it cannot be used with what was given."""
    family = catalog.get_family(method.family)
    if family is None:
        return {}
    try:
        return dict(family.describe(replace(method, defaults={**method.defaults, **given})))
    except (TypeError, ValueError, OptimandError) as error:
        raise OptimandError(f"method {text!r}: {error}") from error
    except Exception as error:  # whatever a user's method raises
        raise OptimandError(f"method {text!r} cannot be used: {describe_error(error)}") from error


def _both(old: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The environment now; where a study was begun in another, both."""
    return {k: before if (before := old.get(k, v)).endswith(v) else f"{before}, then {v}" for k, v in now.items()}


def compare(
    problems: str | Sequence[str],
    methods: str | Sequence[str],
    *,
    seeds: int = 3,
    tune: int = 0,
    budget: int | None = None,
    folder: str | Path | None = None,
    **options: Any,
) -> Study:
    """Compare methods on problems and return the finished study.

    Args:
        problems: names such as ``digits-mlp`` or ``my_problem.py:problem``.
        methods: names such as ``lion``, ``lion:lr=1e-4`` or ``my_opt.py:MyOpt``.
        seeds: number of seeds of each final run.
        tune: trials of hyperparameter search for each method; 0 compares the defaults.
        budget: in the problems' unit; None for each problem's own.
        folder: where results are kept; by default below ``runs``.
        options: further arguments of :class:`Study`.

    Returns:
        The study: ``.summary()`` for rankings, ``.results()`` for everything that was recorded.

    Raises:
        OptimandError: as :class:`Study`.

    Example:
        >>> study = compare("digits-mlp", ["adamw", "lion"], seeds=3, tune=8)  # doctest: +SKIP
        >>> study.summary().verdict  # doctest: +SKIP
    """
    texts, names = ((text,) if isinstance(text, str) else tuple(text) for text in (problems, methods))
    spec = StudySpec(texts, names, seeds=seeds, tune=tune, budget=budget)
    study = Study(spec, folder=folder, **options)
    study.run()
    return study


def _check_spec(spec: StudySpec) -> None:
    for name in ("problems", "methods"):
        texts = getattr(spec, name)
        if not texts:
            raise OptimandError(f"{name} must name at least one, got none")
        twice = {t for t in texts if texts.count(t) > 1}
        if twice:
            raise OptimandError(f"{name} names {', '.join(sorted(twice))} more than once")
    try:
        check_int("seeds", spec.seeds, low=1)
        check_int("tune", spec.tune, low=0)
        check_int("root_seed", spec.root_seed, low=0)
        check_choice("tuner", spec.tuner, TUNERS)
        if spec.budget is not None:
            check_int("budget", spec.budget, low=1)
    except (TypeError, ValueError) as error:
        raise OptimandError(str(error)) from error


def _distinct(entries: list[Entry]) -> list[Entry]:
    """The entries with labels that differ: where some are equal, more of what was typed tells them apart."""
    for longer in (short_spec, str):
        labels = [e.label for e in entries]
        entries = [e if labels.count(e.label) == 1 else replace(e, label=longer(e.text)) for e in entries]
    return entries


def _label(text: str, method: Method) -> str:
    _, attr, params = split_spec(text)
    name = attr or method.name
    return name + (f" ({', '.join(f'{k}={v}' for k, v in params.items())})" if params else "")
