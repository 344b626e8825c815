"""Tsallis-INF: a bandit whose total cost approaches that of the best fixed arm; and one for each bin of contexts.

Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (arXiv 2310.02246), with exponent 1/2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from optimand.core.compiled import compiled
from optimand.core.validation import check_int

from .base import Array, OmegaTuner, checked_bounds

NEWTON_STEPS = 100  # 11 suffice for a million rounds


@compiled
def tsallis_root(gaps: Array) -> float:
    """The z >= 1 at which the weights 1/(gaps + z)^2 sum to 1.

    Args:
        gaps: eta/2 times each estimated loss minus the least of them; the least gap is 0.

    At z = 1 the best arm alone has weight 1, and the sum is convex and falling in z: Newton's method from there
    rises to the root without ever passing it, so it stops when z no longer rises.

    Example:
        >>> float(tsallis_root(np.zeros(4)))
        2.0
    """
    z = 1.0
    for _ in range(NEWTON_STEPS):
        excess, slope = -1.0, 0.0
        for gap in gaps:
            inverse = 1.0 / (gap + z)
            excess += inverse * inverse
            slope += 2.0 * inverse * inverse * inverse
        raised = z + excess / slope
        if not raised > z:
            break
        z = raised
    return z


@compiled
def tsallis_weights(losses: Array, scale: float, rounds: float, weights: Array) -> None:
    """Fill ``weights`` with the probabilities for importance-weighted ``losses`` in round ``rounds``."""
    half_eta = 1.0 / math.sqrt(rounds)
    least = losses.min()
    for i in range(losses.size):
        weights[i] = half_eta * (losses[i] - least) / scale
    z = tsallis_root(weights)
    total = 0.0
    for i in range(losses.size):
        weights[i] = 1.0 / (weights[i] + z) ** 2
        total += weights[i]
    for i in range(losses.size):
        weights[i] /= total


@compiled
def draw(weights: Array, u: float) -> int:
    """The arm at which the running sum of ``weights`` passes ``u`` in [0, 1)."""
    total = 0.0
    last = 0
    for i in range(weights.size):
        total += weights[i]
        if weights[i] > 0.0:
            last = i
        if u < total:
            return i
    return last


@compiled
def tsallis_draw(losses: Array, scale: float, rounds: float, u: float, weights: Array) -> int:
    """Weights and arm in one call."""
    tsallis_weights(losses, scale, rounds, weights)
    return draw(weights, u)


class TsallisINF(OmegaTuner):
    """A bandit over a grid of omegas that sees nothing but the cost of what it chose.

    Losses are costs above ``least_cost``, divided by their running mean; round t has eta = 2/sqrt(t).

    Args:
        arms: the grid; by default ``linspace(1, 1.95, 20)``.
        least_cost: the smallest cost that can occur: 1 for iteration counts, 0 for seconds.
        rng: a NumPy generator or an integer seed.

    Reference:
        Khodak, Chow, Balcan, Talwalkar, "Learning to Relax: Setting Solver Parameters Across a Sequence of Linear
        System Instances" (arXiv 2310.02246), Tsallis-INF.

    Example:
        >>> tuner = TsallisINF([1.0, 1.5, 1.9], rng=0)
        >>> for _ in range(500):
        ...     omega = tuner.ask()
        ...     tuner.tell(40 if omega == 1.5 else 90)
        >>> tuner.policy(), bool(tuner.probabilities()[1] > 0.9)
        (1.5, True)
    """

    _kept = ("losses", "totals", "rounds", "weights", "asked")

    def __init__(
        self,
        arms: ArrayLike | None = None,
        *,
        least_cost: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(arms, least_cost=least_cost, rng=rng)
        self._prepare(1)

    def _prepare(self, rows: int) -> None:
        self._losses = np.zeros((rows, self.arms.size))
        self._totals = np.zeros(rows)  # of the costs, least_cost not subtracted
        self._rounds = np.zeros(rows)
        self._weights = np.zeros(self.arms.size)  # at the last ask, which the importance weight needs
        self._asked = np.zeros(1, dtype=np.int64)  # its row

    def _row(self, context: float) -> int:
        return 0

    def _scale(self, row: int) -> float:
        if self._rounds[row] == 0:
            return 1.0
        scale = float(self._totals[row] / self._rounds[row]) - self.least_cost
        return scale if scale > 0 else 1.0  # so far nothing cost more than the least

    def _choose(self, context: float) -> int:
        row = self._row(context)
        self._asked[0] = row
        rounds = self._rounds[row] + 1.0
        return tsallis_draw(self._losses[row], self._scale(row), rounds, self.rng.random(), self._weights)

    def _learn(self, arm: int, cost: float) -> None:
        row = self._asked[0]
        self._totals[row] += cost
        self._rounds[row] += 1.0
        self._losses[row, arm] += (cost - self.least_cost) / self._weights[arm]

    def _estimates(self, context: float) -> Array:
        return self._losses[self._row(context)]

    def _distribution(self, context: float) -> Array:
        row, weights = self._row(context), np.empty(self.arms.size)
        tsallis_weights(self._losses[row], self._scale(row), self._rounds[row] + 1.0, weights)
        return weights


class BinnedBandit(TsallisINF):
    """Contexts sorted into equal bins, with a :class:`TsallisINF` for each: the simple contextual bandit.

    Args:
        arms: the grid; by default ``linspace(1, 1.95, 20)``.
        context_bounds: ``(low, high)`` of the context.
        bins: number of bins.
        outside: ``error`` or ``clip``, see :class:`OmegaTuner`.
        least_cost: the smallest cost that can occur: 1 for iteration counts, 0 for seconds.
        rng: a NumPy generator or an integer seed.

    Reference:
        Khodak et al. (arXiv 2310.02246), Tsallis-INF-CB.

    Example:
        >>> tuner = BinnedBandit([1.0, 1.9], context_bounds=(0, 1), bins=2, rng=0)
        >>> for t in range(600):
        ...     context = (t % 2) * 0.8
        ...     omega = tuner.ask(context)
        ...     tuner.tell(20 if (omega == 1.0) == (context < 0.5) else 60)
        >>> tuner.policy(0.1), tuner.policy(0.9)
        (1.0, 1.9)
    """

    def __init__(
        self,
        arms: ArrayLike | None = None,
        *,
        context_bounds: tuple[float, float],
        bins: int = 5,
        outside: str = "error",
        least_cost: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        OmegaTuner.__init__(
            self, arms, context_bounds=checked_bounds(context_bounds), outside=outside, least_cost=least_cost, rng=rng
        )
        self.bins = check_int("bins", bins, low=1)
        self._prepare(self.bins)

    def _row(self, context: float) -> int:
        assert self.context_bounds is not None
        low, high = self.context_bounds
        # The nearest of equidistant centres is the bin that the context lies in.
        return min(int((context - low) / (high - low) * self.bins), self.bins - 1)
