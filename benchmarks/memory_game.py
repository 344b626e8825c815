"""The mallocGame: microseconds of a step, legal actions included, compiled, from Python and in plain Python.

    python benchmarks/memory_game.py [--repeats 15] [--json FILE]

The program is the recorded transformer (52 instructions, 140 references) at 1, 2, 4 and 8 MiB. Times are CPU time of
one thread, the median of the repeats, the contestants in turn in one process:

* ``compiled``: random episodes inside compiled code, as searches play them; each step finds out what is legal next;
* ``strings``: whole action strings through ``Game.play``, as evolution plays them;
* ``Game``: ``legal()`` and ``step()`` called from Python for each move;
* ``Gymnasium``: the environment without wrappers, its observation included;
* ``plain``: the plain Python game of ``plain_memory_game.py``.

The bar is 1.3 microseconds for ``compiled`` at 1 to 4 MiB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from plain_memory_game import PlainGame

from optimand.combinatorial.memory_mapping import Game, Hardware, MallocGameEnv, MemoryProgram
from optimand.combinatorial.memory_mapping.programs import recorded

MIB, BAR = 2**20, 1.3


def contestants(program: MemoryProgram, hardware: Hardware) -> dict[str, Callable[[], int]]:
    """Calls that play some episodes and return the moves that they made."""
    game, env, plain = Game(program, hardware), MallocGameEnv(program, hardware), PlainGame(program, hardware)
    rng = np.random.default_rng(0)
    strings = rng.random((50, program.references)) < 0.5

    def compiled() -> int:
        game.reset()
        before = game.moves
        game.play_random(int(rng.integers(2**31)), 0.5, 200)
        return game.moves - before

    def whole() -> int:
        before = game.moves
        for bits in strings:
            game.play(bits)
        return game.moves - before

    def single() -> int:
        game.reset()
        draws, moves = rng.random(program.references).tolist(), 0
        while not game.done:
            mask = game.legal()
            fast = 1 if mask[1] else 2 if mask[2] else 0
            game.step(fast if draws[moves] < 0.5 else 0)
            moves += 1
        return moves

    def gymnasium() -> int:
        _, info = env.reset()
        draws, moves, done = rng.random(program.references).tolist(), 0, False
        while not done:
            mask = info["action_mask"]
            fast = 1 if mask[1] else 2 if mask[2] else 0
            _, _, done, _, info = env.step(fast if draws[moves] < 0.5 else 0)
            moves += 1
        return moves

    def python() -> int:
        plain.reset()
        draws, moves = rng.random(program.references).tolist(), 0
        while not plain.done:
            mask = plain.legal()
            fast = 1 if mask[1] else 2 if mask[2] else 0
            plain.step(fast if draws[moves] < 0.5 else 0)
            moves += 1
        return moves

    return {"compiled": compiled, "strings": whole, "Game": single, "Gymnasium": gymnasium, "plain": python}


def measure(program: MemoryProgram, capacity: int, repeats: int) -> dict[str, float]:
    """Median microseconds of a step of each contestant."""
    calls = contestants(program, Hardware.preset("tpuv4i", capacity))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.thread_time()
            moves = call()
            found[name].append((time.thread_time() - begin) / moves * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    program = recorded("transformer")
    rows: list[dict[str, Any]] = []
    for mib in (1, 2, 4, 8):
        row = {"MiB": mib, **measure(program, mib * MIB, options.repeats)}
        rows.append(row)
        met = "" if mib > 4 else "  within the bar" if row["compiled"] <= BAR else f"  above the bar of {BAR}"
        times = ", ".join(f"{name} {value:.2f}" for name, value in row.items() if name != "MiB")
        print(f"{mib} MiB, us a step: {times}; plain / compiled {row['plain'] / row['compiled']:.0f}{met}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
