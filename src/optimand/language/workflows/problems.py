"""Problems of the family ``workflows``: random arithmetic, traffic lights, Battleship, broken functions, a pipeline.

The budget counts evaluations: one is one execution of the workflow. The metric at a position is that of the best values
evaluated until then; the present ones' is recorded as ``<metric>_now``. On ``test`` it is the metric of the same values
on what the guide never looks at: other days of traffic, other boards, other arguments, other images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number
from optimand.language.llm import endpoint_configured

from .loop import Hidden, Workflow, run

DIRECTIONAL = ("heuristic", "heuristic-masked", "random-values")
SCORED = ("heuristic", "random-values", "nelder-mead", "tpe")


@dataclass(frozen=True, kw_only=True)
class WorkflowProblem:
    """A workflow to improve within a budget of executions.

    Attributes:
        name: what users type.
        make: draws an instance from a generator.
        summary: one line.
        metric: what is recorded.
        budget: evaluations by default.
        direction: whether the metric is better when lower or higher.
        target: metric that counts for time-to-target, or None.
        solved: metric from which on an instance counts as solved, or None.
        methods: those compared by default.

    Example:
        >>> from optimand.language.workflows.methods import heuristic
        >>> recorder = Recorder(12)
        >>> method = Method("heuristic", "workflows", heuristic, {"step": 0.25}, {})
        >>> numeric_workflow().run(method, {}, seed=SeedTree(0), budget=12, recorder=recorder)
        >>> recorder.last("test", "error") < 0.01
        True
    """

    name: str
    make: Callable[[np.random.Generator], Workflow]
    summary: str
    metric: str = "error"
    budget: int = 30
    direction: Literal["min", "max"] = "min"
    target: float | None = None
    solved: float | None = None
    methods: tuple[str, ...] = SCORED

    family: ClassVar[str] = "workflows"
    unit: ClassVar[str] = "evaluations"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        check_choice("direction", self.direction, ("min", "max"))
        if self.target is not None:
            check_number("target", self.target)
        if not callable(self.make):
            raise TypeError(f"make must be a function of a generator, got {self.make!r:.60}")

    def instance(self, rng: np.random.Generator) -> Workflow:
        """An instance drawn from ``rng``."""
        workflow = self.make(rng)
        if not isinstance(workflow, Workflow):
            raise TypeError(f"make must return a Workflow, got a {type(workflow).__name__}")
        if self.direction == "max" and workflow.worst == math.inf:  # the default, meant for errors
            workflow.worst = -math.inf
        return workflow

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.language.workflows.loop.run`."""
        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


def _parameter(value: Any, **about: Any) -> Any:
    from .tracing.nodes import ParameterNode

    return ParameterNode(value, **about)


def _pinned(instance: int | None, rng: np.random.Generator) -> np.random.Generator:
    return rng if instance is None else np.random.default_rng(instance)


def _for_code() -> tuple[str, ...]:
    """Methods for code: those that ask a model where one is configured; without, there is nothing that changes code."""
    return ("heuristic", "optoprime", "opro") if endpoint_configured() else ("heuristic", "random-values")


def _check_instance(instance: int | None) -> str:
    return "" if instance is None else f",instance={check_int('instance', instance, low=0)}"


@problem("numeric-workflow", family="workflows")
def numeric_workflow(
    params: int = 1, ops: int = 10, separable: bool = True, instance: int | None = None, budget: int = 12
) -> WorkflowProblem:
    """Random arithmetic whose output has to hit a hidden value; feedback says larger or smaller, no more.

    Args:
        params: parameters, 1 to 5.
        ops: most operations, at least ``2 params - 1``.
        separable: parameters' results are added, so that the output is monotone in each; else also subtracted and
            multiplied.
        instance: seed of a fixed graph; None to draw one from the run's seed.
        budget: evaluations.
    """
    from .instances.numeric_graphs import random_graph

    check_int("params", params, low=1, high=5)
    check_int("ops", ops, low=2 * params - 1)
    check_choice("separable", separable, (True, False))

    def make(rng: np.random.Generator) -> Workflow:
        graph = random_graph(_pinned(instance, rng), params=params, separable=separable, ops=ops)
        parameters = tuple(_parameter(x, name="x", minimum=-1.0, maximum=1.0) for x in graph.start)
        return Workflow(
            parameters=parameters,
            forward=functools.partial(graph.trace, parameters),
            guide=graph.feedback,
            measure=graph.error_of,
        )

    return WorkflowProblem(
        name=f"numeric-workflow:params={params},ops={ops},separable={separable}{_check_instance(instance)}",
        make=make, budget=budget, target=1e-2, solved=1e-2, methods=DIRECTIONAL,
        summary=f"hit the hidden value of random arithmetic of at most {ops} operations by larger/smaller, "
        f"{params} parameter{'s' if params > 1 else ''}",
    )  # fmt: skip


@problem("traffic-lights", family="workflows")
def traffic_lights(days: int = 3, instance: int | None = None, budget: int = 40) -> WorkflowProblem:
    """Two green times at a crossing: mean wait in units of that under Webster's formula, which knows the rates.

    Args:
        days: of traffic that an evaluation simulates, and as many others for ``test``.
        instance: seed of a fixed crossing; None to draw one from the run's seed.
        budget: evaluations.
    """
    from .instances import traffic

    check_int("days", days, low=1)

    def make(rng: np.random.Generator) -> Workflow:
        crossing = traffic.draw_crossing(_pinned(instance, rng), days)
        rule = traffic.webster(crossing.rates)
        usual, other = crossing.wait(rule), crossing.wait(rule, held_out=True)
        parameters = tuple(
            _parameter(20.0, name=f"green_{street}", minimum=traffic.SHORTEST, maximum=traffic.LONGEST,
                       description=f"Seconds of green for the {street.replace('_', '-')} street.")
            for street in traffic.STREETS
        )  # fmt: skip
        return Workflow(
            parameters=parameters,
            forward=lambda: traffic.trace(crossing, parameters),
            guide=traffic.feedback,
            measure=lambda output: output["wait"] / usual,
            held_out=lambda: crossing.wait([p.data for p in parameters], held_out=True) / other,
        )

    return WorkflowProblem(
        name=f"traffic-lights:days={days}{_check_instance(instance)}", make=make, metric="wait", budget=budget,
        target=1.0, methods=(*SCORED, "saturation-rule"),
        summary=f"two green times on {days} simulated peak hours; wait in units of Webster's",
    )  # fmt: skip


@problem("battleship", family="workflows")
def battleship(policy: str = "weights", boards: int = 40, budget: int = 40) -> WorkflowProblem:
    """Where to shoot next on 6 x 6 cells: the share of ships hit in 18 shots, by five weights or by a function's code.

    Args:
        policy: ``weights`` of features (numbers and options), or ``code`` of a function (for language models).
        boards: that an evaluation plays, and as many others for ``test``; ``code`` plays one, and three for ``test``,
            since each shot is a part of the graph.
        budget: evaluations.
    """
    check_choice("policy", policy, ("weights", "code"))
    check_int("boards", boards, low=1)
    from .instances import battleship as game

    if policy == "code":
        from .instances.coded import battleship_workflow

        make: Callable[[np.random.Generator], Workflow] = battleship_workflow
    else:
        make = functools.partial(_weighted_battleship, boards)
    weighted = policy == "weights"
    return WorkflowProblem(
        name=f"battleship:policy={policy}" + (f",boards={boards}" if weighted else ""),
        make=make, metric="reward", direction="max", budget=budget, target=0.7,
        methods=SCORED if weighted else _for_code(),
        summary=f"Battleship on {game.SIZE} x {game.SIZE}: share of ships' cells hit in {game.SHOTS} shots, {policy}",
    )  # fmt: skip


def _weighted_battleship(count: int, rng: np.random.Generator) -> Workflow:
    from .instances import battleship as game
    from .tracing.nodes import Node

    fleets = []
    for _ in range(2):
        drawn = game.draw_boards(rng, count)
        fleets.append((drawn, rng.uniform(0.0, 1e-3, drawn.shape)))
    numbers = [
        _parameter(0.0, name=name, minimum=-2.0, maximum=2.0, description=f"Weight of the feature {name}.")
        for name in game.FEATURES
    ]
    fleet = Node(Hidden(fleets[0], f"{count} boards"), name="fleet", description="The boards of the games.")

    def guide(output: Mapping[str, float]) -> str:
        return (
            f"score: {output['share']:.4f}, the mean share of ships' cells hit in {game.SHOTS} shots; "
            f"{output['worst']:.2f} in the worst game, {output['best']:.2f} in the best."
        )

    return Workflow(
        parameters=tuple(numbers),
        forward=lambda: game.traced_play()(*numbers, fleet),
        guide=guide,
        measure=lambda output: output["share"],
        held_out=lambda: float(game.play([p.data for p in numbers], *fleets[1]).mean()),
        worst=0.0,
    )


@problem("function-repair", family="workflows")
def function_repair(task: str = "any", budget: int = 8) -> WorkflowProblem:
    """A function with one fault, against the standard library's; feedback shows the cases that fail. Needs a model.

    Args:
        task: which function, or ``any`` to draw one; the fault is drawn.
        budget: evaluations.
    """
    from .instances import repair

    check_choice("task", task, ("any", *repair.TASKS))

    def make(rng: np.random.Generator) -> Workflow:
        from .instances.coded import repair_workflow

        return repair_workflow(None if task == "any" else task, rng)

    return WorkflowProblem(
        name=f"function-repair:task={task}", make=make, metric="failing", budget=budget, target=0.0,
        methods=_for_code(),
        summary="repair a function by its failing cases: share of cases that fail, test: other arguments",
    )  # fmt: skip


@problem("digits-pipeline", family="workflows", needs="scikit-learn")
def digits_pipeline(train: int = 400, budget: int = 40) -> WorkflowProblem:
    """Settings of a pipeline that reads handwritten digits: scaling, principal components, nearest neighbours.

    Args:
        train: images to learn from, 50 to 1000; 350 others for ``valid`` and for ``test``.
        budget: evaluations.
    """
    check_int("train", train, low=50, high=1000)

    def make(rng: np.random.Generator) -> Workflow:
        from .instances.pipeline import digits_workflow

        return digits_workflow(train, rng)

    return WorkflowProblem(
        name=f"digits-pipeline:train={train}", make=make, metric="error", budget=budget, target=0.05,
        summary=f"five settings of a pipeline on handwritten digits, {train} to learn from: share read wrongly",
    )  # fmt: skip
