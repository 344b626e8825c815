"""The run loop of the family ``workflows``: run the workflow, ask the guide, go backward, step; count evaluations.

One evaluation is one execution of the workflow, whoever asks for it: an optimizer's replays of the recorded graph on
other values count as well. What is recorded after each is the metric of the best values so far, chosen by the metric
on ``valid``, and of the present ones; on ``test`` it is that of the same values on what the guide never looks at, where
a problem has such. An optimizer gets nodes and feedback; targets and held-out data stay on this side.
"""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.running import BudgetSpent
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.language.llm.base import BudgetExceeded, ChatError

from .optimizers.kinds import ValueRejected
from .optimizers.optimizer import UnknownParameter
from .tracing.tape import Tape

if TYPE_CHECKING:
    from .problems import WorkflowProblem
    from .tracing.nodes import Node, ParameterNode

_CONTRACT = "zero_feedback(), backward(target, feedback) and step()"


class Hidden:
    """A value in a graph that prompts and pictures show as a phrase: data, or what would give the answer away.

    Example:
        >>> Hidden([1, 2, 3], "three numbers")
        <three numbers>
    """

    __slots__ = ("text", "value")

    def __init__(self, value: Any, text: str) -> None:
        self.value, self.text = value, text

    def __repr__(self) -> str:
        return f"<{self.text}>"


@dataclass
class Workflow:
    """An instance for a run.

    Attributes:
        parameters: what may change.
        forward: runs the workflow on the parameters' present values; may raise ExecutionError.
        guide: feedback on the output's value, a text or a score.
        measure: the metric of an output's value, on ``valid``.
        held_out: the metric at the parameters' present values on what the guide never looks at; None where there is no
            such thing, and ``test`` is ``valid``.
        worst: the metric where the workflow fails; the default becomes minus infinity where more is better.
        close: called at the end of the run.
    """

    parameters: tuple[ParameterNode, ...]
    forward: Callable[[], Node]
    guide: Callable[[Any], Any]
    measure: Callable[[Any], float]
    held_out: Callable[[], float] | None = None
    worst: float = math.inf
    close: Callable[[], None] | None = None


def evaluate(workflow: Workflow) -> tuple[Node, Any, float]:
    """Run a workflow once.

    Returns:
        The node to send feedback to, the feedback, and the metric: of the output, or where the workflow raised an
        exception its node, its text with the failing line marked, and the worst metric.
    """
    from .tracing.nodes import ExecutionError

    try:
        output = workflow.forward()
    except ExecutionError as error:
        return error.exception_node, error.exception_node.create_feedback("full"), workflow.worst
    metric = float(workflow.measure(output.data))
    return output, workflow.guide(output.data), metric if math.isfinite(metric) else workflow.worst


def run(
    problem: WorkflowProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Run ``method`` on an instance of ``problem`` for ``budget`` evaluations.

    Args:
        problem: makes the instance from ``seed.child("data")``.
        method: its ``build(parameters, seed=..., **hyper)`` gives the optimizer.
        hyper: hyperparameters.
        seed: the run's branch; the method draws from ``seed.child("method")``.
        budget: executions of the workflow.
        recorder: takes the metric on ``valid`` and ``test``.

    Raises:
        OptimandError: the method builds no optimizer, or a value that no parameter can have.
    """
    # Prompts, and so replies, depend on names: these on the seed only.
    with Tape(fresh=True):
        workflow = problem.instance(seed.child("data").numpy())
        try:
            _Run(problem, workflow, method, {**method.defaults, **hyper}, seed, budget, recorder).go()
        finally:
            if workflow.close is not None:
                workflow.close()


class _Run:
    """One run: what is counted, what is best, what is saved."""

    def __init__(
        self,
        problem: WorkflowProblem,
        workflow: Workflow,
        method: Method,
        hyper: Mapping[str, Any],
        seed: SeedTree,
        budget: int,
        recorder: Recorder,
    ) -> None:
        self.problem, self.workflow, self.budget, self.recorder = problem, workflow, budget, recorder
        self.spent, self.replays, self.calls, self.tokens = 0, 0, 0, 0
        self.asked, self.usable = 0, 0  # steps that asked a model, and those whose replies gave something
        self.best: tuple[float, float] | None = None  # metric on valid, on test
        self.now: tuple[float, float] | None = None
        self._values = b""
        given = dict(hyper)
        if takes_seed(method.build):
            given["seed"] = seed.child("method").integer()
        with recorder.timed():
            self.optimizer = method.build(workflow.parameters, **given)
        check_optimizer(method.name, self.optimizer)
        self.name = method.name
        if hasattr(self.optimizer, "on_replay"):
            self.optimizer.on_replay = self._replayed

    def go(self) -> None:
        self._restore()
        try:
            while self.spent < self.budget:
                self._once()
        except BudgetSpent:
            pass
        except BudgetExceeded as error:
            self.recorder.note(stopped=str(error))
        if self.asked:
            self.recorder.note(suggestions=f"{self.usable} of {self.asked} usable")
        if self.now is not None and self.best is not None:
            self._record(self.budget)
        self.recorder.cost(
            seconds_per_unit=self.recorder.seconds / max(self.spent, 1),
            replays=self.replays,
            llm_calls=self.calls,
            llm_tokens=self.tokens,
        )

    def _once(self) -> None:
        from .tracing.nodes import ExceptionNode

        optimizer, recorder = self.optimizer, self.recorder
        self.spent += 1
        # Names start again in each evaluation: prompts must not depend on how many this process has made.
        with Tape():
            output, feedback, metric = evaluate(self.workflow)
            self._judge(metric, failed=isinstance(output, ExceptionNode))
        if self.spent < self.budget:  # the last values cannot be evaluated any more: no step
            self._record(self.spent)
            with recorder.timed():
                optimizer.zero_feedback()
                optimizer.backward(output, feedback)
                self._step()
            self._charge()
        recorder.progress(self.spent)
        if hasattr(optimizer, "state_dict") and recorder.checkpoint_due():
            values = [parameter.data for parameter in self.workflow.parameters]
            counts = self.spent, self.replays, self.calls, self.tokens, self.asked, self.usable
            recorder.save(pickle.dumps((optimizer.state_dict(), values, counts, self.best, self.now)))

    def _step(self) -> None:
        try:
            self.optimizer.step()
        except OptimandError as error:
            if isinstance(error, ChatError) or f"method {self.name!r}" in str(error):
                raise
            kind = type(error) if isinstance(error, ValueRejected | UnknownParameter) else OptimandError
            raise kind(f"method {self.name!r}: {error}") from error

    def _judge(self, metric: float, *, failed: bool) -> None:
        """Take over the present values as the best ones if they are; where the workflow failed, so do held-out data."""
        sign = 1.0 if self.problem.direction == "min" else -1.0
        held_out = self.workflow.held_out
        values = pickle.dumps([parameter.data for parameter in self.workflow.parameters])
        test = metric
        if held_out is not None and not failed:
            # What is held out is looked at only where something changed.
            test = self.now[1] if self.now is not None and values == self._values else float(held_out())
        self._values, self.now = values, (metric, test)
        if self.best is None or sign * metric < sign * self.best[0]:
            self.best = self.now

    def _record(self, at: float) -> None:
        assert self.best is not None
        assert self.now is not None
        name = self.problem.metric
        for split, best, now in zip(("valid", "test"), self.best, self.now, strict=True):
            self.recorder.record(at, split, **{name: best, f"{name}_now": now})

    def _charge(self) -> None:
        report = getattr(self.optimizer, "report", None)
        usage = getattr(report, "usage", None)
        if report is not None and usage is not None:
            self.calls += usage.calls
            self.tokens += usage.tokens
            self.asked += usage.calls > 0
            self.usable += usage.calls > 0 and bool(report.proposed or report.terminated)

    def _replayed(self) -> None:
        if self.spent + 1 >= self.budget:  # what it tells could not be used any more
            raise BudgetSpent
        self.spent += 1
        self.replays += 1
        self._record(self.spent)

    def _restore(self) -> None:
        saved = self.recorder.restore() if hasattr(self.optimizer, "load_state_dict") else None
        if saved is None:
            return
        state, values, counts, self.best, self.now = pickle.loads(saved)
        self.spent, self.replays, self.calls, self.tokens, self.asked, self.usable = counts
        for parameter, value in zip(self.workflow.parameters, values, strict=True):
            parameter.data = value
        self.optimizer.load_state_dict(state)


def takes_seed(build: Callable[..., Any]) -> bool:
    """Whether a factory of optimizers takes ``seed``."""
    parameters = inspect.signature(build).parameters
    return "seed" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_optimizer(name: str, optimizer: Any) -> None:
    """OptimandError unless ``optimizer`` has what a run needs."""
    missing = [verb for verb in ("zero_feedback", "backward", "step") if not callable(getattr(optimizer, verb, None))]
    if missing:
        raise OptimandError(
            f"method {name!r} must build an object with {_CONTRACT}, got {optimizer!r:.80} "
            f"({type(optimizer).__name__}), which lacks {', '.join(missing)}"
        )
