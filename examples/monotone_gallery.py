"""How methods for min-max problems move: three portraits in the plane, and a game of burglars and policemen.

    python examples/monotone_gallery.py monotone.png

On ``min_x max_y x y`` the gradients turn around the solution, so following them spirals outwards; extragradient spirals
in, anchored methods go in on an arc, and Halpern's iteration on the resolvent takes few steps, each the solution of a
regularized problem. With a little curvature, or with bounds, the picture changes. Below: the residual of six methods
on a matrix game of 300 houses, against the work in full evaluations of the operator, and the strategies found.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.core.projections import Box
from optimand.numerical.monotone import FiniteSumOperator, MatrixGame, make_method
from optimand.numerical.monotone.generators import payoff_matrix
from optimand.numerical.monotone.passes import on_game

COLORS = {"gradient steps": "#b8c4ce", "eg": "#edae49", "eag": "#00798c", "halpern": "#5b4b8a"}
STYLES = {"omwu": "#b8c4ce", "svrg-eg": "#7aa6c2", "vr-halpern-inexact": "#d1495b"}
PANELS = [
    ("bilinear: x y", 0.0, None),
    ("a little curvature: x y + 0.1 (x² - y²)", 0.2, None),
    ("bilinear, in a box", 0.0, Box(np.array([-0.3, -1.0]), np.array([1.2, 1.2]))),
]
START = np.array([1.0, 0.9])


def path(name: str, op: FiniteSumOperator, box: Any, steps: int = 60) -> np.ndarray:
    """Iterates from the start, shape (steps + 1, 2)."""
    points = [START]
    if name == "gradient steps":
        for _ in range(steps):
            u = points[-1] - 0.2 * op.value(points[-1])
            points.append(u if box is None else box(u))
        return np.array(points)
    solver = make_method(name, op, START, box, step=2.0 if name == "halpern" else 0.4)
    for _ in range(steps * (20 if name == "halpern" else 1)):
        solver.step()
        if getattr(solver, "k", steps) >= len(points):
            points.append(solver.u)
    return np.array(points)


def portraits(axes: Any) -> None:
    """The paths in the plane."""
    for axis, (title, curvature, box) in zip(axes, PANELS, strict=True):
        op = FiniteSumOperator.from_affine(np.array([[[curvature, 1.0], [-1.0, curvature]]]), np.zeros((1, 2)))
        if box is not None:
            axis.fill_between([box.low[0], box.high[0]], box.low[1], box.high[1], color="#e8f1f6", zorder=0)
        for name, color in COLORS.items():
            points = path(name, op, box)
            axis.plot(points[:, 0], points[:, 1], "o-", color=color, ms=2.6, lw=1.3, label=name)
        axis.plot(0, 0, "+", color="#30343f", ms=13, mew=2, zorder=5)
        axis.set(title=title, xlim=(-1.75, 1.75), ylim=(-1.75, 1.75), aspect="equal", xlabel="x: min", ylabel="y: max")
    axes[-1].legend(loc="lower left", fontsize=9, frameon=False)


def curves(axis: Any, A: np.ndarray) -> None:
    """Residuals on the game against passes."""
    for name, color in [*list(COLORS.items())[1:], *STYLES.items()]:
        solver, at, values = on_game(name, A, 0), [], []
        while solver.calls < 2000 * solver.op.full_cost:
            solver.step()
            if not at or solver.op.passes > 1.03 * at[-1]:
                at.append(solver.op.passes)
                values.append(solver.natural_residual())
        axis.loglog(at, values, color=color, lw=2.4 if name.startswith("vr") else 1.4, label=name)
    axis.set(title="300 × 300 game: natural residual against work", xlabel="passes (full evaluations of the operator)")
    axis.legend(loc="lower left", fontsize=9, frameon=False)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplot_mosaic([["a", "b", "c"], ["d", "d", "e"]], figsize=(13.5, 8.6), layout="constrained")
    portraits([axes[k] for k in "abc"])
    A = payoff_matrix("burglar", 300, 0)
    curves(axes["d"], A)
    found = MatrixGame(A).solve(tol=1e-3, rng=0)
    for label, height, color in (("burglar", found.y, "#d1495b"), ("policeman", -found.x, "#00798c")):
        axes["e"].vlines(range(300), 0, height, color=color, lw=2.2, label=label)
    axes["e"].set(title=f"strategies found, gap {found.gap:.0e}", xlabel="house", ylabel="probability (policeman down)")
    axes["e"].legend(loc="lower left", fontsize=9, frameon=False)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/monotone_gallery.py OUTPUT.png")
    main(sys.argv[1])
