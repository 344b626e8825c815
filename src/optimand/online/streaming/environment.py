"""The environment: arms that arrive once in a stream, with all accounts on its side (arXiv 2306.02208).

Regret counts true means (pseudo-regret). A batch of ``n`` pulls is one exact binomial (or normal) draw named by
repetition, arm and the number of pulls that the arm had before, so that learners that ask for the same batch of the
same arm meet the same rewards, and none can change what another one sees.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..engine.contracts import Environment, Kind
from ..engine.draws import Draws
from ..engine.rollout import Rollout
from .accounts import COMPARATORS, ENDLESS, Accounts, Array, Terms, open_accounts
from .instances import Instances
from .stream import ArmHandle, ArmStream

REWARDS = ("bernoulli", "gaussian")


class StreamingBandit(Environment):
    """A stream of ``K`` arms, each of which passes once.

    Regret is measured against ``best-arm``, the best of all arms, or ``best-arrived``, at each trial the best of those
    that have arrived.

    Args:
        arms: means, shape ``(K,)`` in the order of arrival; or :class:`~optimand.online.streaming.instances.Instances`
            that draw them for each repetition; or a function ``(draws, horizon) -> (R, K)``, with ``size``.
        reward: ``bernoulli`` (means in [0, 1]) or ``gaussian``.
        sd: standard deviation of normal rewards, > 0.
        order: ``given``, or ``random`` for a random order in each repetition.
        memory: arms that may be alive at once, the arriving one included, so one more than are kept: a king, who keeps
            one, needs 2 (3 with ``fallback``), a tower at most one more than it has levels. None for any number,
            which is counted.
        size: ``K``, where ``arms`` is a function.

    Raises:
        TypeError, ValueError: an argument is out of its range.

    Example:
        >>> from optimand.online.streaming import StreamingBandit
        >>> stream = StreamingBandit([0.0, 1.0]).open(horizon=100)
        >>> first, second = stream  # both stay alive
        >>> first.pull(10), second.pull(10)
        (0.0, 1.0)
        >>> first.release(); stream.commit(second)
        >>> stream.left
        0
    """

    kind: ClassVar[Kind] = "arms"
    batches: ClassVar[bool] = True
    comparators: ClassVar[tuple[str, ...]] = COMPARATORS

    def __init__(
        self, arms: Any, reward: str = "bernoulli", *, sd: float = 1.0, order: str = "given", memory: int | None = None,
        size: int | None = None,
    ) -> None:  # fmt: skip
        self.reward: str = check_choice("reward", reward, REWARDS)
        self.sd = check_number("sd", sd, low=0, low_open=True)
        self.order: str = check_choice("order", order, ("given", "random"))
        self.memory = None if memory is None else check_int("memory", memory, low=1)
        if isinstance(arms, Instances):
            self.instances = arms
        elif callable(arms):
            if size is None:
                raise ValueError("size, the number of arms, must be given where arms is a function")
            self.instances = Instances("a sampler", check_int("size", size, low=1), arms)
        else:
            self.instances = Instances("given means", *_fixed(arms))
            self._check(self.instances.draw(None, None))

    @property
    def arms(self) -> int:
        """Arms of the stream, ``K``."""
        return self.instances.arms

    def accounts(self, draws: Draws, horizon: int, grid: Array) -> Accounts:
        """Accounts for the repetitions of ``draws``, with their means; ValueError where trials are fewer than arms."""
        if horizon < self.arms:
            raise ValueError(f"horizon must be at least the number of arms, {self.arms}, got {horizon}")
        found = np.asarray(self.instances.draw(draws.child("means"), horizon), dtype=np.float64)
        shape = (len(draws.reps), self.arms)
        if found.shape not in (shape, (1, self.arms)):
            raise OptimandError(f"the sampler of means must return shape {shape}, got {found.shape}")
        self._check(found)
        means = np.broadcast_to(found, shape)
        if self.order == "random":
            means = np.take_along_axis(means, draws.child("order").permutation(self.arms), axis=1)
        terms = Terms(draws.child("rewards").key, int(horizon), self.reward == "gaussian", self.sd)
        return open_accounts(means, draws.reps, terms, grid)

    def _check(self, means: Array) -> None:
        if not np.isfinite(means).all():
            raise ValueError(f"means must be finite numbers, got {means[~np.isfinite(means)][0]}")
        if self.reward == "bernoulli" and (means.min() < 0 or means.max() > 1):
            outside = means[(means < 0) | (means > 1)][0]
            raise ValueError(f"means of Bernoulli rewards must be in [0, 1], got {outside}")

    def open(self, horizon: int | None = None, *, seed: int = 0, rep: int = 0, keep_curve: bool = False) -> ArmStream:
        """The stream of one repetition, the same that ``simulate(…, seed=seed)`` lets learners meet.

        Args:
            horizon: trials; None for no limit.
            seed: root of the random numbers.
            rep: number of the repetition.
            keep_curve: whether to note time and regret after every batch.
        """
        trials = ENDLESS if horizon is None else check_int("horizon", horizon, low=1, high=ENDLESS)
        draws = Draws(SeedTree(check_int("seed", seed, low=0)).child("environment"), [check_int("rep", rep, low=0)])
        accounts = self.accounts(draws, trials, np.empty(0, np.int64))
        return ArmStream(accounts, memory=self.memory, keep_curve=keep_curve)

    def __iter__(self) -> Iterator[ArmHandle]:
        """A stream without a limit of trials."""
        return self.open()

    def start(
        self, learner: Any, *, draws: Draws, learner_draws: Draws, horizon: int, grid: Array,
        comparators: Sequence[str], name: str, compiled: bool,
    ) -> Rollout:  # fmt: skip
        """Begin a simulation; called by the engine, see :func:`optimand.online.engine.rollout.start`."""
        from .rollouts import make_rollout

        check_int("horizon", horizon, low=1, high=ENDLESS)
        accounts = self.accounts(draws, horizon, grid)
        return make_rollout(
            learner, accounts, learner_draws=learner_draws, comparators=comparators, name=name, memory=self.memory,
            compiled=compiled,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"StreamingBandit({self.instances.name}, {self.arms} arms, {self.reward})"


def _given(means: Array, draws: Any, horizon: Any) -> Array:
    return means


def _fixed(arms: Any) -> tuple[int, Callable[[Any, Any], Array]]:
    try:
        means = np.array(arms, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"arms must be means in a list, got {arms!r:.80}") from None
    if means.ndim != 1 or not len(means):
        raise ValueError(f"arms must be at least one mean in a list, got shape {means.shape}")
    return len(means), functools.partial(_given, means[None, :])
