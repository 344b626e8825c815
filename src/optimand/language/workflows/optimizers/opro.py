"""OPRO: a language model that sees past values and their feedback, and nothing of how the output came about.

The baseline of Trace (arXiv 2406.16218, Section 5) after "Large Language Models as Optimizers" (arXiv 2309.03409): the
prompt is a list of tried values with their feedback. The list is unbounded as in the official implementation; it can be
bounded, and then the newest steps are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimand.language.llm.base import ChatModel
from optimand.language.llm.secrets import redact

from . import prompts
from .asking import OBJECTIVE, LanguageOptimizer, StepRecord, conversation
from .sections import Limits, constraint_of, indented, value_line, variables_in
from .values import Suggestion, read_suggestion

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode
    from ..tracing.propagators import Propagator


class OPRO(LanguageOptimizer):
    """Ask once a step for values of all parameters, with past values and feedback alone.

    Args:
        parameters: what may be changed.
        chat: the model.
        objective: what the values are for.
        context: what the workflow is about.
        memory_size: how many past steps a prompt shows besides the present one; None for all.
        limits: how many characters of values are shown.
        temperature, max_tokens, seed: of the calls.
        policy, propagator, log_size: see :class:`~optimand.language.workflows.optimizers.optimizer.Optimizer`.

    Reference: arXiv 2309.03409; arXiv 2406.16218, Section 5.
    """

    role = "opro"

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        chat: ChatModel,
        *,
        objective: str = OBJECTIVE.replace("#Variables", "the list").replace("#Feedback", "the feedback"),
        context: str = "",
        memory_size: int | None = None,
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

    def _ask(self, graph: TraceGraph, record: StepRecord, **options: Any) -> tuple[Suggestion, Sequence[Any]]:
        if options:
            raise TypeError(f"propose() takes no {', '.join(sorted(options))}")
        variables = variables_in(graph, self.trainable)
        tried = self.memory_text(self._entry(graph, variables), limit=self.limits.value)
        lines = [value_line(variable, self.limits, variable=True) for variable in variables]
        constraints = [line for line in map(constraint_of, variables) if line]
        parts = [
            "Objective:\n" + indented(redact(self.objective)),
            "Tried so far, one JSON object a line:\n" + indented(tried),
            "Variables with their present values:\n" + "\n".join(map(indented, lines)),
        ]
        if constraints:
            parts.append("Constraints:\n" + "\n".join(map(indented, constraints)))
        if self.refused:
            parts.append(
                "Turned down in the last reply:\n" + "\n".join(indented(redact(line)) for line in self.refused.values())
            )
        if self.context:
            parts.insert(0, "What this is about:\n" + indented(redact(self.context)))
        messages = conversation(prompts.OPRO, "\n\n".join([*parts, "Your reply:"]))
        schema = prompts.suggestion_schema(variables, explained=False)
        text = self._call(record, record.take(), messages, schema=schema)
        return read_suggestion(text, variables, policy=self.policy), variables
