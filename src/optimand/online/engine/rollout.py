"""One learner in one environment, for a block of repetitions, from one recording time to the next."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_choice

from .contracts import Array, Environment, Learner, Spec
from .draws import Draws
from .grid import Segments

# Of a rollout, what is made anew or is stored on its own.
_NOT_STATE = ("learner", "env", "grid", "compiled", "_compile", "_fused")


class Rollout:
    """A simulation that can be stopped after any recording time and continued bit for bit.

    A subclass simulates (:meth:`_until`), says what regret came to (:meth:`_regret`), and keeps its state.

    Attributes:
        grid: recording times.
        curves: by comparator the regret at those times, shape ``(R, len(grid))``; NaN at times to come.
        position: how many of the times are recorded.
        compiled: whether a loop runs that is compiled for this learner and this environment.
    """

    compiled = False

    def __init__(self, grid: Array, reps: int, comparators: Sequence[str]) -> None:
        self.grid, self.position = grid, 0
        self.curves: dict[str, Array] = {name: np.full((reps, len(grid)), np.nan) for name in comparators}

    def advance(self) -> None:
        """Go on to the next recording time."""
        self._until(int(self.grid[self.position]))
        for name, curve in self.curves.items():
            curve[:, self.position] = self._regret(name)
        self.position += 1

    def _until(self, target: int) -> None:
        raise NotImplementedError

    def _regret(self, comparator: str) -> Array:
        """Regret at the recording time that was reached, shape ``(R,)``."""
        raise NotImplementedError

    def extras(self) -> dict[str, Array]:
        """What else was counted so far, by name, shape ``(R,)``."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a stored state."""
        raise NotImplementedError


def start(
    learner: Learner,
    env: Environment,
    *,
    horizon: int,
    reps: Any,
    seed: SeedTree,
    grid: Array,
    comparators: Sequence[str] = (),
    name: str = "learner",
    compiled: bool = True,
) -> Rollout:
    """Begin a simulation.

    The environment draws from ``seed.child("environment")``, whoever plays in it; the learner from
    ``seed.child("learner", name)``.

    Args:
        learner, env: used as they are, and reset.
        horizon: rounds, or pulls.
        reps: numbers of the repetitions, shape ``(R,)``.
        seed: branch of the tree of seeds.
        grid: recording times, the last of them ``horizon``.
        comparators: what regret is measured against; the environment's usual one by default.
        name: of the learner, in errors and in the tree of seeds.
        compiled: whether a loop that is compiled for this pair may be used.

    Raises:
        OptimandError: learner and environment do not fit together.
    """
    chosen = tuple(comparators) or default_comparators(env)
    for comparator in chosen:
        check_choice("comparator", comparator, env.comparators)
    draws = Draws(seed.child("environment"), reps)
    mine = Draws(seed.child("learner", name), reps)
    # An environment whose repetitions do not go in step has a simulation of its own.
    begin = getattr(env, "start", None) or functools.partial(InStep, env=env)
    made: Rollout = begin(
        learner, draws=draws, learner_draws=mine, horizon=horizon, grid=grid, comparators=chosen, name=name,
        compiled=compiled,
    )  # fmt: skip
    return made


def default_comparators(env: Environment) -> tuple[str, ...]:
    """The environment's usual comparator; OptimandError for an object that is no environment."""
    missing = [verb for verb in ("reset", "spec", "step", "regret") if not callable(getattr(env, verb, None))]
    if callable(getattr(env, "start", None)):
        missing = []
    if missing or not getattr(env, "comparators", ()):
        lacks = ", ".join(missing) or "comparators, of which it must name at least one"
        raise OptimandError(f"environment {type(env).__name__} lacks {lacks}")
    return tuple(env.comparators[:1])


def check_fit(name: str, learner: Any, spec: Spec, batches: bool = False, late: str = "never") -> None:
    """OptimandError unless the learner can learn from what the environment of ``spec`` reveals."""
    missing = [verb for verb in ("reset", "act", "update") if not callable(getattr(learner, verb, None))]
    if missing:
        hint = "; PerRepetition makes a learner of a plain object" if missing == ["reset"] or "act" in missing else ""
        raise OptimandError(f"learner {name!r} ({type(learner).__name__}) lacks {', '.join(missing)}{hint}")
    kind = getattr(learner, "kind", None)
    if kind != spec.kind:
        raise OptimandError(
            f"learner {name!r} learns from feedback of kind {kind!r}, the environment gives {spec.kind!r}"
        )
    if getattr(learner, "batched", False) and not batches:
        raise OptimandError(f"learner {name!r} acts in batches, which the environment does not take")
    # One that knows nothing of lateness can still follow gradients that all come after the same time.
    if late != "never" and not getattr(learner, "late", False) and (late, spec.kind) != ("constant", "gradient"):
        raise OptimandError(
            f"learner {name!r} takes feedback for that of its last action, and here it arrives late: a learner with "
            "late = True reads action, round and count of the feedback"
        )
    for fact in getattr(learner, "needs", ()):
        value = getattr(spec, fact) if hasattr(spec, fact) else spec.facts.get(fact)
        if value is None:
            raise OptimandError(f"learner {name!r} needs to know {fact}, which the environment does not tell")


class InStep(Rollout):
    """The plain loop: act, step, update; all repetitions in step, or in batches, each at its own pace."""

    def __init__(
        self, learner: Learner, env: Environment, *, draws: Draws, learner_draws: Draws, horizon: int, grid: Array,
        comparators: Sequence[str], name: str, compiled: bool,
    ) -> None:  # fmt: skip
        reps = len(draws.reps)
        super().__init__(grid, reps, comparators)
        self.learner, self.env, self.name, self.horizon, self.time = learner, env, name, horizon, 0
        self.observation = env.reset(draws, horizon)
        spec = env.spec()
        check_fit(name, learner, spec, getattr(env, "batches", False), getattr(env, "late", "never"))
        learner.reset(spec, learner_draws)
        batched = getattr(learner, "batched", False)
        self._segments = {c: Segments(grid, reps) for c in comparators} if batched else None
        self._time = np.zeros(reps, dtype=np.int64)
        self._compile = compiled and not batched
        self._fused = self._fuse()
        self.compiled = self._fused is not None

    def _fuse(self) -> Callable[[int], None] | None:
        fuse: Callable[[Environment], Callable[[int], None] | None] | None = getattr(self.learner, "fuse", None)
        return fuse(self.env) if self._compile and fuse is not None else None

    def _until(self, target: int) -> None:
        if self._segments is not None:
            self._advance_batches(target)
        elif self._fused is not None:
            self._fused(target - self.time)
        else:
            self._advance_rounds(target - self.time)
        self.time = target

    def _regret(self, comparator: str) -> Array:
        if self._segments is not None:
            return self._segments[comparator].curves[:, self.position]
        return self.env.regret(comparator)

    def _advance_rounds(self, rounds: int) -> None:
        act, step, update = self.learner.act, self.env.step, self.learner.update
        observation = self.observation
        for _ in range(rounds):
            feedback = step(act(observation))
            if feedback.late is None:
                update(feedback)
            else:
                for piece in feedback.late:
                    update(piece)
            observation = feedback.observation
        self.observation = observation

    def _advance_batches(self, target: int) -> None:
        assert self._segments is not None
        idle = 0
        while int(self._time.min()) < target:
            actions, counts = self.learner.act(self.observation)
            counts = np.minimum(np.asarray(counts, dtype=np.int64), self.horizon - self._time)
            idle = 0 if counts.any() else idle + 1
            if (counts < 0).any() or idle > 1000:
                raise OptimandError(f"learner {self.name!r} must ask for at least one pull while the horizon lasts")
            feedback = self.env.step(actions, counts)
            feedback.count = counts
            self._time = self._time + counts
            for comparator, segments in self._segments.items():
                segments.extend(self._time, self.env.regret(comparator))
            self.learner.update(feedback)
            self.observation = feedback.observation

    def extras(self) -> dict[str, Array]:
        """What the environment counted besides regret."""
        return self.env.extras()

    def state_dict(self) -> dict[str, Any]:
        """Learner, environment and what is recorded."""
        own = {k: v for k, v in vars(self).items() if k not in _NOT_STATE}
        return {"learner": self.learner.state_dict(), "env": self.env.state_dict(), "own": copy.deepcopy(own)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a stored state."""
        self.learner.load_state_dict(state["learner"])
        self.env.load_state_dict(state["env"])
        vars(self).update(copy.deepcopy(state["own"]))
        self._fused = self._fuse()  # a compiled loop may hold arrays of the state that was replaced
