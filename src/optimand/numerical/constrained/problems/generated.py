"""Problems whose formulas are generated, and MANCINONE, whose derivatives are made by hand.

Systems of nonlinear equations have no objective: with λ = 0 their Newton step is Newton's method. Sources: J. J. Moré,
B. S. Garbow, K. E. Hillstrom, ACM Trans. Math. Software 7 (1981), 17-41 (MOREBVNE, INTEQNE); E. Spedicato, report
N-175, CISE Milano 1975 (MANCINONE). TRIGON1NE is a usual test of global optimization.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations_with_replacement

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


def _ellipsoid() -> Formula:
    """ORTHREGB: six points in space, and the quadric nearest to them (M. Gulliksson, UMINF-178.90, Umeå 1990)."""
    points = ((9.5, 9.5, 0.5), (6.5, -5.5, 0.5), (-8.5, -8.5, 0.5), (-5.5, 6.5, 0.5), (0.5, 0.5, 7.5), (0.5, 0.5, -6.5))
    # x1 … x6: the symmetric matrix, x7 … x9: the linear part, then the feet of the points
    feet = [[f"x{10 + 3 * k + i}" for i in range(3)] for k in range(6)]
    constraints = []
    for foot in feet:
        pairs = list(combinations_with_replacement(range(3), 2))
        square = [f"{1 if i == j else 2}*x{k + 1}*{foot[i]}*{foot[j]}" for k, (i, j) in enumerate(pairs)]
        constraints.append(" + ".join(square) + "".join(f" - 2*x{7 + i}*{foot[i]}" for i in range(3)) + " - 1")
    values = [value for point in points for value in point]
    distance = [f"(x{10 + k} - ({value}))**2" for k, value in enumerate(values)]
    start = (1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, *values)
    return Formula("ORTHREGB", " + ".join(distance), tuple(constraints), start, 0.0, 42)


GENERATED: tuple[Formula | Mancino, ...] = (
    _integral_equation(),
    _trigonometric(),
    _boundary_value(),
    # in 50 variables the record's count comes out, in 10 to 30 one less; SLSQP's cost grows with the cube of n
    Mancino(),
    _ellipsoid(),
)
