"""What surrogates promise and what is true: 128 designs of several methods, with and without IGNITE.

    python examples/offline_gallery.py offline.png

For every method the dots are the true scores of its designs, and the bar is the median of what the method itself
predicts for them: a bar above the dots is over-optimism. 1 is the best value in the data before the better part was
hidden; the line is the best offline design. Nothing but this package's dependencies is needed.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand import offline

TASKS = ("ehrlich", "synthetic:function=rosenbrock,dim=6")
METHODS: tuple[tuple[str, str, str | None], ...] = (
    ("best offline", "best-of-data", None),
    ("random", "random", None),
    ("ascent", "ga", None),
    ("ascent\n+ IGNITE", "ga", "adaptive"),
    ("evolution", "evolution", None),
    ("evolution\n+ IGNITE", "evolution", "adaptive"),
)
COLORS = ("#b8c4ce", "#b8c4ce", "#edae49", "#d1495b", "#7aa6c2", "#00798c")


def batches(task: offline.Task) -> list[tuple[np.ndarray, float]]:
    """True scores of every method's designs, and the median of its own predictions."""
    found = []
    for _, method, ignite in METHODS:
        hyper: dict[str, Any] = {} if method in ("best-of-data", "random") else {"width": 64, "epochs": 8}
        made = offline.optimize(task, method, ignite=ignite, seed=0, **hyper)
        promised = float(np.median(task.normalize(made.fun_pred)))
        found.append((task.normalize(task.evaluate(made.x)), promised))
    return found


def draw(axis: Any, task: offline.Task) -> None:
    """One task's panel."""
    rng = np.random.default_rng(0)
    for i, ((scores, promised), color) in enumerate(zip(batches(task), COLORS, strict=True)):
        axis.scatter(i + rng.uniform(-0.28, 0.28, len(scores)), scores, s=7, color=color, alpha=0.6, lw=0)
        axis.hlines(np.median(scores), i - 0.34, i + 0.34, color="#30343f", lw=2)
        if METHODS[i][1] not in ("best-of-data", "random"):
            axis.hlines(promised, i - 0.34, i + 0.34, color=color, lw=2, ls=(0, (2, 1)))
    axis.axhline(float(task.normalize(task.y.max())), color="#30343f", lw=0.7, ls=":")
    axis.set_xticks(range(len(METHODS)), [name for name, _, _ in METHODS], fontsize=8)
    axis.set(title=task.summary, ylabel="normalized score")


def main(path: str) -> None:
    """Draw the tasks below one another."""
    import matplotlib.pyplot as plt

    tasks = [offline.make(name) for name in TASKS]
    figure, axes = plt.subplots(len(tasks), 1, figsize=(8, 3.6 * len(tasks)), layout="constrained")
    for axis, task in zip(axes, tasks, strict=True):
        draw(axis, task)
    figure.suptitle("128 designs: dots true scores, solid their median, dashed what the method predicts", fontsize=10)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "offline.png")
