"""Traced workflows: time of operations and of the backward pass, and memory, against ``trace-opt``.

    python benchmarks/workflows.py [--repeats 5] [--quick] [--json FILE]

Both record the same chain of additions ``y = y + x``, in turn in one process, the garbage collector off while timing;
times are CPU time of one thread, medians of the repeats. The backward pass includes making the subgraph that the
parameter receives. ``trace-opt`` keeps all nodes in a global graph, which is cleared before each of its turns. Where it
is not installed (``python -m pip install --no-deps trace-opt==0.1.3.8 && python -m pip install graphviz``), only our
times are shown.

Memory is what stays allocated after operations whose results are dropped, by ``tracemalloc``.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optimand.language.workflows import backward, bundle, node

BACKWARD_BAR, GROWTH_BAR, MEMORY_BAR = 20.0, 15.0, 1.0  # times faster; 1600 to 16000; MB


def peer() -> Any:
    """The official package; None where it is not installed."""
    try:
        import opto.trace  # type: ignore[import-not-found]
    except ImportError as error:
        print(f"trace-opt cannot be imported ({error}): no comparison")
        return None
    return opto.trace


class Ours:
    """Chains of this package."""

    name = "optimand"

    def __init__(self) -> None:
        self.x = node(1, name="x", trainable=True)

        @bundle()
        def add(a, b):
            """The sum."""
            return a + b

        self.add = add

    def fresh(self) -> None:
        """Forget what came before."""
        self.x.zero_feedback()

    def chain(self, length: int, bundled: bool = False) -> Any:
        """A chain of additions."""
        x = y = self.x
        for _ in range(length):
            y = self.add(y, x) if bundled else y + x
        return y

    def send(self, output: Any) -> None:
        """A backward pass, and the subgraph that the parameter gets."""
        backward(output, "larger")
        graph = self.x.received()
        assert graph is not None


class Theirs:
    """Chains of the official package."""

    name = "trace-opt"

    def __init__(self, trace: Any) -> None:
        self.trace = trace

        @trace.bundle()
        def add(a, b):
            """The sum."""
            return a + b

        self.add = add
        self.fresh()

    def fresh(self) -> None:
        """Clear the global graph."""
        self.trace.GRAPH.clear()
        self.x = self.trace.node(1, name="x", trainable=True)

    def chain(self, length: int, bundled: bool = False) -> Any:
        """A chain of additions."""
        x = y = self.x
        for _ in range(length):
            y = self.add(y, x) if bundled else y + x
        return y

    def send(self, output: Any) -> None:
        """A backward pass; the parameter's feedback holds the subgraph."""
        output.backward("larger")


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call without the garbage collector, and what it returned."""
    gc.collect()
    gc.disable()
    try:
        begin = time.thread_time()
        found = call()
        return time.thread_time() - begin, found
    finally:
        gc.enable()


def chain_times(sides: list[Any], length: int, repeats: int, bundled: bool = False) -> dict[str, dict[str, float]]:
    """Median microseconds per node of the forward, and milliseconds of the backward pass, the sides in turn."""
    found: dict[str, dict[str, list[float]]] = {side.name: {"forward": [], "backward": []} for side in sides}
    for _ in range(repeats):
        for side in sides:
            side.fresh()
            forward, output = timed(lambda side=side: side.chain(length, bundled))
            back, _ = timed(lambda side=side, output=output: side.send(output))
            found[side.name]["forward"].append(forward / length * 1e6)
            found[side.name]["backward"].append(back * 1e3)
            del output
            side.fresh()
    return {name: {key: statistics.median(values) for key, values in times.items()} for name, times in found.items()}


def memory_left(side: Any, operations: int) -> float:
    """Megabytes that stay allocated after operations whose results are dropped."""
    side.fresh()
    side.chain(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(operations // 100):
            side.chain(100)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / 1e6
    finally:
        tracemalloc.stop()
        side.fresh()


def main() -> int:
    """Measure, print, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer operations in the measure of memory")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    trace = peer()
    ours = Ours()
    sides = [ours] if trace is None else [ours, Theirs(trace)]
    result: dict[str, Any] = {
        "chain_1600": chain_times(sides, 1600, options.repeats),
        "bundled_400": chain_times(sides, 400, options.repeats, bundled=True),
        "chain_16000": chain_times([ours], 16000, options.repeats),
    }
    operations = 20_000 if options.quick else 100_000
    result["memory_mb"] = {ours.name: memory_left(ours, operations)}
    if trace is not None:
        result["memory_mb"][sides[1].name + ", 2000 operations"] = memory_left(sides[1], 2000)

    for name in ("chain_1600", "bundled_400", "chain_16000"):
        for side, times in result[name].items():
            print(f"{name:12} {side:10} forward {times['forward']:8.2f} us/node   backward {times['backward']:9.2f} ms")
    print("memory left", ", ".join(f"{side} {value:.3f} MB" for side, value in result["memory_mb"].items()))

    growth = result["chain_16000"][ours.name]["backward"] / result["chain_1600"][ours.name]["backward"]
    left = result["memory_mb"][ours.name]
    kept = [
        (f"backward 1600 -> 16000 grows by {growth:.1f} (below {GROWTH_BAR:g})", growth < GROWTH_BAR),
        (
            f"memory after {operations} operations (at most {MEMORY_BAR:g} MB)",
            left <= MEMORY_BAR,
        ),
    ]
    if trace is not None:
        mine, other = (result["chain_1600"][side.name] for side in sides)
        faster = other["backward"] / mine["backward"]
        kept.append((f"backward is {faster:.0f} times as fast (at least {BACKWARD_BAR:g})", faster >= BACKWARD_BAR))
        for name in ("chain_1600", "bundled_400"):
            ratio = result[name][sides[1].name]["forward"] / result[name][ours.name]["forward"]
            kept.append((f"forward of {name} is {ratio:.1f} times as fast (at least 1)", ratio >= 1))
    for sentence, holds in kept:
        print("holds " if holds else "FAILS ", sentence)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(holds for _, holds in kept) else 1


if __name__ == "__main__":
    raise SystemExit(main())
