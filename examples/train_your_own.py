"""Run a problem and an optimizer of one's own from Python, without the command line.

    python examples/train_your_own.py

``optimand compare`` does the same with equal tuning, intervals and a page to look at; this is the loop by
itself, for whoever wants to look inside.
"""

from __future__ import annotations

from pathlib import Path

import torch

from optimand.core.catalog import get_method, get_problem
from optimand.core.recorder import Diverged, Recorder
from optimand.core.seeds import SeedTree

HERE = Path(__file__).parent


def main() -> None:
    """Train with two optimizers and three seeds, and print what they reach."""
    torch.set_num_threads(1)  # a network this small does not gain from more
    problem = get_problem(f"{HERE / 'my_problem.py'}:problem")
    print(problem.summary)
    for text in (f"{HERE / 'my_opt.py'}:MyOpt", f"{HERE / 'my_opt.py'}:MyOpt:lr=0.01"):
        method, hyper = get_method(text, family="training")
        for seed in range(3):
            recorder = Recorder(problem.budget)
            try:
                problem.run(method, hyper, seed=SeedTree(seed), budget=problem.budget, recorder=recorder)
            except Diverged as diverged:
                print(f"{method.name} {hyper or ''} seed {seed}: {diverged}")
                continue
            value = recorder.last("test", problem.metric)
            step = 1000 * recorder.costs["seconds_per_unit"]
            print(f"{method.name} {hyper or ''} seed {seed}: test {problem.metric} {value:.4f}, {step:.2f} ms a step")


if __name__ == "__main__":
    main()
