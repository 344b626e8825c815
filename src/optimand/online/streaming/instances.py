"""Instances: how the means of a stream are drawn, those of the paper's experiments and of its lower bound among them.

The settings ``clear_cut`` and ``mix_in`` are those of the published code for arXiv 2306.02208; ``hard_instance`` is the
instance behind the bound Omega(K^{1/3} T^{2/3}), in which too much exploration is as bad as too little.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.validation import check_choice, check_int, check_number

from ..engine.draws import Draws

Array = np.ndarray


@dataclass(frozen=True)
class Instances:
    """Streams to be drawn.

    Attributes:
        name: in words.
        arms: ``K``.
        draw: ``draw(draws, horizon)`` gives the means in the order of arrival, shape ``(R, K)``, or ``(1, K)`` for the
            same in all repetitions.

    Example:
        >>> from optimand.core.seeds import SeedTree
        >>> means = clear_cut(5).draw(Draws(SeedTree(0), [0, 1]), None)
        >>> means.shape, means.max(axis=1).tolist()
        ((2, 5), [0.82, 0.82])
    """

    name: str
    arms: int
    draw: Callable[[Any, Any], Array]


def clear_cut(K: int) -> Instances:
    """One arm of mean 0.82 at a random place, the others normal(0.5, 0.1) truncated to [0, 0.8]."""
    return Instances("clear-cut", check_int("K", K, low=1), functools.partial(_clear_cut, K))


def _clear_cut(K: int, draws: Draws, horizon: int | None) -> Array:
    from scipy.special import ndtr, ndtri

    low, high = ndtr((0.0 - 0.5) / 0.1), ndtr((0.8 - 0.5) / 0.1)
    means = np.clip(0.5 + 0.1 * ndtri(low + draws.uniform(K) * (high - low)), 0.0, 0.8)
    means[np.arange(len(means)), draws.integers(K)] = 0.82
    return means


def mix_in(K: int) -> Instances:
    """Means uniform on [0, 1]."""
    return Instances("mix-in", check_int("K", K, low=1), functools.partial(_mix_in, K))


def _mix_in(K: int, draws: Draws, horizon: int | None) -> Array:
    return draws.uniform(K)


def beta_arms(K: int, a: float = 2.0, b: float = 2.0) -> Instances:
    """Means from the distribution Beta(a, b).

    Args:
        K: arms.
        a, b: > 0; with ``b > 1`` good arms are rare.
    """
    check_int("K", K, low=1)
    check_number("a", a, low=0, low_open=True)
    check_number("b", b, low=0, low_open=True)
    return Instances(f"Beta({a:g}, {b:g})", K, functools.partial(_beta, K, a, b))


def _beta(K: int, a: float, b: float, draws: Draws, horizon: int | None) -> Array:
    from scipy.special import betaincinv

    return np.clip(betaincinv(a, b, draws.uniform(K)), 0.0, 1.0)


def hard_instance(K: int, T: int | None = None, c: float = 1.0, last: str = "random") -> Instances:
    """The lower bound's instance: 1/2 everywhere, one arm better by ``c (K/T)^{1/3}``, the last arm all or nothing.

    Where the last arm is 1, every trial of exploration costs 1/2; where it is 0, a learner that missed the better arm
    pays for it at every trial that is left.

    Args:
        K: arms, at least 2; the better one is at a random place before the last.
        T: trials; the horizon of the simulation by default.
        c: size of the gap, with ``c (K/T)^{1/3} <= 1/2``.
        last: the last arm: ``random``, ``zero`` or ``one``; ``alternate`` makes it 0 in even repetitions and 1 in odd
            ones, which estimates the mean over both with far less noise.

    Example:
        >>> from optimand.core.seeds import SeedTree
        >>> means = hard_instance(4, 4000, last="alternate").draw(Draws(SeedTree(0), [0, 1]), None)
        >>> np.sort(means).round(3).tolist()
        [[0.0, 0.5, 0.5, 0.6], [0.5, 0.5, 0.6, 1.0]]
    """
    check_int("K", K, low=2)
    check_number("c", c, low=0)
    check_choice("last", last, ("random", "zero", "one", "alternate"))
    if T is not None:
        _gap(K, check_int("T", T, low=1), c)
    return Instances("hard", K, functools.partial(_hard, K, T, c, last))


def _gap(K: int, T: int, c: float) -> float:
    gap = c * (K / T) ** (1 / 3)
    if gap > 0.5:
        raise ValueError(f"c (K/T)^(1/3) must be at most 1/2, got {gap:g} with K={K}, T={T}, c={c:g}")
    return float(gap)


def _hard(K: int, T: int | None, c: float, last: str, draws: Draws, horizon: int | None) -> Array:
    length = T if T is not None else horizon
    if length is None:
        raise ValueError("hard_instance needs T where no horizon is given")
    rows = np.arange(len(draws.reps))
    means = np.full((len(rows), K), 0.5)
    means[rows, draws.integers(K - 1)] += _gap(K, length, c)
    coin = draws.uniform() >= 0.5
    means[:, -1] = {"random": coin, "zero": 0.0, "one": 1.0, "alternate": draws.reps % 2}[last]
    return means


def classifier_stream(K: int = 300, seed: int = 0) -> Instances:
    """``K`` classifiers with random settings, in a random order in each repetition.

    Args:
        K: arms; five kinds take turns: trees, nearest neighbours, naive Bayes, ridge on random features, centroids.
        seed: of the split and the settings; training, at once, takes about 6 ms an arm, once in a process.

    A pull shows a classifier a random held-out image and rewards it if it is right, so an arm's mean is its accuracy.

    Example:
        >>> from optimand.core.seeds import SeedTree
        >>> means = classifier_stream(10).draw(Draws(SeedTree(0), [0]), None)
        >>> means.shape, bool(means.min() > 0.05 and means.max() < 1)
        ((1, 10), True)
    """
    check_int("K", K, low=1)
    check_int("seed", seed, low=0)
    from .classifiers import accuracies

    return Instances("classifiers on digits", K, functools.partial(_shuffled, accuracies(K, seed)))


def _shuffled(means: Array, draws: Draws, horizon: int | None) -> Array:
    return means[draws.permutation(len(means))]
