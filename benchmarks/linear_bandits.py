"""Misspecified linear bandits: enumeration of sparse hypotheses and optimal designs, against plain loops.

    python benchmarks/linear_bandits.py [--repeats 5] [--json FILE]

* Greedy actions of all hypotheses (supports times points of the net): the compiled rounds; one matrix product a support
  in NumPy; and a Python loop with one argmax a hypothesis. All three find the same actions. The bar is a twentieth of
  the loop's time on the instance of 60 features, and 200 MiB of growth of the process's peak.
* Elimination: time to prepare its hypotheses, and for a search.
* A G-optimal design against Frank-Wolfe in NumPy as it is written down: from 2 d random actions, the inverse updated by
  rank one, all forms computed anew in each step, to the same value.

Times are CPU time of one thread, the least of the repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import peak_growth

from optimand.online.linear_bandits import MisspecifiedLinearBandit, SparseSearch, g_optimal_design
from optimand.online.linear_bandits.generators import gaussian_actions, random_theta

RATIO_BAR, MEMORY_BAR = 20.0, 200.0
SIZES = ((60, 4000, 2), (20, 20_000, 2), (20, 4000, 3))


def least(call: Callable[[], Any], repeats: int) -> float:
    """Least CPU seconds of a call."""
    found = math.inf
    for _ in range(repeats):
        begin = time.thread_time()
        call()
        found = min(found, time.thread_time() - begin)
    return found


def by_loop(Phi: np.ndarray, s: int, net: np.ndarray) -> np.ndarray:
    """One argmax a hypothesis."""
    chosen = np.zeros(len(Phi), dtype=bool)
    for support in itertools.combinations(range(Phi.shape[1]), s):
        for v in net:
            chosen[np.argmax(Phi[:, support] @ v)] = True
    return np.flatnonzero(chosen)


def by_products(Phi: np.ndarray, s: int, net: np.ndarray) -> np.ndarray:
    """One product and one argmax a support."""
    chosen = np.zeros(len(Phi), dtype=bool)
    for support in itertools.combinations(range(Phi.shape[1]), s):
        chosen[np.argmax(Phi[:, support] @ net.T, axis=0)] = True
    return np.flatnonzero(chosen)


def enumeration(repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of the three ways for each size; the loop only where it ends within seconds."""
    rows = []
    for d, N, s in SIZES:
        Phi = gaussian_actions(N, d, 0)

        def ours(Phi: np.ndarray = Phi, s: int = s) -> SparseSearch:
            return SparseSearch(Phi, s, 0.1, method="net")

        search = ours()  # compiled now
        row: dict[str, Any] = {
            "d": d,
            "N": N,
            "s": s,
            "hypotheses": search.n_hypotheses,
            "actions": search.actions.size,
        }
        row["growth_mib"] = peak_growth(ours)
        row["ours_ms"] = 1e3 * least(ours, repeats)
        if s == 2:
            assert np.array_equal(by_products(Phi, s, search.net), search.actions)
        row["products_ms"] = 1e3 * least(lambda: by_products(Phi, s, search.net), max(1, repeats // 3))  # noqa: B023
        if s == 2:
            assert np.array_equal(by_loop(Phi, s, search.net), search.actions)
            row["loop_ms"] = 1e3 * least(lambda: by_loop(Phi, s, search.net), max(1, repeats // 3))  # noqa: B023
        rows.append(row)
    return rows


def elimination(repeats: int) -> list[dict[str, Any]]:
    """Milliseconds to prepare the hypotheses of the ball and for a search, with its queries."""
    rows = []
    for d, N, s in SIZES[:2]:
        Phi = gaussian_actions(N, d, 0)
        search = SparseSearch(Phi, s, 0.1)
        bandits = [MisspecifiedLinearBandit(Phi, random_theta(d, s, i), 0.1, seed=i) for i in range(50)]
        queries = float(np.mean([search(bandit.query).nfev for bandit in bandits]))
        prepare = least(lambda: SparseSearch(Phi, s, 0.1), repeats)  # noqa: B023
        each = least(lambda: [search(bandit.query) for bandit in bandits], repeats) / len(bandits)  # noqa: B023
        row = {"d": d, "N": N, "hypotheses": search.n_hypotheses, "prepare_ms": 1e3 * prepare, "search_ms": 1e3 * each}
        rows.append({**row, "queries": queries})
    return rows


def plain_design(Phi: np.ndarray, tol: float = 0.1) -> tuple[np.ndarray, int]:
    """Frank-Wolfe as it is written down; weights and steps."""
    N, d = Phi.shape
    weights = np.zeros(N)
    weights[np.random.default_rng(0).choice(N, 2 * d, replace=False)] = 1 / (2 * d)
    inverse = np.linalg.inv(Phi.T @ (Phi * weights[:, None]))
    for steps in itertools.count():
        forms = np.einsum("ij,jk,ik->i", Phi, inverse, Phi, optimize=True)
        i = int(forms.argmax())
        if forms[i] <= d * (1 + tol):
            return weights, steps
        step = (forms[i] / d - 1) / (forms[i] - 1)
        weights *= 1 - step
        weights[i] += step
        w = inverse @ Phi[i]
        ratio = step / (1 - step)
        inverse = (inverse - np.outer(w, w) * ratio / (1 + ratio * forms[i])) / (1 - step)
    raise AssertionError


def designs(repeats: int) -> list[dict[str, Any]]:
    """Milliseconds, steps and supports of a design to a tenth of the best value, both ways."""
    rows = []
    for d, N in ((20, 20_000), (60, 4000)):
        Phi = gaussian_actions(N, d, 0)
        design, (weights, steps) = g_optimal_design(Phi), plain_design(Phi)
        row = {"d": d, "N": N, "support": len(design.support), "steps": design.iterations, "value": design.value}
        row |= {"plain_support": int((weights > 0).sum()), "plain_steps": steps}
        row["ours_ms"] = 1e3 * least(lambda: g_optimal_design(Phi), repeats)  # noqa: B023
        row["plain_ms"] = 1e3 * least(lambda: plain_design(Phi), max(1, repeats // 3))  # noqa: B023
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {
        "enumeration": enumeration(options.repeats),
        "elimination": elimination(options.repeats),
        "designs": designs(options.repeats),
    }
    print("greedy actions of all hypotheses")
    for row in found["enumeration"]:
        peers = f"products {row['products_ms']:.0f} ms ({row['products_ms'] / row['ours_ms']:.0f} times)"
        if "loop_ms" in row:
            peers += f", loop {row['loop_ms']:.0f} ms ({row['loop_ms'] / row['ours_ms']:.0f} times)"
        growth = "" if row["growth_mib"] is None else f", peak growth {row['growth_mib']:.1f} MiB"
        print(
            f"  d={row['d']} N={row['N']} s={row['s']}: {row['hypotheses']} hypotheses, {row['actions']} actions, "
            f"{row['ours_ms']:.1f} ms, {peers}{growth}"
        )
    print("elimination, norm bounded")
    for row in found["elimination"]:
        print(
            f"  d={row['d']} N={row['N']}: {row['hypotheses']} hypotheses in {row['prepare_ms']:.0f} ms, "
            f"{row['queries']:.1f} queries, {row['search_ms']:.2f} ms a search"
        )
    print("G-optimal design to 1.1 d")
    for row in found["designs"]:
        print(
            f"  d={row['d']} N={row['N']}: {row['ours_ms']:.0f} ms ({row['steps']} steps, support {row['support']}, "
            f"value {row['value']:.2f}); plain {row['plain_ms']:.0f} ms ({row['plain_steps']} steps, support "
            f"{row['plain_support']})"
        )
    first = found["enumeration"][0]
    ratio, growth = first["loop_ms"] / first["ours_ms"], first["growth_mib"] or 0.0
    print(f"bars: {ratio:.0f} times the loop (at least {RATIO_BAR:g}): {'met' if ratio >= RATIO_BAR else 'NOT met'}; "
          f"{growth:.1f} MiB (at most {MEMORY_BAR:g}): {'met' if growth <= MEMORY_BAR else 'NOT met'}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
