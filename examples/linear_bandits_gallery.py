"""When a linear model's best action can be trusted: errors aimed at least squares, and searches that use sparsity.

    python examples/linear_bandits_gallery.py linear_bandits.png

Rewards are linear in 2 of many features up to an error of eps. Left: what least squares on a G-optimal design predicts
for 4000 actions, against their rewards, when the errors are aimed at it: the action that it prefers has a reward below
zero. A search over sparse parameters queries the best action itself. Right: what they lose as
the number of features grows, means of 20 bandits. The action that errors are aimed at is overrated by about √d eps
(dashed); once that is more than the best action has, least squares falls for it. Below: the action that a search would
return against the queries made, mean of 20 bandits of 60 features, thin once the search has ended; and queries until
the needle of a packing instance is found, one action of many that differ little in their features.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.core import catalog
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.online.linear_bandits import SparseSearch, aimed_bandit, sparse_regression_search
from optimand.online.linear_bandits import methods as _methods  # registers them
from optimand.online.linear_bandits.design import g_optimal_design, least_squares
from optimand.online.linear_bandits.generators import aimed_errors, gaussian_actions
from optimand.online.linear_bandits.problems import aimed_actions
from optimand.papers.sparse_misspecified_bandits.experiments import (
    bandits_on,
    least_squares_on_design,
    lost_by,
    needles_in_random_order,
)

COLORS = {
    "least squares, G-optimal": "#d1495b", "OMP": "#edae49", "sparse net": "#00798c", "elimination": "#5b4b8a",
    "random": "#9aa5b1",
}  # fmt: skip
EPS = 0.1
assert _methods


def predictions(axis: Any) -> None:
    """Predicted against true rewards on one aimed bandit."""
    bandit = aimed_bandit(seed=0)
    truth, Phi = bandit.oracle(), bandit.Phi
    design = g_optimal_design(Phi)
    predicted = Phi @ least_squares(Phi[design.support], design.weights, truth.rewards[design.support])
    net = SparseSearch(Phi, 2, EPS, method="net")(bandit.query)
    chosen = int(predicted.argmax())
    axis.plot([-0.6, 0.8], [-0.6, 0.8], color="#30343f", lw=0.8)
    axis.annotate("predicted as it is", (-0.52, -0.52), (6, -4), textcoords="offset points", fontsize=9, va="top")
    axis.plot(truth.rewards, predicted, ".", color="#b8c4ce", ms=3, label="other actions")
    axis.plot(
        truth.rewards[design.support],
        predicted[design.support],
        ".",
        color="#7aa6c2",
        ms=4,
        label="queried by least squares",
    )
    axis.plot(truth.rewards[chosen], predicted[chosen], "o", color=COLORS["least squares, G-optimal"], ms=9,
              label=f"choice of least squares: {truth.suboptimality(chosen):.1f} eps below the best")  # fmt: skip
    axis.plot(truth.rewards[net.x], predicted[net.x], "*", color=COLORS["sparse net"], ms=15,
              label=f"choice of the sparse net: {truth.suboptimality(net.x):.1f} eps")  # fmt: skip
    axis.set(xlabel="reward", ylabel="reward predicted by least squares",
             title="4000 actions, 60 features: errors aimed at least squares")  # fmt: skip
    axis.set_ylim(-0.68, 1.0)
    axis.legend(loc="upper left", fontsize=9, frameon=False)


def growth(axis: Any) -> None:
    """Mean suboptimality against the number of features."""
    sizes = (5, 10, 20, 40, 60, 80)
    lost: dict[str, list[float]] = {name: [] for name in list(COLORS)[:4]}
    overrated = []
    for d in sizes:
        Phi = gaussian_actions(4000, d, d, norm=0.9)
        bandits = bandits_on(Phi, 2, EPS, aimed_errors(Phi, EPS), 20)
        net, adaptive = SparseSearch(Phi, 2, EPS, method="net"), SparseSearch(Phi, 2, EPS)
        searches = (
            least_squares_on_design(Phi),
            lambda b: sparse_regression_search(b.query, b.Phi, 2, EPS),
            lambda b: net(b.query),  # noqa: B023
            lambda b: adaptive(b.query),  # noqa: B023
        )
        for name, (values, _) in lost_by(dict(zip(lost, searches, strict=True)), bandits).items():
            lost[name].append(float(values.mean()))
        design = g_optimal_design(Phi)
        rows, gaps = Phi[design.support], []
        for truth in (bandit.oracle() for bandit in bandits):
            a0 = np.abs(Phi @ truth.theta).argmin()
            fitted = least_squares(rows, design.weights, truth.rewards[design.support])
            gaps.append((Phi[a0] @ fitted - truth.rewards[a0]) / EPS)
        overrated.append(float(np.mean(gaps)))
    for name, values in lost.items():
        axis.plot(sizes, values, "o-", color=COLORS[name], label=name)
    axis.plot(sizes, overrated, "--", color=COLORS["least squares, G-optimal"], lw=0.9,
              label="overrating of the aimed action")  # fmt: skip
    axis.set(xlabel="features d (two matter)", ylabel="suboptimality / eps",
             title="the same with more features: what each search loses")  # fmt: skip
    axis.set_ylim(0)
    axis.legend(fontsize=9, frameon=False)


def against_queries(axis: Any) -> None:
    """The family's curves on aimed actions."""
    problem = aimed_actions()
    names = ("g-optimal", "omp", "sparse-net", "sparse-eliminate", "random-queries")
    for name, (label, color) in zip(names, COLORS.items(), strict=True):
        recorder = Recorder(problem.budget)
        problem.run(catalog._methods[name], {}, seed=SeedTree(0), budget=problem.budget, recorder=recorder)
        rows = [(r.at, r.value) for r in recorder.records if (r.split, r.metric) == ("test", "suboptimality")]
        ended = max(1.0, min(recorder.costs["queries"], problem.budget))
        at, values = np.array(rows).T
        axis.semilogx(at, values, color=color, lw=0.9, alpha=0.5)
        axis.semilogx(at[at <= ended * 1.2], values[at <= ended * 1.2], color=color, lw=2.2, label=label)
    axis.plot([], [], color="#30343f", lw=0.9, alpha=0.5, label="thin: the search has ended")
    axis.set(xlabel="queries", ylabel="suboptimality / eps", ylim=0,
             title="the action that each search would return after so many queries")  # fmt: skip
    axis.legend(fontsize=9, frameon=False)


def needles(axis: Any) -> None:
    """Queries to a needle: half of the actions, and their number grows fast."""
    for q, s, k in ((5, 4, 2), (7, 5, 2), (7, 6, 3), (11, 9, 3), (11, 9, 4)):
        mean, d = needles_in_random_order(q, s, k, 100).mean(), s * q
        axis.loglog(d, mean, "o", color="#00798c", ms=8)
        axis.annotate(f"s={s}, k={k}: {q**k} actions", (d * 1.08, mean), fontsize=9, va="center")
    axis.loglog([15, 300], [15, 300], "--", color="#30343f", lw=0.9)
    place = {"xytext": (-4, -24), "textcoords": "offset points", "va": "top", "ha": "center"}
    axis.annotate("as many queries as features", (300, 300), fontsize=9, **place)
    axis.set(xlabel="features", ylabel="mean queries", title="queries until the one good action of a packing is found",
             xlim=(15, 420), ylim=(6, 2e4), xticks=[20, 50, 100, 200, 400],
             xticklabels=["20", "50", "100", "200", "400"])  # fmt: skip
    axis.minorticks_off()


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplot_mosaic([["a", "b"], ["c", "d"]], figsize=(12.5, 9.2), layout="constrained")
    predictions(axes["a"])
    growth(axes["b"])
    against_queries(axes["c"])
    needles(axes["d"])
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/linear_bandits_gallery.py OUTPUT.png")
    main(sys.argv[1])
