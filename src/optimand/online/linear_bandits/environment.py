"""The engine's environment of misspecified linear bandits: rewards linear in features up to a bounded error."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_choice, check_int, check_number

from ..bandits.environments import GAUSSIAN, StochasticBandit
from ..engine.draws import Draws
from .queries import Array, check_features

ERRORS = ("uniform", "aimed", "sign", "none")


class MisspecifiedLinearEnvironment(StochasticBandit):
    """Arms with known features and mean rewards ``<phi(a), theta> + e(a)`` with ``|e(a)| <= eps``.

    Comparators, batches and the noise are those of
    :class:`~optimand.online.bandits.environments.StochasticBandit`: regret is that of the means, and what an arm gives
    at its n-th pull does not depend on the learner.

    Args:
        features: shape ``(N, d)``.
        theta: parameter, shape ``(d,)``; None to draw for each repetition one with ``sparsity`` nonzero entries on a
            uniform support, its direction uniform on the sphere.
        eps: bound of the error, >= 0.
        error: ``uniform`` on [-eps, eps]; ``sign`` against the linear part; ``aimed`` so that least squares on a
            G-optimal design overrates an arm of small linear part as much as it can; ``none``; or an
            array ``(N,)``.
        noise: standard deviation of the normal noise of a reward, >= 0.
        sparsity: nonzero entries of drawn parameters; all by default.
        radius: length of drawn parameters, > 0.
        tell_horizon: whether learners are told the horizon.

    Raises:
        ValueError: an argument is out of its range or has the wrong shape.

    Reference: arXiv 2303.16998, Section 2 (the model); the aimed error is a construction of ours.

    Example:
        >>> from optimand.online import simulate
        >>> from optimand.online.linear_bandits.linucb import LinUCB
        >>> env = MisspecifiedLinearEnvironment(np.eye(3), theta=[1.0, 0.5, 0.0], eps=0.0, error="none", noise=0.1)
        >>> curves = simulate([LinUCB()], env, 200, reps=3)
        >>> bool(curves.mean("LinUCB")[-1] < 20)
        True
    """

    law: ClassVar[int] = GAUSSIAN
    features: Array

    def __init__(
        self, features: Any, theta: Any = None, *, eps: float = 0.1, error: str | Array = "uniform", noise: float = 0.1,
        sparsity: int | None = None, radius: float = 1.0, tell_horizon: bool = True,
    ) -> None:  # fmt: skip
        features = check_features(features)
        N, d = features.shape
        # The base class draws means by `instance`, which is overridden; what it is given here is not used.
        super().__init__(np.zeros(N), features=features, tell_horizon=tell_horizon)
        self.eps = check_number("eps", eps, low=0, high=math.inf, high_open=True)
        self.noise = check_number("noise", noise, low=0, high=math.inf, high_open=True)
        self.radius = check_number("radius", radius, low=0, low_open=True)
        self.sparsity = d if sparsity is None else check_int("sparsity", sparsity, low=1, high=d)
        self.theta = None if theta is None else np.asarray(theta, dtype=float)
        if self.theta is not None and (self.theta.shape != (d,) or not np.isfinite(self.theta).all()):
            raise ValueError(f"theta must be {d} finite numbers, got shape {self.theta.shape}")
        self.error: Any = error
        if isinstance(error, str):
            check_choice("error", error, ERRORS)
        else:
            self.error = np.asarray(error, dtype=float)
            if self.error.shape != (N,) or not bool((np.abs(self.error) <= self.eps * (1 + 1e-12)).all()):
                raise ValueError(f"error must be {N} numbers in [-eps, eps], eps={self.eps:g}")

    def support(self) -> tuple[float, float]:
        """All numbers."""
        return -math.inf, math.inf

    def sigmas(self, arms: int) -> Array:
        """The noise, the same for all arms."""
        return np.full(arms, self.noise)

    def facts(self) -> dict[str, Any]:
        """What learners are told: levels of error ``eps`` and noise ``sigma``, the parameter's length and sparsity."""
        radius, sparsity = self.radius, self.sparsity
        if self.theta is not None:
            radius, sparsity = float(np.linalg.norm(self.theta)), int(np.count_nonzero(self.theta))
        return {"eps": self.eps, "sigma": self.noise, "radius": radius, "sparsity": sparsity}

    def instance(self, draws: Draws) -> Array:
        """Means of the repetitions of ``draws``, shape ``(R, N)``; parameters and errors are drawn in that order."""
        theta = self._parameters(draws)
        linear = theta @ self.features.T
        return linear + self._errors(draws, linear, theta)

    def extras(self) -> dict[str, Array]:
        """Also ``gap``: how far the mean of the arm pulled most is below the best, in units of eps (of 1 for eps 0)."""
        means = np.broadcast_to(self.means[:, 0], self.pulls.shape)
        most = self.pulls.argmax(axis=1)
        gap = means.max(axis=1) - means[np.arange(self.reps), most]
        return {**super().extras(), "gap": gap / (self.eps or 1.0)}

    def _parameters(self, draws: Draws) -> Array:
        d, reps = self.features.shape[1], len(draws.reps)
        if self.theta is not None:
            return np.tile(self.theta, (reps, 1))
        found = np.zeros((reps, d))
        rows = np.arange(reps)[:, None]
        direction = draws.normal(self.sparsity)
        found[rows, draws.permutation(d)[:, : self.sparsity]] = direction
        return self.radius * found / np.linalg.norm(found, axis=1, keepdims=True)

    def _errors(self, draws: Draws, linear: Array, theta: Array) -> Array:
        if not isinstance(self.error, str):
            return np.broadcast_to(self.error, linear.shape)
        if self.error == "uniform":
            return self.eps * (2 * draws.uniform(linear.shape[1]) - 1)
        if self.error == "sign":
            return -self.eps * np.sign(linear)
        if self.error == "aimed":
            from .generators import aimed_errors

            return aimed_errors(self.features, self.eps)(self.features, theta)
        return np.zeros_like(linear)
