"""Tsallis-INF, its binned form and what all tuners share."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optimand.numerical.linear_systems.tuners import BinnedBandit, ChebCB, FixedOmega, TsallisINF
from optimand.numerical.linear_systems.tuners.tsallis import draw, tsallis_root, tsallis_weights

TUNERS = {
    "tsallis-inf": lambda rng=0, **o: TsallisINF(rng=rng, **o),
    "binned": lambda rng=0, **o: BinnedBandit(context_bounds=(0.0, 1.0), rng=rng, **o),
    "cheb-cb": lambda rng=0, **o: ChebCB(context_bounds=(0.0, 1.0), rng=rng, **o),
}


def cost_of(omega, context):
    return 10.0 + 300.0 * abs(omega - 1.9 + 0.8 * context)


def play(tuner, rounds, start=0):
    contexts = np.random.default_rng(7).random(start + rounds)
    chosen = []
    for context in contexts[start:]:
        chosen.append(tuner.ask(context))
        tuner.tell(cost_of(chosen[-1], context))
    return chosen


@settings(max_examples=100, deadline=None)
@given(
    arrays(float, st.integers(1, 30), elements=st.floats(-1e6, 1e6)),
    st.floats(1e-3, 1e6),
    st.integers(1, 10**6),
)
def test_the_weights_of_tsallis_inf_solve_their_equation(losses, scale, rounds):
    gaps = (losses - losses.min()) / scale / np.sqrt(rounds)
    z = tsallis_root(gaps)
    assert 1 <= z <= np.sqrt(losses.size) * (1 + 1e-12)
    assert abs((1 / (gaps + z) ** 2).sum() - 1) < 1e-10
    weights = np.empty(losses.size)
    tsallis_weights(losses, scale, rounds, weights)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert weights.min() >= 0
    assert weights.argmax() == losses.argmin() or weights[losses.argmin()] == weights.max()


def test_the_weights_are_those_of_the_formula():
    # sum of 4/(eta (loss - x))^2 = 1, solved by bisection
    losses, scale, rounds = np.array([3.0, 1.0, 7.5, 1.2]), 2.0, 30
    eta, hat = 2 / np.sqrt(rounds), losses / scale
    low, high = hat.min() - 2 * 2 / eta, hat.min() - 2 / eta
    for _ in range(200):
        x = (low + high) / 2
        low, high = (x, high) if (4 / (eta * (hat - x)) ** 2).sum() < 1 else (low, x)
    weights = np.empty(4)
    tsallis_weights(losses, scale, rounds, weights)
    np.testing.assert_allclose(weights, 4 / (eta * (hat - x)) ** 2, rtol=1e-12)


def test_few_newton_steps_suffice_up_to_a_million_rounds():
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(3000):
        rounds = 10 ** rng.uniform(0, 6)
        gaps = np.abs(rng.standard_normal(20)) * 10 ** rng.uniform(-3, 3) / np.sqrt(rounds)
        gaps[0] = 0
        z = tsallis_root(gaps)
        worst = max(worst, abs((1 / (gaps + z) ** 2).sum() - 1))
    assert worst < 1.2e-11


def test_a_draw_follows_the_weights():
    weights = np.array([0.2, 0.0, 0.5, 0.3])
    drawn = [draw(weights, u) for u in (np.arange(1000) + 0.5) / 1000]
    assert np.bincount(drawn, minlength=4).tolist() == [200, 0, 500, 300]
    assert draw(np.array([0.5, 0.4999999, 0.0]), 0.99999999) == 1  # rounding never picks an arm without weight


def test_one_round_of_tsallis_inf_by_hand():
    tuner = TsallisINF([1.0, 1.5], rng=3)
    np.testing.assert_allclose(tuner.probabilities(), 0.5)
    arm = [1.0, 1.5].index(tuner.ask())
    tuner.tell(11)
    # k = (11 - 1)/0.5 = 20, scale = 11 - 1 = 10, so the estimate is 2; eta = 2/sqrt(2) in round 2
    hat = np.where(np.arange(2) == arm, 2.0, 0.0)
    weights = tuner.probabilities()
    eta = 2 / np.sqrt(2)
    x = hat - 2 / (eta * np.sqrt(weights))
    assert x[0] == pytest.approx(x[1])
    assert weights[arm] < weights[1 - arm]


def test_the_least_cost_is_no_loss():
    for costs, least in (((1, 1, 1), 1.0), ((0, 0, 0), 1.0), ((0, 0), 0.0)):
        tuner = TsallisINF([1.0, 1.5], least_cost=least, rng=0)
        for cost in costs:
            tuner.ask()
            tuner.tell(cost)
        assert np.isfinite(tuner.probabilities()).all()


def test_bins_have_the_centres_of_equal_intervals():
    tuner = BinnedBandit(context_bounds=(-0.15, 0.65), bins=5, rng=0)
    centres = -0.15 + 0.8 * np.linspace(0.1, 0.9, 5)
    for context in np.linspace(-0.15, 0.65, 1001):
        nearest = np.abs(centres - context)
        assert nearest[tuner._row(context)] <= nearest.min() + 1e-12


def test_a_bin_learns_nothing_from_the_others():
    tuner = BinnedBandit([1.0, 1.9], context_bounds=(0, 1), bins=2, rng=0)
    for _ in range(100):
        tuner.ask(0.2)
        tuner.tell(50)
    np.testing.assert_allclose(tuner.probabilities(0.8), 0.5)


@pytest.mark.parametrize("name", TUNERS)
def test_every_learner_finds_good_values(name):
    tuner = TUNERS[name]()
    chosen = play(tuner, 4000)
    contexts = np.random.default_rng(7).random(4000)
    costs = np.array([cost_of(o, c) for o, c in zip(chosen, contexts, strict=True)])
    uniform = np.mean([[cost_of(o, c) for o in tuner.arms] for c in contexts])
    assert costs[-1000:].mean() < (0.75 if name == "tsallis-inf" else 0.45) * uniform


@pytest.mark.parametrize("name", TUNERS)
def test_a_resumed_tuner_makes_the_same_choices(name):
    whole = play(TUNERS[name](), 2000)
    first = TUNERS[name]()
    head = play(first, 1000)
    second = TUNERS[name](rng=99)
    second.load_state_dict(first.state_dict())
    assert head + play(second, 1000, start=1000) == whole


@pytest.mark.parametrize("name", TUNERS)
def test_a_state_taken_between_ask_and_tell_resumes_too(name):
    first, second = TUNERS[name](), TUNERS[name](rng=99)
    play(first, 50)
    first.ask(0.4)
    second.load_state_dict(first.state_dict())
    for tuner in (first, second):
        tuner.tell(17)
    assert play(first, 50) == play(second, 50)


@pytest.mark.parametrize("name", TUNERS)
def test_a_state_does_not_grow_and_does_not_change_afterwards(name):
    tuner = TUNERS[name]()
    play(tuner, 10)
    early = tuner.state_dict()
    numbers = {k: v.copy() for k, v in early.items() if isinstance(v, np.ndarray)}
    play(tuner, 500)
    late = tuner.state_dict()
    assert {k: np.shape(v) for k, v in late.items()} == {k: np.shape(v) for k, v in early.items()}
    assert sum(v.nbytes for v in late.values() if isinstance(v, np.ndarray)) < 20_000
    for key, value in numbers.items():
        np.testing.assert_array_equal(early[key], value)
    json.dumps(late["rng"])


@pytest.mark.parametrize("name", TUNERS)
def test_the_policy_and_the_probabilities_leave_the_tuner_as_it_was(name):
    plain, looked_at = TUNERS[name](), TUNERS[name]()
    chosen = []
    for context in np.random.default_rng(7).random(200):
        looked_at.policy(context)
        looked_at.probabilities(0.5)
        chosen.append(looked_at.ask(context))
        looked_at.policy(0.1)
        looked_at.probabilities(0.9)
        looked_at.tell(cost_of(chosen[-1], context))
    assert chosen == play(plain, 200)


@pytest.mark.parametrize("name", TUNERS)
def test_the_order_of_ask_and_tell(name):
    tuner = TUNERS[name]()
    with pytest.raises(RuntimeError, match="ask"):
        tuner.tell(3)
    tuner.ask(0.5)
    tuner.ask(0.5)  # forgets the first
    tuner.tell(3)
    with pytest.raises(RuntimeError, match="ask"):
        tuner.tell(3)


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -1.0])
def test_a_bad_cost_is_refused_and_can_be_corrected(name, cost):
    tuner = TUNERS[name]()
    tuner.ask(0.5)
    with pytest.raises(ValueError, match="cost"):
        tuner.tell(cost)
    tuner.tell(5.0)
    assert np.isfinite(tuner.probabilities(0.5)).all()


@pytest.mark.parametrize("name", ["binned", "cheb-cb"])
def test_contexts_outside_the_bounds(name):
    tuner = TUNERS[name]()
    for bad in (1.2, -0.1, float("nan"), float("inf"), None):
        with pytest.raises(ValueError, match="context"):
            tuner.ask(bad)
    tuner.ask(1.0 + 1e-12)  # rounding is no error
    clipping = TUNERS[name](outside="clip")
    play(clipping, 100)
    np.testing.assert_array_equal(clipping.probabilities(5.0), clipping.probabilities(1.0))
    assert clipping.policy(-3.0) == clipping.policy(0.0)


@pytest.mark.parametrize(
    ("arms", "complaint"),
    [([], "non-empty"), ([[1.0, 2.0]], "non-empty"), ([1.0, np.nan], "finite"), ([1.5, 1.5], "distinct")],
)
def test_bad_arms(arms, complaint):
    with pytest.raises(ValueError, match=complaint):
        TsallisINF(arms)


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (0, np.inf), 3.0, (0, 1, 2)])
def test_bad_bounds(bounds):
    with pytest.raises(ValueError, match="context_bounds"):
        ChebCB(context_bounds=bounds)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="bins"):
        BinnedBandit(context_bounds=(0, 1), bins=0)
    with pytest.raises(ValueError, match="outside"):
        BinnedBandit(context_bounds=(0, 1), outside="ignore")
    with pytest.raises(ValueError, match="least_cost"):
        TsallisINF(least_cost=-1)


def test_states_of_other_tuners_are_refused():
    with pytest.raises(ValueError, match="TsallisINF"):
        TsallisINF().load_state_dict(FixedOmega(1.5).state_dict())
    with pytest.raises(ValueError, match="same arms"):
        TsallisINF().load_state_dict(TsallisINF([1.0, 1.5]).state_dict())
    with pytest.raises(ValueError, match="same arms"):
        ChebCB(context_bounds=(0, 1)).load_state_dict(ChebCB(context_bounds=(0, 2)).state_dict())
    with pytest.raises(ValueError, match="shape"):
        ChebCB(context_bounds=(0, 1)).load_state_dict(ChebCB(context_bounds=(0, 1), coefficients=4).state_dict())


def test_a_fixed_omega_is_a_tuner_too():
    tuner = FixedOmega(1.7)
    assert [tuner.ask(), tuner.ask(0.2), tuner.policy(3.0)] == [1.7] * 3
    tuner.tell(4)
    tuner.load_state_dict(tuner.state_dict())
    np.testing.assert_array_equal(tuner.probabilities(), [1.0])


def test_arms_need_not_be_omegas():
    tuner = TsallisINF([0.1, 10.0, 100.0], least_cost=0.0, rng=0)
    for _ in range(400):
        value = tuner.ask()
        tuner.tell(abs(np.log10(value) - 1.0))
    assert tuner.policy() == 10.0


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("costs", [(1e100,), (1e-300,), (0.0, 1e100), (1e-9, 1e9)])
def test_costs_of_any_size_leave_probabilities(name, costs):
    tuner = TUNERS[name]()
    for cost in costs * 20:
        tuner.ask(0.3)
        tuner.tell(cost)
    chances = tuner.probabilities(0.3)
    assert chances.min() >= 0
    assert chances.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", TUNERS)
def test_a_state_without_an_entry_changes_nothing(name):
    tuner, other = TUNERS[name](), TUNERS[name](rng=5)
    play(other, 30)
    state = other.state_dict()
    del state["rng"]
    with pytest.raises(ValueError, match="state must hold rng"):
        tuner.load_state_dict(state)
    assert play(tuner, 50) == play(TUNERS[name](), 50)


@pytest.mark.parametrize("kind", [BinnedBandit, ChebCB])
def test_contextual_tuners_need_bounds(kind):
    with pytest.raises(ValueError, match="context_bounds must be two numbers"):
        kind(context_bounds=None)
