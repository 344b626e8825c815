"""The paper's claims: the quick ones are checked here, the others in a small form; rules can fail."""

import numpy as np
import pytest
from tests.running import Made

import optimand.online.convex.methods
import optimand.online.convex.problems  # noqa: F401 (these two register what the study runs)
from optimand.core.seeds import SeedTree
from optimand.online.engine import Draws
from optimand.papers import get_paper
from optimand.papers.optimistic_omd_sea import claims, tables

QUICK = ("oftrl-worst-case",)


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_claim_holds(name):
    finding = next(claim for claim in claims.CLAIMS if claim.name == name).check()
    assert finding.holds, f"{finding.value} ({finding.detail})"


@pytest.mark.parametrize("kind", ["iid", "alternating", "sparse", "bursts"])
def test_the_path_bound_holds_at_every_round(kind):
    for d in (1, 10):
        gradients = tables.gradient_sequences(kind, 120, 20, d, Draws(SeedTree(3), np.arange(20)))
        assert np.linalg.norm(gradients, axis=2).max() <= 1 + 1e-12
        for delta in (0.0, 40.0):
            assert 0 < tables.path_bound_ratio(gradients, delta).max() < 1


def test_regret_without_noise_does_not_grow():
    ends = [claims._c1_end(T, 0.0, 1).mean("ours")[-1] for T in (500, 2000)]
    assert ends[1] == pytest.approx(0.2142, abs=1e-4)
    assert abs(ends[0] - ends[1]) < 1e-9


def test_regret_under_noise_grows_as_the_theorems_say():
    convex, strongly = (claims._c1_end(3000, 0.5, 30, curvature=c) for c in ("convex", "strongly_convex"))
    assert 0.4 < convex.slope("ours", 300, 3000).value < 0.6
    assert strongly.mean("ours")[-1] < 1.25 * strongly.at("ours", 750).mean()


@pytest.mark.parametrize(("d", "sigma"), [(1, 0.5), (3, 0.1)])
def test_newton_steps_keep_their_path_wise_bound(d, sigma):
    found = tables.newton_bound_ratio(d, sigma, rounds=400, reps=5)
    assert found.shape == (5,)
    assert 0 < found.max() < 1


def test_the_pool_follows_segments_better_than_gradient_descent():
    curves = tables.dynamic_row((20, 0.0), reps=10, horizon=1000)
    assert curves.mean("C4")[-1] < curves.mean("OGD")[-1] / 1.1
    assert curves.mean("C1")[-1] < curves.mean("C4")[-1]


def test_claims_belong_to_the_paper_and_have_names_of_their_own():
    assert get_paper(claims.PAPER).arxiv == "2302.04552"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)
    assert sum(len([v for v in row if v is not None]) for row in tables.STATIC.values()) == 24


def test_what_is_apart_is_counted_in_allowances():
    assert tables.apart(1.05, 0.0, 1.0) == pytest.approx(1.0)
    assert tables.apart(1.3, 0.1, 1.0) < 1 < tables.apart(1.5, 0.1, 1.0)
    assert tables.apart(0.136, float("nan"), 0.136) == 0


def test_the_small_study_runs_and_is_judged():
    assert "dynamic-omd" in claims.tuned_alike(Made(claims.SMALL, reps=3)).value


def test_the_rule_of_the_study_can_fail():
    class Worse:
        def mean(self, problem, method):
            return 1.0 if method == "oco-ogd" else 2.0

    assert not claims.tuned_alike(Worse()).holds
