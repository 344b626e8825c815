"""How the mean of the losses moves from round to round: the special cases of the stochastically extended adversary.

In the model of Sachs et al. (arXiv 2202.07554) and arXiv 2302.04552 nature picks a distribution of losses each round.
A shift says what the conditional mean of the round is, what else is drawn around it besides the environment's noise,
and how large the variance of that part is. Everything is a function of (repetition, round), never of what is played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..engine.draws import Draws

Array = np.ndarray
# Means (count, 1 or R, d), deviations of the same shape or None, and variances of the deviations (count, 1 or R).
Block = tuple[Array, Array | None, Array]


class Shift:
    """Base of all shifts.

    Attributes:
        bound: no mean, with its deviation, is longer than this.
        segments: equal segments of the horizon that a comparator may differ in.
        noisy: whether the environment's noise comes on top.
    """

    bound: float = 0.5
    segments: int = 1
    noisy: bool = True

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """Begin anew in ``d`` dimensions for the repetitions of ``draws``."""
        self.draws, self.horizon, self.d, self.reps = draws, horizon, d, len(draws.reps)

    def block(self, first: int, count: int) -> Block:
        """Means and deviations of the rounds ``first + 1, …, first + count``."""
        raise NotImplementedError

    def _line(self, values: Array) -> Array:
        """Means ``values`` (count,) along the first axis, for all repetitions."""
        means = np.zeros((len(values), 1, self.d))
        means[:, 0, 0] = values
        return means


def _directions(draws: Draws, count: int, d: int) -> Array:
    """Uniform directions, shape ``(count, R, d)``."""
    z = np.swapaxes(draws.normal(count, d), 0, 1)
    return np.asarray(z / np.linalg.norm(z, axis=2, keepdims=True))


class IID(Shift):
    """The same mean in all rounds: stochastic optimization, no adversarial variation."""

    def __init__(self, mean: float = 0.5) -> None:
        self.bound = self.mean = check_number("mean", mean, low=0)

    def block(self, first: int, count: int) -> Block:
        """The mean ``mean e_1``."""
        return self._line(np.full(count, self.mean)), None, np.zeros((count, 1))


class Alternating(Shift):
    """``(mean + swing (-1)^t) e_1``: the gradient changes as much as it can from each round to the next."""

    def __init__(self, mean: float = 0.05, swing: float = 0.5) -> None:
        self.mean, self.swing = check_number("mean", mean), check_number("swing", swing, low=0)
        self.bound = abs(mean) + swing

    def block(self, first: int, count: int) -> Block:
        """Means that start at ``mean - swing``."""
        t = np.arange(first + 1, first + count + 1)
        return self._line(self.mean + self.swing * np.where(t % 2, -1.0, 1.0)), None, np.zeros((count, 1))


class Adversarial(Shift):
    """Losses chosen beforehand, no noise: given ones, or directions drawn anew each round."""

    noisy = False

    def __init__(self, means: Any = None, size: float = 0.5) -> None:
        self.size = check_number("size", size, low=0)
        self.means = None if means is None else np.asarray(means, dtype=float)
        if self.means is not None and (self.means.ndim != 2 or not np.isfinite(self.means).all()):
            raise ValueError(f"means must be finite, of shape (rounds, d), got shape {self.means.shape}")
        self.bound = self.size if self.means is None else float(np.linalg.norm(self.means, axis=1).max(initial=0.0))

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """As in the base; the given means must be enough."""
        super().begin(draws, horizon, d)
        if self.means is not None and (self.means.shape[1] != d or len(self.means) < horizon):
            raise OptimandError(f"means must have shape (at least {horizon}, {d}), got {self.means.shape}")

    def block(self, first: int, count: int) -> Block:
        """The given means, or ``size`` times a direction for each round and repetition."""
        if self.means is not None:
            return self.means[first : first + count, None], None, np.zeros((count, 1))
        return self.size * _directions(self.draws, count, self.d), None, np.zeros((count, 1))


class Corrupted(Shift):
    """I.i.d. losses of mean ``mean e_1`` with ``- size e_1`` added until the corruption is spent."""

    def __init__(self, mean: float = 0.5, corruption: float = 100.0, size: float = 1.0, where: str = "start") -> None:
        self.mean, self.size = check_number("mean", mean, low=0), check_number("size", size, low=0, low_open=True)
        self.corruption = check_number("corruption", corruption, low=0)
        self.where = check_choice("where", where, ("start", "even"))
        self.bound = max(self.mean, abs(self.mean - self.size))

    def block(self, first: int, count: int) -> Block:
        """The mean, less the corruption of the rounds that are hit, at the start or evenly over the horizon."""
        t = np.arange(first, first + count, dtype=float)
        if self.where == "start":
            spent = np.clip(self.corruption - t * self.size, 0.0, self.size)
        else:
            hits = min(self.corruption / self.size, float(self.horizon))
            before = np.floor(t * hits / self.horizon)
            spent = self.size * (np.floor((t + 1) * hits / self.horizon) - before)
        return self._line(self.mean - spent), None, np.zeros((count, 1))


class Drift(Shift):
    """A mean that turns at constant speed in the plane of the first two axes."""

    def __init__(self, size: float = 0.5, turns: float = 2.0) -> None:
        self.bound = self.size = check_number("size", size, low=0)
        self.turns = check_number("turns", turns, low=0)

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """As in the base; needs two dimensions."""
        super().begin(draws, horizon, d)
        if d < 2:
            raise OptimandError(f"kind 'drift' needs d >= 2, got d={d}")

    def block(self, first: int, count: int) -> Block:
        """``turns`` turns in the horizon, from the first axis on."""
        angle = 2 * np.pi * self.turns * np.arange(first, first + count) / self.horizon
        means = np.zeros((count, 1, self.d))
        means[:, 0, 0], means[:, 0, 1] = self.size * np.cos(angle), self.size * np.sin(angle)
        return means, None, np.zeros((count, 1))


class Segments(Shift):
    """Equal segments, each with a mean drawn uniformly on the sphere of radius ``size``."""

    def __init__(self, segments: int = 10, size: float = 0.5) -> None:
        self.segments = check_int("segments", segments, low=1)
        self.bound = self.size = check_number("size", size, low=0)

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """Draw the means of all segments."""
        super().begin(draws, horizon, d)
        self.centres = self.size * _directions(draws, self.segments, d)

    def block(self, first: int, count: int) -> Block:
        """The mean of each round's segment."""
        return self.centres[segment_of(first, count, self.horizon, self.segments)], None, np.zeros((count, 1))


def segment_of(first: int, count: int, horizon: int, segments: int) -> Array:
    """Numbers of the segments that the rounds ``first + 1, …`` lie in, shape ``(count,)``.

    Example:
        >>> segment_of(0, 6, 6, 3).tolist()
        [0, 0, 1, 1, 2, 2]
    """
    return np.minimum(np.arange(first, first + count) * segments // horizon, segments - 1)


class RandomOrder(Shift):
    """A pool of losses in random order: the mean of a round is that of the losses not yet drawn in this pass.

    Args:
        n: size of the pool.
        mean, spread: the pool is drawn once for each repetition, normal of total standard deviation ``spread`` around
            ``mean e_1``, cut off at three of them.
        passes: whether a pass that ends is followed by another, in an order of its own.
    """

    noisy = False

    def __init__(self, n: int = 1000, mean: float = 0.5, spread: float = 0.5, passes: bool = False) -> None:
        self.n, self.passes = check_int("n", n, low=1), passes
        self.mean, self.spread = check_number("mean", mean, low=0), check_number("spread", spread, low=0)
        self.bound = self.mean + 3 * self.spread

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """Draw the pool and the first order."""
        super().begin(draws, horizon, d)
        if not self.passes and horizon > self.n:
            raise OptimandError(f"kind 'rom' has {self.n} losses for {horizon} rounds; 'multipass' reshuffles them")
        self.values = clipped_noise(draws.child("pool"), self.n, d, self.spread)
        self.values[:, :, 0] += self.mean
        self.pass_number = -1

    def _shuffle(self, number: int) -> None:
        order = self.draws.child("order", number).permutation(self.n).T[:, :, None]
        self.drawn = np.take_along_axis(self.values, order, axis=0)
        left = np.arange(self.n, 0, -1)[:, None, None]
        # Sums from the end on: what is still to come, the round's own loss included.
        self.means = np.cumsum(self.drawn[::-1], axis=0)[::-1] / left
        squares = np.cumsum(self.drawn[::-1] ** 2, axis=0)[::-1] / left
        self.variances = np.maximum(squares - self.means**2, 0.0).sum(axis=2)
        self.pass_number = number

    def block(self, first: int, count: int) -> Block:
        """Means of what is left, and what was drawn, less these."""
        parts: list[Block] = []
        while count > 0:
            number, at = divmod(first, self.n)
            if number != self.pass_number:
                self._shuffle(number)
            stop = min(at + count, self.n)
            means = self.means[at:stop]
            parts.append((means, self.drawn[at:stop] - means, self.variances[at:stop]))
            first, count = first + stop - at, count - (stop - at)
        if len(parts) == 1:
            return parts[0]
        means, deviations, variances = (np.concatenate([p[i] for p in parts]) for i in range(3))  # type: ignore[misc]
        return means, deviations, variances


class LabelShift(Shift):
    """Losses of classes whose proportions move between two mixtures, as in online label shift.

    Args:
        classes: each has a mean drawn uniformly on the sphere of radius ``size``.
        size: radius.
        how: ``linear`` from one mixture to the other, or there and back as a ``sine`` or a ``square`` wave,
            once in as many rounds as the root of the horizon.
    """

    def __init__(self, classes: int = 5, size: float = 0.5, how: str = "sine") -> None:
        self.classes = check_int("classes", classes, low=2)
        self.bound = self.size = check_number("size", size, low=0)
        self.how = check_choice("how", how, ("linear", "sine", "square"))

    def begin(self, draws: Draws, horizon: int, d: int) -> None:
        """Draw the means of the classes."""
        super().begin(draws, horizon, d)
        self.centres = np.swapaxes(self.size * _directions(draws.child("classes"), self.classes, d), 0, 1)

    def block(self, first: int, count: int) -> Block:
        """The mixture's mean, and the deviation of the class that is drawn."""
        shares = mixture(self.how, first, count, self.horizon, self.classes)
        labels = draw_labels(self.draws, shares)
        means = np.einsum("tk,rkd->trd", shares, self.centres)
        deviations = self.centres[np.arange(self.reps)[None, :], labels] - means
        squares = np.einsum("tk,rkd->tr", shares, self.centres**2)
        return means, deviations, np.maximum(squares - (means**2).sum(axis=2), 0.0)


def mixture(how: str, first: int, count: int, horizon: int, classes: int) -> Array:
    """Proportions of the classes in the rounds ``first + 1, …``, shape ``(count, classes)``.

    The two mixtures give 0.9 to the first and to the last class, the rest evenly to the others.

    Example:
        >>> mixture("linear", 0, 3, 3, 2).round(2).tolist()
        [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]
    """
    t = np.arange(first, first + count)
    wave = 2 * np.pi * t / max(2.0, horizon**0.5)
    if how == "linear":
        share = t / max(horizon - 1, 1)
    elif how == "sine":
        share = 0.5 - 0.5 * np.cos(wave)
    else:
        share = (np.sin(wave + 1e-9) < 0).astype(float)
    ends = np.full((2, classes), 0.1 / (classes - 1))
    ends[0, 0] = ends[1, -1] = 0.9
    return np.outer(1 - share, ends[0]) + np.outer(share, ends[1])


def draw_labels(draws: Draws, shares: Array) -> Array:
    """A class for each round and repetition by the proportions ``shares`` (count, classes), shape ``(count, R)``."""
    u = draws.uniform(len(shares)).T
    return (u[:, :, None] >= np.cumsum(shares, axis=1)[:, None, :-1]).sum(axis=2)


def clipped_noise(draws: Draws, count: int, d: int, sigma: float) -> Array:
    """Normal vectors of total standard deviation ``sigma``, scaled to norm 3 sigma where longer: ``(count, R, d)``."""
    noise = np.swapaxes(draws.normal(count, d), 0, 1) * (sigma / d**0.5)
    if sigma > 0:
        norms = np.sqrt(np.einsum("trd,trd->tr", noise, noise))
        noise *= np.minimum(1.0, 3 * sigma / np.maximum(norms, 1e-300))[:, :, None]
    return np.ascontiguousarray(noise)


def clipped_variance(d: int, sigma: float) -> float:
    """The variance of :func:`clipped_noise`, from the chi-squared distribution.

    Example:
        >>> round(clipped_variance(1, 1.0), 4), clipped_variance(10, 0.0)
        (0.995, 0.0)
    """
    from scipy.special import gammainc, gammaincc

    inside, beyond = gammainc(d / 2 + 1, 4.5 * d), gammaincc(d / 2, 4.5 * d)
    return float(sigma**2 * (inside + 9.0 * beyond))


SHIFTS: dict[str, Callable[..., Shift]] = {
    "iid": IID,
    "alternating": Alternating,
    "adversarial": Adversarial,
    "corrupted": Corrupted,
    "drift": Drift,
    "segments": Segments,
    "rom": RandomOrder,
    "multipass": lambda **options: RandomOrder(passes=True, **options),
    "label-shift": LabelShift,
}
