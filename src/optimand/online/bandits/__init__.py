"""Finite-armed bandits: environments that count and compare, and the learners that others are measured against.

Example:
    >>> from optimand.online.bandits import UCB1, BernoulliBandit, ThompsonSampling
    >>> from optimand.online.engine import simulate
    >>> curves = simulate([UCB1(), ThompsonSampling()], BernoulliBandit([0.4, 0.5, 0.7]), 2000, reps=50)
    >>> curves.ratio_to("UCB1", "ThompsonSampling").high < 0.5
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .adversarial import AdversarialBandit
    from .environments import BernoulliBandit, GaussianBandit, StochasticBandit, TableBandit
    from .exp3 import Exp3
    from .learners import (
        KLUCB,
        MOSS,
        UCB1,
        EpsilonGreedy,
        ExploreThenCommit,
        MeanLearner,
        SuccessiveElimination,
        ThompsonSampling,
        UniformRandom,
    )

_HOMES = {
    "AdversarialBandit": "adversarial",
    "BernoulliBandit": "environments",
    "EpsilonGreedy": "learners",
    "Exp3": "exp3",
    "ExploreThenCommit": "learners",
    "GaussianBandit": "environments",
    "KLUCB": "learners",
    "MOSS": "learners",
    "MeanLearner": "learners",
    "StochasticBandit": "environments",
    "SuccessiveElimination": "learners",
    "TableBandit": "environments",
    "ThompsonSampling": "learners",
    "UCB1": "learners",
    "UniformRandom": "learners",
}

__all__ = [
    "KLUCB",
    "MOSS",
    "UCB1",
    "AdversarialBandit",
    "BernoulliBandit",
    "EpsilonGreedy",
    "Exp3",
    "ExploreThenCommit",
    "GaussianBandit",
    "MeanLearner",
    "StochasticBandit",
    "SuccessiveElimination",
    "TableBandit",
    "ThompsonSampling",
    "UniformRandom",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
