"""One learner on one stream, with everything counted."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int

from ..engine.draws import Draws
from .accounts import Array, counts
from .base import check_learner
from .environment import StreamingBandit
from .rollouts import prepare, step


@dataclass(frozen=True)
class StreamingResult:
    """What a run on a stream came to.

    Attributes:
        arm: number of the arm committed to, in the order of arrival.
        regret: against the best of all arms, over the whole horizon.
        explored: trials before the commitment.
        peak_arms: largest number of arms alive at any moment, the arriving one included.
        gap: by how much the arm's mean falls short of the best.
        horizon: trials.
        times, regrets: regret in time; it is linear between these points.
    """

    arm: int
    regret: float
    explored: int
    peak_arms: int
    gap: float
    horizon: int
    times: Array
    regrets: Array


def run_streaming(
    learner: Any, env: StreamingBandit, horizon: int, *, seed: int = 0, rep: int = 0, name: str | None = None
) -> StreamingResult:  # fmt: skip
    """Let a learner meet the arms of a stream one by one, and play its choice for the rest of the horizon.

    Args:
        learner: with ``start(K, T)``, ``observe_arm(handle)`` and ``commit() -> handle``; it is copied.
        env: the environment.
        horizon: trials, at least 1.
        seed: root of all random numbers.
        rep: number of the repetition: the run is that of ``simulate([learner], env, horizon, seed=seed)`` with it.
        name: names the learner's own random numbers; its class by default.

    Raises:
        OptimandError: the learner has not the step interface, or breaks the rules of the stream.

    Example:
        >>> from optimand.online.streaming import NaiveEpsBest, StreamingBandit
        >>> found = run_streaming(NaiveEpsBest(), StreamingBandit([0.0, 1.0, 0.0]), horizon=3000)
        >>> found.arm, found.gap, found.explored, found.regret == found.explored * 2 / 3
        (1, 0.0, 330, True)
    """
    if not isinstance(env, StreamingBandit):
        raise OptimandError(f"env must be a StreamingBandit, got a {type(env).__name__}")
    check_int("horizon", horizon, low=1)
    name = type(learner).__name__ if name is None else name
    check_learner(name, learner)
    mine = copy.deepcopy(learner)
    prepare(mine, Draws(SeedTree(seed).child("learner", name), [rep]), rep)
    stream = env.open(horizon, seed=seed, rep=rep, keep_curve=True)
    mine.start(stream.arms, horizon)
    while not stream.committed:
        step(name, mine, stream)
    row, told = stream._account, counts(stream._accounts)
    assert stream._curve is not None
    times, regrets = zip(*stream._curve, strict=True)
    return StreamingResult(
        arm=int(row["committed"]), regret=float(row["regret"]), explored=int(row["explored"]),
        peak_arms=int(row["peak"]), gap=float(told["committed_gap"][0]), horizon=horizon,
        times=np.array(times, np.int64), regrets=np.array(regrets),
    )  # fmt: skip
