"""Matrices as the solvers of this room want them: checked once, and shifted by a number at no cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...core.validation import check_number

Vector = NDArray[np.float64]
Indices = NDArray[np.uint32]
Matrix = tuple[Indices, Indices, Vector, Vector, float]
Halves = tuple[Indices, Vector, Indices, Vector]
LIMIT_OF_INDICES = 2**31 - 1


class PreparedMatrix:
    """A square real sparse matrix with its diagonal at hand, as sorted CSR that is checked once.

    ``shifted(c)`` is A + c I with the same arrays, so a sequence of such systems needs no new matrix for each.

    Args:
        A: dense array, sparse array or sparse matrix of any format, square and real with finite entries, at most
            2^31 - 1 of them stored. Unsorted and repeated indices are mended in a copy; ``A`` stays as it is, and
            must stay so: where nothing needed mending, its arrays are used and not copied.

    Attributes:
        n: number of rows.
        shift: the number that is added to the diagonal.

    Raises:
        TypeError: ``A`` is complex, of objects, or has no entries to look at, such as a LinearOperator.
        ValueError: ``A`` is not square, is empty, or holds NaN or infinity.

    Example:
        >>> matrix = PreparedMatrix([[4.0, -1.0], [-1.0, 4.0]])
        >>> matrix.shifted(0.5).to_csr().toarray().tolist()
        [[4.5, -1.0], [-1.0, 4.5]]
    """

    __slots__ = ("_shared", "base_diagonal", "data", "indices", "indptr", "n", "shift")

    def __init__(self, A: Any) -> None:
        self.indptr, self.indices, self.data, self.base_diagonal = _checked(A)
        self.n = len(self.base_diagonal)
        self.shift = 0.0
        # What does not depend on the shift; all shifted copies hold the same dictionary.
        self._shared: dict[str, Any] = {"least": float(self.base_diagonal.min())}

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.n, self.n

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return len(self.data)

    @property
    def diagonal(self) -> Vector:
        """The diagonal, with the shift in it."""
        return self.base_diagonal + self.shift

    @property
    def arrays(self) -> Matrix:
        """What the compiled loops take for a matrix."""
        return self.indptr, self.indices, self.data, self.base_diagonal, self.shift

    def shifted(self, c: float) -> PreparedMatrix:
        """A + c I on the same arrays; the shift counts from the matrix as it was prepared.

        Args:
            c: any finite number; the solvers check the diagonal that results.

        Raises:
            TypeError: ``c`` is no number.
            ValueError: ``c`` is NaN or infinite.
        """
        copy = object.__new__(PreparedMatrix)
        copy.indptr, copy.indices, copy.data = self.indptr, self.indices, self.data
        copy.base_diagonal, copy.n, copy._shared = self.base_diagonal, self.n, self._shared
        copy.shift = check_number("c", c, low=-np.inf, high=np.inf, low_open=True, high_open=True)
        return copy

    def require_positive_diagonal(self) -> None:
        """Raise ValueError unless every diagonal entry is above 0."""
        if not self._shared["least"] + self.shift > 0:
            row = int(self.base_diagonal.argmin())
            value = self.base_diagonal[row] + self.shift
            raise ValueError(f"A must have a positive diagonal, got A[{row}, {row}] = {value:g}")

    def require_nonzero_diagonal(self) -> None:
        """Raise ValueError if a diagonal entry is 0."""
        if self._shared["least"] + self.shift > 0:
            return
        row = int(np.abs(self.base_diagonal + self.shift).argmin())
        if self.base_diagonal[row] + self.shift == 0:
            raise ValueError(f"A must have no zero on its diagonal, got A[{row}, {row}] = 0")

    def require_symmetric(self) -> None:
        """Raise ValueError unless a_ij = a_ji up to 1e-12 of the largest entry."""
        if "symmetric" not in self._shared:
            self._shared["symmetric"] = self._is_symmetric()
        if not self._shared["symmetric"]:
            raise ValueError("A must be symmetric, got a matrix that differs from its transpose")

    def _is_symmetric(self) -> bool:
        from .sweeps import is_symmetric

        tolerance = 1e-12 * float(np.abs(self.data).max())
        if is_symmetric(self.indptr, self.indices, self.data, self.indptr[:-1].copy(), tolerance):
            return True
        # Stored zeros need no partner, which the quick test does not know.
        matrix = self.to_csr()
        difference = abs(matrix - matrix.T)
        return difference.nnz == 0 or bool(difference.max() <= tolerance)

    def halves(self) -> Halves:
        """Indices and entries of the lower and of the upper triangle, as ``sweeps.split_halves`` lays them out."""
        if "halves" not in self._shared:
            from .sweeps import split_halves

            below = int((self.indices < np.repeat(np.arange(self.n), np.diff(self.indptr))).sum())
            low, high = below + self.n + 1, self.nnz - below + 1
            halves = np.empty(low, np.uint32), np.empty(low), np.empty(high, np.uint32), np.empty(high)
            split_halves(self.indptr, self.indices, self.data, *halves)
            self._shared["halves"] = halves
        return self._shared["halves"]

    def residual(self, b: Vector, x: Vector) -> tuple[Vector, float]:
        """``b - A x`` and its 2-norm."""
        from .sweeps import residual

        r = np.empty(self.n)
        square = residual(self.arrays, b, x, r)
        return r, float(np.sqrt(square))

    def to_csr(self) -> sp.csr_array:
        """A copy as SciPy's CSR array, with the shift in it."""
        data = self.data.copy()
        rows = np.repeat(np.arange(self.n), np.diff(self.indptr))
        data[self.indices == rows] = self.diagonal
        parts = data, self.indices.astype(np.int32), self.indptr.astype(np.int32)
        return sp.csr_array(parts, shape=self.shape)

    def __repr__(self) -> str:
        return f"PreparedMatrix(n={self.n}, nnz={self.nnz}, shift={self.shift:g})"


def prepare(A: Any) -> PreparedMatrix:
    """``A`` itself if it is prepared, otherwise prepared; see ``PreparedMatrix``.

    Example:
        >>> prepare([[2.0]])
        PreparedMatrix(n=1, nnz=1, shift=0)
    """
    return A if isinstance(A, PreparedMatrix) else PreparedMatrix(A)


def check_vector(name: str, value: Any, n: int) -> Vector:
    """``value`` as a contiguous float64 vector of length ``n``.

    Raises:
        TypeError: it is complex or not numeric.
        ValueError: it has another shape, or holds NaN or infinity.

    Example:
        >>> check_vector("b", [1, 2], 2).tolist()
        [1.0, 2.0]
    """
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
    if given.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {given.shape}")
    vector = np.ascontiguousarray(given, dtype=np.float64)
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return vector


def _checked(A: Any) -> tuple[Indices, Indices, Vector, Vector]:
    """Sorted CSR arrays with unsigned indices and every diagonal entry, and the diagonal."""
    from .sweeps import NO_DIAGONAL, OUT_OF_RANGE, SORTED, check_rows

    matrix = _as_csr(A)
    n = matrix.shape[0]
    while True:
        indptr, indices, data = _raw(matrix)
        diagonal = np.zeros(n)
        code = check_rows(indptr, indices, data, diagonal)
        if code == SORTED:
            return indptr, indices, data, diagonal
        if code == OUT_OF_RANGE:
            raise ValueError(f"A must have column indices in [0, {n - 1}], got one outside")
        # New arrays: flags on the given matrix may claim an order that its indices do not have.
        rows, columns = np.repeat(np.arange(n), np.diff(indptr)), indices.astype(np.int64)
        if code == NO_DIAGONAL:
            rows, columns = np.append(rows, np.arange(n)), np.append(columns, np.arange(n))
            data = np.append(data, np.zeros(n))
        matrix = sp.coo_array((data, (rows, columns)), shape=(n, n)).tocsr()
        matrix.sort_indices()


def _as_csr(A: Any) -> Any:
    if not sp.issparse(A):
        if not isinstance(A, np.ndarray | list | tuple) and not hasattr(A, "__array__"):
            raise TypeError(f"A must be a dense or sparse matrix, whose entries can be read, got {type(A).__name__}")
        A = np.asarray(A)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be square, got shape {A.shape}")
    if A.shape[0] == 0:
        raise ValueError("A must have at least one row, got shape (0, 0)")
    if A.dtype.kind not in "biuf":
        raise TypeError(f"A must be real, got dtype {A.dtype}")
    if not sp.issparse(A):
        A = A.astype(np.float64, copy=False)  # SciPy's sparse arrays do not take every real dtype
    return A if getattr(A, "format", None) == "csr" else sp.csr_array(A)


def _raw(matrix: Any) -> tuple[Indices, Indices, Vector]:
    """The arrays of a CSR matrix, checked as far as the compiled loops rely on them."""
    indptr, stored = matrix.indptr, int(matrix.indptr[-1])
    short = stored > min(len(matrix.indices), len(matrix.data))
    if len(indptr) != matrix.shape[0] + 1 or indptr[0] != 0 or short or (np.diff(indptr) < 0).any():
        raise ValueError("A must have row pointers that rise from 0 to the number of its entries")
    if stored > LIMIT_OF_INDICES:
        raise ValueError(f"A must have at most {LIMIT_OF_INDICES} stored entries, got {stored}")
    data = np.ascontiguousarray(matrix.data[:stored], dtype=np.float64)
    if not np.isfinite(data).all():
        raise ValueError("A must be finite, got NaN or infinity among its entries")
    # A negative index becomes a large one, which the check of the rows refuses.
    return indptr.astype(np.uint32), _unsigned(matrix.indices[:stored]), data


def _unsigned(indices: Any) -> Indices:
    if indices.dtype == np.int32 and indices.flags.c_contiguous:
        return indices.view(np.uint32)
    return indices.astype(np.uint32)
