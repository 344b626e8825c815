"""Claims of the penalty paper (arXiv 2309.01753). It has no experiments: sentences are theorems, checked on cases with
known answers, and the reference problem of the authors' earlier paper (data hyper-cleaning, arXiv 2301.10945)."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np

from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.core.projections import Box
from optimand.numerical.bilevel.baselines import Unrolled
from optimand.numerical.bilevel.cleaning import HyperCleaning, digits_data
from optimand.numerical.bilevel.diagnostics import penalty_growth
from optimand.numerical.bilevel.implicit import implicit_hypergradient, limit_hypergradient
from optimand.numerical.bilevel.methods import double_loop
from optimand.numerical.bilevel.oracle import Level, LevelOracle
from optimand.numerical.bilevel.penalty import hypergradient
from optimand.numerical.bilevel.problems import digits_hyper_cleaning
from optimand.numerical.bilevel.quadratic import QuadraticPrograms
from optimand.papers.bilevel_penalty.noisy import ManySolutions, noisy_runs

PAPER = "bilevel-penalty"
DIGITS, RESPLIT = "digits-hyper-cleaning:splits=fixed", "digits-hyper-cleaning"
PENALTIES = ("bilevel-penalty", "bilevel-penalty-single", "bilevel-penalty-storm")
METHODS = (*PENALTIES, "bilevel-implicit", "no-cleaning", "validation-only")

TABLE = StudySpec((DIGITS,), METHODS, seeds=3)
TABLE_SMALL = StudySpec((DIGITS,), METHODS, seeds=1, budget=600)
SPLITS = StudySpec((RESPLIT,), METHODS, seeds=5)
SPLITS_SMALL = StudySpec((RESPLIT,), METHODS, seeds=2, budget=600)


def cleaning_table(outcomes: Outcomes) -> Finding:
    """Accuracy of the z model and area under the curve of the weights, on the reference split."""
    texts, holds = [], True
    for name in PENALTIES:
        accuracy = 1 - outcomes.mean(DIGITS, name, metric="error")
        auc = outcomes.mean(DIGITS, name, metric="auc", split="train")
        texts.append(f"{name} {accuracy:.3f} / {auc:.3f}")
        holds = holds and accuracy >= 0.93 and auc >= 0.94
    others = ", ".join(f"{name} {1 - outcomes.mean(DIGITS, name, metric='error'):.3f}" for name in METHODS[3:])
    return Finding(
        "; ".join(texts),
        holds,
        f"test accuracy / area under the curve of the weights, mean of the seeds; bars 0.930 / 0.94; {others}",
    )


def cleaning_splits(outcomes: Outcomes) -> Finding:
    """Test error on fresh splits, against no cleaning and against implicit differentiation."""
    error = {name: outcomes.mean(RESPLIT, name, metric="error") for name in METHODS}
    worst = max(PENALTIES, key=lambda name: error[name])
    return Finding(
        ", ".join(f"{name} {value:.3f}" for name, value in error.items()),
        error[worst] < error["no-cleaning"] and error[worst] <= error["bilevel-implicit"] + 0.01,
        "test error, mean over splits; holds if all penalty methods beat no cleaning and are within 0.01 of implicit",
    )


def hypergradient_slope() -> Finding:
    """Error of the penalty gradient on the digits, both lower problems solved by Newton's method."""
    oracle = HyperCleaning(digits_data())
    u, start = np.full(800, 0.5), np.zeros((10, 65))
    z = oracle.newton(u, start, 0.0)
    exact, _ = implicit_hypergradient(
        *oracle.upper_gradients(u, z), *oracle.second_order(u, z), tol=1e-12, maxiter=2000
    )
    sigmas, errors = [1.0, 0.1, 0.01, 0.001], []
    for sigma in sigmas:
        gradient = oracle.upper(u, oracle.newton(u, z, sigma), z, sigma)
        errors.append(float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact)))
    slope = float(np.polyfit(np.log(sigmas[1:]), np.log(errors[1:]), 1)[0])
    return Finding(
        f"slope {slope:.3f}",
        0.85 <= slope <= 1.1,
        "digits, u = 1/2; relative error "
        + ", ".join(f"{e:.4f} at {s:g}" for s, e in zip(sigmas, errors, strict=True)),
    )


def _random_program(seed: int) -> tuple[Any, Any, float, Any]:
    """A quadratic program over another: its oracle, x, psi(x) and the gradient of psi."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(6, 6))
    A, B, target, x = a @ a.T / 6 + 0.3 * np.eye(6), rng.normal(size=(6, 3)), rng.normal(size=6), rng.normal(size=3)
    y = np.linalg.solve(A, B @ x)
    psi = 0.5 * float(((y - target) ** 2).sum() + 0.1 * (x**2).sum())
    return QuadraticPrograms(A, B, target, 0.1), x, psi, limit_hypergradient(0.1 * x, y - target, A, -B.T)


def closeness() -> Finding:
    """Slopes of the errors of value and gradient against sigma on random quadratic programs."""
    sigmas, slopes = np.array([1e-3, 1e-2, 1e-1]), []
    for seed in range(10):
        oracle, x, psi, gradient = _random_program(seed)
        errors = []
        for sigma in sigmas:
            found = hypergradient(oracle, x, float(sigma), np.zeros(6), tol=1e-11)
            errors.append((abs(psi - found.fun), np.linalg.norm(found.grad - gradient)))
        slopes.append([np.polyfit(np.log(sigmas), np.log(column), 1)[0] for column in np.array(errors).T])
    low, high = np.min(slopes), np.max(slopes)
    return Finding(
        f"slopes {low:.2f} to {high:.2f}",
        bool(low > 0.8 and high < 1.15),
        "errors of value and gradient at sigma = 0.1, 0.01, 0.001 on a log scale, 10 random quadratic programs",
    )


def monotone() -> Finding:
    """Smallest increase of psi_sigma as sigma falls, and its largest excess over psi."""
    rises, excess = [], []
    for seed in range(10):
        oracle, x, psi, _ = _random_program(seed)
        values = [hypergradient(oracle, x, float(s), np.zeros(6), tol=1e-11).fun for s in np.geomspace(10, 1e-3, 9)]
        rises.append(np.diff(values).min())
        excess.append(max(values) - psi)
    return Finding(
        f"smallest rise {min(rises):.1e}, largest excess over psi {max(excess):.1e}",
        bool(min(rises) > -1e-9 and max(excess) < 1e-9),
        "sigma from 10 down to 0.001 in 8 steps, 10 random quadratic programs",
    )


def many_solutions() -> Finding:
    """The penalty gradient on a lower level with many solutions, and the pseudo-inverse formula."""
    x, start = np.array([3.0]), np.zeros((1, 2))
    found = [float(hypergradient(ManySolutions(), x, s, start).grad[0]) for s in (1.0, 0.1, 0.01)]
    limit = float(limit_hypergradient([0.0], [2.0, 2.0], np.ones((2, 2)), -np.ones((1, 2)))[0])
    exact = [4 / (2 + s) for s in (1.0, 0.1, 0.01)]
    return Finding(
        f"limit {limit:.6f}; " + ", ".join(f"{g:.6f}" for g in found) + " at sigma = 1, 0.1, 0.01",
        abs(limit - 2) < 1e-9 and max(abs(a - b) for a, b in zip(found, exact, strict=True)) < 1e-6,
        "f = |y - (1, -2)|²/2 over minimizers of (y_1 + y_2 - x)², at x = 3; exact 4/(2 + sigma) and 2",
    )


def discontinuous() -> Finding:
    """Ratio of the penalty gradients at sigma/2 and sigma where psi jumps, and where it does not."""
    f = Level(lambda x, y: x**2 + y**2, lambda x, y: 2 * x, lambda x, y: 2 * y)
    g = Level(lambda x, y: x * y, lambda x, y: y, lambda x, y: x)
    ratios = [
        penalty_growth(
            LevelOracle(f, g, (), ()), np.float64(x), 0.1, np.float64(0), project_y=Box(-1.0, 1.0), warn=False
        )
        for x in (0.01, 0.3)
    ]
    return Finding(
        f"{ratios[0]:.2f} next to the jump, {ratios[1]:.2f} away from it",
        ratios[0] > 1.5 > ratios[1],
        "f = x² + y², g = x y on [-1, 1], sigma = 0.1, at x = 0.01 and x = 0.3; growth like 1/sigma gives 2",
    )


def variance_reduction() -> Finding:
    """Error of the estimate of the x-gradient with and without momentum, for two kinds of noise."""
    texts, holds = [], True
    for noise in ("independent", "paired"):
        (final, storm), (_, plain) = (noisy_runs(momentum, noise) for momentum in (True, False))
        ratio = float(storm.mean() / plain.mean())
        holds = holds and ratio <= 0.2 and final.mean() <= (0.12 if noise == "independent" else 0.02)
        texts.append(f"{noise} noise {storm.mean():.3f} against {plain.mean():.3f}, |x - x*| {final.mean():.4f}")
    return Finding(
        "; ".join(texts), holds, "root mean square over the last 2000 of 20 000 steps, mean of 10 seeds; bar: a fifth"
    )


def single_loop_converges() -> Finding:
    """Distance to the solution after 20 000 steps of the single loop without noise."""
    final, _ = noisy_runs(True, "none", runs=1)
    return Finding(
        f"|x - x*| = {final[0]:.1e}", bool(final[0] <= 1e-6), "many lower solutions, from x = 3, the paper's schedules"
    )


def memory() -> Finding:
    """Peak memory of a step with 10 and with 1000 inner steps, of the penalty method and of unrolling."""
    ratios, texts = [], []
    for name, build in (("penalty", double_loop), ("unrolled", Unrolled)):
        peaks = []
        for steps in (10, 1000):
            solver = build(digits_hyper_cleaning(splits="fixed").instance(), inner_steps=steps)
            solver.step()
            tracemalloc.start()
            solver.step()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        ratios.append(peaks[1] / peaks[0])
        texts.append(f"{name} {peaks[0] / 1024:.0f} and {peaks[1] / 1024:.0f} KiB")
    return Finding(
        "; ".join(texts),
        abs(ratios[0] - 1) <= 0.05 and ratios[1] > 2,
        "traced peak of a step with 10 and with 1000 lower steps, digits; holds if the first changes by at most 5 % "
        "and the second more than doubles",
    )


def _rate(name: str, sentence: str, value: str) -> Claim:
    why = "a bound for the worst case over a class of problems, which no run can confirm"
    return Claim(PAPER, name, sentence, value, untestable=why)


CLAIMS = (
    Claim(
        PAPER,
        "value-and-gradient",
        "Value and gradient of the penalty function are O(sigma)-close to those of the hyper-objective.",
        "O(sigma) for both under an error bound: slope 1",
        closeness,
    ),
    Claim(
        PAPER,
        "hypergradient-slope",
        "The error of the penalty gradient falls in proportion to sigma on data hyper-cleaning.",
        "no number; the theorem's rate is slope 1",
        hypergradient_slope,
        reference="slope 0.927 (another implementation)",
    ),
    Claim(
        PAPER,
        "monotone",
        "The penalty function lies below the hyper-objective and rises as sigma falls.",
        "no number; follows from the definition",
        monotone,
    ),
    Claim(
        PAPER,
        "many-solutions",
        "With many lower solutions the penalty gradient tends to an explicit hypergradient with a pseudo-inverse.",
        "no number; a formula",
        many_solutions,
        reference="limit 2; 1.333333, 1.904762, 1.990050 at sigma = 1, 0.1, 0.01 (in closed form)",
    ),
    Claim(
        PAPER,
        "discontinuous",
        "Where the lower solutions jump with x the hyper-objective need not be differentiable: there the penalty "
        "gradient grows like 1/sigma.",
        "no number; an example with a bilinear lower level",
        discontinuous,
        reference="1.89 next to the jump, 1 away from it (in closed form)",
    ),
    Claim(
        PAPER,
        "single-loop",
        "A single loop with falling penalty reaches a stationary point, with exact gradients here.",
        "no number",
        single_loop_converges,
        reference="5e-8 (another implementation)",
    ),
    Claim(
        PAPER,
        "momentum",
        "Momentum-assisted estimators reduce the error of the gradient estimates that a single loop works with.",
        "no number",
        variance_reduction,
        reference="independent noise 0.070 against 1.21, paired noise 0.006 against 0.105 (another implementation)",
    ),
    Claim(
        PAPER,
        "memory",
        "Memory does not depend on the number of lower steps, unlike that of unrolling.",
        "no number",
        memory,
    ),
    Claim(
        PAPER,
        "hyper-cleaning",
        "Data hyper-cleaning finds the wrong labels and repairs the model, in double, single and stochastic loops.",
        "no number; the paper has no experiments",
        cleaning_table,
        TABLE,
        TABLE_SMALL,
        reference="0.936 to 0.940 / 0.949 to 0.960 (another implementation, the same split)",
    ),
    Claim(
        PAPER,
        "first-order",
        "Gradients of both levels suffice: results are those of methods with second derivatives.",
        "no number",
        cleaning_splits,
        SPLITS,
        SPLITS_SMALL,
        reference="error 0.060 to 0.064 against 0.064 (another implementation and jaxopt's, one split)",
    ),
    _rate("rate-exact", "Exact gradients: an epsilon-stationary point after O(epsilon^-3) gradients.", "O(epsilon^-3)"),
    _rate("rate-stochastic", "Stochastic gradients: O(epsilon^-7) with large batches.", "O(epsilon^-7)"),
    _rate(
        "rate-momentum",
        "Mean-squared smooth stochastic gradients and momentum: O(epsilon^-5) in a single loop.",
        "O(epsilon^-5)",
    ),
)
