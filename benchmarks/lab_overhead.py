"""What the lab adds to a run: a study's run against the same training written by hand, side by side in one process.

    python benchmarks/lab_overhead.py [--repeats N]

The hand-written loop draws the same batches, makes the same number of evaluations and uses the same
optimizer; the lab's run adds records, stopwatch, divergence checks, progress, checkpoints and the store.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch

from optimand.core.catalog import get_problem
from optimand.core.seeds import SeedTree
from optimand.lab.runs import RunSpec, execute, fingerprint
from optimand.lab.store import Store
from optimand.training.objective import evaluate


def by_hand(problem, budget: int) -> float:
    """Train with a plain loop; returns the seconds it took."""
    settings, data = problem.settings, problem.loaded
    seed = SeedTree(0).child("final", 0)
    begun = time.perf_counter()
    torch.manual_seed(seed.child("model").integer())
    model = problem.model()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    sampler = data.sampler(settings.batch_size, seed.child("data").torch())
    every = max(1, budget // settings.evaluations)
    for step in range(budget):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * settings.factor(step, budget)
        optimizer.zero_grad()
        problem.objective.loss(model, sampler.next()).backward()
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        if (step + 1) % every == 0:
            evaluate(model, model, problem.objective.metrics, data.batches("valid"))
    for split in ("test", "train"):
        evaluate(model, model, problem.objective.metrics, data.batches(split))
    return time.perf_counter() - begun


def by_the_lab(name: str, budget: int) -> float:
    """Make the same run as a study does; returns the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        Store(folder).create()
        spec = RunSpec(name, "adamw", f"{fingerprint(name)}/{fingerprint('adamw')}", "final", -1, 0, 0, budget)
        begun = time.perf_counter()
        outcome = execute(spec, folder)
        seconds = time.perf_counter() - begun
    if outcome.status != "ok":
        raise RuntimeError(outcome.message)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'problem':<12}{'by hand':>10}{'lab':>10}{'overhead':>10}   (medians of {arguments.repeats}; of minima)")
    for name, budget in (("digits-mlp", 3000), ("byte-lm", 250)):
        problem = get_problem(name)
        by_hand(problem, budget // 10)
        by_the_lab(name, budget // 10)
        hand, lab = [], []
        for _ in range(arguments.repeats):
            hand.append(by_hand(problem, budget))
            lab.append(by_the_lab(name, budget))
        ratios = statistics.median(b / a for a, b in zip(hand, lab, strict=True)), min(lab) / min(hand)
        print(
            f"{name:<12}{statistics.median(hand):>9.2f}s{statistics.median(lab):>9.2f}s"
            f"{ratios[0] - 1:>+10.1%}   ({ratios[1] - 1:+.1%})"
        )


if __name__ == "__main__":
    main()
