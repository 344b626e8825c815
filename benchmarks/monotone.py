"""Monotone inclusions: time of a variance-reduced step, passes on reference games, memory on a large sparse game.

    python benchmarks/monotone.py [--repeats 30] [--quick] [--choice SEED] [--json FILE]

Times are CPU time of one thread, the least of the repeats, with the peers in turn in one process:

* a step of VR-FoRB on a 300 x 300 game (a row, a column, two simplex projections; the evaluations of the whole
  operator that fall due are spread over the steps) against a full evaluation in NumPy with the same projections;
* a game solved to a gap of a thousandth of its norm against its linear program, solved exactly by HiGHS.

Passes are those to a natural residual of 1e-2 and 1e-3, payoffs scaled to norm 10; ``--quick`` leaves out the row that
takes half a minute. The memory is the growth of the process's resident peak, from the matrix to the end of the run.

``--choice SEED`` makes another table instead: what ``auto`` chooses against the methods that it could have chosen, on
49 operators drawn from that seed. It takes some minutes. The limits of the rule were set on other operators than these.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import peak_growth

from optimand.core.projections import Box, Free, project_simplex
from optimand.numerical.monotone import (
    FiniteSumOperator,
    MatrixGame,
    MatrixGameOperator,
    VRForb,
    choose_method,
    make_method,
    saddles,
)
from optimand.numerical.monotone.generators import payoff_matrix, sparse_payoff
from optimand.numerical.monotone.passes import FIXED_INNER, on_game, passes_to

STEP_BAR, MEMORY_BAR = 20.0, 3.0  # microseconds; times the matrix
# Algorithm 2 against a baseline: the largest share of its passes to 1e-3.
SHARE_BARS = {("burglar", "EAG"): 1 / 5, ("burglar", "EG"): 1 / 50, ("uniform", "EG"): 1 / 5}


def least(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each call, the calls taking turns."""
    found = dict.fromkeys(calls, math.inf)
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.thread_time()
            call()
            found[name] = min(found[name], time.thread_time() - begin)
    return found


def step_time(repeats: int) -> dict[str, float]:
    """Microseconds on a 300 x 300 game: a step of VR-FoRB, its compiled loop alone, a full step in NumPy."""
    A = payoff_matrix("uniform", 300, 0)
    op = MatrixGameOperator(A)
    u = np.full(600, 1 / 300)
    inner = VRForb(op, rng=0)
    inner.begin(u, 20 * op.n_effective**0.5 / op.L_mean)
    inner.run(2000)
    steps = 2000

    def loop() -> None:
        inner._left = steps  # no evaluation of the whole operator falls due within
        inner.advance(steps - 1)

    def full() -> None:
        x = project_simplex(u[:300] - 0.05 * (A.T @ u[300:]))
        project_simplex(u[300:] + 0.05 * (A @ x))

    found = least({"step": lambda: inner.run(steps), "loop": loop, "numpy": full}, repeats)
    return {"step": found["step"] / steps * 1e6, "loop": found["loop"] / steps * 1e6, "numpy": found["numpy"] * 1e6}


def passes_table(quick: bool) -> list[dict[str, Any]]:
    """Passes to 1e-2 and 1e-3 for each game and method; Algorithm 2 as the mean of three seeds."""
    targets = (1e-2, 1e-3)
    ours = {
        "Algorithm 2, eta = √N/L": {"eta_factor": 1.0, **FIXED_INNER},
        "Algorithm 2, eta = 20 √N/L": FIXED_INNER,
        "Algorithm 2, defaults here": {},
        "SVRG-EG": None,
    }
    rows = []
    for kind in ("uniform", "burglar"):
        A = payoff_matrix(kind, 300, 0)
        for title, name in (("EG", "eg"), ("EAG", "eag")):
            # EG needs 121 000 passes there
            most = 10_000 if quick else 200_000
            found = passes_to(on_game(name, A), targets, every=10, most=most)
            rows.append({"game": kind, "method": title, "passes": found})
        for title, options in ours.items():
            name = "svrg-eg" if options is None else "vr-halpern-inexact"
            runs = [passes_to(on_game(name, A, seed, **(options or {})), targets, most=20_000) for seed in range(3)]
            rows.append({"game": kind, "method": title, "passes": np.mean(runs, axis=0).tolist()})
    return rows


def against_highs(repeats: int) -> list[dict[str, float]]:
    """CPU milliseconds to a gap of 1e-3 of the norm, and of the exact linear program, by size."""
    rows = []
    for size in (50, 100, 200, 400):
        game = MatrixGame(payoff_matrix("burglar", size, 0))
        found = least(
            {"ours": lambda game=game: game.solve(tol=1e-2, rng=0), "highs": game.solve_exactly}, max(1, repeats // 10)
        )
        rows.append({"size": size, "ours_ms": found["ours"] * 1e3, "highs_ms": found["highs"] * 1e3})
    return rows


def large_sparse_game() -> dict[str, float]:
    """A game of 10^4 x 10^4 with 10^6 nonzeros: peak growth over the matrix's size, and residuals."""
    A = sparse_payoff(10_000, 1_000_000, 0)
    size = (A.data.nbytes + A.indices.nbytes + A.indptr.nbytes) / 2**20
    seen: list[float] = []
    # compiled beforehand, so that the compiler's memory is not counted
    small = make_method("vr-halpern-inexact", MatrixGameOperator(A[:50, :50]), np.full(100, 0.02), rng=0)
    small.step()

    def run() -> None:
        op = MatrixGameOperator(A)
        solver = make_method("vr-halpern-inexact", op, np.full(20_000, 1e-4), rng=0)
        seen.append(solver.natural_residual())
        while op.passes < 100:
            solver.step()
        seen.append(solver.natural_residual())

    begin = time.thread_time()
    growth = peak_growth(run)
    found = {"matrix_mib": size, "first": seen[0], "last": seen[1], "seconds": time.thread_time() - begin}
    return found if growth is None else {**found, "growth_mib": growth, "growth": growth / size}


def drawn_operators(seed: int) -> Iterator[tuple[str, FiniteSumOperator, np.ndarray, Any]]:
    """Operators of random size and conditioning, each as a label, the operator, a start and a set."""
    rng = np.random.default_rng(seed)

    def integer(low: float, high: float) -> int:
        return round(float(np.exp(rng.uniform(math.log(low), math.log(high)))))

    for _ in range(24):
        n, d, condition = integer(25, 2000), integer(5, 60), integer(1, 1000)
        common, skew, box = rng.choice([0.0, 1.0, 3.0]), rng.choice([0.5, 2.0]), rng.choice([0.1, 1.0])
        scales = np.geomspace(1, condition**-0.5, d) / math.sqrt(d * (1 + common**2))
        a, c = ((rng.standard_normal((n, d)) + common * rng.standard_normal((n, 1))) * scales for _ in range(2))
        B = np.einsum("ni,nj->nij", a, a + skew * c) + np.einsum("ni,nj->nij", c, c - skew * a)
        op = FiniteSumOperator.from_affine(B, rng.standard_normal((n, 1)) * a + 0.2 * c)
        yield f"sum n={n} d={d} condition={condition} skew={skew}", op, np.full(d, box), Box(-box, box)
    games = [(f"uniform[{low:.2f}, 1]", low) for low in rng.uniform(-1, 0, 10)]
    for title, low in games:
        m, n = integer(30, 300), integer(30, 300)
        yield f"game {title} {m} x {n}", *_game(rng.uniform(low, 1, (m, n)))
    for kind, size in (("burglar", integer(30, 300)), ("burglar", integer(30, 300)), ("blotto", integer(5, 20)),
                       ("kuhn", 3)):  # fmt: skip
        yield f"game {kind} {size}", *_game(payoff_matrix(kind, size, rng))
    for _ in range(3):
        size, each = integer(200, 1000), integer(5, 100)
        yield f"sparse game {size}, {each} a row", *_game(sparse_payoff(size, size * each, rng))
    for data in ("breast_cancer", "diabetes"):
        for made, strength in (("svm", integer(10, 300) / 1000), ("robust_least_squares", integer(100, 2000) / 1000)):
            op = getattr(saddles, made)(data, strength)
            yield f"{made} {data} {strength}", op, op.default_resolvent()(np.zeros(op.dim)), None
    for n, d, common in ((integer(300, 1000), integer(20, 200), rng.uniform(0, 2)) for _ in range(3)):
        x = rng.standard_normal((n, d)) + common * rng.standard_normal((n, 1))
        rows = np.sign(x @ rng.standard_normal(d) + rng.standard_normal(n))[:, None] * x / math.sqrt(n)
        bound = n**-0.5
        op = saddles.BilinearOperator(-rows, np.full(n, -bound), 0.05, Free(), Box(0.0, bound))
        yield f"svm {n} x {d}, common part {common:.1f}", op, np.zeros(n + d), None
    buyers, goods = integer(5, 40), integer(3, 20)
    market = saddles.random_market(buyers, goods, rng)
    start = np.concatenate([np.full(buyers * goods, 1 / buyers), np.full(goods, 1 / goods)])
    yield f"market {buyers} x {goods}", market, start, None


def _game(A: Any) -> tuple[FiniteSumOperator, np.ndarray, None]:
    m, n = A.shape
    A = A * (10 / MatrixGameOperator(A).L)
    return MatrixGameOperator(A), np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)]), None


def choice_table(seed: int) -> list[dict[str, Any]]:
    """Passes of the methods that ``auto`` could choose and of two it never does, and what it chooses."""
    rows = []
    for label, op, u0, limits in drawn_operators(seed):
        most, passes = 20_000.0, {}
        for name in ("eg", "svrg-eg", "vr-halpern-inexact", "eag", "vr-halpern"):
            if name == "vr-halpern" and op.L_cocoercive == math.inf:
                continue
            solver = make_method(name, op, u0, limits, rng=0)
            passes[name] = passes_to(solver, (1e-2, 1e-3), every=1 if "r" in name else 5, most=most)
            most = min(most, max(100.0, 4 * passes[name][1]))
        spread = op.L_mean / (op.L * math.sqrt(op.n_effective))
        rows.append({"label": label, "n": op.n_effective, "spread": spread, "auto": choose_method(op, u0), **passes})
    return rows


def choice_report(rows: list[dict[str, Any]]) -> str:
    """The table of choices, the last two columns the passes of ``auto`` as multiples of the fewest."""
    names = ("eg", "svrg-eg", "vr-halpern-inexact", "eag", "vr-halpern")
    lines = [f"{'operator':45s}{'n':>6s}{'spread':>8s}" + "".join(f"{name:>20s}" for name in names) + "   auto"]
    multiples = []
    for row in rows:
        multiples.append(
            [a / min(row[name][i] for name in names if name in row) for i, a in enumerate(row[row["auto"]])]
        )
        cells = [" / ".join(f"{p:.0f}" for p in row[name]) if name in row else "" for name in names]
        lines.append(
            f"{row['label']:45s}{row['n']:6.0f}{row['spread']:8.2f}" + "".join(f"{cell:>20s}" for cell in cells)
            + f"   {row['auto']} " + " / ".join(f"{m:.2f}" for m in multiples[-1])
        )  # fmt: skip
    for i, target in enumerate((1e-2, 1e-3)):
        found = sorted(m[i] for m in multiples)
        within = sum(m <= 1.5 for m in found)
        lines.append(
            f"to {target:g}: auto within 1.5 times the fewest passes on {within} of {len(found)}, median "
            f"{np.median(found):.2f}, worst {', '.join(f'{m:.2f}' for m in found[-3:])}"
        )
    return "\n".join(lines)


def verdict(value: float, bar: float) -> str:
    """The bar, and whether it is met."""
    return f"bar {bar:.3g}: {'met' if value <= bar else 'falls short'}"


def report(rows: dict[str, Any]) -> str:
    """The tables as text."""
    step = rows["step"]
    lines = [
        "VR-FoRB on a 300 x 300 game",
        f"  step {step['step']:.2f} us, without evaluations of the whole operator {step['loop']:.2f} us "
        f"({verdict(step['step'], STEP_BAR)})",
        f"  full step in NumPy {step['numpy']:.1f} us: a step is {step['step'] / step['numpy']:.3f} of it",
        "",
        f"{'game':10s}{'method':30s}{'to 1e-2':>10s}{'to 1e-3':>10s}",
    ]
    spent = {(row["game"], row["method"]): row["passes"][1] for row in rows["passes"]}
    lines += [
        f"{row['game']:10s}{row['method']:30s}" + "".join(f"{passes:10.0f}" for passes in row["passes"])
        for row in rows["passes"]
    ]
    for (game, peer), bar in SHARE_BARS.items():
        share = spent[game, "Algorithm 2, eta = 20 √N/L"] / spent[game, peer]
        known = f"{share:.4f} of {peer}'s passes on {game} ({verdict(share, bar)})"
        lines.append(f"  {known}" if math.isfinite(spent[game, peer]) else f"  {peer} on {game}: not run to the end")
    lines += ["", f"{'burglar game, size':22s}{'ours ms':>10s}{'HiGHS ms':>10s}"]
    lines += [f"{row['size']:<22d}{row['ours_ms']:10.1f}{row['highs_ms']:10.1f}" for row in rows["highs"]]
    sparse = rows["sparse"]
    lines += [
        "",
        f"sparse game, 10^4 x 10^4, 10^6 nonzeros ({sparse['matrix_mib']:.1f} MiB): residual {sparse['first']:.4g} to "
        f"{sparse['last']:.4g} in 100 passes, {sparse['seconds']:.1f} s",
    ]
    if "growth" in sparse:
        lines.append(f"  peak growth {sparse['growth']:.2f} times the matrix ({verdict(sparse['growth'], MEMORY_BAR)})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="leave out the slowest row")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--choice", type=int, metavar="SEED", help="the table of what auto chooses, instead")
    options = parser.parse_args()
    if options.choice is not None:
        table = choice_table(options.choice)
        print(choice_report(table))
        if options.json:
            options.json.write_text(json.dumps(table, indent=2))
        return
    rows: dict[str, Any] = {
        "sparse": large_sparse_game(),
        "step": step_time(options.repeats),
        "passes": passes_table(options.quick),
        "highs": against_highs(options.repeats),
    }
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
