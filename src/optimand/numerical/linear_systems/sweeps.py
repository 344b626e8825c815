"""The loops of SOR and of conjugate gradients with SSOR, compiled.

A matrix is the tuple (indptr, indices, data, diag, shift): sorted CSR with every diagonal entry present, its diagonal
once more as an array, and the number that is added to the diagonal wherever it is read. The integers are unsigned,
because signed ones would be tested for being negative at every access. Rows are walked from their ends to the
diagonal, which serves as the sentinel: a loop whose length is unknown is not unrolled, and rows are short.

A triangular solve is a chain through neighbouring rows, whose latency limits it. Two things shorten the link: the
reciprocal of the diagonal multiplies the matrix entries, off the chain, and not their sum; and the neighbour's value
is kept in a register (``last``) and not read back from memory.
"""

from __future__ import annotations

import numpy as np

from optimand.core.compiled import compiled

from .matrices import Indices, Matrix, Vector

ONE = np.uint32(1)
# Products may be fused into sums everywhere; sums are reordered only in passes that are no chains.
kernel = compiled(fastmath={"contract", "nsz"}, error_model="numpy")
reduction = compiled(fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")

SORTED, OUT_OF_RANGE, UNSORTED, NO_DIAGONAL = range(4)


@kernel
def check_rows(indptr: Indices, indices: Indices, data: Vector, diag: Vector) -> int:
    """Fill ``diag``; say whether rows are strictly increasing, in range and hold their diagonal."""
    n = len(diag)
    unsorted = absent = False
    for i in range(n):
        before, found = np.int64(-1), False
        for e in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[e])
            if j >= n:
                return OUT_OF_RANGE
            if j <= before:
                unsorted = True
            if j == i:
                diag[i] = data[e]
                found = True
            before = j
        absent = absent or not found
    if unsorted:
        return UNSORTED
    return NO_DIAGONAL if absent else SORTED


@kernel
def is_symmetric(indptr: Indices, indices: Indices, data: Vector, cursor: Indices, tolerance: float) -> bool:
    """Whether a_ij = a_ji up to ``tolerance``; ``cursor`` is a copy of ``indptr[:-1]``.

    Rows come in order, so the entries left of the diagonal of row j are met in their order too.
    """
    for i in range(len(cursor)):
        e = cursor[i]
        if indices[e] != i:  # an entry of the lower half that has no partner
            return False
        for f in range(e + ONE, indptr[i + 1]):
            j = indices[f]
            g = cursor[j]
            if indices[g] != i or not abs(data[f] - data[g]) <= tolerance:
                return False
            cursor[j] = g + ONE
    return True


@kernel
def split_halves(
    indptr: Indices,
    indices: Indices,
    data: Vector,
    lower_indices: Indices,
    lower_data: Vector,
    upper_indices: Indices,
    upper_data: Vector,
) -> None:
    """Write the triangles, each row's diagonal in front in the lower one and at the end in the upper one.

    A guard ends the lower triangle (index n) and begins the upper one (index 0).
    """
    n = len(indptr) - 1
    at_lower, at_upper = 0, 1
    upper_indices[0] = 0
    upper_data[0] = 0.0
    for i in range(n):
        slot = at_lower
        at_lower += 1
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j < i:
                lower_indices[at_lower] = j
                lower_data[at_lower] = data[e]
                at_lower += 1
            elif j > i:
                upper_indices[at_upper] = j
                upper_data[at_upper] = data[e]
                at_upper += 1
            else:
                lower_indices[slot] = i
                lower_data[slot] = data[e]
                middle = data[e]
        upper_indices[at_upper] = i
        upper_data[at_upper] = middle
        at_upper += 1
    lower_indices[at_lower] = n
    lower_data[at_lower] = 0.0


@reduction
def residual(matrix: Matrix, b: Vector, x: Vector, r: Vector) -> float:
    """Write ``b - A x`` into ``r``; return its squared norm."""
    indptr, indices, data, _, shift = matrix
    square = 0.0
    for i in range(len(x)):
        s = b[i] - shift * x[i]
        for e in range(indptr[i], indptr[i + 1]):
            s -= data[e] * x[indices[e]]
        r[i] = s
        square += s * s
    return square


@kernel
def solve_lower(matrix: Matrix, omega: float, v: Vector) -> None:
    """Replace ``v`` by ``(D/omega + L)^-1 v``."""
    indptr, indices, data, diag, shift = matrix
    last = 0.0
    for i in range(len(v)):
        scale = omega / (diag[i] + shift)
        s = scale * v[i]
        e = indptr[i]
        j = indices[e]
        while j < i - 1:
            s -= (scale * data[e]) * v[j]
            e += ONE
            j = indices[e]
        if j == i - 1:
            s -= (scale * data[e]) * last
        v[i] = s
        last = s


@kernel
def solve_upper(matrix: Matrix, omega: float, v: Vector) -> None:
    """Replace ``v`` by ``(D/omega + U)^-1 v``."""
    indptr, indices, data, diag, shift = matrix
    last = 0.0
    for i in range(len(v) - 1, -1, -1):
        scale = omega / (diag[i] + shift)
        s = scale * v[i]
        e = indptr[i + 1] - ONE
        j = indices[e]
        while j > i + 1:
            s -= (scale * data[e]) * v[j]
            e -= ONE
            j = indices[e]
        if j == i + 1:
            s -= (scale * data[e]) * last
        v[i] = s
        last = s


@kernel
def apply_ssor(matrix: Matrix, omega: float, r: Vector, z: Vector) -> None:
    """Write ``W^-1 r`` into ``z``."""
    _, _, _, diag, shift = matrix
    z[:] = r
    solve_upper(matrix, omega, z)
    weight = (2.0 - omega) / omega
    for i in range(len(z)):
        z[i] *= weight * (diag[i] + shift)
    solve_lower(matrix, omega, z)


@kernel
def sor_sweeps(matrix: Matrix, omega: float, x: Vector, d: Vector, limit: float, count: int) -> tuple[int, float]:
    """Take up to ``count`` steps of SOR; return the steps taken and the last squared residual norm.

    ``d = (D/omega + L)^-1 (b - A x)`` is the step that comes next, before and after. With the step taken the residual
    is ``(1/omega - 1) D d - U d``: the sweep that finds the next step meets it in passing, at no further cost.
    """
    indptr, indices, data, diag, shift = matrix
    damping = 1.0 / omega - 1.0
    square = 0.0
    for k in range(count):
        square = last = 0.0
        for i in range(len(x)):
            middle = diag[i] + shift
            scale = omega / middle
            step = d[i]
            x[i] += step
            s = damping * middle * step
            e = indptr[i + 1] - ONE
            j = indices[e]
            while j > i:
                s -= data[e] * d[j]
                e -= ONE
                j = indices[e]
            square += s * s
            s *= scale
            e = indptr[i]
            j = indices[e]
            while j < i - 1:
                s -= (scale * data[e]) * d[j]
                e += ONE
                j = indices[e]
            if j == i - 1:
                s -= (scale * data[e]) * last
            d[i] = s
            last = s
        if not square > limit:
            return k + 1, square
    return count, square
