"""Claims: names, what their checks find at a small size, and that judging rules can fail."""

from __future__ import annotations

import pytest

from optimand.papers import get_paper
from optimand.papers.dynamic_submodular import claims


class Faked:
    """Outcomes with numbers that are set."""

    def __init__(self, ratio, calls, seconds=None):
        self.ratio, self.calls, self.seconds = ratio, calls, seconds or calls

    def mean(self, problem, method, **options):
        return self.ratio[method]

    def cost(self, problem, method, name):
        return (self.calls if name == "calls_per_update" else self.seconds)[method]


def test_claims_belong_to_the_paper_and_have_names_of_their_own():
    assert get_paper(claims.PAPER).arxiv == "2305.15192"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_half_of_the_optimum_holds_on_a_few_streams():
    for engine in ("buckets", "permutation", "incremental"):
        least, worst, mean = claims.ratios_to_optimum(engine, 2)
        assert (1 - claims.EPS) / 2 <= least <= worst <= mean
        assert 0.8 < mean <= 1


def test_calls_per_update_do_not_grow_with_the_window():
    small, large = (claims.calls_by_window("buckets", width) for width in (100, 400))
    assert 0 < large < 2 * small


@pytest.mark.parametrize(
    ("saved", "literal", "holds"),
    [
        ((5.0, 6.0, 7.0), (90.0, 100.0), True),
        ((5.0, 9.0, 15.0), (90.0, 100.0), False),
        ((5.0,) * 3, (9.0, 40.0), False),
    ],
)
def test_the_rule_on_calls_judges_growth(monkeypatch, saved, literal, holds):
    def faked(engine, width, **options):
        return dict(zip(claims.WIDTHS, literal if options.get("literal") else saved, strict=False))[width]

    monkeypatch.setattr(claims, "calls_by_window", faked)
    assert claims.polylogarithmic_calls().holds is holds
    assert claims.slope([1000.0, 4000.0, 16000.0]) == pytest.approx(1.0)


def test_rules_of_the_study_can_fail():
    good = Faked({"buckets": 0.9, "incremental-greedy": 1.0, "greedy-rerun": 1.0},
                 {"buckets": 9.0, "incremental-greedy": 2.0, "greedy-rerun": 100.0})  # fmt: skip
    bad = Faked({"buckets": 0.2, "incremental-greedy": 0.9, "greedy-rerun": 1.0},
                {"buckets": 9.0, "incremental-greedy": 2.0, "greedy-rerun": 100.0})  # fmt: skip
    dear = Faked(good.ratio, {**good.calls, "incremental-greedy": 200.0})
    assert claims.half_in_practice(good).holds
    assert not claims.half_in_practice(bad).holds
    assert not claims.half_in_practice(Faked({**good.ratio, "buckets": 0.45}, good.calls)).holds  # 0.28 is all it shows
    assert not claims.half_in_practice(Faked(good.ratio, {**good.calls, "buckets": 101.0})).holds
    slow = Faked(good.ratio, good.calls, {**good.calls, "incremental-greedy": 101.0})
    assert not claims.beats_running_greedy_again(slow).holds
    assert claims.beats_running_greedy_again(good).holds
    assert not claims.beats_running_greedy_again(bad).holds
    assert not claims.beats_running_greedy_again(dear).holds
    assert "50 times fewer calls" in claims.beats_running_greedy_again(good).value
