"""What holds for every search: valid designs, their order, determinism, distinctness, errors that name the cause."""

import importlib
import itertools
import math
import os

import numpy as np
import pytest

from optimand.core.validation import OptimandError, UnknownNameError
from optimand.offline import make, optimize
from optimand.offline.searches import SEARCHES, find_search
from optimand.offline.tasks.base import OfflineData

FLOORS = {"random", "best-of-data"}


def test_every_search_is_known_by_its_own_name():
    assert [find_search(name).name for name in SEARCHES] == list(SEARCHES)


def test_a_search_proposes_designs_of_the_task_in_its_order_of_preference(task, quick):
    name, hyper = quick
    found = optimize(task, name, q=12, seed=1, **hyper)
    assert found.x.shape == (12, task.data.length)
    assert found.x.dtype == task.data.x.dtype
    task.data.check(found.x)  # in the classes, within the bounds
    assert found.fun_pred.shape == (12,)
    assert np.isfinite(found.fun_pred).all()
    assert (np.diff(found.fun_pred) <= 1e-12).all()
    assert found.distinct == len({row.tobytes() for row in np.ascontiguousarray(found.x)})
    assert found.method == name


def test_equal_seeds_give_equal_designs_whatever_the_global_generators_hold(task, quick):
    import torch

    name, hyper = quick
    first = optimize(task, name, q=10, seed=3, **hyper)
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002 (what a search must not read)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = optimize(task, name, q=10, seed=3, **hyper)
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.fun_pred, again.fun_pred)
    # ... and it leaves them as they are.
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    if name != "best-of-data":
        other = optimize(task, name, q=10, seed=4, **hyper)
        assert not (np.array_equal(first.x, other.x) and np.array_equal(first.fun_pred, other.fun_pred))


def test_no_search_asks_the_oracle(task, quick):
    name, hyper = quick
    optimize(task, name, q=4, seed=0, **hyper)
    assert task.evaluations == 0
    task.evaluate(task.x[:3])
    assert task.evaluations == 3


def test_distinct_designs_when_they_are_asked_for(task, quick):
    name, hyper = quick
    found = optimize(task, name, q=40, seed=0, unique=True, **hyper)
    assert found.distinct == 40
    assert len(np.unique(found.x, axis=0)) == 40


def test_every_design_there_is_and_not_one_more(quick):
    name, hyper = quick
    x = np.array(list(itertools.product(range(2), repeat=4)))
    data = OfflineData(np.repeat(x, 2, axis=0), np.repeat(x.sum(axis=1) + 0.1 * x[:, 0], 2), True, num_classes=2)
    found = optimize(data, name, q=16, unique=True, **hyper)
    assert len(np.unique(found.x, axis=0)) == 16
    with pytest.raises(ValueError, match=r"q must be at most the number of distinct designs, 2\^4 = 16, .* got 17"):
        optimize(data, name, q=17, unique=True, **hyper)
    assert optimize(data, name, q=17, **hyper).x.shape == (17, 4)


def test_more_designs_than_rows(quick):
    name, hyper = quick
    rng = np.random.default_rng(0)
    data = OfflineData(rng.uniform(size=(12, 2)), rng.uniform(size=12), False, bounds=(0, 1))
    found = optimize(data, name, q=30, seed=0, **hyper)
    assert found.x.shape == (30, 2)
    if name == "best-of-data":
        with pytest.raises(ValueError, match=r"q must be at most the number of distinct offline designs, 12"):
            optimize(data, name, q=30, unique=True)
    else:
        assert optimize(data, name, q=30, unique=True, **hyper).distinct == 30


def test_the_history_holds_finite_numbers_and_the_hook_is_told(task, quick):
    name, hyper = quick
    seen = []
    found = optimize(task, name, q=8, progress=lambda *told: seen.append(told), **hyper)
    if name in FLOORS:
        assert found.history == []
        return
    stages = {record["stage"] for record in found.history}
    assert {"fit", "search"} <= stages
    for record in found.history:
        for key, value in record.items():
            # Multipliers are NaN where there is no regularizer.
            assert key in {"stage", "lam", "norm"} or math.isfinite(value), (key, value)
    assert {stage for stage, _, _ in seen} == stages
    assert all(0 <= done <= total for _, done, total in seen)
    fits = [told[1:] for told in seen if told[0] == "fit"]
    assert fits[-1][0] == fits[-1][1]
    assert found.reports


def test_the_settings_of_the_paper_run(sequence_task, quick):
    name, hyper = quick
    assert optimize(sequence_task, name, q=4, preset="paper", **hyper).x.shape == (4, 5)


@pytest.mark.parametrize("kind", ["adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay"])
def test_every_regularizer_serves_a_fit_by_likelihood_and_a_conservative_one(sequence_task, kind):
    for name in ("ga", "coms"):
        plain = optimize(sequence_task, name, q=6, epochs=2, width=16, steps=3)
        found = optimize(sequence_task, name, q=6, epochs=2, width=16, steps=3, ignite=kind)
        assert not np.array_equal(plain.fun_pred, found.fun_pred)
        again = optimize(sequence_task, name, q=6, epochs=2, width=16, steps=3, ignite={"kind": kind})
        assert np.array_equal(again.x, found.x)
        assert np.array_equal(again.fun_pred, found.fun_pred)


def test_every_search_that_learns_takes_ignite_and_each_member_has_a_multiplier(sequence_task, quick):
    name, hyper = quick
    if name in FLOORS:
        with pytest.raises(ValueError, match=f"ignite must be None for '{name}', which fits no surrogate"):
            optimize(sequence_task, name, ignite="adaptive")
        return
    found = optimize(sequence_task, name, q=5, ignite={"kind": "adaptive", "eta": 0.05, "lam": 0.01}, **hyper)
    last = [r for r in found.history if r["stage"] == "fit" and r["step"] == hyper["epochs"]]
    assert len(last) == hyper.get("members", 1)
    assert len({r["lam"] for r in last}) == len(last)
    assert all(r["lam"] >= 0 and r["norm"] > 0 for r in last)


def test_a_penalty_of_multiplier_zero_changes_nothing(sequence_task, quick):
    name, hyper = quick
    if name in FLOORS:
        return
    plain = optimize(sequence_task, name, q=5, seed=2, **hyper)
    idle = optimize(sequence_task, name, q=5, seed=2, ignite={"kind": "fixed", "lam": 0.0}, **hyper)
    assert np.array_equal(plain.x, idle.x)
    assert np.array_equal(plain.fun_pred, idle.fun_pred)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"q": 0}, ValueError, "q must be at least 1, got 0"),
        ({"q": 2.5}, TypeError, "q must be an integer, got 2.5"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"unique": 1}, TypeError, "unique must be True or False, got 1"),
        ({"preset": "big"}, ValueError, "preset must be one of 'small', 'paper', got 'big'"),
        ({"ignite": "adaptve"}, ValueError, "ignite must be one of .*'adaptve'; did you mean 'adaptive'"),
        ({"ignite": 3}, TypeError, "ignite must be None, a kind or a mapping with one, got 3"),
        ({"ignite": {"kind": "adaptive", "r": 0.0}}, ValueError, r"r must be in \(0, inf\), got 0.0"),
        ({"ignite": {"kind": "adaptive", "radius": 1}}, TypeError, "ignite=.*radius"),
        ({"epoch": 3}, TypeError, "unknown hyperparameter 'epoch'; did you mean .*'epochs'"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"eta": -1.0}, ValueError, r"eta must be in \(0, inf\), got -1.0"),
        ({"eta": None}, TypeError, "eta must be a number, got None"),
        ({"progress": 3}, TypeError, "progress must be a function of stage, done and total, got 3"),
    ],
)
def test_a_wrong_argument_is_named(sequence_task, arguments, error, text):
    with pytest.raises(error, match=text):
        optimize(sequence_task, "ga", **arguments)
    sequence_task.evaluate(sequence_task.x[:1])  # the lock is off again


def test_an_unknown_method_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"method must be one of .* got 'comms'; did you mean 'coms'"):
        find_search("comms")


def test_only_tasks_and_data_are_searched():
    with pytest.raises(TypeError, match="task must be a Task or OfflineData, got 'tfbind8'"):
        optimize("tfbind8")
    with pytest.raises(TypeError, match="data must be an OfflineData, got 3"):
        find_search("ga")(3)
    one = OfflineData([[0.0]], [1.0], False, bounds=(0, 1))
    with pytest.raises(ValueError, match="data must have at least 2 rows, got 1"):
        optimize(one, "random")


@pytest.mark.parametrize(("name", "package"), [("cma-es", "cma"), ("bo-qei", "botorch")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, sequence_task, name, package):
    plain = importlib.import_module

    def without(module, *rest):
        if module == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return plain(module, *rest)

    find_search(name)
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(OptimandError, match=f"needs the package {package}: python -m pip install {package}"):
        optimize(sequence_task, name, epochs=1)


def test_a_fit_that_diverges_says_so(coordinate_task):
    with pytest.raises(OptimandError, match="ga: the fit of the surrogate diverged"):
        optimize(coordinate_task, "ga", lr=1e30, epochs=3, width=8)
    with pytest.raises(OptimandError, match=r"coms: the fit diverged"):
        optimize(coordinate_task, "coms", lr=1e30, epochs=3, width=8)


@pytest.mark.skipif("OPTIMAND_DATA" not in os.environ, reason="the TF-Bind tables are read from $OPTIMAND_DATA")
def test_a_real_table_is_searched_without_its_oracle_and_without_its_better_half():
    task = make("tfbind8:SIX6")
    assert float(task.data.y.max()) == pytest.approx(0.43929617, abs=5e-9)
    for method, hyper in (("ga", {"epochs": 1}), ("coms", {"epochs": 1, "particle_steps": 1})):
        found = optimize(task, method, width=64, steps=50, ignite="adaptive", **hyper)
        assert task.evaluations == 0
        assert found.x.shape == (128, 8)
        assert np.isfinite(found.fun_pred).all()


def test_a_result_fits_on_a_screen():
    found = optimize(make("synthetic:dim=4"), "ga", q=8, epochs=2, width=16)
    assert len(str(found)) < 3000
    assert len(found.history) > 10
    assert found.history[0]["stage"] == "fit"
