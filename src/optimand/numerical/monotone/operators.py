"""Operators that are means of components, with an exact count of the components evaluated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

from .domain import Array as Array
from .domain import as_resolvent as as_resolvent

if TYPE_CHECKING:
    from .constants import Constants
    from .games import MatrixGameOperator

Index = NDArray[np.int64]


def _known(name: str, doc: str) -> Any:
    return property(lambda operator: operator.constant(name), doc=doc)


class FiniteSumOperator:
    """``F(u) = mean of F_i(u)`` over ``n`` components, from two functions.

    Args:
        n: number of components.
        full: ``u -> F(u)``, both of shape ``(dim,)``.
        batch: ``(u, idx) -> mean of F_i(u) over idx``; ``idx`` is an integer array, entries may repeat.
        L: Lipschitz constant of ``F``, > 0; None if unknown (then see ``estimate_constants``).
        L_mean: mean-square Lipschitz constant, ``E ‖F_i(u) - F_i(v)‖² <= L_mean² ‖u - v‖²``, > 0.
        L_cocoercive: the smallest number with ``<F(u) - F(v), u - v> >= E ‖F_i(u) - F_i(v)‖² / L_cocoercive``, > 0.
        L_own: of cocoercivity of ``F`` itself, > 0, at most ``L_cocoercive``.
        sampler: ``(rng, size) -> idx``; the components must then be scaled so that their mean over the sampler is
            ``F``. By default all are equally likely.
        dim: length of ``u``; None takes that of the first point.

    Attributes:
        calls: components evaluated so far: ``n`` for each :meth:`full`, ``len(idx)`` for each :meth:`batch`.

    Raises:
        ValueError: a constant is not positive; later a point or a value of the wrong shape, or an index out of range.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Section 2.

    Example:
        >>> import numpy as np
        >>> shifts = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> op = FiniteSumOperator(2, lambda u: u - shifts.mean(0), lambda u, idx: u - shifts[idx].mean(0), L=1.0)
        >>> op.full(np.zeros(2)).tolist(), op.batch(np.zeros(2), [1, 1]).tolist(), op.calls
        ([-0.5, -0.5], [0.0, -1.0], 4.0)
    """

    structure = "general"
    component_cost = 1.0  # component evaluations that one index of a batch stands for

    L = _known("L", "Lipschitz constant of the mean, None if unknown.")
    L_mean = _known("L_mean", "Mean-square Lipschitz constant of the components, None if unknown.")
    L_cocoercive = _known("L_cocoercive", "Constant of cocoercivity on average, None if unknown, else maybe infinite.")
    L_own = _known("L_own", "Constant of cocoercivity of the mean itself, None if unknown, else maybe infinite.")

    def __init__(
        self,
        n: int,
        full: Callable[[Array], Any],
        batch: Callable[[Array, Index], Any],
        L: float | None = None,
        L_mean: float | None = None,
        sampler: Callable[[np.random.Generator, int], Any] | None = None,
        dim: int | None = None,
        *,
        L_cocoercive: float | None = None,
        L_own: float | None = None,
    ) -> None:
        for name, function in (("full", full), ("batch", batch), ("sampler", sampler or len)):
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r:.80} ({type(function).__name__})")
        self.n = check_int("n", n, low=1)
        self.dim = None if dim is None else check_int("dim", dim, low=1)
        given = {"L": L, "L_mean": L_mean, "L_cocoercive": L_cocoercive, "L_own": L_own}
        self._constants = {key: _constant(key, value) for key, value in given.items()}
        self._full, self._batch, self._sampler = full, batch, sampler
        self.calls = 0.0
        # The components that one full evaluation, a pass, stands for, and their number in step sizes and probabilities;
        # an operator whose evaluations share work says so after this.
        self.full_cost = self.n_effective = float(n)

    def constant(self, name: str) -> float | None:
        """One of the constants by name."""
        return self._constants[name]

    @property
    def passes(self) -> float:
        """The calls in units of one full evaluation."""
        return self.calls / self.full_cost

    def full(self, u: Array) -> Array:
        """``F(u)``, charged ``n`` calls."""
        self.calls += self.full_cost
        return self.value(u)

    def value(self, u: Array) -> Array:
        """``F(u)`` free of charge, for tests of a residual."""
        u = self._point(u)
        return self._checked("full", self._full(u))

    def batch(self, u: Array, idx: Any) -> Array:
        """The mean of ``F_i(u)`` over ``idx``, charged one call an index."""
        u = self._point(u)
        index = np.asarray(idx)
        if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
            raise ValueError(f"idx must be a vector of integers, got shape {index.shape} of {index.dtype}")
        if index.min() < 0 or index.max() >= self.n:
            raise ValueError(f"idx must be in [0, {self.n - 1}], got {index.min()} to {index.max()}")
        self.calls += len(index) * self.component_cost
        return self._checked("batch", self._batch(u, index))

    def sample(self, rng: np.random.Generator, size: int) -> Index:
        """Indices of ``size`` components, drawn so that the mean of their values has expectation ``F``."""
        if self._sampler is None:
            return rng.integers(self.n, size=size)
        return np.asarray(self._sampler(rng, size))

    def set_constants(self, **constants: float) -> None:
        """Set ``L``, ``L_mean``, ``L_cocoercive`` or ``L_own`` where they are unknown; what is known stays."""
        for name, value in constants.items():
            if self._constants.get(name) is None:
                self._constants[name] = _constant(name, value)

    def default_resolvent(self) -> Any:
        """The set that is meant where a solver is given no resolvent: the whole space."""
        return None

    def _point(self, u: Any) -> Array:
        point = np.asarray(u, dtype=np.float64)
        if self.dim is None and point.ndim == 1:
            self.dim = len(point)
        if point.shape != (self.dim,):
            raise ValueError(f"u must have shape ({self.dim},), got {point.shape}")
        return point

    def _checked(self, name: str, value: Any) -> Array:
        # a copy, because the function may hand out the same array each time
        found = np.array(value, dtype=np.float64)
        if found.shape != (self.dim,):
            raise ValueError(f"{name} must return shape ({self.dim},), the shape of u, got {found.shape}")
        return found

    @classmethod
    def from_components(cls, components: Sequence[Callable[[Array], Any]], **constants: Any) -> FiniteSumOperator:
        """The mean of a list of functions ``u -> F_i(u)``.

        Args:
            components: functions, at least one.
            constants: ``L``, ``L_mean``, ``L_cocoercive``, ``L_own``, ``dim`` as in the class.

        Example:
            >>> import numpy as np
            >>> op = FiniteSumOperator.from_components([lambda u: u, lambda u: 3 * u])
            >>> op.full(np.ones(1)).tolist()
            [2.0]
        """
        parts = list(components)
        if not parts:
            raise ValueError("components must hold at least one function, got none")
        for i, part in enumerate(parts):
            if not callable(part):
                raise TypeError(f"components[{i}] must be a function, got {part!r:.80} ({type(part).__name__})")

        def mean(u: Array, idx: Any) -> Array:
            return np.mean([np.asarray(parts[i](u), dtype=np.float64) for i in idx], axis=0)

        return cls(len(parts), lambda u: mean(u, range(len(parts))), mean, **constants)

    @classmethod
    def from_affine(cls, B: Any, q: Any) -> AffineOperator:
        """``F_i(u) = B_i u - q_i``; see :class:`AffineOperator`.

        Example:
            >>> import numpy as np
            >>> FiniteSumOperator.from_affine(np.eye(2)[None], np.ones((1, 2))).full(np.zeros(2)).tolist()
            [-1.0, -1.0]
        """
        return AffineOperator(B, q)

    @classmethod
    def from_matrix_game(cls, A: Any) -> MatrixGameOperator:
        """The operator ``(Aᵀ y, -A x)`` of a matrix game; see :class:`~optimand.numerical.monotone.MatrixGame`.

        Example:
            >>> import numpy as np
            >>> FiniteSumOperator.from_matrix_game([[1.0, 2.0]]).full(np.array([0.5, 0.5, 1.0])).tolist()
            [1.0, 2.0, -1.5]
        """
        from .games import MatrixGameOperator

        return MatrixGameOperator(A)


class AffineOperator(FiniteSumOperator):
    """``F_i(u) = B_i u - q_i``, with constants that can be computed exactly.

    Args:
        B: shape ``(n, d, d)``, finite; each matrix's symmetric part should be positive semidefinite on average.
        q: shape ``(n, d)``, finite.

    Attributes:
        B, q: the components; B_mean, q_mean: their means.

    Raises:
        ValueError: shapes that do not match, or entries that are not finite.

    Example:
        >>> import numpy as np
        >>> op = AffineOperator(np.stack([np.eye(2), 3 * np.eye(2)]), np.zeros((2, 2)))
        >>> op.full(np.ones(2)).tolist(), op.batch(np.ones(2), [0]).tolist()
        ([2.0, 2.0], [1.0, 1.0])
    """

    structure = "affine"

    def __init__(self, B: Any, q: Any) -> None:
        self.B = np.ascontiguousarray(B, dtype=np.float64)
        self.q = np.ascontiguousarray(q, dtype=np.float64)
        if self.B.ndim != 3 or self.B.shape[1] != self.B.shape[2] or self.q.shape != self.B.shape[:2]:
            raise ValueError(f"B must be (n, d, d) and q (n, d), got {self.B.shape} and {self.q.shape}")
        if not (np.isfinite(self.B).all() and np.isfinite(self.q).all()):
            raise ValueError("B and q must be finite, got entries that are not")
        self.B_mean, self.q_mean = self.B.mean(0), self.q.mean(0)
        super().__init__(len(self.B), self._full_value, self._batch_value, dim=self.B.shape[1])

    @functools.cached_property
    def constants(self) -> Constants:
        """The exact constants, computed when first asked for."""
        from .constants import affine_constants

        return affine_constants(self)

    def constant(self, name: str) -> float:
        """One of the constants by name, exactly."""
        return float(getattr(self.constants, "L_full" if name == "L" else name))

    def _full_value(self, u: Array) -> Array:
        return self.B_mean @ u - self.q_mean

    def _batch_value(self, u: Array, idx: Index) -> Array:
        return (self.B[idx] @ u - self.q[idx]).mean(0)


def _constant(name: str, value: float | None) -> float | None:
    # without cocoercivity its constants are infinite; a Lipschitz constant is a number
    finite = name in ("L", "L_mean")
    return None if value is None else check_number(name, value, low=0, low_open=True, high_open=finite)
