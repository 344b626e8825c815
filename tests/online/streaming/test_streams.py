"""The environment's side: arms that are gone stay gone, trials and memory are limited, nothing leaks."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from optimand.core.validation import OptimandError
from optimand.online.streaming import (
    ArmDiscardedError,
    BudgetExceededError,
    KingEpsBest,
    MemoryExceededError,
    StreamingBandit,
    StreamLengthError,
    TowerEpsBest,
    UniformExplore,
    beta_arms,
    clear_cut,
    hard_instance,
    mix_in,
    run_streaming,
    schedules,
)


def test_a_released_arm_can_neither_be_pulled_nor_released_nor_played():
    stream = StreamingBandit([0.5, 0.5]).open(horizon=100)
    arm = next(stream)
    arm.pull(3)
    arm.release()
    for act in (lambda: arm.pull(1), arm.release, lambda: stream.commit(arm)):
        with pytest.raises(ArmDiscardedError, match="arm 0 was released"):
            act()
    assert stream.time == 3


class Peeking:
    """Keeps a handle that it has released, and pulls it later."""

    def start(self, K, T):
        self.first = None

    def observe_arm(self, arm):
        if self.first is None:
            self.first = arm
        arm.pull(1)
        arm.release()

    def commit(self):
        self.first.pull(1)


def test_a_learner_that_goes_back_to_a_released_arm_fails():
    with pytest.raises(ArmDiscardedError, match="arm 0"):
        run_streaming(Peeking(), StreamingBandit([0.2, 0.4]), horizon=50)


def test_a_copy_of_a_handle_is_the_same_arm():
    arm = next(stream := StreamingBandit([0.5]).open(horizon=10))
    twin = copy.deepcopy(arm)
    assert twin == arm
    assert hash(twin) == hash(arm)
    arm.release()
    with pytest.raises(ArmDiscardedError):
        twin.pull()
    assert stream.left == 10


def reachable(obj, depth=6):
    """All plain values that attributes of an object lead to, private ones and closures included."""
    if depth == 0 or isinstance(obj, str | int | float | type | None):
        return [obj]
    found = []
    names = [n for n in dir(obj) if not (n.startswith("__") and n != "__closure__" and n != "__dict__")]
    for name in names:
        value = getattr(obj, name)
        if callable(value):
            value = [c.cell_contents for c in getattr(value, "__closure__", None) or ()]
            value += list(getattr(getattr(obj, name), "__defaults__", None) or ())
        found += [v for item in (value if isinstance(value, list) else [value]) for v in reachable(item, depth - 1)]
    return found


def test_no_mean_is_found_on_a_handle():
    stream = StreamingBandit([0.123456, 0.654321]).open(horizon=10)
    arm = next(stream)
    values = reachable(arm)
    assert arm.number in values
    assert not any(isinstance(v, float | np.ndarray | np.floating) for v in values)
    assert not hasattr(arm, "__dict__")
    assert "0.12" not in repr(arm) + str(pickle.dumps(arm))


def test_no_more_trials_than_there_are():
    stream = StreamingBandit([0.5]).open(horizon=10)
    arm = next(stream)
    arm.pull(7)
    with pytest.raises(BudgetExceededError, match="asked for 4 pulls, 3 trials are left") as error:
        arm.pull(4)
    assert (error.value.asked, error.value.left, stream.time) == (4, 3, 7)
    stream.commit(arm)
    assert stream.time == 10
    with pytest.raises(ArmDiscardedError):
        arm.pull(1)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_pulls_are_positive_integers(n, error):
    stream = StreamingBandit([0.5]).open(horizon=10)
    with pytest.raises(error, match="n must be"):
        next(stream).pull(n)


def test_memory_is_enforced():
    env = StreamingBandit(mix_in(50), memory=3)
    assert run_streaming(TowerEpsBest("loglog"), env, 100_000).peak_arms == 3
    stream = StreamingBandit([0.1, 0.2, 0.3], memory=2).open()
    kept = [next(stream), next(stream)]
    with pytest.raises(MemoryExceededError, match="arm 2 arrives while 2 arms are alive"):
        next(stream)
    kept[0].release()
    assert next(stream).number == 2
    assert run_streaming(KingEpsBest(), StreamingBandit(mix_in(50), memory=2), 100_000).peak_arms == 2
    with pytest.raises(MemoryExceededError, match=r"while 1 arm is alive; memory=1 .* the arriving one incl"):
        run_streaming(KingEpsBest(), StreamingBandit(mix_in(50), memory=1), 100_000)


def test_an_arm_passes_once():
    stream = StreamingBandit([0.1, 0.2, 0.3]).open()
    assert [arm.number for arm in stream] == [0, 1, 2]
    assert list(stream) == []


def test_commitments_are_checked():
    env = StreamingBandit([0.5])
    stream, other = env.open(horizon=5), env.open(horizon=5)
    arm, foreign = next(stream), next(other)
    for wrong in (None, foreign):
        with pytest.raises(OptimandError, match="takes the handle of an arm of this stream"):
            stream.commit(wrong)
    stream.commit(arm)
    with pytest.raises(OptimandError, match="committed to before"):
        stream.commit(arm)


def test_a_handle_without_its_stream_says_so():
    arm = next(StreamingBandit([0.5]).open())
    with pytest.raises(OptimandError, match="belongs to a stream that is gone"):
        arm.pull()


def test_rewards_depend_on_repetition_arm_and_pulls_before_alone():
    env = StreamingBandit(mix_in(4))
    one, two = env.open(1000, seed=3, rep=5), env.open(1000, seed=3, rep=5)
    a, b = list(one), list(two)
    first = [arm.pull(50) for arm in a], [arm.pull(20) for arm in a]
    backwards = [arm.pull(50) for arm in b[::-1]][::-1], [arm.pull(20) for arm in b[::-1]][::-1]
    assert first == backwards
    other = [arm.pull(50) for arm in env.open(1000, seed=3, rep=6)]
    assert other != first[0]


def test_batches_have_the_binomial_distribution():
    env = StreamingBandit([0.3])
    found = np.array([next(s := env.open(100, rep=r)).pull(40) * 40 + 0 * s.left for r in range(400)])
    expected = stats.binom.pmf(np.arange(41), 40, 0.3)
    cuts = [0, 9, 11, 12, 13, 15, 41]
    observed = np.histogram(found, cuts)[0]
    chances = [expected[a:b].sum() for a, b in pairwise(cuts)]
    assert stats.chisquare(observed, 400 * np.array(chances)).pvalue > 1e-3


def test_normal_batches_have_the_right_spread():
    env = StreamingBandit([5.0], "gaussian", sd=2.0)
    found = np.array([next(s := env.open(100, rep=r)).pull(16) + 0 * s.left for r in range(400)])
    assert stats.kstest(found, "norm", (5.0, 2.0 / 4)).pvalue > 1e-3


def test_regret_is_that_of_true_means():
    stream = StreamingBandit([0.2, 0.7, 0.5]).open(horizon=100, keep_curve=True)
    arms = []
    for arm in stream:
        arm.pull(10)
        arms.append(arm)
    stream.commit(arms[2])
    row = stream._account
    assert row["regret"] == pytest.approx(10 * 0.5 + 10 * 0.2 + 70 * 0.2)
    # the first arm is the best that has arrived while it is pulled
    assert row["regret_seen"] == pytest.approx(10 * 0.2 + 70 * 0.2)


@pytest.mark.parametrize("learner", [UniformExplore(), TowerEpsBest("log"), KingEpsBest(), KingEpsBest("fractional")])
def test_explored_pulls_and_the_commitment_are_all_trials(learner):
    found = run_streaming(learner, StreamingBandit(mix_in(40)), 30_000)
    assert found.times[0] == 0
    assert found.times[-1] == 30_000
    assert found.explored in found.times
    assert found.regret == found.regrets[-1]
    assert (np.diff(found.regrets) >= 0).all()


def test_memory_is_at_most_levels_and_one_on_every_run():
    for name in ("log", "loglog", "logstar"):
        most = schedules(120, 10**6)[name].levels + 1
        for rep in range(5):
            assert run_streaming(TowerEpsBest(name), StreamingBandit(mix_in(120)), 10**6, rep=rep).peak_arms <= most


def test_instances_are_what_they_say():
    from optimand.core.seeds import SeedTree
    from optimand.online.engine.draws import Draws

    draws = Draws(SeedTree(0), np.arange(200))
    clear = clear_cut(50).draw(draws, None)
    assert (clear.max(1) == 0.82).all()
    others = np.sort(clear, axis=1)[:, :-1].ravel()
    cut = stats.truncnorm(-5, 3, 0.5, 0.1)
    assert stats.kstest(others, cut.cdf).pvalue > 1e-3
    assert len(set(clear.argmax(1))) > 30
    mixed = mix_in(50).draw(Draws(SeedTree(1), np.arange(200)), None)
    assert stats.kstest(mixed.ravel(), "uniform").pvalue > 1e-3
    beta = beta_arms(50, 2, 8).draw(Draws(SeedTree(2), np.arange(200)), None)
    assert stats.kstest(beta.ravel(), stats.beta(2, 8).cdf).pvalue > 1e-3
    hard = hard_instance(50, c=0.5).draw(Draws(SeedTree(3), np.arange(200)), 50_000)
    assert set(hard[:, -1]) == {0.0, 1.0}
    assert 70 < hard[:, -1].sum() < 130
    assert np.allclose(np.sort(hard[:, :-1], axis=1)[:, -2:], [0.5, 0.55])
    assert len(set(hard[:, :-1].argmax(1))) > 30


def test_random_order_shuffles_each_repetition():
    env = StreamingBandit([0.0, 0.0, 1.0, 0.0], order="random")
    places = {run_streaming(UniformExplore(), env, 1000, rep=r).arm for r in range(30)}
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: StreamingBandit([0.5, 1.5]), ValueError, r"must be in \[0, 1\], got 1.5"),
        (lambda: StreamingBandit([0.5, float("nan")]), ValueError, "means must be finite"),
        (lambda: StreamingBandit([]), ValueError, "at least one mean"),
        (lambda: StreamingBandit("abc"), ValueError, "arms must be means in a list, got 'abc'"),
        (lambda: StreamingBandit([[0.1]]), ValueError, r"got shape \(1, 1\)"),
        (lambda: StreamingBandit([0.5], "poisson"), ValueError, "reward must be one of"),
        (lambda: StreamingBandit([0.5], order="sorted"), ValueError, "order must be one of"),
        (lambda: StreamingBandit([0.5], memory=0), ValueError, "memory must be"),
        (lambda: StreamingBandit([0.5], "gaussian", sd=0.0), ValueError, "sd must be"),
        (lambda: StreamingBandit(lambda d, h: np.zeros((1, 3))), ValueError, "size, the number of arms"),
        (lambda: StreamingBandit(lambda d, h: np.zeros((1, 2)), size=3).open(), OptimandError, "must return shape"),
        (lambda: StreamingBandit(lambda d, h: np.full((1, 3), 2.0), size=3).open(), ValueError, "in \\[0, 1\\]"),
        (lambda: StreamingBandit([0.5]).open(0), ValueError, "horizon must be"),
        (lambda: StreamingBandit([0.5]).open(2.5), TypeError, "horizon must be an integer"),
        (lambda: clear_cut(0), ValueError, "K must be"),
        (lambda: beta_arms(3, 0, 1), ValueError, "a must be"),
        (lambda: hard_instance(1), ValueError, "K must be"),
        (lambda: hard_instance(100, 200), ValueError, "must be at most 1/2"),
        (lambda: hard_instance(10, last="two"), ValueError, "last must be"),
        (lambda: run_streaming(UniformExplore(), [0.5], 10), OptimandError, "env must be a StreamingBandit"),
        (lambda: run_streaming(object(), StreamingBandit([0.5]), 10), OptimandError, "lacks start, observe_arm"),
        (lambda: run_streaming(UniformExplore(), StreamingBandit([0.5]), 0), ValueError, "horizon must be"),
    ],
)
def test_bad_input_is_named(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_stream_of_another_length_than_told_is_an_error():
    learner = UniformExplore()
    stream = StreamingBandit([0.5] * 4).open(1000)
    learner.start(3, 1000)
    for arm, _ in zip(stream, range(2), strict=False):
        learner.observe_arm(arm)
    with pytest.raises(StreamLengthError, match="ended after 2 of K=3 arms"):
        learner.commit()


def test_more_arms_than_told_are_an_error():
    learner = TowerEpsBest()
    learner.start(2, 1000)
    stream = StreamingBandit([0.5] * 3).open(1000)
    first, second, third = stream
    learner.observe_arm(first)
    learner.observe_arm(second)
    with pytest.raises(StreamLengthError, match="longer than the K=2 arms"):
        learner.observe_arm(third)


def test_learners_check_what_they_are_told_and_what_they_get():
    with pytest.raises(TypeError, match="K must be an integer, got None"):
        UniformExplore().start(None, 10)
    with pytest.raises(TypeError, match="T must be an integer, got None"):
        TowerEpsBest().start(3, None)
    with pytest.raises(OptimandError, match="call start"):
        KingEpsBest().observe_arm(None)

    class Broken:
        def pull(self, n):
            return float("nan")

    learner = UniformExplore()
    learner.start(3, 100)
    with pytest.raises(OptimandError, match="mean reward nan"):
        learner.observe_arm(Broken())
