"""The family's run loop: what is charged, what is judged, adopting users' searches, lazy imports."""

import inspect

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.online.linear_bandits.methods  # noqa: F401 (registers them)
from optimand.core import catalog
from optimand.core.validation import OptimandError
from optimand.online.engine.grid import recording_grid
from optimand.online.linear_bandits.family import adopt, describe
from optimand.online.linear_bandits.instances import MisspecifiedLinearBandit
from optimand.online.linear_bandits.loop import POSITIONS, ActionTask, follow
from optimand.online.linear_bandits.problems import (
    ActionProblem,
    aimed_actions,
    diabetes_actions,
    digits_actions,
    good_features,
    packing_actions,
    sparse_actions,
)

NAMES = (
    "sparse-eliminate", "sparse-net", "sparse-cover", "omp", "lasso", "best-subset", "g-optimal", "random-queries",
)  # fmt: skip
SMALL = {"d": 6, "N": 400, "instances": 4}


run, curve = runner(100), reader("suboptimality")


def task_of(rewards, budget=10, eps=1.0):
    Phi = np.eye(len(rewards))
    bandit = MisspecifiedLinearBandit(Phi, np.array(rewards, dtype=float), eps, np.zeros(len(rewards)))
    return ActionTask(bandit, s=1, radius=1.0, budget=budget, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("problem", [sparse_actions(**SMALL), aimed_actions(**SMALL), diabetes_actions(instances=3)])
def test_every_method_runs_and_gets_near_the_best(name, problem):
    recorder = run(problem, entry(name), budget=120)
    values = curve(recorder)
    assert [at for at, _ in values] == recording_grid(120, POSITIONS).tolist()
    assert values[-1][1] < min(values[0][1], 4.5)
    assert recorder.costs["queries"] <= 120
    assert recorder.costs["worst"] >= values[-1][1]
    assert len(curve(recorder, split="valid")) == len(values)
    assert curve(recorder, split="valid") != values


@pytest.mark.parametrize("problem", [good_features(d=30, N=300, instances=2), digits_actions(instances=2)])
def test_regression_and_the_linear_baseline_run_on_the_larger_problems(problem):
    for name in ("omp", "lasso", "g-optimal"):
        assert curve(run(problem, entry(name), budget=80))[-1][1] < 5


def test_hyperparameters_are_tunable_and_change_the_run():
    for name in NAMES:
        assert set(entry(name).space) <= set(entry(name).defaults)
    problem = sparse_actions(**SMALL)
    few, many = (run(problem, entry("sparse-eliminate"), tolerance=t).costs["queries"] for t in (3.0, 0.0))
    assert few < many
    few, many = (run(problem, entry("omp"), factor=f).costs["queries"] for f in (0.25, 2.0))
    assert few < many


def test_with_noise_a_budget_of_queries_includes_repeats():
    problem = sparse_actions(d=4, N=100, s=1, noise=0.2, instances=2, budget=20_000)
    assert problem.name.endswith("noise=0.2")
    for name in ("sparse-eliminate", "sparse-net", "omp", "g-optimal"):
        recorder = run(problem, entry(name), budget=20_000)
        assert curve(recorder)[-1][1] < 4
        assert recorder.costs["queries"] > 100


def test_a_run_is_a_function_of_its_seed():
    problem = sparse_actions(**SMALL)
    for name in ("omp", "random-queries", "sparse-eliminate"):
        assert curve(run(problem, entry(name), 3)) == curve(run(problem, entry(name), 3))
        assert curve(run(problem, entry(name), 3)) != curve(run(problem, entry(name), 4))


def test_all_methods_meet_the_same_bandits():
    seen = []

    def spy(task):
        seen.append((task.Phi, task.bandit.oracle().rewards))
        return int(task.query([0, 1]).argmax())

    method = adopt("spy", spy)
    for _ in range(2):
        run(sparse_actions(**SMALL), method)
    half = len(seen[1:]) // 2
    for (Phi, rewards), (Phi2, rewards2) in zip(seen[1 : 1 + half], seen[1 + half :], strict=True):
        assert np.array_equal(Phi, Phi2)
        assert np.array_equal(rewards, rewards2)
    assert half == 8
    assert not np.array_equal(seen[1][1], seen[2][1])


def test_a_search_is_judged_by_its_answers_until_it_names_an_action():
    method = adopt("last", lambda task: (task.query([0, 2, 1, 3]), 0)[1])
    found = follow(method, task_of([0.1, 0.3, 0.2, 0.0]), {})
    assert found.at(np.array([1, 2, 3, 4, 9])).tolist() == [0, 2, 1, 0, 0]
    assert (found.final, found.queries) == (0, 4)


def test_what_a_generator_yields_counts_from_then_on():
    def search(task):
        yield 3
        task.query([0, 1])
        yield 2
        task.query([1])
        task.query([2])

    found = follow(adopt("steps", search), task_of([0.0, 0.5, 0.2, 0.1]), {})
    assert found.at(np.array([1, 2, 3, 4, 5])).tolist() == [3, 2, 2, 2, 2]


def test_the_mean_of_repeated_answers_leads():
    task = task_of([0.0, 0.0], budget=6)
    replies = iter([1.0, 0.5, -1.0, 0.4, 0.5, 3.0])
    task.bandit.query = lambda indices: np.array([next(replies) for _ in indices])
    found = follow(adopt("both", lambda task: task.query([0, 1] * 3)[0] * 0 == 0 and 1), task_of([0.0, 0.0]), {})
    assert found.final == 1
    task.query([0, 1, 0, 1, 0, 0])
    # means of action 0: 1, 0, 0.17, 0.875; of action 1: 0.5, 0.45
    assert [task.answers.leader(count) for count in range(1, 7)] == [0, 0, 1, 1, 1, 0]


def test_a_search_is_ended_when_its_queries_are_spent():
    def greedy(task):
        try:
            task.query(np.arange(task.N))
        except Exception:  # cannot keep it going
            return 0
        return 0

    task = task_of([0.0, 0.2, 0.1, 0.9, 1.0], budget=3)
    found = follow(adopt("greedy", greedy), task, {})
    assert found.queries == task.queries == task.bandit.queries == 3
    assert found.final == 1


def test_adopt_reads_the_signature():
    def probe(task, n=20, *, tolerance=0.5):
        """Ask a few."""
        asked = task.rng.choice(task.N, n, replace=False)
        return asked[task.query(asked).argmax()]

    method = adopt("probe", probe)
    assert method.defaults == {"n": 20, "tolerance": 0.5}
    assert (method.space["tolerance"].low, method.space["tolerance"].high) == pytest.approx((0.05, 5.0))
    assert method.summary == "Ask a few."
    assert run(sparse_actions(**SMALL), method).costs["queries"] == 20


def endless(task):
    while True:
        yield 0


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (3, "expected a function"),
        (lambda: None, "takes no task"),
        (lambda task, n: 0, "no default for n"),
        (lambda task: None, r"must return \(or yield\) an action, an integer in \[0, 199\], got None"),
        (lambda task: 200, "an integer in"),
        (lambda task: 0.5, "an integer in"),
        (lambda task: [0, 1], "an integer in"),
        (lambda task: task.missing, "does not work on a small bandit: AttributeError"),
        (lambda task: task.query([500]), "indices must be in"),
        (endless, "made 1000 actions without asking"),
        (lambda task: (0 for _ in range(0)), "ended without yielding"),
    ],
)
def test_adopt_says_what_does_not_fit(thing, text):
    with pytest.raises(OptimandError, match=text):
        adopt("mine", thing)


def test_describe_names_queries():
    facts = describe(entry("sparse-net"))
    assert int(facts["queries, 200 actions in 6 dimensions"]) > 20
    assert facts["suboptimality there"].endswith(" eps")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sparse_actions(error="none"), ValueError, "error must be one of"),
        (lambda: sparse_actions(s=21), ValueError, "s must be at most d = 20"),
        (lambda: sparse_actions(d="x"), TypeError, "d must be an integer"),
        (lambda: sparse_actions(noise=-1), ValueError, "noise must be"),
        (lambda: aimed_actions(eps=0), ValueError, "eps must be"),
        (lambda: good_features(N=0), ValueError, "N must be"),
        (lambda: packing_actions(q=1), ValueError, "q must be"),
        (lambda: diabetes_actions(budget=0), ValueError, "budget must be"),
        (lambda: digits_actions(instances=0), ValueError, "instances must be"),
        (lambda: ActionProblem(name="x", prepare=3, s=1, summary="", budget=1), TypeError, "prepare must be"),
    ],
)
def test_bad_arguments_of_problems_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_one_noisy_answer_does_not_lead_over_many():
    task = task_of([0.0, 0.0, 0.0], budget=10)
    replies = iter([1.0, 0.9, 1.1, 1.0, 1.2])
    task.answers.noise = 0.5
    task.bandit.query = lambda indices: np.array([next(replies) for _ in indices])
    task.query([0, 0, 0, 0, 1])
    assert [task.answers.leader(count) for count in (1, 4, 5)] == [0, 0, 0]
    task.answers.noise = 0.0
    assert task.answers.leader(5) == 1


def test_huge_budgets_cost_no_memory():
    problem = sparse_actions(**SMALL)
    assert curve(run(problem, entry("omp"), budget=10**17))[-1][1] < 4.5


def test_searches_that_are_cut_off_recommend_what_answered_best():
    problem = sparse_actions(d=4, N=60, s=1, noise=0.3, instances=10)
    assert problem.budget > 60 * 100
    for name in ("sparse-net", "sparse-cover", "random-queries"):
        whole, part = (curve(run(problem, entry(name), budget=b))[-1][1] for b in (problem.budget, 3_000))
        assert whole < 2
        assert part < 8  # in units of eps: the best of a part of the actions; all differ by about 20


def test_least_squares_with_noise_ends_within_its_budget():
    problem = sparse_actions(d=4, N=100, s=1, noise=0.2, instances=2)
    recorder = run(problem, entry("g-optimal"), budget=problem.budget)
    assert recorder.costs["queries"] < problem.budget  # one that were cut off would have used all
    assert curve(recorder)[-1][1] < 3


def test_a_design_is_computed_once_a_run(monkeypatch):
    from optimand.online.linear_bandits import design

    made = []
    plain = design.g_optimal_design
    monkeypatch.setattr(design, "g_optimal_design", lambda *a, **k: made.append(1) or plain(*a, **k))
    problem = sparse_actions(**SMALL)
    follow(entry("g-optimal"), task_of([0.0, 1.0]), {})
    made.clear()
    for name, hyper in (("g-optimal", {}), ("omp", {"rows": "design"})):
        run(problem, entry(name), **hyper)
        assert len(made) <= 2  # one for the rehearsal
        made.clear()


def test_default_methods_can_run_what_they_are_compared_on():
    from optimand.lab.cli import _standard_methods

    for text in ("good-features:d=30,N=300,instances=1", "packing-actions:q=5,s=4,k=2,instances=1"):
        problem = catalog.get_problem(text)
        assert _standard_methods([text]) == problem.methods
        assert len(problem.methods) >= 4
        for name in problem.methods:
            assert len(curve(run(problem, entry(name), budget=problem.budget))) > 1
    assert "sparse-net" in _standard_methods(["sparse-actions"])
    assert "sparse-net" not in _standard_methods(["sparse-actions", "packing-actions"])
    assert "linucb" in _standard_methods(["misspecified-bandit"])


def test_default_budgets_leave_something_to_choose():
    made = [sparse_actions(), aimed_actions(), good_features(), packing_actions(), diabetes_actions(), digits_actions()]
    assert [p.budget for p in made] == [2000, 3000, 250, 171, 120, 300]
    assert sparse_actions(N=500).budget == 500


def test_no_needle_is_found_in_half_of_the_budget_more_than_half_of_the_times():
    recorder = run(packing_actions(q=7, s=5, k=2, instances=250), entry("random-queries"), budget=24)
    # a needle missed costs 5 eps, and 25 of 49 are
    for split in ("valid", "test"):
        assert curve(recorder, split=split)[-1][1] == pytest.approx(5 * 25 / 49, abs=0.5)


@pytest.mark.parametrize("text", ["packing-actions:instances=1", "good-features:d=30,N=300,instances=1"])
def test_methods_that_enumerate_supports_name_those_that_do_not(text):
    problem = catalog.get_problem(text)
    with pytest.raises(OptimandError, match="Compare omp, lasso, g-optimal and random-queries") as caught:
        run(problem, entry("sparse-net"), budget=10)
    assert "allow_large" not in str(caught.value)
    assert "on_norm" not in str(caught.value)


def test_each_parameter_of_a_problem_has_a_line_of_its_own():
    from optimand.lab.cli_catalog import _described_arguments

    for make in (sparse_actions, aimed_actions, good_features):
        said = _described_arguments(inspect.getdoc(make))
        assert (said["d"], said["N"]) == ("features of an action.", "actions.")
