"""What the tests of dynamic engines share: small functions, exhaustive search, streams."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from optimand.combinatorial.submodular.objectives.coverage import Coverage
from optimand.combinatorial.submodular.objectives.pairwise import LogDet


def small_coverage(rng, n=14, items=20):
    return Coverage([rng.choice(items, size=rng.integers(1, 8), replace=False) for _ in range(n)])


def small_weighted(rng, n=12, items=20):
    rows = [rng.choice(items, size=rng.integers(1, 8), replace=False) for _ in range(n)]
    return Coverage(rows, rng.exponential(size=items))


def small_log_det(rng, n=10):
    x = rng.standard_normal((n, 3)) * rng.uniform(0.3, 2.0, size=(n, 1))
    return LogDet(x @ x.T, 0.7)


def best_values(f, k):
    """The value of every set of at most ``k`` elements, to look the best of any live set up."""
    sets = [s for size in range(1, min(k, f.n) + 1) for s in itertools.combinations(range(f.n), size)]
    masks = np.array([sum(1 << i for i in s) for s in sets])
    values = np.array([f.value(s) for s in sets])

    def best(live):
        inside = masks & ~sum(1 << i for i in live) == 0
        return float(values[inside].max(initial=0.0))

    return best


def random_stream(rng, n, updates):
    """Insertions and deletions of ids at random."""
    live = []
    for _ in range(updates):
        if live and (len(live) == n or rng.random() < 0.45):
            yield False, live.pop(rng.integers(len(live)))
        else:
            i = int(rng.choice([j for j in range(n) if j not in live]))
            live.append(i)
            yield True, i


def play(d, stream):
    """Feed a stream; yields the live set after each update."""
    live = set()
    for comes, i in stream:
        (d.insert if comes else d.delete)(i)
        (live.add if comes else live.discard)(i)
        yield live


@pytest.fixture
def small():
    return SimpleNamespace(
        coverage=small_coverage, weighted=small_weighted, log_det=small_log_det,
        best_values=best_values, random_stream=random_stream, play=play,
    )  # fmt: skip


@pytest.fixture
def heavy_tailed():
    """Coverage of 3000 elements, most of them small and a few large."""
    rng = np.random.default_rng(5)
    sizes = np.minimum(2 + rng.pareto(1.3, 3000) * 3, 300).astype(int)
    return Coverage([np.unique(rng.integers(0, 4000, size)) for size in sizes])
