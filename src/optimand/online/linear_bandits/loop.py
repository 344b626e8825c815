"""The run loop of the family ``best-action``: it meters a search's queries and looks at its choice from outside.

A method is a function of an :class:`ActionTask` that returns an action, or a generator function that yields the action
that it would return so far. The task counts every query and ends the search when the budget is spent. What is judged
at a position is the action last yielded within that many queries; before the first one, the best of the answers so far
(with noise: of their means less a standard error), as any search could return that.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.running import BudgetSpent, IdleGuard, resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

from ..engine.grid import recording_grid
from ..engine.running import SPLITS, record_repetitions
from .instances import MisspecifiedLinearBandit
from .queries import Array

if TYPE_CHECKING:
    from .problems import ActionProblem

POSITIONS = 60
# Actions that a search may yield without a query, before it is taken to hang.
IDLE_YIELDS = 1000


@dataclass
class ActionTask:
    """A bandit for a search.

    Attributes:
        Phi: features, shape ``(N, d)``.
        s: nonzero entries of the parameter, at most.
        eps: bound of the error.
        radius: bound of the parameter's norm.
        noise: level of the noise of an answer.
        budget: queries that may be made.
        rng: the search's random numbers.
        shared: room for what a search computes from the features alone; the same for all bandits of a run.
    """

    bandit: MisspecifiedLinearBandit = field(repr=False)
    s: int
    radius: float
    budget: int
    rng: np.random.Generator
    shared: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.Phi, self.eps, self.noise = self.bandit.Phi, self.bandit.eps, self.bandit.noise
        self.answers = _Answers(self.noise)

    @property
    def N(self) -> int:  # noqa: N802 (the field's name)
        """Number of actions."""
        return len(self.Phi)

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.Phi.shape[1])

    @property
    def queries(self) -> int:
        """Queries made so far."""
        return self.answers.count

    def query(self, indices: Any) -> Array:
        """Rewards of the actions ``indices``, an array of integers, repeats allowed.

        Raises:
            BudgetSpent: they are more than are left; as many as are left are answered, to nobody.
            OptimandError: they are no actions.
        """
        indices = np.atleast_1d(np.asarray(indices))
        left = self.budget - self.answers.count
        rewards = self.bandit.query(indices[:left])
        self.answers.add(indices[:left], rewards)
        if len(indices) > left:
            raise BudgetSpent(f"{self.budget} queries are spent")
        return rewards


class _Answers:
    """All answers in order."""

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.actions, self.rewards = np.empty(0, dtype=np.int64), np.empty(0)
        self.count = 0
        self._parts: list[tuple[Array, Array]] = []

    def add(self, actions: Array, rewards: Array) -> None:
        self._parts.append((actions, rewards))
        self.count += len(actions)

    def leader(self, count: int) -> int:
        """The action of the largest mean of the first ``count`` answers, less a standard error of the noise."""
        if self._parts:
            self.actions = np.concatenate([self.actions, *(actions for actions, _ in self._parts)])
            self.rewards = np.concatenate([self.rewards, *(rewards for _, rewards in self._parts)])
            self._parts.clear()
        asked, which, times = np.unique(self.actions[:count], return_inverse=True, return_counts=True)
        means = np.bincount(which, self.rewards[:count]) / times
        # An action that was asked once must not lead by luck over those that were asked often.
        return int(asked[np.argmax(means - self.noise / np.sqrt(times))])


@dataclass
class Followed:
    """What a search did.

    Attributes:
        answers: what it was told.
        yielded: the actions that it named, each with the number of queries before.
    """

    answers: _Answers
    yielded: list[tuple[int, int]]

    @property
    def queries(self) -> int:
        """How many queries it made."""
        return self.answers.count

    @property
    def final(self) -> int:
        """The action at the end."""
        return self.yielded[-1][1] if self.yielded else self.answers.leader(self.queries)

    def at(self, positions: Array) -> Array:
        """Its choice after each number of queries (at least 1), the last one kept once it has ended."""
        begins = np.array([begin for begin, _ in self.yielded], dtype=np.int64)
        found = np.empty(len(positions), dtype=np.int64)
        for j, position in enumerate(positions.tolist()):
            named = int(np.searchsorted(begins, position, side="right"))
            if position >= self.queries:
                found[j] = self.final
            else:
                found[j] = self.yielded[named - 1][1] if named else self.answers.leader(position)
        return found


def follow(method: Method, task: ActionTask, hyper: Mapping[str, Any]) -> Followed:
    """Run a search on a task, to its end or to that of the budget.

    Raises:
        OptimandError: it returns or yields something that is no action.
    """
    yielded: list[tuple[int, int]] = []

    def note(action: Any) -> None:
        yielded.append((task.queries, _check_action(method.name, action, task)))

    with contextlib.suppress(BudgetSpent):
        found = method.build(task, **{**method.defaults, **hyper})
        if inspect.isgenerator(found):
            guard = IdleGuard(method.name, "actions without asking for one", IDLE_YIELDS)
            for action in found:
                note(action)
                guard.worked(task.queries)
            if not yielded and not task.queries:
                raise OptimandError(f"method {method.name!r} ended without yielding an action or asking for one")
        else:
            note(found)
    return Followed(task.answers, yielded)


def _check_action(name: str, action: Any, task: ActionTask) -> int:
    array = np.asarray(action)
    if array.ndim != 0 or not np.issubdtype(array.dtype, np.integer) or not 0 <= int(array) < task.N:
        raise OptimandError(
            f"method {name!r} must return (or yield) an action, an integer in [0, {task.N - 1}], got {action!r:.80}"
        )
    return int(array)


def rehearsal() -> ActionTask:
    """A small bandit, which every method of the family can search."""
    from .generators import gaussian_actions, random_theta

    bandit = MisspecifiedLinearBandit(gaussian_actions(200, 6, 0), random_theta(6, 2, 0), 0.1)
    return ActionTask(bandit, s=2, radius=1.0, budget=200, rng=SeedTree(0).numpy())


def run(
    problem: ActionProblem, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder
) -> None:
    """Search bandits of ``problem``, as many on each split, with ``budget`` queries each.

    A search is a black box that cannot be kept half done: an interrupted run goes on with the bandit that it was at,
    from the start of its search, and ends as an unbroken one.

    Args:
        problem: draws features from ``seed.child("features")``, and bandit ``i`` of a split from
            ``seed.child(split, i)``.
        method: its ``build(task, **hyper)`` is the search.
        hyper: hyperparameters.
        seed: the run's branch; the search of bandit ``i`` draws from ``seed.child("method", split, i)``.
        budget: queries.
        recorder: takes ``suboptimality`` in units of eps, mean and quantiles over the bandits of a split.
    """
    draw: Callable[[SeedTree], MisspecifiedLinearBandit] = problem.prepare(seed.child("features"))
    grid = recording_grid(budget, POSITIONS)
    if method.options.get("compiled"):  # so that no method's clock counts the compiler
        follow(method, rehearsal(), hyper)
    done: dict[str, list[tuple[Array, int]]] = {split: [] for split in SPLITS}
    done, _ = resume(recorder, done) or (done, ())
    shared: dict[Any, Any] = {}
    for number, split in enumerate(SPLITS):
        for i in range(len(done[split]), problem.instances):
            bandit = draw(seed.child(split, i))
            rng = seed.child("method", split, i).numpy()
            task = ActionTask(bandit, problem.s, problem.radius, budget, rng, shared)
            with recorder.timed():
                found = follow(method, task, hyper)
            truth = bandit.oracle()
            lost = (truth.rewards.max() - truth.rewards[found.at(grid)]) / truth.eps
            done[split].append((lost, found.queries))
            recorder.progress((number + (i + 1) / problem.instances) * budget / len(SPLITS))
            save(recorder, done)
    for split in SPLITS:
        curves = np.array([lost for lost, _ in done[split]])
        for j, at in enumerate(grid.tolist()):
            record_repetitions(recorder, at, split, "suboptimality", curves[:, j])
    asked = [count for split in SPLITS for _, count in done[split]]
    worst = max(float(lost[-1]) for lost, _ in done["test"])
    recorder.cost(
        seconds_per_unit=recorder.seconds / max(sum(asked), 1), queries=float(np.mean(asked)), worst=worst,
        repetitions=problem.instances,
    )  # fmt: skip
