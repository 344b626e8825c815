"""Claims of AdaSketch-Newton (arXiv 2305.18379): counts, robustness, accuracy and the mathematics of its parts."""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from typing import Any

import numpy as np

from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.core.validation import OptimandError
from optimand.numerical.constrained.baselines import solve_ipopt, solve_slsqp
from optimand.numerical.constrained.minimize import solve_problem
from optimand.numerical.constrained.problems import (
    constrained_logistic,
    entry,
    equality_problem,
    names,
    poisson_control,
)
from optimand.numerical.constrained.sketch import SketchSolver
from optimand.numerical.constrained.sqp_l1_gmres import solve_sqp_l1_gmres

PAPER = "exact-al-sketching"
NO_NUMBER = "no number at hand"
SET = "equality-set:which=cutest"
OURS, RK, GMRES, SLSQP = "adasketch-practical", "adasketch-rk", "sqp-l1-gmres", "slsqp"
ROBUST = StudySpec((SET,), (OURS, RK, GMRES, SLSQP), seeds=3)
ROBUST_SMALL = StudySpec((SET,), (OURS, RK, GMRES, SLSQP), seeds=1, budget=50)


@functools.lru_cache(maxsize=8)
def solved_set(which: str, **options: Any) -> dict[str, Any]:
    """Results on a set of the collection by name; kept, because several claims read the same runs."""
    return {name: solve_problem(equality_problem(name), rng=0, **options) for name in names(which)}


def _as_recorded(sketch: str, paper_solved: str) -> Finding:
    results = solved_set("cutest", sketch=sketch)
    recorded = {name: entry(name).recorded for name in results}
    rows = [(name, results[name].nit, count) for name, count in recorded.items() if count is not None]
    off = [f"{name} {nit} ({count})" for name, nit, count in rows if abs(nit - count) > 1]
    solved = [result for result in results.values() if result.success]
    median = statistics.median(result.nit for result in solved)
    return Finding(
        f"median {median:g}, {len(solved)} of {len(results)} solved; "
        f"{len(rows) - len(off)} of {len(rows)} counts within 1",
        median == 5 and len(solved) == len(results) - 2 and len(off) <= 2,
        f"default options, seed 0, recorded counts are GV's; further off: {', '.join(off) or 'none'}; the two others "
        f"stop at a singular Jacobian as in the record. {paper_solved}",
    )


def gaussian_counts() -> Finding:
    """Outer iterations with the Gaussian sketch, problem by problem."""
    return _as_recorded("gaussian", "45 of the paper's 47 problems are in the set (BA-L1 and BA-L1SP are not).")


def kaczmarz_counts() -> Finding:
    """Outer iterations with randomized Kaczmarz."""
    return _as_recorded("kaczmarz", "BT12 needs more, since all its solves end at the cap of 1e5 updates.")


def unit_steps() -> Finding:
    """Share of unit steps, problems with nothing else, and the last steps."""
    results = [result for result in solved_set("cutest", sketch="gaussian").values() if result.success]
    steps = np.concatenate([result.history["alpha"] for result in results])
    only = sum(bool((result.history["alpha"] == 1).all()) for result in results)
    share = float((steps == 1).mean())
    last = sum(result.history["alpha"][-1] == 1 for result in results)
    return Finding(
        f"{100 * share:.0f} % of {len(steps)} steps; {only} of {len(results)} solved problems use only unit steps, "
        f"{last} end with one",
        share >= 0.75 and only >= len(results) / 2 and last == len(results),
        "Gaussian sketch, default options, the 45 problems of the set",
    )


def fewer_iterations_than_gmres() -> Finding:
    """Median outer iterations and evaluations against the adaptive ℓ1-SQP."""
    ours = [result for result in solved_set("cutest", sketch="gaussian").values() if result.success]
    theirs = [solve_sqp_l1_gmres(equality_problem(name)) for name in names("cutest")]
    mine, other = (statistics.median(result.nit for result in group) for group in (ours, theirs))
    evaluations = [statistics.median(result.njev for result in group) for group in (ours, theirs)]
    return Finding(
        f"{mine:g} against {other:g} outer iterations; {evaluations[0]:g} against {evaluations[1]:g} gradients",
        mine < other,
        f"medians; GMRES solves {sum(result.success for result in theirs)} of {len(theirs)}. Here a trial point of "
        "either merit function counts as one gradient; the record counts differently",
    )


def robustness(sets: tuple[str, ...] = ("reference", "cutest")) -> Finding:
    """Problems solved and reported as solved, against SLSQP and Ipopt.

    Args:
        sets: of the collection.
    """
    members = list(dict.fromkeys(name for which in sets for name in names(which)))
    counts = {}
    for label, solver in (("SLSQP", solve_slsqp), ("Ipopt", solve_ipopt)):
        try:
            found = [solver(equality_problem(name)) for name in members]
        except OptimandError:
            continue
        counts[label] = sum(result.success and result.kkt <= 1e-4 for result in found)
    options = {"accuracy": "practical", "singular_tol": 1e-8, "sketch": "kaczmarz"}
    results = {name: result for which in sets for name, result in solved_set(which, **options).items()}
    ours = sum(result.success for result in results.values())
    ipopt = counts.get("Ipopt")
    return Finding(
        f"{ours} of {len(members)}; SLSQP {counts['SLSQP']}, Ipopt {'not installed' if ipopt is None else ipopt}",
        ours > counts["SLSQP"] and (ipopt is None or ours >= ipopt),
        "KKT residual at most 1e-4 and success reported; ours with practical accuracy, Kaczmarz, singular threshold "
        "1e-8; SLSQP with ftol 1e-12 and 500 iterations, all with exact derivatives",
    )


def solved_share(outcomes: Outcomes) -> Finding:
    """Share of the set that is not solved within the oracle calls."""
    problem = ROBUST.problems[0]
    shares = {method: outcomes.mean(problem, method) for method in ROBUST.methods}
    reported = {method: outcomes.cost(problem, method, "reported_solved") for method in ROBUST.methods}
    return Finding(
        "; ".join(f"{m}: {100 * (1 - s):.0f} %, {reported[m]:g} reported" for m, s in shares.items()),
        shares[OURS] <= shares[SLSQP] and reported[OURS] > reported[SLSQP] and shares[RK] <= 2 / 45 + 1e-9,
        "best point within 1000 oracle calls a problem: KKT residual with least-squares multipliers at most 1e-4; and "
        "how many of these the method itself calls solved",
    )


def practical_accuracy() -> Finding:
    """Inner work of the two accuracy tests."""
    rows = []
    for sketch in ("gaussian", "kaczmarz"):
        paper = solved_set("reference", sketch=sketch, singular_tol=1e-8)
        practical = solved_set("reference", sketch=sketch, singular_tol=1e-8, accuracy="practical")
        work = [statistics.median(result.n_inner for result in group.values()) for group in (paper, practical)]
        rows.append((sketch, *work, sum(result.success for result in practical.values())))
    return Finding(
        "; ".join(f"{sketch}: {paper:.2g} against {practical:.2g} updates" for sketch, paper, practical, _ in rows),
        all(solved == 20 and practical < paper / 2 for _, paper, practical, solved in rows),
        "median of the 20 reference problems, all of which both solve; 'paper' bounds the error by norms, 'practical' "
        "tests the residual and the descent condition only",
    )


def logistic_regression() -> Finding:
    """Outer iterations on constrained logistic regression, and values against SLSQP's."""
    iterations, excess = [], -math.inf
    for data in ("breast-cancer", "digits"):
        for seed in range(3):
            problem = constrained_logistic(data, seed)
            found = solve_problem(problem, sketch="exact", curvature_tol=1e-2)
            iterations.append(found.nit if found.success else math.inf)
            excess = max(excess, found.fun - solve_slsqp(problem).fun)
    return Finding(
        f"{', '.join(f'{count:g}' for count in iterations)} outer iterations; value at most {excess:.1g} above SLSQP's",
        max(iterations) <= 18 and excess <= 1e-5,
        "breast cancer and digits (even against odd), three draws of the equations each, exact solves, tolerance 1e-4; "
        "the paper's data sets are others",
    )


def poisson_control_counts() -> Finding:
    """Outer iterations on the PDE problem with the cap of 1e6 inner updates."""
    problem = poisson_control(3)
    counts = {}
    for sketch in ("gaussian", "kaczmarz", "exact"):
        counts[sketch] = solve_problem(problem, sketch=sketch, max_inner=1_000_000, rng=0).nit
    return Finding(
        f"GV {counts['gaussian']}, RK {counts['kaczmarz']}, exact {counts['exact']}",
        counts["gaussian"] == 4 and counts["kaczmarz"] <= 3 and counts["exact"] == 1,
        "3 x 3 grid, at most 1e6 updates an outer iteration, at which all of GV's solves end",
    )


def superlinear() -> Finding:
    """Ratios of the logarithms of consecutive residuals with an accuracy that tightens."""
    found = solve_problem(equality_problem("HS78"), sketch="exact", theta=lambda k, b: min(1.0, b), tol=1e-10)
    residuals = found.history["kkt"]
    below_one = [r for r in residuals if 1e-12 < r < 1]
    ratios = [math.log(b) / math.log(a) for a, b in itertools.pairwise(below_one)]
    return Finding(
        f"ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}",
        found.success and len(ratios) >= 2 and min(ratios) >= 1.5,
        f"HS78, θ_k = min(1, ‖b_k‖), exact solves: residuals {', '.join(f'{r:.2g}' for r in residuals)}",
    )


def inner_monotonicity() -> Finding:
    """Largest growth of the inner solver's error over single updates."""
    worst, updates = -math.inf, 0
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, m = int(rng.integers(3, 9)), 2
        h, g = rng.standard_normal((n, n)), rng.standard_normal((m, n))
        matrix = np.block([[h @ h.T + np.eye(n), g.T], [g, np.zeros((m, m))]])
        solution = rng.standard_normal(n + m)
        for sketch in ("gaussian", "kaczmarz", "block"):
            size = 3 if sketch == "block" else 1
            solver = SketchSolver(matrix, matrix @ solution, sketch=sketch, block_size=size, rng=rng, check_every=1)
            before = float(np.linalg.norm(solution))
            for _ in range(40):
                solver.advance(0.0, solver.count + 1)
                error = float(np.linalg.norm(solver.x - solution))
                worst, before, updates = max(worst, error - before), error, updates + 1
    return Finding(
        f"largest growth {worst:.1e} in {updates} updates",
        worst <= 1e-12,
        "20 random KKT matrices with 5 to 10 unknowns; Gaussian, Kaczmarz and block sketches",
    )


def descent() -> Finding:
    """Slope condition and decrease of the merit function at every accepted step."""
    slack, steps = -math.inf, 0
    for sketch in ("gaussian", "kaczmarz"):
        for result in solved_set("reference", sketch=sketch).values():
            history = result.history
            kkt = history["kkt"][: len(history["alpha"])]
            slack = max([slack, *(history["slope"] + 0.5 * history["eta2"] * kkt**2)])
            rise = history["merit"] - history["merit_before"]
            slack = max([slack, *(rise - 1e-14 * np.maximum(1, np.abs(history["merit_before"])))])
            steps += len(kkt)
    return Finding(
        f"violated by at most {max(slack, 0):.0e} in {steps} steps",
        slack <= 0,
        "reference problems, GV and RK, default options: slope ≤ -(η₂/2)‖(∇L; c)‖² and no step raises the merit",
    )


CLAIMS = (
    Claim(
        PAPER, "gaussian-counts", "AdaSketch-Newton-GV solves the CUTEst problems in few outer iterations.",
        NO_NUMBER, gaussian_counts, reference="median 5, 45 of 47 solved (the authors' result files)",
    ),
    Claim(
        PAPER, "kaczmarz-counts", "AdaSketch-Newton-RK needs as few.", NO_NUMBER, kaczmarz_counts,
        reference="median 5, 45 of 47 solved (the authors' result files)",
    ),
    Claim(
        PAPER, "unit-steps", "Most steps are unit steps, and all are eventually.",
        "unit steps near the solution: a theorem", unit_steps,
        reference="80 % of the steps; 26 of 47 problems use only unit steps (the authors' result files)",
    ),
    Claim(
        PAPER, "fewer-than-gmres", "It takes fewer outer iterations than the adaptive ℓ1-SQP with GMRES.",
        NO_NUMBER, fewer_iterations_than_gmres,
        reference="median 5 against 6; 24 against 14 gradient evaluations (the authors' result files)",
    ),
    Claim(
        PAPER, "robustness", "It is as robust as established solvers.", NO_NUMBER, robustness,
        reference="45 of 47 problems, the ℓ1-SQP with GMRES 47 (the authors' result files)",
    ),
    Claim(
        PAPER, "solved-share", "Within the same oracle calls it solves as many problems as established solvers.",
        NO_NUMBER, solved_share, ROBUST, ROBUST_SMALL,
        reference="45 of 47 problems, the ℓ1-SQP with GMRES 47 (the authors' result files)",
    ),
    Claim(
        PAPER, "practical-accuracy", "The inner accuracy adapts, which keeps the inner work small.",
        NO_NUMBER, practical_accuracy,
        reference="tens of thousands of updates against 3.8e3 (GV) and 6.7e3 (RK); at the defaults the paper's "
        "accuracy is at its floor (another implementation)",
    ),
    Claim(
        PAPER, "logistic-regression", "Constrained logistic regression takes few outer iterations.",
        NO_NUMBER, logistic_regression,
        reference="7 to 10 on seven LIBSVM sets (the authors' result files); 13, 11, 11, 9, 11, 10 (another "
        "implementation)",
    ),
    Claim(
        PAPER, "poisson-control", "So does the control of a PDE.", NO_NUMBER, poisson_control_counts,
        reference="GV 4, RK 3 (the authors' result files); exact 1 (another implementation)",
    ),
    Claim(
        PAPER, "superlinear", "With an accuracy that tightens the convergence is superlinear.", "no number; a theorem",
        superlinear, reference="ratios 3.04, 2.31 (another implementation)",
    ),
    Claim(
        PAPER, "inner-monotonicity", "Every update of the inner solver is a projection: its error never grows.",
        "no number; a theorem", inner_monotonicity,
    ),
    Claim(
        PAPER, "descent", "Accepted steps are descent directions of the exact augmented Lagrangian.",
        "no number; a theorem", descent,
    ),
    Claim(
        PAPER, "times", "Solving takes fractions of a second on CUTEst and minutes to hours on logistic regression.",
        NO_NUMBER,
        reference="medians 0.117 s (GV) and 0.035 s (RK); 26 to 4940 s on regression (the authors' result files)",
        untestable="times of the authors' Julia code on their machine; the benchmark measures ours against SLSQP's",
    ),
)  # fmt: skip
