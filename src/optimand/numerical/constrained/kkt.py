"""The Newton-KKT matrix of an iteration, and what AdaSketch-Newton must know of it: curvature, norms, conditioning.

Three forms. Dense: everything exact, by LAPACK. Sparse: the matrices stay sparse; the two extreme eigenvalues come
from dense copies up to ``DENSE_TESTS`` unknowns and from Lanczos iterations beyond. Matrix-free (the Jacobian or the
Hessian is a LinearOperator): nothing is formed, see ``operator_kkt`` for the substitutes.

Lanczos iterations here have a cap and no restarts: spectra that cluster at their lower end, those of discretized
differential operators above all, would keep them going for minutes. ``lowest_ritz`` says what that leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dgeqrf, dormqr, dpotrf, dsyevd
from scipy.sparse import block_array, csc_array, csr_array, diags_array, eye_array, issparse
from scipy.sparse.linalg import LinearOperator, cg, eigsh, splu

from .nlp import Vector

DENSE_TESTS = 500  # unknowns up to which a sparse problem's eigenvalues are taken from dense copies
SMALL_GRAM = 64  # constraints up to which the matrix-free form makes G Gᵀ (m × m) by m products
LANCZOS, LANCZOS_PRODUCTS_ARE_CHEAP = 30, 200  # most vectors for operators, and for sparse matrices
RELATIVE = 1e-8  # least eigenvalue of G Gᵀ, the rows scaled to length 1, where no threshold is given
LANCZOS_MEMORY = 20_000_000  # numbers in the vectors beyond the first 30
RHO = 1e-2  # of the regularized matrix
PROBES = 32  # random vectors for a Frobenius norm that cannot be summed


@dataclass(slots=True)
class KKT:
    """A = [[B, Gᵀ], [G, 0]] with B = H + shift·I, and Frobenius norms; ``A`` is None where G is singular.

    ``gram_min`` is λmin(G Gᵀ), or with a relative threshold a positive lower bound of it.
    """

    A: Any
    gram_min: float
    shift: float = 0.0
    b_norm: float = math.nan
    g_norm: float = math.nan
    h_norm: float = math.nan
    regularized: bool = False

    @property
    def a_norm(self) -> float:
        """‖A‖_F."""
        return math.hypot(self.b_norm, math.sqrt(2) * self.g_norm)

    def psi(self, xi_B: float) -> float:
        """Ψ, an upper bound on ‖A⁻¹‖."""
        return 20 * max(self.b_norm * self.b_norm, 1.0) / (min(self.gram_min, 1.0) * min(xi_B, 1.0))

    def upsilon(self) -> float:
        """Υ = max(‖G‖, ‖H‖, 1)."""
        return max(self.g_norm, self.h_norm, 1.0)


def assemble(
    H: Any, G: Any, *, singular_tol: float | None, curvature_tol: float, xi_B: float, rng: np.random.Generator
) -> KKT:
    """The KKT matrix of an iteration in the form that H and G have.

    Args:
        H: Hessian of the Lagrangian, (n, n).
        G: Jacobian, (m, n).
        singular_tol: below it, λmin(G Gᵀ) counts as 0 and no matrix is made; None compares the rows of G scaled to
            length 1 with ``RELATIVE``, so that the units of the constraints do not matter.
        curvature_tol: where λmin(Zᵀ H Z) on the null space of G is below it, B = H + (ξ_B + ‖H‖_F) I.
        xi_B: ξ_B.
        rng: for the probes of the matrix-free form.
    """
    if isinstance(H, LinearOperator) or isinstance(G, LinearOperator):
        return operator_kkt(H, G, singular_tol, curvature_tol, xi_B, rng)
    if issparse(H) or issparse(G):
        return sparse_kkt(csr_array(H), csr_array(G), singular_tol, curvature_tol, xi_B)
    return dense_kkt(H, G, singular_tol, curvature_tol, xi_B)


def _lowest_of_gram(gram: Vector, singular_tol: float | None) -> tuple[float, bool]:
    """λmin of a Gram matrix, or a positive lower bound with a relative threshold, and whether it counts as 0."""
    lowest = float(dsyevd(gram, compute_v=0)[0][0])
    if singular_tol is not None:
        return lowest, not lowest >= singular_tol
    squares = np.diag(gram)
    if not (squares > 0).all():
        return 0.0, True
    scale = 1 / np.sqrt(squares)
    relative = float(dsyevd(gram * np.outer(scale, scale), compute_v=0)[0][0])
    return max(lowest, relative * float(squares.min())), not relative >= RELATIVE


def dense_kkt(H: Vector, G: Vector, singular_tol: float | None, curvature_tol: float, xi_B: float) -> KKT:
    """Everything exact, a few LAPACK calls."""
    m, n = G.shape
    gram_min, singular = _lowest_of_gram(G @ G.T, singular_tol)
    if singular:
        return KKT(None, gram_min)
    H2 = float(np.vdot(H, H))
    h_norm = math.sqrt(H2)
    shift, B2 = 0.0, H2
    A = np.zeros((n + m, n + m))
    A[:n, :n] = H
    A[:n, n:] = G.T
    A[n:, :n] = G
    if m < n and _curvature_below(H, G, curvature_tol):
        shift = xi_B + h_norm
        B2 += 2 * shift * float(np.trace(H)) + n * shift * shift
        A.ravel()[: n * (n + m) : n + m + 1] += shift
    return KKT(A, gram_min, shift, math.sqrt(B2), math.sqrt(float(np.vdot(G, G))), h_norm)


def _curvature_below(H: Vector, G: Vector, tol: float) -> bool:
    """Whether λmin(Zᵀ H Z) < tol, Z an orthonormal basis of null(G): Zᵀ H Z − tol I has no Cholesky factor."""
    m, n = G.shape
    qr, tau, _, _ = dgeqrf(G.T)
    work = 64 * n
    QH = dormqr("L", "T", qr, tau, H, work)[0]
    reduced = dormqr("L", "T", qr, tau, QH.T, work)[0][m:, m:].copy(order="F")
    reduced.ravel(order="F")[:: n - m + 1] -= tol
    return bool(dpotrf(reduced, overwrite_a=1)[1] != 0)


def sparse_kkt(H: csr_array, G: csr_array, singular_tol: float | None, curvature_tol: float, xi_B: float) -> KKT:
    """Sparse matrices; eigenvalues by dense copies of small problems, else by Lanczos with sparse factors of G Gᵀ."""
    m, n = G.shape
    small = n + m <= DENSE_TESTS
    gram = csc_array(G @ G.T)
    solve_gram: Callable[[Vector], Vector] | None = None
    if small:
        gram_min, singular = _lowest_of_gram(gram.toarray(), singular_tol)
    else:
        gram_min, singular, solve_gram = _gram_by_factor(gram, singular_tol)
    if singular:
        return KKT(None, gram_min)
    h_norm = math.sqrt(float(H.data @ H.data))
    shift, B = 0.0, H
    if m < n:
        if solve_gram is None:
            low = _curvature_below(H.toarray(), G.toarray(), curvature_tol)
        else:
            low = _lowest_on_null_space(H, G, solve_gram, curvature_tol, many_vectors(n)) < curvature_tol
        if low:
            shift = xi_B + h_norm
            B = csr_array(H + shift * eye_array(n))
    A = csr_array(block_array([[B, G.T], [G, None]], format="csr"))
    return KKT(A, gram_min, shift, math.sqrt(float(B.data @ B.data)), math.sqrt(float(G.data @ G.data)), h_norm)


def _gram_by_factor(
    gram: csc_array, singular_tol: float | None
) -> tuple[float, bool, Callable[[Vector], Vector] | None]:
    """As ``_lowest_of_gram`` by sparse factors and inverse Lanczos iterations, and solves with the matrix."""
    m = gram.shape[0]
    squares = gram.diagonal() if singular_tol is None else np.ones(m)
    if not (squares > 0).all():
        return 0.0, True, None
    scale = 1 / np.sqrt(squares)
    try:
        factor = splu(gram if singular_tol is not None else csc_array(diags_array(scale) @ gram @ diags_array(scale)))
    except RuntimeError:  # "Factor is exactly singular"
        return 0.0, True, None

    def solve(v: Vector) -> Vector:
        return np.asarray(scale * factor.solve(scale * v))

    if m <= 2:
        return *_lowest_of_gram(gram.toarray(), singular_tol), solve
    inverse = LinearOperator((m, m), matvec=factor.solve, dtype=np.float64)
    largest = float(eigsh(inverse, k=1, which="LA", tol=1e-3, v0=_start_vector(m), return_eigenvectors=False)[0])
    lowest = 1 / largest if largest > 0 else 0.0
    return lowest * float(squares.min()), not lowest >= (RELATIVE if singular_tol is None else singular_tol), solve


def _start_vector(size: int) -> Vector:
    """A fixed vector with a share in every direction that a structured problem is likely to have."""
    return np.cos(np.arange(1.0, size + 1) ** 2)


def many_vectors(n: int) -> int:
    """Lanczos vectors of length n for matrices whose products are cheap."""
    return max(LANCZOS, min(LANCZOS_PRODUCTS_ARE_CHEAP, LANCZOS_MEMORY // n))


def _lowest_on_null_space(
    H: Any, G: Any, solve_gram: Callable[[Vector], Vector], enough: float, vectors: int = LANCZOS
) -> float:
    """The smallest Ritz value of H on null(G)."""
    m, n = G.shape
    return lowest_ritz(H, lambda v: v - G.T @ solve_gram(G @ v), n - m, enough, vectors)


def operator_kkt(
    H: Any, G: Any, singular_tol: float | None, curvature_tol: float, xi_B: float, rng: np.random.Generator
) -> KKT:
    """Products only: neither B nor G is formed.

    Substitutes for what the algorithm reads off the matrices:

    * Frobenius norms: ‖M‖_F² = E‖M z‖² for random signs z, averaged over 32 probes (standard deviation of the square
      at most √(2/32) = 25 % of it, far less for matrices with many comparable rows); tr(H) from the same probes.
    * λmin(G Gᵀ): from the m × m Gram matrix, made by m products, up to 64 constraints; beyond that ``lowest_ritz``
      over at most 200 vectors, where a relative threshold is one relative to a Rayleigh quotient of G Gᵀ.
    * λmin(Zᵀ H Z): ``lowest_ritz`` over at most 30 vectors. The projection on null(G) uses the Gram matrix or, beyond
      64 constraints, conjugate gradients on G Gᵀ.
    """
    m, n = G.shape
    if m <= SMALL_GRAM:
        gram = np.column_stack([G @ (G.T @ e) for e in np.eye(m)])
        gram_min, singular = _lowest_of_gram(gram, singular_tol)
    else:
        gram_operator = LinearOperator((m, m), matvec=lambda v: G @ (G.T @ v), dtype=np.float64)
        if singular_tol is None:
            v = _start_vector(m)
            singular_tol = RELATIVE * float(np.sum((G.T @ v) ** 2)) / float(v @ v)
        gram_min = lowest_ritz(gram_operator, lambda v: v, m, singular_tol, many_vectors(m))
        singular = not gram_min >= singular_tol
    if singular:
        return KKT(None, gram_min)
    probes = rng.choice((-1.0, 1.0), size=(PROBES, n))
    HZ = np.array([H @ z for z in probes])
    H2 = float(np.mean(np.sum(HZ * HZ, axis=1)))
    trace = float(np.mean(np.sum(HZ * probes, axis=1)))
    if m <= SMALL_GRAM:
        g_norm = math.sqrt(float(np.trace(gram)))
        factor = cho_factor(gram)

        def solve_gram(v: Vector) -> Vector:
            return np.asarray(cho_solve(factor, v, check_finite=False))

    else:
        g_norm = math.sqrt(float(np.mean([float(np.sum((G @ z) ** 2)) for z in probes])))

        def solve_gram(v: Vector) -> Vector:
            return np.asarray(cg(gram_operator, v, rtol=1e-8, maxiter=10 * m)[0])

    shift, h_norm = 0.0, math.sqrt(H2)
    if m < n and _lowest_on_null_space(H, G, solve_gram, curvature_tol) < curvature_tol:
        shift = xi_B + h_norm
    B2 = H2 + 2 * shift * trace + n * shift * shift

    def apply(v: Vector) -> Vector:
        v = v.ravel()
        x, y = v[:n], v[n:]
        top = H @ x + G.T @ y
        return np.concatenate((top + shift * x if shift else top, G @ x))

    A = LinearOperator((n + m, n + m), matvec=apply, rmatvec=apply, dtype=np.float64)
    return KKT(A, gram_min, shift, math.sqrt(max(B2, 0.0)), g_norm, h_norm)


def lowest_ritz(H: Any, project: Callable[[Vector], Vector], size: int, enough: float, vectors: int = LANCZOS) -> float:
    """The smallest Ritz value of a symmetric operator on a subspace, by Lanczos iterations with a cap.

    Never below the smallest eigenvalue, so a value below a threshold is proof and one above it is not: an eigenvalue
    that is small against the others' spread, or whose vector the start hardly holds, may stay unseen. In the test of
    curvature that is left to the descent test of the algorithm.

    Args:
        H: with products ``H @ v``.
        project: the orthogonal projection on the subspace.
        size: dimension of the subspace.
        enough: stop once the value is below it.
        vectors: the cap. Beyond 30 the value is made at every tenth vector only, and has settled if those ten changed
            it by less than 1 %; else at every vector.

    Returns:
        The value; minus infinity where nothing can be known, because a product is not finite or the subspace empty.
    """
    v = project(_start_vector(H.shape[0]))
    length = float(np.linalg.norm(v))
    if not 0 < length < math.inf:
        return -math.inf
    cap = min(vectors, size)
    V, T = np.zeros((cap, v.size)), np.zeros((cap, cap))
    lowest, every = math.inf, 1 if vectors <= LANCZOS else 10
    for step in range(cap):
        V[step] = v / length
        Hv = H @ V[step]
        # of H itself, not of the projected one: an inexact projection would make it unsymmetric
        T[step, : step + 1] = V[: step + 1] @ Hv
        if not np.isfinite(T[step]).all():
            return -math.inf
        if step % every == every - 1 or step == cap - 1:
            before, lowest = lowest, float(np.linalg.eigvalsh(T[: step + 1, : step + 1])[0])
            if lowest < enough or (step > 5 and before - lowest < 0.01 * abs(lowest)):
                break
        v = project(Hv)
        for _ in range(2):  # twice, so that the basis stays orthogonal to working accuracy
            v = v - V[: step + 1].T @ (V[: step + 1] @ v)
        length = float(np.linalg.norm(v))
        if not length > 1e-10 * float(np.linalg.norm(Hv)):
            return min(lowest, float(np.linalg.eigvalsh(T[: step + 1, : step + 1])[0]))
    return lowest


def regularized_kkt(H: Any, G: Any, curvature_tol: float, xi_B: float) -> KKT:
    """The regularized matrix from arrays or sparse matrices, for a singular Jacobian: not the paper's, whose algorithm
    stops there; an option.

    A = [[B, Gᵀ], [G, −ρI]] asks for G dₓ + c = ρ d_λ instead of G dₓ + c = 0, which has a solution whatever the rank.
    Its fixed points are the same KKT points, since ρ d_λ vanishes with the step. Interior-point codes do likewise.

    A is nonsingular with m negative eigenvalues where H + GᵀG/ρ is positive definite, so this matrix takes the place
    of Zᵀ H Z in the test of curvature. ρ takes the place of λmin(G Gᵀ) in Ψ, as a scale and not as a bound.

    Args:
        H: Hessian of the Lagrangian, (n, n).
        G: Jacobian, (m, n), of any rank.
        curvature_tol: where λmin(H + GᵀG/ρ) is below it, B = H + (ξ_B + ‖H‖_F) I.
        xi_B: ξ_B.

    Example:
        >>> kkt = regularized_kkt(np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]]), 1e-6, 0.1)
        >>> kkt.shift, bool(np.linalg.cond(kkt.A) < 1e3)
        (0.0, True)
    """
    m, n = G.shape
    A: Any
    if issparse(H) or issparse(G):
        H, G = csr_array(H), csr_array(G)
        h_norm, g_norm = math.sqrt(float(H.data @ H.data)), math.sqrt(float(G.data @ G.data))
        trace = float(H.trace())
        if n + m <= DENSE_TESTS:
            low = _indefinite(H.toarray(), G.toarray(), curvature_tol)
        else:
            whole = LinearOperator((n, n), matvec=lambda v: H @ v + G.T @ (G @ v) / RHO, dtype=np.float64)
            low = lowest_ritz(whole, lambda v: v, n, curvature_tol, many_vectors(n)) < curvature_tol
        shift = xi_B + h_norm if low else 0.0
        A = csr_array(block_array([[H + shift * eye_array(n), G.T], [G, -RHO * eye_array(m)]], format="csr"))
    else:
        h_norm, g_norm, trace = float(np.linalg.norm(H)), float(np.linalg.norm(G)), float(np.trace(H))
        shift = xi_B + h_norm if _indefinite(H, G, curvature_tol) else 0.0
        A = np.block([[H + shift * np.eye(n), G.T], [G, -RHO * np.eye(m)]])
    b_norm = math.sqrt(max(h_norm * h_norm + 2 * shift * trace + n * shift * shift, 0.0))
    return KKT(A, RHO, shift, b_norm, g_norm, h_norm, regularized=True)


def _indefinite(H: np.ndarray, G: np.ndarray, tol: float) -> bool:
    return bool(dpotrf(H + G.T @ G / RHO - tol * np.eye(len(H)))[1] != 0)
