"""Running generated programs: a warm worker against a fresh process for each, and what the layers of isolation cost.

    python benchmarks/sandbox.py [--repeats 30] [--json FILE]

The program is the bakery, max 5c + 4v with 2c + v <= 100, solved by SCIP. Wall times from the call to the result, in
turn in one process, medians and quartiles:

* a fresh interpreter, no sandbox: ``python -I`` through ``subprocess.run``;
* a fresh process per program in the sandbox;
* a warm worker with PySCIPOpt imported, and the same with layers left out;
* programs per second of two warm workers and two threads.

Acceptance 8 of arXiv 2407.09887's page asks for a warm pool three times as fast as a fresh process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optimand.language.sandbox import SandboxedPython

BAR = 3.0
EXPECTED = "----------\nprofit: 400.0\n"
BAKERY = """
import pyscipopt
model = pyscipopt.Model()
model.hideOutput()
c = model.addVar("c", vtype="INTEGER")
v = model.addVar("v", vtype="INTEGER")
profit = model.addVar("profit", lb=None)
model.addCons(2 * c + v <= 100)
model.addCons(profit == 5 * c + 4 * v)
model.setObjective(profit, "maximize")
model.optimize()
print("-" * 10)
print("profit:", model.getObjVal())
"""


def plain() -> str:
    """A fresh interpreter without any isolation."""
    return subprocess.run([sys.executable, "-I", "-c", BAKERY], capture_output=True, text=True, check=True).stdout


def in_turn(runs: dict[str, Callable[[], str]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, one after another in every round; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            output = run()
            spent = time.perf_counter() - begin
            if output != EXPECTED:
                raise SystemExit(f"{name}: unexpected output {output!r}")
            if i:
                seconds[name].append(spent)
    return seconds


def throughput(repeats: int) -> float:
    """Programs per second of two workers and two threads."""
    with SandboxedPython(workers=2, preload=("pyscipopt",)) as python:

        def work(count: int) -> None:
            for _ in range(count):
                if python.run(BAKERY).stdout != EXPECTED:
                    raise SystemExit("unexpected output")

        def both(count: int) -> float:
            threads = [threading.Thread(target=work, args=(count,)) for _ in range(2)]
            begin = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return 2 * count / (time.perf_counter() - begin)

        both(1)
        return both(repeats)


def measure(repeats: int) -> dict[str, Any]:
    """All rows: quartiles in milliseconds, the ratio of medians, and the rate."""
    layers = {
        "warm worker": (),
        "  without a root of its own": ("root",),
        "  without Landlock": ("landlock",),
        "  without the filter of system calls": ("seccomp",),
        "  limits only": ("namespaces", "landlock", "seccomp"),
    }
    with ExitStack() as stack:
        fresh = stack.enter_context(SandboxedPython())
        runs: dict[str, Callable[[], str]] = {
            "fresh interpreter, no sandbox": plain,
            "fresh process in the sandbox": lambda: fresh.run(BAKERY).stdout,
        }
        for name, without in layers.items():
            python = stack.enter_context(SandboxedPython(workers=1, preload=("pyscipopt",), _without=without))
            runs[name] = lambda python=python: python.run(BAKERY).stdout
        seconds = in_turn(runs, repeats)
        isolation = str(fresh.isolation)
    quartiles = {name: [1e3 * q for q in statistics.quantiles(values, n=4)] for name, values in seconds.items()}
    warm = quartiles["warm worker"][1]
    return {
        "isolation": isolation,
        "milliseconds": quartiles,
        "ratio_plain": quartiles["fresh interpreter, no sandbox"][1] / warm,
        "ratio_sandbox": quartiles["fresh process in the sandbox"][1] / warm,
        "per_second": throughput(repeats),
    }


def report(found: dict[str, Any]) -> str:
    """The table as text."""
    lines = [f"isolation: {found['isolation']}", "", f"{'':40s}{'median ms':>10s}{'quartiles':>18s}"]
    for name, (low, middle, high) in found["milliseconds"].items():
        lines.append(f"{name:40s}{middle:10.1f}{f'{low:.1f} to {high:.1f}':>18s}")
    for title, key in (("a fresh interpreter", "ratio_plain"), ("a fresh process in the sandbox", "ratio_sandbox")):
        verdict = "met" if found[key] >= BAR else "falls short"
        lines.append(f"a warm worker is {found[key]:.1f} times as fast as {title} (bar {BAR:g}: {verdict})")
    lines.append(f"two warm workers, two threads: {found['per_second']:.0f} programs per second")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    found = measure(options.repeats)
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
