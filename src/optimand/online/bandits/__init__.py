"""Finite-armed bandits: environments that count and compare, and the learners that others are measured against.

Example:
    >>> from optimand.online.bandits import UCB1, BernoulliBandit, ThompsonSampling
    >>> from optimand.online.engine import simulate
    >>> curves = simulate([UCB1(), ThompsonSampling()], BernoulliBandit([0.4, 0.5, 0.7]), 2000, reps=50)
    >>> curves.ratio_to("UCB1", "ThompsonSampling").high < 0.5
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .environments import AdversarialBandit as AdversarialBandit
    from .environments import BernoulliBandit as BernoulliBandit
    from .environments import GaussianBandit as GaussianBandit
    from .environments import StochasticBandit as StochasticBandit
    from .environments import TableBandit as TableBandit
    from .learners import KLUCB as KLUCB
    from .learners import MOSS as MOSS
    from .learners import UCB1 as UCB1
    from .learners import EpsilonGreedy as EpsilonGreedy
    from .learners import Exp3 as Exp3
    from .learners import ExploreThenCommit as ExploreThenCommit
    from .learners import SuccessiveElimination as SuccessiveElimination
    from .learners import ThompsonSampling as ThompsonSampling
    from .learners import UniformRandom as UniformRandom

__getattr__, __dir__, __all__ = lazy_exports(__name__)
