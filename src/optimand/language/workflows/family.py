"""The family ``workflows``: optimizers of parameters in traced programs, compared by executions of the program."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

from .loop import Workflow, takes_seed

GIVEN = ("seed",)
TUNED = ("step", "lr", "temperature", "size")
REHEARSAL = 3  # evaluations

_EXPECTED = (
    "expected a class or function of parameters (and seed=..., hyperparameters) that returns an object with "
    "zero_feedback(), backward(target, feedback) and step(), or a function propose(history) that returns "
    "{name: value}"
)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's optimizer into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function ``build(parameters, *, seed=..., **hyper)`` whose result has ``zero_feedback()``,
            ``backward(target, feedback)`` and ``step()``; or a function ``propose(history, **hyper)``, its first
            parameter called ``history``, that gets all evaluations so far, oldest first, as pairs of values by name and
            feedback, and returns the values to evaluate next, by name. ``seed`` is given to those that take it.
            Hyperparameters need defaults; ``step``, ``lr``, ``size`` and ``temperature`` are tuned.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small workflow.

    Example:
        >>> def halve(history, factor=0.5):
        ...     values, feedback = history[-1]
        ...     return {name: value * factor for name, value in values.items()}
        >>> adopt("halve", halve).defaults
        {'factor': 0.5}
    """

    def build(parameters: Any, *, seed: int = 0, **hyper: Any) -> Any:
        given = {**hyper, "seed": seed} if takes_seed(obj) else hyper
        proposes = next(iter(inspect.signature(obj).parameters)) == "history"
        return _from_history(obj, given)(parameters) if proposes else obj(parameters, **given)

    def trial(method: Method) -> None:
        try:
            rehearse(method)
        except OptimandError as error:
            if f"method {name!r}" in str(error):
                raise
            raise OptimandError(f"method {name!r}: {error}") from error

    return adoption.adopt(
        name,
        obj,
        family="workflows",
        takes="parameters",
        expected=_EXPECTED,
        on="a small workflow",
        trial=trial,
        build=build,
        given=GIVEN,
        tuned=TUNED,
        factor=10,
    )


def _from_history(function: Callable[..., Any], hyper: Mapping[str, Any]) -> Callable[..., Any]:
    from .optimizers.optimizer import Optimizer, Proposal

    class FromHistory(Optimizer):
        """A user's function of the history as an optimizer."""

        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters)
            self.history: list[tuple[dict[str, Any], Any]] = []
            self._output: Any = None

        def propose(self, **options: Any) -> Proposal:
            graph = self.feedback_graph()
            if self._output is not graph.output:
                self._output = graph.output
                self.history.append(({name_in(p): p.data for p in self.parameters}, graph.feedback))
            found = function(list(self.history), **hyper)
            if not isinstance(found, Mapping):
                raise OptimandError(
                    f"propose(history) must return {{name: value}}, got {found!r:.60} ({type(found).__name__})"
                )
            self.steps += 1
            return {self._owned(str(key)): value for key, value in found.items()}

        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "history": [[dict(values), told] for values, told in self.history]}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            super().load_state_dict(state)
            self.history = [(dict(values), told) for values, told in state["history"]]
            self._output = None

    def name_in(parameter: Any) -> str:
        from .optimizers.values import name_of

        return name_of(parameter)

    return FromHistory


def _small() -> Any:
    """A workflow of two numbers, with direction and score in its feedback."""
    from .problems import WorkflowProblem
    from .tracing.nodes import ParameterNode

    def make(rng: Any) -> Workflow:
        x = ParameterNode(0.5, name="x", minimum=-1.0, maximum=1.0)
        z = ParameterNode(0.5, name="z", minimum=0.0, maximum=1.0)
        return Workflow(
            parameters=(x, z),
            forward=lambda: x + z,
            guide=lambda y: f"score: {-abs(y - 0.7):.4f}. The output should be {'larger' if y < 0.7 else 'smaller'}.",
            measure=lambda y: abs(y - 0.7),
        )

    return WorkflowProblem(name="small", make=make, summary="a sum that should be 0.7")


def rehearse(method: Method, budget: int = REHEARSAL) -> Recorder | None:
    """A short run on a small workflow; None where the method's values do not fit this workflow."""
    from .optimizers.kinds import ValueRejected
    from .optimizers.optimizer import UnknownParameter

    # An optimizer made for another problem may propose values that do not fit here, or for names that are not here.
    with contextlib.suppress(ValueRejected, UnknownParameter):
        return _tried(method, budget)
    return None


def _tried(method: Method, budget: int) -> Recorder:
    recorder = Recorder(budget)
    _small().run(method, {}, seed=SeedTree(0), budget=budget, recorder=recorder)
    return recorder


def describe(method: Method) -> dict[str, str]:
    """What a method does with 12 evaluations of a small workflow; of one that asks a language model, that it does."""
    if "chat" in method.defaults:
        return {"asks a language model": "yes"}
    try:
        recorder = _tried(method, 12)
    except OptimandError as error:
        return {"on a small workflow": str(error)}
    return {
        "asks a language model": "no",
        "error after 12 evaluations of x + z, wanted 0.7": f"{recorder.last('test', 'error'):.2g}",
    }


add_family(
    Family(
        name="workflows",
        takes="a function `propose(history) -> values`, or a class of the parameters with `zero_feedback`, "
        "`backward` and `step`",
        guide="workflows.md",
        summary="improve parameters of traced programs by feedback; compared by executions of the program",
        adopt=adopt,
        describe=describe,
        methods=("heuristic", "random-values", "nelder-mead", "tpe"),
    )
)
