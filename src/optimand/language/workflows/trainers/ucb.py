"""UCB search: a buffer of candidates, of which the most promising by an upper confidence bound is improved.

Each step takes the candidate of the highest ``S/n + c sqrt(ln t / n)``, runs it on a batch, which adds to its
statistics, asks the optimizer for a proposal, and evaluates that on a validation batch. A full buffer drops the lowest
bound. In a variant a language model chooses the candidate, with probability ``alpha``.

Reference: trainers of the maintained fork of Trace (arXiv 2406.16218). Differs in that a candidate all of whose runs
failed without a score has the bound minus infinity, where the formula would choose it for ever.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.validation import OptimandError, check_int, check_number
from optimand.language.llm.base import ChatModel, json_format
from optimand.language.llm.secrets import redact
from optimand.language.llm.structured import ReplyError, read_json

from ..optimizers.kinds import plain
from .candidate_trainer import CandidateTrainer
from .candidates import Candidate, key_of, ucb_score
from .rollouts import Agent, mean_score
from .trainer import Run

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer

SELECT = """\
A search improves a program. Below are the candidates found so far, with the mean and the number of their scores, of
which more is better. Choose the one from which the next improvement is to start: prefer high means, but give candidates
with few scores a chance. Reply with one JSON object: {"reasoning": text, "choice": number of the candidate}.
"""


class UCBSearch(CandidateTrainer):
    """Improve the candidate of the highest upper confidence bound.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        buffer_size: candidates kept, >= 2.
        c: weight of the uncertainty, >= 0.
        validation_size: samples that a proposal is evaluated on, drawn anew in each step; None for all.
        selector: a model that chooses instead of the bound, with probability ``alpha``.
        alpha: in [0, 1].
        finalists: with a smaller ``validation_size``, how many candidates of the highest means are compared on all
            of the validation set at the end; 0 for none, and then the highest mean is the best.
        others: ``batch_size, shuffle, show_score, seed`` of ``Trainer``, ``memory`` of ``CandidateTrainer``.

    Until the end the best values are those of the highest mean.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        *CandidateTrainer.SETTINGS,
        "buffer_size",
        "c",
        "validation_size",
        "alpha",
        "finalists",
    )

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        buffer_size: int = 10,
        c: float = 1.0,
        validation_size: int | None = None,
        selector: ChatModel | None = None,
        alpha: float | None = None,
        finalists: int = 3,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        self.buffer_size = check_int("buffer_size", buffer_size, low=2)
        self.c = check_number("c", c, low=0.0)
        self.validation_size = None if validation_size is None else check_int("validation_size", validation_size, low=1)
        if selector is None and alpha:
            raise OptimandError("alpha is the probability that selector= chooses: give a model")
        self.selector = selector
        default = 0.0 if selector is None else 0.3
        self.alpha = default if alpha is None else check_number("alpha", alpha, low=0.0, high=1.0)
        self.finalists = check_int("finalists", finalists, low=0)
        self.buffer: list[Candidate] = []
        self._scored = 0

    def bound(self, candidate: Candidate) -> float:
        """The upper confidence bound of a candidate, at the present number of evaluations."""
        if candidate.count == 0:
            return -math.inf
        return ucb_score(candidate.total, candidate.count, self._scored, self.c)

    def _begin(self, run: Run) -> None:
        super()._begin(run)
        self._scored = 0
        first = self._new(run, self._present(), None)
        self._score(run, first)
        self.buffer = [first]
        self._take(run)

    def _score(self, run: Run, candidate: Candidate) -> None:
        before = candidate.count
        candidate.add(self._compare(run, candidate, self._held(run, self.validation_size)))
        self._scored += candidate.count - before

    def _step(self, run: Run) -> dict[str, Any]:
        chosen, by_model = self._choose(run)
        row: dict[str, Any] = {"chosen": chosen.number, "bound": _finite(self.bound(chosen)), "by_model": by_model}
        rollouts = self._evaluate(run, run.batches.batch(run.step), chosen.values)
        before = chosen.count
        chosen.add(rollouts)
        self._scored += chosen.count - before
        row |= {"train_score": mean_score(rollouts), "failures": sum(rollout.failed for rollout in rollouts)}
        known = {key_of(one.values): one for one in self.buffer}
        for proposal in self._expand(run, chosen, rollouts, 1):
            same = known.get(key_of(proposal.values))
            if same is None:
                self._score(run, proposal)
                self._admit(proposal)
                row |= {"proposed": proposal.number, "score": proposal.mean}
            else:  # known values: more scores for them, and no second place in the buffer
                self._score(run, same)
                row |= {"proposed": same.number, "score": same.mean}
        self._take(run)
        self._set(run.best)
        return {**row, "buffer": [one.number for one in self.buffer]}

    def _admit(self, proposal: Candidate) -> None:
        self.buffer.append(proposal)
        if len(self.buffer) > self.buffer_size:
            # The lowest bound goes; of equal ones the newest.
            self.buffer.remove(min(self.buffer, key=lambda one: (self.bound(one), -one.number)))

    def _choose(self, run: Run) -> tuple[Candidate, bool]:
        if self.selector is not None and len(self.buffer) > 1:
            branch = self._tree.child("select", run.step)
            if branch.numpy().random() < self.alpha:
                found = self._asked(self.selector, branch.integer() % 2**31)
                if found is not None:
                    return found, True
        return max(self.buffer, key=lambda one: (self.bound(one), -one.number)), False

    def _asked(self, selector: ChatModel, seed: int) -> Candidate | None:
        lines = [
            f"{i}. mean {'none' if one.mean is None else f'{one.mean:.6g}'} of {one.count} scores, {one.failures} "
            f"failures: {redact(json.dumps(plain(one.values), ensure_ascii=False))[:2000]}"
            for i, one in enumerate(self.buffer, 1)
        ]
        schema = {
            "type": "object",
            "properties": {
                "reasoning": {"type": "string"},
                "choice": {"type": "integer", "minimum": 1, "maximum": len(self.buffer)},
            },
            "required": ["reasoning", "choice"],
            "additionalProperties": False,
        }
        reply = selector.chat(
            [{"role": "system", "content": SELECT}, {"role": "user", "content": "\n".join(lines)}],
            response_format=json_format(schema, "choice"),
            seed=seed,
            role="ucb.select",
        )
        try:
            return self.buffer[
                read_json(reply.text, {**schema, "required": ["choice"], "additionalProperties": True})["choice"] - 1
            ]
        except ReplyError:
            return None

    def _ranked(self) -> list[Candidate]:
        return sorted(self.buffer, key=lambda one: (-one.worth, -one.count, one.number))

    def _take(self, run: Run) -> None:
        best = self._ranked()[0]
        run.best, run.best_score = dict(best.values), best.mean

    def _finish(self, run: Run) -> tuple[dict[str, Any], float | None]:
        if not self.finalists or self.validation_size is None or self.validation_size >= len(run.held):
            return run.best, run.best_score
        return self._final(run, self._ranked()[: self.finalists], sampled=True)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "buffer": [one.state() for one in self.buffer], "scored": self._scored}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.buffer = [Candidate.of(one) for one in state["buffer"]]
        self._scored = state["scored"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
