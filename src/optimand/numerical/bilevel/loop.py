"""What a problem of the family hands to a method, and the run loop: steps until the gradient calls are spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...core.contracts import Method
from ...core.recorder import Diverged, Recorder
from ...core.running import BudgetSpent, Meter, resume, save
from ...core.seeds import SeedTree
from ...core.validation import OptimandError
from .oracle import PairedOracle

if TYPE_CHECKING:
    from .problems import BilevelProblem

Array = Any
Metrics = Mapping[str, Mapping[str, float]]
EVALUATIONS = 40
HUGE = 1e9


@dataclass
class Instance:
    """One instance of a bilevel problem.

    Attributes:
        oracle: gradients; baselines also ask for ``lower_gradient(x, y)`` (``∇_y g``), ``upper_gradients(x, y)``
            (``∇_x f`` and ``∇_y f``) and ``second_order(x, y)``: products with ``∇²_yy g`` and with ``∇²_xy g``, each
            use of which counts two gradients. The family's own problems have them.
        x0, y0: starts.
        evaluate: ``(x, z) -> {split: {metric: value}}``.
        upper_unit: an upper step of a sensible size; methods take multiples of it.
        neutral: an upper variable that a user would choose without tuning.
        project_x, project_y: sets; None for no constraint.
        sampler: ``batch size -> sampler of paired batches``; None where there are no samples.
        rng: the method's randomness.
        free: ``y -> 1`` where a coordinate of y is off its bounds, else 0; None without lower constraints.
    """

    oracle: Any
    x0: Array
    y0: Array
    evaluate: Callable[[Array, Array], Metrics]
    upper_unit: float
    neutral: Array
    project_x: Any = None
    project_y: Any = None
    sampler: Callable[[int], Callable[[np.random.Generator], Any]] | None = None
    free: Callable[[Array], Array] | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class Stepper(Protocol):
    """What a method of the family builds: ``build(instance, **hyper)``.

    Attributes:
        x: upper variable.
        z: lower solution, by which the method is judged.
    """

    x: Array
    z: Array

    def step(self) -> None:
        """One step; may raise FloatingPointError."""


def is_stepper(value: Any) -> bool:
    """Whether ``value`` has what :class:`Stepper` asks."""
    return callable(getattr(value, "step", None)) and all(hasattr(value, name) for name in ("x", "z"))


def run(
    problem: BilevelProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Run a method on a problem once.

    The oracle itself counts, so a method cannot forget to, and a counter of the method's own is refused. The step that
    would exceed the budget is not taken. What is judged is z, the lower solution.

    Args:
        problem: of this family.
        method: its ``build(instance, **hyper)`` returns a :class:`Stepper`.
        hyper: hyperparameters that differ from the method's defaults.
        seed: the run's branch of the tree.
        budget: gradient calls.
        recorder: takes the stream.

    Raises:
        Diverged: a point or a gradient is no longer finite.
    """
    instance = problem.make(seed.child("data"))
    instance.rng = seed.child("method").numpy()
    counter = instance.oracle.counter = Meter(budget)
    try:
        with recorder.timed(), np.errstate(over="ignore", invalid="ignore"):
            stepper = method.build(instance, **{**method.defaults, **hyper})
    except BudgetSpent:
        raise OptimandError(f"method {method.name!r} needs more than {budget} gradient calls to start") from None
    if not is_stepper(stepper):
        raise OptimandError(f"method {method.name!r} returned a {type(stepper).__name__}, which has no step(), x and z")
    if resumed := resume(recorder, stepper):
        # An object that was kept whole has an oracle of its own, that of the instance that was kept with it.
        stepper, (counts, kept) = resumed
        instance = kept or instance
        counter = instance.oracle.counter
        counter.total, counter.by_kind = counts
    else:
        _record(recorder, instance, counter, stepper)
    spent, every = False, budget / EVALUATIONS

    def next_mark() -> float:
        return min(budget, (counter.total // every + 1) * every)

    mark = next_mark()
    while not spent and counter.total < budget:
        before = counter.total
        try:
            with recorder.timed(), np.errstate(over="ignore", invalid="ignore"):
                stepper.step()
        except BudgetSpent:
            spent = True
        except FloatingPointError as error:
            recorder.note(stopped=str(error))
            raise Diverged(counter.total, str(error)) from error
        if instance.oracle.counter is not counter:
            raise OptimandError(f"method {method.name!r} replaced the counter of gradient calls")
        if counter.total == before and not spent:
            raise OptimandError(f"method {method.name!r} took a step without asking for a gradient")
        recorder.progress(counter.total)
        if spent or counter.total >= mark:
            _record(recorder, instance, counter, stepper)
            mark = next_mark()
        if not spent:
            kept = None if hasattr(stepper, "state_dict") else instance
            save(recorder, stepper, (counter.total, counter.by_kind), kept)
    recorder.progress(budget)
    recorder.cost(
        seconds_per_unit=recorder.seconds / max(counter.total, 1),
        oracle_calls=counter.total,
        state_bytes=_state_bytes(stepper),
    )


def _record(recorder: Recorder, instance: Instance, counter: Meter, stepper: Any) -> None:
    if not (np.isfinite(stepper.x).all() and np.isfinite(stepper.z).all()):
        raise Diverged(counter.total, "x or z is not finite")
    # Evaluation asks no oracle, so the total is the method's own.
    for split, values in instance.evaluate(stepper.x, stepper.z).items():
        if not all(math.isfinite(v) and abs(v) < HUGE for v in values.values()):
            raise Diverged(counter.total, f"a metric on {split} is not finite, or above {HUGE:g}")
        recorder.record(counter.total, split, **values)


def _state_bytes(stepper: Any) -> int:
    """Bytes of the arrays that a method holds between steps, each counted once."""
    found: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, np.ndarray):
            found[id(value)] = value.nbytes
        elif isinstance(value, tuple | list):
            for part in value:
                visit(part)
        elif type(value).__module__.startswith(__package__) and not isinstance(value, PairedOracle | Instance):
            visit([*vars(value).values()])  # a rule for steps, with arrays of its own

    for value in vars(stepper).values():
        visit(value)
    return sum(found.values())
