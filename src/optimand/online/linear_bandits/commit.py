"""Searching, then committing: a search over sparse parameters as a learner that pays regret for what it asks."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..engine.contracts import Array, Feedback, Learner, Spec
from ..engine.draws import Draws
from .phased import FOREVER
from .queries import repeats_needed, told_features


class SparseNetCommit(Learner):
    """Pulls the greedy arms of a net of sparse parameters, or the centres of a cover; then the best of them for good.

    All repetitions search at once, as the arms to pull do not depend on rewards. Where the horizon is told, at most
    ``share`` of it is spent on searching: each arm is then pulled less often than the guarantee asks for.

    Args:
        s: nonzero entries; what the environment tells (``sparsity``) by default.
        eps: resolution and bound of the misspecification, > 0; what the environment tells by default.
        method: ``net`` or ``cover``.
        radius: bound of the parameter's length, > 0.
        noise: sub-Gaussian level; what the environment tells (``sigma``) by default, else 1.
        delta: failure probability that the number of pulls is for.
        share: of the horizon, in (0, 1]; by default ``(arms / horizon)^{1/3}``, the order that balances searching
            and committing, but at most a half.

    Reference: arXiv 2303.16998, the search with O(eps^{-s} d^s) queries.

    Example:
        >>> SparseNetCommit(s=1, eps=0.1).batched
        True
    """

    batched: ClassVar[bool] = True

    def __init__(
        self, *, s: int | None = None, eps: float | None = None, method: str = "net", radius: float = 1.0,
        noise: float | None = None, delta: float = 0.05, share: float | None = None,
    ) -> None:  # fmt: skip
        self.s = None if s is None else check_int("s", s, low=1)
        self.eps = None if eps is None else check_number("eps", eps, low=0, low_open=True)
        self.method = check_choice("method", method, ("net", "cover"))
        self.radius = check_number("radius", radius, low=0, low_open=True)
        self.noise = None if noise is None else check_number("noise", noise, low=0)
        self.delta = check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)
        self.share = None if share is None else check_number("share", share, low=0, high=1, low_open=True)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Find the arms to pull."""
        from .search import SparseSearch

        features = told_features(spec)
        s, eps = spec.facts.get("sparsity") if self.s is None else self.s, self.eps or spec.facts.get("eps")
        if s is None or not eps:
            raise OptimandError("SparseNetCommit needs s and eps > 0, which the environment does not tell")
        sigma = float(spec.facts.get("sigma", 1.0)) if self.noise is None else self.noise
        s = min(s, features.shape[1])
        # Rows may be of any length: scaling them down and the parameter up changes no reward.
        longest = max(float(np.linalg.norm(features, axis=1).max()), 1.0)
        self.arms = SparseSearch(features / longest, s, eps, radius=self.radius * longest, method=self.method).actions
        self.repeats = repeats_needed(sigma, eps, self.delta, len(self.arms))
        if spec.horizon is not None:
            balanced = min((len(self.arms) / spec.horizon) ** (1 / 3), 0.5)
            spent = (balanced if self.share is None else self.share) * spec.horizon
            self.repeats = max(1, min(self.repeats, math.floor(spent / len(self.arms))))
        self.means = np.full((spec.reps, len(self.arms)), -np.inf)
        self.at = 0

    def act(self, observation: object) -> tuple[Array, Array]:
        """The next arm of the search in all repetitions, or the best one found in each."""
        reps = len(self.means)
        if self.at < len(self.arms):
            return np.full(reps, self.arms[self.at]), np.full(reps, self.repeats, dtype=np.int64)
        return self.arms[self.means.argmax(axis=1)], np.full(reps, FOREVER, dtype=np.int64)

    def update(self, feedback: Feedback) -> None:
        """Take down the mean of an arm."""
        if self.at < len(self.arms):
            self.means[:, self.at] = feedback.reward
            self.at += 1
