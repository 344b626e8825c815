"""Where a transformer's tensors lie in fast memory: three layouts over time, and what more memory is worth.

    python examples/memory_gallery.py memory.png

Above, two mebibytes of fast memory over the 52 instructions of a small encoder, as greedy placement, a compiler's
heuristic and an evolution of decisions fill it. A rectangle is a tensor: from left to right the instructions during
which it lies there, from bottom to top its addresses. Greedy takes whatever fits and so blocks the way for what is
worth more; the heuristic ranks tensors first; the evolution fits short lives into the gaps. Below, how many times as
fast the program runs as with everything in slow memory, by the size of the fast one. The dashed line is what no layout
can pass: the least of CP-SAT's bounds for this and larger sizes, which ignore addresses and are found within a limit.
"""

from __future__ import annotations

import sys
from typing import Any

from optimand.combinatorial.memory_mapping import Game, hardware_of, map_memory, plot, recorded
from optimand.combinatorial.memory_mapping.heuristics.cp_sat import relax

METHODS = {"greedy": "#edae49", "xla": "#00798c", "evolution": "#d1495b"}
CAPACITIES = [2.0**k for k in (-2, -1, 0, 0.5, 1, 1.5, 2, 3)]  # MiB
MIB = 2**20
MOVES, QUICK = 1_500_000, 400_000  # of the evolution, for the layouts and for each size


def layouts(axes: Any) -> None:
    """The three layouts at 2 MiB."""
    program, hardware = recorded("transformer"), hardware_of("transformer", 2 * MIB)
    for axis, method in zip(axes, METHODS, strict=True):
        found = map_memory(program, hardware, method, budget=MOVES)
        plot(found.x, program, ax=axis, labels=False)
        axis.set(title=f"{method}: {found.speedup:.3f} times as fast")
    kinds = axes[0].get_legend().legend_handles  # of the layout that has all kinds
    for axis in axes:
        axis.get_legend().remove()
    axes[-1].legend(handles=kinds, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def curves(axis: Any) -> None:
    """Speed-ups by capacity, and the bound."""
    program = recorded("transformer")
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    bounds = [float("inf")]
    for capacity in reversed(CAPACITIES):
        hardware = hardware_of("transformer", int(capacity * MIB))
        for method, values in found.items():
            values.insert(0, map_memory(program, hardware, method, budget=QUICK).speedup)
        bound = relax(program, hardware, seconds=60.0, effort=0.7).bound
        bounds.insert(0, min(bounds[0], Game(program, hardware).all_slow_time / bound))
    for method, values in found.items():
        axis.plot(CAPACITIES, values, "o-", color=METHODS[method], label=method)
    axis.plot(CAPACITIES, bounds[:-1], "--", color="#30343f", label="bound")
    axis.set_xscale("log", base=2)
    axis.set_xticks(CAPACITIES, [f"{c:.3g}" for c in CAPACITIES])
    axis.set(title="speed-up by the size of fast memory", xlabel="MiB of fast memory", ylabel="times as fast")
    axis.legend(loc="upper left", frameon=False)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplot_mosaic([["a", "b", "c"], ["d", "d", "d"]], figsize=(14.5, 8.6), layout="constrained")
    layouts([axes[k] for k in "abc"])
    curves(axes["d"])
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/memory_gallery.py OUTPUT.png")
    main(sys.argv[1])
