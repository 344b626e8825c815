"""The paper's claims hold in the form that they are reproduced in, and are judged by the right rule."""

import pytest
from tests.running import Made

import optimand.numerical.monotone.methods
import optimand.numerical.monotone.problems  # noqa: F401 (these two register what the study runs)
from optimand.numerical.monotone import generators as make
from optimand.numerical.monotone.passes import FIXED_INNER, on_game, passes_to
from optimand.papers import get_paper
from optimand.papers.variance_reduced_halpern import claims

COMPUTED = [claim for claim in claims.CLAIMS if claim.check is not None and claim.study is None]


# the rest takes minutes, and reproducing the claims runs it
PART = {"game-values": {"games": 4}, "game-passes": {"kinds": ("uniform",)}}


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda c: c.name)
def test_a_computed_claim_holds(claim):
    finding = claim.check(**PART.get(claim.name, {}))
    assert finding.holds, f"{finding.value} ({finding.detail})"
    assert finding.value
    assert finding.detail


def test_claims_belong_to_the_paper_and_have_names_of_their_own():
    assert get_paper(claims.PAPER).arxiv == "2310.02987"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_the_small_study_runs_and_is_judged():
    finding = claims.equal_passes(Made(claims.SMALL))
    assert finding.holds
    assert "vr-halpern-inexact" in finding.value


def test_the_rule_of_the_study_can_fail():
    class Worse:
        def mean(self, problem, method, **options):
            return 1.0 if method == "vr-halpern-inexact" else 0.5

    assert not claims.equal_passes(Worse()).holds


@pytest.mark.parametrize(
    ("kind", "name", "options", "low", "high"),
    [
        ("uniform", "eg", {}, 5280, 5284),
        ("uniform", "eag", {}, 4400, 4404),
        ("burglar", "eag", {}, 11880, 11884),
        ("uniform", "vr-halpern-inexact", {"eta_factor": 1.0, **FIXED_INNER}, 900, 1150),
        ("uniform", "vr-halpern-inexact", FIXED_INNER, 350, 550),
        ("burglar", "vr-halpern-inexact", FIXED_INNER, 900, 1350),
        # the default, with a certificate for the end of inner runs
        ("uniform", "vr-halpern-inexact", {}, 250, 450),
        ("burglar", "vr-halpern-inexact", {}, 700, 1150),
    ],
)
def test_passes_to_a_thousandth_on_the_reference_games(kind, name, options, low, high):
    A = make.payoff_matrix(kind, 300, 0)
    every = 1 if name.startswith("vr") else 10
    spent = passes_to(on_game(name, A, 0, **options), [1e-3], every=every, most=1.2 * high)[0]
    assert low <= spent <= high
