"""Synthesis of modeling problems: near-duplicates, items from templates, programs in the sandbox.

    python benchmarks/modeling.py [--texts 10000] [--items 200] [--quotients 0] [--json FILE]

Wall time in one process, ``OMP_NUM_THREADS=1``:

* near-duplicates among template questions, against all pairs from scikit-learn's vectors as a dense matrix with the
  same stop words and a greedy pass over it; both must keep the same texts. Beyond 5000 texts the dense matrix is left
  out, as it grows with the square;
* template items made in a second, recorded optimum and uniqueness included;
* their programs run in a second, in a warm worker and in a fresh process each;
* with ``--quotients N``, and then nothing else: wrong points that SCIP calls optimal among N problems of lots, whose
  cost is a sum of quotients, written in three ways. All points tell what is right.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from optimand.language.modeling.execution import TYPES, open_sandbox
from optimand.language.modeling.resocratic import TemplateGenerator, TemplateItem, dedupe
from optimand.language.modeling.resocratic.duplicates import STOP_WORDS

MOST_DENSE = 5000


def dense_pass(texts: list[str], threshold: float) -> list[int]:
    """What a pass over the matrix of all pairs keeps."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows = TfidfVectorizer(stop_words=sorted(STOP_WORDS)).fit_transform(texts)
    near = (rows @ rows.T).toarray() > threshold
    kept: list[int] = []
    free = np.ones(len(texts), dtype=bool)
    for k in range(len(texts)):
        if free[k]:
            kept.append(k)
            free &= ~near[k]
            free[k] = True
    return kept


def timed(call: Any) -> tuple[Any, float]:
    """A call's result and its seconds."""
    begin = time.perf_counter()
    found = call()
    return found, time.perf_counter() - begin


def near_duplicates(texts: list[str]) -> dict[str, Any]:
    """Seconds of one pass, and of the matrix of all pairs."""
    ours, seconds = timed(lambda: dedupe(texts, 0.7, until_stable=False))
    row: dict[str, Any] = {"texts": len(texts), "kept": len(ours), "seconds": seconds}
    if len(texts) <= MOST_DENSE:
        theirs, row["dense seconds"] = timed(lambda: dense_pass(texts, 0.7))
        row["same"] = theirs == ours
    return row


def programs(items: list[TemplateItem]) -> dict[str, float]:
    """Programs a second in a warm worker and in fresh processes."""
    found = {}
    for name, workers in (("warm", 1), ("fresh", 0)):
        some = items if workers else items[: max(1, len(items) // 4)]
        with open_sandbox(workers=workers) as sandbox:
            sandbox.run(some[0].code)
            _, seconds = timed(lambda some=some, sandbox=sandbox: [sandbox.run(item.code) for item in some])
        found[name] = len(some) / seconds
    return found


def solved_lots(
    demand: list[int], order: list[int], keep: list[int], most: list[int], room: int, way: str, symmetry: bool
) -> float:
    """The cost of the lots that SCIP calls optimal, computed from the lots; infinite where it stops before."""
    import math

    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    model.setParam("limits/time", 5.0)
    if not symmetry:
        model.setParam("misc/usesymmetry", 0)
    lots = [model.addVar(vtype="I", lb=1, ub=high) for high in most]
    cost = model.addVar(lb=None)
    model.addCons(quicksum(lots) <= room)
    tops, held = (
        [k * d for k, d in zip(order, demand, strict=True)],
        quicksum(h * x / 2 for h, x in zip(keep, lots, strict=True)),
    )
    if way == "divided":
        model.addCons(cost == quicksum(top / x for top, x in zip(tops, lots, strict=True)) + held)
    elif way == "multiplied out":
        others = [math.prod(lots[:k] + lots[k + 1 :]) for k in range(len(lots))]
        whole = math.prod(lots)
        model.addCons(
            cost * whole == quicksum(top * other for top, other in zip(tops, others, strict=True)) + held * whole
        )
    else:
        quotients = [model.addVar() for _ in lots]
        for top, x, quotient in zip(tops, lots, quotients, strict=True):
            model.addCons(quotient * x >= top)
        model.addCons(cost == quicksum(quotients) + held)
    model.setObjective(cost)
    model.optimize()
    if model.getStatus() != "optimal":
        return math.inf
    found = [round(model.getVal(x)) for x in lots]
    return sum(top / x + h * x / 2 for top, h, x in zip(tops, keep, found, strict=True))


def wrong_quotients(number: int) -> list[dict[str, Any]]:
    """For each way of writing: problems with a wrong optimum, the worst, and those out of time."""
    import math

    import numpy as np

    from optimand.language.modeling.resocratic.nonlinear_templates import _best_lots

    problems = []
    for seed in range(number):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 4))
        demand, order, keep, most = (
            [int(step * k) for k in rng.integers(low, high, n)]
            for step, low, high in ((20, 10, 151), (1, 8, 91), (1, 1, 10), (1, 15, 39))
        )
        problems.append((demand, order, keep, most, int(sum(most) * rng.integers(45, 81) / 100)))
    best = [_best_lots(*problem)[0] for problem in problems]
    rows = []
    for way, symmetry in (("divided", True), ("divided", False), ("multiplied out", True), ("own variables", True)):
        # Multiplied out, three lots can take SCIP seconds each.
        some = problems[: number // 4] if way == "multiplied out" else problems
        excess = [
            solved_lots(*problem, way, symmetry) / least - 1
            for problem, least in zip(some, best[: len(some)], strict=True)
        ]
        wrong = [value for value in excess if 1e-6 < value < math.inf]
        rows.append({"way": way, "symmetry": symmetry, "problems": len(some), "wrong": len(wrong),
                     "worst": max(wrong, default=0.0), "out of time": sum(map(math.isinf, excess))})  # fmt: skip
        print(f"{way}, symmetry {'on' if symmetry else 'off'}: {len(wrong)} of {len(some)} wrong, the worst by "
              f"{rows[-1]['worst']:.1%}; {rows[-1]['out of time']} out of time")  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--quotients", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quotients:
        rows = wrong_quotients(args.quotients)
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1))
        return
    generator = TemplateGenerator(0)
    results: dict[str, Any] = {"items a second": {}}
    items: list[TemplateItem] = []
    for kind in TYPES:
        made, seconds = timed(lambda kind=kind: list(generator.items(args.items, type=kind)))
        items += made
        results["items a second"][kind] = len(made) / seconds
        print(f"{kind:18} {len(made) / seconds:8.0f} items a second")
    # Nonlinear items cost least to make; the texts are what counts here.
    texts = [item.question for item in generator.items(args.texts, type="nonlinear-notable")]
    results["near-duplicates"] = []
    for size in sorted({min(1000, args.texts), min(MOST_DENSE, args.texts), args.texts}):
        row = near_duplicates(texts[:size])
        results["near-duplicates"].append(row)
        dense = f", all pairs {row['dense seconds']:.2f} s, same: {row['same']}" if "same" in row else ""
        print(f"{row['texts']:6} texts: {row['seconds']:.2f} s, {row['kept']} kept{dense}")
    results["programs a second"] = programs(items[:: max(1, len(items) // 80)])
    rates = results["programs a second"]
    print(f"programs a second: warm {rates['warm']:.0f}, fresh {rates['fresh']:.1f}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
