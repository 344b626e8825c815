"""TextGrad: criticism that travels backward, an edge at a time.

Where OptoPrime shows the whole run at once, TextGrad (arXiv 2406.07496, as the baseline of Trace, arXiv 2406.16218)
mimics the chain rule: for every edge from a node to one of its inputs a language model turns the criticism of the node
into one of the input; criticisms that meet are merged; each parameter is rewritten by its own. A step makes exactly

    edges + merges + parameters

calls. Ours asks only about edges whose input depends on a parameter, since criticism of a constant serves nobody;
``every_edge`` restores the others. Calls at one level of the graph do not depend on each other and may run in several
threads, with the same prompts, seeds and results.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_int
from optimand.language.llm.base import ChatModel
from optimand.language.llm.secrets import redact

from . import prompts
from .asking import OBJECTIVE, LanguageOptimizer, StepRecord, conversation
from .kinds import ValueRejected, kind_of
from .sections import (
    Limits,
    constraint_of,
    feedback_text,
    indented,
    operator_of,
    shortened,
    value_line,
    variables_in,
)
from .values import Suggestion, convert, is_code, name_of

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode
    from ..tracing.propagators import Propagator

_OPEN, _CLOSE = "<improved>", "</improved>"


class TextGrad(LanguageOptimizer):
    """Criticize every intermediate value, then rewrite each parameter.

    Args:
        parameters: what may be changed.
        chat: the model; it may be called from several threads if ``threads`` > 1.
        objective: what the values are for.
        context: what the workflow is about.
        every_edge: criticize inputs that depend on no parameter, too.
        threads: calls at the same time, >= 1.
        memory_size: how many past steps the update calls show.
        limits: how many characters of values are shown.
        temperature, max_tokens, seed: of the calls.
        policy, propagator, log_size: see :class:`~optimand.language.workflows.optimizers.optimizer.Optimizer`.

    Reference: arXiv 2406.07496; arXiv 2406.16218, Section 5.
    """

    role = "textgrad"

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        chat: ChatModel,
        *,
        objective: str = OBJECTIVE.replace("in #Variables ", "").replace("#Feedback", "the feedback"),
        context: str = "",
        every_edge: bool = False,
        threads: int = 1,
        memory_size: int | None = 0,
        limits: Limits | None = None,
        temperature: float = 0.0,
        max_tokens: int = 4096,
        seed: int | None = None,
        policy: str = "reject",
        propagator: Propagator | None = None,
        log_size: int = 100,
    ) -> None:
        super().__init__(
            parameters,
            chat,
            objective=objective,
            context=context,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=seed,
            memory_size=memory_size,
            limits=limits,
            policy=policy,
            propagator=propagator,
            log_size=log_size,
        )
        self.every_edge = bool(every_edge)
        self.threads = check_int("threads", threads, low=1)

    def _ask(self, graph: TraceGraph, record: StepRecord, **options: Any) -> tuple[Suggestion, Sequence[Any]]:
        if options:
            raise TypeError(f"propose() takes no {', '.join(sorted(options))}")
        variables = variables_in(graph, self.trainable)
        edges = self._edges(graph, variables)
        users = {id(variable): variable for variable in variables}
        by_level: dict[int, list[Any]] = defaultdict(list)
        for node in graph.nodes:
            by_level[node.level].append(node)
        received: dict[int, list[str]] = defaultdict(list)
        received[id(graph.output)] = [shortened(redact(feedback_text(graph.feedback)), self.limits.feedback)]
        merges = 0
        for level in sorted(by_level, reverse=True):
            criticized = [n for n in by_level[level] if received[id(n)] and (edges.get(id(n)) or id(n) in users)]
            several = [node for node in criticized if len(received[id(node)]) > 1]
            for node, merged in zip(several, self._merge(record, several, received), strict=True):
                received[id(node)] = [merged]
            merges += len(several)
            pairs = [(node, parent) for node in criticized for parent in edges.get(id(node), ())]
            for (_, parent), text in zip(pairs, self._criticize(record, pairs, received), strict=True):
                received[id(parent)].append(text)
        criticized = [variable for variable in variables if received[id(variable)]]
        suggestion = self._rewrite(record, criticized, received)
        count = sum(map(len, edges.values()))
        told = f"{count} edges, {merges} merges, {len(criticized)} parameters"
        return Suggestion(suggestion.values, suggestion.rejected, notes=(*suggestion.notes, told)), variables

    def _edges(self, graph: TraceGraph, variables: Sequence[Any]) -> dict[int, list[Any]]:
        """For each computed node the inputs that are criticized through it."""
        owned = {id(variable): variable for variable in variables}
        matters = set(owned)
        edges: dict[int, list[Any]] = {}
        roles = graph.roles()
        for node in filter(roles.computed, graph.nodes):
            hidden = [parameter for parameter in node.hidden if id(parameter) in owned]
            inputs = [*node.parents, *(p for p in hidden if all(p is not parent for parent in node.parents))]
            if any(id(item) in matters for item in inputs):
                matters.add(id(node))
            wanted = [item for item in inputs if self.every_edge or id(item) in matters]
            if wanted and (self.every_edge or id(node) in matters):
                edges[id(node)] = wanted
        return edges

    def _shown(self, *parts: str) -> str:
        begin = ["What this is about:\n" + indented(redact(self.context))] if self.context else []
        return "\n\n".join([*begin, "Objective:\n" + indented(redact(self.objective)), *parts])

    def _criticize(self, record: StepRecord, pairs: Sequence[Any], received: Mapping[int, list[str]]) -> list[str]:
        first = record.take(len(pairs))
        jobs = []
        for place, (node, parent) in enumerate(pairs):
            name, told = operator_of(node.description)
            arguments = ", ".join(f"{key}={name_of(value)}" for key, value in node.inputs.items())
            values = [value_line(item, self.limits) for item in node.parents]
            if all(parent is not item for item in node.parents):
                values.append(value_line(parent, self.limits) + "\n(used inside the function)")
            text = self._shown(
                f"Operation:\n{indented(f'{name_of(node)} = {name}({arguments})')}",
                f"What it does:\n{indented(shortened(redact(told.strip()), self.limits.value))}",
                "Its inputs:\n" + "\n".join(map(indented, values)),
                "Its result:\n" + indented(value_line(node, self.limits)),
                "Criticism of the result:\n" + indented(received[id(node)][0]),
                f"Criticize the input {name_of(parent)}.",
            )
            messages = conversation(prompts.CRITIC, text)
            jobs.append(functools.partial(self._call, record, first + place, messages, role="criticize"))
        return [redact(text.strip()) for text in self._together(jobs, self.threads)]

    def _merge(self, record: StepRecord, nodes: Sequence[Any], received: Mapping[int, list[str]]) -> list[str]:
        first = record.take(len(nodes))
        jobs = []
        for place, node in enumerate(nodes):
            listed = [f"Criticism {number}:\n{indented(text)}" for number, text in enumerate(received[id(node)], 1)]
            text = self._shown("The value:\n" + indented(value_line(node, self.limits)), *listed)
            messages = conversation(prompts.REDUCER, text)
            jobs.append(functools.partial(self._call, record, first + place, messages, role="merge"))
        return [text.strip() for text in self._together(jobs, self.threads)]

    def _rewrite(self, record: StepRecord, variables: Sequence[Any], received: Mapping[int, list[str]]) -> Suggestion:
        first = record.take(len(variables))
        jobs = []
        for place, variable in enumerate(variables):
            parts = ["The variable:\n" + indented(value_line(variable, self.limits, variable=True))]
            constraint = constraint_of(variable)
            if constraint:
                parts.append("Constraints:\n" + indented(constraint))
            parts.append("Criticism:\n" + indented(received[id(variable)][0]))
            if name_of(variable) in self.refused:
                parts.append("Turned down before:\n" + indented(redact(self.refused[name_of(variable)])))
            if self.memory:
                parts.append(f"{prompts.MEMORY}\n{indented(self.memory_text(limit=self.limits.value))}")
            messages = conversation(prompts.UPDATER, self._shown(*parts))
            jobs.append(functools.partial(self._call, record, first + place, messages, role="rewrite"))
        values: dict[str, Any] = {}
        rejected: dict[str, str] = {}
        notes: list[str] = []
        for variable, reply in zip(variables, self._together(jobs, self.threads), strict=True):
            name = name_of(variable)
            try:
                text = _improved(reply, name)
                if kind_of(variable.data) == "str" and not is_code(variable):
                    text = text.strip()
                values[name] = convert(text, variable, policy=self.policy, notes=notes)
            except ValueRejected as error:
                rejected[name] = str(error)
        return Suggestion(values, rejected, notes=tuple(notes))


def _improved(reply: str, name: str) -> str:
    """The text between the last pair of tags."""
    end = reply.rfind(_CLOSE)
    start = reply.rfind(_OPEN, 0, end) if end >= 0 else -1
    if start < 0:
        raise ValueRejected(f"{name} stays: the reply has no text between {_OPEN} and {_CLOSE}")
    return reply[start + len(_OPEN) : end]
