"""What finite-armed bandits look like: regret, its spread, a swept parameter, late feedback, means that change.

    python examples/bandits_gallery.py bandits.png

Above: ten arms, regret of six learners with bands of the mean, the same after the last pull for every run, and regret
against UCB1's exploration, where the constant of the theory is far from the best. Below: which arm is pulled when means
are drawn anew five times, with and without fresh starts, and regret against the delay of feedback.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.online import (
    KLUCB,
    MOSS,
    UCB1,
    BernoulliBandit,
    DelayedFeedback,
    Draws,
    EpsilonGreedy,
    Exp3,
    Restart,
    ThompsonSampling,
    simulate,
    sweep,
)

MEANS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
COLORS = {
    "UCB1": "#edae49", "Exp3": "#b8c4ce", "epsilon-greedy": "#7aa6c2", "MOSS": "#00798c", "KL-UCB": "#d1495b",
    "Thompson": "#5b4b8a",
}  # fmt: skip
ARMS = ["#30343f", "#00798c", "#edae49", "#d1495b", "#b8c4ce"]
CHANGING = np.array(
    [
        [0.2, 0.3, 0.8, 0.4, 0.5], [0.7, 0.3, 0.4, 0.2, 0.5], [0.3, 0.3, 0.2, 0.9, 0.4], [0.4, 0.8, 0.3, 0.2, 0.6],
        [0.3, 0.2, 0.9, 0.4, 0.5],
    ]
)  # fmt: skip
ROUNDS = 5000


def learners() -> dict[str, Any]:
    """By the names of the legend."""
    made = (UCB1(), Exp3(), EpsilonGreedy(2.0), MOSS(), KLUCB(), ThompsonSampling())
    return dict(zip(COLORS, made, strict=True))


def regrets(above: Any, beside: Any) -> None:
    """Curves of the mean, and the distribution over runs at the end."""
    curves = simulate(learners(), BernoulliBandit(MEANS), 10_000, reps=200, points=80)
    for name, color in COLORS.items():
        low, high = curves.band(name)
        above.plot(curves.times, curves.mean(name), color=color, lw=1.8, label=name)
        above.fill_between(curves.times, low, high, color=color, alpha=0.25, lw=0)
    above.set(xscale="log", yscale="log", ylim=(1, 600), xlim=(5, 10_000), xlabel="pulls", ylabel="regret")
    above.set_title("regret on ten arms: mean of 200 runs with its 95 % band")
    above.legend(loc="upper left", fontsize=9, frameon=False)
    rng = np.random.default_rng(0)
    for row, (name, color) in enumerate(COLORS.items()):
        values = curves.at(name)
        beside.plot(values, row + rng.uniform(-0.28, 0.28, len(values)), ".", color=color, ms=3.5, alpha=0.7)
        beside.plot([values.mean()] * 2, [row - 0.4, row + 0.4], color="#30343f", lw=2)
    beside.set(
        xscale="log", xlabel="regret after 10 000 pulls", ylabel="learner", yticks=range(len(COLORS)),
        yticklabels=list(COLORS),
    )  # fmt: skip
    beside.set_title("every run, and the mean")


def exploration(axis: Any) -> None:
    """Regret against the constant in UCB1's width, for three gaps between two arms."""
    values = np.geomspace(0.01, 4, 11).tolist()
    for gap, color in ((0.05, "#5b4b8a"), (0.1, "#00798c"), (0.3, "#edae49")):
        found = sweep(UCB1, values, env=BernoulliBandit([0.5, 0.5 - gap]), horizon=10_000, reps=100)
        axis.plot(values, found.mean("UCB1"), "o-", color=color, ms=3.5, label=f"gap {gap:g}")
        # resampled: Student's intervals go below 0 where few runs have nearly all of the regret
        bands = [[end[-1] for end in curves.band("UCB1", kind="bootstrap")] for curves in found.curves]
        axis.fill_between(values, *zip(*bands, strict=True), color=color, alpha=0.25, lw=0)
    axis.axvline(2, color="#30343f", lw=1, ls=":")
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(2, 600),
        xlabel="exploration c (theory: 2)",
        ylabel="regret after 10 000 pulls",
    )
    axis.set_title("UCB1: regret against its constant, two arms")
    axis.legend(fontsize=9, frameon=False)


def shares(axis: Any, learner: Any, title: str) -> None:
    """Which share of 200 repetitions pulls which arm, over time."""
    env = BernoulliBandit(CHANGING, changes=[ROUNDS * k // 5 for k in range(1, 5)])
    draws = Draws(SeedTree(0), np.arange(200))
    observation = env.reset(draws, ROUNDS)
    learner.reset(env.spec(), draws.child("learner"))
    counts = np.zeros((ROUNDS, 5))
    for t in range(ROUNDS):
        arms = learner.act(observation)
        counts[t] = np.bincount(arms, minlength=5)
        learner.update(env.step(arms))
    share = counts.reshape(-1, 25, 5).mean(1) / 200
    axis.stackplot(np.arange(len(share)) * 25, share.T, colors=ARMS, lw=0, labels=[f"arm {arm}" for arm in range(5)])
    for k in range(5):
        begin, best = ROUNDS * k // 5, CHANGING[k].argmax()
        axis.fill_between([begin, begin + ROUNDS / 5], 1.02, 1.07, color=ARMS[best], lw=0, clip_on=False)
        if k:
            axis.axvline(begin, color="white", lw=1)
    regret = env.regret("per-segment")
    axis.set(xlim=(0, ROUNDS), ylim=(0, 1.07), xlabel="pulls", ylabel="share of 200 runs", yticks=[0, 0.5, 1])
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=5, fontsize=9, frameon=False, handlelength=1)
    axis.set_title(f"{title}: regret {regret.mean():.0f} ± {regret.std() / 200**0.5:.0f}")


def delays(axis: Any) -> None:
    """Regret against the delay of feedback."""
    values = [0, 10, 30, 100, 300, 1000]
    found = sweep(
        {"UCB1": UCB1(), "Thompson": ThompsonSampling(), "KL-UCB": KLUCB()}, values, horizon=10_000, reps=40,
        make_env=lambda delay: DelayedFeedback(BernoulliBandit(MEANS), delay), parameter="delay", points=20,
    )  # fmt: skip
    for name in found.names:
        ends = found.interval(name)
        axis.plot(values, [end.value for end in ends], "o-", color=COLORS[name], ms=3.5, label=name)
        axis.fill_between(values, [e.low for e in ends], [e.high for e in ends], color=COLORS[name], alpha=0.25, lw=0)
    axis.set(yscale="log", xlabel="delay of feedback, in pulls", ylabel="regret after 10 000 pulls")
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlim(-1.5, 1200)
    axis.set_xticks(values, [str(value) for value in values])
    axis.set_title("regret when rewards arrive late, ten arms")
    axis.legend(fontsize=9, frameon=False)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.titlesize": 10.5, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplot_mosaic([["a", "b", "c"], ["d", "e", "f"]], figsize=(15.5, 8.6), layout="constrained")
    regrets(axes["a"], axes["b"])
    exploration(axes["c"])
    shares(axes["d"], UCB1(0.3), "arms that UCB1 pulls (above: the best)")
    shares(axes["e"], Restart(lambda: UCB1(0.3), 500), "UCB1 begun anew every 500 pulls")
    delays(axes["f"])
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/bandits_gallery.py OUTPUT.png")
    main(sys.argv[1])
