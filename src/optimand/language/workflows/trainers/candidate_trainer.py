"""What the searches share: candidates with states of the optimizer, and a last comparison of the best of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.validation import check_choice

from .candidates import Candidate
from .rollouts import Agent, Rollout
from .samples import Sample
from .trainer import Run, Trainer

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer


class CandidateTrainer(Trainer):
    """Base of the trainers that keep several candidates.

    Args:
        memory: ``shared``: the optimizer remembers what it saw of all candidates; ``own``: each candidate goes on from
            the optimizer's state when it was proposed.
        others: as of :class:`Trainer`.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*Trainer.SETTINGS, "memory")

    def __init__(self, agent: Agent, optimizer: Optimizer, *, memory: str = "shared", **others: Any) -> None:
        super().__init__(agent, optimizer, **others)
        self.memory: str = check_choice("memory", memory, ("shared", "own"))
        self._made = 0

    def _begin(self, run: Run) -> None:
        self._made = 0

    def _new(self, run: Run, values: Mapping[str, Any], parent: Candidate | None) -> Candidate:
        self._made += 1
        state = self.optimizer.state_dict() if self.memory == "own" else None
        born = 0 if parent is None else run.step + 1
        return Candidate(self._made - 1, dict(values), None if parent is None else parent.number, born, memory=state)

    def _expand(
        self, run: Run, candidate: Candidate, rollouts: Sequence[Rollout], count: int, extra: str = ""
    ) -> list[Candidate]:
        """Proposals from a candidate, whose rollouts are given, as candidates."""
        self._set(candidate.values)
        self._recall(candidate)
        found = [self._new(run, values, candidate) for values in self._proposals(rollouts, count, extra)]
        if self.memory == "own":
            candidate.memory = self.optimizer.state_dict()
        candidate.picked += 1
        return found

    def _compare(self, run: Run, candidate: Candidate, samples: Sequence[Sample]) -> list[Rollout]:
        """A candidate's rollouts on the samples of a comparison, of which the optimizer is told, too."""
        found = self._evaluate(run, samples, candidate.values)
        if callable(getattr(self.optimizer, "observe", None)):
            self._recall(candidate)
            self._tell(candidate.values, found)
            if self.memory == "own":
                candidate.memory = self.optimizer.state_dict()
        return found

    def _recall(self, candidate: Candidate) -> None:
        """Put the optimizer into the candidate's state, where each has one."""
        if self.memory == "own":
            self.optimizer.load_state_dict(json.loads(json.dumps(candidate.memory)))

    def _final(
        self, run: Run, contenders: Sequence[Candidate], *, sampled: bool
    ) -> tuple[dict[str, Any], float | None]:
        """The best of the contenders; compared on all samples where the steps have seen only some of them."""
        found = []
        for candidate in contenders:
            fresh = Candidate(candidate.number, candidate.values, total=candidate.total, count=candidate.count)
            if sampled:
                fresh.forget()
                fresh.add(self._evaluate(run, run.held, candidate.values))
            found.append(fresh)
        best = max(found, key=lambda candidate: (candidate.worth, -candidate.number))
        return best.values, best.mean

    def _state(self) -> dict[str, Any]:
        return {"made": self._made}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._made = state["made"]
