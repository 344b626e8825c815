"""Finding wrong labels by a bilevel problem, and how the penalty function approaches what it stands for.

    python examples/bilevel_gallery.py bilevel_gallery.png

Of 800 training labels of handwritten digits 45 % are wrong. The upper level learns a weight for every example so that
the model trained on the weighted examples does well on 200 clean ones. Left: the examples with the least weight, those
at zero by their loss, with the labels that they carry (green: the label is wrong indeed). Top right: test accuracy and
the area under the curve of the weights (0.5 for a guess; the axes begin at 0.80 and 0.90) along the way, for exact
gradients and for batches of 64 with momentum. Below: the penalty function of two small problems for falling sigma. It
rises to the hyper-objective (black); on the second one the lower solution jumps at x = 0, and the slope next to the
jump grows like 1/sigma, which the diagnostics report.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.core.projections import Box
from optimand.numerical.bilevel import DoubleLoop, SingleLoop, index_sampler
from optimand.numerical.bilevel.cleaning import HyperCleaning, accuracy, area_under_curve, digits_data, softmax_stack

GREEN, RED, BLUE, INK, SOFT = "#2a9d8f", "#d1495b", "#00798c", "#30343f", "#8a949e"
SHADES = ["#cfe3ef", "#9cc5dc", "#5f9fc2", "#2f6f96"]


def learn(data: Any) -> dict[str, tuple[Any, list[tuple[float, float, float]]]]:
    """The solvers at the end, and gradient calls, accuracy and area under the curve along the way."""
    start = (np.full(800, 0.5), np.zeros((10, 65)), Box(0.0, 1.0))
    double = DoubleLoop(HyperCleaning(data), *start, sigma=0.1, alpha=20.0, inner_steps=20)
    storm = SingleLoop(
        HyperCleaning(data), *start, sigma=0.3, alpha=5.0, gamma=0.5, sample=index_sampler(200, 800, 64), rng=0
    )
    found = {}
    for name, solver, chunk, budget in (("exact gradients", double, 2, 18_000), ("batches of 64", storm, 80, 9_000)):
        rows = []
        while solver.oracle.counter.total < budget:
            for _ in range(chunk):
                solver.step()
            auc = area_under_curve(solver.x, ~data.corrupt)
            rows.append((solver.oracle.counter.total, accuracy(solver.z, data.test_x, data.test_t), auc))
        found[name] = (solver, rows)
    return found


def suspects(figure: Any, place: Any, data: Any, weights: Any, model: Any) -> None:
    """The examples with the least weight; among those at zero, the ones with the largest loss."""
    grid = place.subgridspec(7, 7, hspace=0.45, wspace=0.12)
    loss = softmax_stack(model[None], data.train_x.T, data.train_t)[1][0]
    order = np.lexsort((-loss, weights))[:49]
    for cell, i in enumerate(order):
        axis = figure.add_subplot(grid[cell // 7, cell % 7])
        axis.imshow(data.train_x[i, :64].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        color = GREEN if data.corrupt[i] else RED
        axis.set_title(f"“{data.train_t[i]}”", fontsize=10, color=color, pad=2, fontweight="bold")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_color(color)
    right = int(data.corrupt[order].sum())
    text = f"Least weight of 800 examples, with their labels: {right} of 49 are wrong"
    figure.text(0.045, 0.955, text, fontsize=13, color=INK)


def landscapes(axes: Any) -> None:
    """psi_sigma in closed form: many lower solutions, and a lower solution that jumps."""
    x = np.linspace(-1.0, 1.0, 801)
    for shade, sigma in zip(SHADES, (1.0, 0.4, 0.15, 0.05), strict=True):
        axes[0].plot(3 * x, (3 * x + 1) ** 2 / (2 * (2 + sigma * 4)), color=shade, lw=1.8, label=f"σ = {4 * sigma:g}")
        near = np.abs(x) <= 2 * sigma
        value = np.where(near, x**2 + np.abs(x) / sigma - x**2 / (4 * sigma**2), x**2 + 1)
        axes[1].plot(x, value, color=shade, lw=1.8, label=f"σ = {sigma:g}")
    axes[0].plot(3 * x, (3 * x + 1) ** 2 / 4, color=INK, lw=1.4, ls="--", label="limit ψ")
    axes[1].plot(x, x**2 + 1, color=INK, lw=1.4, ls="--", label="limit ψ")
    axes[1].plot(0, 0, "o", color=INK, ms=5)
    for axis, title in zip(axes, ("$ψ_σ$, many lower solutions", "$ψ_σ$, the lower solution jumps at 0"), strict=True):
        axis.set_title(title, fontsize=11, color=INK, loc="left")
        axis.set_xlabel("x", color=SOFT)
        axis.legend(frameon=False, fontsize=8, loc="upper center")


def main(target: str) -> None:
    """Draw the picture into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    data = digits_data()
    found = learn(data)
    figure = plt.figure(figsize=(14, 8.2), facecolor="white")
    outer = figure.add_gridspec(1, 2, width_ratios=(1, 1.12), left=0.04, right=0.98, bottom=0.08, top=0.9, wspace=0.12)
    solver = found["exact gradients"][0]
    suspects(figure, outer[0], data, solver.x, solver.z)
    right = outer[1].subgridspec(2, 2, hspace=0.42, wspace=0.26)
    titles = ("Test accuracy of the model, from 0.80", "Wrong labels found: AUC, from 0.90")
    for column, title in enumerate(titles):
        axis = figure.add_subplot(right[0, column])
        for (name, (_, rows)), color in zip(found.items(), (BLUE, RED), strict=True):
            calls, *values = zip(*rows, strict=True)
            axis.plot(calls, values[column], color=color, lw=1.8, label=name)
        if column == 0:
            plain = HyperCleaning(data).newton(np.ones(800), np.zeros((10, 65)), 0.0)
            no_cleaning = accuracy(plain, data.test_x, data.test_t)
            axis.axhline(no_cleaning, color=SOFT, lw=1.4, ls=":", label="no cleaning")
        axis.set_title(title, fontsize=11, color=INK, loc="left")
        axis.set_xlabel("gradients of f or g on all data", color=SOFT)
        axis.set_xscale("log")
        axis.set_ylim((0.80, 0.97) if column == 0 else (0.9, 1.0))
        axis.legend(frameon=False, fontsize=9, loc="lower right")
    landscapes([figure.add_subplot(right[1, column]) for column in (0, 1)])
    for axis in figure.axes[49:]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, labelcolor=SOFT)
    figure.savefig(target, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/bilevel_gallery.py OUTPUT.png")
    main(sys.argv[1])
