"""The family's run loop: what is charged, what is recorded, resuming, adopting users' solvers, lazy imports."""

import pickle

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.numerical.monotone.methods  # noqa: F401 (registers them)
from optimand.core.projections import Box
from optimand.core.recorder import Diverged, Recorder, log_positions
from optimand.core.running import POSITIONS
from optimand.core.validation import OptimandError
from optimand.numerical.monotone.family import adopt, describe
from optimand.numerical.monotone.loop import Inclusion
from optimand.numerical.monotone.operators import FiniteSumOperator
from optimand.numerical.monotone.problems import MonotoneProblem, cocoercive_sum, matrix_game, sparse_game, svm_saddle

NAMES = (
    "extragradient", "eag", "halpern", "halpern-one-step", "svrg-eg", "omwu", "vr-halpern", "vr-halpern-inexact",
    "vr-halpern-restarted", "monotone-auto",
)  # fmt: skip
COCOERCIVE = ("halpern-one-step", "vr-halpern")


run, curve = runner(30), reader("residual")


@pytest.mark.parametrize("name", NAMES)
def test_every_method_runs_on_a_game_and_falls(name):
    problem = matrix_game(kind="uniform", size=30)
    if name in COCOERCIVE:
        with pytest.warns(UserWarning, match="cocoercive"):
            recorder = run(problem, entry(name), budget=100)
    else:
        recorder = run(problem, entry(name), budget=100)
    values = curve(recorder)
    assert [at for at, _ in values] == [0, *log_positions(100, POSITIONS)]
    if name not in COCOERCIVE:
        assert values[-1][1] < values[0][1]
    assert curve(recorder, split="valid") == values
    assert len(curve(recorder, "gap")) == len(values)
    assert recorder.costs["seconds_per_unit"] > 0
    assert 100 * 15 - 1e-9 <= recorder.costs["oracle_calls"] <= 120 * 15


@pytest.mark.parametrize("name", [n for n in NAMES if n != "omwu"])
def test_every_method_but_omwu_solves_a_cocoercive_sum(name):
    values = curve(run(cocoercive_sum(n=30, d=5), entry(name), budget=300))
    assert values[-1][1] < 0.3 * values[0][1]


def test_omwu_says_that_it_needs_a_game():
    with pytest.raises(ValueError, match="needs the operator of a matrix game"):
        run(cocoercive_sum(n=10, d=3), entry("omwu"))


def test_step_factors_are_in_the_spaces_and_change_the_run():
    problem = svm_saddle()
    for name in NAMES[:-1]:
        method = entry(name)
        assert method.space, name
        assert set(method.space) <= set(method.defaults)
    slow, fast = (curve(run(problem, entry("extragradient"), budget=60, step=s))[-1][1] for s in (0.1, 1.0))
    assert fast < slow


@pytest.mark.parametrize("name", ["extragradient", "vr-halpern-inexact", "svrg-eg"])
def test_a_run_is_a_function_of_its_seed(name):
    problem = matrix_game(size=25)
    assert curve(run(problem, entry(name), 3)) == curve(run(problem, entry(name), 3))
    assert curve(run(problem, entry(name), 3)) != curve(run(problem, entry(name), 4))


def test_what_is_recorded_was_there_within_that_many_passes():
    """A method whose step takes ten passes and solves the problem reports its start until then."""

    class Leap:
        def __init__(self, task):
            self.task, self.u = task, task.u0

        def step(self):
            for _ in range(10):
                self.task.op.full(self.u)
            self.u = np.zeros_like(self.u)

    zero = MonotoneProblem(
        name="line", summary="", make=lambda rng: Inclusion(
            FiniteSumOperator(1, lambda u: u, lambda u, i: u, 1.0, 1.0, L_cocoercive=1.0), np.ones(2)
        ),
    )  # fmt: skip
    values = dict(curve(run(zero, adopt("leap", Leap), budget=40)))
    assert all(value == pytest.approx(2**0.5) for at, value in values.items() if at < 10)
    # at the tenth pass the step is paid for
    assert all(value == 1e-16 for at, value in values.items() if at >= 10)


def test_the_evaluations_charged_are_those_made():
    made = []

    def make(rng):
        def full(u):
            made.append(5)
            return u

        def batch(u, idx):
            made.append(len(idx))
            return u

        return Inclusion(FiniteSumOperator(5, full, batch, 1.0, 1.0, L_cocoercive=1.0), np.ones(2))

    problem = MonotoneProblem(name="count", summary="", make=make)

    def solver(task):
        u = task.u0
        while True:
            u = u - 0.1 * task.op.full(u) - 0.1 * task.op.batch(u, [1, 1, 4])
            yield u

    method = adopt("counted", solver)
    made.clear()
    recorder = run(problem, method, budget=20)
    # 12 steps of 8 and the evaluation that spends the rest; each look from outside is one that is not charged
    looks = len(curve(recorder))
    assert recorder.costs["oracle_calls"] == 101
    assert sum(made) == 101 + 5 * looks


@pytest.mark.parametrize("name", ["eag", "vr-halpern-restarted", "svrg-eg"])
def test_a_run_that_was_cut_off_goes_on_exactly(name, tmp_path):
    problem = matrix_game(size=20)
    whole = curve(run(problem, entry(name), budget=200))

    class CutError(Exception):
        pass

    class Cutting(Recorder):
        def progress(self, at):
            if at > 90:
                raise CutError

    first = Cutting(200, checkpoint=tmp_path / "state", checkpoint_every=0.0)
    with pytest.raises(CutError):
        run(problem, entry(name), budget=200, recorder=first)
    second = Recorder(200, checkpoint=tmp_path / "state")
    assert curve(run(problem, entry(name), budget=200, recorder=second)) == whole


def test_a_point_that_is_not_finite_is_divergence():
    def explode(task, step=1e200):
        u = task.u0
        while True:
            u = u + step * task.op.full(u) * u
            yield u

    with np.errstate(all="ignore"), pytest.raises(Diverged, match="residual is"):
        run(cocoercive_sum(n=5, d=2), adopt("explode", explode))


def test_a_solver_that_evaluates_nothing_does_not_hang():
    def idle(task):
        while True:
            yield task.u0

    with pytest.raises(OptimandError, match="without evaluating"):
        run(cocoercive_sum(n=5, d=2), adopt("idle", idle))


def test_a_generator_that_ends_keeps_its_last_point():
    def short(task):
        yield task.project(task.u0 - 0.1 * task.op.full(task.u0))

    values = curve(run(cocoercive_sum(n=5, d=2), adopt("short", short)))
    assert len(values) == 1 + len(log_positions(30, POSITIONS))
    assert values[-1] == (30, values[3][1])


def test_adopt_reads_the_signature():
    class Forward:
        """Forward steps."""

        def __init__(self, task, *, step=0.2, name="x"):
            self.task, self.step_size, self.u = task, step, task.u0

        def step(self):
            self.u = self.task.project(self.u - self.step_size * self.task.op.full(self.u))

    method = adopt("forward", Forward)
    assert method.defaults == {"step": 0.2, "name": "x"}
    assert (method.space["step"].low, method.space["step"].high) == pytest.approx((0.02, 2.0))
    assert method.summary == "Forward steps."
    assert method.family == "monotone"
    assert curve(run(cocoercive_sum(n=5, d=2), method, budget=50))[-1][1] < 1e-2


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (3, "expected a class or function"),
        (lambda: None, "takes no inclusion"),
        (lambda task, lr: None, "no default for lr"),
        (lambda task: 5, "must build an object with step"),
        (lambda task: task.op.missing, "does not work on a small problem: AttributeError"),
        (lambda task: (task.op.full(np.zeros(1)) for _ in range(2)), "u must have shape"),
    ],
)
def test_adopt_says_what_does_not_fit(thing, text):
    with pytest.raises(OptimandError, match=text):
        adopt("mine", thing)


def test_describe_names_costs():
    facts = describe(entry("extragradient"))
    assert facts["passes a step, 40 x 40 game"] == "2.00"
    assert float(facts["numbers kept for each unknown"]) < 10


def test_an_inclusion_estimates_missing_constants_free_of_charge():
    op = FiniteSumOperator(3, lambda u: 2 * u, lambda u, idx: 2 * u)
    task = Inclusion(op, np.ones(2), Box(-1, 1))
    assert op.calls == 0
    assert float(op.L) == pytest.approx(2.0)
    assert float(op.L_own) == pytest.approx(2.0)
    assert task.gap(np.ones(2)) is None


def test_problems_reject_what_is_no_instance():
    with pytest.raises(TypeError, match="make must be a function"):
        MonotoneProblem(name="x", summary="", make=3)
    with pytest.raises(TypeError, match="must return an Inclusion"):
        MonotoneProblem(name="x", summary="", make=lambda rng: 3).instance(np.random.default_rng(0))


def test_a_point_of_another_shape_is_named():
    class Wrong:
        def __init__(self, task):
            self.task, self.u = task, task.u0

        def step(self):
            self.task.op.full(self.task.u0)
            self.u = np.zeros(1)

    with pytest.raises(OptimandError, match="must have shape"):
        run(cocoercive_sum(n=5, d=2), adopt("wrong", Wrong))


def test_restarts_pay_on_most_games():
    """Not on all: a game whose solution is nearly not unique keeps its residual for a long time."""
    problem = matrix_game(kind="burglar", size=60)
    ratios = []
    for seed in range(3):
        plain, restarted = (
            curve(run(problem, entry(name), seed, budget=2000))[-1][1]
            for name in ("vr-halpern-inexact", "vr-halpern-restarted")
        )
        ratios.append(restarted / plain)
    assert sorted(ratios)[1] < 0.1
    assert max(ratios) < 1


def test_sparse_games_run_compiled():
    values = curve(run(sparse_game(size=60, nonzeros=900), entry("vr-halpern-inexact"), budget=100))
    assert values[-1][1] < values[0][1]


def test_states_are_plain():
    task = matrix_game(size=10).instance(np.random.default_rng(0))
    solver = entry("vr-halpern-inexact").build(task)
    solver.step()
    assert pickle.loads(pickle.dumps(solver.state_dict()))["method"] == "vr-halpern-inexact"
