"""Improving traced programs without a language model: signs from the graph, traffic lights, Battleship.

    python examples/workflows_gallery.py workflows.png

Above: the output of random arithmetic has to hit a value that only the guide knows, and all that the guide says is
"larger" or "smaller". The proposer that reads from the recorded graph how the output depends on each number moves
towards the value at once; without the graph it has to find a bracket by trial. Below: green times of a crossing, where
the guide gives a score, on the map of waits; and the weights of a Battleship policy.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.language.workflows.instances import traffic
from optimand.language.workflows.loop import evaluate
from optimand.language.workflows.problems import battleship, numeric_workflow, traffic_lights
from optimand.papers.trace_opto.small_searches import method_of, run_once

COLORS = {
    "heuristic": "#d1495b", "heuristic-masked": "#edae49", "random-values": "#b8c4ce", "nelder-mead": "#00798c",
    "tpe": "#5b4b8a", "saturation-rule": "#30343f",
}  # fmt: skip


def curves(axis: Any, problem: Any, names: tuple[str, ...], metric: str, seeds: int) -> None:
    """The metric of the best values so far on ``test``, median over the seeds."""
    for name in names:
        runs = [run_once(problem, method_of(name), seed) for seed in range(seeds)]
        values = np.array([[r.value for r in run.records if (r.split, r.metric) == ("test", metric)] for run in runs])
        axis.plot(range(1, problem.budget + 1), np.median(values, axis=0), color=COLORS[name], lw=2, label=name)
    axis.set(xlabel="evaluations")
    axis.legend(fontsize=8, frameon=False)


def crossing(axis: Any) -> None:
    """Where methods look on the map of waits of one crossing."""
    instance = 3
    task = traffic.draw_crossing(np.random.default_rng(instance), 1)
    greens = np.linspace(traffic.SHORTEST, 60, 28)
    waits = np.array([[task.wait((a, b)) for a in greens] for b in greens])
    axis.contourf(greens, greens, np.log(waits), levels=18, cmap="Blues")
    for name in ("heuristic", "nelder-mead", "saturation-rule"):
        workflow = traffic_lights(days=1, instance=instance).instance(np.random.default_rng(0))
        optimizer, path = method_of(name).build(workflow.parameters), []
        for _ in range(30):
            path.append([parameter.data for parameter in workflow.parameters])
            output, feedback, _ = evaluate(workflow)
            optimizer.zero_feedback()
            optimizer.backward(output, feedback)
            optimizer.step()
        axis.plot(*np.array(path).T, "o-", color=COLORS[name], ms=3, lw=0.8, label=name)
    rule = traffic.webster(task.rates)
    axis.plot(*rule, "*", color="white", mec="black", ms=14, label="Webster's formula")
    axis.set(xlim=(5, 60), ylim=(5, 60), xlabel="green north-south, s", ylabel="green east-west, s")
    axis.set_title("a crossing: where 30 evaluations go (dark: long waits)")
    axis.legend(fontsize=8, loc="upper right")


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 2, figsize=(12.5, 9), layout="constrained")
    names = ("heuristic", "heuristic-masked", "random-values")
    for axis, params in zip(axes[0], (1, 3), strict=True):
        curves(axis, numeric_workflow(params=params, budget=12), names, "error", 20)
        axis.set(yscale="log", ylim=(1e-4, 1), title=f"hit a hidden value by larger/smaller, {params} parameter(s)")
        axis.set(ylabel="error of the best, share of the range")
        axis.axhline(1e-2, color="#30343f", lw=0.8, ls=":")
    crossing(axes[1, 0])
    curves(axes[1, 1], battleship(budget=30), ("heuristic", "random-values", "nelder-mead"), "reward", 5)
    axes[1, 1].set(title="Battleship: five weights of a policy", ylabel="ships' cells hit in 18 shots, other boards")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/workflows_gallery.py OUTPUT.png")
    main(sys.argv[1])
