"""The family in the lab: problems, methods, adopted methods and claims."""

import importlib
import math
import pickle

import numpy as np
import pytest
from tests.running import cut_and_resumed

from optimand.core import catalog
from optimand.core.recorder import Diverged, Recorder
from optimand.core.running import Meter
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.numerical.bilevel import problems
from optimand.numerical.bilevel.family import adopt, describe
from optimand.numerical.bilevel.quadratic import TunedRidge, diabetes_data
from optimand.papers.bilevel_penalty import claims

for module in ("family", "methods"):
    importlib.import_module(f"optimand.numerical.bilevel.{module}")

METHODS = {name: m for name, m in catalog.methods().items() if m.family == "bilevel"}
PROBLEMS = [
    problems.digits_hyper_cleaning(),
    problems.digits_hyper_cleaning(splits="fixed"),
    problems.diabetes_ridge(),
    problems.bilevel_quadratic(),
    problems.bilevel_quadratic(case="box"),
]


def run(problem, method, hyper=None, seed=0, budget=2000):
    recorder = Recorder(budget)
    problem.run(method, hyper or {}, seed=SeedTree(seed), budget=budget, recorder=recorder)
    return recorder


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_runs_on_every_problem(problem, name):
    recorder = run(problem, METHODS[name], budget=400)
    for split in ("valid", "test"):
        assert math.isfinite(recorder.last(split, problem.metric))
    assert 0 < recorder.costs["oracle_calls"] <= 400
    assert recorder.costs["seconds_per_unit"] > 0
    positions = [r.at for r in recorder.records if r.split == "test" and r.metric == problem.metric]
    assert positions == sorted(set(positions))
    assert 3 <= len(positions) <= 45


class Drifting:
    """Gradient steps on samples, kept whole: its oracle is in a closure too, and its generator is the instance's."""

    def __init__(self, instance):
        sampler = instance.sampler(200) if instance.sampler else lambda rng: rng.random() and None
        self.gradients = lambda: instance.oracle.lower(self.x, self.z, self.z, 0.1, sampler(instance.rng))
        self.x, self.z = instance.x0, instance.y0

    def step(self):
        self.z = self.z - 0.01 * self.gradients()[1]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
@pytest.mark.parametrize("name", [*sorted(METHODS), "drifting"])
def test_a_run_that_was_cut_off_goes_on_exactly(problem, name, tmp_path):
    method = METHODS.get(name) or adopt(name, Drifting)

    _, _, after = cut_and_resumed(problem, method, 400, tmp_path / "state", 0.4)
    assert after[0] >= 0.4


@pytest.mark.parametrize("name", ["bilevel-penalty-storm", "bilevel-penalty"])
def test_same_seed_same_records(name):
    problem = problems.diabetes_ridge(splits="fixed")
    first, second, third = (run(problem, METHODS[name], seed=s, budget=600) for s in (1, 1, 2))
    values = [[r.value for r in recorder.records] for recorder in (first, second, third)]
    assert values[0] == values[1]
    assert (values[0] == values[2]) == (name == "bilevel-penalty")


def test_splits_follow_the_seed_unless_they_are_fixed():
    fixed, resplit = problems.digits_hyper_cleaning(splits="fixed"), problems.digits_hyper_cleaning()
    assert fixed.instance(0).oracle.data is fixed.instance(1).oracle.data
    assert (resplit.instance(0).oracle.data.corrupt != resplit.instance(1).oracle.data.corrupt).any()
    assert (resplit.name, fixed.name) == ("digits-hyper-cleaning", "digits-hyper-cleaning:splits=fixed")
    other = problems.digits_hyper_cleaning(split_seed=3, splits="fixed")
    assert (other.instance(0).oracle.data.corrupt != fixed.instance(0).oracle.data.corrupt).any()


def test_hyper_cleaning_beats_no_cleaning():
    problem = problems.digits_hyper_cleaning()
    learned = run(problem, METHODS["bilevel-penalty-single"], budget=4000)
    plain = run(problem, METHODS["no-cleaning"], budget=1000)
    assert learned.last("test", "error") < plain.last("test", "error") - 0.05
    assert learned.last("train", "auc") > 0.9


def test_the_penalty_finds_the_minimum_of_a_quadratic_hyper_objective():
    problem = problems.bilevel_quadratic()
    exact = run(problem, METHODS["bilevel-implicit"], budget=20_000)
    assert exact.last("test", "stationarity") < 1e-6
    near = run(problem, METHODS["bilevel-penalty"], {"sigma": 0.001}, budget=20_000)
    assert near.last("test", "psi") == pytest.approx(exact.last("test", "psi"), rel=1e-3)
    assert exact.last("test", "gap") < 1e-10 < near.last("test", "gap") < 1e-3
    assert problem.metric == "gap"


def test_many_lower_solutions_have_a_known_minimum_too():
    exact = run(problems.bilevel_quadratic(case="many"), METHODS["bilevel-unrolled"], budget=20_000)
    assert exact.last("test", "gap") < 1e-9
    assert problems.bilevel_quadratic(case="box").metric == "psi"


@pytest.mark.parametrize("make", [problems.digits_hyper_cleaning, problems.diabetes_ridge])
def test_seeds_do_not_repeat_one_number(make):
    first, second = (run(make(), METHODS["bilevel-penalty"], seed=s, budget=300) for s in (0, 1))
    metric = make().metric
    assert first.last("test", metric) != second.last("test", metric)
    assert "validation data" in make().summary


def test_the_lab_is_told_why_a_run_stopped():
    class Stops(Mine):
        def step(self):
            super().step()
            raise FloatingPointError("no luck at step 1")

    recorder = Recorder(100)
    with pytest.raises(Diverged):
        problems.bilevel_quadratic().run(adopt_unseen(Stops), {}, seed=SeedTree(0), budget=100, recorder=recorder)
    assert recorder.notes["stopped"] == "no luck at step 1"


def adopt_unseen(obj):
    """As a method, without the step that adoption takes."""
    return catalog.Method(name="it", family="bilevel", build=obj, defaults={}, space={}, summary="")


def test_ridge_gradients_are_those_of_the_values():
    oracle, rng = TunedRidge(diabetes_data(np.random.default_rng(0))), np.random.default_rng(1)
    x, y, z, sigma = rng.normal(size=11), 0.3 * rng.normal(size=64), 0.3 * rng.normal(size=64), 0.3
    h, g = oracle.lower(x, y, z, sigma)
    upper = oracle.upper(x, y, z, sigma)
    v, w, t = rng.normal(size=64), rng.normal(size=11), 1e-5

    def values(dx=0.0, dy=0.0, dz=0.0):
        f_y, g_y, g_z = oracle.values(x + dx, y + dy, z + dz)
        return np.array([sigma * f_y + g_y, g_z, f_y + (g_y - g_z) / sigma])

    assert h @ v == pytest.approx((values(dy=t * v) - values(dy=-t * v))[0] / (2 * t), rel=1e-6)
    assert g @ v == pytest.approx((values(dz=t * v) - values(dz=-t * v))[1] / (2 * t), rel=1e-6)
    assert upper @ w == pytest.approx((values(dx=t * w) - values(dx=-t * w))[2] / (2 * t), rel=1e-6)
    hessian, mixed = oracle.second_order(x, y)
    along = (oracle.lower_gradient(x, y + t * v) - oracle.lower_gradient(x, y - t * v)) / (2 * t)
    np.testing.assert_allclose(hessian(v), along, atol=1e-7)
    turned = (oracle.lower_gradient(x + t * w, y) - oracle.lower_gradient(x - t * w, y)) / (2 * t)
    assert mixed(v) @ w == pytest.approx(turned @ v, rel=1e-6)


def test_problems_are_checked_and_can_be_sent_to_workers():
    for arguments in ({"split_seed": -1}, {"split_seed": 3}, {"splits": "often"}, {"lam": 0.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            problems.digits_hyper_cleaning(**arguments)
    with pytest.raises(ValueError, match="case"):
        problems.bilevel_quadratic(case="round")
    assert pickle.loads(pickle.dumps(PROBLEMS[0])).name == "digits-hyper-cleaning"


def test_divergence_is_an_outcome():
    with pytest.raises(Diverged):
        run(problems.bilevel_quadratic(), METHODS["bilevel-penalty"], {"gamma": 50.0})


def test_a_budget_that_is_too_small_says_so():
    with pytest.raises(OptimandError, match="gradient calls to start"):
        run(problems.digits_hyper_cleaning(), METHODS["bilevel-penalty-storm"], budget=2)


class Mine:
    """Gradient steps, one of each."""

    def __init__(self, instance, alpha=0.1, sigma=0.1):
        self.oracle, self.alpha, self.sigma = instance.oracle, alpha, sigma
        self.x, self.y, self.z = instance.x0, instance.y0, instance.y0

    def step(self):
        h, g, upper = self.oracle.joint(self.x, self.y, self.z, self.sigma)
        self.x, self.y, self.z = self.x - self.alpha * upper, self.y - 0.1 * h, self.z - 0.1 * g


def test_a_users_class_is_adopted():
    method = adopt("mine", Mine)
    assert method.defaults == {"alpha": 0.1, "sigma": 0.1}
    assert set(method.space) == {"alpha", "sigma"}
    assert method.summary == "Gradient steps, one of each."
    assert math.isfinite(run(problems.bilevel_quadratic(), method, budget=100).last("test", "psi"))
    assert describe(method) == {"gradient calls per step": "6"}


def test_what_does_not_fit_is_refused():
    def no_default(instance, alpha):
        return None

    def broken(instance):
        raise RuntimeError("no luck")

    for obj, text in [
        (3, "expected a class or function"),
        (lambda: None, "takes no instance"),
        (no_default, "has no default for alpha"),
        (lambda instance: 5, "returns a int"),
        (broken, "no luck"),
    ]:
        with pytest.raises(OptimandError, match=text):
            adopt("it", obj)


def test_a_method_that_asks_for_nothing_is_stopped():
    class Idle:
        def __init__(self, instance):
            self.x, self.z = instance.x0, instance.y0

        def step(self):
            pass

    with pytest.raises(OptimandError, match="without asking for a gradient"):
        run(problems.bilevel_quadratic(), adopt("idle", Idle))


def test_a_counter_of_the_methods_own_is_refused():
    class Cheat(Mine):
        def step(self):
            self.oracle.counter = Meter()
            super().step()

    with pytest.raises(OptimandError, match="replaced the counter"):
        run(problems.bilevel_quadratic(), adopt("cheat", Cheat))


@pytest.mark.parametrize("problem", PROBLEMS[:4], ids=lambda p: p.name)
def test_everything_that_the_oracles_answer_is_counted(problem):
    instance = problem.instance()
    oracle, x, y = instance.oracle, instance.x0, instance.y0
    oracle.values(x, y, y)
    assert oracle.counter.total == 3
    solve = {"digits": lambda: oracle.newton(x, y, 0.0, maxiter=1), "diabetes": lambda: oracle.solve(x)}
    kind = problem.name.split("-")[0]
    if kind in solve:
        solve[kind]()
        assert oracle.counter.total >= 3 + 2 * y.size


def test_state_counts_the_arrays_of_step_rules():
    recorder = run(problems.diabetes_ridge(), METHODS["bilevel-penalty"], budget=300)
    # x and its gradient; y, z and two directions of the power iteration.
    assert recorder.costs["state_bytes"] == 8 * (2 * 11 + 4 * 64)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_are_described(name):
    assert float(describe(METHODS[name])["gradient calls per step"]) > 0


# The two left out compute what the tests of the methods compute.
QUICK = [c for c in claims.CLAIMS if c.check and not c.study and c.name not in ("momentum", "single-loop")]


@pytest.mark.parametrize("claim", QUICK, ids=lambda c: c.name)
def test_claims_that_need_no_study_hold(claim):
    finding = claim.check()
    assert finding.holds, finding


class Table:
    """Outcomes made up here."""

    def __init__(self, error, auc=0.96):
        self.error, self.auc = error, auc

    def mean(self, problem, method, *, metric=None, split="test"):
        values = {"bilevel-implicit": 0.065, "no-cleaning": 0.14, "validation-only": 0.09}
        return self.auc if metric == "auc" else values.get(method, self.error)


@pytest.mark.parametrize("claim", [c for c in claims.CLAIMS if c.study], ids=lambda c: c.name)
def test_claims_read_their_studies(claim):
    assert claim.check(Table(0.062)).holds
    assert not claim.check(Table(0.08)).holds
    assert not claim.check(Table(0.15)).holds
    for spec in (claim.study, claim.small):
        assert all(name in METHODS for name in spec.methods)
