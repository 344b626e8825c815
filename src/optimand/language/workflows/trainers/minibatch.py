"""Minibatch training: one step of the optimizer for each batch, from its feedback together or from each instance's.

:class:`Minibatch` puts the outputs and the feedback of a batch into one text each, ``ID [i]: text``, and makes one
backward pass and one step. :class:`AggregatedUpdate` asks for one proposal per instance and then aggregates them, in
one call of a model, or by arithmetic where there is none.

Reference: trainers of the maintained fork of Trace (arXiv 2406.16218). The arithmetic is ours: a number becomes
``(1 - stepsize) present + stepsize mean of the proposals``; what is no number takes the value that most instances
propose, if they are at least a share ``1 - stepsize`` of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number
from optimand.language.llm.base import ChatModel, json_format
from optimand.language.llm.secrets import redact

from ..optimizers.kinds import ValueRejected, plain
from ..optimizers.prompts import suggestion_schema
from ..optimizers.values import convert, name_of, read_suggestion
from .candidates import key_of
from .rollouts import Agent, Rollout, batchify, check_traced, mean_score
from .trainer import Run, Trainer

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer


class Minibatch(Trainer):
    """One backward pass and one step for each batch.

    Args:
        agent, optimizer: see :class:`Trainer <optimand.language.workflows.trainers.trainer.Trainer>`.
        ensure_improvement: run the batch again with the changed values and take the change back where
            ``score <= score before - threshold``.
        threshold: >= 0; with 0 the score must rise.
        validate_every: steps between two looks at the validation set, >= 1.
        others: ``batch_size, shuffle, show_score, seed`` of ``Trainer``.

    The best values are those of the highest score on the validation set; without one, on the batches if these are the
    whole data set, since scores on different samples cannot be compared; else the last ones.

    Example:
        >>> from optimand.language.workflows import HeuristicProposer, node
        >>> from optimand.language.workflows.trainers import numeric_tolerance
        >>> x = node(0.0, name="x", trainable=True, minimum=-8, maximum=8)
        >>> trainer = Minibatch(lambda query: 3 - x * query, HeuristicProposer([x]))
        >>> result = trainer.train(numeric_tolerance(absolute=1e-3), [(2, 5.5)], steps=20)
        >>> round(x.data, 3), result.best_score
        (-1.25, 1.0)
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*Trainer.SETTINGS, "ensure_improvement", "threshold", "validate_every")

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        ensure_improvement: bool = False,
        threshold: float = 0.0,
        validate_every: int = 1,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        self.ensure_improvement = bool(ensure_improvement)
        self.threshold = check_number("threshold", threshold, low=0.0)
        self.validate_every = check_int("validate_every", validate_every, low=1)

    def _begin(self, run: Run) -> None:
        self._validate(run)

    def _validate(self, run: Run) -> float | None:
        if run.validation is None:
            return None
        rollouts = self._evaluate(run, run.validation)
        score = mean_score(rollouts)
        self._tell(self._present(), rollouts)
        self._consider(run, self._present(), score)
        return score

    def _step(self, run: Run) -> dict[str, Any]:
        batch = run.batches.batch(run.step)
        before = self._present()
        rollouts = self._evaluate(run, batch)
        score = mean_score(rollouts)
        comparable = run.validation is None and run.batches.whole
        if comparable:
            self._consider(run, before, score)
        row: dict[str, Any] = {"train_score": score, "failures": sum(rollout.failed for rollout in rollouts)}
        proposed = self._learned(rollouts)
        changed = key_of(proposed) != key_of(before)
        kept = changed
        if changed:
            differing = _differing(proposed, before)
            parameters = {self.names[id(parameter)]: parameter for parameter in self.optimizer.parameters}
            self.optimizer.update({parameters[name]: proposed[name] for name in differing})
            if self.ensure_improvement:
                rollouts = self._evaluate(run, batch)
                again = mean_score(rollouts)
                self._tell(self._present(), rollouts)
                row["new_score"] = again
                kept = _worth(again) > _worth(score) - self.threshold
                if not kept:
                    self._set(before)
                elif comparable:
                    self._consider(run, self._present(), again)
        row |= {"changed": changed, "accepted": kept}
        if (run.step + 1) % self.validate_every == 0 or run.step + 1 == run.steps:
            row["score"] = self._validate(run)
        if run.validation is None and not run.batches.whole:
            run.best = self._present()
        return row

    def _learned(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        """The values that the optimizer wants after a batch."""
        found = self._proposals(rollouts)
        return found[0] if found else self._present()


AGGREGATE = """\
You are given the present values of the variables of a program, and several suggestions for them. Each suggestion comes
from one run of the program on one input, and knows nothing of the others. Write one suggestion that serves all inputs:
keep what the suggestions have in common, and leave out what would help only one of them. Weigh the suggestions by
{stepsize:g} and the present values by {rest:g}: 0 means to keep a value, 1 to follow the suggestions entirely.
Reply with one JSON object: {{"reasoning": text, "suggestion": {{name: value for every variable}}}}, and nothing else.
"""


class AggregatedUpdate(Minibatch):
    """One proposal for each instance of a batch, then one aggregation.

    Args:
        agent, optimizer: see :class:`Minibatch`.
        stepsize: confidence in the proposals, in [0, 1]; 1 - stepsize is that in the present values.
        how: ``chat`` asks a model to aggregate, in one call; ``arithmetic`` needs none; None for ``chat`` if there is a
            model, else ``arithmetic``.
        chat: the model; None for the optimizer's, if it has one.
        max_tokens: of the call's reply, >= 1.
        others: as of :class:`Minibatch`.

    A batch without two different proposals needs no aggregation by a model, and makes no call for it.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*Minibatch.SETTINGS, "stepsize", "how")

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        stepsize: float = 0.5,
        how: str | None = None,
        chat: ChatModel | None = None,
        max_tokens: int = 4096,
        **others: Any,
    ) -> None:
        super().__init__(agent, optimizer, **others)
        self.stepsize = check_number("stepsize", stepsize, low=0.0, high=1.0)
        self.chat: ChatModel | None = getattr(optimizer, "chat", None) if chat is None else chat
        default = "arithmetic" if self.chat is None else "chat"
        self.how: str = default if how is None else check_choice("how", how, ("chat", "arithmetic"))
        if self.how == "chat" and self.chat is None:
            raise OptimandError("how='chat' needs a model: give chat=..., or an optimizer that has one")
        self.max_tokens = check_int("max_tokens", max_tokens, low=1)

    def _learned(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        check_traced(rollouts)
        present = self._present()
        proposals = []
        for rollout in rollouts:
            target, told = batchify([rollout], show_score=self.show_score)
            self.optimizer.zero_feedback()
            self.optimizer.backward(target, told)
            proposals.append({**present, **self._named_values(self.optimizer.propose())})
        self.optimizer.zero_feedback()
        if all(key_of(proposal) == key_of(present) for proposal in proposals):
            return present
        if self.how == "arithmetic":
            return self._by_arithmetic(present, proposals)
        if len({key_of(proposal) for proposal in proposals}) == 1:
            return proposals[0]
        return self._by_chat(present, proposals)

    def _by_arithmetic(self, present: Mapping[str, Any], proposals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found = dict(present)
        for parameter in self.optimizer.trainable:
            name = self.names[id(parameter)]
            suggested = [proposal[name] for proposal in proposals]
            if parameter.choices is None and all(map(_is_number, (present[name], *suggested))):
                middle = np.mean([np.asarray(value, dtype=float) for value in suggested], axis=0)
                value: Any = (1 - self.stepsize) * np.asarray(present[name], dtype=float) + self.stepsize * middle
                value = value if isinstance(present[name], np.ndarray) else float(value)
                try:
                    found[name] = convert(value, parameter, policy="round")
                except ValueRejected:
                    continue
            else:
                found[name] = _voted(present[name], suggested, 1 - self.stepsize)
        return found

    def _by_chat(self, present: Mapping[str, Any], proposals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        assert self.chat is not None
        variables = self.optimizer.trainable
        asked = {name_of(parameter): self.names[id(parameter)] for parameter in variables}
        lines = [f"Present values: {_shown(present, asked)}"]
        lines += [f"Suggestion {i}: {_shown(proposal, asked)}" for i, proposal in enumerate(proposals)]
        lines += [f"Constraint on {name_of(p)}: {redact(p.constraint)}" for p in variables if p.constraint]
        schema = suggestion_schema(variables)
        reply = self.chat.chat(
            [
                {"role": "system", "content": AGGREGATE.format(stepsize=self.stepsize, rest=1 - self.stepsize)},
                {"role": "user", "content": "\n".join([*lines, "Your reply:"])},
            ],
            response_format=json_format(schema, "suggestion"),
            max_tokens=self.max_tokens,
            seed=self._tree.child("aggregate", self.optimizer.steps).integer() % 2**31,
            role="aggregate.step",
        )
        said = read_suggestion(reply.text, variables).values
        return {**present, **{asked[name]: value for name, value in said.items()}}


def _shown(values: Mapping[str, Any], asked: Mapping[str, str]) -> str:
    """Values under the names that a model is told."""
    return redact(json.dumps({told: plain(values[name]) for told, name in asked.items()}, ensure_ascii=False))


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iuf"
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _voted(present: Any, suggested: Sequence[Any], share: float) -> Any:
    """The value that most suggest, the present one where they are fewer than ``share``; ties to the first."""
    changed = [value for value in suggested if key_of({"": value}) != key_of({"": present})]
    if not changed:
        return present
    keys = [key_of({"": value}) for value in changed]
    most = max(keys, key=lambda key: (keys.count(key), -keys.index(key)))
    return changed[keys.index(most)] if keys.count(most) >= share * len(suggested) else present


def _differing(values: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    return [name for name in values if key_of({"": values[name]}) != key_of({"": others[name]})]


def _worth(score: float | None) -> float:
    return -math.inf if score is None else score
