"""The family's run loop: what is judged and charged, resuming, adopting users' objects, lazy imports."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.running import cut_and_resumed, entry, reader, runner

import optimand.combinatorial.submodular.methods  # noqa: F401 (registers them)
from optimand.combinatorial.submodular import Coverage, lazy_greedy
from optimand.combinatorial.submodular.family import adopt, describe
from optimand.combinatorial.submodular.loop import CHECKPOINTS, Stream
from optimand.combinatorial.submodular.problems import (
    StreamProblem,
    digits_window,
    graph_drain,
    graph_window,
    table_window,
    verse_window,
)
from optimand.core.validation import OptimandError

NAMES = (
    "incremental-greedy", "greedy-rerun", "buckets", "buckets-literal", "permutation", "lattanzi", "sieve-streaming",
)  # fmt: skip

run, curve = runner(240), reader("ratio")
SMALL = graph_window(nodes=300, width=60, k=5)
SHORT = 144


class Plain:
    """The first elements that are there."""

    def __init__(self, f, k, seed=0):
        self.f, self.k, self.live = f, k, {}

    def insert(self, element):
        self.live[element] = True

    def delete(self, element):
        del self.live[element]

    @property
    def solution(self):
        return list(self.live)[: self.k]

    def value(self):
        return self.f.value(self.solution)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_runs_on_a_window_and_is_judged(name):
    recorder = run(SMALL, entry(name), eps=0.4) if name == "buckets-literal" else run(SMALL, entry(name))
    values = curve(recorder)
    assert [at for at, _ in values] == [240 * i / CHECKPOINTS for i in range(1, CHECKPOINTS + 1)]
    assert 0.4 < values[-1][1] <= 1.1
    assert curve(recorder, split="valid") == values
    assert curve(recorder, "calls per update")[-1][1] == recorder.costs["calls_per_update"] > 0
    assert recorder.costs["oracle_calls"] == 240 * recorder.costs["calls_per_update"]
    assert recorder.costs["seconds_per_unit"] > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "buckets-literal"])
def test_a_run_is_a_function_of_its_seed(name):
    first, again, other = (run(SMALL, entry(name), seed, budget=120).records for seed in (3, 3, 4))
    assert [(r.at, r.metric, r.value) for r in first] == [(r.at, r.metric, r.value) for r in again]
    assert [r.value for r in first] != [r.value for r in other]


@pytest.mark.parametrize(
    "problem",
    [
        digits_window(width=80, k=4),
        table_window(width=40, k=4),
        table_window(data="wine", objective="graph-cut", width=40, k=4),
        table_window(data="wine", objective="facility", width=40, k=4, order="given"),
        graph_drain(nodes=100, k=4),
        graph_window(nodes=200, width=50, k=4, order="sorted", query=7),
    ],
    ids=lambda problem: problem.name,
)
def test_greedy_run_again_has_ratio_one_on_every_problem(problem):
    recorder = run(problem, entry("greedy-rerun"), budget=220)
    # Where gains are equal, the order in which elements are looked at decides.
    assert curve(recorder)[-1][1] == pytest.approx(1.0, abs=0.01)
    assert run(problem, entry("incremental-greedy"), budget=220).last("test", "ratio") > 0.95


def test_the_window_over_verses_runs():
    recorder = run(verse_window(width=60, k=3), entry("incremental-greedy"), budget=150)
    assert curve(recorder)[-1][1] == pytest.approx(1.0, abs=0.02)


def test_graphs_of_networkx_are_problems():
    pytest.importorskip("networkx")
    recorder = run(graph_window(graph="karate", width=20, k=3), entry("greedy-rerun"), budget=100)
    assert curve(recorder)[-1][1] == 1.0


def test_the_ratio_is_the_mean_over_checkpoints_of_value_over_greedy():
    rng = np.random.default_rng(0)
    rows = [rng.integers(30, size=4).tolist() for _ in range(40)]
    changes = [(True, i) for i in range(40)]
    problem = StreamProblem(
        name="all", summary="", make=lambda _: Stream(Coverage(rows), 3, iter(changes)), query=5, budget=40
    )
    recorder = run(problem, adopt("plain", Plain), budget=40)
    f, expected = Coverage(rows), []
    for at in sorted({round(40 * i / CHECKPOINTS) for i in range(1, CHECKPOINTS + 1)}):
        best = lazy_greedy(f, np.arange(at), 3)[1].sum()
        expected.append(f.value(range(min(at, 3))) / best)
    means = np.cumsum(expected) / np.arange(1, len(expected) + 1)
    assert [value for _, value in curve(recorder)] == pytest.approx(means.tolist())
    assert curve(recorder, "least ratio")[-1][1] == pytest.approx(min(expected))


def test_questions_of_queries_are_counted_and_told_apart():
    class Asks(Plain):
        @property
        def solution(self):
            self.f.value([])
            return super().solution

    problem = graph_window(nodes=300, width=60, k=5, query=10)
    recorder = run(problem, adopt("asks", Asks))
    assert recorder.costs["oracle_calls"] == 24  # every tenth of 240 updates, where the checkpoints are too
    assert recorder.costs["query_calls_per_update"] == 0.1
    assert run(SMALL, adopt("asks", Asks)).costs["oracle_calls"] == 240


@pytest.mark.parametrize("name", [*(name for name in NAMES if name != "buckets-literal"), "plain"])
def test_a_run_that_is_cut_off_ends_as_an_unbroken_one(name, tmp_path):
    method = adopt("plain", Plain) if name == "plain" else entry(name)
    _, before, after = cut_and_resumed(SMALL, method, SHORT, tmp_path / "state")
    assert after[0] == before[-1]  # the update during which it was cut off is made again, and no earlier one


def test_a_solution_with_what_is_gone_or_too_much_is_an_error():
    class Keeps(Plain):
        def delete(self, element):
            pass

    class Everyone(Plain):
        @property
        def solution(self):
            return list(self.live)

    with pytest.raises(OptimandError, match=r"'keeps': its solution .* must hold at most 3 of the elements"):
        adopt("keeps", Keeps)
    with pytest.raises(OptimandError, match=r"'everyone': its solution"):
        adopt("everyone", Everyone)
    method = adopt("plain", Plain)
    for cls, message in ((Keeps, r"holds element \d+, which is not there"), (Everyone, r"holds 10 elements")):
        wrong = type(method)("wrong", "submodular", lambda task, c=cls: c(task.f, task.k), {}, {})
        with pytest.raises(OptimandError, match=f"method 'wrong': its solution .* {message}"):
            run(SMALL, wrong)


def test_users_objects_are_adopted_with_their_hyperparameters():
    class Sampled(Plain):
        def __init__(self, f, k, *, seed, eps=0.2, name="x"):
            super().__init__(f, k)
            self.rng = np.random.default_rng(seed)

    method = adopt("sampled", Sampled)
    assert method.defaults == {"eps": 0.2, "name": "x"}
    assert {key: str(space) for key, space in method.space.items()} == {"eps": "0.1 … 0.4 (log)"}
    assert 0 < curve(run(SMALL, method))[-1][1] < 1


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (3, "method 'mine' is 3 .*expected a class or function"),
        (lambda f: f, "takes no objective and size"),
        (lambda f, k, width: f, "has no default for width"),
        (lambda f, k: f, "must build an object with insert.* has no insert, no delete, no solution"),
        (lambda f, k: 1 / 0, "does not work on a small stream: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_adopted_says_why(obj, message):
    with pytest.raises(OptimandError, match=message):
        adopt("mine", obj)


def test_a_method_is_described_by_what_it_asks():
    facts = describe(entry("greedy-rerun"))
    assert float(facts["calls per query after 20 updates"]) > 5
    assert float(facts["calls per update, window of 400 nodes"]) == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: verse_window(k=0), ValueError, "k must be at least 1, got 0"),
        (lambda: verse_window(order="falling"), ValueError, "order must be one of 'given', 'random', 'sorted'"),
        (lambda: graph_window(graph="petersen"), ValueError, "graph must be one of 'generated'"),
        (lambda: graph_window(width=1.5), TypeError, "width must be an integer"),
        (lambda: graph_drain(nodes=3), ValueError, "nodes must be at least 4"),
        (lambda: table_window(data="iris"), ValueError, "data must be one of 'digits'"),
        (lambda: table_window(objective="max"), ValueError, "objective must be one of 'facility'"),
        (lambda: digits_window(query=0), ValueError, "query must be at least 1"),
        (
            lambda: run(graph_window(nodes=50, width=50), entry("greedy-rerun")),
            ValueError,
            r"width must be in \[1, 49\], less than the 50 elements, got 50",
        ),
    ],
)
def test_bad_parameters_of_problems_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_streams_keep_their_width_and_drain_what_is_best_first():
    from optimand.combinatorial.submodular.instances.streams import fill_and_drain, ordered, window

    live, sizes = set(), []
    for new, i in itertools.islice(window(range(10), 4), 100):
        (live.add if new else live.remove)(i)
        sizes.append(len(live))
    assert max(sizes) == 5
    assert min(sizes[8:]) == 4
    changes = list(itertools.islice(fill_and_drain([3, 1, 2], [1.0, 5.0, 5.0]), 7))
    assert changes == [(True, 3), (True, 1), (True, 2), (False, 1), (False, 2), (False, 3), (True, 3)]
    rng = np.random.default_rng(0)
    assert ordered("sorted", [1.0, 3.0, 3.0], rng).tolist() == [1, 2, 0]
    assert ordered("given", [1.0, 3.0], rng).tolist() == [0, 1]
    assert sorted(ordered("random", [0.0] * 5, rng)) == [0, 1, 2, 3, 4]
