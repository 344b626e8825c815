"""Search with several objectives: a pool of candidates that no other beats in all of them.

A selection of our own: the sources of Trace (arXiv 2406.16218) have one score. Keeping the whole front and improving
its members in turn is how GEPA (arXiv 2507.19457) keeps candidates that are best somewhere.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.validation import OptimandError, check_choice, check_int, check_number, suggest

from .candidates import Candidate, encode_values, key_of
from .pareto import contributions, nondominated
from .rollouts import Agent, Rollout, mean_score
from .search import ValidatedTrainer
from .trainer import Run

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer

SELECTIONS = ("weighted", "hypervolume")


class ParetoSearch(ValidatedTrainer):
    """Improve the members of a pool of candidates that no other beats.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        objectives: names of the scores, all of which the guide gives as a mapping; larger is better.
        selection: which member a step improves. ``weighted``: the best by weights that are drawn anew in each step,
            evenly from all that sum to 1; ``hypervolume``: that of the largest share of the pool's hypervolume, divided
            by one more than how often it was improved before.
        weights: by objective, of the one score that the optimizer is told with ``hypervolume``, and by which ``best``
            is chosen from the front; None for equal ones.
        reference: worst scores by objective, from which the hypervolume is measured; None for the worst seen.
        pool_size: most members, >= 2; the smallest share of the hypervolume drops out.
        num_proposals, validation_size: see :class:`ValidatedTrainer`.
        others: as of :class:`BasicSearch`.

    ``result.front`` holds the members with their mean scores.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        *ValidatedTrainer.SETTINGS,
        *("objectives", "selection", "weights", "reference", "pool_size"),
    )

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        objectives: Sequence[str],
        selection: str = "weighted",
        weights: Mapping[str, float] | None = None,
        reference: Mapping[str, float] | None = None,
        pool_size: int = 20,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        if isinstance(objectives, str) or len(set(objectives)) != len(objectives) or len(objectives) < 2:
            raise OptimandError(f"objectives must be at least two different names, got {objectives!r:.80}")
        self.objectives = tuple(objectives)
        self.selection: str = check_choice("selection", selection, SELECTIONS)
        equal = dict.fromkeys(self.objectives, 1.0 / len(self.objectives))
        self.weights = equal if weights is None else self._named("weights", weights, low=0.0)
        self.reference = None if reference is None else self._named("reference", reference)
        self.pool_size = check_int("pool_size", pool_size, low=2)
        self.pool: list[Candidate] = []
        self._worst: dict[str, float] = {}

    def _named(self, name: str, given: Mapping[str, float], low: float = float("-inf")) -> dict[str, float]:
        for key in given:
            if key not in self.objectives:
                raise OptimandError(f"{name} has no objective {key!r}{suggest(str(key), self.objectives)}")
        missing = [key for key in self.objectives if key not in given]
        if missing:
            raise OptimandError(f"{name} lacks {', '.join(map(repr, missing))}")
        return {key: check_number(f"{name}[{key!r}]", given[key], low=low) for key in self.objectives}

    def _begin(self, run: Run) -> None:
        super()._begin(run)
        first = self._new(run, self._present(), None)
        self._worst = {}
        self.pool = []
        self._merge(run, [first])
        if not self.pool:
            raise OptimandError(
                "the first values got no scores on any sample: give min_score= a number, so that failures count"
            )

    def _step(self, run: Run) -> dict[str, Any]:
        weights, chosen = self._choose(run)
        rollouts = self._evaluate(run, run.batches.batch(run.step), chosen.values)
        told = [_one_score(rollout, weights) for rollout in rollouts]
        found = self._expand(run, chosen, told, self.num_proposals)
        self._merge(run, found)
        self._set(run.best)
        return {
            "train_score": mean_score(told),
            "failures": sum(rollout.failed for rollout in rollouts),
            "chosen": chosen.number,
            "proposals": len(found),
            "pool": [one.number for one in self.pool],
            "weights": weights,
        }

    def _choose(self, run: Run) -> tuple[dict[str, float], Candidate]:
        if self.selection == "weighted":
            drawn = self._tree.child("weights", run.step).numpy().dirichlet([1.0] * len(self.objectives))
            weights = dict(zip(self.objectives, drawn.tolist(), strict=True))
            return weights, max(self.pool, key=lambda one: (_weighted(one.means, weights), -one.number))
        shares = contributions([self._point(one) for one in self.pool], self._corner())
        places = range(len(self.pool))
        place = max(places, key=lambda i: (shares[i] / (1 + self.pool[i].picked), -self.pool[i].number))
        return dict(self.weights), self.pool[place]

    def _merge(self, run: Run, fresh: Sequence[Candidate]) -> None:
        """Take in what is not beaten, and throw out what is."""
        known = {key_of(one.values) for one in self.pool}
        contenders = [*self.pool, *(one for one in fresh if key_of(one.values) not in known)]
        self._measure(run, contenders)
        contenders = [one for one in contenders if one.count]
        for one in contenders:
            for name, mean in one.means.items():
                self._worst[name] = min(mean, self._worst.get(name, mean))
        self.pool = [contenders[i] for i in nondominated([self._point(one) for one in contenders])]
        while len(self.pool) > self.pool_size:
            shares = contributions([self._point(one) for one in self.pool], self._corner())
            del self.pool[min(range(len(self.pool)), key=lambda i: (shares[i], -self.pool[i].number))]
        if self.pool:
            best = max(self.pool, key=lambda one: (_weighted(one.means, self.weights), -one.number))
            run.best, run.best_score = dict(best.values), _weighted(best.means, self.weights)

    def _point(self, candidate: Candidate) -> tuple[float, ...]:
        means = candidate.means
        return tuple(means[name] for name in self.objectives)

    def _corner(self) -> tuple[float, ...]:
        """The reference; that of the worst seen is a little lower, so that the ends of the front count as well."""
        if self.reference is not None:
            return tuple(self.reference.values())
        tops = [max(self._point(one)[i] for one in self.pool) for i in range(len(self.objectives))]
        lows = [self._worst[name] for name in self.objectives]
        return tuple(low - 0.1 * ((top - low) or 1.0) for low, top in zip(lows, tops, strict=True))

    def _front(self) -> tuple[Mapping[str, Any], ...]:
        return tuple({"values": dict(one.values), "scores": one.means} for one in self.pool)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "pool": [one.state() for one in self.pool], "worst": self._worst}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.pool = [Candidate.of(one) for one in state["pool"]]
        self._worst = dict(state["worst"])


def _weighted(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights[name] * scores[name] for name in weights)


def _one_score(rollout: Rollout, weights: Mapping[str, float]) -> Rollout:
    """A rollout with one score, and with its scores by name in the feedback."""
    if rollout.objectives is None:
        return rollout
    named = json.dumps(encode_values(rollout.objectives))
    told = "" if rollout.feedback is None else str(rollout.feedback)
    score = _weighted(rollout.objectives, weights)
    return dataclasses.replace(rollout, score=score, feedback=f"{told}\nscores by objective: {named}".strip())
