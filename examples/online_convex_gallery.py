"""Online convex optimization in pictures: three worlds between random and adversarial, paths, and a real series.

    python examples/online_convex_gallery.py online_convex.png

Above: regret over time where losses are random without noise, where their mean alternates, and where it jumps between
segments (dynamic regret there, noise or none). A learner that adapts has constant regret where nothing varies. Below:
how learners follow a mean that turns and jumps in the plane, and, where ``OPTIMAND_DATA`` holds the file, the total
loss on the sulfur recovery series relative to the best fixed model (else random order regression).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.convex import OGD, AdaGradNorm, Ball, DynamicOMD, OptimisticFTRL, OptimisticOMD, SEAEnvironment
from optimand.online.convex.datasets import diabetes, sulfur_recovery
from optimand.online.convex.streams import StreamEnvironment
from optimand.online.engine import Draws, simulate

LEARNERS: dict[str, Any] = {
    "OGD": OGD(), "AdaGrad-norm": AdaGradNorm(), "OFTRL": OptimisticFTRL(), "optimistic OMD": OptimisticOMD(),
    "dynamic OMD": DynamicOMD(),
}  # fmt: skip
COLORS = dict(zip(LEARNERS, ("#b08968", "#edae49", "#7aa6c2", "#d1495b", "#00798c"), strict=True))


def curves(axis: Any, env: Any, title: str, comparator: str = "fixed", horizon: int = 4000) -> None:
    """Mean regret with bands; ``dynamic`` regret is that to the best point of each round."""
    found = simulate(LEARNERS, env, horizon, reps=40, comparator=comparator, points=120)
    for name, color in COLORS.items():
        axis.plot(found.times, found.mean(name), color=color, lw=2, label=name)
        axis.fill_between(found.times, *found.band(name), color=color, alpha=0.2, lw=0)
    label = "regret to the best point of each round" if comparator == "dynamic" else "regret to the best fixed point"
    axis.set(title=title, xlabel="rounds", ylabel=label, xscale="log", yscale="log", ylim=(0.04, None))


def paths(axis: Any, env: SEAEnvironment, names: tuple[str, ...], title: str, rounds: int) -> None:
    """Points that are played, in the plane, with the means they follow."""
    angle = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(angle), np.sin(angle), color="#c9d3db", lw=1)
    for name in names:
        learner = LEARNERS[name]
        env.reset(Draws(SeedTree(5), [0]), rounds)
        learner.reset(env.spec(), Draws(SeedTree(5), [0]))
        points, means = [], []
        for _ in range(rounds):
            x = learner.act(None)
            learner.update(env.step(x))
            points.append(x[0])
            means.append(env._means[env._at - 1, 0])
        points, means = np.array(points), np.array(means)
        axis.plot(points[:, 0], points[:, 1], color=COLORS[name], lw=1.1, alpha=0.85, label=name)
    style = {"color": "#30343f", "zorder": 5}
    axis.plot(means[:, 0], means[:, 1], ":", lw=1.4, label="the mean", **style)
    axis.plot(*means[0], "o", ms=5, label="where it starts", **style)
    axis.set(title=title, xlabel="first coordinate", ylabel="second coordinate", xlim=(-1.05, 1.05),
             ylim=(-1.05, 1.05), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])  # fmt: skip
    axis.annotate("domain", (0.72, -0.72), (4, -4), textcoords="offset points", fontsize=9, color="#7b8790", va="top")
    axis.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)


def series(axis: Any) -> None:
    """Total loss less that of the best fixed model so far."""
    try:
        env = StreamEnvironment(*sulfur_recovery())
        rounds, title = 10_081, "sulfur recovery, in time order"
    except OptimandError:
        env = StreamEnvironment(*diabetes(), order="reshuffled", domain=Ball(3.0))
        rounds, title = 1326, "diabetes in random order, 3 passes"
    found = simulate(LEARNERS, env, rounds, reps=1 if rounds > 10_000 else 10, points=120)
    for name, color in COLORS.items():
        axis.plot(found.times, found.mean(name), color=color, lw=2, label=name)
    axis.axhline(0, color="#30343f", lw=0.8)
    axis.set(title=title, xlabel="rounds", ylabel="regret to the best fixed model")
    axis.legend(fontsize=9, frameon=False)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 3, figsize=(14, 8.6), layout="constrained")
    curves(axes[0, 0], SEAEnvironment("iid", sigma=0.0), "one mean, no noise")
    curves(axes[0, 1], SEAEnvironment("iid", sigma=0.5), "one mean, noise 0.5")
    jumps = SEAEnvironment("segments", segments=40, sigma=0.1)
    curves(axes[0, 2], jumps, "a mean that jumps 39 times, noise 0.1", "dynamic")
    for axis in axes[0]:
        axis.legend(fontsize=9, frameon=False)
    turning = SEAEnvironment("drift", d=2, sigma=0.15, turns=1.0, size=0.6)
    paths(axes[1, 0], turning, ("OGD", "AdaGrad-norm", "dynamic OMD"), "a mean that turns once in 600 rounds", 600)
    jumping = SEAEnvironment("segments", d=2, sigma=0.1, segments=6, size=0.6)
    paths(axes[1, 1], jumping, ("optimistic OMD", "OGD"), "a mean that jumps every 100 rounds", 600)
    series(axes[1, 2])
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/online_convex_gallery.py OUTPUT.png")
    main(sys.argv[1])
