"""Problems of Boggs and Tolle and three neighbours of theirs in CUTEst.

P. T. Boggs, J. W. Tolle, "A strategy for global convergence in a sequential quadratic programming algorithm", SIAM
J. Numer. Anal. 26 (1989), 600-623. BT9 is also problem 39 of Hock and Schittkowski; the sign of x2 in BT10's second
constraint is CUTEst's, without which the published solution is not feasible.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

from .formulas import Formula


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


FORMULAS = (
    Formula("BT1", "100*x1**2 + 100*x2**2 - x1 - 100", ("x1**2 + x2**2 - 1",), (0.08, 0.06), -1.0),
    Formula(
        "BT2",
        "(x1 - 1)**2 + (x1 - x2)**2 + (x2 - x3)**4",
        ("x1*(1 + x2**2) + x3**4 - 4 - 3*sqrt(2)",),
        (10.0,) * 3,
        0.032568200,
        12,
    ),
    Formula(
        "BT3",
        "(x1 - x2)**2 + (x2 + x3 - 2)**2 + (x4 - 1)**2 + (x5 - 1)**2",
        ("x1 + 3*x2", "x3 + x4 - 2*x5", "x2 - x5"),
        (20.0,) * 5,
        4.0930233,
        1,
    ),
    Formula(
        "BT5",
        "1000 - x1**2 - 2*x2**2 - x3**2 - x1*x2 - x1*x3",
        ("x1**2 + x2**2 + x3**2 - 25", "8*x1 + 14*x2 + 7*x3 - 56"),
        (2.0,) * 3,
        961.71517,
        5,
    ),
    Formula(
        "BT6",
        "(x1 - 1)**2 + (x1 - x2)**2 + (x3 - 1)**2 + (x4 - 1)**4 + (x5 - 1)**6",
        ("x1**2*x4 + sin(x4 - x5) - 2*sqrt(2)", "x2 + x3**4*x2**2 - 8 - sqrt(2)"),
        (2.0,) * 5,
        0.27704479,
        9,
    ),
    Formula("BT9", "-x1", ("x2 - x1**3 - x3**2", "x1**2 - x2 - x4**2"), (2.0,) * 4, -1.0, 12),
    Formula("BT10", "-x1", ("x2 - x1**3", "x1**2 - x2"), (2.0, 2.0), -1.0, 7),
    Formula(
        "BT11",
        "(x1 - 1)**2 + (x1 - x2)**2 + (x2 - x3)**2 + (x3 - x4)**4 + (x4 - x5)**4",
        ("x1 + x2**2 + x3**3 + 2 - 3*sqrt(2)", "x2 - x3**2 + x4 + 2 - 2*sqrt(2)", "x1 - x5 - 2"),
        (2.0,) * 5,
        0.8248918,
        7,
    ),
    Formula(
        "BT12",
        "0.01*x1**2 + x2**2",
        ("x1 + x2 - x3**2 - 25", "x1**2 + x2**2 - x4**2 - 25", "x1 - x5**2 - 2"),
        (15.811, 1.5811, 0.0, 15.083, 3.7164),
        6.1881188,
        5,
    ),
    # M. H. Wright, Ph.D. thesis, Stanford 1976, problem 4 from its start D
    Formula(
        "MWRIGHT",
        "x1**2 + (x1 - x2)**2 + (x2 - x3)**3 + (x3 - x4)**4 + (x4 - x5)**4",
        ("x1 + x2**2 + x3**2 - 2 - 3*sqrt(2)", "x2 - x3**2 + x4 + 2 - 2*sqrt(2)", "x1*x5 - 2"),
        (-1.0, 2.0, 1.0, -2.0, -2.0),
        24.97880951,
        6,
    ),
    _ellipsoid(),
)
