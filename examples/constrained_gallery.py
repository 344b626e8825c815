"""Minimizing on a curve: six problems with two variables and one equality, and the way to their solutions.

    python examples/constrained_gallery.py constrained_gallery.png

Each panel shows the level lines of the objective, the curve on which the constraint holds (thick), and the iterates of
AdaSketch-Newton with exact solves from four starts that violate it. The method does not follow the curve: it comes down
to it and along it at once, because one merit function, the exact augmented Lagrangian, weighs both. Black dots mark
where the runs end: stationary points of the objective on the curve; a cross marks a run that did not get there.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from optimand.numerical.constrained import solve_problem
from optimand.numerical.constrained.problems import Formula, entry

WAVE = Formula("a bowl on a wave", "(x1 - 1)**2/4 + (x2 + 1)**2", ("x2 - sin(2*x1)",), (1.0, 1.0))
BANANA = Formula("Rosenbrock on a circle", "(1 - x1)**2 + 5*(x2 - x1**2)**2", ("x1**2 + x2**2 - 4",), (1.0, 1.0))
CUBIC = Formula("a point's distance to a cubic", "(x1 + 0.2)**2 + (x2 - 1.2)**2", ("x2**2 - x1**3 + 2*x1",), (1.0, 1.0))
Box = tuple[float, float, float, float]
# the part of the plane that is shown, and the part at whose corners the runs start
PANELS: list[tuple[Formula, Box, Box]] = [
    (entry("HS6"), (-2.4, 2.4, -2.8, 4.2), (-1.7, 1.9, 0.1, 3.6)),
    (entry("HS7"), (-3.4, 3.4, -2.6, 5.5), (-2.2, 2.2, -2.0, 2.2)),
    (entry("HS9"), (-16.0, 26.0, -12.0, 32.0), (-9.0, 9.5, -8.0, 4.0)),
    (WAVE, (-3.4, 4.2, -3.2, 3.0), (-2.2, 3.0, -1.9, 2.4)),
    (BANANA, (-3.4, 3.4, -3.0, 3.6), (-2.5, 2.7, -2.2, 2.9)),
    (CUBIC, (-2.4, 3.2, -2.8, 2.8), (-1.9, 2.7, -2.2, 2.3)),
]
COLORS = ["#d1495b", "#edae49", "#00798c", "#5b4b8a"]


def path(formula: Formula, start: tuple[float, float]) -> tuple[np.ndarray, Any]:
    """Iterates, shape (iterations + 1, 2), and the result."""
    points = [np.array(start)]
    problem = replace(formula.problem(), x0=np.array(start))
    found = solve_problem(
        problem,
        sketch="exact",
        singular_tol=1e-8,
        accuracy="practical",
        maxiter=200,
        callback=lambda x: points.append(x),
    )
    return np.array(points), found


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.family": "sans-serif", "font.size": 11})
    figure, axes = plt.subplots(2, 3, figsize=(15, 10), facecolor="white")
    for axis, (formula, (left, right, low, high), corners) in zip(axes.flat, PANELS, strict=True):
        problem = formula.problem()
        xs, ys = np.linspace(left, right, 220), np.linspace(low, high, 220)
        values = np.array([[problem.fun(np.array([x, y])) for x in xs] for y in ys])
        curve = np.array([[problem.cons(np.array([x, y]))[0] for x in xs] for y in ys])
        axis.contourf(xs, ys, values, levels=24, cmap="Blues_r", alpha=0.45)
        axis.contour(xs, ys, values, levels=24, colors="#ffffff", linewidths=0.6)
        axis.contour(xs, ys, curve, levels=[0], colors="#30343f", linewidths=2.6)
        counts = []
        for (x, y), color in zip(product(corners[:2], corners[2:]), COLORS, strict=True):
            points, found = path(formula, (x, y))
            axis.plot(points[:, 0], points[:, 1], "-o", color=color, linewidth=1.7, markersize=3.5)
            axis.plot(*points[0], "o", color=color, markersize=9, markeredgecolor="white", zorder=5)
            end = "o" if found.success else "x"
            axis.plot(*points[-1], end, color="#30343f", markersize=9, markeredgewidth=2.2, zorder=6)
            counts.append(f"{found.nit}")
        axis.set_title(f"{formula.name}   ({', '.join(counts)} iterations)", fontsize=12, color="#30343f", pad=8)
        axis.set_xlim(left, right)
        axis.set_ylim(low, high)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    figure.suptitle("AdaSketch-Newton: to the constraint and along it at once", fontsize=18, color="#30343f", y=0.99)
    figure.text(
        0.5, 0.94, "curve: the constraint     shades: the objective, darker is smaller     large dots: starts     "
        "black dots: where the runs end",
        ha="center", fontsize=11, color="#606b76",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, 0.95), h_pad=2.0)
    figure.savefig(target, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/constrained_gallery.py OUTPUT.png")
    main(sys.argv[1])
