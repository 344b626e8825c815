"""Simulations: the same whatever block, processes and loop are; resumed bit for bit; errors that name things."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.bandits import (
    KLUCB,
    MOSS,
    UCB1,
    BernoulliBandit,
    EpsilonGreedy,
    Exp3,
    ExploreThenCommit,
    GaussianBandit,
    SuccessiveElimination,
    ThompsonSampling,
    UniformRandom,
)
from optimand.online.engine import DelayedFeedback, DoublingTrick, Learner, Restart, recording_grid, simulate, start
from optimand.online.engine import simulation as module

MEANS = [0.2, 0.5, 0.55, 0.9]


def uniform_means(draws):
    return draws.uniform(4)


def late(draws):
    return draws.integers(9)


class Broken(Learner):
    """Fails at a round, as a process that is killed does."""

    rounds = 0

    def reset(self, spec, draws):
        self.inner = UCB1()
        self.inner.reset(spec, draws)

    def act(self, observation):
        type(self).rounds += 1
        if type(self).rounds == 330:
            raise KeyboardInterrupt
        return self.inner.act(observation)

    def update(self, feedback):
        self.inner.update(feedback)


LEARNERS = {
    "UCB1": UCB1(), "Thompson": ThompsonSampling(), "greedy": EpsilonGreedy(), "uniform": UniformRandom(),
    "Exp3": Exp3(), "etc": ExploreThenCommit(), "elimination": SuccessiveElimination(), "MOSS": DoublingTrick(MOSS),
    "restarted": Restart(UCB1, 70),
}  # fmt: skip


def same(one, other):
    assert one.names == other.names
    for name in one.names:
        assert (one.of(name) == other.of(name)).all(), name
        for key, value in one.extras[name].items():
            assert (value == other.extras[name][key]).all(), (name, key)


@pytest.mark.parametrize("env", [BernoulliBandit(uniform_means), GaussianBandit(MEANS)], ids=["drawn", "fixed"])
def test_results_do_not_depend_on_block_or_loop(env):
    whole = simulate(LEARNERS, env, 300, reps=7)
    same(whole, simulate(LEARNERS, env, 300, reps=7, block=3))
    same(whole, simulate(LEARNERS, env, 300, reps=7, backend="numpy"))
    same(whole, simulate(LEARNERS, env, 300, reps=7, backend="loop"))
    more = simulate(LEARNERS, env, 300, reps=9)
    assert all((more.of(name)[:7] == whole.of(name)).all() for name in LEARNERS)
    other = simulate({"UCB1": UCB1()}, env, 300, reps=7, seed=1)
    assert (other.of("UCB1") != whole.of("UCB1")).any()


def test_results_do_not_depend_on_processes():
    env = BernoulliBandit(uniform_means)
    few = {"UCB1": UCB1(), "greedy": EpsilonGreedy()}
    same(simulate(few, env, 200, reps=5), simulate(few, env, 200, reps=5, n_jobs=2))


@pytest.mark.parametrize(
    "env", [BernoulliBandit([[0.1, 0.9, 0.4], [0.9, 0.1, 0.4]], changes=[90]), GaussianBandit(MEANS, 2.0)],
    ids=["changing", "normal"],
)  # fmt: skip
def test_a_compiled_loop_gives_the_numbers_of_the_steps(env):
    learners = [UCB1(), UCB1(0.0), KLUCB(), KLUCB(3.0), MOSS(), ThompsonSampling(), UniformRandom()]
    learners += [EpsilonGreedy(), EpsilonGreedy(epsilon=0.1)]
    same(
        simulate(learners, env, 200, reps=4, backend="numba"), simulate(learners, env, 200, reps=4, backend="numpy")
    )  # fmt: skip


def test_long_stretches_are_played_in_parts(monkeypatch):
    from optimand.online.bandits import learners

    def play():
        return simulate([ThompsonSampling()], BernoulliBandit(MEANS), 500, reps=3, points=5)

    whole = play()
    monkeypatch.setattr(learners, "LOOP", 7)
    same(whole, play())


def test_a_learner_that_acts_in_its_own_way_is_asked():
    class Last(UCB1):
        def act(self, observation):
            super().act(observation)
            self.last[:] = len(MEANS) - 1
            return self.last

    found = simulate([Last()], BernoulliBandit(MEANS), 50, reps=2)
    assert (found.extras["Last"]["best_arm_share"] == 1).all()  # the last one is the best


def test_the_compiled_loop_can_be_insisted_on():
    env = BernoulliBandit(MEANS)
    simulate([UCB1()], env, 50, reps=2, backend="numba")
    with pytest.raises(OptimandError, match="no loop is compiled for 'Exp3' in BernoulliBandit"):
        simulate([Exp3()], env, 50, reps=2, backend="numba")


def test_a_curve_of_a_shorter_horizon_is_the_beginning_of_a_longer_one():
    env = BernoulliBandit(MEANS)
    short, long = (simulate([UCB1()], env, horizon, reps=3, points=400) for horizon in (100, 300))
    assert (short.of("UCB1") == long.of("UCB1")[:, :100]).all()


@pytest.mark.parametrize("name", [*LEARNERS, "late", "segments"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_rollout_is_resumed_bit_for_bit(name, compiled):
    def begin():
        learner = UCB1() if name in ("late", "segments") else pickle.loads(pickle.dumps(LEARNERS[name]))
        env = BernoulliBandit(uniform_means)
        if name == "segments":
            env = BernoulliBandit([[0.1, 0.9], [0.9, 0.1]], changes=[130])
        if name == "late":
            env = DelayedFeedback(env, late)
        comparators = ("best-arm",) if getattr(learner, "batched", False) else ("best-arm", "realised")
        return start(
            learner, env, horizon=250, reps=np.arange(3), seed=SeedTree(2), grid=recording_grid(250, 30), name=name,
            comparators=comparators, compiled=compiled,
        )  # fmt: skip

    straight, first = begin(), begin()
    while straight.position < len(straight.grid):
        straight.advance()
    while first.position < 17:
        first.advance()
    stored = pickle.dumps(first.state_dict())
    first.advance()  # what happens after storing must not leak into the state
    second = begin()
    second.load_state_dict(pickle.loads(stored))
    while second.position < len(second.grid):
        second.advance()
    for comparator, curve in straight.curves.items():
        assert (second.curves[comparator] == curve).all()
        assert np.isfinite(curve).all()
    for key, value in straight.extras().items():
        assert (second.extras()[key] == value).all()


def test_an_interrupted_simulation_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", -1.0)
    env = BernoulliBandit(MEANS)
    Broken.rounds = -(10**9)
    straight = simulate([Broken()], env, 200, reps=6, points=9, block=2)
    Broken.rounds = 0
    with pytest.raises(KeyboardInterrupt):
        simulate([Broken()], env, 200, reps=6, points=9, block=2, checkpoint=tmp_path)
    resumed = simulate([Broken()], env, 200, reps=6, points=9, block=2, checkpoint=tmp_path)
    same(straight, resumed)
    # the first block was done, the second stored after 103 of its rounds
    assert Broken.rounds == 330 + (200 - int(straight.times[-2])) + 200
    before = Broken.rounds
    same(straight, simulate([Broken()], env, 200, reps=6, points=9, block=2, checkpoint=tmp_path))
    assert Broken.rounds == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_checkpoint_is_not_taken_for_other_arguments(tmp_path):
    env = BernoulliBandit(MEANS)
    simulate([UCB1()], env, 100, reps=2, checkpoint=tmp_path)
    for learner, place, options in (
        (UCB1(0.5), env, {}), (UCB1(), BernoulliBandit([0.1, 0.9]), {}), (UCB1(), env, {"seed": 1}),
    ):  # fmt: skip
        fresh = simulate([learner], place, 100, reps=2, **options)
        same(fresh, simulate([learner], place, 100, reps=2, checkpoint=tmp_path, **options))


def test_a_damaged_checkpoint_is_made_again(tmp_path):
    env = BernoulliBandit(MEANS)
    first = simulate([UCB1()], env, 100, reps=2, checkpoint=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    same(first, simulate([UCB1()], env, 100, reps=2, checkpoint=tmp_path))


def test_an_edited_class_is_not_confused_with_its_former_self(tmp_path):
    script = """
        from optimand.online import Environment, Feedback, Learner, Spec, simulate
        import numpy as np
        class Arms(Environment):  # without random numbers, and so without a compiler in every process
            comparators = ("best-arm",)
            def reset(self, draws, horizon):
                self.lost = np.zeros(len(draws.reps))
            def spec(self):
                return Spec("reward", len(self.lost), None, 2)
            def step(self, actions, counts=None):
                self.lost += np.array([0.4, 0.0])[actions]
                return Feedback(reward=np.ones(len(self.lost)))
            def regret(self, comparator):
                return self.lost.copy()
        class Mine(Learner):
            def reset(self, spec, draws):
                self.arms = np.full(spec.reps, ARM)
            def act(self, observation):
                return self.arms
            def update(self, feedback):
                pass
        if __name__ == "__main__":
            curves = simulate([Mine()], Arms(), 10, reps=2, checkpoint="kept", n_jobs=JOBS)
            print(curves.mean("Mine")[-1])
        """
    found = []
    for arm, jobs in (("0", "1"), ("1", "2")):
        (tmp_path / "mine.py").write_text(textwrap.dedent(script).replace("ARM", arm).replace("JOBS", jobs))
        run = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        found.append(round(float(run.stdout), 6))
    assert found == [4.0, 0.0]


def test_what_cannot_be_pickled_is_said_where_it_matters(tmp_path):
    env = BernoulliBandit(lambda draws: draws.uniform(3))
    simulate([UCB1()], env, 10, reps=2)
    with pytest.raises(OptimandError, match="checkpoint needs learners and environments that can be pickled"):
        simulate([UCB1()], env, 10, reps=2, checkpoint=tmp_path)


def test_the_callback_sees_every_recording_time():
    seen = []
    curves = simulate(
        [UCB1()], BernoulliBandit(MEANS), 50, reps=3, points=5, callback=lambda *found: seen.append(found)
    )
    assert [time for _, time, _ in seen] == curves.times.tolist()
    assert all((regret == curves.of("UCB1")[:, i]).all() for i, (_, _, regret) in enumerate(seen))


def test_progress_goes_to_standard_error(capsys):
    simulate([UCB1()], BernoulliBandit(MEANS), 20, reps=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "simulating" in err


def test_learners_are_copied_and_named():
    learner = UCB1()
    curves = simulate([learner, UCB1(0.1)], BernoulliBandit(MEANS), 30, reps=2)
    assert curves.names == ["UCB1", "UCB1-2"]
    assert not hasattr(learner, "pulls")


class Gradient(Learner):
    kind = "gradient"

    def reset(self, spec, draws): ...
    def act(self, observation): ...
    def update(self, feedback): ...


class Acts:
    kind = "reward"

    def act(self, observation): ...
    def update(self, reward): ...


class Choosing(Learner):
    def __init__(self, choice):
        self.choice = choice

    def reset(self, spec, draws): ...

    def act(self, observation):
        return self.choice

    def update(self, feedback): ...


class Idle(Learner):
    batched = True

    def reset(self, spec, draws):
        self.zero = np.zeros(spec.reps, int)

    def act(self, observation):
        return self.zero, self.zero

    def update(self, feedback): ...


@pytest.mark.parametrize(
    ("learner", "env", "words"),
    [
        (Gradient(), BernoulliBandit(MEANS), "learns from feedback of kind 'gradient', the environment gives 'reward'"),
        (Acts(), BernoulliBandit(MEANS), "lacks reset; PerRepetition makes a learner of a plain object"),
        (UCB1, BernoulliBandit(MEANS), "is the class UCB1: make an object of it"),
        (UCB1(), BernoulliBandit, "env is the class BernoulliBandit"),
        (UCB1(), object(), "environment object lacks reset, spec, step, regret"),
        (MOSS(), BernoulliBandit(MEANS, tell_horizon=False), "needs to know horizon"),
        (SuccessiveElimination(), BernoulliBandit([[0.1, 0.2]] * 2, changes=[3]), "acts in batches"),
        (Exp3(), DelayedFeedback(BernoulliBandit(MEANS), 3), "here it arrives late"),
        (Choosing(np.array([0, 4])), BernoulliBandit(MEANS), r"actions must be in \[0, 3\], got 4"),
        (Choosing(np.array([0, -1])), BernoulliBandit(MEANS), r"actions must be in \[0, 3\], got -1"),
        (Choosing(np.array([0.0, 1.0])), BernoulliBandit(MEANS), "whole numbers of shape"),
        (Choosing(1), BernoulliBandit(MEANS), r"whole numbers of shape \(2,\), got shape \(\)"),
        (Idle(), BernoulliBandit(MEANS), "must ask for at least one pull"),
    ],
)
def test_errors_say_what_does_not_fit(learner, env, words):
    with pytest.raises(OptimandError, match=words):
        simulate([learner], env, 10, reps=2)


def test_arguments_out_of_range_are_named():
    env = BernoulliBandit(MEANS)
    with pytest.raises(OptimandError, match="at least one learner"):
        simulate([], env, 10)
    with pytest.raises(ValueError, match="comparator must be one of 'best-arm'"):
        simulate([UCB1()], env, 10, comparator="best")
    with pytest.raises(ValueError, match="backend must be one of"):
        simulate([UCB1()], env, 10, backend="cuda")
    with pytest.raises(ValueError, match="callback needs n_jobs=1"):
        simulate([UCB1()], env, 10, n_jobs=2, callback=print)
    for name in ("reps", "n_jobs", "block"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            simulate([UCB1()], env, 10, **{name: 0})


def test_memory_does_not_grow_with_the_horizon():
    short, long = (
        simulate([SuccessiveElimination()], BernoulliBandit(MEANS), horizon, reps=2) for horizon in (10**4, 10**12)
    )
    assert long.of("SuccessiveElimination").size <= 2 * 200
    assert np.isfinite(long.of("SuccessiveElimination")).all()
    assert long.times[-1] == 10**12
    assert short.of("SuccessiveElimination").size <= 2 * 200
