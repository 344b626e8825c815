"""Regret against a swept parameter."""

import csv
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

from optimand.core.validation import OptimandError, UnknownNameError
from optimand.online.bandits import KLUCB, UCB1, BernoulliBandit, EpsilonGreedy
from optimand.online.engine import simulate, sweep

mpl.use("Agg")
ENV = BernoulliBandit([0.4, 0.6])


def test_a_sweep_is_a_simulation_for_each_value():
    found = sweep(UCB1, [0.1, 2.0], env=ENV, horizon=300, reps=10, seed=3)
    for value, regret in zip(found.values, found.regret("UCB1"), strict=True):
        assert (regret == simulate([UCB1(value)], ENV, 300, reps=10, seed=3).at("UCB1")).all()
    (first, _) = found.interval("UCB1", level=0.9)
    expected = stats.t.interval(0.9, 9, loc=found.regret("UCB1")[0].mean(), scale=stats.sem(found.regret("UCB1")[0]))
    np.testing.assert_allclose((first.low, first.high), expected)
    assert found.best() == 0.1
    assert "value=0.1" in str(found)


def test_the_environment_can_be_swept_with_several_learners(tmp_path):
    found = sweep(
        [UCB1(), KLUCB()], [0.1, 0.3], make_env=lambda gap: BernoulliBandit([0.5 - gap, 0.5]), horizon=300,
        reps=10, parameter="gap",
    )  # fmt: skip
    assert found.names == ["UCB1", "KLUCB"]
    found.to_csv(tmp_path / "s.csv")
    with open(tmp_path / "s.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["gap"] for row in rows] == ["0.1", "0.3"] * 2
    assert float(rows[0]["mean"]) == pytest.approx(found.mean("UCB1")[0])
    ax = found.plot(log=True)
    assert ax.get_xlabel() == "gap"
    assert len(ax.lines) == 2
    ax.figure.savefig(tmp_path / "s.png")
    with pytest.raises(UnknownNameError, match="name one of the learners: UCB1, KLUCB"):
        found.best()


def test_values_that_are_no_numbers_are_named_on_the_axis():
    found = sweep(
        lambda kind: {"learner": {"ucb": UCB1, "kl": KLUCB}[kind]()}, ["ucb", "kl"], env=ENV, horizon=50, reps=3
    )  # fmt: skip
    assert [label.get_text() for label in found.plot().get_xticklabels()] == ["ucb", "kl"]


def test_a_value_is_passed_as_the_parameter_that_is_named():
    found = sweep(EpsilonGreedy, [0.01, 0.5], env=ENV, horizon=200, reps=10, parameter="epsilon")
    for value, curves in zip(found.values, found.curves, strict=True):
        meant = simulate([EpsilonGreedy(epsilon=value)], ENV, 200, reps=10)
        assert (curves.of("EpsilonGreedy") == meant.of("EpsilonGreedy")).all()
    assert found.rows()[1]["epsilon"] == 0.5
    fixed = sweep(partial(EpsilonGreedy, scale=3.0), [0.5], env=ENV, horizon=200, reps=10, parameter="epsilon")
    assert (fixed.regret("EpsilonGreedy") == found.regret("EpsilonGreedy")[1:]).all()
    labelled = sweep(lambda e: EpsilonGreedy(epsilon=e), [0.5], env=ENV, horizon=200, reps=10, parameter="share")
    assert (labelled.regret("EpsilonGreedy") == found.regret("EpsilonGreedy")[1:]).all()


def test_a_parameter_that_a_class_does_not_have_is_named():
    for made in (EpsilonGreedy, partial(EpsilonGreedy, 1.0)):
        with pytest.raises(OptimandError, match="EpsilonGreedy has no parameter 'epsilom'; did you mean 'epsilon'"):
            sweep(made, [0.5], env=ENV, horizon=10, parameter="epsilom")


def test_errors_say_what_is_missing():
    with pytest.raises(OptimandError, match="either env or make_env"):
        sweep(UCB1, [1.0], horizon=10)
    with pytest.raises(OptimandError, match="at least one value"):
        sweep(UCB1, [], env=ENV, horizon=10)
    with pytest.raises(OptimandError, match="must be a function of the value"):
        sweep(UCB1(), [1.0], env=ENV, horizon=10)
    with pytest.raises(OptimandError, match="the same names for all values"):
        sweep(lambda v: {str(v): UCB1()}, [1, 2], env=ENV, horizon=10, reps=2)
