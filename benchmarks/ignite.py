"""IGNITE: time and memory of its step, and what it does to gradient ascent on the complete tables of TF-Bind-8.

    python benchmarks/ignite.py [--quick] [--repeats 60]                           time and memory
    python benchmarks/ignite.py --tables SIX6,CRX --seeds 8 [--kinds none,adaptive,fixed] [--json FILE]

The second form needs ``$OPTIMAND_DATA``. Every regularizer meets the same weights, rows held out and minibatches at a
seed: a perceptron of 2 x 256, 12 epochs of 128, gradient ascent from the 128 best offline designs (the search ``ga``).
The differences to gradient ascent without a regularizer are paired over tables and seeds; because the seeds of a table
share its data, the test is also made on the tables' means. Each finished run is written to the file at once, and a run
that is there is not made again.

Times are CPU time of one thread, the least of the repeats, the regularizers taking turns. The memory is the peak of
the tensors that are alive within a step, beyond those at its beginning.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optimand.offline.ignite import make_regularizer
from optimand.offline.surrogates import GaussianMLP, gaussian_nll

KINDS = ("none", "adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay")
TIME_BAR, MEMORY_BAR = 3.0, 2.0  # times a step without; copies of the parameters
TABLES = ("SIX6", "CRX", "PAX4", "GFI1", "KLF1", "VSX1")
MEASURES = ("best", "p80", "median", "gradient_norm", "val_rmse", "best_epoch", "lam", "seconds")


def make_step(kind: str, width: int, *, share: bool = True) -> Callable[[], Tensor]:
    """One training step of a perceptron of two hidden layers on 128 rows of 24 numbers."""
    generator = torch.Generator().manual_seed(0)
    model = GaussianMLP(24, width, generator=generator)
    x, y = torch.randn(128, 24, generator=generator), torch.randn(128, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    regularizer = make_regularizer(kind, model)

    def step() -> Tensor:
        optimizer.zero_grad()
        if regularizer is not None and share:
            loss = regularizer.backward(x, lambda output: gaussian_nll(*output, y))
        else:
            loss = gaussian_nll(*model(x), y)
            loss.backward()
            if regularizer is not None:
                regularizer.add_grad_(x, lambda: gaussian_nll(*model(x), y))
        optimizer.step()
        return loss

    return step


def step_times(width: int, repeats: int) -> dict[str, float]:
    """Least CPU seconds of a step with each regularizer."""
    steps = {kind: make_step(kind, width) for kind in KINDS}
    steps["adaptive, unshared"] = make_step("adaptive", width, share=False)
    found = dict.fromkeys(steps, math.inf)
    for _ in range(repeats):
        for name, step in steps.items():
            begin = time.thread_time()
            for _ in range(5):
                step()
            found[name] = min(found[name], (time.thread_time() - begin) / 5)
    return found


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that operations make and that are still alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: Any) -> None:
        if storage in self._seen:
            return
        size = storage.nbytes()
        self._seen[storage] = size
        weakref.finalize(storage, self._drop, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _drop(self, size: int) -> None:
        self.live -= size


def peak_copies(kind: str, width: int) -> float:
    """Peak of live tensors within a step beyond those at its beginning, in copies of the parameters."""
    step = make_step(kind, width)
    step()
    with LiveTensors() as tensors:
        step()  # from here on its gradients are known
        begin = tensors.peak = tensors.live
        step()
    parameters = sum(p.numel() * p.element_size() for p in GaussianMLP(24, width).parameters())
    return (tensors.peak - begin) / parameters


def one_run(table: str, kind: str, seed: int) -> dict[str, Any]:
    """Gradient ascent on one table with one regularizer at one seed."""
    from optimand.offline.searches.gradient_ascent import gradient_ascent
    from optimand.offline.tasks.tf_bind import tf_bind

    task = tf_bind(table)
    settings: dict[str, Any] = {"width": 256, "depth": 2, "epochs": 12, "batch": 128, "lr": 1e-3}
    with task.locked():
        proposal = gradient_ascent(task.data, q=128, seed=seed, ignite=None if kind == "none" else kind, **settings)
    scores = task.score(proposal.x)
    report = proposal.reports[0]
    return {
        "table": table, "kind": kind, "seed": seed,
        "best": scores[100], "p80": scores[80], "median": scores[50],
        "predicted": float(task.normalize(np.median(proposal.predicted))), "distinct": proposal.distinct,
        **{name: getattr(report, name) for name in MEASURES if hasattr(report, name)},
    }  # fmt: skip


def study(tables: list[str], seeds: int, kinds: list[str], file: Path | None) -> list[dict[str, Any]]:
    """All runs, seeds outermost, so that an interrupted study is balanced."""
    runs: list[dict[str, Any]] = json.loads(file.read_text()) if file is not None and file.exists() else []
    made = {(run["table"], run["kind"], run["seed"]) for run in runs}
    for seed in range(seeds):
        for table in tables:
            for kind in kinds:
                if (table, kind, seed) not in made:
                    runs.append(one_run(table, kind, seed))
                    if file is not None:
                        file.write_text(json.dumps(runs))
    return [r for r in runs if r["table"] in tables and r["kind"] in kinds and r["seed"] < seeds]


def paired(runs: list[dict[str, Any]], kind: str, measure: str) -> dict[str, float]:
    """Differences of a regularizer to none over pairs of equal table and seed, and tests that they are above 0."""
    from scipy import stats

    value = {(r["table"], r["seed"], r["kind"]): r[measure] for r in runs}
    pairs = [(t, s) for t, s, k in value if k == kind and (t, s, "none") in value]
    differences = np.array([value[t, s, kind] - value[t, s, "none"] for t, s in pairs])
    means = np.array([differences[[t == table for t, _ in pairs]].mean() for table in sorted({t for t, _ in pairs})])
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    found = {"pairs": len(pairs), "mean": float(differences.mean()), "half": float(half)}
    found["wins"] = float((differences > 0).mean())
    found["t"] = float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    found["wilcoxon"] = float(stats.wilcoxon(differences, alternative="greater").pvalue)
    if len(means) > 1:
        found["tables"] = float(stats.ttest_1samp(means, 0.0, alternative="greater").pvalue)
    return found


def print_study(runs: list[dict[str, Any]], kinds: list[str]) -> None:
    """Means over all runs, means by table, and the paired differences."""
    print(f"\n{'':14}" + "".join(f"{name:>14}" for name in MEASURES))
    for kind in kinds:
        mine = [r for r in runs if r["kind"] == kind]
        print(f"{kind:14}" + "".join(f"{np.mean([r[name] for r in mine]):14.3f}" for name in MEASURES))
    for measure in ("median", "best", "gradient_norm", "val_rmse"):
        print(f"\n{measure} by table" + "".join(f"{kind:>14}" for kind in kinds))
        for table in dict.fromkeys(r["table"] for r in runs):
            cells = [np.mean([r[measure] for r in runs if r["kind"] == k and r["table"] == table]) for k in kinds]
            print(f"{table:>{len(measure) + 9}}" + "".join(f"{cell:14.4f}" for cell in cells))
    print("\ndifference to none (95 % interval), share of pairs above 0, one-sided p: t, Wilcoxon, t on tables' means")
    for kind in kinds:
        for measure in ("median", "p80", "best") if kind != "none" else ():
            d = paired(runs, kind, measure)
            print(
                f"{kind:14} {measure:8} {d['mean']:+.4f} +- {d['half']:.4f}  {d['wins']:.2f}  "
                f"{d['t']:.3f} {d['wilcoxon']:.3f} {d.get('tables', math.nan):.3f}   {d['pairs']:.0f} pairs"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", help="names separated by commas, or 'all'")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--kinds", default="none,adaptive,fixed")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.tables:
        tables = list(TABLES) if options.tables == "all" else options.tables.split(",")
        kinds = options.kinds.split(",")
        print_study(study(tables, options.seeds, kinds, options.json), kinds)
        return
    for width in (256, 1024):
        times = step_times(width, 10 if options.quick else options.repeats)
        base = times["none"]
        for name, seconds in times.items():
            print(f"2 x {width:<5} {name:20} {seconds * 1e3:8.3f} ms {seconds / base:6.2f} times none")
        without = peak_copies("none", width)
        for kind in KINDS[1:]:
            more = peak_copies(kind, width) - without
            print(f"2 x {width:<5} {kind:20} {more:+8.2f} copies of the parameters beyond none ({without:.2f})")
        print(f"bars for adaptive and fixed: {TIME_BAR} times, {MEMORY_BAR} copies")


if __name__ == "__main__":
    main()
