"""OptoPrime: one call that sees the whole run and sets all parameters.

The recorded subgraph becomes a small program with its values and the feedback on its output, and a language model
is asked once for values of all variables (arXiv 2406.16218, Section 4; steps of the official implementation). Ours
differs in that the ranges, choices and types of the parameters are a JSON schema that goes with the call, so that a
decoder which can be constrained cannot break them; in that replies are read by what JSON says (see
:mod:`~optimand.language.workflows.optimizers.values`); and in that a value which was turned down is mentioned in the
next prompt with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_choice, check_int
from optimand.language.llm.base import ChatModel, Message
from optimand.language.llm.secrets import redact

from . import prompts
from .asking import OBJECTIVE, LanguageOptimizer, StepRecord, conversation
from .sections import SECTIONS, GraphReport, Limits, indented, report_of, shortened
from .values import Suggestion, read_suggestion

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode
    from ..tracing.propagators import Propagator


class OptoPrime(LanguageOptimizer):
    """Ask once a step for values of all parameters, with the trace as a pseudo program.

    Args:
        parameters: what may be changed.
        chat: the model.
        objective: the text of the section ``Instruction``.
        context: what the workflow is about; told before the sections.
        memory_size: how many past steps (variables, feedback) a prompt shows, newest kept; 0 for none, None for all.
        mask: titles of sections that are left empty, such as ``["Code", "Documentation", "Others"]``: the ablation of
            the paper that hides the trace.
        limits: how many characters of values are shown.
        example: show a worked example first.
        retries: further calls after a reply that held no usable value; 0 makes exactly one call per step.
        reasoning_length: most characters of ``reasoning`` and ``answer``, for backends that constrain their decoder;
            small models need it, since they may not come to an end.
        temperature, max_tokens, seed: of the calls.
        policy, propagator, log_size: see :class:`~optimand.language.workflows.optimizers.optimizer.Optimizer`.

    Reference: arXiv 2406.16218, Section 4.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> from optimand.language.workflows.tracing.nodes import ParameterNode
        >>> x = ParameterNode(3, name="x")
        >>> reply = '{"reasoning": "", "answer": "", "suggestion": {"%s": 5}}' % x.py_name
        >>> optimizer = OptoPrime([x], Scripted([reply]))
        >>> y = x * 2
        >>> optimizer.zero_feedback()
        >>> optimizer.backward(y, "should be 10")
        >>> _ = optimizer.step()
        >>> x.data
        5
    """

    role = "optoprime"

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        chat: ChatModel,
        *,
        objective: str = OBJECTIVE,
        context: str = "",
        memory_size: int | None = 0,
        mask: Collection[str] = (),
        limits: Limits | None = None,
        example: bool = False,
        retries: int = 0,
        reasoning_length: int | None = None,
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
        if isinstance(mask, str):
            raise TypeError(f"mask must be a list of titles, got the text {mask!r}")
        self.mask = frozenset(check_choice("mask", title, SECTIONS) for title in mask)
        self.example = bool(example)
        self.retries = check_int("retries", retries, low=0)
        self.reasoning_length = (
            None if reasoning_length is None else check_int("reasoning_length", reasoning_length, low=0)
        )

    def prompt(self) -> list[Message]:
        """The messages that a step would send at present, for looking at.

        Raises:
            OptimandError: there is no feedback.
        """
        return self._messages(self._report(self.feedback_graph()))

    def _report(self, graph: TraceGraph) -> GraphReport:
        return report_of(graph, self.trainable, objective=self.objective, limits=self.limits, refused=self._refusals())

    def _refusals(self) -> list[str]:
        return [
            f"An earlier suggestion was turned down: {shortened(reason, self.limits.value)}"
            for reason in self.refused.values()
        ]

    def _messages(self, report: GraphReport) -> list[Message]:
        parts = [report.render(self.mask)]
        if self.context:
            parts.insert(0, "What this is about:\n" + indented(redact(self.context)))
        if self.memory:
            parts.append(f"{prompts.MEMORY}\n{indented(self.memory_text(limit=self.limits.value))}")
        parts.append("Your reply:")
        system = [prompts.READING, prompts.REPLYING]
        if self.example:
            system.append(prompts.EXAMPLE)
        return conversation("\n".join(system), "\n\n".join(parts))

    def _ask(self, graph: TraceGraph, record: StepRecord, **options: Any) -> tuple[Suggestion, Sequence[Any]]:
        if options:
            raise TypeError(f"propose() takes no {', '.join(sorted(options))}")
        report = self._report(graph)
        return self._answered(record, self._messages(report), report.variables), report.variables

    def _answered(
        self,
        record: StepRecord,
        messages: Sequence[Message],
        variables: Sequence[Any],
        *,
        role: str = "step",
        temperature: float | None = None,
        first: int | None = None,
    ) -> Suggestion:
        """A call, repeated with the fault named while it gave nothing usable and repetitions are left.

        ``first`` is the number of the call, with numbers for its repetitions behind it, if they are taken already.
        """
        schema = prompts.suggestion_schema(variables, reasoning_length=self.reasoning_length)
        asked = list(messages)
        first = record.take(self.retries + 1) if first is None else first
        for attempt in range(self.retries + 1):
            text = self._call(record, first + attempt, asked, role=role, schema=schema, temperature=temperature)
            found = read_suggestion(text, variables, policy=self.policy)
            if found.values or found.terminated or attempt == self.retries:
                break
            faults = [found.fault, *found.rejected.values(), *(f"no variable {name!r}" for name in found.unknown)]
            said = "; ".join(filter(None, faults)) or "the suggestion is empty"
            asked = [
                *messages,
                {"role": "assistant", "content": text},
                {"role": "user", "content": f"This cannot be used: {said}. Reply again in the form asked for."},
            ]
        return found
