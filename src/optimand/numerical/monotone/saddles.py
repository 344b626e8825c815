"""Saddle-point problems on real data and markets as operators: SVM, robust least squares, Fisher market."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.projections import Box, Free, L2Ball, Product
from optimand.core.validation import check_int, check_number

from .games import MatrixGameOperator
from .generators import standardized
from .operators import Array, FiniteSumOperator, Index


class BilinearOperator(MatrixGameOperator):
    """``F(x, y) = (Aᵀ y + ridge x, b - A x)`` of ``min_x max_y yᵀ (A x - b) + ridge/2 ‖x‖²`` over sets of any kind.

    Sampled as a matrix game is: a row and a column of ``A``, each with probability by its squared norm.

    Args:
        A: shape ``(m, n)``, dense or sparse.
        b: shape ``(m,)``.
        ridge: at least 0.
        x_set, y_set: sets with a projection.

    Example:
        >>> op = BilinearOperator(np.eye(2), np.array([1.0, 2.0]), 0.5, Free(), L2Ball(1.0))
        >>> op.full(np.array([1.0, 1.0, 0.0, 0.0])).tolist()
        [0.5, 0.5, 0.0, 1.0]
    """

    structure = "general"

    def __init__(self, A: Any, b: Any, ridge: float, x_set: Any, y_set: Any) -> None:
        self.ridge = check_number("ridge", ridge, low=0, high=math.inf, high_open=True)
        super().__init__(A)
        m, n = self.shape
        self.b = np.asarray(b, dtype=np.float64)
        if self.b.shape != (m,):
            raise ValueError(f"b must have shape ({m},), got {self.b.shape}")
        self._set = Product((n, x_set), (m, y_set))

    def constant(self, name: str) -> float:
        """Bounds: the norms of ``A`` plus ``ridge``."""
        return super().constant(name) + self.ridge

    def default_resolvent(self) -> Product:
        """The product of the two sets."""
        return self._set

    def _game_value(self, u: Array) -> Array:
        return super()._game_value(u) + self._rest(u)

    def _game_batch(self, u: Array, idx: Index) -> Array:
        return super()._game_batch(u, idx) + self._rest(u)

    def _rest(self, u: Array) -> Array:
        return np.concatenate([self.ridge * u[: self.shape[1]], self.b])


def svm(data: str = "breast_cancer", ridge: float = 0.01) -> BilinearOperator:
    """The soft-margin SVM ``min_w max_{0<=a<=1} mean a_i (1 - l_i <x_i, w>) + ridge/2 ‖w‖²`` on standardized data.

    The dual variables enter as ``a/√n``, which balances the blocks; the last feature is the constant 1.

    Args:
        data: ``breast_cancer``, or ``diabetes`` with the labels "above" and "below the mean".
        ridge: > 0.

    Example:
        >>> svm().shape
        (569, 31)
    """
    check_number("ridge", ridge, low=0, low_open=True)
    x, y = standardized(data)
    labels = np.where(y > 0, 1.0, -1.0)
    n = len(y)
    rows = -labels[:, None] * np.column_stack([x, np.ones(n)]) / math.sqrt(n)
    bound = 1 / math.sqrt(n)
    return BilinearOperator(rows, np.full(n, -bound), ridge, Free(), Box(0.0, bound))


def robust_least_squares(data: str = "diabetes", rho: float = 1.0) -> BilinearOperator:
    """Least squares under the worst change of the data by a matrix of Frobenius norm ``rho √n``.

    ``min_x ‖X x - t‖ + rho ‖x‖`` (scaled by ``1/√n``), as ``max`` over two unit balls of ``<y, X x - t> + rho <z, x>``.

    Args:
        data: ``diabetes`` or ``breast_cancer``, standardized.
        rho: > 0.

    Reference: El Ghaoui, Lebret, SIAM J. Matrix Anal. Appl. 18 (1997), Theorem 3.1, without the constant 1 added to
    ``‖x‖²``.

    Example:
        >>> robust_least_squares().shape
        (452, 10)
    """
    check_number("rho", rho, low=0, low_open=True)
    x, t = standardized(data)
    n, d = x.shape
    A = np.vstack([x / math.sqrt(n), rho * np.eye(d)])
    b = np.concatenate([t / math.sqrt(n), np.zeros(d)])
    return BilinearOperator(A, b, 0.0, Free(), Product((n, L2Ball(1.0)), (d, L2Ball(1.0))))


class FisherMarket(FiniteSumOperator):
    """A Fisher market with linear utilities: allocations ``x`` and prices ``p`` in equilibrium.

    ``min_x max_p -Σ_i B_i log(<v_i, x_i>) + Σ_j p_j (Σ_i x_ij - 1)`` over ``0 <= x <= 1``, ``0 <= p <= Σ B_i``. In
    equilibrium a buyer's utility is at least that of her share of everything; below half of that the logarithm goes
    on as a parabola, which makes the operator Lipschitz and moves no equilibrium. The components are the buyers.

    Args:
        values: utilities, shape ``(buyers, goods)``, at least 0, none of a buyer all 0; scaled to rows of sum 1.
        budgets: shape ``(buyers,)``, > 0; scaled to sum 1.

    Raises:
        ValueError: a shape or a sign is wrong.

    Reference: Eisenberg, Gale (1959); as a saddle point: Kroer, Peysakhovich, Sodomka, Stier-Moses, arXiv 1901.06230.

    Example:
        >>> market = FisherMarket(np.eye(2), np.array([1.0, 3.0]))
        >>> u = np.array([1.0, 0.0, 0.0, 1.0, 0.25, 0.75])  # each has her good, at the price of her budget
        >>> market.full(u).tolist()
        [0.0, 0.75, 0.25, 0.0, 0.0, 0.0]
    """

    def __init__(self, values: Any, budgets: Any) -> None:
        v, b = np.asarray(values, dtype=np.float64), np.asarray(budgets, dtype=np.float64)
        if v.ndim != 2 or b.shape != v.shape[:1]:
            raise ValueError(f"values must be (buyers, goods) and budgets (buyers,), got {v.shape} and {b.shape}")
        if not (np.isfinite(v).all() and (v >= 0).all() and (v.sum(1) > 0).all()):
            raise ValueError("values must be finite, at least 0 and not all 0 for a buyer")
        if not (np.isfinite(b).all() and (b > 0).all()):
            raise ValueError("budgets must be finite and positive")
        self.values, self.budgets = v / v.sum(1, keepdims=True), b / b.sum()
        self.floor = self.budgets / 2
        n, goods = v.shape
        # bounds: the logarithm's part is a diagonal block a buyer, the coupling with prices has norm √n
        curvature = float((self.budgets * (self.values**2).sum(1) / self.floor**2).max())
        super().__init__(
            n, self._all, self._some, dim=n * goods + goods,
            L=curvature + math.sqrt(n), L_mean=math.sqrt(n * max(2 * curvature**2 + 1, 2 * n)),
            L_cocoercive=math.inf,
        )  # fmt: skip

    def default_resolvent(self) -> Box:
        """The box of shares and prices."""
        return Box(0.0, 1.0)

    def _all(self, u: Array) -> Array:
        x, p = self._split(u)
        blocks = p - self._marginal(x, slice(None))[:, None] * self.values
        return np.concatenate([blocks.ravel(), 1 - x.sum(0)])

    def _some(self, u: Array, idx: Index) -> Array:
        x, p = self._split(u)
        n = self.n
        chosen = np.bincount(idx, minlength=n) * (n / len(idx))
        buyers = np.flatnonzero(chosen)
        blocks = np.zeros_like(x)
        slopes = p - self._marginal(x[buyers], buyers)[:, None] * self.values[buyers]
        blocks[buyers] = chosen[buyers, None] * slopes
        return np.concatenate([blocks.ravel(), 1 - chosen[buyers] @ x[buyers]])

    def _split(self, u: Array) -> tuple[Array, Array]:
        n, goods = self.values.shape
        return u[: n * goods].reshape(n, goods), u[n * goods :]

    def _marginal(self, x: Array, buyers: Any) -> Array:
        """``B_i log'`` at the buyers' utilities, with the parabola's line below the floor."""
        utility = (self.values[buyers] * x).sum(-1)
        floor = self.floor[buyers]
        slope = np.where(utility >= floor, 1 / np.maximum(utility, floor), (2 * floor - utility) / floor**2)
        return self.budgets[buyers] * slope


def random_market(buyers: int, goods: int, rng: np.random.Generator | int | None = None) -> FisherMarket:
    """A market with utilities uniform on [0, 1] and budgets uniform on [1, 2].

    Example:
        >>> random_market(5, 3, 0).dim
        18
    """
    rng = np.random.default_rng(rng)
    shape = (check_int("buyers", buyers, low=1), check_int("goods", goods, low=1))
    return FisherMarket(rng.random(shape), rng.uniform(1.0, 2.0, buyers))
