"""ChebCB: a contextual bandit that fits a Chebyshev series of the cost to each omega and samples by inverse gaps.

Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (arXiv 2310.02246). Here the fits come from running sums of
products, so that the work of a round does not grow with the rounds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from optimand.core.compiled import compiled
from optimand.core.validation import check_int

from .base import Array, OmegaTuner, checked_bounds
from .regression import in_box, minimum_norm, squared_residual
from .tsallis import draw

LEAST_SCALE = 1e-100  # costs below it count as 0: their squares vanish

# Positions in the array of running numbers, which the compiled update reads and writes.
ROUNDS, HIGHEST, LOWEST, SCALE, ETA, RESIDUAL, PREDICTED2, PRODUCT, COST2, PREDICTION = range(10)


@compiled
def square_cb(predicted: Array, eta: float, weights: Array) -> None:
    """SquareCB: each arm but the best gets 1/(d + eta gap), the best gets the rest."""
    best = int(np.argmin(predicted))
    others = 0.0
    for i in range(predicted.size):
        if i != best:
            weights[i] = 1.0 / (predicted.size + eta * (predicted[i] - predicted[best]))
            others += weights[i]
    weights[best] = 1.0 - others


@compiled
def predict(theta: Array, position: float, features: Array, predicted: Array) -> None:
    """Fill ``features`` with T_0..T_{m-1} at ``position`` in [-1, 1] and ``predicted`` with theta times them."""
    for j in range(features.size):
        if j < 2:
            features[j] = 1.0 if j == 0 else position
        else:
            features[j] = 2.0 * position * features[j - 1] - features[j - 2]
    for i in range(predicted.size):
        predicted[i] = 0.0
        for j in range(features.size):
            predicted[i] += theta[i, j] * features[j]


@compiled
def sample(theta: Array, position: float, u: float, features: Array, weights: Array, numbers: Array) -> int:
    """Predict, weigh and draw; remembers the features and the drawn arm's prediction for the update."""
    predicted = np.empty(weights.size)
    predict(theta, position, features, predicted)
    square_cb(predicted, numbers[ETA], weights)
    arm = draw(weights, u)
    numbers[PREDICTION] = predicted[arm]
    return arm


@compiled
def _refit(arm: int, gram: Array, cross: Array, square: Array, theta: Array, numbers: Array, bound: Array) -> None:
    """Least squares for one arm, in the box if the free solution leaves it."""
    scale = numbers[SCALE]
    found = minimum_norm(gram[arm], cross[arm] / scale)
    if (np.abs(found) > bound).any():
        found = in_box(gram[arm], cross[arm] / scale, bound, found)
        numbers[RESIDUAL] = squared_residual(gram[arm], cross[arm] / scale, square[arm] / scale**2, found)
    theta[arm] = found


@compiled
def update(
    arm: int,
    cost: float,
    least_cost: float,
    width: float,
    features: Array,
    gram: Array,
    cross: Array,
    square: Array,
    theta: Array,
    numbers: Array,
) -> None:
    """One round of ChebCB after the cost of ``arm`` is known; ``width`` is b - a."""
    arms, m = theta.shape
    loss = cost - least_cost
    for i in range(m):
        cross[arm, i] += features[i] * loss
        for j in range(m):
            gram[arm, i, j] += features[i] * features[j]
    square[arm] += loss * loss
    numbers[PREDICTED2] += numbers[PREDICTION] ** 2
    numbers[PRODUCT] += numbers[PREDICTION] * cost
    numbers[COST2] += cost * cost
    numbers[ROUNDS] += 1.0
    t = numbers[ROUNDS]
    numbers[HIGHEST] = cost if t == 1.0 else max(cost, numbers[HIGHEST])
    numbers[LOWEST] = cost if t == 1.0 else min(cost, numbers[LOWEST])
    largest = numbers[HIGHEST]
    if largest < LEAST_SCALE:
        return  # all costs 0 so far: nothing to scale by, and nothing to learn
    steepness = (largest - numbers[LOWEST]) / width
    span = 2.0 + 4.0 * width * steepness / largest * (1.0 + math.log(m))
    scale = largest * span
    everything = scale != numbers[SCALE]
    numbers[SCALE] = scale
    bound = np.empty(m)
    bound[0] = 1.0 / span
    for j in range(1, m):
        bound[j] = 2.0 * width * steepness / (scale * j)
    if everything:
        for i in range(arms):
            if gram[i, 0, 0] > 0.0:
                _refit(i, gram, cross, square, theta, numbers, bound)
    else:
        _refit(arm, gram, cross, square, theta, numbers, bound)
    alpha = (math.pi + 2.0 / math.pi * math.log(2.0 * m + 1.0)) / (2.0 * scale * (m + 1.0)) * width * steepness
    regret = numbers[PREDICTED2] - 2.0 * numbers[PRODUCT] / scale + numbers[COST2] / scale**2
    excess = max(regret - numbers[RESIDUAL], 0.0) + 2.0 * alpha * alpha * t
    if excess > 0.0:
        numbers[ETA] = 2.0 * t * math.sqrt(arms * t / excess)


class ChebCB(OmegaTuner):
    """A contextual bandit that learns the cost of each omega as a smooth function of the context.

    The cost is a Chebyshev series in the context for each arm; arms are drawn with probabilities inverse to how
    much worse than the best they are predicted to be. The work of a round and the memory, 20 arms with 6
    coefficients taking about 8 kB, do not depend on how many rounds there were.

    Args:
        arms: the grid of omegas; by default ``linspace(1, 1.95, 20)``.
        context_bounds: ``(low, high)`` of the context, such as the smallest and largest shift.
        coefficients: terms of the series, degrees 0 to ``coefficients - 1``.
        outside: ``error`` or ``clip`` for contexts outside the bounds, where the polynomials would explode.
        least_cost: the smallest cost that can occur: 1 for iteration counts, 0 for seconds.
        rng: a NumPy generator or an integer seed.

    Reference:
        Khodak, Chow, Balcan, Talwalkar, "Learning to Relax: Setting Solver Parameters Across a Sequence of Linear
        System Instances" (arXiv 2310.02246), ChebCB.

    Example:
        >>> tuner = ChebCB([1.0, 1.5, 1.9], context_bounds=(0, 1), rng=0)
        >>> shifts = np.random.default_rng(1).random(2000)
        >>> for shift in shifts:
        ...     omega = tuner.ask(shift)
        ...     tuner.tell(100 + 400 * abs(omega - 1.9 + 0.9 * shift))
        >>> tuner.policy(0.05), tuner.policy(0.95)
        (1.9, 1.0)
    """

    _kept = ("theta", "gram", "cross", "square", "numbers", "features")

    def __init__(
        self,
        arms: ArrayLike | None = None,
        *,
        context_bounds: tuple[float, float],
        coefficients: int = 6,
        outside: str = "error",
        least_cost: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(
            arms, context_bounds=checked_bounds(context_bounds), outside=outside, least_cost=least_cost, rng=rng
        )
        self.coefficients = m = check_int("coefficients", coefficients, low=1)
        d = self.arms.size
        self._theta = np.zeros((d, m))
        self._gram = np.zeros((d, m, m))
        self._cross = np.zeros((d, m))
        self._square = np.zeros(d)
        self._numbers = np.zeros(10)
        self._features = np.zeros(m)
        self._weights = np.zeros(d)

    @property
    def eta(self) -> float:
        """How sharply the sampling prefers what looks best; grows about linearly with the rounds."""
        return float(self._numbers[ETA])

    def predicted_cost(self, context: float) -> Array:
        """The cost that the fits predict for each arm; shape ``(arms,)``. An arm never tried has ``least_cost``."""
        return self._estimates(self._located(context)) * self._numbers[SCALE] + self.least_cost

    def _position(self, context: float) -> float:
        assert self.context_bounds is not None
        low, high = self.context_bounds
        return 2.0 * (context - low) / (high - low) - 1.0

    def _estimates(self, context: float) -> Array:
        predicted = np.empty(self.arms.size)
        predict(self._theta, self._position(context), np.empty(self.coefficients), predicted)
        return predicted

    def _choose(self, context: float) -> int:
        u = self.rng.random()
        return sample(self._theta, self._position(context), u, self._features, self._weights, self._numbers)

    def _learn(self, arm: int, cost: float) -> None:
        assert self.context_bounds is not None
        low, high = self.context_bounds
        update(
            arm, cost, self.least_cost, high - low, self._features, self._gram, self._cross, self._square,
            self._theta, self._numbers,
        )  # fmt: skip

    def _distribution(self, context: float) -> Array:
        weights = np.empty(self.arms.size)
        square_cb(self._estimates(context), self.eta, weights)
        return weights
