"""The stochastically extended adversary: quadratic or linear losses whose mean moves, seen through noise.

In round ``t`` nature picks a distribution, a loss ``f_t(x) = (h/2) ||x||^2 - <a_t, x>`` is drawn from it and revealed
once ``x_t`` is played; ``F_t`` is its expectation (Sachs et al., arXiv 2202.07554; arXiv 2302.04552). The environment
knows ``F_t``, so regret is the expected one unless the comparator ``realised`` is asked for, and it reports the two
measures of difficulty: the variance ``sigma^2_{1:T}`` and the variation ``Sigma^2_{1:T}`` of the gradients of ``F_t``.
The variation counts from the second round on, so that it is 0 where nothing moves.
"""

from __future__ import annotations

import inspect
import itertools
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number, suggest

from ..engine.contracts import Array, Spec
from ..engine.draws import Draws
from .comparators import quadratic_minimiser
from .domains import Ball, Domain, check_domain
from .losses import LinearLoss, QuadraticLoss
from .played import PlayedEnvironment, summed
from .shifts import SHIFTS, Shift, clipped_noise, clipped_variance, segment_of

KINDS = tuple(SHIFTS)


class SEAEnvironment(PlayedEnvironment):
    """Losses ``(h/2) ||x||^2 - <a_t, x>`` with ``a_t = mu_t + noise``, for all repetitions at once.

    The noise has independent normal coordinates of standard deviation ``sigma / sqrt(d)`` and is scaled to norm
    ``3 sigma`` where it is longer, so that gradients are bounded.

    Regret is measured against: ``fixed``, the point that is best for the sum of ``F_t`` so far; ``dynamic``, the
    minimiser of each ``F_t``; ``per-segment``, the best point of each of the kind's segments (one segment for kinds
    without); ``realised``, the point that is best for the losses ``f_t`` that came, with the learner's loss in
    ``f_t`` too. All are exact.

    Args:
        kind: how the means move: ``iid``, ``alternating``, ``adversarial``, ``corrupted``, ``drift``, ``segments``,
            ``rom`` (random order, one pass), ``multipass`` (reshuffled passes) or ``label-shift``; or a
            :class:`~optimand.online.convex.shifts.Shift`.
        d: dimension.
        curvature: ``h``, at least 0; with 0 the losses are linear.
        sigma: total standard deviation of the noise before it is cut; by default 0.5, and 0 for kinds without noise.
        domain: a convex set; the unit ball by default.
        G: bound of the gradients that learners are told; by default ``h`` times the largest norm in the domain plus
            the largest mean plus ``3 sigma``.
        options: of the kind, see :mod:`optimand.online.convex.shifts`.

    Raises:
        OptimandError: a kind does not take an option.
        ValueError: an argument is out of its range.

    Example:
        >>> from optimand.online.engine import simulate
        >>> from optimand.online.convex import OGD
        >>> env = SEAEnvironment("iid", sigma=0.0)
        >>> curves = simulate([OGD()], env, 100, reps=2)
        >>> curves.comparator, curves.extras["OGD"]["Sigma2_cum"].tolist()
        ('fixed', [0.0, 0.0])
    """

    comparators: ClassVar[tuple[str, ...]] = ("fixed", "dynamic", "per-segment", "realised")

    def __init__(
        self, kind: str | Shift = "iid", *, d: int = 10, curvature: float = 1.0, sigma: float | None = None,
        domain: Domain | None = None, G: float | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.d = check_int("d", d, low=1)
        self.curvature = check_number("curvature", curvature, low=0)
        self.shift = _make_shift(kind, options)
        self.sigma = check_number("sigma", (0.5 if self.shift.noisy else 0.0) if sigma is None else sigma, low=0)
        if self.sigma and not self.shift.noisy:
            raise OptimandError(f"kind {kind!r} has no noise: sigma must be 0, got {sigma!r}")
        self.domain = Ball(1.0) if domain is None else check_domain(domain)
        if not self.curvature and not self.domain.bounded:
            raise OptimandError("linear losses (curvature=0) have no best point on an unbounded domain")
        self.G = None if G is None else check_number("G", G, low=0, low_open=True)
        self._variance = clipped_variance(self.d, self.sigma)

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Begin anew; kinds that spread something over the horizon need to know it."""
        if horizon is None:
            raise OptimandError("this environment needs to know the horizon")
        self._begin(draws, horizon)
        self._noise = draws.child("noise")
        self.shift.begin(draws.child("shift"), horizon, self.d)
        reps, d = self._reps, self.d
        self._expected, self._drawn = np.zeros(reps), np.zeros(reps)
        self._least, self._least_before = np.zeros(reps), np.zeros(reps)
        self._sum_mean, self._sum_drawn = np.zeros((reps, d)), np.zeros((reps, d))
        self._segment, self._segment_mean, self._segment_rounds = 0, np.zeros((reps, d)), 0
        self._sigma2, self._Sigma2, self._path = np.zeros(reps), np.zeros(reps), np.zeros(reps)
        self._followed = self._at
        self._last_mean: Array | None = None
        self._last_best: Array | None = None

    def spec(self) -> Spec:
        """Dimension, domain, and the facts ``D``, ``G``, ``L``, ``lam``, ``alpha`` and ``sigma``."""
        h, G = self.curvature, self.gradient_bound()
        return self._told(G=G, L=h, lam=h or None, alpha=h / G**2 if h else None, sigma=self.sigma)

    def gradient_bound(self) -> float:
        """The bound of the gradients that learners are told."""
        return self.G or self.curvature * largest_norm(self.domain, self.d) + self.shift.bound + 3 * self.sigma

    def _draw(self, first: int, count: int) -> None:
        self._followed = 0
        means, deviations, variances = self.shift.block(first, count)
        self._means = means
        a = np.broadcast_to(means, (count, self._reps, self.d))
        if deviations is not None:
            a = a + deviations
        if self.sigma:
            a = a + clipped_noise(self._noise, count, self.d, self.sigma)
        self._a = np.ascontiguousarray(a)
        self._variances = variances + self._variance

    def _loss(self, j: int) -> Any:
        return QuadraticLoss(self.curvature, self._a[j]) if self.curvature else LinearLoss(-self._a[j])

    def _judge(self, points: Array, start: int, stop: int) -> None:
        means, a = self._means[start:stop], self._a[start:stop]
        wide = np.broadcast_to(means, points.shape)
        quadratic = 0.5 * self.curvature * np.einsum("trd,trd->tr", points, points)
        self._expected = self._expected + summed(quadratic - np.einsum("trd,trd->tr", points, wide))
        self._drawn = self._drawn + summed(quadratic - np.einsum("trd,trd->tr", points, a))
        self._sum_drawn = self._sum_drawn + summed(a)
        self._sum_mean = self._sum_mean + summed(wide)

    def _follow(self) -> None:
        """Take account of how the means moved up to the last round; asked for less often than the losses."""
        start, stop = self._followed, self._at
        if start >= stop:
            return
        means, count = self._means[start:stop], stop - start
        wide = np.broadcast_to(means, (count, self._reps, self.d))
        self._sigma2 = self._sigma2 + summed(np.broadcast_to(self._variances[start:stop], (count, self._reps)))
        before = means[:1] if self._last_mean is None else self._last_mean[None]
        self._Sigma2 = self._Sigma2 + summed(((means - np.concatenate([before, means[:-1]])) ** 2).sum(axis=2))
        self._last_mean = means[-1]
        self._judge_dynamic(means)
        self._judge_segments(wide, self._first + start)
        self._followed = stop

    def _judge_dynamic(self, means: Array) -> None:
        moved = np.concatenate([[True], (means[1:] != means[:-1]).any(axis=(1, 2))])
        kept = np.cumsum(moved) - 1  # a mean that stays has the same minimiser
        some = means[moved]
        best = quadratic_minimiser(self.domain, self.curvature, some.reshape(-1, self.d)).reshape(some.shape)
        values = (0.5 * self.curvature * best**2 - some * best).sum(axis=2)
        self._least = self._least + summed(values[kept])
        before = best[:1] if self._last_best is None else self._last_best[None]
        steps = np.linalg.norm(best - np.concatenate([before, best[:-1]]), axis=2)
        self._path = self._path + summed(steps)
        self._last_best = best[-1]

    def _judge_segments(self, means: Array, first: int) -> None:
        assert self._horizon is not None
        numbers = segment_of(first, len(means), self._horizon, self.shift.segments)
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(means)]
        for start, stop in itertools.pairwise(starts):
            if numbers[start] != self._segment:
                self._least_before = self._least_before + self._least_of(self._segment_mean, self._segment_rounds)
                self._segment_mean, self._segment_rounds = np.zeros_like(self._segment_mean), 0
                self._segment = int(numbers[start])
            self._segment_mean = self._segment_mean + summed(means[start:stop])
            self._segment_rounds += stop - start

    def _least_of(self, linear: Array, rounds: int) -> Array:
        h = self.curvature * rounds
        best = quadratic_minimiser(self.domain, h, linear)
        return np.asarray((0.5 * h * best**2 - linear * best).sum(axis=1))

    def regret(self, comparator: str) -> Array:
        """Regret so far, shape ``(R,)``; expected except for ``realised``."""
        check_choice("comparator", comparator, self.comparators)
        self._flush()
        if comparator == "realised":
            return self._drawn - self._least_of(self._sum_drawn, self.rounds)
        if comparator == "fixed":
            return self._expected - self._least_of(self._sum_mean, self.rounds)
        self._follow()
        if comparator == "dynamic":
            return self._expected - self._least
        return self._expected - self._least_before - self._least_of(self._segment_mean, self._segment_rounds)

    def extras(self) -> dict[str, Array]:
        """``sigma2_cum``, ``Sigma2_cum`` and the ``path_length`` of the minimisers, so far."""
        self._flush()
        self._follow()
        return {"sigma2_cum": self._sigma2, "Sigma2_cum": self._Sigma2, "path_length": self._path}


def _make_shift(kind: str | Shift, options: dict[str, Any]) -> Shift:
    if isinstance(kind, Shift):
        if options:
            raise OptimandError(f"a Shift takes no options, got {', '.join(options)}")
        return kind
    make = SHIFTS[check_choice("kind", kind, KINDS)]
    known = list(inspect.signature(SHIFTS["rom"] if kind == "multipass" else make).parameters)
    known = [name for name in known if name != "passes"]
    for name in options:
        if name not in known:
            listed = ", ".join(known)
            raise OptimandError(f"kind {kind!r} has no option {name!r}; it has {listed}{suggest(name, known)}")
    return make(**options)


def largest_norm(domain: Domain, d: int) -> float:
    """An upper bound of the norms in a set: its diameter and the norm of one of its points; infinite if unbounded.

    Example:
        >>> from optimand.online.convex.domains import Ball
        >>> largest_norm(Ball(2.0), 3)
        2.0
    """
    if not domain.bounded:
        return float("inf")
    if isinstance(domain, Ball):
        return domain.radius + float(np.linalg.norm(np.broadcast_to(domain.center, d)))
    return domain.diameter_in(d) + float(np.linalg.norm(domain.project(np.zeros((1, d)))))
