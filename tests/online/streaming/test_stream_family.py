"""The family's runs: what is recorded, adopting users' learners, the real stream."""

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.online.streaming.methods  # noqa: F401 (registers them)
from optimand.core.space import Int
from optimand.core.validation import OptimandError
from optimand.online.streaming.classifiers import accuracies
from optimand.online.streaming.family import adopt, describe
from optimand.online.streaming.problems import (
    StreamingProblem,
    stream_beta,
    stream_classifiers,
    stream_clear_cut,
    stream_hard,
    stream_mix_in,
)

NAMES = (
    "uniform-explore", "naive-eps-best", "tower-log", "tower-loglog", "tower-logstar", "tower-theory", "king",
    "anytime-loglog",
)  # fmt: skip


run, curve = runner(20_000), reader("regret_share")


@pytest.mark.parametrize("name", NAMES)
def test_every_method_runs_and_both_metrics_are_recorded(name):
    recorder = run(stream_mix_in(K=30, reps=10), entry(name))
    shares, regrets = curve(recorder), curve(recorder, "regret")
    assert shares[-1][0] == 20_000
    unit = 30 ** (1 / 3) * 20_000 ** (2 / 3)
    assert [v * unit for _, v in shares] == pytest.approx([v for _, v in regrets])
    assert shares[-1][1] > 0
    assert curve(recorder, "regret_share:q10")[-1][1] <= curve(recorder, "regret_share:q90")[-1][1]
    assert recorder.costs["peak_arms"] >= 2
    assert 0 < recorder.costs["explored_share"] <= 1
    assert recorder.costs["explored_pulls"] == pytest.approx(20_000 * recorder.costs["explored_share"])
    assert recorder.costs["committed_gap"] >= 0


@pytest.mark.parametrize(
    "problem",
    [stream_clear_cut(20, reps=5), stream_beta(20, reps=5), stream_hard(20, reps=6), stream_classifiers(10, reps=5)],
    ids=lambda p: p.name,
)
def test_every_problem_runs(problem):
    recorder = run(problem, entry("tower-loglog"))
    assert 0 < recorder.last("test", "regret_share") < 5
    assert recorder.last("valid", "regret_share") != recorder.last("test", "regret_share")


def test_a_run_is_a_function_of_its_seed():
    problem = stream_mix_in(K=20, reps=4)
    assert curve(run(problem, entry("king"), 3)) == curve(run(problem, entry("king"), 3))
    assert curve(run(problem, entry("king"), 3)) != curve(run(problem, entry("king"), 4))


def test_explore_is_tuned_and_changes_what_is_explored():
    problem = stream_mix_in(K=20, reps=4)
    for name in NAMES:
        assert set(entry(name).space) <= set(entry(name).defaults)
    few, many = (run(problem, entry("tower-log"), explore=e).costs["explored_pulls"] for e in (0.1, 1.0))
    assert few < 0.2 * many


class Thrifty:
    """Pulls each arm a fixed number of times and keeps the best."""

    def __init__(self, pulls=20):
        self.pulls = pulls

    def start(self, K, T):
        self.best, self.mean = None, -1.0

    def observe_arm(self, arm):
        mean = arm.pull(self.pulls)
        if self.best is None or mean > self.mean:
            arm, self.best, self.mean = self.best, arm, mean
        if arm is not None:
            arm.release()

    def commit(self):
        return self.best


def test_a_users_learner_is_adopted_and_runs():
    method = adopt("thrifty", Thrifty)
    assert method.defaults == {"pulls": 20}
    assert method.space == {"pulls": Int(2, 200, log=True)}
    assert method.summary == "Pulls each arm a fixed number of times and keeps the best."
    recorder = run(stream_mix_in(K=20, reps=4), method, pulls=5)
    assert recorder.costs["explored_pulls"] == 20 * 5
    assert recorder.costs["peak_arms"] == 2
    assert adopt("made", lambda pulls=3: Thrifty(pulls)).defaults == {"pulls": 3}


@pytest.mark.parametrize("pulls", [200, 100_000])
def test_a_learner_that_wants_more_trials_than_a_short_stream_has_is_adopted(pulls):
    method = adopt("thrifty", lambda pulls=pulls: Thrifty(pulls))
    assert method.defaults == {"pulls": pulls}
    (trials, *_) = describe(method).values()
    assert trials == (str(100 * pulls) if pulls == 200 else "asks for more than there are")


class Greedy(Thrifty):
    def observe_arm(self, arm):
        arm.pull(10**9)


class Nothing(Thrifty):
    def commit(self):
        return None


class Faulty(Thrifty):
    def observe_arm(self, arm):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("obj", "match"),
    [
        (3, "expected a class"),
        (lambda: 3, "lacks start, observe_arm, commit"),
        (Greedy, "asked for 1000000000 pulls"),
        (Nothing, "handle of an arm of this stream, got None"),
        (Faulty, "does not work on a short stream: KeyError"),
        (lambda pulls: Thrifty(pulls), "no default for pulls"),
    ],
)
def test_what_is_no_learner_is_refused(obj, match):
    with pytest.raises(OptimandError, match=match):
        adopt("mine", obj)


def test_describe_says_what_a_method_spends():
    facts = describe(entry("tower-loglog"))
    assert facts["arms alive at once, the arriving one included"] == "3"
    assert int(facts["trials before commitment, 100 arms, 10^6 trials"]) > 100 * 464


def test_regret_is_recorded_where_learners_begin_to_differ():
    problem = stream_mix_in(K=20, reps=2)
    positions = [at for at, _ in curve(run(problem, entry("tower-loglog")))]
    assert positions[0] == int(20 ** (1 / 3) * 20_000 ** (2 / 3) / 20)
    assert positions[-1] == 20_000
    assert [at for at, _ in curve(run(problem, entry("king"), budget=20))] == list(range(1, 21))


def test_the_real_stream_has_arms_of_many_qualities():
    found = accuracies(60)
    assert found.shape == (60,)
    assert not np.array_equal(found, accuracies(60, 1))
    assert found.max() > 0.88
    assert found.min() < 0.6
    with pytest.raises(ValueError, match="read-only"):
        found[0] = True


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: stream_mix_in(K=0), "K must be"),
        (lambda: stream_clear_cut(budget=0), "budget must be"),
        (lambda: stream_beta(reps=0), "reps must be"),
        (lambda: stream_hard(last="both"), "last must be"),
        (lambda: stream_classifiers(K=-1), "K must be"),
        (lambda: stream_mix_in(K=100, budget=50), "budget must be at least the number of arms, K=100, got 50"),
        (lambda: stream_hard(K=100, budget=200), "must be at most 1/2"),
    ],
)
def test_bad_parameters_of_problems_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_trials_are_the_cube_of_the_arms_by_default():
    assert stream_mix_in().budget == stream_clear_cut().budget == stream_beta().budget == 125_000_000
    assert (stream_hard().budget, stream_classifiers().budget) == (8_000_000, 1_000_000)
    assert stream_mix_in(K=100).budget == 1_000_000
    assert stream_hard(K=30).budget == 27_000
    assert stream_mix_in(K=100, budget=5000).budget == 5000


def test_problems_satisfy_the_lab():
    problem = stream_mix_in()
    assert isinstance(problem, StreamingProblem)
    assert (problem.family, problem.unit, problem.metric, problem.direction) == (
        "streaming-bandits", "trials", "regret_share", "min",
    )  # fmt: skip
