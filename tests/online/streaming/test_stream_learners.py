"""Learners: exact cases without noise, spent budgets, resuming, and what a plain twin of the tower does."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.online import simulate
from optimand.online.streaming import (
    AnytimeEpsBest,
    KingEpsBest,
    NaiveEpsBest,
    StreamingBandit,
    StreamLengthError,
    TowerEpsBest,
    UniformExplore,
    clear_cut,
    mix_in,
    run_streaming,
    schedules,
)
from optimand.online.streaming.pull_counts import king_pulls

LEARNERS = {
    "uniform": UniformExplore(),
    "naive": NaiveEpsBest(),
    "log": TowerEpsBest("log"),
    "loglog": TowerEpsBest("loglog"),
    "logstar": TowerEpsBest("logstar"),
    "theory": TowerEpsBest("theory"),
    "king": KingEpsBest(),
    "fractional": KingEpsBest("fractional"),
    "anytime": AnytimeEpsBest(arms=7, first=150),
    "anytime-one-arm": AnytimeEpsBest(arms=1, first=50),
    "anytime-uniform": AnytimeEpsBest(UniformExplore(), arms=20, first=3000),
}
BUILT_IN = list(LEARNERS)

# K, T, place of the good arm, learner, explored pulls, regret, peak of live arms
EXACT = [
    (27, 27_000, 13, "uniform", 5859, 5642, 2),
    (27, 27_000, 13, "naive", 8910, 8580, 2),
    (27, 27_000, 13, "log", 3860, 3240, 3),
    (27, 27_000, 13, "loglog", 4160, 3330, 3),
    (27, 27_000, 13, "logstar", 7500, 5000, 4),
    (27, 27_000, 26, "log", 3860, 3360, 3),
    (27, 27_000, 26, "loglog", 4160, 3660, 3),
    (27, 27_000, 26, "logstar", 7500, 7000, 4),
    (8, 8000, 5, "log", 1720, 1100, 2),
    (8, 8000, 5, "logstar", 2000, 1500, 3),
    (8, 8000, 5, "uniform", 1664, 1456, 2),
    (8, 8000, 5, "naive", 1664, 1456, 2),
    (8, 8000, 5, "loglog", 1664, 1456, 2),
    (27, 27_000, 13, "king", 4280, 4060, 2),
    (27, 27_000, 26, "king", 5840, 5620, 2),
    (8, 8000, 5, "king", 1420, 1200, 2),
]


@pytest.mark.parametrize("backend", ["loop", "numba"])
@pytest.mark.parametrize(("K", "T", "good", "name", "explored", "regret", "peak"), EXACT)
def test_exact_counts_without_noise(K, T, good, name, explored, regret, peak, backend):
    means = np.zeros(K)
    means[good] = 1.0
    curves = simulate({name: LEARNERS[name]}, StreamingBandit(means), T, reps=2, points=20, backend=backend)
    told = curves.extras[name]
    assert told["explored_pulls"].tolist() == [explored] * 2
    assert curves.at(name).tolist() == [regret] * 2
    assert told["peak_arms"].tolist() == [peak] * 2
    assert told["committed_gap"].tolist() == [0.0] * 2
    assert told["explored_share"].tolist() == [explored / T] * 2


@pytest.mark.parametrize("reward", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(("K", "T"), [(50, 20_000), (50, 60), (1, 10), (2, 100), (3, 1000), (37, 10**12)])
def test_compiled_loops_give_the_numbers_of_plain_learners_bit_for_bit(K, T, reward):
    env = StreamingBandit(mix_in(K), reward, sd=0.3)
    fast = simulate(LEARNERS, env, T, reps=3, points=50, backend="numba")
    plain = simulate(LEARNERS, env, T, reps=3, points=50, backend="loop")
    for name in LEARNERS:
        assert np.array_equal(fast.of(name), plain.of(name)), name
        assert np.isfinite(fast.of(name)).all()
        for key, values in fast.extras[name].items():
            assert np.array_equal(values, plain.extras[name][key]), (name, key)


@pytest.mark.parametrize("mean", [0.0, 0.5])
@pytest.mark.parametrize("name", BUILT_IN)
def test_more_arms_than_trials_can_tell_apart(name, mean):
    """K=50, T=60: the budget ends in the middle of a promotion, and an arm must be left."""
    env = StreamingBandit(np.full(50, mean))
    for rep in range(5):
        found = run_streaming(LEARNERS[name], env, 60, rep=rep)
        assert found.regret == 0
        assert found.explored <= found.times[-1] == 60
        assert 0 <= found.arm < 50


@pytest.mark.parametrize("name", [n for n in BUILT_IN if not n.startswith("anytime")])
def test_one_arm_is_committed_to_at_once(name):
    found = run_streaming(LEARNERS[name], StreamingBandit([0.3]), 1000)
    assert (found.explored, found.arm, found.regret) == (0, 0, 0)


@pytest.mark.parametrize("name", BUILT_IN)
def test_as_many_trials_as_arms_are_enough_to_end_with_an_arm(name):
    found = run_streaming(LEARNERS[name], StreamingBandit(mix_in(9)), 9)
    assert found.regrets[-1] <= 9
    with pytest.raises(ValueError, match="horizon must be at least the number of arms, 9, got 8"):
        run_streaming(LEARNERS[name], StreamingBandit(mix_in(9)), 8)


def play(learner, stream):
    while not stream.committed:
        arm = next(stream, None)
        if arm is None:
            stream.commit(learner.commit())
        else:
            learner.observe_arm(arm)
    return stream._account.copy(), list(stream._curve)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("through_pickle", [False, True])
def test_a_stream_resumes_bit_for_bit(name, through_pickle):
    env = StreamingBandit(mix_in(40))
    learner, stream = copy.deepcopy(LEARNERS[name]), env.open(50_000, keep_curve=True)
    learner.start(40, 50_000)
    for _ in range(17):
        learner.observe_arm(next(stream))
    saved = {"learner": learner.state_dict(), "stream": stream.state_dict()}
    if through_pickle:
        saved = pickle.loads(pickle.dumps(saved))
    expected = play(learner, stream)
    again, other = copy.deepcopy(LEARNERS[name]), env.open(50_000, keep_curve=True)
    other.load_state_dict(saved["stream"])
    again.load_state_dict(other.rebind(saved["learner"]))
    found = play(again, other)
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1] == expected[1]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["logstar", "fractional", "anytime"])
def test_simulations_resume_bit_for_bit(name, compiled):
    from optimand.core.seeds import SeedTree
    from optimand.online.engine.grid import recording_grid
    from optimand.online.engine.rollout import start

    def begin():
        return start(
            copy.deepcopy(LEARNERS[name]), StreamingBandit(mix_in(30)), horizon=20_000, reps=np.arange(4),
            seed=SeedTree(1), grid=recording_grid(20_000, 30), compiled=compiled,
        )  # fmt: skip

    whole = begin()
    assert whole.compiled == compiled
    for _ in range(22):
        whole.advance()
    saved = pickle.loads(pickle.dumps(whole.state_dict()))
    assert np.isnan(whole.curves["best-arm"][:, 22:]).all()
    resumed = begin()
    resumed.load_state_dict(saved)
    for rollout in (whole, resumed):
        while rollout.position < len(rollout.grid):
            rollout.advance()
    assert np.array_equal(whole.curves["best-arm"], resumed.curves["best-arm"])
    for key, values in whole.extras().items():
        assert np.array_equal(values, resumed.extras()[key])


def test_a_run_is_a_repetition_of_the_simulation():
    env = StreamingBandit(clear_cut(60))
    curves = simulate({"king": KingEpsBest("fractional")}, env, 10**6, reps=4, seed=9)
    for rep in range(4):
        found = run_streaming(KingEpsBest("fractional"), env, 10**6, seed=9, rep=rep, name="king")
        assert found.regret == curves.at("king")[rep]
        at = int(curves.times[80])
        assert np.interp(at, found.times, found.regrets) == pytest.approx(curves.of("king")[rep, 80])


def test_blocks_and_comparators_do_not_change_what_happens():
    env = StreamingBandit(mix_in(30))
    one = simulate({"log": TowerEpsBest("log")}, env, 10**5, reps=7, block=3)
    two = simulate({"log": TowerEpsBest("log")}, env, 10**5, reps=7)
    seen = simulate({"log": TowerEpsBest("log")}, env, 10**5, reps=7, comparator="best-arrived")
    assert np.array_equal(one.of("log"), two.of("log"))
    assert (seen.of("log") <= two.of("log") + 1e-9).all()
    assert (seen.at("log") < two.at("log")).all()


def test_curves_are_linear_within_batches_and_exact_at_the_end():
    means = [0.0, 1.0]
    curves = simulate({"naive": NaiveEpsBest()}, StreamingBandit(means), 10**17, reps=1, points=40)
    n = schedules(2, 10**17)["naive"].pulls[0]
    assert np.allclose(curves.of("naive")[0], np.minimum(curves.times, n), rtol=1e-12)


def test_the_best_of_the_sampled_arms_is_played_once_the_game_has_spent_too_much(monkeypatch):
    def stingy(*args):
        return dataclasses.replace(king_pulls(*args), most=5000)

    monkeypatch.setattr("optimand.online.streaming.king.king_pulls", stingy)
    monkeypatch.setattr("optimand.online.streaming.plans.king_pulls", stingy)
    env = StreamingBandit(mix_in(60))
    fast, plain = (simulate({"f": KingEpsBest("fractional")}, env, 10**5, reps=40, backend=b) for b in ("auto", "loop"))
    assert np.array_equal(fast.of("f"), plain.of("f"))
    assert (fast.extras["f"]["peak_arms"] <= 3).all()
    # the game ends after some thirty arms, so that its king would miss the best arm in half of the runs
    learner = KingEpsBest("fractional")
    learner.start(60, 10**5)
    stream = env.open(10**5)
    for arm in stream:
        learner.observe_arm(arm)
    assert learner.spent > 5000
    assert learner.second is not learner.king
    sampled = learner.second
    assert learner.commit() is sampled


def test_loops_are_compiled_once_wherever_the_means_come_from():
    from optimand.online.streaming import kernels

    learners = {"log": TowerEpsBest("log"), "king": KingEpsBest()}
    for env in (
        StreamingBandit(mix_in(3)),
        StreamingBandit([0.1, 0.2, 0.3]),
        StreamingBandit([0.1, 0.2], order="random"),
    ):
        simulate(learners, env, 1000, reps=2)
        simulate(learners, env, 1000, reps=1)
    assert len(kernels.run_tower.signatures) == len(kernels.run_king.signatures) == 1


def test_a_subclass_is_not_replaced_by_the_compiled_loop():
    class Stubborn(UniformExplore):
        def _choose(self):
            return super()._choose()

    env = StreamingBandit(mix_in(10))
    with pytest.raises(OptimandError, match="no loop is compiled"):
        simulate([Stubborn()], env, 1000, reps=2, backend="numba")
    found = simulate({"a": Stubborn(), "b": UniformExplore()}, env, 1000, reps=3)
    assert np.array_equal(found.of("a"), found.of("b"))


def test_ties_keep_the_earlier_arm():
    env = StreamingBandit([1.0, 1.0, 1.0, 0.0])
    for name in ("uniform", "naive", "log", "loglog", "logstar"):
        assert run_streaming(LEARNERS[name], env, 10_000).arm == 0


def test_handles_of_an_application_serve_as_well():
    """Nothing but pull and release is asked for."""

    class Own:
        def __init__(self, number):
            self.number, self.alive, self.pulls = number, True, 0

        def pull(self, n):
            assert self.alive
            self.pulls += n
            return self.number / 20

        def release(self):
            assert self.alive
            self.alive = False

    arms = [Own(k) for k in range(20)]
    learner = TowerEpsBest("log")
    learner.start(20, 100_000)
    for arm in arms:
        learner.observe_arm(arm)
    assert learner.commit() is arms[-1]
    assert [arm.alive for arm in arms] == [False] * 19 + [True]
    assert sum(arm.pulls for arm in arms) == 100_000 - learner.left


def test_the_anytime_learner_is_not_told_the_horizon():
    learner = AnytimeEpsBest(arms=5, first=100)
    learner.start()
    env = StreamingBandit(mix_in(23))
    short, long = (run_streaming(AnytimeEpsBest(arms=5, first=100), env, T) for T in (700, 50_000))
    # the same path until the trials end
    common = short.times[short.times < 600]
    assert len(common) > 10
    assert np.array_equal(common, long.times[: len(common)])
    assert np.array_equal(short.regrets[: len(common)], long.regrets[: len(common)])
    with pytest.raises(StreamLengthError, match="after 0"):
        learner.commit()
    with pytest.raises(OptimandError, match="known horizon"):
        AnytimeEpsBest(AnytimeEpsBest())
    with pytest.raises(ValueError, match="arms must be"):
        AnytimeEpsBest(arms=0)
    with pytest.raises(ValueError, match="first must be"):
        AnytimeEpsBest(first=0)


def test_epochs_double_and_spend_their_budgets():
    learner = AnytimeEpsBest(UniformExplore(), arms=4, first=100)
    learner.start()
    stream = StreamingBandit(mix_in(17)).open()
    times = []
    for arm in stream:
        epoch = learner.epoch
        learner.observe_arm(arm)
        if learner.epoch > epoch >= 0:
            times.append((epoch, stream.time))
    # an arm of the next epoch is observed after all trials of the epochs before, and costs less than the next budget
    for epoch, time in times:
        assert 100 * (2 ** (epoch + 1) - 1) < time <= 100 * (2 ** (epoch + 2) - 1)
    assert [epoch for epoch, _ in times] == [0, 1, 2, 3]


def test_an_anytime_king_runs_on_plain_streams():
    found = run_streaming(AnytimeEpsBest(KingEpsBest(), arms=10, first=1000), StreamingBandit(mix_in(45)), 60_000)
    assert found.peak_arms <= 2
    assert found.explored <= 60_000
