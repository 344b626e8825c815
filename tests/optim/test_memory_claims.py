"""The claims on 8-bit states, APOLLO and FRUGAL that need no training hold, and their checks can fail."""

from __future__ import annotations

import pytest
import torch

from optimand.optim import frugal, low_bit
from optimand.papers.apollo import claims as apollo
from optimand.papers.blockwise_8bit import claims as blockwise_8bit
from optimand.papers.frugal import claims as frugal_claims

CLAIMS = [
    claim
    for claim in (*blockwise_8bit.CLAIMS, *apollo.CLAIMS, *frugal_claims.CLAIMS)
    if claim.study is None and not claim.untestable
]


@pytest.mark.parametrize("claim", CLAIMS, ids=[f"{claim.paper}-{claim.name}" for claim in CLAIMS])
def test_claim_holds(claim):
    finding = claim.check()
    assert finding.holds, finding
    assert any(digit.isdigit() for digit in finding.value)


def test_memory_is_not_saved_by_the_full_optimizer(monkeypatch):
    monkeypatch.setattr(low_bit, "AdamW8bit", torch.optim.AdamW)
    assert not blockwise_8bit.state_memory().holds
    monkeypatch.setattr(frugal, "FRUGAL", lambda params, density: torch.optim.AdamW(params))
    assert not frugal_claims.state_memory().holds


def test_one_scale_for_all_confines_no_outlier(monkeypatch):
    monkeypatch.setattr(blockwise_8bit, "_blockwise_error", lambda x, size: 0.02 if float(x.max()) < 100 else 0.08)
    assert not blockwise_8bit.outliers_stay_in_their_blocks().holds


def test_plain_sgd_with_too_long_steps_does_not_converge(monkeypatch):
    monkeypatch.setattr(frugal, "FRUGAL", lambda params, lr, **_: torch.optim.SGD(params, lr=50 * lr))
    assert not frugal_claims.converges_at_the_rate_of_sgd().holds
