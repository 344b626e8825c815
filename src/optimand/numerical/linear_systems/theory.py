"""What theory says of omega: the best one, rates of convergence, and bounds on iteration counts.

All of it works on dense matrices and is meant for checking and for pictures: at most 500 rows. For the Laplacian of a
square grid ``laplacian_jacobi_radius`` needs no matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from ...core.validation import check_int, check_number
from .matrices import PreparedMatrix, prepare
from .solving import check_omega

Dense = NDArray[np.float64]
MAX_ROWS = 500


def laplacian_jacobi_radius(side: int, shift: float = 0.0) -> float:
    """The spectral radius of I - D^-1 A for the 5-point Laplacian (4 on the diagonal) of a square, plus shift I.

    Args:
        side: interior points along a side, at least 1.
        shift: above -4.

    Example:
        >>> round(laplacian_jacobi_radius(10), 10)
        0.9594929736
    """
    check_int("side", side, low=1)
    check_number("shift", shift, low=-4, low_open=True)
    return 4 * math.cos(math.pi / (side + 1)) / (4 + shift)


def jacobi_radius(A: Any) -> float:
    """The spectral radius beta of I - D^-1 A.

    Args:
        A: square, no zero on the diagonal, at most 500 rows; dense, sparse, or a ``PreparedMatrix``.

    Raises:
        TypeError, ValueError: A is none of these.

    Example:
        >>> jacobi_radius([[2.0, -1.0], [-1.0, 2.0]])
        0.5
    """
    matrix = _dense(A)
    diagonal = matrix.diagonal()
    if _is_spd_like(matrix):
        root = np.sqrt(diagonal)
        return float(np.abs(1 - la.eigvalsh(matrix / np.outer(root, root))).max())
    return float(np.abs(1 - la.eigvals(matrix / diagonal[:, None])).max())


def optimal_omega(A_or_beta: Any) -> float:
    """The omega with the best asymptotic rate of SOR, 1 + (beta/(1 + sqrt(1 - beta^2)))^2.

    It is the best for consistently ordered matrices whose Jacobi matrix has real eigenvalues, such as those of
    five-point stencils and of trees in their natural order; for others it is a guess.

    Args:
        A_or_beta: a matrix of at most 500 rows, or the spectral radius beta of I - D^-1 A, in [0, 1).

    Raises:
        ValueError: beta is not below 1: no omega is best by this formula.

    Reference:
        Young (1954); Khodak et al. (arXiv 2310.02246).

    Example:
        >>> round(optimal_omega(laplacian_jacobi_radius(10)), 10)
        1.5603879213
    """
    given = isinstance(A_or_beta, int | float | np.floating)
    beta = check_number("beta", A_or_beta if given else jacobi_radius(A_or_beta), low=0, high=1, high_open=True)
    return 1 + (beta / (1 + math.sqrt(1 - beta * beta))) ** 2


def is_consistently_ordered(A: Any) -> bool:
    """Whether rows have levels such that each entry below the diagonal leads down one level.

    Args:
        A: at most 500 rows.

    Example:
        >>> is_consistently_ordered(np.eye(3) + np.eye(3, k=1) + np.eye(3, k=-1))
        True
        >>> is_consistently_ordered(np.ones((3, 3)))
        False
    """
    matrix = _dense(A)
    linked = (matrix != 0) | (matrix.T != 0)
    levels: dict[int, int] = {}
    for root in range(len(matrix)):
        if root in levels:
            continue
        levels[root], waiting = 0, [root]
        while waiting:
            i = waiting.pop()
            for j in map(int, np.flatnonzero(linked[i])):
                level = levels[i] + (j > i) - (j < i)
                if j not in levels:
                    levels[j] = level
                    waiting.append(j)
                elif levels[j] != level:
                    return False
    return True


def sor_radius(A: Any, omega: float) -> float:
    """The spectral radius of SOR's iteration matrix, the asymptotic factor per step.

    Where A is symmetric and consistently ordered it comes from Young's formula, and is omega - 1 from the best omega
    on; a dense eigensolver would lose half the digits there, because the eigenvalue is defective.

    Args:
        A: at most 500 rows.
        omega: in (0, 2).

    Reference:
        Young (1954).

    Example:
        >>> [round(sor_radius([[2.0, -1.0], [-1.0, 2.0]], omega), 10) for omega in (1.0, 1.5)]
        [0.25, 0.5]
    """
    check_omega(omega)
    matrix = _dense(A)
    if _is_spd_like(matrix) and is_consistently_ordered(matrix):
        beta = jacobi_radius(matrix)
        inside = (omega * beta) ** 2 - 4 * (omega - 1)
        return omega - 1 if inside <= 0 else 0.25 * (omega * beta + math.sqrt(inside)) ** 2
    return float(np.abs(la.eigvals(_iteration(matrix, omega))).max())


def near_asymptotic_tau(A: Any, omegas: Iterable[float], counts: Iterable[int]) -> float:
    """The smallest tau with which ``near_asymptotic_bound`` holds for measured counts.

    It is the largest (||C^(k-1)||^(1/(k-1)) - rho(C))/(1 - rho(C)) with C = I - A M^-1 and k the count. Counts of 1
    say nothing and are passed over.

    Args:
        A: at most 500 rows, SOR converging for all omegas.
        omegas: each in (0, 2).
        counts: of SOR's iterations, one for each omega.

    Reference:
        Khodak et al. (arXiv 2310.02246).

    Example:
        >>> near_asymptotic_tau([[2.0, -1.0], [-1.0, 2.0]], [1.0, 1.2], [14, 10]) < 0.2
        True
    """
    matrix = _dense(A)
    found = 0.0
    for omega, count in zip(omegas, counts, strict=True):
        if check_int("counts", count, low=1) > 1:
            rho = sor_radius(matrix, omega)
            power = np.linalg.matrix_power(_iteration(matrix, omega), count - 1)
            found = max(found, (float(np.linalg.norm(power, 2)) ** (1 / (count - 1)) - rho) / (1 - rho))
    return found


def near_asymptotic_bound(A: Any, omega: float, tau: float, tol: float = 1e-8) -> float:
    """U(omega) = 1 + log(tol)/log(rho + tau (1 - rho)): the surrogate that the learning theory works with.

    Args:
        A: at most 500 rows.
        omega: in (0, 2).
        tau: in [0, 1), of ``near_asymptotic_tau``; 0 gives the asymptotic estimate plus 1.
        tol: relative tolerance, in (0, 1).

    Reference:
        Khodak et al. (arXiv 2310.02246).

    Example:
        >>> round(near_asymptotic_bound([[2.0, -1.0], [-1.0, 2.0]], 1.0, tau=0.0), 3)
        14.288
    """
    check_number("tau", tau, low=0, high=1, high_open=True)
    rho = sor_radius(A, omega)
    return 1 + _iterations(rho + tau * (1 - rho), tol)


def ssor_cg_bound(A: Any, omega: float, tol: float = 1e-8) -> float:
    """A bound on the iterations of ``ssor_cg``, of interest for omega in [2 sqrt(2) - 2, 1.9].

    Args:
        A: symmetric positive definite, at most 500 rows.
        omega: in (0, 2).
        tol: relative tolerance, in (0, 1).

    Reference:
        Axelsson (1994); Khodak et al. (arXiv 2310.02246).

    Example:
        >>> 2 <= ssor_cg_bound([[2.0, -1.0], [-1.0, 2.0]], 1.2) < 30
        True
    """
    check_omega(omega)
    check_number("tol", tol, low=0, high=1, low_open=True, high_open=True)
    matrix = _dense(A)
    values = la.eigvalsh(matrix)
    if not _is_spd_like(matrix) or values[0] <= 0:
        raise ValueError("A must be symmetric positive definite")
    diagonal, lower = matrix.diagonal(), np.tril(matrix, -1)
    kappa = values[-1] / values[0]
    # The eigenvalues of X A^-1 are those of the pencil (X, A).
    alpha = float(la.eigh(np.diag(diagonal), matrix, eigvals_only=True)[-1])
    beta = float(la.eigh(lower @ (lower.T / diagonal[:, None]) - np.diag(diagonal) / 4, matrix, eigvals_only=True)[-1])
    q = (2 - omega) / (1 + 0.25 * (2 - omega) ** 2 / omega * alpha + beta * omega)
    if q >= 1:  # the preconditioner is the matrix
        return 1.0
    start = math.log(math.sqrt(kappa) / tol + math.sqrt(kappa / tol**2 - 1))
    return 1 + start / -math.log(1 - 2 / (1 + math.sqrt(1 / q)))


def _iterations(rho: float, tol: float) -> float:
    check_number("tol", tol, low=0, high=1, low_open=True, high_open=True)
    if rho >= 1:
        return math.inf
    return math.log(tol) / math.log(rho) if rho > 0 else 0.0


def _dense(A: Any) -> Dense:
    matrix: PreparedMatrix = prepare(A)
    if matrix.n > MAX_ROWS:
        raise ValueError(f"A must have at most {MAX_ROWS} rows, because this works on dense matrices, got {matrix.n}")
    matrix.require_nonzero_diagonal()
    return matrix.to_csr().toarray()


def _is_spd_like(matrix: Dense) -> bool:
    """Symmetric with a positive diagonal, so that D^-1/2 A D^-1/2 is symmetric."""
    return bool((matrix == matrix.T).all() and (matrix.diagonal() > 0).all())


def _iteration(matrix: Dense, omega: float) -> Dense:
    """C = I - A M^-1 with M = D/omega + L."""
    check_omega(omega)
    M = np.tril(matrix, -1) + np.diag(matrix.diagonal() / omega)
    return np.eye(len(matrix)) - la.solve_triangular(M, matrix.T, lower=True, trans="T").T
