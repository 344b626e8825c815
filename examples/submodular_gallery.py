"""A window that slides: value of five ways to keep a solution, what they ask for it, and the images that stand for all.

    python examples/submodular_gallery.py submodular.png

Left: nodes of a generated graph come and go in random order, then leave from the best to the worst; value of the
solution over that of lazy greedy, and the questions asked so far. Right: ten images of digits that 1797 are most like,
and ten that differ most from one another.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np

from optimand.combinatorial.submodular import (
    DynamicSubmodular,
    LogDet,
    SieveStreaming,
    SubmodularSelection,
    lazy_greedy,
    maximize_submodular,
    similarity,
)
from optimand.combinatorial.submodular.instances.graphs import graph_coverage
from optimand.combinatorial.submodular.instances.streams import window
from optimand.combinatorial.submodular.instances.tables import table

COLORS = {
    "incremental": "#d1495b", "greedy": "#b8c4ce", "buckets": "#00798c", "permutation": "#5b4b8a", "sieve": "#edae49",
}  # fmt: skip
K, WIDTH, NODES, EVERY = 10, 400, 1500, 20


def changes() -> list[tuple[bool, int]]:
    """A window over all nodes, then what is left of it from the best node to the worst."""
    f = graph_coverage("generated", NODES)
    order = np.random.default_rng(0).permutation(NODES)
    steps = list(itertools.islice(window(order, WIDTH), 2 * NODES - WIDTH))
    live: dict[int, bool] = {}
    for new, i in steps:
        if new:
            live[i] = True
        else:
            del live[i]
    left = np.array(list(live))
    return steps + [(False, int(i)) for i in left[np.argsort(-f.gains(f.start(), left))][:-K]]


def follow(name: str, steps: list[tuple[bool, int]]) -> tuple[list[int], list[float], list[int]]:
    """Updates, ratios to lazy greedy and questions asked, at every twentieth update."""
    f, judge = graph_coverage("generated", NODES), graph_coverage("generated", NODES)
    keeper: Any = SieveStreaming(f, K) if name == "sieve" else DynamicSubmodular(f, K, engine=name)
    at, ratios, asked, live = [], [], [], set()
    for step, (new, i) in enumerate(steps, start=1):
        (keeper.insert if new else keeper.delete)(i)
        live ^= {i}
        chosen = keeper.solution
        if step % EVERY == 0:
            at.append(step)
            ratios.append(judge.value(chosen) / lazy_greedy(judge, sorted(live), K)[1].sum())
            asked.append(keeper.oracle_calls)
    return at, ratios, asked


def images(axes: Any, rows: np.ndarray, title: str) -> None:
    """Ten images in two rows."""
    apart = np.pad(rows.reshape(2, 5, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    sheet = apart.transpose(0, 2, 1, 3).reshape(20, 50)
    axes.imshow(sheet, cmap="gray_r")
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 6.2), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    quality, cost = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[1, :2])
    steps = changes()
    for name, color in COLORS.items():
        at, ratios, asked = follow(name, steps)
        quality.plot(at, ratios, color=color, label=name, lw=1.4)
        cost.plot(at, asked, color=color, lw=1.4)
        print(f"{name:12s} mean ratio {np.mean(ratios):.3f}, {asked[-1] / len(steps):.1f} questions per update")
    quality.set_ylabel("value / lazy greedy")
    quality.set_ylim(0, 1.05)
    quality.legend(ncols=5, fontsize=8, frameon=False, loc="lower left")
    cost.set_ylabel("questions asked")
    cost.set_yscale("log")
    cost.set_xlabel("updates; the last part drains the window of its best nodes")
    digits = table("digits")
    images(figure.add_subplot(grid[0, 2]), SubmodularSelection(10).fit_transform(digits), "stand for all")
    differ = maximize_submodular(LogDet(similarity(digits, "rbf"), 0.5), k=10).x
    images(figure.add_subplot(grid[1, 2]), digits[differ], "differ most")
    target = sys.argv[1] if len(sys.argv) > 1 else "submodular.png"
    figure.savefig(target, dpi=130)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
