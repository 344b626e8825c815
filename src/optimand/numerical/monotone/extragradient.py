"""Extragradient methods: plain (EG), anchored (EAG) and variance-reduced (SVRG-EG); optimistic weights for games."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_number

from .base import LONGEST_BLOCK, InclusionMethod, step_size
from .operators import Array


class Extragradient(InclusionMethod):
    """EG: ``h = J(u - eta F(u))``, then ``u <- J(u - eta F(h))``.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`.
        step: eta > 0; by default ``0.9 / L``.
        backtrack: halve the step whenever ``eta ‖F(h) - F(u)‖ > 0.9 ‖h - u‖``; then ``L`` need not be known
            (the first step is 1 unless given).

    Reference: Korpelevich 1976; the test of the step: Khobotov 1987.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> rotation = FiniteSumOperator.from_affine([[[0.0, 1.0], [-1.0, 0.0]]], np.zeros((1, 2)))
        >>> eg = Extragradient(rotation, np.ones(2), step=0.5)
        >>> for _ in range(50): eg.step()
        >>> bool(eg.natural_residual() < 1e-2), eg.calls
        (True, 101.0)
    """

    name = "eg"
    shares_tests = True
    _state: ClassVar[tuple[str, ...]] = (*InclusionMethod._state, "eta")

    def __init__(self, *args: Any, step: float | None = None, backtrack: bool = False, **given: Any) -> None:
        super().__init__(*args, **given)
        op = self.op
        self.backtrack = bool(backtrack)
        self.eta = 1.0 if backtrack and step is None and op.L is None else step_size(step, 0.9, op.L, "L")

    def step(self) -> None:
        """One iteration: two evaluations of the operator, or more where the step is halved."""
        here = self.operator_value()
        while True:
            half = self.resolvent(self.u - self.eta * here, self.eta)
            there = self.op.full(half)
            if not self.backtrack or not _too_long(self.eta, self.u, half, here, there):
                break
            self.eta /= 2
        argument = self.u - self.eta * there
        u = self.resolvent(argument, self.eta)
        self._move(u, (argument - u) / self.eta)


class AnchoredExtragradient(InclusionMethod):
    """EAG: both half-steps start from ``u + (u0 - u)/(k + 2)``.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`.
        step: eta > 0; by default ``0.5 / L``.

    Reference: Yoon, Ryu, arXiv 2102.07922 (EAG-C); with projections: Cai, Oikonomou, Zheng, arXiv 2204.09228.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> rotation = FiniteSumOperator.from_affine([[[0.0, 1.0], [-1.0, 0.0]]], np.zeros((1, 2)))
        >>> eag = AnchoredExtragradient(rotation, np.ones(2), step=0.5)
        >>> for _ in range(50): eag.step()
        >>> bool(eag.natural_residual() < 0.15)
        True
    """

    name = "eag"
    shares_tests = True
    _state: ClassVar[tuple[str, ...]] = (*InclusionMethod._state, "k")

    def __init__(self, *args: Any, step: float | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        self.eta = step_size(step, 0.5, self.op.L, "L")
        self.k = 0

    def step(self) -> None:
        """One iteration: two evaluations of the operator."""
        pulled = self.u + (self.u0 - self.u) / (self.k + 2)
        half = self.resolvent(pulled - self.eta * self.operator_value(), self.eta)
        argument = pulled - self.eta * self.op.full(half)
        u = self.resolvent(argument, self.eta)
        self._move(u, (argument - u) / self.eta)
        self.k += 1

    def restart(self) -> None:
        """Make the current point the anchor and begin again."""
        super().restart()
        self.k = 0


class VarianceReducedExtragradient(InclusionMethod):
    """SVRG-EG, loopless: extragradient from ``alpha z + (1 - alpha) w`` with the operator known at ``w``.

    ``h = J(ẑ - tau F(w))``, ``z <- J(ẑ - tau [F(w) + F_q(h) - F_q(w)])``, and ``w <- z`` with probability ``p``.
    A step here is the run of iterations up to the next ``w``, the point that is returned.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`.
        step: tau > 0; by default ``0.99 √p / L_mean``.
        p: probability in (0, 1]; by default ``2 / n``, and ``alpha = 1 - p``.

    Reference: Alacaoglu, Malitsky, arXiv 2102.08352, Algorithm 1.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> game = FiniteSumOperator.from_matrix_game([[0.0, 1.0], [1.0, 0.0]])
        >>> method = VarianceReducedExtragradient(game, np.array([1.0, 0.0, 1.0, 0.0]), rng=0)
        >>> for _ in range(100): method.step()
        >>> method.u.round(3).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """

    name = "svrg-eg"
    _state: ClassVar[tuple[str, ...]] = (*InclusionMethod._state, "z", "at_w", "left", "thresholds")

    def __init__(self, *args: Any, step: float | None = None, p: float | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        op = self.op
        default = min(1.0, 2.0 / op.n_effective)
        self.p = default if p is None else check_number("p", p, low=0, low_open=True, high=1)
        self.tau = step_size(step, 0.99 * math.sqrt(self.p), op.L_mean, "L_mean")
        self.compiled = op.structure == "game" and self.own_set
        self.z = self.u0.copy()
        self.at_w: Array | None = None
        self.left = 0  # iterations up to the next w
        self.thresholds = np.zeros(4)

    def step(self) -> None:
        """Iterations until ``w`` is renewed, and the evaluation of the operator there."""
        if self.at_w is None:
            self.at_w = self.op.full(self.u)
            self.left = int(self.rng.geometric(self.p))
        length = min(LONGEST_BLOCK, self.left)
        g = None
        if self.compiled:
            self.op.svrg_eg_block(self, length)  # type: ignore[attr-defined]
        else:
            g = self._block(self.at_w, length)
        self.left -= length
        if self.left:
            self.nit += 1
            return
        self._move(self.z.copy(), g)
        self.at_w = self._known = self.op.full(self.u)
        self.left = int(self.rng.geometric(self.p))

    def restart(self) -> None:
        """There is no anchor: nothing changes."""

    def _block(self, at_w: Array, length: int) -> Array:
        """``length`` iterations; returns an element of ``G(z)``."""
        argument = self.z
        for q in self.op.sample(self.rng, length):
            pulled = (1 - self.p) * self.z + self.p * self.u - self.tau * at_w
            half = self.resolvent(pulled, self.tau)
            change = self.op.batch(half, [q]) - self.op.batch(self.u, [q])
            argument = pulled - self.tau * change
            self.z = self.resolvent(argument, self.tau)
        return (argument - self.z) / self.tau


class OptimisticWeights(InclusionMethod):
    """OMWU on a matrix game: ``u <- u exp(-eta (2 F(u) - F(u before)))``, each player's weights normalized.

    Args:
        op: the operator of a matrix game.
        u0: start with positive entries; entries that are 0 stay 0.
        resolvent: must be None, the simplices are meant.
        rng: unused.
        step: eta > 0; by default half of the reciprocal of the largest payoff.

    Raises:
        ValueError: the operator is not that of a matrix game, or a resolvent is given.

    Reference: Daskalakis, Panageas, arXiv 1807.04252.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> game = FiniteSumOperator.from_matrix_game([[0.0, 1.0], [1.0, 0.0]])
        >>> method = OptimisticWeights(game, np.array([0.9, 0.1, 0.9, 0.1]))
        >>> for _ in range(300): method.step()
        >>> method.u.round(2).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """

    name = "omwu"
    shares_tests = True
    _state: ClassVar[tuple[str, ...]] = (*InclusionMethod._state, "before")

    def __init__(self, *args: Any, step: float | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        if self.op.structure != "game" or not self.own_set:
            raise ValueError("omwu needs the operator of a matrix game and no resolvent: its points are on simplices")
        op: Any = self.op
        self.eta = step_size(step, 0.5, op.largest_payoff, "largest payoff")
        self.columns = op.shape[1]
        self.before: Array | None = None

    def step(self) -> None:
        """One iteration: one evaluation of the operator."""
        here = self.operator_value()
        slope = 2 * here - (here if self.before is None else self.before)
        parts = []
        for part in (slice(None, self.columns), slice(self.columns, None)):
            exponent = -self.eta * slope[part]
            weights = self.u[part] * np.exp(exponent - exponent.max())
            parts.append(weights / weights.sum())
        self.before = here
        self._move(np.concatenate(parts))


def _too_long(eta: float, u: Array, half: Array, here: Array, there: Array) -> bool:
    """Whether the step fails Khobotov's test; a step below 1e-12 passes, so that the halving ends."""
    return eta > 1e-12 and not eta * np.linalg.norm(there - here) <= 0.9 * np.linalg.norm(half - u)
