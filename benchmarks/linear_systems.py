"""Speed of the solvers of linear systems and of the learners of omega, as ratios to peers in the same process.

    python benchmarks/linear_systems.py [--repeats 7] [--json FILE]

Matrices are five-point Laplacians in CSR with float64 entries, on one thread; times are the thread's CPU time, the
least of the repeats, the candidates taking turns. A sweep's or an iteration's time is the slope between two solves of
different length, without compiling and set-up; our sweeps test the residual each time, pyamg's do not. ``whole``
times are those of a complete solve to 1e-8 with b = 1. The learner's round is ``ask`` and ``tell``, over 5000 steps of
the heat equation, and after 500 and 50,000 rounds.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse.linalg as sla

from optimand.numerical.linear_systems import ChebCB, TsallisINF, cg, laplacian, prepare, sor, ssor_cg
from optimand.numerical.linear_systems.systems import HeatEquation

SHORT, LONG = 5, 45
Row = tuple[str, float, str, float | None]  # what, value, unit, bar


def least_times(calls: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """Least CPU seconds of each call, after one that is not counted."""
    for call in calls.values():
        call()
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.thread_time()
            call()
            least[name] = min(least[name], time.thread_time() - begin)
    return least


def slopes(solvers: dict[str, Callable[[int], Any]], repeats: int) -> dict[str, float]:
    """Seconds that each solver takes for one more iteration."""
    calls = {(name, n): (lambda f=f, n=n: f(n)) for name, f in solvers.items() for n in (SHORT, LONG)}
    times = least_times(calls, repeats)
    return {name: (times[name, LONG] - times[name, SHORT]) / (LONG - SHORT) for name in solvers}


def iterations(side: int, repeats: int, bars: bool) -> list[Row]:
    """A sweep against pyamg's, an iteration of SSOR-CG against one of plain CG."""
    from pyamg.relaxation.relaxation import sor as pyamg_sor

    A = laplacian(side)
    matrix, b, x = prepare(A), np.ones(A.shape[0]), np.zeros(A.shape[0])
    seconds = slopes(
        {
            "sor": lambda n: sor(matrix, b, omega=1.5, rtol=0, maxiter=n),
            "pyamg sor": lambda n: pyamg_sor(A, x, b, 1.5, iterations=n),
            "cg": lambda n: cg(matrix, b, rtol=0, maxiter=n),
            "ssor_cg": lambda n: ssor_cg(matrix, b, omega=1.8, rtol=0, maxiter=n),
            "scipy cg": lambda n: sla.cg(A, b, rtol=0, atol=0, maxiter=n),
            "scipy matvec": lambda n: [A @ b for _ in range(n)],
        },
        repeats,
    )

    def ratio(one: str, other: str, bar: float | None = None) -> Row:
        return f"n = {b.size}: {one} / {other}", seconds[one] / seconds[other], "", bar

    return [
        *((f"n = {b.size}: {name}", value * 1e6, "µs", None) for name, value in seconds.items()),
        ratio("sor", "pyamg sor", 1.15 if bars else None),
        ratio("ssor_cg", "cg", 1.5),
        ratio("ssor_cg", "scipy cg"),
    ]


def whole(side: int, repeats: int, omega: float) -> list[Row]:
    """Complete solves from the matrix as SciPy holds it, everything but compiling included."""
    import pyamg

    A = laplacian(side)
    b = np.ones(A.shape[0])
    calls: dict[str, Callable[[], Any]] = {
        f"ssor_cg, omega {omega}": lambda: ssor_cg(A, b, omega=omega),
        "cg": lambda: cg(A, b),
        "scipy cg": lambda: sla.cg(A, b, rtol=1e-8, atol=0),
        "pyamg, set-up": lambda: pyamg.ruge_stuben_solver(A),
        "scipy splu and solve": lambda: sla.splu(A.tocsc()).solve(b),
    }
    hierarchy = pyamg.ruge_stuben_solver(A)
    calls["pyamg, solve with CG"] = lambda: hierarchy.solve(b, tol=1e-8, accel="cg")
    times = least_times(calls, repeats)
    own = times[f"ssor_cg, omega {omega}"]
    counts = ssor_cg(A, b, omega=omega).nit, cg(A, b).nit
    return [
        (f"n = {b.size}: iterations of ssor_cg", counts[0], "", None),
        (f"n = {b.size}: iterations of cg", counts[1], "", None),
        *((f"n = {b.size}: {name}", seconds * 1e3, "ms", None) for name, seconds in times.items()),
        (f"n = {b.size}: ssor_cg / scipy cg", own / times["scipy cg"], "", 1.0),
        (f"n = {b.size}: ssor_cg / cg", own / times["cg"], "", None),
    ]


def overhead(nx: int, steps: int) -> list[Row]:
    """A learner's rounds as a part of the time of the solves they serve."""
    heat = HeatEquation(nx)
    tuner = ChebCB(context_bounds=heat.context_bounds, rng=0)
    system = heat.next()
    ssor_cg(system.matrix, system.b, system.x0, omega=1.5)
    rehearsal = ChebCB(context_bounds=heat.context_bounds, rng=0)
    rehearsal.ask(system.context)
    rehearsal.tell(10.0)  # loads the compiled code
    learning = solving = 0.0
    count = 0
    for _ in range(steps):
        system = heat.next()
        begin = time.thread_time()
        omega = tuner.ask(system.context)
        middle = time.thread_time()
        found = ssor_cg(system.matrix, system.b, system.x0, omega=omega)
        solved = time.thread_time()
        tuner.tell(found.cost)
        learning += middle - begin + time.thread_time() - solved
        solving += solved - middle
        heat.solved(found.x)
        count += found.nit
    return [
        (f"nx = {nx}: a solve", solving / steps * 1e6, "µs", None),
        (f"nx = {nx}: a round of ChebCB", learning / steps * 1e6, "µs", None),
        (f"nx = {nx}: iterations of {steps} solves", count, "", None),
        (f"nx = {nx}: ChebCB / solves", learning / solving, "", 0.05),
    ]


def independence(block: int = 500) -> list[Row]:
    """A round's time and the size of the state after 500 and after 50,000 rounds."""
    rows: list[Row] = []
    tuners = {"ChebCB": ChebCB(context_bounds=(0, 1), rng=0), "TsallisINF": TsallisINF(rng=0)}
    for name, tuner in tuners.items():
        times, sizes = [], []
        rng = np.random.default_rng(1)
        for _ in range(50_000 // block + 3):
            contexts, noise = rng.random(block), rng.integers(0, 5, block)
            begin = time.thread_time()
            for context, extra in zip(contexts.tolist(), noise.tolist(), strict=True):
                omega = tuner.ask(context)
                tuner.tell(round(40 + 300 * (omega - 1.2 - 0.6 * context) ** 2) + extra)
            times.append((time.thread_time() - begin) / block)
            sizes.append(len(pickle.dumps(tuner.state_dict())))
        early, late = min(times[1:4]), min(times[-3:])
        rows += [
            (f"{name}: a round after 500", early * 1e6, "µs", None),
            (f"{name}: after 50,000 / after 500", late / early, "", 1.5),
            (f"{name}: state, after 50,000 / after 500", sizes[-1] / sizes[0], "", 1.01),
        ]
    return rows


def report(rows: list[Row]) -> str:
    """The table as text."""
    lines = []
    for what, value, unit, bar in rows:
        shown = f"{value:.3f}" if value < 10 and not unit else f"{value:.1f}" if unit else f"{value:.0f}"
        verdict = "" if bar is None else f"  bar {bar:g}: {'met' if value <= bar else 'falls short'}"
        lines.append(f"{what:55s} {shown:>10s} {unit:2s}{verdict}".rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5000, help="of the heat equation")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows = [
        *iterations(99, 4 * options.repeats, bars=False),
        *iterations(399, options.repeats, bars=True),
        *whole(99, options.repeats, 1.8),
        *whole(399, 2, 1.95),
        *overhead(100, options.steps),
        *independence(),
    ]
    print(report(rows))
    if options.json:
        names = "what", "value", "unit", "bar"
        options.json.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))


if __name__ == "__main__":
    main()
