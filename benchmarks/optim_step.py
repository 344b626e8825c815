"""Time and memory of an optimizer's step, as ratios to torch's fused AdamW.

    python benchmarks/optim_step.py [--threads 2] [--repeats 25] [--json FILE]

All optimizers step in turn in one process, on a 10.0M-parameter MLP (8 tensors) and on 1000 tensors of 32x32; each
ratio is of the least times. Extra memory is the growth of the resident peak over a step. The first step is timed in
a fresh process, after the import of torch, with compiled kernels in the cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import make_params, peak_growth
from torch import nn

SHAPES = {
    "10M MLP": [(2048, 784), (2048,), (2048, 2048), (2048,), (2048, 2048), (2048,), (10, 2048), (10,)],
    "1000 x (32, 32)": [(32, 32)] * 1000,
}
REFERENCE = "AdamW fused (torch)"
# The largest ratio that we accept, for each shape in the order of SHAPES.
# The largest ratio to Lion's time, for both shapes.
BARS_TO_LION = {"LionK huber": 1.5, "LionK dead_zone": 1.5, "LionK relativistic": 1.5, "LionK log_cosh": 1.5,
                "LionK l2": 2.0, "LionK group_l2 (rows)": 2.0}  # fmt: skip
BARS = {"Lion": (0.9, 0.6), "LionK l1": (0.9, 0.6), "EXAdam": (1.3, 1.0)}
FIRST_STEP = """
import sys, time, torch
p = torch.nn.Parameter(torch.ones(8)); p.grad = torch.ones(8)
begin = time.perf_counter()
from {module} import {name}
optimizer = {name}([p], fused=True)
optimizer.step()
assert "numba" not in sys.modules, "the kernels were not cached"
print(time.perf_counter() - begin)
"""

Factory = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def factories() -> dict[str, Factory]:
    """The optimizers that this environment can import, the reference first."""
    from optimand.optim import EXAdam, Lion, LionK
    from optimand.optim.lion_k.presets import lion_k_group

    found: dict[str, Factory] = {
        REFERENCE: lambda params: torch.optim.AdamW(params, fused=True),
        "Lion": Lion,
        "Lion foreach": lambda params: Lion(params, foreach=True),
        "EXAdam": EXAdam,
        "EXAdam foreach": lambda params: EXAdam(params, foreach=True),
        "LionK l1": LionK,
    }
    for kappa, kwargs in (
        ("huber", {"e": 1e-3}), ("dead_zone", {"e": 1e-3}), ("relativistic", {"e": 1e-3}), ("log_cosh", {"a": 1e3}),
        ("l2", {}),
    ):  # fmt: skip
        found[f"LionK {kappa}"] = lambda params, k=kappa, kw=kwargs: LionK(params, kappa=k, kappa_kwargs=kw)
    found["LionK group_l2 (rows)"] = lion_k_group
    try:
        import lion_pytorch

        found["Lion (lion-pytorch)"] = lion_pytorch.Lion
    except ImportError:
        pass
    try:
        import pytorch_optimizer

        found["Lion (pytorch-optimizer)"] = pytorch_optimizer.Lion
        found["EXAdam (pytorch-optimizer)"] = pytorch_optimizer.EXAdam
        found["EXAdam foreach (pytorch-optimizer)"] = lambda params: pytorch_optimizer.EXAdam(params, foreach=True)
    except ImportError:
        pass
    try:
        import adv_optm

        found["Lion (adv-optm)"] = adv_optm.Lion_adv
    except ImportError:
        pass
    return found


def measure(shapes: list[tuple[int, ...]], repeats: int) -> dict[str, dict[str, Any]]:
    """Least time of a step (ms) and extra memory (MiB) of every optimizer on parameters of these shapes."""
    params = make_params(shapes)
    optimizers: dict[str, torch.optim.Optimizer] = {}
    failed: dict[str, str] = {}
    for name, factory in factories().items():
        try:
            optimizers[name] = factory(params)
            for _ in range(2):
                optimizers[name].step()
        except Exception as error:  # a peer that does not run here is named, and the others go on
            optimizers.pop(name, None)
            failed[name] = f"{type(error).__name__}: {error}"
    best = dict.fromkeys(optimizers, float("inf"))
    for _ in range(repeats):
        for name, optimizer in optimizers.items():
            begin = time.perf_counter()
            optimizer.step()
            best[name] = min(best[name], time.perf_counter() - begin)
    rows: dict[str, dict[str, Any]] = {
        name: {"ms": best[name] * 1e3, "ratio": best[name] / best[REFERENCE], "extra_mib": peak_growth(optimizer.step)}
        for name, optimizer in optimizers.items()
    }
    return {**rows, **{name: {"failed": text} for name, text in failed.items()}}


def first_steps(threads: int) -> dict[str, float]:
    """Seconds from the import of the optimizer to the end of its first step, in fresh processes."""
    times = {}
    for module, name in (
        ("torch.optim", "AdamW"),
        ("optimand.optim", "Lion"),
        ("optimand.optim", "EXAdam"),
        ("optimand.optim", "LionK"),
    ):
        code = f"import torch; torch.set_num_threads({threads})\n" + FIRST_STEP.format(module=module, name=name)
        command = [sys.executable, "-c", code]
        runs = [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(3)]
        times[f"{name} ({module})"] = min(runs)
    return times


def nuclear_ratio(repeats: int = 5) -> float:
    """Time of a step of LionK with the nuclear norm (Newton-Schulz) over that of its matrix products alone."""
    from optimand.optim import LionK

    params = make_params([(512, 1024)])
    kappa = {"method": "newton_schulz", "steps": 5}
    optimizer = LionK(params, kappa="nuclear", kappa_kwargs=kappa)
    x = torch.randn(512, 1024)

    def products() -> None:
        for _ in range(5):
            square = x @ x.T
            square @ square
            square @ x

    least = {optimizer.step: float("inf"), products: float("inf")}
    for _ in range(repeats + 1):
        for call in least:
            begin = time.perf_counter()
            call()
            least[call] = min(least[call], time.perf_counter() - begin)
    return least[optimizer.step] / least[products]


def report(results: dict[str, dict[str, dict[str, Any]]], first: dict[str, float], nuclear: float) -> str:
    """The table as text."""
    lines = []
    for at, (shape, rows) in enumerate(results.items()):
        lines += [f"{shape}", f"  {'optimizer':46s} {'ms':>9s} {'ratio':>8s} {'bar':>6s} {'extra MiB':>10s}"]
        for name, row in rows.items():
            if "failed" in row:
                lines.append(f"  {name:36s} failed: {row['failed']}")
                continue
            bar = BARS.get(name, (None, None))[at]
            verdict = "" if bar is None else f"{bar:.2f}" + ("" if row["ratio"] <= bar else " !")
            if name in BARS_TO_LION:
                to_lion = row["ms"] / rows["Lion"]["ms"]
                mark = "" if to_lion <= BARS_TO_LION[name] else " !"
                name = f"{name}: {to_lion:.2f} x Lion (bar {BARS_TO_LION[name]:.1f}{mark})"
            extra = "" if row["extra_mib"] is None else f"{row['extra_mib']:.2f}"
            lines.append(f"  {name:46s} {row['ms']:9.2f} {row['ratio']:8.2f} {verdict:>6s} {extra:>10s}")
    lines.append(f"LionK nuclear, 512 x 1024: {nuclear:.2f} x its matrix products (bar 1.20)")
    lines.append("first step in a fresh process, kernels cached (bar 0.50 s):")
    lines += [f"  {name:36s} {seconds:9.3f} s" for name, seconds in first.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results = {name: measure(shapes, options.repeats) for name, shapes in SHAPES.items()}
    first = first_steps(options.threads)
    nuclear = nuclear_ratio()
    print(report(results, first, nuclear))
    if options.json:
        options.json.write_text(
            json.dumps({"steps": results, "nuclear_to_products": nuclear, "first_step_s": first}, indent=2)
        )


if __name__ == "__main__":
    main()
