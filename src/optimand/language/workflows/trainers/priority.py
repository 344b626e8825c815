"""Priority search: a queue of candidates, of which several are expanded on several batches in each step.

A step takes the best candidate and the ``num_candidates`` of the highest exploration priority, draws ``num_batches``
batches, and asks the optimizer ``num_proposals`` times for each candidate and batch; the proposals are validated and
join the queue. Priorities are the mean, or a confidence bound (``confidence_bounds``). With a short memory, proposals
wait apart for some steps, and exploration is among them, before they are merged into the long memory.

Reference: trainers of the maintained fork of Trace (arXiv 2406.16218). The regressor's form is ours: whatever predicts
scores from values takes the place of the means in exploration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from optimand.core.validation import check_choice, check_int, check_number

from .candidate_trainer import CandidateTrainer
from .candidates import Candidate, CandidateHeap, confidence_bounds, key_of
from .rollouts import Agent, Rollout, mean_score
from .samples import Batches, drawn
from .trainer import Run

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer

PRIORITIES = ("mean", "ucb", "lcb")


class ScoreRegressor(Protocol):
    """Predicts scores from values, so that what many candidates have in common tells on each of them."""

    def fit(self, values: Sequence[Mapping[str, Any]], scores: Sequence[float], counts: Sequence[int]) -> Any:
        """Learn from all candidates with scores: their values, mean scores and numbers of scores."""

    def predict(self, values: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """A score for each."""


class PrioritySearch(CandidateTrainer):
    """Expand the best and the most promising candidates of a priority queue.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        num_candidates: candidates expanded in a step besides the best one, >= 1.
        num_batches: batches of ``batch_size`` samples drawn in a step, >= 1; all candidates run on the same ones.
        num_proposals: proposals for each candidate and batch, >= 1.
        explore: priority of exploration: ``mean``, ``ucb`` or ``lcb``.
        exploit: priority of the best candidate, of the same names.
        c: weight of the uncertainty in the bounds, >= 0.
        score_range: low and high of the scores, for the bounds; None for the range seen.
        validation_size: samples of the validation set that proposals are run on; None for all. Without a validation set
            they run on the step's batches, and the runs of the expanded candidates count as scores, too.
        revalidate: with a validation set, run the expanded candidates on it as well.
        long_memory: most candidates kept; None for all.
        merge_every: steps that proposals stay in the short memory before they are merged into the long one; 0 for no
            short memory, None for no long one.
        short_memory: most candidates in the short memory; None for all.
        finalists: where steps see only some of the samples, how many candidates of the highest means are compared on
            all of them at the end; 0 for none, and then the best is that by ``exploit``.
        regressor: a :class:`ScoreRegressor`, whose predictions take the place of the means in exploration.
        others: ``batch_size, shuffle, show_score, seed`` of ``Trainer``, ``memory`` of ``CandidateTrainer``.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        *CandidateTrainer.SETTINGS,
        *("num_candidates", "num_batches", "num_proposals", "explore", "exploit", "c", "score_range"),
        *("validation_size", "revalidate", "long_memory", "merge_every", "short_memory", "finalists"),
    )

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        num_candidates: int = 10,
        num_batches: int = 1,
        num_proposals: int = 1,
        explore: str = "mean",
        exploit: str = "mean",
        c: float = 1.0,
        score_range: tuple[float, float] | None = None,
        validation_size: int | None = None,
        revalidate: bool = False,
        long_memory: int | None = None,
        merge_every: int | None = 0,
        short_memory: int | None = None,
        finalists: int = 3,
        regressor: ScoreRegressor | None = None,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        self.num_candidates = check_int("num_candidates", num_candidates, low=1)
        self.num_batches = check_int("num_batches", num_batches, low=1)
        self.num_proposals = check_int("num_proposals", num_proposals, low=1)
        self.explore: str = check_choice("explore", explore, PRIORITIES)
        self.exploit: str = check_choice("exploit", exploit, PRIORITIES)
        self.c = check_number("c", c, low=0.0)
        self.score_range = None if score_range is None else _range(score_range)
        self.validation_size = None if validation_size is None else check_int("validation_size", validation_size, low=1)
        self.revalidate = bool(revalidate)
        self.long_memory = None if long_memory is None else check_int("long_memory", long_memory, low=1)
        self.merge_every = None if merge_every is None else check_int("merge_every", merge_every, low=0)
        self.short_memory = None if short_memory is None else check_int("short_memory", short_memory, low=1)
        self.finalists = check_int("finalists", finalists, low=0)
        if regressor is not None and not (hasattr(regressor, "fit") and hasattr(regressor, "predict")):
            raise TypeError(f"regressor must have fit and predict, got {regressor!r:.60} ({type(regressor).__name__})")
        self.regressor = regressor
        self.long, self.short = CandidateHeap(self.long_memory), CandidateHeap(self.short_memory)
        self._trials = 0
        self._seen: list[float] = []
        self._predicted: dict[int, float] = {}

    def priority(self, candidate: Candidate, kind: str | None = None) -> float:
        """A candidate's priority.

        Args:
            candidate: one without a score has minus infinity.
            kind: ``mean``, ``ucb`` or ``lcb``; None for that of exploration, with the regressor's prediction.
        """
        if candidate.count == 0:
            return -math.inf
        mean = candidate.worth
        if kind is None:
            kind, mean = self.explore, self._predicted.get(candidate.number, mean)
        if kind == "mean":
            return mean
        low, high = confidence_bounds(mean, candidate.count, self._trials, self._bounds(), self.c)
        return high if kind == "ucb" else low

    def _bounds(self) -> tuple[float, float]:
        if self.score_range is not None:
            return self.score_range
        return (self._seen[0], self._seen[1]) if self._seen else (0.0, 1.0)

    def _steps(self, batches: Batches, epochs: int) -> int:
        return -(-batches.per_epoch * epochs // self.num_batches)

    def _begin(self, run: Run) -> None:
        super()._begin(run)
        self.long, self.short = CandidateHeap(self.long_memory), CandidateHeap(self.short_memory)
        self._trials, self._seen, self._predicted = 0, [], {}
        first = self._new(run, self._present(), None)
        samples = drawn(run.held, self.validation_size, self._tree.child("validation", "first"))
        self._score(first, self._compare(run, first, samples))
        (self.short if self.merge_every is None else self.long).push(first, self.priority(first))
        self._best = first
        self._take(run)

    def _score(self, candidate: Candidate, rollouts: Sequence[Rollout]) -> None:
        before = candidate.count
        candidate.add(rollouts)
        self._trials += candidate.count - before
        scores = [rollout.score for rollout in rollouts if rollout.score is not None]
        if scores:
            self._seen = [min([*self._seen[:1], *scores]), max([*self._seen[1:], *scores])]

    def _step(self, run: Run) -> dict[str, Any]:
        explored = self._explored()
        first = run.step * self.num_batches
        batches = [run.batches.batch(first + i) for i in range(self.num_batches)]
        samples = [sample for batch in batches for sample in batch]
        scored = run.validation is None
        found: dict[str, Candidate] = {}
        trained: list[Rollout] = []
        for candidate in explored:
            rollouts = self._evaluate(run, samples, candidate.values)
            trained += rollouts
            place = 0
            for batch in batches:
                part = rollouts[place : place + len(batch)]
                place += len(batch)
                for proposal in self._expand(run, candidate, part, self.num_proposals):
                    found.setdefault(key_of(proposal.values), proposal)
            if scored:
                self._score(candidate, rollouts)
        held = samples if scored else self._held(run, self.validation_size)
        known = {key_of(one.values) for one in (*self.long.candidates, *self.short.candidates)}
        fresh = [one for key, one in found.items() if key not in known]
        again = [] if scored or not self.revalidate else explored
        for candidate in (*fresh, *again):
            self._score(candidate, self._compare(run, candidate, held))
        self._file(run, fresh)
        self._take(run)
        self._set(run.best)
        return {
            "train_score": mean_score(trained),
            "failures": sum(rollout.failed for rollout in trained),
            "score": max((one.mean for one in fresh if one.mean is not None), default=None),
            "explored": [one.number for one in explored],
            "proposals": len(fresh),
            "long": len(self.long),
            "short": len(self.short),
        }

    def _explored(self) -> list[Candidate]:
        """The best candidate and the most promising others, of the short memory if there is one with candidates."""
        heap = self.short if len(self.short) else self.long
        others = [one for one in heap.top(self.num_candidates + 1) if one is not self._best]
        return [self._best, *others[: self.num_candidates]]

    def _file(self, run: Run, fresh: Sequence[Candidate]) -> None:
        """Put proposals into the memory that takes them, merge if it is time, and rank anew."""
        everything = [*self.long.candidates, *self.short.candidates, *fresh]
        self._learn(everything)
        self._best = self._best_of([self._best, *everything])
        merging = self.merge_every == 0 or (self.merge_every and (run.step + 1) % self.merge_every == 0)
        waiting = [*self.short.clear(), *fresh]
        self.long.rank(self.priority, fresh=waiting if merging else (), keep=[self._best])
        self.short.rank(self.priority, fresh=() if merging else waiting, keep=[self._best])

    def _learn(self, candidates: Sequence[Candidate]) -> None:
        if self.regressor is None:
            return
        scored = [one for one in {one.number: one for one in candidates}.values() if one.count]
        if scored:
            values = [one.values for one in scored]
            self.regressor.fit(values, [one.worth for one in scored], [one.count for one in scored])
            said = [check_number("the regressor's prediction", score) for score in self.regressor.predict(values)]
            low, high = self._bounds()
            self._predicted = {one.number: min(max(score, low), high) for one, score in zip(scored, said, strict=True)}

    def _best_of(self, candidates: Sequence[Candidate]) -> Candidate:
        return max(candidates, key=lambda one: (self.priority(one, self.exploit), -one.number))

    def _take(self, run: Run) -> None:
        run.best, run.best_score = dict(self._best.values), self._best.mean

    def _finish(self, run: Run) -> tuple[dict[str, Any], float | None]:
        seen = self.batch_size * self.num_batches if run.validation is None else self.validation_size
        if not self.finalists or seen is None or seen >= len(run.held):
            return run.best, run.best_score
        known = {one.number: one for one in (self._best, *self.long.candidates, *self.short.candidates)}
        ranked = sorted(known.values(), key=lambda one: (-one.worth, -one.count, one.number))
        return self._final(run, ranked[: self.finalists], sampled=True)

    def _state(self) -> dict[str, Any]:
        return {
            **super()._state(),
            "best": self._best.state(),
            "long": [one.state() for one in self.long.candidates],
            "short": [one.state() for one in self.short.candidates],
            "trials": self._trials,
            "seen": self._seen,
            "predicted": [[number, score] for number, score in sorted(self._predicted.items())],
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._best = Candidate.of(state["best"])
        self._trials, self._seen, self._predicted = state["trials"], list(state["seen"]), dict(state["predicted"])
        self.long, self.short = CandidateHeap(self.long_memory), CandidateHeap(self.short_memory)
        held = []
        for heap, name in ((self.long, "long"), (self.short, "short")):
            for one in state[name]:
                candidate = Candidate.of(one)
                candidate = self._best if candidate.number == self._best.number else candidate
                held.append((heap, candidate))
        for heap, candidate in held:
            heap.push(candidate, self.priority(candidate))


def _range(given: Any) -> tuple[float, float]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"score_range must be (low, high), got {given!r:.60}")
    low, high = (check_number("score_range", value) for value in given)
    if low >= high:
        raise ValueError(f"score_range must be (low, high) with low < high, got {given!r}")
    return low, high
