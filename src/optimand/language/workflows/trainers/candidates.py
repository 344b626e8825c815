"""Candidates of searches: values of all parameters with the scores they got, priorities, and a memory of the best.

Formulas (trainers of the maintained fork of Trace, arXiv 2406.16218): :func:`ucb_score` of UCB search, with S the sum
of n scores and t the number of all evaluations, ``S/n + c sqrt(ln t / n)``; :func:`confidence_bounds` of priority
search, ``mean +- c sqrt(ln(T + 1) / n) (high - low)``, clipped to the range of scores. The memory gives the true k
best: the first k entries of a heap's list are not these.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optimand.core.validation import OptimandError, check_int, check_number

from ..optimizers.values import base_name, name_of
from ..tracing.modules import Module, decode, encode
from .rollouts import Rollout


def ucb_score(total: float, count: int, evaluations: int, c: float = 1.0) -> float:
    """The upper confidence bound ``S/n + c sqrt(ln t / n)``.

    Args:
        total: S, the sum of the scores.
        count: n, how many, >= 0; where 0, the bound is infinite.
        evaluations: t, of all candidates together, >= 1.
        c: weight of the uncertainty, >= 0.

    Example:
        >>> [round(ucb_score(*pair, 14), 6) for pair in ((3, 4), (1, 1), (5.5, 9))]
        [1.562259, 2.624518, 1.152617]
    """
    check_int("count", count, low=0)
    check_int("evaluations", evaluations, low=1)
    check_number("c", c, low=0.0)
    if count == 0:
        return math.inf
    return total / count + c * math.sqrt(math.log(evaluations) / count)


def confidence_bounds(
    mean: float, count: int, trials: int, score_range: tuple[float, float], c: float = 1.0
) -> tuple[float, float]:
    """Lower and upper bound, ``mean -+ c sqrt(ln(T + 1) / n) (high - low)``, clipped to ``[low, high]``.

    Args:
        mean: of the scores.
        count: n, how many, >= 1.
        trials: T, evaluations of all candidates together, >= 0.
        score_range: low and high.
        c: weight of the uncertainty, >= 0.

    Example:
        >>> [round(bound, 4) for bound in confidence_bounds(0.5, 25, 99, (0.0, 1.0))]
        [0.0708, 0.9292]
        >>> confidence_bounds(0.5, 1, 99, (0.0, 1.0))
        (0.0, 1.0)
    """
    check_int("count", count, low=1)
    check_int("trials", trials, low=0)
    check_number("c", c, low=0.0)
    low, high = score_range
    reach = c * math.sqrt(math.log(trials + 1) / count) * (high - low)
    return min(max(mean - reach, low), high), min(max(mean + reach, low), high)


@dataclass(eq=False)
class Candidate:
    """Values of the parameters and what they were worth.

    Attributes:
        number: in the order of creation, 0 for the values that training began with.
        values: by the parameters' names.
        parent: number of the candidate that it was proposed from; None for the first.
        born: the step that made it, 0 for the first.
        total, count: sum and number of its scores.
        failures: rollouts that raised.
        sums: sums of several objectives, by name.
        memory: the optimizer's state, where each candidate has its own.
        picked: how often it was expanded.
    """

    number: int
    values: dict[str, Any]
    parent: int | None = None
    born: int = 0
    total: float = 0.0
    count: int = 0
    failures: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    memory: Any = None
    picked: int = 0

    @property
    def mean(self) -> float | None:
        """Of its scores; None without any."""
        return self.total / self.count if self.count else None

    @property
    def worth(self) -> float:
        """The mean, minus infinity without any score: to compare by."""
        return self.total / self.count if self.count else -math.inf

    @property
    def means(self) -> dict[str, float]:
        """Of several objectives; empty without any score."""
        return {name: total / self.count for name, total in self.sums.items()} if self.count else {}

    def add(self, rollouts: Iterable[Rollout]) -> None:
        """Count rollouts; those without a score only as failures."""
        for rollout in rollouts:
            self.failures += rollout.failed
            if rollout.objectives is not None:
                self.count += 1
                for name, score in rollout.objectives.items():
                    self.sums[name] = self.sums.get(name, 0.0) + score
            elif rollout.score is not None:
                self.count += 1
                self.total += rollout.score

    def forget(self) -> None:
        """Drop all scores."""
        self.total, self.count, self.failures, self.sums = 0.0, 0, 0, {}

    def state(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**vars(self), "values": encode_values(self.values), "sums": dict(self.sums)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Candidate:
        """The inverse of :meth:`state`."""
        return cls(**{**state, "values": decode_values(state["values"]), "sums": dict(state["sums"])})


def encode_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of parameters as JSON can hold them.

    Raises:
        OptimandError: a value that it cannot hold.
    """
    found = {}
    for name, value in values.items():
        try:
            found[name] = encode(value)
        except TypeError as error:
            raise OptimandError(f"parameter {name!r} has a value that training cannot keep: {error}") from None
    return found


def decode_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`encode_values`."""
    return {name: decode(value) for name, value in values.items()}


def key_of(values: Mapping[str, Any]) -> str:
    """A text that is the same exactly for equal values."""
    return json.dumps(encode_values(values), sort_keys=True)


def names_in(agent: Any, optimizer: Any) -> dict[int, str]:
    """Names of the optimizer's parameters by their ids: those that the agent's module has for them, else their own."""
    within = {id(p): name for name, p in agent.named_parameters()} if isinstance(agent, Module) else {}
    bare = {id(p): base_name(p) for p in optimizer.parameters}
    own = {key: name if list(bare.values()).count(name) == 1 else "" for key, name in bare.items()}
    names = {id(p): within.get(id(p)) or own[id(p)] or name_of(p) for p in optimizer.parameters}
    if len(set(names.values())) < len(names):
        return {id(p): name_of(p) for p in optimizer.parameters}
    return names


class CandidateHeap:
    """A priority queue of candidates, of a limited size; ties go to the older one.

    Args:
        size: most candidates kept; None for all.

    Example:
        >>> heap = CandidateHeap(2)
        >>> for number, worth in enumerate((0.1, 0.9, 0.5)):
        ...     _ = heap.push(Candidate(number, {}), worth)
        >>> [candidate.number for candidate in heap.top(5)]
        [1, 2]
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = None if size is None else check_int("size", size, low=1)
        self._heap: list[tuple[float, int, Candidate]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def candidates(self) -> list[Candidate]:
        """All, in the order of their numbers."""
        return sorted((entry[2] for entry in self._heap), key=lambda candidate: candidate.number)

    def push(self, candidate: Candidate, priority: float) -> list[Candidate]:
        """Take a candidate in; those that fall out."""
        heapq.heappush(self._heap, (-priority, candidate.number, candidate))
        return self._shrink()

    def top(self, count: int) -> list[Candidate]:
        """The best, best first."""
        return [entry[2] for entry in heapq.nsmallest(count, self._heap, key=lambda entry: entry[:2])]

    def rank(
        self,
        priority: Callable[[Candidate], float],
        *,
        fresh: Iterable[Candidate] = (),
        keep: Iterable[Candidate] = (),
    ) -> list[Candidate]:
        """Take ``fresh`` in and give all new priorities; those that fall out of the size, which ``keep`` never do."""
        kept = {candidate.number for candidate in keep}
        everything = [*(entry[2] for entry in self._heap), *fresh]
        self._heap = [(-priority(candidate), candidate.number, candidate) for candidate in everything]
        heapq.heapify(self._heap)
        return self._shrink(kept)

    def clear(self) -> list[Candidate]:
        """Take all out."""
        found, self._heap = self.candidates, []
        return found

    def _shrink(self, kept: Iterable[int] = ()) -> list[Candidate]:
        if self.size is None or len(self._heap) <= self.size:
            return []
        ordered = sorted(self._heap, key=lambda entry: (entry[1] not in kept, *entry[:2]))
        self._heap, out = ordered[: self.size], ordered[self.size :]
        heapq.heapify(self._heap)
        return [entry[2] for entry in out]
