"""The choice of kappa is the choice of the constraint: twelve ways to minimize the same function.

    python examples/constrained_by_kappa.py constrained_by_kappa.png

Lion-K with weight decay 1 minimizes f(x) + K*(x). Each panel shows the level lines of f, the set that one kappa
constrains x to (shaded), and the paths of Lion-K from four starts outside the set: first every path runs to the set
at the rate of the weight decay, whatever the gradients are (phase 1), then it minimizes f within the set (phase 2).
The cross is the unconstrained minimum, the dot the constrained one. Boxes, balls, sparse and smooth constraints come
from the same five lines of code, with no projection in them.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from optimand.optim.kappa import Kappa, get_kappa
from optimand.optim.lion_k import lion_k_update

PANELS: list[tuple[str, str, dict[str, Any]]] = [
    ("l1: the box (Lion)", "l1", {}),
    ("l2: the disk", "l2", {}),
    ("l∞: the diamond", "linf", {}),
    ("lp, p = 4/3: an l4 ball", "lp", {"p": 4 / 3}),
    ("lp, p = 3: an l1.5 ball", "lp", {"p": 3.0}),
    ("l1 + l2: a rounded box", "sum", {"kappas": ["l1", "l2"]}),
    ("dead zone: box and sparsity", "dead_zone", {"e": 1.0}),
    ("Huber: box and ridge", "huber", {"e": 1.5}),
    ("relativistic: a smooth barrier", "relativistic", {"e": 1.0}),
    ("log-cosh: an entropy barrier", "log_cosh", {"a": 0.7}),
    ("softmax: the simplex", "softmax", {}),
    ("l1 + quadratic: a soft box", "sum", {"kappas": ["l1", "quadratic"]}),
]
STARTS = [(-2.6, 2.4), (2.5, -2.5), (-2.4, -2.2), (0.4, 2.7)]
HESSIAN = torch.tensor([[1.0, 0.45], [0.45, 0.7]], dtype=torch.float64)
MINIMUM = torch.tensor([2.2, 0.9], dtype=torch.float64)


def path(kappa: Kappa, start: tuple[float, float], steps: int = 1500) -> np.ndarray:
    """Iterates of Lion-K on f(x) = ½ (x - b)' A (x - b), shape (steps + 1, 2)."""
    x, m = torch.tensor(start, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    points = [x]
    for t in range(steps):
        grad = HESSIAN @ (x - MINIMUM)
        x, m = lion_k_update(x, m, grad, kappa.grad, lr=0.02 * (1 - t / steps), weight_decay=1.0)
        points.append(x)
    return torch.stack(points).numpy()


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.family": "sans-serif", "font.size": 11})
    figure, axes = plt.subplots(3, 4, figsize=(14, 11), facecolor="white")
    ticks = np.linspace(-3.1, 3.1, 260)
    grid = np.stack(np.meshgrid(ticks, ticks), -1)
    offset = grid - MINIMUM.numpy()
    levels = 0.5 * np.einsum("...i,ij,...j", offset, HESSIAN.numpy(), offset)
    colors = ["#d1495b", "#edae49", "#00798c", "#5b4b8a"]
    for axis, (title, name, kwargs) in zip(axes.flat, PANELS, strict=True):
        kappa = get_kappa(name, **kwargs)
        axis.contour(ticks, ticks, np.sqrt(levels), levels=9, colors="#b8c4ce", linewidths=0.7)
        shade(axis, kappa, ticks)
        for start, color in zip(STARTS, colors, strict=True):
            points = path(kappa, start)
            axis.plot(points[:, 0], points[:, 1], color=color, linewidth=1.7, solid_capstyle="round")
            axis.plot(*points[0], "o", color=color, markersize=5)
        axis.plot(*MINIMUM.numpy(), "x", color="#30343f", markersize=8, markeredgewidth=2)
        axis.plot(*points[-1], "o", color="#30343f", markersize=7, zorder=5)
        axis.set_title(title, fontsize=12, color="#30343f", pad=7)
        axis.set_xlim(-3.1, 3.1)
        axis.set_ylim(-3.1, 3.1)
        axis.set_aspect("equal")
        axis.set_xticks([-1, 0, 1])
        axis.set_yticks([-1, 0, 1])
        axis.tick_params(length=0, labelsize=8, labelcolor="#8a949e")
        axis.spines[:].set_visible(False)
    figure.suptitle("Lion-K: the choice of K is the choice of the constraint", fontsize=18, color="#30343f", y=0.985)
    figure.text(
        0.5, 0.945, "× minimum of f     ● minimum that Lion-K finds     shaded: the constraint set, weight decay 1",
        ha="center", fontsize=11, color="#606b76",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, 0.965))
    figure.savefig(target, dpi=110)
    plt.close(figure)


def shade(axis: Any, kappa: Kappa, ticks: np.ndarray) -> None:
    """Shade the constraint set and draw the level lines of the penalty where K* is not constant."""
    if kappa.bounded:
        # The projections of far points run along the whole boundary.
        angles = np.linspace(0, 2 * np.pi, 361)
        far = 50 * np.stack([np.cos(angles), np.sin(angles)], 1)
        edge = np.array([kappa.project(torch.from_numpy(point)).numpy() for point in far])
        width = 5 if kappa.name == "softmax" else 1.6  # a segment has no area to shade
        axis.fill(edge[:, 0], edge[:, 1], facecolor="#cfe3ef", edgecolor="#7aa6c2", linewidth=width)
    if kappa.elementwise and not kappa.is_norm:
        line = np.array([float(kappa.conj(torch.tensor([a]), tol=0.0)) for a in ticks])
        penalty = np.where(np.isfinite(line), line, np.nan)[:, None] + np.where(np.isfinite(line), line, np.nan)
        axis.contour(ticks, ticks, penalty, levels=7, colors="#7aa6c2", linewidths=0.9, linestyles="solid")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/constrained_by_kappa.py OUTPUT.png")
    main(sys.argv[1])
