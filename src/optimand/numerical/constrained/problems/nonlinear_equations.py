"""Systems of nonlinear equations as problems without objective: with λ = 0 their Newton step is Newton's method.

Sources: J. J. Moré, B. S. Garbow, K. E. Hillstrom, ACM Trans. Math. Software 7 (1981), 17-41 (RSNBRNE, HELIXNE,
MOREBVNE, INTEQNE); J. E. Dennis, R. B. Schnabel, "Numerical methods for unconstrained optimization", 1983 (DENSCHNCNE,
DENSCHNFNE); D. M. Himmelblau, "Applied nonlinear programming", 1972 (HIMMELBA, HIMMELBC, HIMMELBE); A. R. Buckley,
TR 1989CS-3, Dalhousie 1989 (CUBENE, GOTTFR, ZANGWIL3); Y. Xiao, F. Zhou, Computing 48 (1992), 303-317 (SINVALNE);
E. Spedicato, report N-175, CISE Milano 1975 (MANCINONE). BOOTH, PRICE4NE, TRIGON1NE, WAYSEA1NE and WAYSEA2NE are usual
tests of global optimization. Factors such as 10 are CUTEst's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..nlp import EqualityProblem
from .formulas import Array, Formula


def _equations(name: str, c: Iterable[str], x0: Iterable[float], recorded: int | None = None) -> Formula:
    return Formula(name, "0", tuple(c), tuple(x0), None, recorded)


def _integral_equation(inner: int = 10) -> Formula:
    """INTEQNE: the discretized integral equation; unknowns x_0 … x_11 are x1 … x12 here, both ends fixed at 0."""
    h = 1 / (inner + 1)
    t = [i * h for i in range(inner + 2)]
    cubes = [f"(x{j + 1} + {t[j] + 1!r})**3" for j in range(inner + 2)]
    rows = ["x1"]
    for i in range(1, inner + 1):
        left = [f"{h / 2 * (1 - t[i]) * t[j]!r}*{cubes[j]}" for j in range(1, i + 1)]
        right = [f"{h / 2 * t[i] * (1 - t[j])!r}*{cubes[j]}" for j in range(i + 1, inner + 1)]
        rows.append(" + ".join([f"x{i + 1}", *left, *right]))
    rows.append(f"x{inner + 2}")
    return _equations("INTEQNE", rows, [s * (s - 1) for s in t[:-1]] + [0.0], 2)


def _boundary_value(n: int = 10) -> Formula:
    """MOREBVNE: the discretized boundary value problem."""
    h = 1 / (n + 1)
    t = [i * h for i in range(1, n + 1)]
    rows = []
    for i in range(1, n + 1):
        left = f" - x{i - 1}" if i > 1 else ""
        right = f" - x{i + 1}" if i < n else ""
        rows.append(f"2*x{i}{left}{right} + {h * h / 2!r}*(x{i} + {t[i - 1] + 1!r})**3")
    return _equations("MOREBVNE", rows, [s * (s - 1) for s in t], 2)


def _trigonometric(n: int = 10) -> Formula:
    """TRIGON1NE: a sum of cosines in each equation."""
    total = " + ".join(f"cos(x{j})" for j in range(1, n + 1))
    rows = [f"{total} + {i}*(cos(x{i}) + sin(x{i})) - {n + i}" for i in range(1, n + 1)]
    return _equations("TRIGON1NE", rows, [0.1] * n, 4)


@dataclass(frozen=True)
class Mancino:
    """MANCINONE: ``βn x_i - (i - n/2)³ + Σ_{j≠i} φ(x_j, i/j) = 0`` in many variables, each coupled to all others.

    ``φ(x, r) = v (sin⁵ log v + cos⁵ log v)`` with ``v² = x² + r``; the start is the published one.

    Attributes:
        n: variables and equations.

    Example:
        >>> problem = Mancino(20).problem()
        >>> step = np.linalg.solve(problem.jac(problem.x0), problem.cons(problem.x0))
        >>> float(np.linalg.norm(problem.cons(problem.x0 - step)) / np.linalg.norm(problem.cons(problem.x0))) < 0.05
        True
    """

    n: int = 50
    name: str = "MANCINONE"
    f_star: float | None = None
    recorded: int | None = 4
    equations_only: bool = True

    def problem(self) -> EqualityProblem:
        """The problem with hand-made derivatives; the multipliers start at zero."""
        n, index = self.n, np.arange(1, self.n + 1.0)
        slope, offset = 14.0 * n, (index - n / 2) ** 3
        ratio = index[:, None] / index
        others = 1 - np.eye(n)
        start = _coupling(np.zeros(n), ratio)[0] * others
        x0 = -slope / (slope**2 - 36 * (n - 1) ** 2) * (start.sum(1) + offset)

        def cons(x: Array) -> Array:
            return slope * x - offset + (_coupling(x, ratio)[0] * others).sum(1)

        def jac(x: Array) -> Array:
            return slope * np.eye(n) + _coupling(x, ratio)[1] * others

        def hess(x: Array, lam: Array) -> Array:
            return np.diag(lam @ (_coupling(x, ratio)[2] * others))

        return EqualityProblem(
            fun=lambda x: 0.0, grad=lambda x: np.zeros(n), cons=cons, jac=jac, hess=hess,
            x0=x0, lam0=np.zeros(n), name=self.name, f_star=None,
        )  # fmt: skip


def _coupling(x: Array, ratio: Array) -> tuple[Array, Array, Array]:
    """``φ(x_j, i/j)`` and its first two derivatives in ``x_j``, each of shape ``(n, n)``."""
    v = np.sqrt(x * x + ratio)
    s, c = np.sin(np.log(v)), np.cos(np.log(v))
    # p and its derivatives in log v
    p = s**5 + c**5
    p1 = 5 * (s**4 * c - c**4 * s)
    p2 = 5 * (4 * s**3 * c**2 - s**5 + 4 * c**3 * s**2 - c**5)
    return v * p, x / v * (p + p1), (p + p1) / v + x * x / v**3 * (p2 - p)


FORMULAS: tuple[Formula | Mancino, ...] = (
    _equations("BOOTH", ("x1 + 2*x2 - 7", "2*x1 + x2 - 5"), (0.0, 0.0), 1),
    _equations("GOTTFR", ("x1 - 0.1136*(x1 + 3*x2)*(1 - x1)", "x2 + 7.5*(2*x1 - x2)*(1 - x2)"), (0.5, 0.5)),
    _integral_equation(),
    _equations("HIMMELBA", ("4*x1 - 20", "x2 - 6"), (8.0, 9.0), 1),
    _equations("SINVALNE", ("10*(x2 - sin(x1))", "x1/2"), (4.712389, -1.0), 16),
    _equations("WAYSEA1NE", ("x1**6 + x2**4 - 17", "2*x1 + x2 - 4"), (1.0, 5.0), 7),
    _equations("RSNBRNE", ("10*(x2 - x1**2)", "x1 - 1"), (-1.2, 1.0), 11),
    _equations("CUBENE", ("x1 - 1", "10*(x2 - x1**3)"), (-1.2, 1.0), 4),
    _equations("ZANGWIL3", ("x1 - x2 + x3", "-x1 + x2 + x3", "x1 + x2 - x3"), (100.0, -1.0, 2.5), 1),
    _trigonometric(),
    _equations(
        "HELIXNE", ("10*(x3 - 10*atan2(x2, x1)/(2*pi))", "10*(sqrt(x1**2 + x2**2) - 1)", "x3"), (-1.0, 0.0, 0.0), 8
    ),
    _equations("HIMMELBE", ("(x1 + x2)**2/4 - x3", "1 - x1", "1 - x2"), (-1.2, 2.0, 0.0), 2),
    _boundary_value(),
    _equations("WAYSEA2NE", ("-4*x1**2 - 4*x2**2 + 2.5*x1 + 13*x2 - 9.340125", "x2 - 1"), (1.0, 5.0), 10),
    _equations("DENSCHNCNE", ("x1**2 + x2**2 - 2", "exp(x1 - 1) + x2**3 - 2"), (2.0, 3.0), 7),
    _equations("DENSCHNFNE", ("2*(x1 + x2)**2 + (x1 - x2)**2 - 8", "5*x1**2 + (x2 - 3)**2 - 9"), (2.0, 0.0), 4),
    _equations("HIMMELBC", ("x1**2 + x2 - 11", "x1 + x2**2 - 7"), (1.0, 1.0), 5),
    _equations("PRICE4NE", ("2*x1**3*x2 - x2**3", "6*x1 - x2**2 + x2"), (1.0, 5.0)),
    # in 50 variables the record's count comes out, in 10 to 30 one less; SLSQP's cost grows with the cube of n
    Mancino(),
)
