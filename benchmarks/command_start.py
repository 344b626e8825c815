"""How long the command takes to answer from its index, as ratios to a process that imports NumPy alone.

    python benchmarks/command_start.py [--repeats N]

The processes take turns; each figure is the median. Also says what ``get_problem`` imports.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

FLOOR = [sys.executable, "-c", "import numpy"]
OPTIMAND = [sys.executable, "-m", "optimand.lab.cli"]
COMMANDS = {
    "import numpy": FLOOR,
    "import optimand": [sys.executable, "-c", "import optimand"],
    "optimand --help": [*OPTIMAND, "--help"],
    "optimand list problems": [*OPTIMAND, "list", "problems"],
    "optimand list methods": [*OPTIMAND, "list", "methods"],
    "optimand list claims": [*OPTIMAND, "list", "claims"],
    "optimand papers QUERY": [*OPTIMAND, "papers", "low memory optimizer state"],
}
IMPORTED = (
    "import sys; from optimand.core.catalog import get_problem; get_problem('stream-clear-cut'); "
    "print(sum(m.startswith('optimand') for m in sys.modules), 'torch' in sys.modules)"
)


def seconds(command: list[str]) -> float:
    """How long a process takes."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):  # the first round warms the files
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    median = {name: statistics.median(times[1:]) for name, times in taken.items()}
    for name, value in median.items():
        print(f"{name:<24}{value:>7.2f} s {value / median['import numpy']:>6.1f} x numpy")
    modules, torch = subprocess.run(
        [sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True
    ).stdout.split()
    print(f"get_problem('stream-clear-cut') imports {modules} modules of ours, torch: {torch}")


if __name__ == "__main__":
    main()
