"""Values of the engines: their guarantees against exhaustive search, and adversaries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optimand.combinatorial.submodular.dynamic import ENGINES, DynamicSubmodular
from optimand.combinatorial.submodular.maximizers.lazy import lazy_greedy

EPS = 0.2
KINDS = ("coverage", "weighted", "log_det")


def ratios(small, f, k, engine, seed, updates=60, **options):
    """Value over the optimum after each update of a random stream."""
    best = small.best_values(f, k)
    d = DynamicSubmodular(f, k, EPS, engine, seed=seed, **options)
    found = []
    for live in small.play(d, small.random_stream(np.random.default_rng([seed, 1]), f.n, updates)):
        optimum, value, solution = best(live), d.value, d.solution
        assert set(solution) <= live
        assert len(set(solution)) == len(solution) <= k
        assert value == pytest.approx(f.value(solution), abs=1e-9)
        found.append(value / optimum if optimum else 1.0)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("literal", [False, True])
def test_permutation_is_always_above_its_bound(small, kind, literal):
    for seed in range(5):
        f = getattr(small, kind)(np.random.default_rng(seed))
        found = ratios(small, f, 1 + seed % 4, "permutation", seed, literal=literal)
        assert min(found) >= (1 - EPS) / 2


@pytest.mark.parametrize(("literal", "streams"), [(False, 20), (True, 4)])
def test_buckets_on_many_streams(small, literal, streams):
    found = [
        ratios(small, small.coverage(np.random.default_rng(seed)), 1 + seed % 4, "buckets", seed, literal=literal)
        for seed in range(streams)
    ]
    assert np.mean(found) >= 0.9
    assert np.mean(found, axis=0).min() >= (1 - EPS) / 2
    assert np.min(found) >= 0.5


@pytest.mark.parametrize("kind", KINDS[1:])
def test_buckets_on_other_functions(small, kind):
    found = [
        ratios(small, getattr(small, kind)(np.random.default_rng(seed)), 1 + seed % 4, "buckets", seed)
        for seed in range(8)
    ]
    assert np.min(found) >= 0.5


@pytest.mark.parametrize("engine", ["incremental", "greedy"])
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_engines_are_above_greedys_bound(small, engine, kind):
    for seed in range(8):
        k = 1 + seed % 4
        f = getattr(small, kind)(np.random.default_rng(seed))
        assert min(ratios(small, f, k, engine, seed)) >= 1 - (1 - 1 / k) ** k - 1e-9


def test_slack_costs_what_it_may(small):
    slack = 0.5
    for seed in range(8):
        f = small.coverage(np.random.default_rng(seed))
        found = ratios(small, f, 1 + seed % 4, "incremental", seed, slack=slack)
        assert min(found) >= 1 - math.exp(-1 / (1 + slack))


def test_incremental_has_the_value_of_a_run_from_the_start_when_no_two_gains_are_equal():
    rng = np.random.default_rng(0)
    from optimand.combinatorial.submodular.objectives.coverage import Coverage

    rows = [rng.choice(150, size=rng.integers(1, 30), replace=False) for _ in range(200)]
    f = Coverage(rows, rng.exponential(size=150))
    d = DynamicSubmodular(f, 12)
    live: list[int] = []
    for step in range(900):
        if live and (len(live) == 200 or rng.random() < 0.45):
            # members of the solution leave more often than others
            i = d.solution[rng.integers(len(d.solution))] if rng.random() < 0.2 else live[rng.integers(len(live))]
            live.remove(i)
            d.delete(i)
        else:
            i = int(rng.choice(np.setdiff1d(np.arange(200), live)))
            live.append(i)
            d.insert(i)
        if step % 3 == 0:
            chosen, gains, _ = lazy_greedy(f, np.array(live, dtype=np.int64), 12)
            assert d.value == pytest.approx(gains.sum(), rel=1e-12)
            assert d.solution == chosen.tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_deleting_the_best_member_again_and_again_never_leaves_a_dead_one(small, engine):
    for seed in range(6):
        f = small.coverage(np.random.default_rng(seed), n=40, items=60)
        d = DynamicSubmodular(f, 5, EPS, engine, seed=seed)
        d.update([("+", i) for i in range(40)])
        live = set(range(40))
        while live:
            solution = d.solution
            assert solution
            assert set(solution) <= live
            worst = max(solution, key=lambda i: f.value([i]))
            d.delete(worst)
            live.remove(worst)
        assert (d.value, d.solution, len(d)) == (0.0, [], 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_emptied_structure_works_again(small, engine):
    f = small.coverage(np.random.default_rng(3))
    d = DynamicSubmodular(f, 3, EPS, engine)
    for _ in range(3):
        d.update([("+", i) for i in range(14)])
        assert d.value > 0
        for i in np.random.default_rng(0).permutation(14).tolist():
            d.delete(i)
        assert (d.value, d.solution, d.elements) == (0.0, [], [])
        if engine in ("buckets", "permutation", "lattanzi"):
            assert d.stats()["runs"] == 0


@pytest.mark.parametrize("engine", ["buckets", "permutation", "lattanzi"])
def test_the_run_of_the_right_guess_is_never_asleep(small, engine, monkeypatch):
    monkeypatch.setattr("optimand.combinatorial.submodular.dynamic.shell.SPARE", 0)
    for seed in range(10):
        k = 1 + seed % 4
        f = small.coverage(np.random.default_rng(seed))
        best = small.best_values(f, k)
        d = DynamicSubmodular(f, k, EPS, engine, seed=seed)
        shell, slept = d._engine, 0
        for live in small.play(d, small.random_stream(np.random.default_rng([seed, 2]), f.n, 80)):
            if live:
                run = shell.runs.get(shell.up(best(live)))
                assert run is not None
                assert run.awake
                slept += len(live) > 3 and sum(r.awake for r in shell.runs.values()) < 12
        assert slept  # or the test would hold for lack of sleep


def test_fixed_guesses_keep_all_runs_and_the_quality(small):
    f = small.coverage(np.random.default_rng(0))
    top = max(f.value([i]) for i in range(14))
    found = ratios(small, f, 3, "lattanzi", 0, guesses=top, n_hint=14)
    assert min(found) >= 0.4
    d = DynamicSubmodular(f, 3, EPS, "lattanzi", guesses=top)
    # guesses top (1.2)^j up to 3 * 1.2 * top
    assert d.stats()["runs"] == 1 + math.floor(math.log(3.6) / math.log(1.2))


def test_elements_that_are_worth_nothing_are_carried_along():
    from optimand.combinatorial.submodular.objectives.coverage import Coverage

    f = Coverage([[], [], [0]])
    for engine in ENGINES:
        d = DynamicSubmodular(f, 2, engine=engine)
        d.update([("+", 0), ("+", 1)])
        assert (d.value, len(d)) == (0.0, 2)
        d.insert(2)
        assert d.value == 1.0
        assert 2 in d.solution
        d.delete(2)
        d.delete(0)
        assert (d.value, d.elements) == (0.0, [1])
