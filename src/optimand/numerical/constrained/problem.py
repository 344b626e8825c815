"""A problem of the family ``constrained``: instances, what is recorded, what counts as solved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.contracts import Method
from optimand.core.recorder import Diverged, Recorder, log_positions
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int, check_number

from .loop import Trace, run_method
from .nlp import EqualityProblem

POINTS = 40


@dataclass(frozen=True, kw_only=True)
class ConstrainedProblem:
    """One problem with equality constraints, or a set of them; its run is one method on each.

    Attributes:
        name: what users type.
        summary: one line.
        make: the instances for a seed.
        budget: oracle calls on each instance.
        tol: the KKT residual that methods are asked for; an instance counts as solved at ``solved_at``.
        solved_at: residual at which an instance counts as solved.
        max_seconds: the most time a method may take on an instance, where it knows a cap.

    A run records ``kkt``, the best residual so far (:func:`point_residual`; of several instances the geometric mean),
    and, for a set, ``unsolved``: the share of its instances whose residual is still above ``solved_at``. Positions are
    oracle calls: values, gradients and Hessians of the objective and of the constraints count one each.
    """

    name: str
    summary: str
    make: Callable[[SeedTree], Sequence[EqualityProblem]]
    budget: int = 1000
    tol: float = 1e-6
    solved_at: float = 1e-4
    max_seconds: float = 60.0
    metric: str = "kkt"
    target: float | None = 1e-4

    family: ClassVar[str] = "constrained"
    unit: ClassVar[str] = "oracle calls"
    direction: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        check_number("tol", self.tol, low=0, low_open=True)

    @property
    def solved(self) -> float | None:
        """The value of the metric that counts as solved; None for a set, which is ranked by the share unsolved."""
        return self.solved_at if self.metric == "kkt" else None

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once on each instance; see the class for what is recorded."""
        instances = self.make(seed)
        values = method.hyper(hyper)
        # A few calls on the side: imports and compiled loops are loaded before the clock runs.
        run_method(instances[0], method.build, values, budget=12, rng=np.random.default_rng(0), max_seconds=10.0)
        due = log_positions(budget, POINTS)
        single = len(instances) == 1
        traces: list[Trace] = []

        def seen(trace: Trace) -> None:
            # of one instance the curve is recorded as it grows, so that its times are right
            calls = trace.counter.total
            while due and single and due[0] < calls:
                self._record(recorder, due[0], [trace.residual_at(due.pop(0))])
            recorder.progress(calls if single else (len(traces) + calls / budget) / len(instances) * budget)

        for index, instance in enumerate(instances):
            traces.append(
                run_method(
                    instance, method.build, values, budget=budget, timed=recorder.timed, seen=seen, tol=self.tol,
                    max_seconds=self.max_seconds, rng=seed.child("method", index).numpy(),
                )
            )  # fmt: skip
        for at in due:
            self._record(recorder, at, [trace.residual_at(at) for trace in traces])
        self._finish(recorder, instances, traces, budget)

    def _record(self, recorder: Recorder, at: float, residuals: Sequence[float]) -> None:
        if not any(map(math.isfinite, residuals)):
            return
        # a point without finite values weighs as much as a very bad one, so that a mean exists
        mean = math.exp(math.fsum(math.log(min(r, 1e16)) for r in residuals) / len(residuals))
        values = {"kkt": mean}
        if self.metric == "unsolved":
            values["unsolved"] = sum(r > self.solved_at for r in residuals) / len(residuals)
        # there is nothing held out: both splits are the problem itself
        for split in ("valid", "test"):
            recorder.record(at, split, **values)

    def _finish(
        self, recorder: Recorder, instances: Sequence[EqualityProblem], traces: Sequence[Trace], budget: int
    ) -> None:
        final = [trace.residual_at(math.inf) for trace in traces]
        if not any(map(math.isfinite, final)):
            raise Diverged(budget, "no point had finite values")
        calls = sum(trace.counter.total for trace in traces)
        costs = {"oracle_calls": calls, "seconds_per_unit": recorder.seconds / max(calls, 1)}
        for kind in sorted({kind for trace in traces for kind in trace.counter.by_kind}):
            costs[f"{kind.replace(' ', '_')}_calls"] = sum(trace.counter.by_kind[kind] for trace in traces)
        for name, key in (("iterations", "nit"), ("inner_updates", "n_inner")):
            counts = [trace.result[key] for trace in traces if trace.result is not None and key in trace.result]
            if counts:
                costs[name] = float(sum(counts))
        solved = [trace for trace in traces if trace.residual_at(math.inf) <= self.solved_at]
        costs["solved"] = float(len(solved))
        # what a user is told: the method's own verdict, where it is right
        costs["reported_solved"] = float(sum(bool(getattr(trace.result, "success", False)) for trace in solved))
        if solved:
            costs["median_calls_to_solution"] = float(np.median([trace.calls_to(self.solved_at) for trace in solved]))
        recorder.cost(**costs)
        ends = [(problem.name, trace.stopped) for problem, trace in zip(instances, traces, strict=True)]
        stopped = [(name, text) for name, text in ends if text]
        if stopped:
            name, text = stopped[0]
            whole = f"{len(stopped)} of {len(traces)} problems, {name} first: {text}"
            recorder.note(stopped=text if len(traces) == 1 else whole)
