"""The KKT matrix where the Jacobian is singular: not the paper's, whose algorithm stops there; an option.

A = [[B, Gᵀ], [G, −ρI]] asks for G dₓ + c = ρ d_λ instead of G dₓ + c = 0, which has a solution whatever the rank. Its
fixed points are the same KKT points, since ρ d_λ vanishes with the step. Interior-point codes do likewise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf
from scipy.sparse import block_array, csr_array, eye_array
from scipy.sparse.linalg import LinearOperator

from .kkt import DENSE_TESTS, KKT, lowest_ritz, many_vectors
from .nlp import is_sparse

RHO = 1e-2


def regularized_kkt(H: Any, G: Any, curvature_tol: float, xi_B: float) -> KKT:
    """The regularized matrix from arrays or sparse matrices.

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
    if is_sparse(H) or is_sparse(G):
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
