"""Searches that compare proposals on a validation set: the best of several, and a beam.

Reference: trainers of the maintained fork of Trace (arXiv 2406.16218): basic search keeps the best of ``num_proposals``
and the present values; beam search expands each of ``width`` candidates and keeps the best of old and new ones. The
variant with history lists earlier candidates and their means in the feedback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.validation import check_int
from optimand.language.llm.secrets import redact

from ..optimizers.kinds import plain
from .candidate_trainer import CandidateTrainer
from .candidates import Candidate, key_of
from .rollouts import Agent, mean_score
from .samples import Batches
from .trainer import Run

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer


class ValidatedTrainer(CandidateTrainer):
    """Base of the trainers that compare candidates on the same samples in each step.

    Args:
        num_proposals: proposals from a batch, >= 1.
        validation_size: samples of the validation set drawn in each step; None for all, and then a candidate is
            evaluated only once.
        others: as of :class:`CandidateTrainer`.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*CandidateTrainer.SETTINGS, "num_proposals", "validation_size")

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        num_proposals: int = 4,
        validation_size: int | None = None,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        self.num_proposals = check_int("num_proposals", num_proposals, low=1)
        self.validation_size = None if validation_size is None else check_int("validation_size", validation_size, low=1)

    def _sampled(self, run: Run) -> bool:
        return self.validation_size is not None and self.validation_size < len(run.held)

    def _measure(self, run: Run, candidates: Sequence[Candidate]) -> None:
        """Score candidates on this step's samples; a candidate that has seen all of them is not run again."""
        samples = self._held(run, self.validation_size)
        for candidate in candidates:
            if self._sampled(run):
                candidate.forget()
            if candidate.count + candidate.failures == 0:
                candidate.add(self._compare(run, candidate, samples))


class BasicSearch(ValidatedTrainer):
    """Keep the best of several proposals and the present values, in each step.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        num_proposals: proposals of a step, >= 1; each asks the optimizer once.
        validation_size: see :class:`ValidatedTrainer`.
        others: ``batch_size, shuffle, show_score, seed`` of ``Trainer``, ``memory`` of ``CandidateTrainer``.

    Ties go to the present values, then to the earlier proposal. A proposal that equals another, or the present values,
    is not evaluated.
    """

    def _begin(self, run: Run) -> None:
        super()._begin(run)
        self._current = self._new(run, self._present(), None)
        self._measure(run, [self._current])
        self._take(run)

    def _step(self, run: Run) -> dict[str, Any]:
        rollouts = self._evaluate(run, run.batches.batch(run.step), self._current.values)
        found = self._expand(run, self._current, rollouts, self.num_proposals)
        contenders = [self._current, *found]
        self._measure(run, contenders)
        self._current = max(contenders, key=lambda candidate: (candidate.worth, -candidate.number))
        self._take(run)
        self._set(self._current.values)
        return {
            "train_score": mean_score(rollouts),
            "failures": sum(rollout.failed for rollout in rollouts),
            "score": self._current.mean,
            "proposals": len(found),
            "proposed": [candidate.mean for candidate in found],
            "accepted": self._current is not contenders[0],
        }

    def _take(self, run: Run) -> None:
        run.best, run.best_score = dict(self._current.values), self._current.mean

    def _finish(self, run: Run) -> tuple[dict[str, Any], float | None]:
        return self._final(run, [self._current], sampled=self._sampled(run))

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "current": self._current.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._current = Candidate.of(state["current"])


class BeamSearch(ValidatedTrainer):
    """Expand each candidate of a beam and keep the best of old and new ones.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        width: candidates in the beam, >= 1.
        depth: steps, unless ``train`` is given a number of steps; None for those of its epochs.
        num_proposals: proposals from each candidate, >= 1.
        history: how many earlier candidates, the best and of equal ones the last, the feedback lists with their means;
            0 for the plain search.
        validation_size: see :class:`ValidatedTrainer`.
        others: as of :class:`BasicSearch`.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*ValidatedTrainer.SETTINGS, "width", "history")

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        width: int = 3,
        depth: int | None = None,
        num_proposals: int = 2,
        history: int = 0,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, num_proposals=num_proposals, **others)
        self.width = check_int("width", width, low=1)
        self.depth = None if depth is None else check_int("depth", depth, low=1)
        self.history = check_int("history", history, low=0)
        self.beam: list[Candidate] = []
        self._past: list[dict[str, Any]] = []

    def _steps(self, batches: Batches, epochs: int) -> int:
        return super()._steps(batches, epochs) if self.depth is None else self.depth

    def _begin(self, run: Run) -> None:
        super()._begin(run)
        first = self._new(run, self._present(), None)
        self._past = []
        self._keep(run, [first], [first])

    def _step(self, run: Run) -> dict[str, Any]:
        batch = run.batches.batch(run.step)
        extra = self._told()
        known = {key_of(candidate.values) for candidate in self.beam}
        distinct: dict[str, Candidate] = {}
        scores, failures = [], 0
        for candidate in self.beam:
            rollouts = self._evaluate(run, batch, candidate.values)
            scores.append(mean_score(rollouts))
            failures += sum(rollout.failed for rollout in rollouts)
            for proposal in self._expand(run, candidate, rollouts, self.num_proposals, extra):
                if key_of(proposal.values) not in known:
                    distinct.setdefault(key_of(proposal.values), proposal)
        found = list(distinct.values())
        self._keep(run, [*self.beam, *found], found)
        self._set(self.beam[0].values)
        return {
            "train_score": max((score for score in scores if score is not None), default=None),
            "failures": failures,
            "score": self.beam[0].mean,
            "proposals": len(found),
            "beam": [candidate.number for candidate in self.beam],
        }

    def _keep(self, run: Run, contenders: Sequence[Candidate], fresh: Sequence[Candidate]) -> None:
        """Make the beam of the best, by a full sort."""
        self._measure(run, contenders)
        if self.history:
            entries = [{"values": plain(one.values), "mean": one.mean} for one in fresh]
            listed = sorted([*self._past, *entries], key=lambda entry: (entry["mean"] is None, -(entry["mean"] or 0.0)))
            self._past = listed[: self.history]
        self.beam = sorted(contenders, key=lambda candidate: (-candidate.worth, candidate.number))[: self.width]
        run.best, run.best_score = dict(self.beam[0].values), self.beam[0].mean

    def _told(self) -> str:
        if not self._past:
            return ""
        lines = [
            f"{json.dumps(entry['values'], ensure_ascii=False)} -> "
            + ("failed" if entry["mean"] is None else f"{entry['mean']:.10g}")
            for entry in self._past
        ]
        return "Tried before, with what each reached (more is better):\n" + redact("\n".join(lines))

    def _finish(self, run: Run) -> tuple[dict[str, Any], float | None]:
        return self._final(run, self.beam, sampled=self._sampled(run))

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "beam": [one.state() for one in self.beam], "past": self._past}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.beam = [Candidate.of(one) for one in state["beam"]]
        self._past = list(state["past"])
