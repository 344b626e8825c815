"""What the optimizers of workflows share: ``zero_feedback``, ``backward``, ``step``, as ``torch.optim`` has them.

Trace (arXiv 2406.16218) keeps torch's idiom: parameters are given once, feedback travels backward through the recorded
graph, a step changes the parameters. Two things differ from torch on purpose. A step is a proposal and an update, since
a proposal that asks a language model is worth looking at, or comparing, before it is applied; and an update is all or
nothing: values are checked for all parameters before the first is changed.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_choice, check_int, suggest

from .kinds import POLICIES, ValueRejected, plain
from .reports import StepReport
from .values import base_name, convert, name_of

if TYPE_CHECKING:
    from ..tracing.base import Node
    from ..tracing.graph import TraceGraph
    from ..tracing.parameters import ParameterNode
    from ..tracing.propagators import Propagator


class UnknownParameter(OptimandError):  # noqa: N818 (what happened)
    """A name that no parameter of the optimizer has."""


Proposal = dict["ParameterNode", Any]


class Optimizer:
    """Changes the parameters of a workflow by the feedback on its outputs.

    Args:
        parameters: trainable parameters, each once; a mapping whose values they are; or a module, for its own.
        policy: ``reject`` or ``round`` a fraction where an integer is needed.
        propagator: what ``backward`` sends; None for the graph itself, see
            :class:`GraphPropagator <optimand.language.workflows.tracing.propagators.GraphPropagator>`.
        log_size: how many reports are kept, >= 1.

    Attributes:
        parameters: the parameters, in the order given.
        log: reports of the last steps, oldest first.
        steps: proposals made.

    Raises:
        TypeError: something else than a parameter was given.
        OptimandError: no parameters, one twice, two of the same name, or one that is not trainable.

    Reference: arXiv 2406.16218, Section 3.
    """

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        *,
        policy: str = "reject",
        propagator: Propagator | None = None,
        log_size: int = 100,
    ) -> None:
        self.parameters: tuple[ParameterNode, ...] = _checked(parameters)
        self.policy: str = check_choice("policy", policy, POLICIES)
        self.propagator = propagator
        self.log: deque[StepReport] = deque(maxlen=check_int("log_size", log_size, low=1))
        self.steps = 0

    @property
    def trainable(self) -> tuple[ParameterNode, ...]:
        """The parameters that may change at present."""
        return tuple(parameter for parameter in self.parameters if parameter.trainable)

    @property
    def report(self) -> StepReport | None:
        """What the last step did; None before the first."""
        return self.log[-1] if self.log else None

    def zero_feedback(self) -> None:
        """Forget the feedback that the parameters have received."""
        for parameter in self.parameters:
            parameter.zero_feedback()

    def backward(self, target: Node, feedback: Any, *, retain_graph: bool = False) -> None:
        """Send feedback on an output back to the parameters.

        Args:
            target: the output node, or the node of the exception that stopped the workflow.
            feedback: a text, a score, or whatever the propagator carries.
            retain_graph: keep the graph for another ``backward``.
        """
        from ..tracing.feedback import backward

        backward(target, feedback, propagator=self.propagator, retain_graph=retain_graph)

    def feedback_graph(self) -> TraceGraph:
        """The sum of the graphs that the trainable parameters have received.

        Raises:
            OptimandError: none has received any, or feedback of several targets differs.
        """
        from ..tracing.feedback import received
        from ..tracing.graph import TraceGraph

        total = received(self.trainable)
        # A graph propagator with rules of its own delivers its graphs as messages.
        messages = [message for parameter in self.trainable for message in parameter.messages()]
        for graph in messages:
            if isinstance(graph, TraceGraph) and self.propagator is not None:
                total = graph if total is None else total + graph
        if total is not None:
            return total
        names = ", ".join(name_of(parameter) for parameter in self.parameters)
        if messages:
            raise OptimandError(f"{names} received {messages[0]!r:.60}, and graphs are needed here: give no propagator")
        raise OptimandError(
            "no trainable parameter has received feedback: call backward(target, feedback) before step(), with a "
            f"target that depends on {names}"
        )

    def propose(self, **options: Any) -> Proposal:
        """Values for parameters that would improve the output; the parameters stay as they are.

        Raises:
            OptimandError: there is no feedback.
        """
        raise NotImplementedError

    def update(self, proposal: Mapping[Any, Any]) -> None:
        """Give parameters values, all or none.

        Args:
            proposal: values by parameter, or by name.

        Raises:
            OptimandError: a name or parameter that this optimizer does not have, or one that is not trainable.
            ValueRejected: a value that a parameter cannot have.
        """
        found = [(self._owned(key), value) for key, value in proposal.items()]
        values = [(parameter, self._accepted(parameter, value)) for parameter, value in found]
        for parameter, value in values:
            parameter.data = value
        last = self.report
        given = {name_of(parameter): value for parameter, value in values}
        if (
            last is not None
            and last.proposed
            and all(name in given and plain(given[name]) == plain(value) for name, value in last.proposed.items())
        ):
            self.log[-1] = dataclasses.replace(last, applied=True)

    def step(self, *, bypassing: bool = False, **options: Any) -> Proposal:
        """Propose values and apply them.

        Args:
            bypassing: only propose.
            options: go to :meth:`propose`.

        Returns:
            The proposal: values by parameter; empty where nothing should change.

        Raises:
            OptimandError: there is no feedback.
        """
        proposal = self.propose(**options)
        if not bypassing:
            self.update(proposal)
        return proposal

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on besides the parameters' values and the arguments, as JSON can hold it."""
        return {
            "optimizer": type(self).__name__,
            "parameters": [name_of(parameter) for parameter in self.parameters],
            "steps": self.steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken.

        A model that is made again in one process has parameters ``x1`` where the first has ``x0``: numbers may differ.

        Raises:
            OptimandError: the state is of another optimizer, or of other parameters.
        """
        if state.get("optimizer") != type(self).__name__:
            raise OptimandError(
                f"the state is of optimizer {state.get('optimizer')!r}, this is {type(self).__name__!r}"
            )
        self._names_in(state)
        self.steps = check_int("steps", state.get("steps"), low=0)

    def _names_in(self, state: Mapping[str, Any]) -> dict[str, str]:
        """The parameters' present names by those that a state has for them."""
        before: Any = state.get("parameters")
        now = [name_of(parameter) for parameter in self.parameters]
        # Other numbers are those of another model; the same ones in another order are a mistake.
        known = isinstance(before, list) and len(before) == len(now) and all(map(_numbered, self.parameters, before))
        if not known or (before != now and set(before) == set(now)):
            raise OptimandError(f"the state is of parameters {before!r}, these are {now!r}")
        return dict(zip(before, now, strict=True))

    def _owned(self, key: ParameterNode | str) -> ParameterNode:
        for parameter in self.parameters:
            if parameter is key or (isinstance(key, str) and key in (name_of(parameter), parameter.name)):
                if not parameter.trainable:
                    raise OptimandError(f"parameter {name_of(parameter)!r} is not trainable")
                return parameter
        known = [name_of(parameter) for parameter in self.parameters]
        name = key if isinstance(key, str) else name_of(key)
        listed = ", ".join(map(repr, known))
        raise UnknownParameter(f"no parameter {name!r} here, only {listed}{suggest(name, known)}")

    def _accepted(self, parameter: ParameterNode, value: Any) -> Any:
        """A value checked once more: a proposal may come from elsewhere, or have been edited by a person."""
        found = convert(value, parameter, policy=self.policy)
        try:
            return parameter.check(found)
        except (TypeError, ValueError) as error:
            raise ValueRejected(str(error)) from None


def _numbered(parameter: ParameterNode, name: Any) -> bool:
    """Whether a name is the parameter's but for the number."""
    base = base_name(parameter)
    return (
        isinstance(name, str)
        and re.fullmatch(re.escape(base) + ("_" if base[-1].isdigit() else "") + r"\d+", name) is not None
    )


def _checked(parameters: Any) -> tuple[ParameterNode, ...]:
    from ..tracing.modules import Module
    from ..tracing.parameters import ParameterNode

    if isinstance(parameters, Module):
        parameters = parameters.parameters(trainable=True)
    given = tuple(parameters.values() if isinstance(parameters, Mapping) else parameters)
    if not given:
        raise OptimandError("parameters is empty: there is nothing to optimize")
    names: dict[str, ParameterNode] = {}
    for parameter in given:
        if not isinstance(parameter, ParameterNode):
            raise TypeError(f"parameters must be ParameterNode, got {parameter!r:.60} ({type(parameter).__name__})")
        name = name_of(parameter)
        if not parameter.trainable:
            raise OptimandError(f"parameter {name!r} is not trainable")
        if name in names:
            again = "is given twice" if names[name] is parameter else "is the name of two parameters"
            raise OptimandError(f"{name!r} {again}; give each parameter once, under a name of its own")
        names[name] = parameter
    return given
