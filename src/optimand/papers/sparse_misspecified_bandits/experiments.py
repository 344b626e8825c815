"""Experiments that claims, benchmarks and tests share: many bandits on the same features, and needles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import check_choice
from optimand.online.linear_bandits.generators import random_theta
from optimand.online.linear_bandits.instances import MisspecifiedLinearBandit
from optimand.online.linear_bandits.lower_bounds import needle_bandit, packing_features
from optimand.online.linear_bandits.queries import Array

Search = Callable[[MisspecifiedLinearBandit], Any]
LEADS = ("optimism", "least explored", "in order")


def lost_by(searches: dict[str, Search], bandits: list[MisspecifiedLinearBandit]) -> dict[str, tuple[Array, Array]]:
    """Suboptimality in units of eps and queries of each search on each bandit.

    Args:
        searches: by name, functions of a bandit that return a result with ``x`` and ``nfev``.
        bandits: what they search.
    """
    found: dict[str, tuple[Array, Array]] = {}
    for name, search in searches.items():
        results = [search(bandit) for bandit in bandits]
        lost = [b.oracle().suboptimality(r.x) for b, r in zip(bandits, results, strict=True)]
        found[name] = np.array(lost), np.array([r.nfev for r in results])
    return found


def bandits_on(
    Phi: Array, s: int, eps: float, error: Any, count: int, noise: float = 0.0
) -> list[MisspecifiedLinearBandit]:
    """Bandits with features ``Phi``, each with an ``s``-sparse parameter on the unit sphere and errors of its own."""
    d = Phi.shape[1]
    return [MisspecifiedLinearBandit(Phi, random_theta(d, s, i), eps, error, noise=noise, seed=i) for i in range(count)]


def least_squares_on_design(Phi: Array) -> Search:
    """Least squares on a G-optimal design that is computed once, as a search of bandits with the features ``Phi``."""
    from scipy.optimize import OptimizeResult

    from optimand.online.linear_bandits.design import g_optimal_design, least_squares

    design = g_optimal_design(Phi)
    rows = Phi[design.support]

    def search(bandit: MisspecifiedLinearBandit) -> Any:
        predicted = Phi @ least_squares(rows, design.weights, bandit.query(design.support))
        return OptimizeResult(x=int(np.argmax(predicted)), nfev=len(rows))  # type: ignore[call-arg]

    return search


def random_search(count: int, seed: int = 0) -> Search:
    """The best of ``count`` actions that are drawn for each bandit anew."""
    from scipy.optimize import OptimizeResult

    rng = np.random.default_rng(seed)

    def search(bandit: MisspecifiedLinearBandit) -> Any:
        asked = rng.choice(bandit.actions, count, replace=False)
        best = int(asked[bandit.query(asked).argmax()])
        return OptimizeResult(x=best, nfev=count)  # type: ignore[call-arg]

    return search


def needles_in_random_order(q: int, s: int, k: int, count: int, seed: int = 0) -> Array:
    """Queries in random order until the needle of a packing instance is asked, for ``count`` random needles."""
    Phi, rng, spent = packing_features(q, s, k), np.random.default_rng(seed), []
    for _ in range(count):
        needle, order = int(rng.integers(len(Phi))), rng.permutation(len(Phi))
        bandit = needle_bandit(Phi, needle, (k - 1) / s)
        # All at once: answers do not depend on what was asked with them.
        spent.append(int(np.flatnonzero(bandit.query(order) > 0.5)[0]) + 1)
    return np.array(spent)


def needles_led_by(lead: str, q: int = 7, s: int = 6, k: int = 3, step: int = 1) -> Array:
    """Queries until the needle is asked, for every ``step``-th needle, of a search that the features lead.

    Args:
        lead: ``optimism`` asks the action of the largest prediction of a ridge regression plus its width, ``least
            explored`` that of the largest width, ``in order`` one after another.
        q, s, k: of the packing.
        step: at least 1.
    """

    check_choice("lead", lead, LEADS)
    Phi = packing_features(q, s, k)
    N, d = Phi.shape
    spent = []
    for needle in range(0, N, step):
        bandit = needle_bandit(Phi, needle, (k - 1) / s)
        inverse, theta, asked = np.eye(d), np.zeros(d), np.zeros(N, dtype=bool)
        width = np.einsum("ij,ij->i", Phi, Phi)
        while True:
            if lead == "in order":
                score = -np.arange(N, dtype=float)
            else:
                score = np.sqrt(np.maximum(width, 0)) + (Phi @ theta if lead == "optimism" else 0.0)
            a = int(np.where(asked, -np.inf, score).argmax())
            asked[a] = True
            reward = bandit.query(np.array([a]))[0]
            if reward > 0.5:
                break
            w = inverse @ Phi[a]
            scale = 1 + w @ Phi[a]
            theta = theta + w * ((reward - theta @ Phi[a]) / scale)
            width = width - (Phi @ w) ** 2 / scale
            inverse -= np.outer(w, w) / scale
        spent.append(bandit.queries)
    return np.array(spent)
