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

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import trainers as trainers
    from .heuristic.proposer import HeuristicProposer as HeuristicProposer
    from .optimizers.kinds import ValueRejected as ValueRejected
    from .optimizers.multi import OptoPrimeMulti as OptoPrimeMulti
    from .optimizers.opro import OPRO as OPRO
    from .optimizers.optimizer import Optimizer as Optimizer
    from .optimizers.optoprime import OptoPrime as OptoPrime
    from .optimizers.reports import StepReport as StepReport
    from .optimizers.sections import Limits as Limits
    from .optimizers.textgrad import TextGrad as TextGrad
    from .optimizers.values import convert as convert
    from .optimizers.values import read_suggestion as read_suggestion
    from .optimizers.values import schema_for as schema_for
    from .tracing.base import ExceptionNode as ExceptionNode
    from .tracing.base import ExecutionError as ExecutionError
    from .tracing.base import MessageNode as MessageNode
    from .tracing.base import Node as Node
    from .tracing.bundles import BoundBundle as BoundBundle
    from .tracing.bundles import Bundled as Bundled
    from .tracing.bundles import bundle as bundle
    from .tracing.calls import MissingInputsError as MissingInputsError
    from .tracing.drawing import to_html as to_html
    from .tracing.drawing import to_svg as to_svg
    from .tracing.feedback import backward as backward
    from .tracing.feedback import zero_feedback as zero_feedback
    from .tracing.graph import GraphError as GraphError
    from .tracing.graph import TraceGraph as TraceGraph
    from .tracing.graph import trace_of as trace_of
    from .tracing.modules import Module as Module
    from .tracing.modules import model as model
    from .tracing.nodes import node as node
    from .tracing.parameters import CodeParameter as CodeParameter
    from .tracing.parameters import ParameterNode as ParameterNode
    from .tracing.propagators import GraphPropagator as GraphPropagator
    from .tracing.propagators import Propagator as Propagator
    from .tracing.propagators import SumPropagator as SumPropagator
    from .tracing.replaying import ReplayError as ReplayError
    from .tracing.replaying import replay as replay
    from .tracing.roles import Roles as Roles
    from .tracing.roles import value_summary as value_summary
    from .tracing.tape import Tape as Tape
    from .tracing.tape import stop_tracing as stop_tracing
    from .trainers import AggregatedUpdate as AggregatedUpdate
    from .trainers import BasicSearch as BasicSearch
    from .trainers import BeamSearch as BeamSearch
    from .trainers import GuideError as GuideError
    from .trainers import Minibatch as Minibatch
    from .trainers import ParetoSearch as ParetoSearch
    from .trainers import PrioritySearch as PrioritySearch
    from .trainers import TrainingResult as TrainingResult
    from .trainers import UCBSearch as UCBSearch
    from .trainers import exact_match as exact_match
    from .trainers import function_tests as function_tests
    from .trainers import numeric_tolerance as numeric_tolerance
    from .trainers import weighted as weighted

__getattr__, __dir__, __all__ = lazy_exports(__name__)
