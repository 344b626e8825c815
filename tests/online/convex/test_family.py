"""The family ``online-convex``: methods on problems, users' learners, splits, lazy imports."""

import os

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.online.convex.methods  # noqa: F401 (registers them)
from optimand.core import catalog
from optimand.core.recorder import Diverged
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.lab.study import Study, StudySpec
from optimand.online.convex import OGD, datasets, problems
from optimand.online.convex.family import adopt, describe, known_of, rehearse
from optimand.online.engine import Learner, simulate

ALL = (
    "oco-ogd", "oco-ogd-sc", "oco-adagrad-norm", "ons", "oftrl", "optimistic-omd", "optimistic-omd-sc",
    "optimistic-omd-exp", "optimistic-omd-implicit", "dynamic-omd", "dynamic-omd-implicit", "sword-pp",
)  # fmt: skip


run, curve = runner(60), reader("regret")


class Plain:
    """Follows gradients."""

    def __init__(self, spec, lr=0.1):
        self.x, self.project, self.lr = np.zeros(spec.actions), spec.domain.project, lr

    def predict(self):
        return self.x

    def update(self, grad):
        self.x = self.project(self.x - self.lr * grad)


class Whole(Learner):
    """A learner of the engine."""

    kind = "gradient"

    def __init__(self, lr=0.1):
        self.lr = lr

    def reset(self, spec, draws):
        self.x, self.domain = np.zeros((spec.reps, spec.actions)), spec.domain

    def act(self, observation):
        return self.x

    def update(self, feedback):
        self.x = self.domain.project(self.x - self.lr * feedback.gradient)


@pytest.mark.parametrize("name", ALL)
def test_every_method_runs_and_its_hyperparameters_matter(name):
    method, problem = entry(name), problems.sea_iid(d=3, reps=4)
    values = curve(run(problem, method))
    assert values[-1][0] == 60
    assert np.isfinite([v for _, v in values]).all()
    assert set(method.space) <= set(method.defaults)
    for key, space in method.space.items():
        other = space.low if hasattr(space, "low") else space.options[1]
        assert curve(run(problem, method, **{key: other}))[-1] != values[-1]


def test_the_default_methods_run_on_every_problem_without_data():
    built = [
        problems.sea_alternating(d=3, reps=2, curvature=0.0), problems.sea_corrupted(d=3, reps=2),
        problems.sea_segments(d=3, reps=2), problems.sea_drift(d=3, reps=2),
        problems.sea_random_order(n=20, d=3, reps=2),
        problems.random_order_regression(reps=2), problems.random_order_regression("absolute", reps=2),
        problems.digits_label_shift(reps=2), problems.digits_label_shift("hinge", "square", reps=2),
    ]  # fmt: skip
    for problem in built:
        for name in catalog.families()["online-convex"].methods:
            recorder = run(problem, entry(name), budget=10)
            for split in ("valid", "test"):
                assert np.isfinite(recorder.last(split, problem.metric))
        assert problem.metric == next(iter(problem.metrics))
        assert problem.name.split(":")[0] in catalog.problems()


def test_dynamic_problems_record_both_regrets():
    recorder = run(problems.sea_segments(d=3, reps=3), entry("dynamic-omd"))
    assert recorder.last("test", "dynamic_regret") > recorder.last("test", "regret")
    assert recorder.costs["Sigma2_cum"] > 0
    assert recorder.costs["path_length"] > 0


def test_splits_of_data_are_different_rows():
    x, y = datasets.diabetes()
    valid, test = (problems._halves(split, x, y) for split in ("valid", "test"))
    assert len({*map(tuple, valid[0])} & {*map(tuple, test[0])}) == 0
    first, second = (problems._parts(split, np.arange(11)) for split in ("valid", "test"))
    assert (first[0].tolist(), second[0].tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    recorder = run(problems.random_order_regression(reps=3), entry("oco-ogd"))
    assert recorder.last("valid", "regret") != recorder.last("test", "regret")


def test_a_run_is_that_of_simulate():
    problem = problems.sea_iid(d=3, reps=4)
    recorder = run(problem, entry("oco-ogd"))
    from optimand.online.engine import recording_grid, start

    rollout = start(
        OGD(), problem.make("test"), horizon=60, reps=np.arange(4), seed=SeedTree(0).child("test"),
        grid=recording_grid(60, 80), name="method",
    )  # fmt: skip
    while rollout.position < len(rollout.grid):
        rollout.advance()
    assert recorder.last("test", "regret") == rollout.curves["fixed"][:, -1].mean()


def test_plain_and_whole_learners_are_adopted_alike():
    problem = problems.sea_iid(d=3, reps=3)
    methods = [adopt("mine", made) for made in (Plain, Whole, lambda spec, lr=0.1: Plain(spec, lr))]
    curves = [curve(run(problem, method)) for method in methods]
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-12)
    np.testing.assert_allclose(curves[0], curves[2], atol=1e-12)
    assert methods[0].defaults == {"lr": 0.1}
    assert methods[0].space["lr"].high == pytest.approx(3.0)
    assert methods[0].summary == "Follows gradients."
    assert methods[1].origin.endswith(":Whole")


class Outside(Plain):
    def update(self, grad):
        self.x = self.x + 5.0


class Flat(Plain):
    def predict(self):
        return np.zeros(1)


class Bandit(Whole):
    kind = "reward"


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (3, "expected a class or function"),
        (lambda: None, "takes no spec"),
        (lambda spec, lr: None, "no default for lr"),
        (lambda spec: 5, "must build a learner, got 5"),
        (lambda spec: spec.missing, "does not work on a small problem: AttributeError"),
        (Outside, "outside the domain"),
        (Flat, r"point of shape \(3,\), got \(1,\)"),
        (Bandit, "learns from 'reward'"),
    ],
)
def test_adopt_says_what_does_not_fit(thing, text):
    with pytest.raises(OptimandError, match=text):
        adopt("mine", thing)


def test_a_learner_that_explodes_has_diverged():
    class Explode(Plain):
        def predict(self):
            return self.x * np.nan if np.abs(self.x).any() else self.x

    problem = problems.sea_iid(d=3, reps=2)
    method = adopt("fine", Plain)
    broken = type(method)(**{**vars(method), "build": lambda spec, lr: Explode(spec, lr)})
    with pytest.raises(Diverged, match="regret is nan"):
        run(problem, broken)


def test_what_a_problem_does_not_tell_is_named():
    with pytest.raises(OptimandError, match=r"'optimistic-omd-sc' needs to know lam.*it tells D=2"):
        run(problems.sea_alternating(curvature=0.0, reps=1), entry("optimistic-omd-sc"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: problems.sea_iid(sigma=-1), "sigma must be in"),
        (lambda: problems.sea_iid(reps=0), "reps must be at least 1"),
        (lambda: problems.sea_segments(budget=0), "budget must be at least 1"),
        (lambda: problems.random_order_regression("hinge"), "loss must be one of"),
        (lambda: problems.sulfur_recovery(budget=6000), r"budget must be in \[1, 5040\]"),
        (lambda: problems.digits_label_shift(how="up"), "how must be one of"),
    ],
)
def test_problems_name_bad_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_data_sets_that_are_missing_say_so(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="OPTIMAND_DATA"):
        run(problems.sulfur_recovery(), entry("oco-ogd"), budget=5)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA to the folder"):
        Study(StudySpec(("sulfur-recovery",), ("oco-ogd",), seeds=1), folder=tmp_path).run()
    assert not list(tmp_path.iterdir())  # it fails before the first run
    with pytest.raises(ValueError, match="data must be one of"):
        problems.data_stream("elec")


def test_every_problem_is_built_without_its_data(monkeypatch, tmp_path):
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    for name, factory in catalog.problems().items():
        if factory.family == "online-convex":
            assert factory.build().name.startswith(name)


@pytest.mark.parametrize("data", datasets.PACKAGED)
def test_streams_of_installed_packages_have_the_rows_that_are_told(data):
    x, y = datasets.packaged(data)
    _, loss, rows = datasets.PACKAGED[data]
    assert len(x) == len(y) == rows
    assert np.linalg.norm(x, axis=1).max() == pytest.approx(1)
    assert (set(y) == {-1.0, 1.0}) == (loss == "logistic")
    recorder = run(problems.data_stream(data), entry("optimistic-omd"), budget=50)
    assert recorder.last("valid", "loss") != recorder.last("test", "loss")


def test_sulfur_recovery_runs_where_the_data_are():
    root = os.environ.get("OPTIMAND_DATA")
    if not root or not os.path.exists(os.path.join(root, "optimistic-omd-sea", "SRU_1.mat")):
        pytest.skip("needs $OPTIMAND_DATA/optimistic-omd-sea/SRU_1.mat")
    assert run(problems.sulfur_recovery(), entry("oco-ogd"), budget=200).last("test", "loss") > 0


def test_describe_counts_what_is_kept():
    facts = describe(entry("optimistic-omd"))
    assert 2 <= float(facts["numbers kept for each coordinate (d = 10)"]) < 6
    assert float(describe(entry("ons"))["numbers kept for each coordinate (d = 10)"]) > 10
    assert rehearse(entry("oco-ogd")) is not None
    assert known_of(problems.sea_iid().make("valid"), 7).horizon == 7


def test_environments_that_are_mine_run_under_simulate():
    curves = simulate({"mine": Whole()}, problems.sea_drift(d=3).make("test"), 50, reps=3, comparator="dynamic")
    assert curves.mean("mine")[-1] > 0
