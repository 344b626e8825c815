"""Instances on which every search must look long: one needle among features that are nearly orthogonal.

The reward is 1 at one action and 0 elsewhere, which is linear in the features up to their largest inner product; all
answers before the needle is found are 0 and say nothing. The rates are those of arXiv 2303.16998 (sparse) and of Du,
Kakade, Wang and Yang (2020, dense); the sparse construction, polynomials as words of a Reed-Solomon code, is ours.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int, check_number

from .instances import MisspecifiedLinearBandit
from .queries import Array


def packing_features(q: int, s: int, k: int) -> Array:
    """Features of the polynomials of degree below ``k`` over the field of ``q`` elements.

    Row ``a`` holds ``s`` blocks of ``q`` entries; block ``x`` is one-hot at the value of the polynomial at ``x``, all
    divided by ``√s``. Two polynomials agree at ``k - 1`` points at most, so inner products are at most ``(k - 1)/s``.

    Args:
        q: a prime, at least ``s``.
        s: points at which polynomials are evaluated; rows have ``s`` nonzero entries.
        k: coefficients, in [2, s].

    Returns:
        Shape ``(q**k, s q)``; rows in lexicographic order of the coefficients, highest power first.

    Raises:
        ValueError: ``q`` is no prime or below ``s``, or ``k`` is outside its range.

    Reference: reconstruction; arXiv 2303.16998 gives the rate.

    Example:
        >>> Phi = packing_features(5, 4, 2)
        >>> gram = Phi @ Phi.T
        >>> Phi.shape, float((gram - np.eye(25)).max())
        ((25, 20), 0.25)
    """
    check_int("s", s, low=2)
    check_int("q", q, low=2)
    if any(q % p == 0 for p in range(2, math.isqrt(q) + 1)):
        raise ValueError(f"q must be a prime, got {q}")
    if q < s:
        raise ValueError(f"q must be at least s = {s}, got {q}")
    check_int("k", k, low=2, high=s)
    powers = np.arange(s)[None, :] ** np.arange(k)[::-1, None] % q
    coefficients = np.array(list(itertools.product(range(q), repeat=k)), dtype=np.int64)
    values = coefficients @ powers % q
    Phi = np.zeros((len(values), s * q))
    Phi[np.arange(len(values))[:, None], q * np.arange(s) + values] = 1 / math.sqrt(s)
    return Phi


def needle_bandit(
    Phi: Array, needle: int | None, eps: float, noise: float = 0.0, seed: int | SeedTree = 0
) -> MisspecifiedLinearBandit:
    """The bandit with reward 1 at action ``needle`` (None: drawn from ``seed``), 0 elsewhere; ``theta = phi(needle)``.

    Raises:
        ValueError: ``needle`` is out of its range.
        OptimandError: an inner product with the needle's features is above ``eps``.
    """
    if needle is None:
        tree = seed if isinstance(seed, SeedTree) else SeedTree(seed)
        needle = int(tree.child("needle").numpy().integers(len(Phi)))
    check_int("needle", needle, low=0, high=len(Phi) - 1)
    rewards = np.zeros(len(Phi))
    rewards[needle] = 1.0
    return MisspecifiedLinearBandit(
        Phi, Phi[needle], eps, lambda Phi, theta: rewards - Phi @ theta, noise=noise, seed=seed
    )


def packing_instance(
    q: int, s: int, k: int, *, needle: int | None = None, noise: float = 0.0, seed: int | SeedTree = 0
) -> MisspecifiedLinearBandit:
    """A needle among polynomials: ``q**k`` actions, a parameter with ``s`` nonzero entries, ``eps = (k - 1)/s``.

    The gap is ``1 = s eps/(k - 1)``, and any search asks ``(N + 1)/2`` times in the mean over the needles. With
    ``k - 1 = s^(1 - delta)`` an error below ``s^delta eps`` costs ``(d/s)^(1 + s^(1 - delta))/2`` queries.

    Args:
        q, s, k: of :func:`packing_features`.
        needle: the action of reward 1; drawn from ``seed`` by default.
        noise: of the bandit.
        seed: of needle and noise.

    Example:
        >>> bandit = packing_instance(7, 6, 3)
        >>> bandit.Phi.shape, round(bandit.eps, 3), bandit.oracle().rewards.sum()
        ((343, 42), 0.333, np.float64(1.0))
    """
    return needle_bandit(packing_features(q, s, k), needle, (k - 1) / s, noise, seed)


def jl_features(d: int, eps: float, N: int, seed: int | SeedTree = 0) -> Array:
    """``N`` random unit vectors of ``R^d`` with inner products in ``[-eps, eps]``.

    Args:
        d: dimension.
        eps: > 0.
        N: at most ``exp(d eps²/8)``: for so many, random vectors are such with a probability that stays away from 0.
        seed: of the vectors.

    Returns:
        Shape ``(N, d)``.

    Raises:
        ValueError: an argument is out of its range; the largest ``N`` is named.

    Example:
        >>> Phi = jl_features(300, 0.4, 50)
        >>> bool((np.abs(Phi @ Phi.T - np.eye(50)) <= 0.4).all())
        True
    """
    check_int("d", d, low=1)
    check_number("eps", eps, low=0, high=1, low_open=True)
    most = math.exp(min(d * eps**2 / 8, 50.0))
    check_int("N", N, low=1)
    if most + 1e-9 < N:
        raise ValueError(f"N must be at most exp(d eps²/8) = {most:.4g}, got {N}")
    rng = (seed if isinstance(seed, SeedTree) else SeedTree(seed)).child("vectors").numpy()
    kept = np.empty((N, d))
    count = 0
    while count < N:
        row = rng.standard_normal(d)
        row /= np.linalg.norm(row)
        if (np.abs(kept[:count] @ row) <= eps).all():
            kept[count] = row
            count += 1
    return kept


def jl_instance(
    d: int, eps: float, N: int, seed: int | SeedTree = 0, *, needle: int | None = None, noise: float = 0.0
) -> MisspecifiedLinearBandit:
    """A needle among nearly orthogonal vectors: the dense lower bound, exponential in ``d``.

    Args:
        d, eps, N: of :func:`jl_features`.
        seed: of vectors, needle and noise.
        needle: the action of reward 1; drawn by default.
        noise: of the bandit.

    Example:
        >>> bandit = jl_instance(300, 0.4, 50, seed=1)
        >>> bandit.query([bandit.oracle().best]).tolist()
        [1.0]
    """
    return needle_bandit(jl_features(d, eps, N, seed), needle, eps, noise, seed)
