"""Simulated tables that the claims of arXiv 2306.02208 are judged by: ratios, shares of the rate, exponents."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.online import engine, streaming

if TYPE_CHECKING:
    from optimand.online.engine.curves import RegretCurves


def learners(*names: str) -> dict[str, Any]:
    """The paper's learners by name; all six by default."""
    made = {
        "uniform": streaming.UniformExplore(), "naive": streaming.NaiveEpsBest(),
        **{name: streaming.TowerEpsBest(name) for name in ("log", "loglog", "logstar")},
        "king": streaming.KingEpsBest(),
    }  # fmt: skip
    return {name: made[name] for name in names or made}


@functools.lru_cache(maxsize=16)
def curves(setting: str, K: int, T: int, reps: int, names: tuple[str, ...] = (), seed: int = 0) -> RegretCurves:
    """Simulated regret of the learners in a setting: clear-cut, mix-in or hard."""
    makes = {
        "clear-cut": streaming.clear_cut,
        "mix-in": streaming.mix_in,
        "hard": lambda K: streaming.hard_instance(K, last="alternate"),
    }
    env = streaming.StreamingBandit(makes[setting](K))
    return engine.simulate(learners(*names), env, T, reps=reps, seed=seed, points=2, block=100)


def ratios(found: RegretCurves) -> dict[str, float]:
    """Mean regret of each learner over that of uniform exploration, in the same repetitions."""
    return {name: found.ratio_to("uniform", name).value for name in found.names}


def shares(found: RegretCurves, K: int, T: int) -> dict[str, float]:
    """Mean regret of each learner in units of ``K^{1/3} T^{2/3}``."""
    return {name: float(found.at(name).mean()) / (K ** (1 / 3) * T ** (2 / 3)) for name in found.names}


def horizons(first: int = 10**6) -> list[int]:
    """Five numbers of trials, each four times the one before."""
    return [first * 4**i for i in range(5)]


def rate(name: str, K: int = 200, reps: int = 100, first: int = 10**6) -> float:
    """Slope of log mean regret against log T over ``first … 256 first``, instances drawn from mix-in."""
    times = horizons(first)
    means = [float(curves("mix-in", K, T, reps).at(name).mean()) for T in times]
    return float(np.polyfit(np.log(times), np.log(means), 1)[0])


def missed(name: str, T: int, K: int = 200, reps: int = 100) -> float:
    """Share of a learner's regret that comes after its commitment to an arm that is not the best, mix-in."""
    found = curves("mix-in", K, T, reps)
    told = found.extras[name]
    return float((told["committed_gap"] * (T - told["explored_pulls"])).sum() / found.at(name).sum())


def anytime_slope(epochs: int = 12, reps: int = 200) -> dict[str, Any]:
    """Regret of the anytime tower over time on arms that come again, and of the tower that knows each of the times."""
    from optimand.online.streaming.instances import Instances

    arms, first = 50, 5000
    env = streaming.StreamingBandit(Instances("again", arms * epochs, functools.partial(_again, arms, epochs)))
    once = streaming.StreamingBandit(Instances("once", arms, functools.partial(_again, arms, 1)))
    times = np.array([first * (2**e - 1) for e in range(5, epochs)])
    mine = {"anytime": streaming.AnytimeEpsBest(arms=arms, first=first)}
    found = [
        [float(engine.simulate(made, stream, int(T), reps=reps, points=2).at(name).mean()) for T in times]
        for made, stream, name in ((mine, env, "anytime"), (learners("loglog"), once, "loglog"))
    ]
    return {"times": times, "anytime": np.array(found[0]), "known": np.array(found[1])}


def _again(arms: int, epochs: int, draws: Any, horizon: Any) -> Any:
    return np.tile(draws.uniform(arms), (1, epochs))
