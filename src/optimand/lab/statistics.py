"""Intervals, ties, time-to-target, expected best of k trials, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes half a second to import

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its confidence interval; ``low`` and ``high`` are NaN for a single seed."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """The mean of ``values`` with a bootstrap interval that is never narrower than Student's t.

    The percentile bootstrap is right for many seeds and free of the normal assumption, but for three to
    ten it covers far too little (with three, all resamples lie between the extremes: it excludes the
    truth in a quarter of all cases or more). The hull of both keeps its promise at either end.

    Args:
        values: one number a seed; NaNs (diverged runs) are left out.
        confidence: coverage, in (0, 1).
        seed: of the resampling.
    """
    x = np.asarray([v for v in values if not math.isnan(v)], dtype=float)
    n = len(x)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(x.mean())
    if n == 1 or not np.isfinite(x).all():
        return Interval(mean, math.nan, math.nan, n)
    spread = float(special.stdtrit(n - 1, 0.5 + confidence / 2) * x.std(ddof=1) / math.sqrt(n))
    rng = np.random.default_rng(seed)
    means = x[rng.integers(0, n, size=(RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(mean, min(float(low), mean - spread), max(float(high), mean + spread), n)


def paired_difference(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The interval of the mean of ``a - b``, seed by seed; seeds where either diverged are left out.

    Pairing takes out what both share, the data order and the initial weights of the seed.
    """
    return mean_interval([x - y for x, y in zip(a, b, strict=True)], confidence)


def excludes_zero(difference: Interval) -> bool:
    """Whether a difference is larger than the noise; an interval that cannot be computed never is."""
    return difference.low > 0 or difference.high < 0


def holm_levels(count: int, confidence: float = CONFIDENCE) -> list[float]:
    """Confidence levels for ``count`` comparisons, from the clearest to the least clear (Holm 1979)."""
    return [1 - (1 - confidence) / (count - i) for i in range(count)]


def ties_with_best(values: Mapping[str, Sequence[float]], direction: str) -> tuple[str, dict[str, bool]]:
    """The method with the best mean, and for each other whether its difference to it is within the noise.

    The comparisons with the best are tested together: Holm's step-down keeps the chance that any of
    several equal methods is called different near ``1 - CONFIDENCE``.

    Args:
        values: per method one value a seed, in the same order of seeds; NaN for a diverged run.
        direction: ``min`` or ``max``.

    Returns:
        The best method's name, and ``{method: tied}`` for all (the best is tied with itself). A method
        without any finite value is never tied.
    """
    sign = -1.0 if direction == "max" else 1.0

    def badness(name: str) -> tuple[bool, float]:
        seen = [v for v in values[name] if not math.isnan(v)]
        # A method that loses seeds to divergence is not better than one that loses none.
        return len(seen) < len(values[name]), sign * float(np.mean(seen)) if seen else math.inf

    best = min(values, key=badness)
    tied = dict.fromkeys(values, True)
    others = []
    for name in values:
        if name == best:
            continue
        pairs = [x - y for x, y in zip(values[name], values[best], strict=True) if not math.isnan(x - y)]
        if not pairs:
            tied[name] = len(values[name]) > 0 and any(not math.isnan(v) for v in values[name])
            continue
        others.append((_p_value(pairs), name, pairs))
    for level, (_, name, pairs) in zip(holm_levels(len(others)), sorted(others), strict=True):
        if not excludes_zero(mean_interval(pairs, level)):
            break  # Holm: once one is within the noise, so are all less clear ones
        tied[name] = False
    return best, tied


def _p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of Student's t-test that the mean is 0; 1 where there is no telling."""
    x = np.asarray(differences)
    error = x.std(ddof=1) / math.sqrt(len(x)) if len(x) > 1 else math.nan
    if not error > 0:
        return 0.0 if error == 0 and x.mean() != 0 else 1.0
    return float(2 * special.stdtr(len(x) - 1, -abs(x.mean() / error)))


def expected_best(default: float, sampled: Sequence[float], direction: str) -> list[float]:
    """Expected best validation value after 1, 2, … trials, the defaults being the first.

    After k trials: the defaults and k-1 of the sampled settings, drawn without replacement; exact, by
    order statistics (Dodge et al. 2019, arXiv 1909.03004, with replacement there).

    Args:
        default: the value that the defaults reached; NaN if they diverged.
        sampled: the values of the other trials; NaN for diverged ones.
        direction: ``min`` or ``max``.

    Returns:
        ``len(sampled) + 1`` values; infinitely bad where nothing but diverged trials can be counted on.
    """
    sign = -1.0 if direction == "max" else 1.0

    def cost(value: float) -> float:
        return math.inf if math.isnan(value) else sign * value

    costs = np.sort([cost(v) for v in sampled])
    n = len(costs)
    best = np.minimum(costs, cost(default))
    curve = [sign * cost(default)]
    for k in range(1, n + 1):
        # P(the i-th smallest is the smallest of k drawn) = C(n-1-i, k-1) / C(n, k)
        weights = np.array([math.comb(n - 1 - i, k - 1) for i in range(n)]) / math.comb(n, k)
        used = weights > 0
        curve.append(sign * float(np.dot(weights[used], best[used])))
    return curve


def time_to_target(positions: Sequence[float], values: Sequence[float], target: float, direction: str) -> float | None:
    """The first position whose value reaches ``target``, or None if none does."""
    for at, value in zip(positions, values, strict=True):
        if value >= target if direction == "max" else value <= target:
            return at
    return None


def performance_profile(
    costs: Mapping[str, Sequence[float | None]], points: int = 100, largest: float = 10.0
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Performance profiles (Dolan and Moré 2002): share of problems solved within tau times the best cost.

    Args:
        costs: per method, a positive cost for each problem (the same order for all), None if unsolved.
        points: how many values of tau.
        largest: the largest tau.

    Returns:
        The values of tau (``points``, log-spaced from 1) and per method the shares, each in [0, 1]. A
        problem that no method solved counts as unsolved for all.
    """
    names = list(costs)
    table = np.array([[np.inf if c is None else c for c in costs[name]] for name in names], dtype=float)
    best = table.min(axis=0) if table.size else np.array([])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(np.isfinite(table), table / best, np.inf)
    tau = np.geomspace(1.0, largest, points)
    shares = {
        name: (ratios[i][None, :] <= tau[:, None] * (1 + 1e-12)).mean(axis=1) if table.shape[1] else np.zeros(points)
        for i, name in enumerate(names)
    }
    return tau, shares
