"""Simulations of streams for the engine: with compiled learners, or with any learner that has the step interface."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optimand.core.validation import OptimandError

from ..engine.draws import Draws
from ..engine.rollout import Rollout
from .accounts import COMPARATORS, Accounts, Array, copy_rows, counts, restore_rows
from .base import check_learner, set_state, state_of
from .plans import Compiled, compile_plan
from .stream import ArmStream


def make_rollout(
    learner: Any, accounts: Accounts, *, learner_draws: Draws, comparators: Sequence[str], name: str,
    memory: int | None, compiled: bool,
) -> CompiledRollout | PlainRollout:  # fmt: skip
    """The simulation of a learner on the streams of ``accounts``, compiled where there is a loop for it."""
    check_learner(name, learner)
    # An arm too many is an error that only plain streams raise.
    plan = compile_plan(learner, accounts, learner_draws) if compiled and memory is None else None
    if plan is not None:
        return CompiledRollout(accounts, comparators, plan)
    return PlainRollout(accounts, comparators, learner, learner_draws, name, memory)


class _Recorded(Rollout):
    """What both kinds share: the accounts."""

    def __init__(self, accounts: Accounts, comparators: Sequence[str]) -> None:
        super().__init__(accounts.grid, len(accounts.rows), comparators)
        self.accounts = accounts

    def _regret(self, comparator: str) -> Array:
        return self.accounts.curves[:, COMPARATORS.index(comparator), self.position]

    def extras(self) -> dict[str, Array]:
        """Explored pulls, their share of the horizon, the peak of live arms, the gap of the arm committed to."""
        return counts(self.accounts)

    def state_dict(self) -> dict[str, Any]:
        """Accounts, learners and what is recorded."""
        return {
            "accounts": copy_rows(self.accounts), "position": self.position, "curves": copy.deepcopy(self.curves),
            "learners": self._learners(),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a stored state."""
        restore_rows(self.accounts, state["accounts"])
        self.position, self.curves = state["position"], copy.deepcopy(state["curves"])
        self._restore(state["learners"])

    def _learners(self) -> Any:
        raise NotImplementedError

    def _restore(self, state: Any) -> None:
        raise NotImplementedError


class CompiledRollout(_Recorded):
    """All repetitions in one compiled loop."""

    compiled = True

    def __init__(self, accounts: Accounts, comparators: Sequence[str], plan: Compiled) -> None:
        super().__init__(accounts, comparators)
        self.plan = plan

    def _until(self, target: int) -> None:
        self.plan.run(self.accounts, *self.plan.counts, *self.plan.state, target)

    def _learners(self) -> Any:
        return [array.copy() for array in self.plan.state]

    def _restore(self, state: Any) -> None:
        for array, values in zip(self.plan.state, state, strict=True):
            array[...] = values


class PlainRollout(_Recorded):
    """A copy of the learner and a stream for each repetition, one after another."""

    def __init__(
        self, accounts: Accounts, comparators: Sequence[str], learner: Any, draws: Draws, name: str, memory: int | None
    ) -> None:
        super().__init__(accounts, comparators)
        self.name = name
        self.streams = [ArmStream(accounts, row, memory=memory) for row in range(len(accounts.rows))]
        self.learners = [copy.deepcopy(learner) for _ in self.streams]
        for mine, rep in zip(self.learners, accounts.rows["rep"], strict=True):
            prepare(mine, draws, int(rep))
            mine.start(accounts.means.shape[1], accounts.terms.horizon)

    def _until(self, target: int) -> None:
        for learner, stream in zip(self.learners, self.streams, strict=True):
            while not stream.committed and (stream.time < target or target == self.accounts.terms.horizon):
                step(self.name, learner, stream)

    def _learners(self) -> Any:
        return [(copy.deepcopy(state_of(learner)), stream.state_dict()) for learner, stream in self._pairs()]

    def _restore(self, state: Any) -> None:
        for (learner, stream), (mine, its) in zip(self._pairs(), state, strict=True):
            stream.load_state_dict(its)
            set_state(learner, stream.rebind(mine))

    def _pairs(self) -> list[tuple[Any, ArmStream]]:
        return list(zip(self.learners, self.streams, strict=True))


def prepare(learner: Any, draws: Draws, rep: int) -> None:
    """Give a learner that draws random numbers its own source."""
    if callable(getattr(learner, "draw_from", None)):
        learner.draw_from(Draws(draws.tree, [rep]))


def step(name: str, learner: Any, stream: ArmStream) -> None:
    """One arrival, or the commitment after the last one."""
    arm = next(stream, None)
    if arm is not None:
        learner.observe_arm(arm)
        return
    chosen = learner.commit()
    try:
        stream.commit(chosen)
    except OptimandError as error:
        raise type(error)(f"learner {name!r}: {error}") from error
