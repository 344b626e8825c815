"""Solvers of worded problems evaluated: every attempt run and graded, intervals, pass@k, resumed where it stopped.

A record is written for each attempt as it ends, one line of JSON, so a killed evaluation goes on where it was and
gives the report that an unbroken one gives.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from optimand.core.validation import OptimandError, check_choice, check_int
from optimand.language.llm.base import Usage

from ..execution import PASSED, TYPES, Attempt, ModelingProblem, open_sandbox
from .grading import GRADINGS, Grade, Grading, grade
from .records import Record, Store, identity

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel


class Solver(Protocol):
    """Whatever tries problems."""

    def solve(self, problem: ModelingProblem) -> Attempt:
        """One try; may take ``sample``, the number of the try, as a further keyword."""


@dataclass(frozen=True)
class Share:
    """A share of problems with its interval.

    Attributes:
        value: the share; NaN of nothing.
        low, high: Wilson's 95 % interval.
        count: problems.
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.count}"


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        solver: its name.
        grading: which rule.
        samples: tries of each problem.
        records: all attempts, by problem in the given order and by try.
    """

    solver: str
    grading: str
    samples: int
    records: tuple[Record, ...] = field(repr=False)

    @property
    def accuracy(self) -> Share:
        """Share of problems solved; the mean over the tries where there are several."""
        return self._share(self.records)

    @property
    def by_type(self) -> dict[str, Share]:
        """Share of problems solved, by type."""
        found = {kind: [r for r in self.records if r.type == kind] for kind in TYPES}
        return {kind: self._share(records) for kind, records in found.items() if records}

    @property
    def code_pass(self) -> Share:
        """Share of attempts whose program ran without error inside the limits; a timeout is a fail."""
        return share(sum(r.status in PASSED for r in self.records), len(self.records))

    @property
    def confusion(self) -> dict[str, dict[str, int]]:
        """For each status how many attempts were right and wrong."""
        found: dict[str, dict[str, int]] = {}
        for record in self.records:
            row = found.setdefault(record.status, {"right": 0, "wrong": 0})
            row["right" if record.correct else "wrong"] += 1
        return dict(sorted(found.items()))

    @property
    def failures(self) -> tuple[Record, ...]:
        """The attempts that were wrong."""
        return tuple(record for record in self.records if not record.correct)

    @property
    def usage(self) -> Usage:
        """Calls of the model, tokens and cost of everything; tokens are not told apart."""
        return Usage(
            calls=sum(r.calls for r in self.records),
            completion_tokens=sum(r.tokens for r in self.records),
            cost=sum(r.cost for r in self.records),
        )

    def pass_at(self, k: int) -> float:
        """Probability that one of ``k`` tries is right: the unbiased estimator, averaged over problems.

        Args:
            k: 1 to the number of tries made.

        Reference:
            Chen et al., arXiv 2107.03374, equation 1.
        """
        check_int("k", k, low=1, high=self.samples)
        right: dict[str, int] = {}
        for record in self.records:
            right[record.problem] = right.get(record.problem, 0) + record.correct
        return math.fsum(pass_at_k(self.samples, c, k) for c in right.values()) / len(right) if right else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without times."""
        return {
            "solver": self.solver,
            "grading": self.grading,
            "samples": self.samples,
            "accuracy": asdict(self.accuracy),
            "by_type": {kind: asdict(found) for kind, found in self.by_type.items()},
            "code_pass": asdict(self.code_pass),
            "pass_at": {str(k): self.pass_at(k) for k in range(1, self.samples + 1)},
            "confusion": self.confusion,
            "llm_calls": self.usage.calls,
            "llm_tokens": self.usage.tokens,
            "failures": [
                {"problem": r.problem, "sample": r.sample, "status": r.status, "reason": r.reason}
                for r in self.failures
            ],
        }

    def _share(self, records: Sequence[Record]) -> Share:
        problems = len({record.problem for record in records})
        return share(sum(r.correct for r in records) / max(self.samples, 1), problems)


def pass_at_k(n: int, c: int, k: int) -> float:
    """``1 - C(n - c, k) / C(n, k)``: the chance that one of k tries is right, when c of n were.

    Example:
        >>> pass_at_k(5, 1, 2)
        0.4
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def share(hits: float, count: int) -> Share:
    """A share with Wilson's 95 % interval.

    Example:
        >>> str(share(5, 10))
        '50.0 % [23.7, 76.3] of 10'
    """
    if not count:
        return Share(math.nan, 0.0, 1.0, 0)
    z, p = 1.959963984540054, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return Share(p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)), count)


def evaluate(
    solver: Solver | Callable[[str], str],
    problems: Iterable[ModelingProblem],
    *,
    grading: Grading = "robust",
    workers: int = 1,
    resume: str | os.PathLike[str] | None = None,
    samples: int = 1,
    reader: ChatModel | None = None,
    progress: Callable[[int, int, Record], None] | None = None,
) -> Report:
    """Try every problem and grade what comes.

    Args:
        solver: has ``solve(problem) -> Attempt``; or a function from the text to the source of a program, or to a
            reply that holds one, which is run in a sandbox opened for it.
        problems: with distinct identities.
        grading: see :func:`~optimand.language.modeling.benchmarks.grading.grade`.
        workers: attempts at the same time; the report does not depend on it where the solver's replies do not.
        resume: a file for the records, made if it is not there; what it holds is not tried again.
        samples: tries of each problem.
        reader: the model that reads outputs where the grading asks one.
        progress: called after each attempt with the number done, the number in all, and the record.

    Raises:
        OptimandError: two problems have one identity, or ``resume`` is of another evaluation. Errors of the model
            (refused key, budget spent) end the evaluation; the records made so far are kept.
    """
    check_choice("grading", grading, GRADINGS)
    check_int("workers", workers, low=1)
    check_int("samples", samples, low=1)
    listed = list(problems)
    if len({problem.id for problem in listed}) < len(listed):
        raise OptimandError("problems must have distinct identities")
    with _solver_of(solver, workers) as able:
        return _evaluated(able, listed, grading, workers, resume, samples, reader, progress)


@contextlib.contextmanager
def _solver_of(solver: Any, workers: int) -> Iterator[Solver]:
    """What solves: as it is, or a function whose programs are run."""
    if isinstance(solver, type) or not (callable(solver) or callable(getattr(solver, "solve", None))):
        raise TypeError(f"solver must have solve(problem), or be a function text -> program, got {solver!r:.80}")
    if callable(getattr(solver, "solve", None)):
        yield solver
        return
    from ..modelers.modelers import Written

    with open_sandbox(workers=workers) as sandbox:
        yield Written(solver, sandbox)


def _evaluated(
    solver: Solver,
    listed: list[ModelingProblem],
    grading: Grading,
    workers: int,
    resume: str | os.PathLike[str] | None,
    samples: int,
    reader: ChatModel | None,
    progress: Callable[[int, int, Record], None] | None,
) -> Report:
    name = str(getattr(solver, "name", type(solver).__name__))
    store = Store(resume, {**identity(name, listed, grading, samples), "settings": _settings(solver, reader)})
    takes_sample = _takes_sample(solver)

    def attempt(problem: ModelingProblem, sample: int) -> Record:
        tried = solver.solve(problem, **({"sample": sample} if takes_sample else {}))
        return _record(problem, sample, tried, grade(problem, tried, grading, chat=reader))

    todo = [(p, s) for p in listed for s in range(samples) if (p.id, s) not in store.records]
    total = len(listed) * samples

    def keep(record: Record) -> None:
        store.add(record)
        if progress is not None:
            progress(len(store.records), total, record)

    try:
        if workers == 1:
            for problem, sample in todo:
                keep(attempt(problem, sample))
        else:
            _in_parallel(attempt, todo, workers, keep)
    finally:
        store.close()
    records = tuple(store.records[p.id, s] for p in listed for s in range(samples))
    return Report(name, grading, samples, records)


def _in_parallel(
    attempt: Callable[[ModelingProblem, int], Record],
    todo: list[tuple[ModelingProblem, int]],
    workers: int,
    keep: Callable[[Record], None],
) -> None:
    waiting: Iterator[tuple[ModelingProblem, int]] = iter(todo)
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(attempt, *item) for item in itertools.islice(waiting, workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                keep(future.result())
            running |= {pool.submit(attempt, *item) for item in itertools.islice(waiting, len(done))}


def _settings(solver: Any, reader: ChatModel | None) -> dict[str, Any]:
    """What else the records depend on: the models, and the settings that modelers have."""
    known = ("temperature", "max_tokens", "debug_rounds", "seed", "shots", "retries")
    found = {key: getattr(solver, key) for key in known if isinstance(getattr(solver, key, None), int | float)}
    chat = getattr(solver, "chat", None)
    return {**found, "chat": str(getattr(chat, "name", "")), "reader": str(getattr(reader, "name", ""))}


def _takes_sample(solver: Any) -> bool:
    parameters = inspect.signature(solver.solve).parameters.values()
    return any(p.name == "sample" or p.kind is p.VAR_KEYWORD for p in parameters)


def _record(problem: ModelingProblem, sample: int, tried: Attempt, judged: Grade) -> Record:
    usage = tried.usage + judged.usage
    return Record(
        problem.id, problem.type, sample, tried.status, judged.correct, judged.reason or tried.error[-300:],
        usage.calls, usage.tokens, judged.usage.calls, usage.cost, round(tried.seconds, 4),
    )  # fmt: skip
