"""The mathematical claims of the Lion-K paper hold, and their checks can fail."""

from __future__ import annotations

import pytest
import torch

from optimand.optim.kappa import elementwise
from optimand.papers.lion_k_constrained import claims

CHECKED = [claim for claim in claims.CLAIMS if claim.check and claim.study is None]


@pytest.mark.parametrize("claim", CHECKED, ids=[claim.name for claim in CHECKED])
def test_claim_holds(claim):
    finding = claim.check()
    assert finding.holds, finding
    assert any(digit.isdigit() for digit in finding.value)


def test_two_phases_fail_for_a_kappa_with_longer_steps_than_its_domain_allows(monkeypatch):
    monkeypatch.setattr(elementwise.Huber, "_grad", lambda self, m: 2 * torch.sign(m))
    assert not claims.two_phases().holds


def test_optimum_is_missed_with_a_wrong_subgradient(monkeypatch):
    monkeypatch.setattr(elementwise.Huber, "_grad", lambda self, m: torch.sign(m))
    assert not claims.kappas_solve_their_problems().holds


def test_discrete_inequality_fails_with_a_wrong_conjugate(monkeypatch):
    monkeypatch.setattr(elementwise.Huber, "_conj", lambda self, z: -2 * z.square().sum())
    assert not claims.discrete_inequality().holds
