"""Bandits whose rewards are linear in known features up to a uniform error (arXiv 2303.16998).

``r(a) = <phi(a), theta> + e(a)`` with ``|e(a)| <= eps`` for all of ``N`` actions. The error is fixed: repeating a query
averages the noise away, never the error. What is revealed is a function of the action and of how often it was queried
before, so two searches meet the same noise whatever the order they ask in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_choice, check_number

from ..engine.draws import Draws
from .generators import aimed_errors, gaussian_actions, random_theta
from .queries import Array, check_features

Error = str | Array | Callable[[Array, Array], Any]

ERRORS = ("uniform", "aimed", "sign")


@dataclass(frozen=True)
class Oracle:
    """What a search must not see.

    Attributes:
        rewards: expected rewards, the error included, shape ``(N,)``.
        theta: the parameter, shape ``(d,)``.
        errors: ``rewards - Phi theta``, shape ``(N,)``.
        eps: bound of the errors.
    """

    rewards: Array
    theta: Array
    errors: Array
    eps: float

    @property
    def best(self) -> int:
        """The action of the largest expected reward."""
        return int(np.argmax(self.rewards))

    def suboptimality(self, action: int) -> float:
        """``(max r - r(action)) / eps``."""
        return float((self.rewards.max() - self.rewards[action]) / self.eps)


class MisspecifiedLinearBandit:
    """One bandit with known features and rewards that are linear up to ``eps``; it answers :meth:`query`, and counts.

    :class:`~optimand.online.linear_bandits.environment.MisspecifiedLinearEnvironment` is the engine's environment of
    the same kind, for many repetitions and for learners.

    Args:
        Phi: features, shape ``(N, d)``.
        theta: the hidden parameter, shape ``(d,)``.
        eps: bound of the errors, > 0.
        error: ``uniform`` on [-eps, eps]; ``aimed`` at least squares: all queries of a G-optimal design push its
            prediction for an action that is nearly orthogonal to ``theta`` up, while that action's own error is
            ``-eps``; ``sign``: ``-eps sign(<phi, theta>)``, which draws all rewards together; an array ``(N,)``; or
            ``error(Phi, theta)`` that returns one. :func:`~optimand.online.linear_bandits.generators.aimed_errors`
            makes the aimed ones for many parameters at the price of one design.
        noise: standard deviation of normal noise on every answer.
        seed: of error and noise: an integer or a branch of the tree of seeds.

    Raises:
        ValueError: an argument is out of its range, or shapes do not fit.
        OptimandError: the error given is larger than ``eps``.

    Reference: arXiv 2303.16998; the aimed error is a construction of ours.

    Example:
        >>> bandit = MisspecifiedLinearBandit(np.eye(3), [1.0, 0.0, 0.0], eps=0.1, error="sign")
        >>> bandit.query([0, 1, 0]).tolist(), bandit.queries, bandit.oracle().best
        ([0.9, 0.0, 0.9], 3, 0)
    """

    def __init__(
        self, Phi: Any, theta: Any, eps: float, error: Error = "uniform", *, noise: float = 0.0,
        seed: int | SeedTree = 0,
    ) -> None:  # fmt: skip
        self.Phi = check_features(Phi)
        self.eps = check_number("eps", eps, low=0, low_open=True, high=math.inf, high_open=True)
        self.noise = check_number("noise", noise, low=0, high=math.inf, high_open=True)
        theta = np.array(theta, dtype=np.float64)
        if theta.shape != self.Phi.shape[1:] or not np.isfinite(theta).all():
            raise ValueError(f"theta must hold {self.Phi.shape[1]} finite numbers, got {theta!r:.80}")
        tree = seed if isinstance(seed, SeedTree) else SeedTree(seed)
        errors = _errors(self.Phi, theta, self.eps, error, tree)
        self._oracle = Oracle(self.Phi @ theta + errors, theta, errors, self.eps)
        self._draws = Draws(tree.child("noise"), [0])
        self._pulls = np.zeros(len(self.Phi) if self.noise else 0, dtype=np.int64)
        self.queries = 0

    @property
    def actions(self) -> int:
        """Number of actions ``N``."""
        return len(self.Phi)

    def query(self, indices: Any) -> Array:
        """Rewards of the actions ``indices`` (an array, repeats allowed), each with noise of its own.

        Raises:
            OptimandError: they are no integers in ``[0, N)``.
        """
        indices = self._check(indices)
        rewards = self._oracle.rewards[indices]
        if self.noise:
            from .sweeps import next_normals

            noise = np.empty(len(indices))
            next_normals(self._draws.key, 0, indices, self._pulls, noise)
            rewards = rewards + self.noise * noise
        self.queries += len(indices)
        return rewards

    def _check(self, indices: Any) -> Array:
        found = np.asarray(indices)
        if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
            raise OptimandError(f"indices must be a 1-D array of integers, got {indices!r:.80}")
        if found.size and (found.min() < 0 or found.max() >= len(self.Phi)):
            bad = found[(found < 0) | (found >= len(self.Phi))][0]
            raise OptimandError(f"indices must be in [0, {len(self.Phi) - 1}], got {bad}")
        return found.astype(np.int64)

    def oracle(self) -> Oracle:
        """The truth: to judge a search, never for one."""
        return self._oracle

    def restart(self) -> None:
        """Forget what was queried: the same answers come again, from the first."""
        self.queries = 0
        self._pulls[:] = 0


def _errors(Phi: Array, theta: Array, eps: float, error: Error, tree: SeedTree) -> Array:
    if isinstance(error, str):
        check_choice("error", error, ERRORS)
        if error == "uniform":
            return eps * (2 * Draws(tree.child("error"), [0]).uniform(len(Phi))[0] - 1)
        if error == "sign":
            return -eps * np.sign(Phi @ theta)
        return aimed_errors(Phi, eps)(Phi, theta)
    found = np.array(error(Phi, theta) if callable(error) else error, dtype=np.float64)
    if found.shape != (len(Phi),) or not np.isfinite(found).all():
        raise OptimandError(f"error must give {len(Phi)} finite numbers, one an action, got shape {found.shape}")
    largest = float(np.abs(found).max())
    if largest > eps * (1 + 1e-9):
        raise OptimandError(f"error must be at most eps = {eps:g} in absolute value, got {largest:g}")
    return found


def aimed_bandit(N: int = 4000, d: int = 60, s: int = 2, eps: float = 0.1, seed: int = 0) -> MisspecifiedLinearBandit:
    """Directions in ``R^d`` of length 0.9, a sparse parameter, and errors aimed at least squares.

    Example:
        >>> aimed_bandit(N=200, d=6).Phi.shape
        (200, 6)
    """
    tree = SeedTree(seed)
    Phi = gaussian_actions(N, d, tree.child("features").numpy(), norm=0.9)
    theta = random_theta(d, s, tree.child("theta").numpy())
    return MisspecifiedLinearBandit(Phi, theta, eps, aimed_errors(Phi, eps), seed=tree)
