"""LinUCB and linear Thompson sampling, wide enough for a bounded misspecification.

LinUCB is the algorithm of Li et al. (2010) with the confidence set of Abbasi-Yadkori, Pal and Szepesvari (2011);
linear Thompson sampling is that of Agrawal and Goyal (2013). Errors of at most eps move a ridge estimate at an arm
``phi`` after ``t`` rounds by at most ``eps √t |phi|_{V^{-1}}``; adding that to the confidence width keeps it valid.
Both learners keep predictions and squared widths of all arms and update them by one product with the features. Arms
without features are told apart by the unit vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from optimand.core.validation import check_number

from ..bandits.environments import plain_arms
from ..engine.contracts import Array, Environment, Feedback, Learner, Spec
from ..engine.draws import Draws
from .linear_steps import choose, learn, play
from .queries import told_features


class LinearLearner(Learner):
    """Ridge regression on pulled arms, for all repetitions at once; the base of learners that choose by it.

    Args:
        regularisation: ridge, > 0.
        noise: level of the rewards' noise; None for what the environment tells.

    Attributes:
        predicted: rewards of all arms, shape ``(R, K)``.
        squared: ``phi' V^{-1} phi`` of all arms, shape ``(R, K)``.
        inverse: ``V^{-1}``, shape ``(R, d, d)``.
        root: a square root of it, where :attr:`thompson`, else empty.
        log_det: ``ln det(V / ridge)``, shape ``(R,)``.
    """

    thompson: ClassVar[bool] = False

    def __init__(self, regularisation: float, noise: float | None) -> None:
        self.regularisation = check_number("regularisation", regularisation, low=0, low_open=True)
        self.noise = None if noise is None else check_number("noise", noise, low=0)

    def width(self) -> tuple[float, float, float, float]:
        """Fixed part, factor of the noise, logarithm under its root, and factor of the root of time."""
        raise NotImplementedError

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin with the prior."""
        features = told_features(spec)
        self.features = np.ascontiguousarray(features.T)
        self.facts, self.draws = dict(spec.facts), draws
        reps, d, ridge = spec.reps, len(self.features), self.regularisation
        self.sigma = float(self.facts.get("sigma", 1.0)) if self.noise is None else self.noise
        self.inverse = np.tile(np.eye(d) / ridge, (reps, 1, 1))
        self.root = np.tile(np.eye(d) / math.sqrt(ridge), (reps if self.thompson else 0, 1, 1))
        self.predicted = np.zeros((reps, spec.actions))
        self.squared = np.tile(np.square(features).sum(axis=1) / ridge, (reps, 1))
        self.log_det = np.zeros(reps)
        self.rounds = 0
        self._last = np.zeros(reps, dtype=np.int64)

    def _state(self) -> tuple[Array, ...]:
        return self.predicted, self.squared, self.inverse, self.root, self.log_det

    def _stream(self, rounds: int) -> tuple[np.uint64, Array, int, int]:
        """Where the normal numbers of the coming rounds are; they count as drawn."""
        draws = self.draws
        index = -(-draws.count // 2)
        if self.thompson:
            draws.count = 2 * (index + rounds * len(self.features))
        return draws.key, draws.reps, draws.stream, index

    def act(self, observation: object) -> Array:
        """The arm of each repetition; the first of several."""
        arms = np.empty_like(self._last)
        choose(self.thompson, self.features, self._state(), self.rounds, self.width(), *self._stream(1), arms)
        self._last = arms
        return arms

    def update(self, feedback: Feedback) -> None:
        """One step of recursive least squares, carried over to all arms."""
        learn(self.features, self._state(), self._last, np.ascontiguousarray(feedback.reward, dtype=float))
        self.rounds += 1

    def fuse(self, env: Environment) -> Callable[[int], None] | None:
        """A compiled loop with an environment of stochastic arms; None for another."""
        arms = plain_arms(env, self, LinearLearner)
        if arms is None:
            return None

        def run(rounds: int) -> None:
            if rounds > 0:
                play(
                    self.thompson, arms.law, arms._arm_state, self.features, self._state(), self.rounds, rounds,
                    self.width(), *self._stream(rounds), self._last,
                )  # fmt: skip
                self.rounds += rounds

        return run


class LinUCB(LinearLearner):
    """Optimism in linear models: pull the arm with the largest upper confidence bound.

    Args:
        confidence: probability in (0, 1) with which the confidence set may fail. Its radius is ``√ridge radius +
            sigma √(2 ln(1 / confidence) + ln det(V / ridge))``.
        alpha: a fixed radius instead, >= 0.
        regularisation: ridge, > 0.
        misspecification: eps that the width allows for, by ``eps √t``; 0 for the plain algorithm.
        noise: sub-Gaussian level; what the environment tells (``sigma``) by default, else 1.
        radius: bound of the parameter's length; what the environment tells by default, else 1.

    Reference: Li et al. (2010); Abbasi-Yadkori et al. (2011), Theorem 2; Lattimore et al. (2020), Section 5, for
    the widening.

    Example:
        >>> LinUCB(misspecification=0.1).batched
        False
    """

    def __init__(
        self, *, confidence: float = 0.01, alpha: float | None = None, regularisation: float = 1.0,
        misspecification: float = 0.0, noise: float | None = None, radius: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(regularisation, noise)
        self.confidence = check_number("confidence", confidence, low=0, high=1, low_open=True, high_open=True)
        self.alpha = None if alpha is None else check_number("alpha", alpha, low=0)
        self.misspecification = check_number("misspecification", misspecification, low=0)
        self.radius = None if radius is None else check_number("radius", radius, low=0)

    def width(self) -> tuple[float, float, float, float]:
        """The radius of the confidence set, and its growth by errors."""
        if self.alpha is not None:
            return self.alpha, 0.0, 0.0, self.misspecification
        length = float(self.facts.get("radius", 1.0)) if self.radius is None else self.radius
        fixed = math.sqrt(self.regularisation) * length
        return fixed, self.sigma, 2 * math.log(1 / self.confidence), self.misspecification


class LinTS(LinearLearner):
    """Linear Thompson sampling: pull the best arm of a parameter drawn from the posterior, widened by ``scale``.

    Args:
        scale: standard deviation of the draw in units of the posterior's with the level ``noise``, > 0. The analysis
            asks for ``√(9 d ln(t / delta))``, which explores far more than pays off in practice.
        regularisation: ridge, > 0.
        misspecification: eps that the draw's deviation allows for, by ``eps √t``.
        noise: level of the rewards' noise; what the environment tells (``sigma``) by default, else 1.

    Reference: Agrawal and Goyal (2013), Algorithm 1.

    Example:
        >>> LinTS(scale=0.5).batched
        False
    """

    thompson: ClassVar[bool] = True

    def __init__(
        self, *, scale: float = 1.0, regularisation: float = 1.0, misspecification: float = 0.0,
        noise: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(regularisation, noise)
        self.scale = check_number("scale", scale, low=0, low_open=True)
        self.misspecification = check_number("misspecification", misspecification, low=0)

    def width(self) -> tuple[float, float, float, float]:
        """The spread of the draw, and its growth by errors."""
        return 0.0, self.scale * self.sigma, 0.0, self.misspecification
