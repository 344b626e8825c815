"""Speed of AdaSketch-Newton and its parts against SLSQP, Ipopt and plain NumPy, and the iteration table.

    python benchmarks/constrained.py [--repeats 7] [--json FILE]

All run in turn in one process; times are CPU time, the least of the repeats. The problems are the twenty reference
problems (``equality-set:which=reference``) with exact derivatives, the same functions for all solvers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from optimand.core.validation import OptimandError
from optimand.numerical.constrained import EqualityProblem, solve_problem
from optimand.numerical.constrained.baselines import dense_constraints, solve_ipopt
from optimand.numerical.constrained.problems import equality_problem, names, poisson_control
from optimand.numerical.constrained.sketch import SketchSolver

EXACT_COUNTS = (9, 10, 5, 1, 3, 4, 1, 1, 1, 8, 4, 4, 1, 5, 13, 7, 5, 1, 5, 2)


def least_time(run: Callable[[], Any], repeats: int) -> float:
    """CPU seconds of the fastest call."""
    best = np.inf
    for _ in range(repeats):
        begun = time.process_time()
        run()
        best = min(best, time.process_time() - begun)
    return float(best)


def kkt_system(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A KKT matrix of seven unknowns and three equations, and a right-hand side."""
    rng = np.random.default_rng(seed)
    half, jac = rng.standard_normal((7, 7)), rng.standard_normal((3, 7))
    matrix = np.block([[half @ half.T + np.eye(7), jac.T], [jac, np.zeros((3, 3))]])
    return matrix, matrix @ rng.standard_normal(10)


def plain_kaczmarz(matrix: np.ndarray, b: np.ndarray, updates: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform randomized Kaczmarz in NumPy, the residual computed every ten updates."""
    x, squares = np.zeros_like(b), (matrix**2).sum(1)
    for k in range(updates):
        i = rng.integers(len(b))
        row = matrix[i]
        x -= (row @ x - b[i]) / squares[i] * row
        if k % 10 == 9:
            np.linalg.norm(matrix @ x - b)
    return x


def kaczmarz_speed(repeats: int) -> list[dict[str, Any]]:
    """Updates per second at ten unknowns, the residual checked every ten updates."""
    matrix, b = kkt_system()
    updates, plain_updates = 2_000_000, 20_000

    def compiled() -> None:
        solver = SketchSolver(matrix, b, sketch="kaczmarz", rng=np.random.default_rng(0), check_every=10)
        solver.advance(0.0, updates)

    compiled()
    ours = updates / least_time(compiled, repeats)
    plain = plain_updates / least_time(
        lambda: plain_kaczmarz(matrix, b, plain_updates, np.random.default_rng(0)), repeats
    )
    return [
        row("RK updates per second, 10 unknowns", ours, 5e6, at_least=True),
        row("RK updates per second over plain NumPy's", ours / plain, None),
    ]


def slsqp(problem: EqualityProblem) -> Any:
    """SLSQP as a user runs it."""
    constraints = dense_constraints(problem.cons, problem.jac)
    options = {"ftol": 1e-12, "maxiter": 500}
    return minimize(problem.fun, problem.x0, jac=problem.grad, method="SLSQP", constraints=constraints, options=options)


def set_times(repeats: int) -> list[dict[str, Any]]:
    """Total time on the reference problems, each solver's least time a problem."""
    problems = [equality_problem(name) for name in names("reference")]
    solvers: dict[str, Callable[[EqualityProblem], Any]] = {
        "exact": lambda p: solve_problem(p, sketch="exact", singular_tol=1e-8),
        "kaczmarz": lambda p: solve_problem(p, sketch="kaczmarz", singular_tol=1e-8, accuracy="practical", rng=0),
        "slsqp": slsqp,
        "ipopt": solve_ipopt,
    }
    try:
        solve_ipopt(problems[0])
    except OptimandError:
        del solvers["ipopt"]
    times: dict[str, dict[str, float]] = {label: {} for label in solvers}
    for problem in problems:
        for label, solver in solvers.items():
            solver(problem)
            times[label][problem.name] = least_time(lambda s=solver, p=problem: s(p), repeats)
    total = {label: sum(each.values()) for label, each in times.items()}
    without = {label: total[label] - times[label]["HS7"] for label in total}
    rows = [
        row("exact: total time over SLSQP's, without HS7", without["exact"] / without["slsqp"], 3.0),
        row("exact: total time over SLSQP's, all twenty", total["exact"] / total["slsqp"], 3.0),
        row("practical RK: total time over SLSQP's, without HS7", without["kaczmarz"] / without["slsqp"], None),
        row("exact: milliseconds for all twenty", 1e3 * total["exact"], None),
        row("SLSQP: milliseconds for all twenty", 1e3 * total["slsqp"], None),
    ]
    if "ipopt" in total:
        rows.append(row("exact: total time over Ipopt's, all twenty", total["exact"] / total["ipopt"], None))
    return rows


def block_sizes() -> list[dict[str, Any]]:
    """Blocks of 64 equations until the residual has fallen to a hundredth on the Poisson problem's KKT matrix."""
    problem = poisson_control(6)
    jac, hess = (m.toarray() for m in (problem.jac(problem.x0), problem.hess(problem.x0, problem.lam0)))
    matrix = np.block([[hess, jac.T], [jac, np.zeros((36, 36))]])
    b = np.append(-problem.grad(np.zeros(72))[:36], np.zeros(72))
    counts = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        solver = SketchSolver(matrix, b, sketch="block", block_size=64, rng=rng, check_every=1)
        solver.advance(1e-2 * float(np.linalg.norm(b)), 30_000)
        counts.append(solver.count)
    single = SketchSolver(matrix, b, sketch="kaczmarz", rng=np.random.default_rng(0))
    single.advance(1e-2 * float(np.linalg.norm(b)), 3_000_000)
    return [
        row("blocks of 64 rows to a residual of 1 %, 108 unknowns", max(counts), 2500),
        row(
            "the same, single rows: residual after 3e6 updates, %",
            100 * single.residual / float(np.linalg.norm(b)),
            None,
        ),
    ]


def iteration_table() -> list[dict[str, Any]]:
    """Outer iterations on the reference problems with exact solves, GV and RK."""
    rows = []
    for name, expected in zip(names("reference"), EXACT_COUNTS, strict=True):
        problem = equality_problem(name)
        exact = solve_problem(problem, sketch="exact", singular_tol=1e-8).nit
        counts = {}
        for label, sketch in (("GV", "gaussian"), ("RK", "kaczmarz")):
            results = [solve_problem(problem, sketch=sketch, rng=seed) for seed in range(3)]
            text = "/".join(str(result.nit) for result in results)
            counts[label] = text if results[0].success else f"{text} (singular)"
        entry = row(f"{name}: exact iterations (GV {counts['GV']}, RK {counts['RK']})", exact, None)
        entry["met"] = exact == expected
        rows.append(entry)
    return rows


def row(what: str, value: float, bar: float | None, *, at_least: bool = False) -> dict[str, Any]:
    """A line of the table; without a bar nothing is judged."""
    met = None if bar is None else (value >= bar if at_least else value <= bar)
    return {"what": what, "value": float(value), "bar": bar, "met": met}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [*kaczmarz_speed(arguments.repeats), *set_times(arguments.repeats), *block_sizes(), *iteration_table()]
    for entry in rows:
        verdict = "" if entry["met"] is None else "met" if entry["met"] else "falls short"
        bar = "" if entry["bar"] is None else f"{entry['bar']:.3g}"
        print(f"{entry['what']:66} {entry['value']:10.3g} {bar:>8} {verdict}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
