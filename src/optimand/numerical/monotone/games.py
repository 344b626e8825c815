"""Matrix games ``min_x max_y yᵀ A x`` on simplices: the operator, and a solver with value and gap."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp

from optimand.core.projections import Product, Simplex
from optimand.core.validation import check_choice

from .operators import Array, FiniteSumOperator, Index

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

    from .extragradient import VarianceReducedExtragradient


class MatrixGameOperator(FiniteSumOperator):
    """``F(x, y) = (Aᵀ y, -A x)``, sampled by a row and a column, each with probability by its squared norm.

    Args:
        A: shape ``(m, n)``, dense or scipy sparse, finite. A point is ``u = (x, y)`` with ``x`` of length n.

    A full evaluation is two products with ``A``. A component is a row and a column together: its index is ``i n + j``,
    and its value ``(A_i y_i / r_i, -A_:j x_j / c_j)``. In the units of ``calls`` a full evaluation is
    ``N = (entries) / (m + n)``, which is ``m n / (m + n)`` for a dense matrix, and a pair of components 1.

    Attributes:
        A: the matrix in rows; AT: a copy of its transpose in rows, so that columns can be read.
        per_row, per_column: reciprocals of the probabilities, 0 for rows and columns of zeros.

    Raises:
        ValueError: ``A`` is no matrix, is empty or not finite.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Section 5; importance sampling: Carmon, Jin, Sidford,
    Tian, arXiv 1907.02056.

    Example:
        >>> import numpy as np
        >>> op = MatrixGameOperator(np.ones((300, 300)))
        >>> op.n_effective, round(op.L, 6), round(op.L_mean, 6)
        (150.0, 300.0, 300.0)
    """

    structure = "game"
    component_cost = 0.5  # a pair of components is the unit

    def __init__(self, A: Any) -> None:
        if np.iscomplexobj(A):
            raise ValueError("A must be real, got complex entries")
        if sp.issparse(A):
            self.A: Any = sp.csr_matrix(cast(Any, A), dtype=np.float64)
            if not self.A.has_canonical_format:
                self.A = self.A.copy()  # its arrays may be the caller's
                self.A.sum_duplicates()
            self.AT: Any = self.A.T.tocsr()
            entries: Any = self.A.data
        else:
            try:
                dense = np.asarray(A, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(f"A must be a matrix of numbers, got {A!r:.60}") from error
            if dense.ndim != 2:
                raise ValueError(f"A must be a matrix, got shape {dense.shape}")
            self.A = np.ascontiguousarray(dense)
            self.AT = np.ascontiguousarray(dense.T)
            entries = self.A
        self.sparse = bool(sp.issparse(A))
        self.shape: tuple[int, int] = self.A.shape
        if min(self.shape) < 1:
            raise ValueError(f"A must have rows and columns, got shape {self.shape}")
        if not np.isfinite(entries).all():
            raise ValueError("A must be finite, got entries that are not")
        m, n = self.shape
        largest = max(float(entries.max(initial=0.0)), -float(entries.min(initial=0.0)))
        self._entries_matter = largest > 0
        # a power of two where squares would overflow or vanish
        self._unit = 2.0 ** math.floor(math.log2(largest)) if largest and not 1e-100 < largest < 1e100 else 1.0
        squares: Any = self._scaled().power(2) if self.sparse else self._scaled() ** 2
        self.largest_payoff = largest or 1.0
        self._row_sums, self.per_row = _odds(np.asarray(squares.sum(axis=1)).ravel())
        self._column_sums, self.per_column = _odds(np.asarray(squares.sum(axis=0)).ravel())
        self._frobenius = float(np.sqrt(squares.sum())) * self._unit or 1.0
        if not math.isfinite(self._frobenius):
            raise ValueError(f"A must have a finite norm, got entries up to {largest:g}")
        super().__init__(m * n, self._game_value, self._game_batch, sampler=self._game_sample, dim=m + n)
        self.full_cost = float(max(entries.size, 1)) / (m + n)  # ``N``, see the class
        self.n_effective = max(1.0, self.full_cost)

    def _scaled(self) -> Any:
        return self.A if self._unit == 1 else self.A / self._unit

    @functools.cached_property
    def _spectral(self) -> float:
        if min(self.shape) == 1 or not self._entries_matter:
            return self._frobenius
        if not self.sparse and min(self.shape) <= 500:
            return float(np.linalg.norm(self.A, 2))
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(0).standard_normal(min(self.shape))
        return float(svds(self._scaled(), k=1, v0=start, tol=1e-8, return_singular_vectors=False)[0]) * self._unit

    def constant(self, name: str) -> float:
        """The spectral and the Frobenius norm of ``A`` (1 for zero); a bilinear operator is not cocoercive."""
        return {"L": lambda: self._spectral, "L_mean": lambda: self._frobenius}.get(name, lambda: math.inf)()

    def default_resolvent(self) -> Product:
        """The product of the two simplices."""
        m, n = self.shape
        return Product((n, Simplex()), (m, Simplex()))

    @property
    def uniform(self) -> Array:
        """Both players' uniform strategies, shape ``(n + m,)``."""
        m, n = self.shape
        return np.repeat([1 / n, 1 / m], [n, m])

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Index, Index]:
        """Rows and columns of ``size`` independent components."""
        chances = rng.random((2, size))
        return self._look_up(self._row_sums, chances[0]), self._look_up(self._column_sums, chances[1])

    @staticmethod
    def _look_up(sums: Array, chances: Array) -> Index:
        # The last sum may differ from 1 by rounding, hence the factor; side "right" skips what has probability 0.
        return np.searchsorted(sums, chances * sums[-1], side="right").astype(np.int64)

    def gap(self, u: Array, value: Array | None = None) -> float:
        """The duality gap ``max_i (A x)_i - min_j (Aᵀ y)_j`` at a point of the simplices; 0 at a solution.

        Args:
            u: shape ``(n + m,)``.
            value: ``F(u)`` if it is known.
        """
        here = self.value(u) if value is None else value
        n = self.shape[1]
        return float(-here[n:].min() - here[:n].min())

    def svrg_eg_block(self, method: VarianceReducedExtragradient, length: int) -> None:
        """``length`` iterations of the variance-reduced extragradient in compiled code; changes ``method.z``."""
        from . import sweeps

        rows, columns = self.draw(method.rng, length)
        base = method.p * method.u - method.tau * method.at_w  # type: ignore[operator]
        sweeps.svrg_eg(
            *self.arrays, rows, columns, method.tau * self.per_row, method.tau * self.per_column, method.z, method.u,
            base, 1 - method.p, np.empty_like(base), np.empty_like(base), method.thresholds,
        )  # fmt: skip
        self.calls += length

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The matrix and its transpose as the compiled blocks take them."""
        from ..rows import rows_of

        return rows_of(self.A), rows_of(self.AT)

    def _game_value(self, u: Array) -> Array:
        n = self.shape[1]
        return np.concatenate([self.AT @ u[n:], -(self.A @ u[:n])])

    def _game_batch(self, u: Array, idx: Index) -> Array:
        m, n = self.shape
        rows, columns = np.divmod(idx, n)
        weights_y = np.bincount(rows, u[n + rows] * self.per_row[rows], m) / len(idx)
        weights_x = np.bincount(columns, u[columns] * self.per_column[columns], n) / len(idx)
        chosen_rows, chosen_columns = np.flatnonzero(weights_y), np.flatnonzero(weights_x)
        return np.concatenate(
            [
                self.A[chosen_rows].T @ weights_y[chosen_rows],
                -(self.AT[chosen_columns].T @ weights_x[chosen_columns]),
            ]
        )

    def _game_sample(self, rng: np.random.Generator, size: int) -> Index:
        rows, columns = self.draw(rng, size)
        return rows * self.shape[1] + columns


class MatrixGame:
    """The zero-sum game with payoff ``A``: ``min_x max_y yᵀ A x``, mixed strategies ``x`` of columns, ``y`` of rows.

    Args:
        A: shape ``(m, n)``, dense or scipy sparse, finite; ``A[i, j]`` is what the column player pays the row player.

    Raises:
        ValueError: ``A`` is no matrix, is empty or not finite.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987.

    Example:
        >>> found = MatrixGame([[0, 1, -1], [-1, 0, 1], [1, -1, 0.0]]).solve(tol=1e-6)
        >>> found.success, abs(round(found.value, 5)), found.x.round(3).tolist()
        (True, 0.0, [0.333, 0.333, 0.333])
    """

    def __init__(self, A: Any) -> None:
        self.operator = MatrixGameOperator(A)

    @property
    def A(self) -> Any:  # noqa: N802
        """The payoff matrix."""
        return self.operator.A

    def gap(self, x: Any, y: Any) -> float:
        """``max_i (A x)_i - min_j (Aᵀ y)_j``: 0 for optimal strategies, and how much the players can gain together.

        Args:
            x, y: strategies of the column player, shape ``(n,)``, and of the row player, shape ``(m,)``.

        Raises:
            ValueError: a strategy has another length, or is not on the simplex (up to 1e-6).

        Example:
            >>> MatrixGame([[0.0, 1.0], [1.0, 0.0]]).gap([1.0, 0.0], [0.5, 0.5])
            0.5
        """
        m, n = self.operator.shape
        strategies = _on_simplex("x", x, n, "columns"), _on_simplex("y", y, m, "rows")
        return self.operator.gap(np.concatenate(strategies))

    def solve(
        self, method: str = "auto", *, tol: float = 1e-3, criterion: str = "gap", x0: Any = None, y0: Any = None,
        rng: Any = 0, **options: Any,
    ) -> OptimizeResult:  # fmt: skip
        """Find optimal strategies.

        Args:
            method: as in :func:`~optimand.numerical.monotone.solve_inclusion`, or ``omwu``.
            tol: the gap, or the residual, to reach, >= 0; in the units of the payoffs.
            criterion: ``gap`` or ``residual``, what ``tol`` is compared with.
            x0, y0: starts, by default uniform.
            rng: seed or generator.
            options: further arguments of :func:`~optimand.numerical.monotone.solve_inclusion`.

        Returns:
            OptimizeResult as from ``solve_inclusion``, where ``u`` is ``(x, y)``, with ``x``, ``y``, ``gap`` and
            ``value = yᵀ A x``. The value of the game is within ``gap`` of it.

        Example:
            >>> MatrixGame([[2.0, 0.0], [0.0, 1.0]]).solve(tol=1e-4).x.round(3).tolist()
            [0.333, 0.667]
        """
        from .solve import solve_inclusion

        check_choice("criterion", criterion, ("gap", "residual"))
        m, n = self.operator.shape
        start = np.concatenate([_strategy("x0", x0, n), _strategy("y0", y0, m)])
        found: Any = solve_inclusion(
            self.operator, start, method=method, tol=tol, criterion=criterion, rng=rng, **options
        )
        found.u = found.x
        found.x, found.y = found.u[:n].copy(), found.u[n:].copy()
        found.value = float(found.y @ (self.A @ found.x))
        return found  # type: ignore[no-any-return]

    def solve_exactly(self) -> tuple[Array, Array, float]:
        """Strategies and value by linear programming (HiGHS), for matrices that are not too large.

        Returns:
            ``x``, ``y`` and the value.

        Raises:
            RuntimeError: the solver does not find the optimum.

        Example:
            >>> MatrixGame([[2.0, 0.0], [0.0, 1.0]]).solve_exactly()[2].__round__(6)
            0.666667
        """
        from scipy.optimize import linprog

        m, n = self.operator.shape
        ones = np.ones((m, 1))
        # HiGHS has absolute tolerances
        unit = self.operator.largest_payoff
        A = self.A / unit
        rows: Any = sp.hstack([A, sp.csr_matrix(-ones)]) if self.operator.sparse else np.hstack([A, -ones])
        found: Any = linprog(
            np.append(np.zeros(n), 1.0), A_ub=rows, b_ub=np.zeros(m), A_eq=np.append(np.ones(n), 0.0)[None], b_eq=[1.0],
            bounds=[(0, None)] * n + [(None, None)], method="highs",
        )  # fmt: skip
        if found.x is None or not found.success:
            raise RuntimeError(f"linear programming failed: {found.message}")
        y = np.maximum(-np.asarray(found.ineqlin.marginals), 0.0)
        return found.x[:n], y / y.sum(), float(found.fun) * unit


def _strategy(name: str, value: Any, size: int) -> Array:
    if value is None:
        return np.full(size, 1.0 / size)
    given = np.asarray(value, dtype=np.float64)
    if given.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {given.shape}")
    return given


def _odds(squares: Array) -> tuple[Array, Array]:
    """Running sums of the probabilities, and the reciprocals of these (0 for what is never drawn)."""
    if not squares.any():
        squares = np.ones(len(squares))
    odds = squares / squares.sum()
    return np.cumsum(odds), np.divide(1.0, odds, out=np.zeros(len(odds)), where=odds > 0)


def _on_simplex(name: str, value: Any, size: int, of: str) -> Array:
    point = np.asarray(value, dtype=float)
    if point.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), one entry for each of the {of} of A, got {point.shape}")
    if not (point.min() >= -1e-6 and abs(point.sum() - 1) <= 1e-6):
        raise ValueError(
            f"{name} must have entries >= 0 that sum to 1, got smallest {point.min():.3g} and sum {point.sum():.6g}"
        )
    return point
