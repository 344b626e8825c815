"""The family: adopting functions, the run loop, problems, catalog entries, the judge."""

from dataclasses import replace

import numpy as np
import pytest
from tests.running import cut_and_resumed, entry, reader, runner

from optimand.core import catalog
from optimand.core.contracts import Method
from optimand.core.recorder import Diverged
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.offline.family import adopt, describe
from optimand.offline.judging import Judge
from optimand.offline.loop import judge_of, positions
from optimand.offline.methods import SEARCHES, epochs_of
from optimand.offline.problems import OfflineProblem, ehrlich, synthetic_design, tf_bind
from optimand.offline.tasks.arrays import task_from_arrays
from optimand.offline.tasks.synthetic import synthetic

run = runner(16)
curve = reader("median")


@pytest.fixture(scope="module")
def problem():
    return OfflineProblem(name="own", source=synthetic(dim=3, rows=200), budget=16)


def top(data, q, seed):
    """The best rows."""
    return data.x[np.resize(data.best(q), q)]


def method(function, **defaults):
    return Method(
        "mine", "offline", lambda request, **h: function(request.data, request.q, request.seed, **h), defaults, {}
    )


def test_scores_are_recorded_for_the_first_designs_of_the_methods_order(problem):
    recorder = run(problem, adopt("top", top))
    at = [k for k, _ in curve(recorder)]
    assert at == positions(16) == [1, 2, 4, 8, 16]
    scores = problem.task.normalize(np.sort(problem.task.y)[::-1][:16])
    for k, value in curve(recorder):
        assert value == pytest.approx(np.median(scores[: int(k)]))
    assert recorder.last("test", "best") == pytest.approx(scores[0])
    assert recorder.last("test", "p80") == pytest.approx(np.percentile(scores, 80))
    assert recorder.last("test", "distinct") == 16
    assert recorder.pictures["scores"]["values"] == pytest.approx(scores.tolist())
    assert recorder.costs["oracle_calls"] == 16


def test_valid_is_the_judges_value_and_asks_no_oracle(problem):
    recorder = run(problem, adopt("top", top))
    guess = problem.task.normalize(judge_of(problem.task)(top(problem.task.data, 16, 0)))
    assert recorder.last("valid", "median") == pytest.approx(float(np.median(guess)))
    before = problem.task.evaluations
    Judge(problem.task.data)(problem.task.x[:5])
    assert problem.task.evaluations == before


def test_a_method_that_asks_the_oracle_is_refused(problem):
    def cheat(data, q, seed):
        problem.task.evaluate(data.x[:q])
        return data.x[:q]

    with pytest.raises(OptimandError, match="locked while a method runs"):
        run(problem, method(cheat))
    assert problem.task.evaluate(problem.task.x[:1]).shape == (1,)


def another_task(data, q, seed):
    return synthetic(dim=3, rows=200).x[:q]


def in_a_thread(data, q, seed):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(KNOWN.evaluate, data.x[:q]).result()


def when_it_is_read(data, q, seed):
    class Lazy:
        @property
        def x(self):
            return data.x[np.argsort(-KNOWN.evaluate(data.x))[:q]]

    return Lazy()


# A task of the same function, as a user's file may hold one.
KNOWN = synthetic(dim=3, rows=200)


def test_adopting_asks_no_oracle_either():
    def asks(data, q, seed):
        return data.x[:q][np.argsort(KNOWN.evaluate(KNOWN.x[:q]))]

    with pytest.raises(OptimandError, match="while a method runs"):
        adopt("asks", asks)


@pytest.mark.parametrize("cheat", [another_task, in_a_thread, when_it_is_read])
def test_no_oracle_of_the_process_answers_and_no_task_is_made_while_a_method_proposes(problem, cheat):
    with pytest.raises(OptimandError, match="while a method runs"):
        run(problem, method(cheat))
    assert KNOWN.evaluations == 0
    assert synthetic(dim=3, rows=200).evaluate(KNOWN.x[:1]).shape == (1,)


@pytest.mark.parametrize("name", ["top", "ga-ignite"])
def test_a_run_that_is_cut_off_after_the_proposal_proposes_once_and_ends_as_an_unbroken_one(problem, name, tmp_path):
    found = adopt("top", top) if name == "top" else entry(name)
    hyper = {key: 2 for key in ("fit_steps", "steps", "iterations") if key in found.space}
    calls = []

    def counted(request, **hyper):
        calls.append(request.seed)
        return found.build(request, **hyper)

    cut_and_resumed(problem, replace(found, build=counted), 16, tmp_path / "state", every=600, **hyper)
    assert len(calls) == 2  # the unbroken run and the one that was cut off


def test_seeds_pair_methods_and_differ_between_runs(problem):
    seen = []

    def note(data, q, seed):
        seen.append(seed)
        return data.x[:q]

    for seed in (0, 0, 1):
        run(problem, method(note), seed=seed)
    assert seen[0] == seen[1] != seen[2]
    assert all(0 <= seed < 2**31 for seed in seen)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda data, q, seed: data.x[: q - 1], r"must propose q=16 designs, got 15"),
        (lambda data, q, seed: data.x[:q, :2], r"designs must have shape \(n, 3\), got \(16, 2\)"),
        (lambda data, q, seed: data.x[:q] + 100, "must be in the bounds"),
        (lambda data, q, seed: "text", "no batch of designs"),
        (lambda data, q, seed: None, "no batch of designs"),
    ],
)
def test_what_is_no_batch_of_designs_is_named(problem, function, text):
    with pytest.raises(OptimandError, match=text):
        run(problem, method(function))


def test_designs_that_are_not_finite_diverge(problem):
    with pytest.raises(Diverged, match="3 entries of the designs are not finite"):
        run(problem, method(lambda data, q, seed: np.vstack([np.full((1, 3), np.nan), data.x[: q - 1]])))


def test_adopting_reads_hyperparameters_and_tries_the_function_out():
    def noisy(data, q, seed, lr=0.1, kind="x"):
        """Best rows with noise."""
        rng = np.random.default_rng(seed)
        return data.decode(data.encode(data.x[data.best(q)]) + lr * rng.standard_normal((q, data.dim)))

    found = adopt("noisy", noisy)
    assert found.defaults == {"lr": 0.1, "kind": "x"}
    assert set(found.space) == {"lr"}
    assert found.summary == "Best rows with noise."
    assert describe(found) == {}


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (3, "expected a function propose"),
        (lambda: None, "takes no data"),
        (lambda data, q, seed, size: data.x[:q], "has no default for size"),
        (lambda data, q, seed: data.x[:1], "must propose q=4 designs, got 1"),
        (lambda data, q, seed: 1 / 0, "does not work on a small task.*ZeroDivisionError"),
        (lambda data, q, seed: np.full((q, 6), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_adopted_is_named(function, text):
    with pytest.raises(OptimandError, match=text):
        adopt("mine", function)


def test_a_function_for_vectors_alone_is_adopted_too():
    def vectors(data, q, seed):
        return np.random.default_rng(seed).uniform(*data.bounds, (q, data.length))

    assert adopt("vectors", vectors).name == "vectors"


def test_every_search_is_in_the_catalog_with_its_regularizers():
    for name, (_, _, _, _, kinds) in SEARCHES.items():
        assert entry(name).family == "offline"
        for kind in kinds:
            assert entry(f"{name}-{kind}").options["ignite"] != ""
            assert set(entry(f"{name}-{kind}").space) <= set(entry(f"{name}-{kind}").defaults)
    assert describe(entry("ga-ignite")) == {"regularizer": "adaptive", "surrogates": "1"}


@pytest.mark.parametrize("name", ["best-of-data", "offline-random", "ga", "ga-ignite", "ga-ignite-2", "ga-sam"])
def test_entries_run_and_repeat_exactly(name):
    problem = OfflineProblem(name="small", source="ehrlich:rows=400,length=16,motifs=2", budget=8)
    hyper = {"fit_steps": 8, "width": 16, "steps": 5} if name.startswith("ga") else {}
    first, second = (run(problem, entry(name), budget=8, seed=2, **hyper) for _ in range(2))
    assert curve(first) == curve(second)
    if hyper:
        assert first.last("train", "gradient_norm") > 0
        assert np.isfinite(first.last("train", "median"))


@pytest.mark.parametrize("kind", ["gradient-norm", "boss", "weight-decay", "sam", "ignite", "ignite-2"])
def test_the_strength_of_every_regularizer_can_be_set_and_tuned_and_acts(kind):
    problem = OfflineProblem(name="small", source="synthetic:dim=3,rows=400", budget=8)
    found = entry(f"ga-{kind}")
    name = {"sam": "rho", "ignite": "rho"}.get(kind, "lam")
    assert name in found.space
    norms = [
        run(problem, found, budget=8, fit_steps=20, width=16, steps=1, **{name: value}).last("train", "gradient_norm")
        for value in (found.defaults[name], 100 * found.defaults[name])
    ]
    assert norms[0] != norms[1]


def test_ignite_changes_the_fit_and_zero_strength_does_not():
    problem = OfflineProblem(name="small", source="synthetic:dim=3,rows=400", budget=8)
    hyper = {"fit_steps": 20, "width": 16, "steps": 5}
    base, off, on = (
        run(problem, entry(name), budget=8, **hyper, **more)
        for name, more in (("ga", {}), ("ga-ignite-2", {"lam": 0.0}), ("ga-ignite-2", {"lam": 1.0}))
    )
    assert curve(base) == curve(off)
    assert base.last("train", "gradient_norm") != on.last("train", "gradient_norm")


def test_epochs_follow_the_minibatches():
    assert [epochs_of(1000, rows, 128) for rows in (32_898, 2000, 100)] == [4, 62, 1000]
    assert epochs_of(10, 10**6, 128) == 1


def test_problems_say_what_they_are():
    for problem in (ehrlich(), synthetic_design(), tf_bind()):
        catalog._checked(problem.name, problem)
        assert problem.unit == "designs"
        assert problem.direction == "max"
    assert ehrlich(length=16, motifs=2).name.startswith("ehrlich:num_classes=4,length=16,motifs=2")
    with pytest.raises(ValueError, match="length must be at least 16"):
        ehrlich(length=8)
    with pytest.raises(OptimandError, match="function must be one of"):
        synthetic_design(function="sphere")
    with pytest.raises(TypeError, match="source must be a Task"):
        OfflineProblem(name="x", source=3)
    with pytest.raises(OptimandError, match="source must give a Task, got a int"):
        OfflineProblem(name="x", source=lambda: 3).task  # noqa: B018


def test_a_users_arrays_make_a_problem():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (40, 5))
    task = task_from_arrays(x, (x == 2).sum(axis=1), lambda d: (d == 2).sum(axis=1), num_classes=3, y_max=5)
    recorder = run(OfflineProblem(name="mine", source=lambda: task, budget=4), adopt("top", top), budget=4)
    assert 0 < recorder.last("test", "median") <= 1


def test_the_judge_learns_a_smooth_function_and_goes_back_to_the_mean():
    task = synthetic("rosenbrock", dim=2, rows=600)
    judge = Judge(task.data)
    assert judge.loo_r2 > 0.9
    np.testing.assert_array_equal(judge(task.x[:3]), Judge(task.data)(task.x[:3]))
    small = Judge(task.data, rows=50)
    assert np.isfinite(small(task.x)).all()


def test_seed_trees_give_the_methods_seed(problem):
    seen = []
    run(problem, method(lambda data, q, seed: (seen.append(seed), data.x[:q])[1]), seed=5)
    assert seen == [SeedTree(5).child("method").integer() % 2**31]
