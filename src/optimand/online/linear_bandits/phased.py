"""Phased elimination on G-optimal designs: batches that double, and arms that leave when they are too far behind.

From Lattimore, Szepesvari and Weisz, "Learning with good feature representations in bandits and in RL with a generative
model" (ICML 2020): without being told eps, its regret under a misspecification eps is O(√(d T log N) + eps √d T log T).
A phase here ends with a width that is computed from the pulls that were made, rather than from the design's nominal
value. It can allow for a misspecification that is known: then elimination ends once noise matters less than errors do,
and the best prediction is played, where going on would pay for pulls that teach nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optimand.core.validation import check_int, check_number

from ..engine.contracts import Array, Feedback, Learner, Spec
from ..engine.draws import Draws
from .queries import told_features

# Pulls that no horizon reaches: the engine cuts them down to what is left.
FOREVER = 2**62


@dataclass(frozen=True)
class _Plan:
    """A phase for one set of arms: what to pull how often, and what to conclude from it."""

    rows: Array
    counts: Array
    inverse: Array  # of sum counts phi phi', in the span of the arms
    width: float
    last: bool  # whether more pulls could not narrow the width much


class PhasedElimination(Learner):
    """Phased elimination with G-optimal designs, one design for each distinct set of arms that is left.

    Args:
        confidence: probability in (0, 1) with which the best arm may be lost; 1 / horizon by default, 0.05 where the
            horizon is not told.
        first: pulls that the first phase's design shares out; ``4 d ln ln d + 16`` by default. Each phase has twice as
            many as the one before.
        misspecification: eps that the width allows for, by eps times the amplification of least squares; at 0
            (default) nothing about eps needs to be known. Above 0, arms are no longer pulled for information once the
            width from noise is below that from errors.
        noise: sub-Gaussian level; what the environment tells (``sigma``) by default, else 1.
        tol: of the designs.

    Reference: Lattimore, Szepesvari and Weisz (2020), Algorithm 1; the baseline of arXiv 2303.16998.

    Example:
        >>> from optimand.online import simulate
        >>> from optimand.online.linear_bandits.environment import MisspecifiedLinearEnvironment
        >>> env = MisspecifiedLinearEnvironment(np.eye(3), [1.0, 0.5, 0.0], eps=0.0, error="none", noise=0.1)
        >>> bool(simulate([PhasedElimination()], env, 10_000, reps=4).mean("PhasedElimination")[-1] < 20)
        True
    """

    batched: ClassVar[bool] = True

    def __init__(
        self, *, confidence: float | None = None, first: int | None = None, misspecification: float = 0.0,
        noise: float | None = None, tol: float = 0.1,
    ) -> None:  # fmt: skip
        self.confidence = confidence
        if confidence is not None:
            check_number("confidence", confidence, low=0, high=1, low_open=True, high_open=True)
        self.first = None if first is None else check_int("first", first, low=1)
        self.misspecification = check_number("misspecification", misspecification, low=0)
        self.noise = None if noise is None else check_number("noise", noise, low=0)
        self.tol = check_number("tol", tol, low=0, low_open=True)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """All arms are alive."""
        self.features = told_features(spec)
        d, reps = self.features.shape[1], spec.reps
        self.sigma = float(spec.facts.get("sigma", 1.0)) if self.noise is None else self.noise
        unknown = 0.05 if spec.horizon is None else 1 / max(spec.horizon, 20)
        self.delta = unknown if self.confidence is None else self.confidence
        self.pulls = (
            math.ceil(4 * d * math.log(max(math.log(max(d, 3)), 1.0))) + 16 if self.first is None else self.first
        )
        self.alive = np.ones((reps, spec.actions), dtype=bool)
        self.phase = np.zeros(reps, dtype=np.int64)
        self.best = np.zeros(reps, dtype=np.int64)
        self.plans: list[_Plan] = []
        self.plan = np.zeros(reps, dtype=np.int64)
        self._queue, self._counts = np.zeros((reps, 1), dtype=np.int64), np.zeros((reps, 1), dtype=np.int64)
        self._length, self._at = np.zeros(reps, dtype=np.int64), np.zeros(reps, dtype=np.int64)
        self._sums = np.zeros((reps, d))
        self._every = np.arange(reps)
        self._begin(self._every)

    def act(self, observation: object) -> tuple[Array, Array]:
        """The next arm of each repetition's phase with its share of pulls; then the best one for good."""
        at = np.minimum(self._at, self._queue.shape[1] - 1)
        going = self._length > 0
        self._last = np.where(going, self._queue[self._every, at], self.best)
        self._asked = np.where(going, self._counts[self._every, at], FOREVER)
        return self._last, self._asked

    def update(self, feedback: Feedback) -> None:
        """Add a batch; where it was a phase's last, fit and eliminate."""
        going = self._length > 0
        # A batch that the horizon cut short is the last one, and nothing follows from it.
        whole = going & (np.asarray(feedback.count) == self._asked)
        if not whole.any():
            return
        weight = np.where(whole, self._asked, 0) * np.where(whole, feedback.reward, 0.0)
        self._sums += weight[:, None] * self.features[self._last]
        self._at += whole
        ended = np.flatnonzero(whole & (self._at == self._length))
        if len(ended):
            self._eliminate(ended)

    def _eliminate(self, ended: Array) -> None:
        inverse = np.stack([self.plans[p].inverse for p in self.plan[ended]])
        width = np.array([self.plans[p].width for p in self.plan[ended]])
        predicted = np.einsum("rij,rj->ri", inverse, self._sums[ended]) @ self.features.T
        predicted[~self.alive[ended]] = -np.inf
        self.best[ended] = predicted.argmax(axis=1)
        self.alive[ended] = predicted >= predicted.max(axis=1, keepdims=True) - 2 * width[:, None]
        last = np.array([self.plans[p].last for p in self.plan[ended]])
        going = (self.alive[ended].sum(axis=1) > 1) & ~last
        self._length[ended[~going]] = 0
        more = ended[going]
        if len(more):
            self._begin(more)

    def _begin(self, rows: Array) -> None:
        """Plan the next phase of the repetitions ``rows``; those with the same arms left share a plan."""
        self.phase[rows] += 1
        keys, which = np.unique(
            np.column_stack([self.phase[rows], np.packbits(self.alive[rows], axis=1)]), axis=0, return_inverse=True
        )
        which = which.reshape(-1)
        for number in range(len(keys)):
            members = rows[which == number]
            plan = self._make(np.flatnonzero(self.alive[members[0]]), int(self.phase[members[0]]))
            short = len(plan.rows) - self._queue.shape[1]
            if short > 0:
                self._queue = np.pad(self._queue, ((0, 0), (0, short)))
                self._counts = np.pad(self._counts, ((0, 0), (0, short)))
            self.plan[members] = len(self.plans)
            self.plans.append(plan)
            self._queue[members, : len(plan.rows)], self._counts[members, : len(plan.rows)] = plan.rows, plan.counts
            self._length[members] = len(plan.rows)
        self._at[rows], self._sums[rows] = 0, 0.0

    def _make(self, arms: Array, phase: int) -> _Plan:
        from .design import amplification, g_optimal_design

        Phi = self.features[arms]
        if not Phi.any():  # arms that a linear model cannot tell apart
            return _Plan(arms[:1], np.array([FOREVER]), np.zeros((Phi.shape[1],) * 2), math.inf, True)
        design = g_optimal_design(Phi, self.tol)
        counts = np.ceil(design.weights * self.pulls * 2.0 ** min(phase - 1, 50) - 1e-9).astype(np.int64)
        chosen = Phi[design.support]
        inverse = np.linalg.pinv((chosen.T * counts) @ chosen, rcond=1e-12, hermitian=True)
        level = math.log(2 * len(self.features) * phase * (phase + 1) / self.delta)
        form = float(np.einsum("ij,jk,ik->i", Phi, inverse, Phi).max())
        spread, bias = self.sigma * math.sqrt(2 * level * form), 0.0
        if self.misspecification:
            bias = self.misspecification * float(amplification(Phi, chosen, counts / counts.sum()).max())
        # Without a misspecification to allow for, the width has no floor.
        return _Plan(arms[design.support], counts, inverse, spread + bias, bias > 0 and spread <= bias)
