"""The engine's environment of misspecified linear bandits, and the problems that are made of it."""

import numpy as np
import pytest

from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.online.engine.draws import Draws
from optimand.online.linear_bandits import generators
from optimand.online.linear_bandits.environment import MisspecifiedLinearEnvironment
from optimand.online.linear_bandits.real_data import PatientsBandit


def directions(N, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((N, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def begun(env, reps=3, horizon=100, seed=0):
    env.reset(Draws(SeedTree(seed).child("environment"), np.arange(reps)), horizon)
    return env


@pytest.mark.parametrize("error", ["uniform", "sign", "aimed", "none"])
def test_environment_keeps_its_error_bound_and_sparsity(error):
    Phi = directions(60, 7)
    env = begun(MisspecifiedLinearEnvironment(Phi, eps=0.2, error=error, sparsity=2, radius=1.5), reps=40)
    means = env.means[:, 0]
    # The parameter is known to the seed tree alone: find it by drawing it again.
    theta = env._parameters(Draws(SeedTree(0).child("environment"), np.arange(40)).child("instance"))
    errors = means - theta @ Phi.T
    assert (np.count_nonzero(theta, axis=1) == 2).all()
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1.5)
    assert np.abs(errors).max() <= 0.2 + 1e-12
    assert np.abs(errors).max() > (-1 if error == "none" else 0.19)
    assert len(np.unique(theta != 0, axis=0)) > 5


def test_aimed_errors_are_those_of_a_single_bandit():
    Phi = directions(80, 6)
    theta = np.random.default_rng(1).standard_normal((5, 6))
    one = generators.aimed_errors(Phi, 0.1)
    together = one(Phi, theta)
    for r in range(5):
        np.testing.assert_array_equal(together[r], one(Phi, theta[r]))


def test_aimed_errors_of_size_zero_are_none():
    aimed, none = (
        begun(MisspecifiedLinearEnvironment(directions(20, 3), eps=0.0, error=error)) for error in ("aimed", "none")
    )
    np.testing.assert_array_equal(aimed.means, none.means)


def test_environment_takes_parameters_and_errors_as_they_are():
    errors = np.array([0.1, -0.1, 0.0])
    env = begun(MisspecifiedLinearEnvironment(np.eye(3), [1.0, 2.0, 3.0], eps=0.1, error=errors, noise=0.0))
    assert env.step(np.array([0, 1, 2])).reward == pytest.approx([1.1, 1.9, 3.0])
    assert env.regret("best-arm") == pytest.approx([1.9, 1.1, 0.0])
    assert env.extras()["gap"] == pytest.approx([19, 11, 0])
    env.step(np.array([2, 2, 2]), np.array([5, 0, 1]))
    assert env.extras()["gap"] == pytest.approx([0, 11, 0])  # of the arm pulled most
    assert env.spec().facts["sparsity"] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"theta": [1.0]}, "theta must be 2 finite numbers"),
        ({"eps": -1.0}, "eps must be in"),
        ({"noise": -1.0}, "noise must be in"),
        ({"error": "big"}, "error must be one of"),
        ({"error": [0.2, 0.0], "eps": 0.1}, r"error must be 2 numbers in \[-eps, eps\]"),
        ({"sparsity": 3}, r"sparsity must be in \[1, 2\]"),
    ],
)
def test_bad_environments_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        MisspecifiedLinearEnvironment(np.eye(2), **options)


def test_patients_are_linear_up_to_eps():
    env = begun(PatientsBandit(eps=0.1, sparsity=2), reps=6)
    for means in env.means[:, 0]:
        best = min(
            np.abs(means - env.features[:, c] @ np.linalg.lstsq(env.features[:, c], means, rcond=None)[0]).max()
            for c in ([i, j] for i in range(10) for j in range(i))
        )
        assert best < 0.2
    assert env.spec().actions == 442


@pytest.mark.parametrize("error", ["uniform", "aimed"])
def test_problems_run_the_catalogued_methods(error):
    from optimand.core.contracts import Method
    from optimand.online.linear_bandits import regret_methods, regret_problems

    problems = [
        regret_problems.misspecified_bandit(arms=60, d=5, error=error, reps=3),
        regret_problems.diabetes_bandit(reps=3, noise=0.1),
    ]
    for problem in problems:
        for build in (
            regret_methods.linucb, regret_methods.lin_ts, regret_methods.phased_elimination,
            regret_methods.sparse_net_commit,
        ):  # fmt: skip
            recorder = Recorder(300)
            problem.run(Method("m", "bandits", build, {}, {}), {}, seed=SeedTree(0), budget=300, recorder=recorder)
            assert 0 < recorder.last("test", "regret") < 600
