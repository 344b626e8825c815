import math

import pytest

from optimand.core.seeds import SeedTree
from optimand.core.space import Choice, Float, Int
from optimand.lab.tuning import TUNERS, Tuner

SPACE = {"lr": Float(1e-4, 1.0, log=True), "k": Int(1, 8), "betas": Choice((0.9, 0.99), (0.95, 0.98))}


def search(tuner, trials=8, seed=0, stored=()):
    """Run a search on a known function; ``stored`` values are told as a resumed study would."""
    made = Tuner(SPACE, trials, tuner, "min", SeedTree(seed))
    asked = []
    while fresh := made.ask():
        for number, hyper in fresh:
            asked.append(hyper)
            value = stored[number] if number < len(stored) else objective(hyper)
            made.tell(number, value)
    assert made.complete
    return made, asked


def objective(hyper):
    return abs(math.log10(hyper.get("lr", 1e-4)) + 2) + 0.1 * hyper.get("k", 1)


@pytest.mark.parametrize("tuner", TUNERS)
def test_defaults_come_first_and_every_method_gets_its_trials(tuner):
    _, asked = search(tuner)
    assert asked[0] == {}
    assert len(asked) == 8
    assert len({str(h) for h in asked}) == 8


@pytest.mark.parametrize("tuner", TUNERS)
def test_samples_lie_in_the_space(tuner):
    _, asked = search(tuner, trials=20)
    for hyper in asked[1:]:
        assert 1e-4 <= hyper["lr"] <= 1.0
        assert isinstance(hyper["k"], int)
        assert 1 <= hyper["k"] <= 8
        assert hyper["betas"] in ((0.9, 0.99), (0.95, 0.98))


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_same_seed_searches_the_same_points_and_another_seed_others(tuner):
    assert search(tuner)[1] == search(tuner)[1]
    assert search(tuner, seed=1)[1] != search(tuner)[1]


def test_a_resumed_adaptive_search_equals_an_unbroken_one():
    _, unbroken = search("tpe", trials=14)
    values = [objective(h) for h in unbroken[:9]]
    assert search("tpe", trials=14, stored=values)[1] == unbroken


@pytest.mark.parametrize("tuner", ["qmc", "random"])
def test_searches_that_do_not_adapt_offer_all_trials_at_once(tuner):
    assert len(Tuner(SPACE, 8, tuner, "min", SeedTree(0)).ask()) == 8


def test_an_adaptive_search_offers_one_trial_at_a_time():
    made = Tuner(SPACE, 3, "tpe", "min", SeedTree(0))
    assert made.ask() == [(0, {})]
    assert made.ask() == []
    made.tell(0, 1.0)
    assert [n for n, _ in made.ask()] == [1]


def test_quasi_random_points_fill_the_range_evenly():
    _, asked = search("qmc", trials=17)
    eighths = {int((math.log10(h["lr"]) + 4) / 4 * 8) for h in asked[1:]}
    assert len(eighths) == 8


def test_the_best_valid_trial_is_selected_and_diverged_ones_never():
    made = Tuner(SPACE, 3, "random", "max", SeedTree(0))
    trials = dict(made.ask())
    made.tell(0, 0.5)
    made.tell(1, math.nan)
    made.tell(2, 0.7)
    assert made.best() == trials[2]


def test_the_defaults_stand_when_everything_diverged():
    made = Tuner(SPACE, 2, "tpe", "min", SeedTree(0))
    for _ in range(2):
        ((number, _),) = made.ask()
        made.tell(number, math.nan)
    assert made.complete
    assert made.best() == {}


def test_without_a_space_the_defaults_are_the_only_trial():
    made = Tuner({}, 8, "qmc", "min", SeedTree(0))
    assert made.ask() == [(0, {})]
    made.tell(0, 1.0)
    assert made.complete


def test_a_space_of_unknown_things_is_refused():
    with pytest.raises(TypeError, match=r"space\['lr'\] must be a Float, Int or Choice, got 3"):
        Tuner({"lr": 3}, 2, "qmc", "min", SeedTree(0))
