"""Learners and environments around others: feedback that comes late, fresh starts, plain objects as learners."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int

from .contracts import Array, Environment, Feedback, Kind, Learner, Spec
from .draws import Draws


class DelayedFeedback(Environment):
    """An environment whose feedback arrives some rounds later.

    Feedback on round ``t`` with delay ``k`` arrives at the end of round ``t + k``, so ``k = 0`` is no delay; what would
    arrive after the horizon never does. Each round the learner's ``update`` is called once for every feedback that
    arrives, maybe never, maybe several times, with ``round`` (R,), ``action`` (what was played then), and ``reward`` or
    ``gradient``. With a random delay the repetitions differ: ``count`` (R,) is 1 where something has arrived and 0
    where nothing has (``round`` is -1 there and the rest is 0). Feedback of one call is in the order of rounds.

    A learner says with ``late = True`` that it reads these. One that does not may still follow gradients after a
    constant delay, for which action and round do not matter.

    Regret is that of the environment inside, which sees every action at once.

    Args:
        env: of kind ``reward`` or ``gradient``.
        delay: rounds, at least 0: a number, or a function of :class:`Draws` that returns whole numbers ``(R,)``, called
            every round.

    Example:
        >>> from optimand.online.bandits import UCB1, BernoulliBandit
        >>> from optimand.online.engine import simulate
        >>> bandit = BernoulliBandit([0.2, 0.8])
        >>> late = DelayedFeedback(bandit, lambda draws: draws.integers(200))
        >>> slow, fast = (simulate([UCB1()], env, 1000, reps=20).mean("UCB1")[-1] for env in (late, bandit))
        >>> bool(slow > fast)
        True
    """

    def __init__(self, env: Environment, delay: int | Callable[[Draws], Any]) -> None:
        if env.kind not in ("reward", "gradient"):
            raise OptimandError(f"DelayedFeedback takes environments of kind reward or gradient, got {env.kind!r}")
        if getattr(env, "late", "never") != "never":
            raise OptimandError("DelayedFeedback takes an environment without delay, got one that has its own")
        self.env = env
        self.delay = delay if callable(delay) else check_int("delay", delay, low=0)
        self.kind, self.comparators = env.kind, env.comparators  # type: ignore[misc]
        self.late = "random" if callable(delay) else "constant"  # type: ignore[misc]

    def reset(self, draws: Draws, horizon: int | None) -> Any:
        """Begin anew; the environment inside draws what it would draw without delay."""
        self._draws, self._reps, self._now = draws.child("delay"), len(draws.reps), 0
        self._due: dict[int, list[tuple[Array | None, int, Any, Feedback]]] = {}
        return self.env.reset(draws, horizon)

    def spec(self) -> Spec:
        """That of the environment inside, and the delay where it is constant."""
        spec = self.env.spec()
        facts = {"delay": self.delay} if self.late == "constant" else {}
        return dataclasses.replace(spec, facts={**spec.facts, **facts})

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """Play in the environment inside; what arrives is in ``late``."""
        actions = np.array(actions)
        found = self.env.step(actions)
        # Copies: an environment may use its arrays again before they arrive.
        told = Feedback(reward=_copied(found.reward), gradient=_copied(found.gradient), loss=found.loss)
        if callable(self.delay):
            delays = np.asarray(self.delay(self._draws))
            if delays.shape != (self._reps,) or delays.dtype.kind not in "iu" or delays.min() < 0:
                raise OptimandError(
                    f"delay must return whole numbers >= 0 of shape ({self._reps},), got {delays!r:.60}"
                )
            for delay in np.unique(delays).tolist():
                mine = np.flatnonzero(delays == delay)
                self._due.setdefault(self._now + delay, []).append((mine, self._now, actions, told))
        else:
            self._due.setdefault(self._now + self.delay, []).append((None, self._now, actions, told))
        arrived = self._due.pop(self._now, [])
        self._now += 1
        return Feedback(observation=found.observation, late=self._pieces(arrived))

    def _pieces(self, arrived: list[tuple[Array | None, int, Any, Feedback]]) -> list[Feedback]:
        if self.late == "constant":
            return [
                Feedback(
                    reward=found.reward, gradient=found.gradient, loss=found.loss, action=actions,
                    round=np.full(self._reps, time),
                )
                for _, time, actions, found in arrived
            ]  # fmt: skip
        # The k-th arrival of every repetition goes into the k-th piece.
        pieces: list[Feedback] = []
        filled = np.zeros(self._reps, np.int64)
        for mine, time, actions, found in arrived:
            assert mine is not None
            for place in np.unique(filled[mine]).tolist():
                rows = mine[filled[mine] == place]
                if place == len(pieces):
                    pieces.append(self._empty(actions, found))
                piece = pieces[place]
                piece.round[rows], piece.count[rows], piece.action[rows] = time, 1, actions[rows]
                for field in ("reward", "gradient"):
                    if getattr(found, field) is not None:
                        getattr(piece, field)[rows] = np.asarray(getattr(found, field))[rows]
            filled[mine] += 1
        return pieces

    def _empty(self, actions: Array, found: Feedback) -> Feedback:
        def like(value: Any) -> Any:
            return None if value is None else np.zeros_like(np.asarray(value))

        return Feedback(
            reward=like(found.reward), gradient=like(found.gradient), action=np.zeros_like(actions),
            round=np.full(self._reps, -1), count=np.zeros(self._reps, np.int64),
        )  # fmt: skip

    def regret(self, comparator: str) -> Array:
        """That of the environment inside."""
        return self.env.regret(comparator)

    def extras(self) -> dict[str, Array]:
        """Those of the environment inside."""
        return self.env.extras()


def _copied(value: Any) -> Any:
    return None if value is None else np.array(value)


class _Epochs(Learner):
    """A learner that is thrown away and begun anew: the base of the two that follow."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        if not callable(factory) or (isinstance(factory, Learner) and not isinstance(factory, type)):
            raise TypeError(
                f"factory must be a class or function that makes a learner, not a learner, got {factory!r:.60}"
            )
        self.factory = factory
        self.inner: Any = factory()
        self.kind = self.inner.kind  # type: ignore[misc]
        self.batched = getattr(self.inner, "batched", False)  # type: ignore[misc]
        self.late = getattr(self.inner, "late", False)  # type: ignore[misc]
        self.needs = tuple(fact for fact in getattr(self.inner, "needs", ()) if fact != "horizon")  # type: ignore[misc]

    def length(self, epoch: int) -> int:
        """Rounds of an epoch, from 0 on."""
        raise NotImplementedError

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin the first epoch."""
        self._spec, self._draws, self.epoch = spec, draws, -1
        self._begun, self._length = 0, 0  # of the epoch, in rounds from the beginning
        self._now = 0
        self._begin()

    def _begin(self) -> None:
        self.epoch += 1
        self._begun += self._length
        self._length = self.length(self.epoch)
        self._left = np.full(self._spec.reps, self._length, np.int64)
        self.inner = self.factory()
        spec = dataclasses.replace(self._spec, horizon=self._length)
        self.inner.reset(spec, self._draws.child("epoch", self.epoch))

    def act(self, observation: Any) -> Any:
        """The learner's action; in batches, none that go beyond the epoch."""
        if not self.batched:
            if self._now == self._begun + self._length:
                self._begin()
            self._now += 1
            return self.inner.act(observation)
        if not self._left.any():
            self._begin()
        actions, counts = self.inner.act(observation)
        # Repetitions that are done with the epoch wait for the others.
        return actions, np.minimum(counts, self._left)

    def update(self, feedback: Feedback) -> None:
        """Pass feedback on; what is about an earlier epoch is not."""
        if self.batched:
            self._left = self._left - feedback.count
        elif feedback.round is not None:
            count = np.ones(self._spec.reps, np.int64) if feedback.count is None else feedback.count
            mine = feedback.round >= self._begun
            if not mine.any():
                return
            if not mine.all():
                feedback = copy.copy(feedback)
                feedback.count = np.where(mine, count, 0)
                feedback.round = np.where(mine, feedback.round, -1)
            feedback = copy.copy(feedback)
            feedback.round = np.where(feedback.round >= 0, feedback.round - self._begun, -1)
        self.inner.update(feedback)


class DoublingTrick(_Epochs):
    """A learner that must know the horizon, without one: begun anew in epochs that grow by a factor.

    The regret of a learner with regret of order ``sqrt(T)`` grows by a constant factor; all that was learned is lost at
    the end of an epoch. In batches the repetitions begin an epoch together: one that is done waits, without pulling.

    Args:
        factory: makes the learner, such as a class.
        first: rounds of the first epoch, at least 1.
        factor: of one epoch to the next, a whole number of at least 2.

    Example:
        >>> from optimand.online.bandits import MOSS, BernoulliBandit
        >>> from optimand.online.engine import simulate
        >>> env = BernoulliBandit([0.2, 0.8], tell_horizon=False)
        >>> simulate({"MOSS, doubling": DoublingTrick(MOSS)}, env, 500, reps=3).names
        ['MOSS, doubling']
    """

    def __init__(self, factory: Callable[[], Any], first: int = 64, factor: int = 2) -> None:
        super().__init__(factory)
        self.first = check_int("first", first, low=1)
        self.factor = check_int("factor", factor, low=2)

    def length(self, epoch: int) -> int:
        """``first * factor**epoch``."""
        return self.first * int(self.factor) ** epoch


class Restart(_Epochs):
    """A learner begun anew every ``period`` rounds, for environments that change.

    Args:
        factory: makes the learner, such as a class; it is told ``period`` as its horizon.
        period: rounds, at least 1.
    """

    def __init__(self, factory: Callable[[], Any], period: int) -> None:
        super().__init__(factory)
        self.period = check_int("period", period, low=1)

    def length(self, epoch: int) -> int:
        """``period``."""
        return self.period


# What PerRepetition fills in by name.
GIVEN = ("rng", "horizon")


def takes_size(make: Callable[..., Any]) -> bool:
    """Whether a plain object is made from the number of arms: by a positional parameter without default."""
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty and p.name not in GIVEN
        for p in inspect.signature(make).parameters.values()
    )


_ON_ARRAYS = "{0} is a learner on arrays already: simulate it as it is, without PerRepetition"


class PerRepetition(Learner):
    """A learner of plain objects, one for each repetition, as they are found in textbooks and notebooks.

    An object has ``select()`` and ``update(arm, reward)``, or ``act(observation)`` and ``update(reward)`` (the gradient
    for kind ``gradient``). A loop in Python advances them, so this is for trying things out; a learner on arrays is
    some hundred times as fast.

    Args:
        make: a class or function, called with the number of arms (or dimension) where it takes a positional parameter
            without default, and with those of ``rng`` (a NumPy generator of the repetition's own) and ``horizon`` that
            it has as parameters.
        kind: ``reward`` or ``gradient``.

    Example:
        >>> from optimand.online.bandits import BernoulliBandit
        >>> from optimand.online.engine import simulate
        >>> class Lazy:
        ...     def __init__(self, arms):
        ...         self.arms = arms
        ...     def select(self):
        ...         return self.arms - 1
        ...     def update(self, arm, reward):
        ...         pass
        >>> env = BernoulliBandit([0.2, 0.8])
        >>> float(simulate({"lazy": PerRepetition(Lazy)}, env, 50, reps=2).mean("lazy")[-1])
        0.0
    """

    def __init__(self, make: Callable[..., Any], kind: Kind = "reward") -> None:
        if not callable(make):
            raise TypeError(f"make must be a class or function, got {make!r:.60}")
        if isinstance(make, type) and issubclass(make, Learner):
            raise OptimandError(_ON_ARRAYS.format(make.__name__))
        self.make: Callable[..., Any] = make
        self.kind = check_choice("kind", kind, ("reward", "gradient"))  # type: ignore[misc]

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Make an object for every repetition."""
        parameters = inspect.signature(self.make).parameters
        self.objects: list[Any] = []
        for rep in draws.reps.tolist():
            extra: dict[str, Any] = {}
            if "rng" in parameters:
                # By the repetition's number: the same whatever block it is in.
                extra["rng"] = draws.tree.child("plain", rep).numpy()
            if "horizon" in parameters:
                extra["horizon"] = spec.horizon
            self.objects.append(self.make(*([spec.actions] if takes_size(self.make) else []), **extra))
        if isinstance(self.objects[0], Learner):
            raise OptimandError(_ON_ARRAYS.format(type(self.objects[0]).__name__))
        self._selects = callable(getattr(self.objects[0], "select", None))
        verbs = ("select", "update") if self._selects else ("act", "update")
        lacking = [verb for verb in verbs if not callable(getattr(self.objects[0], verb, None))]
        if lacking:
            raise OptimandError(
                f"{type(self.objects[0]).__name__} lacks {', '.join(lacking)}; expected select() and "
                "update(arm, reward), or act(observation) and update(reward)"
            )

    def act(self, observation: Any) -> Array:
        """Ask every object."""
        if self._selects:
            found = [thing.select() for thing in self.objects]
        else:
            found = [
                thing.act(None if observation is None else row)
                for thing, row in zip(self.objects, _rows(observation, len(self.objects)), strict=True)
            ]
        self.last = np.array(found)
        return self.last

    def update(self, feedback: Feedback) -> None:
        """Tell every object."""
        told = feedback.reward if self.kind == "reward" else feedback.gradient
        for thing, arm, value in zip(self.objects, self.last, told, strict=True):
            value = float(value) if self.kind == "reward" else value
            if self._selects:
                thing.update(arm.item() if self.kind == "reward" else arm, value)
            else:
                thing.update(value)

    def state_dict(self) -> Mapping[str, Any]:  # type: ignore[override]
        """A copy of the objects and of what was played last."""
        return copy.deepcopy({k: v for k, v in vars(self).items() if k != "make"})


def _rows(observation: Any, reps: int) -> Any:
    return [None] * reps if observation is None else observation
