"""Packing and classical mapping: heights on minimalloc's instances, speed-ups of the heuristics, their gaps.

    OPTIMAND_DATA=FOLDER python benchmarks/memory_packing.py [--seconds 1 60] [--cp-sat SECONDS] [--only ABC]
    python benchmarks/memory_packing.py --mapping [--seconds 60]

The first form packs the instances A to K of google/minimalloc (capacity 1,048,576), which OPTIMAND_DATA must hold in
malloc-muzero/: the height over the capacity after each number of seconds, for ``first-fit`` by size, all orders, and
the search; every packing is checked pair by pair. ``--cp-sat`` adds the constraint solver. ``--json FILE`` keeps all.

The second form maps the recorded transformer at 1, 2, 4 and 8 MiB with each heuristic and with evolution for the given
seconds per capacity, and bounds the best possible speed-up with CP-SAT's relaxation (30 s each).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from optimand.combinatorial.memory_mapping.mapping import map_memory
from optimand.combinatorial.memory_mapping.packing import check_packing, pack, read_minimalloc
from optimand.combinatorial.memory_mapping.programs import hardware_of, recorded

LETTERS = "ABCDEFGHIJK"
LIMIT = 2**20
BARS = {1.0: 1.35, 60.0: 1.10}  # height over the limit after so many seconds
HEURISTICS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "random": {"episodes": 100},
    "noisy-greedy": {"episodes": 200},
    "beam": {"most": 128},
    "first-fit": {},
    "best-fit": {},
    "xla": {},
}


def pack_instances(seconds: list[float], letters: str, cp_sat: float) -> dict[str, dict[str, float]]:
    """Heights over the capacity."""
    root = os.environ.get("OPTIMAND_DATA")
    if not root:
        raise SystemExit("set OPTIMAND_DATA to the folder that holds malloc-muzero/")
    found: dict[str, dict[str, float]] = {}
    for letter in letters:
        data = read_minimalloc(Path(root) / "malloc-muzero" / f"{letter}.{LIMIT}.csv")
        row: dict[str, float] = {"bound": data.load_bound() / LIMIT}
        calls: dict[str, dict[str, Any]] = {"first-fit": {"method": "first-fit"}, "orders": {"method": "orders"}}
        calls |= {f"search {s:g} s": {"seconds": s} for s in seconds}
        if cp_sat:
            calls[f"cp-sat {cp_sat:g} s"] = {"method": "cp-sat", "seconds": cp_sat, "workers": 2}
        for name, options in calls.items():
            begin = time.monotonic()
            result = pack(data, **options)
            taken = time.monotonic() - begin
            if result.x is not None:
                check_packing(data, result.x)
            row[name] = result.fun / LIMIT
            row[f"{name}: wall"] = taken
        found[letter] = row
        print(letter, len(data), " ".join(f"{k} {v:.4f}" for k, v in row.items() if "wall" not in k), flush=True)
    for s in seconds:
        worst = max(row[f"search {s:g} s"] for row in found.values())
        bar = BARS.get(s)
        print(f"worst after {s:g} s: {worst:.4f}" + ("" if bar is None else f" (bar {bar}: {_word(worst <= bar)})"))
    return found


def map_transformer(seconds: float) -> dict[str, dict[str, float]]:
    """Speed-ups over everything in slow memory."""
    program = recorded("transformer")
    found: dict[str, dict[str, float]] = {}
    for mib in (1, 2, 4, 8):
        hardware = hardware_of("transformer", mib * LIMIT)
        row = {name: map_memory(program, hardware, name, **options).speedup for name, options in HEURISTICS.items()}
        last = map_memory(program, hardware, "evolution", seconds=seconds, bound_seconds=30.0)
        row["evolution"], row["bound"] = last.speedup, last.all_slow_time / last.bound
        row["evolution / xla"] = row["evolution"] / row["xla"]
        found[f"{mib} MiB"] = row
        print(f"{mib} MiB", " ".join(f"{k} {v:.4f}" for k, v in row.items()), flush=True)
    for mib, bar in ((1, 1.02), (2, 1.08)):
        ratio = found[f"{mib} MiB"]["evolution / xla"]
        print(f"evolution over the XLA-like heuristic at {mib} MiB: {ratio:.3f} (bar {bar}: {_word(ratio >= bar)})")
    return found


def _word(reached: bool) -> str:
    return "reached" if reached else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 60.0])
    parser.add_argument("--cp-sat", type=float, default=0.0)
    parser.add_argument("--only", default=LETTERS)
    parser.add_argument("--mapping", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.mapping:
        found = map_transformer(max(given.seconds))
    else:
        found = pack_instances(given.seconds, given.only, given.cp_sat)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
