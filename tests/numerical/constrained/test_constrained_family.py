"""The family in the lab: counted calls, the residual, sets, adopted minimizers, errors."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import pickle

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, minimize
from tests.running import cut_and_resumed

from optimand.core import catalog
from optimand.core.recorder import Diverged, Recorder, log_positions
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.numerical.constrained import EqualityProblem, family, methods
from optimand.numerical.constrained.loop import point_residual, run_method
from optimand.numerical.constrained.problem import POINTS, ConstrainedProblem
from optimand.numerical.constrained.problems import (
    equality,
    equality_problem,
    equality_set,
    logistic_sphere,
    poisson,
    poisson_control,
)

NAMES = (
    "adasketch-gv", "adasketch-rk", "adasketch-practical", "adasketch-block",
    "adasketch-exact", "adasketch-minres", "sqp-l1-gmres",
    "slsqp", "trust-constr", "ipopt",
)  # fmt: skip
without_ipopt = pytest.mark.skipif(importlib.util.find_spec("cyipopt") is None, reason="cyipopt is not installed")
EACH = [pytest.param(name, marks=without_ipopt) if name == "ipopt" else name for name in NAMES]


def method(name):
    return catalog.methods()[name]


def run(problem, name, seed=0, budget=None, **hyper):
    recorder = Recorder(budget or problem.budget)
    entry = method(name) if isinstance(name, str) else name
    problem.run(entry, hyper, seed=SeedTree(seed), budget=budget or problem.budget, recorder=recorder)
    return recorder


def test_the_catalog_holds_the_methods_and_problems():
    assert {name for name, entry in catalog.methods().items() if entry.family == "constrained"} >= set(NAMES)
    assert {"equality", "equality-set", "logistic-sphere", "poisson-control"} <= set(catalog.problems())
    assert set(catalog.families()["constrained"].methods) <= set(NAMES)
    for name in NAMES:
        assert set(method(name).space) <= set(method(name).defaults)
        assert method(name).summary


@pytest.mark.parametrize("name", EACH)
def test_each_method_solves_a_small_problem(name):
    recorder = run(equality("hs78"), name)
    assert recorder.last("test", "kkt") <= 1e-6
    assert recorder.last("valid", "kkt") == recorder.last("test", "kkt")
    kinds = [key for key in recorder.costs if key.endswith("_calls") and key != "oracle_calls"]
    assert recorder.costs["oracle_calls"] == sum(recorder.costs[key] for key in kinds)
    assert recorder.costs["solved"] == recorder.costs["reported_solved"] == 1
    values = [record.value for record in recorder.records if record.split == "test"]
    assert values == sorted(values, reverse=True)


def test_calls_are_counted_one_each_and_the_residual_is_not_charged():
    seen = []

    def three_gradients(statement):
        for k in range(3):
            statement.grad(statement.x0 + k)
            seen.append(statement.x0 + k)
        statement.hess(statement.x0)
        statement.cons_hess(statement.x0, np.ones(1))
        return OptimizeResult(x=np.array([1.0, 1.0]))

    trace = run_method(equality_problem("hs6"), three_gradients, {})
    assert trace.counter.by_kind == {"gradient": 3, "hessian": 1, "constraint hessian": 1}
    assert trace.counter.total == 5
    assert trace.residuals[-1] == 1e-16
    assert trace.best.tolist() == [1.0, 1.0]
    assert trace.calls_to(1e-4) == 5
    assert trace.residual_at(0) == math.inf
    assert trace.residual_at(1) == pytest.approx(point_residual(equality_problem("hs6"), seen[0]))


def test_second_derivatives_add_up_to_the_lagrangians():
    problem = equality_problem("hs79")
    captured = {}

    def look(statement):
        captured["statement"] = statement
        return OptimizeResult(x=statement.x0)

    run_method(problem, look, {})
    statement, lam = captured["statement"], np.array([0.3, -1.0, 2.0])
    total = statement.hess(problem.x0) + statement.cons_hess(problem.x0, lam)
    assert total == pytest.approx(problem.hess(problem.x0, lam))
    assert statement.problem().hess(problem.x0, lam) == pytest.approx(total)


def test_the_residual_belongs_to_the_point():
    problem = equality_problem("hs28")
    assert point_residual(problem, np.array([0.5, -0.5, 0.5])) == pytest.approx(0, abs=1e-14)
    assert point_residual(problem, np.full(3, np.nan)) == math.inf
    sparse = poisson_control(3)
    assert point_residual(sparse, sparse.x0) > 1
    assert point_residual(equality_problem("hs77"), np.full(5, 1e200)) == math.inf


def test_a_run_ends_at_its_budget():
    recorder = run(equality("hs77"), "adasketch-exact", budget=20)
    assert recorder.costs["oracle_calls"] <= 20
    assert recorder.records[-1].at == 20
    assert recorder.costs["solved"] == 0


@pytest.mark.parametrize("name", ["adasketch-practical", "adasketch-rk"])
def test_same_seed_same_numbers(name):
    problem = logistic_sphere("breast-cancer")

    def values(seed):
        return [(record.at, record.value) for record in run(problem, name, seed=seed, budget=60).records]

    assert values(0) == values(0)
    assert values(0) != values(1)


@pytest.mark.parametrize("name", ["adasketch-rk", "adasketch-practical", "slsqp"])
@pytest.mark.parametrize("problem", [logistic_sphere("breast-cancer"), equality_set("reference")], ids=lambda p: p.name)
def test_a_run_that_was_cut_off_starts_again_and_ends_the_same(problem, name, tmp_path):
    _, _, after = cut_and_resumed(problem, method(name), 60, tmp_path / "state", 0.3)
    assert after[0] < 0.1


def test_methods_meet_the_same_data_at_a_seed():
    problem = logistic_sphere("breast-cancer")
    first, again, other = (problem.make(SeedTree(seed))[0] for seed in (0, 0, 1))
    assert first.cons(first.x0).tolist() == again.cons(first.x0).tolist()
    assert first.cons(first.x0).tolist() != other.cons(first.x0).tolist()


def test_a_set_reports_the_share_that_is_unsolved():
    problem = equality_set("reference")
    recorder = run(problem, "adasketch-exact")
    assert recorder.last("test", "unsolved") == 0
    curve = [record for record in recorder.records if record.metric == "unsolved" and record.split == "valid"]
    assert [record.at for record in curve] == log_positions(problem.budget, POINTS)[-len(curve) :]
    assert curve[0].value > 0.5
    assert recorder.costs["solved"] == 20
    assert 5 < recorder.costs["median_calls_to_solution"] < 60
    # SLSQP comes close on all of them and does not notice on HS7
    slsqp = run(problem, "slsqp")
    assert (slsqp.last("test", "unsolved"), slsqp.costs["reported_solved"]) == (0, 19)


@pytest.mark.parametrize("name", ["adasketch-exact", "adasketch-minres", "slsqp", "sqp-l1-gmres"])
def test_the_poisson_problem(name):
    assert run(poisson(4), name).last("test", "kkt") <= 1e-5


def test_nothing_finite_is_divergence():
    def never(x, *rest):
        return np.full(2, np.nan)

    broken = EqualityProblem(
        fun=lambda x: np.nan, grad=never, cons=lambda x: np.full(1, np.nan), jac=lambda x: np.full((1, 2), np.nan),
        hess=lambda x, lam: np.full((2, 2), np.nan), x0=np.zeros(2),
    )  # fmt: skip
    problem = ConstrainedProblem(name="broken", summary="", make=lambda seed: [broken], budget=30)

    def still(statement):
        return OptimizeResult(x=statement.x0)

    entry = catalog.Method("still", "constrained", still, {}, {})
    with pytest.raises(Diverged, match="no point had finite values"):
        run(problem, entry)


def test_problems_can_be_sent_to_workers():
    for problem in (equality("hs6"), equality_set("extra"), logistic_sphere("digits"), poisson(3)):
        assert pickle.loads(pickle.dumps(problem)).name == problem.name


@pytest.mark.parametrize(("build", "options", "error"), [
    (equality, {"name": "hs5000"}, "unknown problem"),
    (equality_set, {"which": "most"}, "which must be one of"),
    (logistic_sphere, {"data": "iris"}, "data must be one of"),
    (poisson, {"n": 0}, "n must be at least 1"),
])  # fmt: skip
def test_unknown_problems(build, options, error):
    with pytest.raises((ValueError, OptimandError), match=error):
        build(**options)


def minimizer(fun, x0, args=(), jac=None, hess=None, constraints=(), tol=None, rng=None, maxiter=100, **options):
    """SLSQP under another name."""
    assert rng is not None or tol is None or callable(hess)
    return minimize(
        fun, x0, jac=jac, method="SLSQP", constraints=constraints, options={"maxiter": maxiter, "ftol": tol}
    )


def test_a_users_minimizer_is_adopted():
    entry = family.adopt("mine", minimizer)
    assert (entry.defaults, entry.summary, entry.family) == (
        {"maxiter": 100},
        "SLSQP under another name.",
        "constrained",
    )
    recorder = run(equality("hs6"), entry, maxiter=50)
    assert recorder.last("test", "kkt") < 1e-4
    assert pickle.loads(pickle.dumps(entry)).name == "mine"

    def narrow(f, start, jac, constraints):
        return minimize(f, start, jac=jac, method="SLSQP", constraints=constraints, options={"ftol": 1e-9})

    assert run(equality("hs6"), family.adopt("narrow", narrow)).last("test", "kkt") < 1e-4


def test_our_own_minimizer_in_scipys_form_is_adopted():
    from optimand.numerical.constrained import adasketch_newton

    assert run(equality("hs6"), family.adopt("ours", adasketch_newton)).costs["solved"] == 1


@pytest.mark.parametrize(("obj", "message"), [
    (3, r"is 3 \(int\)"),
    (lambda fun: None, "takes no objective and start"),
    (lambda fun, x0: None, "takes no jac and no constraints"),
    (lambda fun, x0, jac, constraints, step: None, "no default for step"),
    (lambda fun, x0, jac, constraints: None, "does not work on a small problem"),
    (lambda fun, x0, jac, constraints: 1 / 0, "ZeroDivisionError"),
    (lambda fun, x0, jac, constraints: 7, "does not work on a small problem"),
])  # fmt: skip
def test_what_cannot_be_adopted(obj, message):
    with pytest.raises(OptimandError, match=message) as caught:
        family.adopt("mine", obj)
    assert "expected a minimizer" in str(caught.value)


def test_facts_about_methods():
    facts = family.describe(method("adasketch-exact"))
    assert facts["solves hs28"] == "in 11 oracle calls"
    assert "hessian" in facts["asks for"]
    assert "hessian" not in family.describe(method("slsqp"))["asks for"]


def test_hyperparameters_reach_the_methods():
    assert method("ipopt").hyper({"mu_init": 1.0})["mu_init"] == 1.0
    assert method("adasketch-gv").paper == methods.PAPER
    with pytest.raises(OptimandError, match="no hyperparameter"):
        method("slsqp").hyper({"lr": 1.0})


def test_a_record_holds_the_residual_of_its_position_and_no_later_one():
    problem = equality("hs77")
    trace = run_method(equality_problem("hs77"), method("sqp-l1-gmres").build, {}, tol=problem.tol)
    recorder = run(problem, "sqp-l1-gmres")
    records = {record.at: record.value for record in recorder.records if record.split == "test"}
    known = [at for at in log_positions(problem.budget, POINTS) if math.isfinite(trace.residual_at(at))]
    assert list(records) == known
    assert [records[at] for at in known] == pytest.approx([trace.residual_at(at) for at in known], rel=1e-9)


def test_an_answer_without_a_gradient_counts_from_when_it_was_given():
    def ten_constraints(statement):
        for _ in range(10):
            statement.cons(statement.x0)
        return OptimizeResult(x=np.array([1.0, 1.0]))

    recorder = run(equality("hs6"), catalog.Method("ten", "constrained", ten_constraints, {}, {}), budget=30)
    assert min(record.at for record in recorder.records) >= 10


def test_a_method_without_gradients_gets_as_far_as_its_budget():
    def powell(fun, x0, args=(), jac=None, constraints=(), **options):
        return minimize(fun, x0, method="COBYLA", constraints=constraints, options={"maxiter": 10_000})

    recorder = run(equality("hs6"), family.adopt("powell", powell), budget=40)
    assert recorder.costs["oracle_calls"] == 40
    values = [record.value for record in recorder.records if record.split == "test"]
    assert values[-1] < values[0] < math.inf


def test_a_method_that_catches_all_errors_ends_at_its_budget():
    def stubborn(statement):
        while True:
            with contextlib.suppress(Exception):
                statement.grad(statement.x0)

    trace = run_method(equality_problem("hs6"), stubborn, {}, budget=7)
    assert trace.counter.total == 7


@pytest.mark.parametrize(("x", "error", "message"), [
    ([1.0], ValueError, r"shape \(2,\), got \(1,\)"),
    ([[1.0], [1.0]], ValueError, "shape"),
    ("far", TypeError, "numbers"),
])  # fmt: skip
def test_the_final_point_is_checked(x, error, message):
    with pytest.raises(error, match=message):
        run_method(equality_problem("hs6"), lambda statement: OptimizeResult(x=x), {})


@without_ipopt
def test_ipopt_pays_for_what_it_asks_only():
    trace = run_method(equality_problem("hs77"), method("ipopt").build, {})
    assert trace.calls[0] <= 2
    sparse = run_method(poisson_control(3), method("ipopt").build, {})
    assert sparse.residuals[-1] < 1e-6


def test_the_lab_is_told_why_a_method_stopped_without_success():
    recorder = run(equality("gottfr"), "adasketch-rk")
    assert recorder.notes["stopped"].startswith("the gradients of the constraints count as linearly dependent")
    assert "stopped" not in run(equality("hs6"), "adasketch-exact").notes
    assert "stopped" not in run(equality("hs6"), "adasketch-exact", budget=8).notes  # the budget ended it
    problem = ConstrainedProblem(
        name="two", summary="", make=lambda seed: [equality_problem(name) for name in ("hs6", "gottfr")]
    )
    assert run(problem, "adasketch-rk").notes["stopped"].startswith("1 of 2 problems, GOTTFR first: the gradients")
