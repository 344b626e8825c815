"""Random numbers as functions of integers, compiled: the same whoever asks first, and in whatever order.

A stream is named by a key, a repetition and a stream number; its values are those of SplitMix64 (Steele, Lea, Flood,
"Fast splittable pseudorandom number generators", 2014) started at a hash of the three. Because a value depends on
nothing else, two learners meet the same noise, and results depend neither on the number of processes nor on how
repetitions are divided among them.

Importing this module imports Numba. All integers are unsigned 64-bit: mixed with signed ones, Numba makes floats.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_STREAM = np.uint64(0xD1B54A32D192ED03)
_ONE = np.uint64(1)

# Below this mean a binomial is drawn by counting gaps; above this variance by a rounded normal.
_FEW = 10.0
_MANY = 1e9


@compiled
def mix(z: Any) -> Any:
    """The output function of SplitMix64: a bijection of 64-bit integers that looks random."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@compiled
def start_of(key: Any, rep: Any, stream: Any) -> Any:
    """Where the stream ``stream`` of repetition ``rep`` under ``key`` begins."""
    return mix(mix(np.uint64(key) + np.uint64(rep) * _GOLDEN) ^ (np.uint64(stream) * _STREAM + _ONE))


@compiled
def uniform_at(start: Any, index: Any) -> Any:
    """The ``index``-th number of a stream, uniform on [0, 1)."""
    return (mix(np.uint64(start) + (np.uint64(index) + _ONE) * _GOLDEN) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def normal_at(start: Any, index: Any) -> Any:
    """A standard normal number of a stream, from the uniform ones at ``2 index`` and ``2 index + 1`` (Box-Muller)."""
    twice = np.uint64(index) * np.uint64(2)
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform_at(start, twice)))
    return radius * math.cos(2.0 * math.pi * uniform_at(start, twice + _ONE))


@compiled
def binomial_at(start: Any, index: Any, n: Any, p: Any) -> Any:
    """Successes in ``n`` trials of probability ``p``, as a float: exact up to variance 1e9, then a rounded normal.

    Small means are drawn by counting geometric gaps, larger ones by Hörmann's transformed rejection (1993, BTRS).
    Every ``index`` has a stream of its own, so that rejection costs no other value its place.
    """
    if n <= 0 or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return float(n)
    inner = mix(np.uint64(start) + (np.uint64(index) + _ONE) * _GOLDEN)
    flip = p > 0.5
    q = 1.0 - p if flip else p
    variance = n * q * (1.0 - q)
    if variance > _MANY:
        k = min(max(math.floor(n * q + math.sqrt(variance) * normal_at(inner, 0) + 0.5), 0.0), float(n))
    elif n * q < _FEW:
        k = _by_gaps(inner, n, q)
    else:
        k = _by_rejection(inner, n, q)
    return n - k if flip else k


@compiled
def _by_gaps(start: Any, n: Any, p: Any) -> Any:
    # Trials up to and including the next success are geometric.
    scale, used, count, i = math.log1p(-p), 0.0, 0.0, 0
    while True:
        used += math.floor(math.log(1.0 - uniform_at(start, i)) / scale) + 1.0
        if used > n:
            return count
        count += 1.0
        i += 1


@compiled
def _tail(k: Any) -> Any:
    # log(k!) less Stirling's approximation
    if k < 10.0:
        return math.lgamma(k + 1.0) - ((k + 0.5) * math.log(k + 1.0) - (k + 1.0) + 0.5 * math.log(2.0 * math.pi))
    inverse = 1.0 / (k + 1.0)
    square = inverse * inverse
    return (1.0 / 12.0 - (1.0 / 360.0 - square / 1260.0) * square) * inverse


@compiled
def _by_rejection(start: Any, n: Any, p: Any) -> Any:
    spread = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    v_r = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    odds = p / (1.0 - p)
    m = math.floor((n + 1) * p)
    i = 0
    while True:
        u = uniform_at(start, i) - 0.5
        v = 1.0 - uniform_at(start, i + 1)
        i += 2
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + c) if us > 0.0 else -1.0
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0.0 or k > n:
            continue
        bound = (
            (m + 0.5) * math.log((m + 1.0) / (odds * (n - m + 1.0)))
            # log1p, because the ratio is lost in rounding where n is far above m
            + (n + 1.0) * math.log1p((k - m) / (n - k + 1.0))
            + (k + 0.5) * math.log(odds * (n - k + 1.0) / (k + 1.0))
            + _tail(m) + _tail(n - m) - _tail(k) - _tail(n - k)
        )  # fmt: skip
        if math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


@compiled
def gamma_at(start: Any, index: Any, shape: Any) -> Any:
    """A gamma number of shape ``shape`` > 0 and scale 1 (Marsaglia and Tsang 2000); ``index`` has its own stream."""
    inner = mix(np.uint64(start) + (np.uint64(index) + _ONE) * _GOLDEN)
    boost = 1.0
    if shape < 1.0:
        boost = (1.0 - uniform_at(inner, 0)) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    i = 0
    while True:
        i += 1
        x = normal_at(inner, 2 * i)
        v = (1.0 + c * x) ** 3
        if v <= 0.0:
            continue
        u = 1.0 - uniform_at(inner, 4 * i + 2)
        # The first condition implies the second, and takes no logarithm.
        if u < 1.0 - 0.0331 * x**4 or math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v


@compiled
def beta_at(start: Any, index: Any, a: Any, b: Any) -> Any:
    """A beta number with parameters ``a`` and ``b`` > 0, from the gamma ones at ``2 index`` and ``2 index + 1``."""
    twice = np.uint64(index) * np.uint64(2)
    x = gamma_at(start, twice, a)
    y = gamma_at(start, twice + _ONE, b)
    if x + y > 0.0:
        return x / (x + y)
    return 1.0 if a >= b else 0.0  # both too small for a float


@compiled
def fill_uniform(key: Any, reps: Any, stream: Any, first: Any, out: Any) -> Any:
    """Fill ``out`` (repetitions, values) with each repetition's values from ``first`` on."""
    for r in range(out.shape[0]):
        start = start_of(key, reps[r], stream)
        for j in range(out.shape[1]):
            out[r, j] = uniform_at(start, first + j)


@compiled
def fill_normal(key: Any, reps: Any, stream: Any, first: Any, out: Any) -> Any:
    """Fill ``out`` (repetitions, values) with standard normal values from ``first`` on."""
    for r in range(out.shape[0]):
        start = start_of(key, reps[r], stream)
        for j in range(out.shape[1]):
            out[r, j] = normal_at(start, first + j)


@compiled
def fill_binomial(key: Any, reps: Any, stream: Any, first: Any, n: Any, p: Any, out: Any) -> Any:
    """Fill ``out`` (repetitions,) with successes in ``n[r]`` trials of probability ``p[r]``."""
    for r in range(out.shape[0]):
        out[r] = binomial_at(start_of(key, reps[r], stream), first, n[r], p[r])
