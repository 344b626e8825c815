"""Control of a Poisson equation: a quadratic program with sparse derivatives, of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

from ..nlp import EqualityProblem

Array = NDArray[np.float64]

# Minima of the sizes that tests refer to.
MINIMA = {3: 9.644442051811629, 6: 41.00403519940437, 8: 74.09302232832393}


def poisson_control(n: int = 3, weight: float = 0.1) -> EqualityProblem:
    """``min ½‖u - û‖² + (weight/2)‖z‖²`` subject to ``Δ_h u + z = 0`` on the interior of an ``n x n`` grid.

    The wanted state is ``û_ij = sin(4 + a_i) + cos(3 + a_j)`` with ``a_i = (i - (n + 1)/2) / (10 √15)``, i from 1.

    Args:
        n: interior grid points in each direction; the problem has ``2n²`` variables ``(u; z)`` and ``n²`` equations.
        weight: price of the control ``z``, > 0; 0.1 in the paper.

    Returns:
        Jacobian and Hessian are SciPy-sparse; point and multipliers start at ones. With mesh width ``h = 2/(n + 1)``
        the five-point operator has ``-4/h²`` on its diagonal and zero boundary values; the first grid index runs
        fastest.

    Raises:
        TypeError, ValueError: ``n`` below 1 or not an integer; ``weight`` not positive.

    Reference:
        Hong, Na, Mahoney, Kolar, ICML 2023, experiment on PDE-constrained control.

    Example:
        >>> problem = poisson_control(3)
        >>> problem.jac(problem.x0).shape, problem.hess(problem.x0, problem.lam0).diagonal()[[0, -1]].tolist()
        ((9, 18), [1.0, 0.1])
    """
    from scipy import sparse

    check_int("n", n, low=1)
    check_number("weight", weight, low=0, low_open=True)
    size, h = n * n, 2 / (n + 1)
    line = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)) / h**2
    eye = sparse.eye_array(n)
    laplacian = sparse.kron(eye, line) + sparse.kron(line, eye)
    jacobian = sparse.csr_array(sparse.hstack([laplacian, sparse.eye_array(size)]))
    scale = np.append(np.ones(size), np.full(size, weight))
    hessian = sparse.csr_array(sparse.diags_array(scale))
    angle = 0.1 / np.sqrt(15) * (np.arange(1, n + 1) - (n + 1) / 2)
    state = (np.sin(4 + angle)[:, None] + np.cos(3 + angle)[None, :]).ravel(order="F")
    wanted = np.append(state, np.zeros(size))

    def fun(x: Array) -> float:
        return float(0.5 * (scale * (x - wanted) ** 2).sum())

    def grad(x: Array) -> Array:
        return scale * (x - wanted)

    def cons(x: Array) -> Array:
        return np.asarray(jacobian @ x)

    def jac(x: Array) -> Any:
        return jacobian

    def hess(x: Array, lam: Array) -> Any:
        return hessian

    return EqualityProblem(
        fun=fun, grad=grad, cons=cons, jac=jac, hess=hess, hessp=lambda x, lam, v: scale * v,
        x0=np.ones(2 * size), lam0=np.ones(size), name=f"poisson-control n={n}",
        f_star=MINIMA.get(n) if weight == 0.1 else None,
    )  # fmt: skip
