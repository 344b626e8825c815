"""Claims of dynamic submodular maximization (arXiv 2305.15192)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from optimand.combinatorial import submodular
from optimand.core.claims import Claim, Finding, Outcomes, StudySpec

PAPER = "dynamic-submodular"
EPS = 0.2
WIDTHS = (1000, 4000, 16_000)
PROBLEMS = ("verse-window", "digits-window", "graph-window")
METHODS = ("buckets", "permutation", "lattanzi", "incremental-greedy", "greedy-rerun", "sieve-streaming")
STUDY = StudySpec(PROBLEMS, METHODS, seeds=3, budget=3000)
SMALL = StudySpec(PROBLEMS, METHODS, seeds=2, budget=300)


def small_stream(seed: int, n: int = 12, updates: int = 50) -> tuple[Any, Iterator[tuple[bool, int]]]:
    """Elements that cover 1 to 7 of 20 items, and random updates that know nothing of any solution."""
    rng = np.random.default_rng(seed)
    f = submodular.Coverage([rng.choice(20, size=rng.integers(1, 8), replace=False).tolist() for _ in range(n)])

    def changes() -> Iterator[tuple[bool, int]]:
        live: list[int] = []
        for _ in range(updates):
            gone = [i for i in range(n) if i not in live]
            if gone and (not live or rng.random() < 0.6):
                live.append(int(rng.choice(gone)))
                yield True, live[-1]
            else:
                yield False, live.pop(int(rng.integers(len(live))))

    return f, changes()


def ratios_to_optimum(engine: str, seeds: int) -> tuple[float, float, float]:
    """Value over the best one on small random streams: the least ever, the least mean at a time, the mean."""
    streams: list[list[float]] = []
    for seed in range(seeds):
        ratios: list[float] = []
        f, changes = small_stream(seed)
        k = 1 + seed % 4
        d, live = submodular.DynamicSubmodular(f, k, EPS, engine, seed=seed), set[int]()
        for new, i in changes:
            (d.insert if new else d.delete)(i)
            live ^= {i}
            best = float(submodular.maximize_submodular(f, sorted(live), k, "exact").fun) if live else 0.0
            ratios.append(d.value / best if best > 0 else 1.0)
        streams.append(ratios)
    return float(np.min(streams)), float(np.mean(streams, axis=0).min()), float(np.mean(streams))


def half_of_the_optimum() -> Finding:
    """Value over the exact optimum at every time of random streams, for the two engines of the paper's line."""
    found = {engine: ratios_to_optimum(engine, 16) for engine in ("buckets", "permutation")}
    # Sampling is right in expectation only; the permutation engine's bound holds at every moment.
    holds = found["buckets"][1] >= 0.5 - EPS and found["permutation"][0] >= (1 - EPS) / 2
    return Finding(
        "; ".join(
            f"{engine}: least {least:.3f}, least mean at a time {worst:.3f}, mean {mean:.3f}"
            for engine, (least, worst, mean) in found.items()
        ),
        holds,
        f"16 random streams of 50 updates, 12 elements that cover 1 to 7 of 20 items, k 1 to 4, eps {EPS}, "
        "the optimum by looking at all sets",
    )


def calls_by_window(engine: str, width: int, **options: Any) -> float:
    """Calls per update, queries left out, while a window slides over a graph of preferential attachment."""
    from optimand.combinatorial.submodular.instances.graphs import graph_coverage
    from optimand.combinatorial.submodular.instances.streams import window

    f = graph_coverage("generated", 3 * width)
    d = submodular.DynamicSubmodular(f, 20, 0.3, engine, seed=0, **options)
    order = np.random.default_rng(3).permutation(3 * width)
    before, updates = f.nfev, 5 * width
    for _, (new, i) in zip(range(updates), window(order, width), strict=False):
        (d.insert if new else d.delete)(i)
    return (f.nfev - before) / updates


def slope(values: list[float]) -> float:
    """Of the logarithm of values against that of :data:`WIDTHS`."""
    return float(np.polyfit(np.log(WIDTHS[: len(values)]), np.log(values), 1)[0])


def polylogarithmic_calls() -> Finding:
    """Calls per update for windows of 1000, 4000, 16000; a polylogarithm has a slope near 0, greedy from scratch 1."""
    saved = [calls_by_window("buckets", width) for width in WIDTHS]
    literal = [calls_by_window("buckets", width, literal=True) for width in WIDTHS[:2]]
    growth = saved[-1] / saved[0]
    return Finding(
        ", ".join(f"{value:.1f}" for value in saved) + f" calls per update at windows {WIDTHS}: factor {growth:.2f}, "
        f"slope {slope(saved):.2f}; as the text reads {literal[0]:.0f}, {literal[1]:.0f}: slope {slope(literal):.2f}",
        growth < 2 and slope(literal) < 0.5,
        "closed neighbourhoods in a graph of preferential attachment, random order, k 20, eps 0.3; greedy without any "
        "memory asks at least once for every element of the window",
    )


def deleting_what_is_shown() -> Finding:
    """Ratio to lazy greedy when each deletion takes a member of the solution that was shown last."""
    from optimand.combinatorial.submodular.instances.graphs import graph_coverage

    found = {}
    for engine in ("buckets", "incremental"):
        f = graph_coverage("generated", 1500)
        d, ratios = submodular.DynamicSubmodular(f, 10, EPS, engine, seed=0), []
        before, empty = f.nfev, 0
        for i in range(400):
            d.insert(i)
        for i in range(400, 1000):
            d.insert(i)
            shown = d.solution
            empty += not shown
            d.delete(shown[0] if shown else d.elements[0])
            if i % 25 == 0:
                calls, live = f.nfev, d.elements
                ratios.append(d.value / submodular.maximize_submodular(f, live, 10).fun)
                before += f.nfev - calls
        found[engine] = (min(ratios), float(np.mean(ratios)), (f.nfev - before) / 1600, empty)
    return Finding(
        "; ".join(
            f"{e}: least {a:.3f}, mean {b:.3f}, {c:.1f} calls per update, {n} times nothing shown"
            for e, (a, b, c, n) in found.items()
        ),
        # The path is greedy's, up to ties; so this ratio is 1, up to what ties do later.
        found["incremental"][0] >= 0.98,
        "600 times the first member of the solution is deleted, 400 nodes of a generated graph, k 10, eps 0.2; the "
        "guarantee of sampling does not cover this, that of greedy's path does",
    )


def half_in_practice(outcomes: Outcomes) -> Finding:
    """Final ratio to lazy greedy and calls of the paper's engine over the study's problems."""
    parts, holds = [], True
    for problem in PROBLEMS:
        ratio, calls = outcomes.mean(problem, "buckets"), outcomes.cost(problem, "buckets", "calls_per_update")
        rerun = outcomes.cost(problem, "greedy-rerun", "calls_per_update")
        # Lazy greedy is sure of 1 - 1/e of the optimum, so that this ratio proves the bound.
        holds = holds and ratio * (1 - math.exp(-1)) >= 0.5 - EPS and calls < rerun
        parts.append(f"{problem.partition(':')[0]} {ratio:.3f} with {calls:.1f} ({rerun:.1f})")
    return Finding(
        "; ".join(parts) + " calls per update (of greedy run again)", holds, "mean ratio to lazy greedy, which is at "
        "least 0.63 of the optimum; the solution is asked for after every update"
    )  # fmt: skip


def beats_running_greedy_again(outcomes: Outcomes) -> Finding:
    """Calls and seconds of the default engine against lazy greedy run again with the singletons kept."""
    parts, holds = [], True
    for problem in PROBLEMS:
        ratio = outcomes.mean(problem, "incremental-greedy") / outcomes.mean(problem, "greedy-rerun")
        calls, seconds = (
            outcomes.cost(problem, "greedy-rerun", name) / outcomes.cost(problem, "incremental-greedy", name)
            for name in ("calls_per_update", "seconds_per_unit")
        )
        holds = holds and ratio >= 0.995 and calls > 1 and seconds > 1
        parts.append(f"{problem.partition(':')[0]}: {calls:.0f} times fewer calls, {seconds:.1f} times less time")
    return Finding("; ".join(parts), holds, "at equal value, the solution asked for after every update")


CLAIMS = (
    Claim(
        PAPER,
        "half of the optimum",
        "At every time the solution is worth at least 1/2 - eps of the best set of k live elements, in expectation, "
        "against updates that do not depend on it.",
        "1/2 - eps",
        half_of_the_optimum,
        reference="of a prototype, 50 streams: buckets least 0.667, mean 0.975; permutation 0.778, 0.988",
    ),
    Claim(
        PAPER,
        "polylogarithmic update",
        "An update costs an amortized number of oracle calls polylogarithmic in the number of elements.",
        "polylog(n)",
        polylogarithmic_calls,
    ),
    Claim(
        PAPER,
        "half in practice",
        "On streams of real data the guarantee holds with fewer calls per update than greedy run again asks.",
        "1/2 - eps; the abstract tells of no experiments",
        half_in_practice,
        STUDY,
        SMALL,
    ),
    Claim(
        PAPER,
        "default engine against greedy",
        "The default engine asks less and takes less time than lazy greedy that is run again with the values of "
        "single elements kept, at equal value.",
        "not in the paper",
        beats_running_greedy_again,
        STUDY,
        SMALL,
    ),
    Claim(
        PAPER,
        "who deletes what is shown",
        "The guarantee needs updates that do not depend on the solution; greedy's path has one without.",
        "oblivious adversary",
        deleting_what_is_shown,
    ),
    Claim(
        PAPER,
        "lower bound",
        "A ratio of 1/2 + eps needs polynomially many calls per update (Chen, Peng 2022).",
        "poly(n)",
        untestable="a lower bound over all algorithms is proved on hard instances; no run can show it. On the streams "
        "here, whose order does not depend on the solution, greedy's path is kept with few calls.",
    ),
    Claim(
        PAPER,
        "gaps in an earlier analysis",
        "The earlier analysis of an algorithm with polylogarithmic updates has gaps.",
        "that of NeurIPS 2020 has gaps",
        untestable="it is about a proof; the earlier algorithm itself runs here as method 'lattanzi'",
    ),
)
