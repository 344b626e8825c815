"""What the optimizers that ask a language model share: calls and their costs, memory, reports, exact resumption.

A resumed run equals an unbroken one: everything a call depends on is in the parameters, in the arguments, or in
``state_dict()``. The seed of a call is a function of the optimizer's seed, the number of the step and the number of the
call within it, so there is no generator whose state could be lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from optimand.core.validation import OptimandError, check_int, check_number
from optimand.language.llm.base import ChatModel, Message, Usage, json_format
from optimand.language.llm.secrets import redact, redact_all

from .kinds import plain
from .optimizer import Optimizer, Proposal
from .reports import StepReport
from .sections import Limits, shortened
from .values import Suggestion, name_of

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode
    from ..tracing.propagators import Propagator

OBJECTIVE = "Choose values for the variables in #Variables that make the output better in the way #Feedback asks for."

_Result = TypeVar("_Result")


@dataclass
class StepRecord:
    """What one step has asked and heard so far; calls may come from several threads, each with its own number."""

    number: int
    prompts: dict[int, tuple[Message, ...]] = field(default_factory=dict)
    replies: dict[int, str] = field(default_factory=dict)
    usage: dict[int, Usage] = field(default_factory=dict)
    calls: int = 0

    def take(self, count: int = 1) -> int:
        """Numbers for further calls; the first of them."""
        self.calls += count
        return self.calls - count

    @property
    def total(self) -> Usage:
        """What the calls cost, added in the order of their numbers."""
        return sum((self.usage[number] for number in sorted(self.usage)), Usage())


class LanguageOptimizer(Optimizer):
    """Base of the optimizers that ask a language model.

    Args:
        parameters: see :class:`~optimand.language.workflows.optimizers.optimizer.Optimizer`.
        chat: the model.
        objective: what the variables are to be chosen for.
        context: what the workflow is about, told before everything else; empty for nothing.
        temperature: of the calls, >= 0.
        max_tokens: most tokens of a reply, >= 1.
        seed: of the calls; None lets the backend draw.
        memory_size: how many past steps (variables and feedback) a prompt shows; None for all.
        limits: how many characters of values are shown.
        policy, propagator, log_size: see :class:`~optimand.language.workflows.optimizers.optimizer.Optimizer`.
    """

    role = "optimizer"

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        chat: ChatModel,
        *,
        objective: str = OBJECTIVE,
        context: str = "",
        temperature: float = 0.0,
        max_tokens: int = 4096,
        seed: int | None = None,
        memory_size: int | None = 0,
        limits: Limits | None = None,
        policy: str = "reject",
        propagator: Propagator | None = None,
        log_size: int = 100,
    ) -> None:
        super().__init__(parameters, policy=policy, propagator=propagator, log_size=log_size)
        if not isinstance(chat, ChatModel):
            raise TypeError(f"chat must be a ChatModel, got {chat!r:.60} ({type(chat).__name__})")
        for name, text in (("objective", objective), ("context", context)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a text, got {text!r:.60} ({type(text).__name__})")
        self.chat = chat
        self.objective = objective
        self.context = context
        self.temperature = check_number("temperature", temperature, low=0.0)
        self.max_tokens = check_int("max_tokens", max_tokens, low=1)
        self.seed = None if seed is None else check_int("seed", seed, low=0)
        self.limits = limits or Limits()
        self.memory_size = None if memory_size is None else check_int("memory_size", memory_size, low=0)
        self.memory: deque[dict[str, Any]] = deque(maxlen=self.memory_size)
        self.refused: dict[str, str] = {}
        self.usage = Usage()

    def propose(self, **options: Any) -> Proposal:
        """Ask the model for values; the parameters stay as they are.

        The step counts, and enters memory, only if every call was answered: after a
        :class:`ChatError <optimand.language.llm.ChatError>` the optimizer is as it was before.

        Returns:
            Accepted values by parameter, without those that equal the present ones.

        Raises:
            OptimandError: there is no feedback.
            ChatError: the model could not be asked.
        """
        graph = self.feedback_graph()
        record = StepRecord(self.steps + 1)
        suggestion, variables = self._ask(graph, record, **options)
        return self._conclude(graph, record, suggestion, variables)

    def _ask(self, graph: TraceGraph, record: StepRecord, **options: Any) -> tuple[Suggestion, Sequence[Any]]:
        """Make the step's calls: what they suggest, and the parameters that were asked for."""
        raise NotImplementedError

    def _conclude(
        self, graph: TraceGraph, record: StepRecord, suggestion: Suggestion, variables: Sequence[Any]
    ) -> Proposal:
        by_name = {name_of(parameter): parameter for parameter in variables}
        changed = {
            name: value
            for name, value in suggestion.values.items()
            if plain(value) != plain(by_name[name].data) or type(value) is not type(by_name[name].data)
        }
        self.memory.append(self._entry(graph, variables))
        self.refused = dict(suggestion.rejected)
        self.steps = record.number
        self.usage = self.usage + record.total
        self.log.append(
            StepReport(
                step=record.number,
                proposed=changed,
                rejected=dict(suggestion.rejected),
                unknown=suggestion.unknown,
                notes=suggestion.notes,
                reasoning=suggestion.reasoning,
                answer=suggestion.answer,
                terminated=suggestion.terminated,
                fault=suggestion.fault,
                usage=record.total,
                messages=record.prompts[max(record.prompts)] if record.prompts else (),
                replies=tuple(record.replies[number] for number in sorted(record.replies)),
            )
        )
        return {by_name[name]: value for name, value in changed.items()}

    def _entry(self, graph: TraceGraph, variables: Sequence[Any]) -> dict[str, Any]:
        """What memory keeps of a step; it goes into states that are stored, so secrets are taken out here."""
        values = {name_of(parameter): plain(parameter.data) for parameter in variables}
        entry: dict[str, Any] = redact_all({"variables": values, "feedback": plain(graph.feedback)})
        return entry

    def _call(
        self,
        record: StepRecord,
        number: int,
        messages: Sequence[Message],
        *,
        role: str = "step",
        schema: Mapping[str, Any] | None = None,
        temperature: float | None = None,
    ) -> str:
        """One call; ``number`` is its number within the step."""
        result = self.chat.chat(
            messages,
            response_format=None if schema is None else json_format(schema, "suggestion"),
            temperature=self.temperature if temperature is None else temperature,
            max_tokens=self.max_tokens,
            seed=self._seed_of(record.number, number),
            role=f"{self.role}.{role}",
        )
        record.usage[number] = result.usage
        record.replies[number] = result.text
        record.prompts[number] = tuple(messages)
        return result.text

    def _seed_of(self, step: int, call: int) -> int | None:
        if self.seed is None:
            return None
        digest = hashlib.sha256(f"{self.seed}/{step}/{call}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def memory_text(self, *entries: Mapping[str, Any], limit: int) -> str:
        """Past steps as JSON, one a line, oldest first; empty without any.

        Args:
            entries: further steps, after those of the memory.
            limit: characters shown of each text in it.
        """
        return "\n".join(json.dumps(_clipped(entry, limit)) for entry in (*self.memory, *entries))

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Optimizer.state_dict <optimand.language.workflows.optimizers.optimizer.Optimizer.state_dict>`."""
        return {
            **super().state_dict(),
            "seed": self.seed,
            "memory": [dict(entry) for entry in self.memory],
            "refused": dict(self.refused),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken.

        Raises:
            OptimandError: the state is of another optimizer, or of other parameters, or has no memory.
        """
        memory, refused = state.get("memory"), state.get("refused", {})
        if not isinstance(memory, list) or not all(isinstance(entry, Mapping) for entry in memory):
            raise OptimandError(f"the state's memory must be a list of objects, got {memory!r:.60}")
        super().load_state_dict(state)
        names = self._names_in(state)
        self.seed = state.get("seed")
        self.memory = deque((_renamed(entry, names) for entry in memory), maxlen=self.memory_size)
        self.refused = {
            names.get(name, name): re.sub(rf"\b{re.escape(name)}\b", names.get(name, name), reason)
            for name, reason in refused.items()
        }

    def _together(self, jobs: Sequence[Callable[[], _Result]], threads: int) -> list[_Result]:
        """Run calls that do not depend on each other, several at a time; results in the order of the jobs."""
        if threads == 1 or len(jobs) < 2:
            return [job() for job in jobs]
        with ThreadPoolExecutor(min(threads, len(jobs))) as pool:
            return list(pool.map(lambda job: job(), jobs))


def _renamed(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """An entry of the memory under the parameters' present names."""
    return {**entry, "variables": {names.get(name, name): value for name, value in entry["variables"].items()}}


def _clipped(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return shortened(redact(value), limit)
    if isinstance(value, Mapping):
        return {key: _clipped(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [_clipped(item, limit) for item in value]
    return value


def conversation(system: str, user: str) -> list[Message]:
    """A system text and a user's text as messages."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]
