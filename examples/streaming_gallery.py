"""Streams of arms in pictures: a tower at work, regret over time, how much to explore, and what it saves.

    python examples/streaming_gallery.py streaming.png

Top left: 150 arms pass, each a dot at its mean. A line lasts as long as the arm is kept, coloured by the level of the
tower that it is on; of all arms three or four are alive at once, and the one that is kept in the end is near the best.
Top right: regret over trials in the same 200 streams, with bands of the mean. While a learner explores, regret grows in
proportion to time; after its commitment it nearly stands still. Bottom left: the lower bound's instance. The more is
explored, the more a last arm of mean 1 costs; the less, the more a missed arm costs where the last is 0. Bottom right:
mean regret over that of uniform exploration, up to the published experiment's size (K = 50 000, T = 1000 K^3).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.online import simulate
from optimand.online.streaming import (
    KingEpsBest,
    NaiveEpsBest,
    StreamingBandit,
    TowerEpsBest,
    UniformExplore,
    clear_cut,
    hard_instance,
    mix_in,
)

LEARNERS = {
    "uniform": UniformExplore(),
    "naive": NaiveEpsBest(),
    "tower, log": TowerEpsBest("log"),
    "tower, loglog": TowerEpsBest("loglog"),
    "tower, logstar": TowerEpsBest("logstar"),
    "king": KingEpsBest(),
}
COLORS = {
    "uniform": "#8d99a6", "naive": "#c9d1d8", "tower, log": "#edae49", "tower, loglog": "#d1495b",
    "tower, logstar": "#5b4b8a", "king": "#00798c",
}  # fmt: skip
LEVELS = ["#9fc5d8", "#3f88c5", "#d1495b", "#5b1f3a"]


class Watched:
    """An arm that notes at which arrivals it changed its level, and when it was let go."""

    def __init__(self, arm: Any, clock: list[int], arms: int) -> None:
        self.arm, self.clock, self.arms, self.spans = arm, clock, arms, [clock[0]]
        self.until: int | None = None

    def pull(self, n: int) -> float:
        if self.spans[-1] < self.clock[0] < self.arms:  # those of the play-off are no level
            self.spans.append(self.clock[0])
        return self.arm.pull(n)

    def release(self) -> None:
        self.until = self.clock[0]
        self.arm.release()


def tower_at_work(axis: Any) -> None:
    """Arms as dots, the life of those that are kept as lines."""
    K, T = 150, 1_500_000
    env = StreamingBandit(mix_in(K))
    stream, learner, clock, met = env.open(T, seed=4), TowerEpsBest("log"), [0], []
    learner.start(K, T)
    for arm in stream:
        met.append(Watched(arm, clock, K))
        learner.observe_arm(met[-1])
        clock[0] += 1
    chosen = learner.commit()
    means = stream._accounts.means[0]  # the learner cannot see them; a picture may
    axis.scatter(range(K), means, s=9, color="#30343f", alpha=0.55, linewidths=0, zorder=3)
    for number, arm in enumerate(met):
        ends = [*arm.spans[1:], K + 4 if arm.until is None else arm.until]
        for level, (start, end) in enumerate(zip(arm.spans, ends, strict=True)):
            axis.hlines(means[number], start, end, color=LEVELS[min(level, 3)], lw=1.6 + 0.9 * level)
    number = met.index(chosen)
    axis.plot(K + 4, means[number], "*", ms=15, color="#d1495b", mec="white", zorder=5, clip_on=False)
    axis.set(
        title=f"a tower of levels: {K} arms pass, {int(stream._account['peak'])} are kept at most", xlabel="arrival",
        ylabel="mean of the arm", xlim=(-2, K + 6), ylim=(-0.02, 1.03),
    )  # fmt: skip
    for level in range(3):
        axis.plot([], [], color=LEVELS[level], lw=1.6 + 0.9 * level, label=f"kept at level {level}")
    axis.plot([], [], "*", color="#d1495b", ms=11, label="committed to")
    axis.legend(loc="lower right", fontsize=8, framealpha=0.9, ncols=2)


def regret_over_time(axis: Any) -> None:
    """Mean regret with bands."""
    K, T = 500, 500**3
    curves = simulate(LEARNERS, StreamingBandit(mix_in(K)), T, reps=200)
    for name, color in COLORS.items():
        axis.loglog(curves.times, curves.mean(name), color=color, lw=2, label=name)
        axis.fill_between(curves.times, *curves.band(name), color=color, alpha=0.25, linewidth=0)
    axis.set(
        title="500 arms with uniform means: regret over trials", xlabel="trials", ylabel="regret", xlim=(1e5, T),
        ylim=(3e4, 1.2 * curves.mean("naive")[-1]),
    )  # fmt: skip
    axis.legend(loc="lower right", fontsize=8, frameon=False)


def how_much_to_explore(axis: Any) -> None:
    """The hard instance over amounts of exploration."""
    K, T = 200, 8_000_000
    factors = np.geomspace(1 / 100, 5, 23)
    made = {f"{factor}": TowerEpsBest("loglog", explore=float(factor)) for factor in factors}
    curves = simulate(made, StreamingBandit(hard_instance(K, last="alternate")), T, reps=600, points=2)
    regret = np.array([curves.at(name) for name in curves.names]) / (K ** (1 / 3) * T ** (2 / 3))
    halves = {"last arm 0": regret[:, 0::2].mean(1), "last arm 1": regret[:, 1::2].mean(1)}
    for (name, values), color in zip(halves.items(), ("#3f88c5", "#edae49"), strict=True):
        axis.plot(factors, values, color=color, lw=1.8, label=name)
    axis.plot(factors, sum(halves.values()) / 2, color="#d1495b", lw=2.8, label="mean of both")
    axis.axvline(1, color="#8d99a6", lw=1, ls=":")
    axis.set(
        title="the hard instance: no amount of exploration wins", xscale="log", xlabel="exploration (1: the paper's)",
        ylabel="regret / $K^{1/3}T^{2/3}$", ylim=(0, 1.6),
    )  # fmt: skip
    axis.legend(fontsize=8, frameon=False)


def what_it_saves(axis: Any) -> None:
    """Ratios to uniform exploration by size."""
    rows = [(K, K**3, reps) for K, reps in ((50, 400), (200, 200), (1000, 60), (5000, 20))] + [
        (50_000, 1000 * 50_000**3, 20)
    ]
    shown = ("tower, log", "tower, loglog", "tower, logstar", "king")
    marks = {"clear cut": (clear_cut, "o-"), "mix in": (mix_in, "s--")}
    for setting, (make, mark) in marks.items():
        ratios: dict[str, list[float]] = {name: [] for name in LEARNERS}
        for K, T, reps in rows:
            curves = simulate(LEARNERS, StreamingBandit(make(K)), T, reps=reps, points=2)
            for name in LEARNERS:
                ratios[name].append(curves.ratio_to("uniform", name).value)
        for name in shown:
            axis.semilogx([K for K, _, _ in rows], ratios[name], mark, color=COLORS[name], ms=5, lw=1.5, mfc="white")
        axis.plot([], [], mark, color="#30343f", ms=5, mfc="white", label=setting)
    for name in shown:
        axis.plot([], [], color=COLORS[name], lw=3, label=name)
    axis.axhline(0.3, color="#8d99a6", lw=1, ls=":")
    axis.text(50, 0.285, "70 % less", fontsize=8, color="#5c6670", va="top")
    axis.set(
        title="regret over that of uniform exploration", xlabel="arms", ylabel="ratio of mean regrets", ylim=(0.2, 0.85)
    )
    axis.legend(fontsize=8, frameon=False, ncols=3)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    tower_at_work(axes[0, 0])
    regret_over_time(axes[0, 1])
    how_much_to_explore(axes[1, 0])
    what_it_saves(axes[1, 1])
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/streaming_gallery.py OUTPUT.png")
    main(sys.argv[1])
