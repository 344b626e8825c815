"""Workflows: ordinary Python on nodes that records its graph, and optimizers that change the parameters by feedback.

Example:
    >>> from optimand.language.workflows import backward, bundle, node
    >>> @bundle()
    ... def shout(text, times):
    ...     return text.upper() * times
    >>> greeting = node("hey ", name="greeting", trainable=True)
    >>> reply = shout(greeting, 2)
    >>> backward(reply, "too loud")
    >>> reply.data, greeting.received().feedback
    ('HEY HEY ', 'too loud')

Reference: arXiv 2406.16218 (Trace).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .heuristic.proposer import HeuristicProposer
    from .optimizers.kinds import ValueRejected
    from .optimizers.multi import OptoPrimeMulti
    from .optimizers.opro import OPRO
    from .optimizers.optimizer import Optimizer
    from .optimizers.optoprime import OptoPrime
    from .optimizers.reports import StepReport
    from .optimizers.sections import Limits
    from .optimizers.textgrad import TextGrad
    from .optimizers.values import convert, read_suggestion, schema_for
    from .tracing.base import ExceptionNode, ExecutionError, MessageNode, Node
    from .tracing.bundles import BoundBundle, Bundled, bundle
    from .tracing.calls import MissingInputsError
    from .tracing.drawing import to_html, to_svg
    from .tracing.feedback import backward, zero_feedback
    from .tracing.graph import GraphError, TraceGraph, trace_of
    from .tracing.modules import Module, model
    from .tracing.nodes import node
    from .tracing.parameters import CodeParameter, ParameterNode
    from .tracing.propagators import GraphPropagator, Propagator, SumPropagator
    from .tracing.replaying import ReplayError, replay
    from .tracing.roles import Roles, value_summary
    from .tracing.tape import Tape, stop_tracing
    from .trainers import (
        AggregatedUpdate,
        BasicSearch,
        BeamSearch,
        GuideError,
        Minibatch,
        ParetoSearch,
        PrioritySearch,
        TrainingResult,
        UCBSearch,
        exact_match,
        function_tests,
        numeric_tolerance,
        weighted,
    )

_HOMES = {
    "AggregatedUpdate": "trainers",
    "BasicSearch": "trainers",
    "BeamSearch": "trainers",
    "BoundBundle": "tracing.bundles",
    "Bundled": "tracing.bundles",
    "CodeParameter": "tracing.parameters",
    "ExceptionNode": "tracing.base",
    "ExecutionError": "tracing.base",
    "GraphError": "tracing.graph",
    "GraphPropagator": "tracing.propagators",
    "GuideError": "trainers",
    "HeuristicProposer": "heuristic.proposer",
    "Limits": "optimizers.sections",
    "MessageNode": "tracing.base",
    "Minibatch": "trainers",
    "MissingInputsError": "tracing.calls",
    "Module": "tracing.modules",
    "Node": "tracing.base",
    "OPRO": "optimizers.opro",
    "Optimizer": "optimizers.optimizer",
    "OptoPrime": "optimizers.optoprime",
    "OptoPrimeMulti": "optimizers.multi",
    "ParameterNode": "tracing.parameters",
    "ParetoSearch": "trainers",
    "PrioritySearch": "trainers",
    "Propagator": "tracing.propagators",
    "ReplayError": "tracing.replaying",
    "Roles": "tracing.roles",
    "StepReport": "optimizers.reports",
    "SumPropagator": "tracing.propagators",
    "Tape": "tracing.tape",
    "TextGrad": "optimizers.textgrad",
    "TraceGraph": "tracing.graph",
    "TrainingResult": "trainers",
    "UCBSearch": "trainers",
    "ValueRejected": "optimizers.kinds",
    "backward": "tracing.feedback",
    "bundle": "tracing.bundles",
    "convert": "optimizers.values",
    "exact_match": "trainers",
    "function_tests": "trainers",
    "model": "tracing.modules",
    "node": "tracing.nodes",
    "numeric_tolerance": "trainers",
    "read_suggestion": "optimizers.values",
    "replay": "tracing.replaying",
    "schema_for": "optimizers.values",
    "stop_tracing": "tracing.tape",
    "to_html": "tracing.drawing",
    "to_svg": "tracing.drawing",
    "trace_of": "tracing.graph",
    "value_summary": "tracing.roles",
    "weighted": "trainers",
    "zero_feedback": "tracing.feedback",
}

__all__ = [
    "OPRO",
    "AggregatedUpdate",
    "BasicSearch",
    "BeamSearch",
    "BoundBundle",
    "Bundled",
    "CodeParameter",
    "ExceptionNode",
    "ExecutionError",
    "GraphError",
    "GraphPropagator",
    "GuideError",
    "HeuristicProposer",
    "Limits",
    "MessageNode",
    "Minibatch",
    "MissingInputsError",
    "Module",
    "Node",
    "Optimizer",
    "OptoPrime",
    "OptoPrimeMulti",
    "ParameterNode",
    "ParetoSearch",
    "PrioritySearch",
    "Propagator",
    "ReplayError",
    "Roles",
    "StepReport",
    "SumPropagator",
    "Tape",
    "TextGrad",
    "TraceGraph",
    "TrainingResult",
    "UCBSearch",
    "ValueRejected",
    "backward",
    "bundle",
    "convert",
    "exact_match",
    "function_tests",
    "model",
    "node",
    "numeric_tolerance",
    "read_suggestion",
    "replay",
    "schema_for",
    "stop_tracing",
    "to_html",
    "to_svg",
    "trace_of",
    "value_summary",
    "weighted",
    "zero_feedback",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES, modules=("trainers",))


def __dir__() -> list[str]:
    return __all__
