"""The integer counts of every learner, against the published numbers and closed forms."""

import math

import pytest

from optimand.online.streaming import schedules
from optimand.online.streaming.pull_counts import LARGEST, king_pulls, naive_pulls, tower_pulls, uniform_pulls, whole


def test_counts_of_two_hundred_arms_and_eight_million_trials():
    found = schedules(200, 8_000_000)
    assert found["uniform"].pulls == (2941,)
    assert found["naive"].pulls == (6197,)
    assert found["log"].pulls == (1170, 1404, 1685, 2022, 2426)
    assert found["loglog"].pulls == (1170, 6197)
    assert found["logstar"].pulls[:3] == (1170, 4679, 18714)
    assert found["log"].arms == (7, 7, 7, 7, LARGEST)
    assert found["loglog"].arms == (11, LARGEST)
    assert found["logstar"].arms == (5, 4, 4096, LARGEST)
    assert {found[name].final for name in ("log", "loglog", "logstar")} == {math.ceil(4 * 40_000 ** (2 / 3))}


def test_counts_of_the_exact_cases():
    found = schedules(27, 27_000)
    assert found["uniform"].pulls == (217,)
    assert found["naive"].pulls == (330,)
    assert found["log"].pulls == (100, 120, 144)
    assert found["loglog"].pulls == (100, 330)
    assert found["logstar"].pulls[:3] == (100, 400, 1600)
    assert (found["king"].first, found["king"].income, found["king"].pulls[:3]) == (120, 100, (100, 200, 400))
    assert schedules(8, 8000)["loglog"].pulls == (208,)


def test_ratios_that_are_cubes_give_their_square_exactly():
    for root in range(2, 200):
        assert tower_pulls("log", 5, 5 * root**3).pulls[0] == root**2
        assert king_pulls(5, 5 * root**3).income == root**2


def test_numbers_within_a_billionth_of_an_integer_are_not_rounded_up():
    assert whole(100 * (1 + 5e-10)) == 100
    assert whole(100 * (1 + 2e-9)) == 101
    assert whole(1e-3) == 1


@pytest.mark.parametrize("K", [1, 2, 3, 15, 16, 50_000])
def test_levels_of_few_and_many_arms(K):
    T = 1000 * K**3
    assert tower_pulls("log", K, T).levels == max(1, math.floor(math.log(K)))
    double = math.log(math.log(K)) if K > 1 else -math.inf
    assert tower_pulls("loglog", K, T).levels == (max(1, math.floor(double) + 1) if K > 1 else 1)
    times, x = 0, float(K)
    while x >= 1:
        times, x = times + 1, math.log(x)
    assert tower_pulls("logstar", K, T).levels == 1 + times
    assert len(king_pulls(K, T).pulls) == (max(1, math.floor(10 * double)) if K > 2 else 1)


def test_counts_stay_within_sixty_four_bits():
    for K in (1, 50, 10**6):
        for tower in schedules(K, 10**17).values():
            assert all(1 <= n <= 2**60 for n in (*tower.pulls, *getattr(tower, "arms", ())))


def test_theory_follows_its_formulas():
    K, T, delta = 1000, 10**12, 0.05
    found = tower_pulls("theory", K, T, delta=delta)
    unit = (T / K) ** (2 / 3)
    assert found.levels == 2  # 16 arms, then up to 32768 champions
    assert found.arms == (16, LARGEST)
    for level, r in enumerate((4, 16)):
        eps_squared = 1 / unit / (10 * 2**level) ** 2
        assert found.pulls[level] == whole(4 / eps_squared * (math.log(1 / delta) + 3 * r))


def test_explore_multiplies_all_counts():
    for make in (uniform_pulls, naive_pulls, king_pulls):
        once, twice = make(100, 10**6), make(100, 10**6, explore=2.0)
        assert all(abs(b - 2 * a) <= 1 for a, b in zip(once.pulls, twice.pulls, strict=True))


@pytest.mark.parametrize(
    ("K", "T", "error", "match"),
    [
        (0, 10, ValueError, "K must be at least 1, got 0"),
        (None, 10, TypeError, "K must be an integer, got None"),
        (3, 0, ValueError, "T must be"),
        (3, 10.5, TypeError, "T must be an integer, got 10.5"),
        (3, 2**63, ValueError, "T must be"),
    ],
)
def test_bad_sizes_are_named(K, T, error, match):
    with pytest.raises(error, match=match):
        schedules(K, T)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="schedule must be one of"):
        tower_pulls("loog", 3, 10)
    with pytest.raises(ValueError, match="explore"):
        uniform_pulls(3, 10, explore=0.0)
    with pytest.raises(ValueError, match="delta"):
        tower_pulls("theory", 3, 10, delta=1.0)
