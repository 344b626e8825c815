"""OptoPrime with several candidates a step: ways to make them differ, and ways to choose.

The ways are those of the maintained fork of Trace's implementation (arXiv 2406.16218 describes one candidate).
Candidates are compared by the values that they lead to, not by their wording: the vote of ``majority`` is on
parameters, so two replies that reason differently and agree in their values count as the same. ``score`` is ours:
candidates are tried out, and the best one is taken.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_choice, check_int, check_number
from optimand.language.llm.base import ChatModel, Message
from optimand.language.llm.structured import ReplyError, read_json

from . import prompts
from .asking import StepRecord
from .clusters import majority
from .kinds import plain
from .optimizer import Proposal
from .optoprime import OptoPrime
from .sections import indented
from .values import Suggestion, name_of

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode

GENERATIONS = ("temperature_variation", "self_refinement", "iterative_alternatives", "multi_experts")
SELECTIONS = ("best_of_n", "moa", "majority", "last_of_n", "score")
_EXPERTS = (
    "someone who knows the subject of the workflow",
    "a programmer who traces every value through the code",
    "a mathematician who reasons about directions and sizes of changes",
    "a sceptic who looks for what the others would overlook",
)


@dataclass(frozen=True)
class Candidate:
    """A suggestion, and the values of all variables if it were applied."""

    suggestion: Suggestion
    values: Mapping[str, Any]

    @property
    def usable(self) -> bool:
        """Whether it says anything: values, or that nothing should change."""
        return bool(self.suggestion.values) or self.suggestion.terminated

    @property
    def text(self) -> str:
        """Its values as JSON."""
        return json.dumps(plain(self.values), ensure_ascii=False)


class OptoPrimeMulti(OptoPrime):
    """Make several suggestions a step and choose one.

    Args:
        parameters: what may be changed.
        chat: the model.
        responses: candidates a step, >= 1.
        generation: how they are made to differ. ``temperature_variation``: temperatures from the first of
            ``temperatures`` to the second, evenly; ``self_refinement``: each improves the one before;
            ``iterative_alternatives``: each must differ from all before; ``multi_experts``: each is asked of another
            expert.
        selection: ``best_of_n``: the model chooses; ``moa`` (mixture of agents): the model joins them; ``majority``:
            the medoid of the largest cluster of values; ``last_of_n``: the last usable one; ``score``: the best by
            ``score``; the earliest where several are equal. None for ``score`` if that is given, else ``best_of_n``.
        score: ``score({parameter: value})``, larger is better; a candidate that wants no change is scored with an
            empty mapping.
        temperatures: of ``temperature_variation``, first and last.
        experts: descriptions of the experts; None asks the model to name them, in one more call.
        similarity: distance, in [0, 1], from which two candidates no longer belong to one cluster.
        threads: calls at the same time where they do not depend on each other, >= 1.
        options: of :class:`OptoPrime <optimand.language.workflows.optimizers.optoprime.OptoPrime>`.

    A selection by the model makes one more call unless all usable candidates agree.
    """

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        chat: ChatModel,
        *,
        responses: int = 3,
        generation: str = "temperature_variation",
        selection: str | None = None,
        score: Callable[[Proposal], float] | None = None,
        temperatures: tuple[float, float] = (1.0, 0.0),
        experts: Sequence[str] | None = None,
        similarity: float = 0.2,
        threads: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(parameters, chat, **options)
        self.responses = check_int("responses", responses, low=1)
        self.generation: str = check_choice("generation", generation, GENERATIONS)
        if selection is None:
            selection = "best_of_n" if score is None else "score"
        self.selection: str = check_choice("selection", selection, SELECTIONS)
        if self.selection == "score" and not callable(score):
            raise OptimandError("selection='score' needs score=, a function of {parameter: value}")
        self.score = score
        first, last = temperatures
        self.temperatures = check_number("temperatures", first, low=0.0), check_number("temperatures", last, low=0.0)
        if experts is not None and (isinstance(experts, str) or not experts):
            raise TypeError(f"experts must be a list of texts that is not empty, got {experts!r:.60}")
        self.experts = None if experts is None else tuple(experts)
        self.similarity = check_number("similarity", similarity, low=0.0, high=1.0)
        self.threads = check_int("threads", threads, low=1)

    def _ask(self, graph: TraceGraph, record: StepRecord, **options: Any) -> tuple[Suggestion, Sequence[Any]]:
        if options:
            raise TypeError(f"propose() takes no {', '.join(sorted(options))}")
        report = self._report(graph)
        variables = report.variables
        messages = self._messages(report)
        make = getattr(self, f"_by_{self.generation}")
        found: list[Suggestion] = make(record, messages, variables)
        present = {name_of(variable): variable.data for variable in variables}
        candidates = [Candidate(one, {**present, **one.values}) for one in found]
        usable = [candidate for candidate in candidates if candidate.usable]
        if not usable:
            return candidates[-1].suggestion, variables
        chosen = self._choose(record, messages, variables, usable)
        unusable = len(candidates) - len(usable)
        notes = (f"{unusable} of {len(candidates)} candidates were of no use",) if unusable else ()
        return replace(chosen, notes=(*chosen.notes, *notes)), variables

    def _by_temperature_variation(
        self, record: StepRecord, messages: Sequence[Message], variables: Sequence[Any]
    ) -> list[Suggestion]:
        first, last = self.temperatures
        steps = max(1, self.responses - 1)
        return self._at_once(
            record,
            variables,
            [messages] * self.responses,
            [first + (last - first) * place / steps for place in range(self.responses)],
        )

    def _by_multi_experts(
        self, record: StepRecord, messages: Sequence[Message], variables: Sequence[Any]
    ) -> list[Suggestion]:
        experts = self.experts or self._named_experts(record, messages)
        asked = [
            _with(messages, prompts.EXPERT.format(expert=" ".join(experts[place % len(experts)].split())))
            for place in range(self.responses)
        ]
        return self._at_once(record, variables, asked, [self.temperature] * self.responses)

    def _named_experts(self, record: StepRecord, messages: Sequence[Message]) -> Sequence[str]:
        schema = {
            "type": "object",
            "properties": {
                "experts": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": self.responses,
                    "maxItems": self.responses,
                }
            },
            "required": ["experts"],
            "additionalProperties": False,
        }
        ask = f"{prompts.EXPERTS}\nName {self.responses}. The problem:\n\n{indented(messages[-1]['content'])}"
        text = self._call(record, record.take(), [{"role": "user", "content": ask}], role="experts", schema=schema)
        try:
            named: list[str] = read_json(text, schema)["experts"]
        except ReplyError:
            return _EXPERTS
        return named

    def _at_once(
        self,
        record: StepRecord,
        variables: Sequence[Any],
        asked: Sequence[Sequence[Message]],
        temperatures: Sequence[float],
    ) -> list[Suggestion]:
        """Calls that do not depend on each other, numbered in order whatever the threads do."""
        each = self.retries + 1
        first = record.take(each * len(asked))
        jobs = [
            functools.partial(
                self._answered,
                record,
                messages,
                variables,
                role="candidate",
                temperature=temperature,
                first=first + each * place,
            )
            for place, (messages, temperature) in enumerate(zip(asked, temperatures, strict=True))
        ]
        return self._together(jobs, self.threads)

    def _by_self_refinement(
        self, record: StepRecord, messages: Sequence[Message], variables: Sequence[Any]
    ) -> list[Suggestion]:
        found: list[Suggestion] = []
        for _ in range(self.responses):
            asked = messages if not found else _with(messages, prompts.REFINE.format(candidate=_shown(found[-1])))
            found.append(self._answered(record, asked, variables, role="candidate"))
        return found

    def _by_iterative_alternatives(
        self, record: StepRecord, messages: Sequence[Message], variables: Sequence[Any]
    ) -> list[Suggestion]:
        found: list[Suggestion] = []
        for _ in range(self.responses):
            asked = messages
            if found:
                listed = "\n\n".join(map(_shown, found))
                asked = _with(messages, prompts.ALTERNATIVE.format(candidates=listed))
            found.append(self._answered(record, asked, variables, role="candidate"))
        return found

    def _choose(
        self,
        record: StepRecord,
        messages: Sequence[Message],
        variables: Sequence[Any],
        usable: Sequence[Candidate],
    ) -> Suggestion:
        if self.selection == "last_of_n":
            return usable[-1].suggestion
        if self.selection == "majority":
            return usable[majority([candidate.text for candidate in usable], self.similarity)].suggestion
        if self.selection == "score":
            assert self.score is not None
            by_name = {name_of(variable): variable for variable in variables}
            scores = [
                check_number("score", self.score({by_name[name]: v for name, v in one.suggestion.values.items()}))
                for one in usable
            ]
            return usable[scores.index(max(scores))].suggestion
        if all(candidate.text == usable[0].text for candidate in usable):
            return usable[0].suggestion
        listed = "\n\n".join(f"{n}.\n{_shown(one.suggestion)}" for n, one in enumerate(usable, 1))
        if self.selection == "moa":
            asked = _with(messages, prompts.MERGE.format(count=len(usable), candidates=listed))
            merged = self._answered(record, asked, variables, role="merge")
            if merged.values or merged.terminated:
                return merged
            return _noted(usable[0].suggestion, "the suggestions could not be joined; the first is taken")
        return self._best(record, messages, usable, listed)

    def _best(
        self, record: StepRecord, messages: Sequence[Message], usable: Sequence[Candidate], listed: str
    ) -> Suggestion:
        schema = {
            "type": "object",
            "properties": {
                "reasoning": {"type": "string"},
                "choice": {"type": "integer", "minimum": 1, "maximum": len(usable)},
            },
            "required": ["reasoning", "choice"],
            "additionalProperties": False,
        }
        # The format of a suggestion is not asked for here, so only the description of the sections goes before.
        ask = prompts.BEST.format(count=len(usable), candidates=listed)
        asked = [{"role": "system", "content": prompts.READING}, *messages[1:]]
        text = self._call(record, record.take(), _with(asked, ask), role="select", schema=schema)
        try:
            choice: int = read_json(text, {**schema, "required": ["choice"], "additionalProperties": True})["choice"]
        except ReplyError as error:
            return _noted(usable[0].suggestion, f"no choice was made ({error}); the first is taken")
        return usable[choice - 1].suggestion


def _noted(suggestion: Suggestion, note: str) -> Suggestion:
    return replace(suggestion, notes=(*suggestion.notes, note))


def _shown(suggestion: Suggestion) -> str:
    """A suggestion as the model is shown it, with what was wrong with it."""
    if suggestion.terminated:
        return indented("TERMINATE")
    told = {"reasoning": suggestion.reasoning, "suggestion": plain(suggestion.values)}
    faults = [suggestion.fault, *suggestion.rejected.values()]
    note = "; ".join(filter(None, faults))
    return indented(json.dumps(told, ensure_ascii=True) + (f"\n(turned down: {note})" if note else ""))


def _with(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with a text before the last line, which asks for the reply."""
    last = messages[-1]
    body, _, end = last["content"].rpartition("\n\n")
    return [*messages[:-1], {"role": last["role"], "content": f"{body}\n\n{text.strip()}\n\n{end}"}]
