"""Time and memory of a step with 8-bit states, as ratios to torch's fused AdamW.

    python benchmarks/low_bit_step.py [--threads 1 2] [--repeats 15] [--no-peers] [--json FILE]

All optimizers step in turn in one process, on 5,508,096 float32 parameters in 10 tensors and on 1000 tensors of
64x64; each ratio is of the least CPU times (of the whole process, so that waiting for other programs does not count).
Our optimizers run on every path that this machine has: each instruction set of the native library, Numba's loops,
torch operations. The floor is the time in which the memory that a step must touch can be read and written, at the best
speed seen in additions and in the reference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import make_params, peak_growth
from torch import nn

SHAPES = {
    "5.5M in 10 tensors": [(768, 768)] * 4 + [(768, 2048)] * 2 + [(768,)] * 4,
    "1000 x (64, 64)": [(64, 64)] * 1000,
}
REFERENCE = "AdamW fused (torch)"
# The largest ratios to the reference that we accept, on the first case and one thread, and to each peer.
BARS = {"AdamW8bit avx512": 2.0, "AdamW8bit avx2": 4.0, "AdamW8bit numba": 8.0}
BAR_TO_PEERS = 1.0 / 8.0
# What a step reads and writes: bytes for each parameter.
TRAFFIC = {REFERENCE: 28, "AdamW8bit": 16, "Lion8bit": 14}

Step = Callable[[], Any]


def on_level(level: str, step: Step) -> None:
    from optimand.optim.kernels import native

    with native.using(level):
        step()


def ours(params: list[nn.Parameter]) -> dict[str, Step]:
    """Our steps by name: every path of AdamW8bit, and Lion8bit on the best one."""
    from optimand.optim.kernels import native
    from optimand.optim.low_bit import AdamW8bit, Lion8bit

    steps: dict[str, Step] = {}
    for level in reversed(native.available()):
        steps[f"AdamW8bit {level}"] = partial(on_level, level, AdamW8bit(params).step)
    steps["AdamW8bit numba"] = partial(on_level, "none", AdamW8bit(params).step)
    steps["AdamW8bit torch operations"] = AdamW8bit(params, fused=False).step
    steps[f"Lion8bit {native.level()}"] = Lion8bit(params).step
    return steps


def peers(params: list[nn.Parameter]) -> dict[str, Callable[[], Step]]:
    """What makes the steps of the other libraries that can be imported."""
    makers: dict[str, Callable[[], Step]] = {}
    try:
        import bitsandbytes

        makers["AdamW8bit (bitsandbytes)"] = lambda: bitsandbytes.optim.AdamW8bit(params).step
        makers["Lion8bit (bitsandbytes)"] = lambda: bitsandbytes.optim.Lion8bit(params).step
    except ImportError:
        pass
    try:
        import torchao.optim

        makers["AdamW8bit (torchao)"] = lambda: torchao.optim.AdamW8bit(params).step
    except ImportError:
        pass
    return makers


def traffic_per_second(params: list[nn.Parameter]) -> Callable[[], float]:
    """A timer of adding to all parameters, which moves 12 bytes for each of them: bytes per second of CPU time."""
    targets, sources = [p.detach().clone() for p in params], [p.detach().clone() for p in params]
    moved = 12 * sum(p.numel() for p in params)

    def measure() -> float:
        begin = time.process_time()
        for target, source in zip(targets, sources, strict=True):
            target.add_(source)
        return moved / (time.process_time() - begin)

    return measure


def measure(shapes: list[tuple[int, ...]], repeats: int, with_peers: bool) -> dict[str, dict[str, Any]]:
    """For every optimizer least CPU and wall times of a step (ms), their ratios, and extra memory (MiB)."""
    params = make_params(shapes)
    steps: dict[str, Step] = {REFERENCE: torch.optim.AdamW(params, fused=True).step, **ours(params)}
    failed: dict[str, str] = {}
    for name, maker in peers(params).items() if with_peers else ():
        try:
            steps[name] = maker()
        except Exception as error:  # a peer that does not run here is named, and the others go on
            failed[name] = f"{type(error).__name__}: {error}"
    for name, step in list(steps.items()):
        try:
            for _ in range(2):
                step()
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            del steps[name]
    bandwidth = traffic_per_second(params)
    cpu, wall, best = dict.fromkeys(steps, float("inf")), dict.fromkeys(steps, float("inf")), 0.0
    for _ in range(repeats):
        best = max(best, bandwidth())
        for name, step in steps.items():
            begin, started = time.process_time(), time.perf_counter()
            step()
            cpu[name] = min(cpu[name], time.process_time() - begin)
            wall[name] = min(wall[name], time.perf_counter() - started)
    elements = sum(p.numel() for p in params)
    best = max(best, TRAFFIC[REFERENCE] * elements / cpu[REFERENCE])
    rows: dict[str, dict[str, Any]] = {}
    for name, step in steps.items():
        bytes_moved = next((moved for start, moved in TRAFFIC.items() if name.startswith(start)), None)
        rows[name] = {
            "cpu_ms": cpu[name] * 1e3,
            "cpu_ratio": cpu[name] / cpu[REFERENCE],
            "wall_ratio": wall[name] / wall[REFERENCE],
            "floor_ms": None if bytes_moved is None else 1e3 * bytes_moved * elements / best,
            "extra_mib": peak_growth(step),
        }
    return {**rows, **{name: {"failed": text} for name, text in failed.items()}}


def in_process(case: str, threads: int, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """:func:`measure` in a process of its own: the number of threads is settled when torch is imported."""
    command = [sys.executable, __file__, "--case", case, "--threads", str(threads), "--repeats", str(options.repeats)]
    command += ["--no-peers"] * (options.no_peers or case != next(iter(SHAPES)))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(title: str, rows: dict[str, dict[str, Any]], judged: bool) -> str:
    """One case's table as text."""
    columns = f"{'CPU ms':>9s} {'ratio':>7s} {'bar':>7s} {'wall ratio':>11s} {'floor ms':>9s} {'extra MiB':>10s}"
    lines = [title, f"  {'optimizer':30s} {columns}"]
    for name, row in rows.items():
        if "failed" in row:
            lines.append(f"  {name:30s} failed: {row['failed']}")
            continue
        bar = BARS.get(name) if judged else None
        verdict = "" if bar is None else f"{bar:.1f}" + ("" if row["cpu_ratio"] <= bar else " !")
        floor = "" if row["floor_ms"] is None else f"{row['floor_ms']:.2f}"
        extra = "" if row["extra_mib"] is None else f"{row['extra_mib']:.2f}"
        lines.append(
            f"  {name:30s} {row['cpu_ms']:9.2f} {row['cpu_ratio']:7.2f} {verdict:>7s} {row['wall_ratio']:11.2f} "
            f"{floor:>9s} {extra:>10s}"
        )
    for peer, row in rows.items():
        own = [name for name in rows if name.split(" ")[0] == peer.split(" ")[0] and "(" not in name]
        if "(" in peer and peer != REFERENCE and "failed" not in row and own:
            ratio = rows[own[0]]["cpu_ms"] / row["cpu_ms"]
            mark = "" if ratio <= BAR_TO_PEERS or not judged else " !"
            lines.append(f"  {own[0]} takes 1/{1 / ratio:.1f} of {peer} (bar 1/{1 / BAR_TO_PEERS:.0f}{mark})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--no-peers", action="store_true", help="leave out the other libraries")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--case", choices=list(SHAPES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        warnings.simplefilter("ignore")
        torch.set_num_threads(options.threads[0])
        torch.manual_seed(0)
        print(json.dumps(measure(SHAPES[options.case], options.repeats, not options.no_peers)))
        return
    results = {
        f"{case}, {threads} thread{'s' * (threads > 1)}": in_process(case, threads, options)
        for case in SHAPES
        for threads in options.threads
    }
    for title, rows in results.items():
        print(report(title, rows, title.startswith(f"{next(iter(SHAPES))}, 1 ")))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
