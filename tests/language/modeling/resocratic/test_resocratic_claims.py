"""Claims that take no time hold, and each one says what it found."""

from __future__ import annotations

import os

import pytest

from optimand.papers.optibench_resocratic import resocratic as claims


@pytest.mark.parametrize("check", [claims.plan_sizes, claims.similarities_of_four, claims.exploded_items])
def test_mechanical_claims_hold(check) -> None:
    found = check()
    assert found.holds, found.value


def test_template_claims_hold_on_few_items(monkeypatch) -> None:
    pytest.importorskip("pyscipopt")
    monkeypatch.setattr(claims, "ITEMS", 9)
    for check in (claims.linear_templates, claims.linear_table_templates, claims.nonlinear_templates):
        found = check()
        assert found.holds, found.value
        assert "9/9 re-solve" in found.value


def test_the_seed_claim_is_called_untestable_without_data(monkeypatch) -> None:
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    assert not claims._pools()
    seeds = next(claim for claim in claims.CLAIMS if claim.name == "resocratic-seeds")
    assert (seeds.check is None) == ("needs the seed pools" in seeds.untestable)


@pytest.mark.skipif(not os.environ.get("OPTIMAND_DATA"), reason="set OPTIMAND_DATA to check the seed pools")
def test_the_seed_claim_holds_with_data() -> None:
    assert claims.seed_demonstrations().holds


def test_names_are_unique() -> None:
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)
