"""The readings of the claims on memory-efficient optimizers: what holds, in which unit, and what diverged runs give."""

from __future__ import annotations

import math

import pytest

from optimand.papers.apollo import claims as apollo
from optimand.papers.blockwise_8bit import claims as blockwise_8bit
from optimand.papers.frugal import claims as frugal
from optimand.papers.small_lm import ADAMW, APOLLO, BITS, FIXED, GALORE, LABELS, margin, within


class Made:
    """Outcomes with given values (nats) and costs by method."""

    def __init__(self, values, costs=None):
        self.of, self.costs = values, costs or {}

    def values(self, problem, method, *, metric=None, split="test"):
        return [x * BITS for x in self.of[method]]

    def mean(self, problem, method, *, metric=None, split="test"):
        values = self.values(problem, method)
        return sum(values) / len(values)

    def cost(self, problem, method, name):
        return self.costs[method]


def test_margins_are_in_nats():
    made = Made({APOLLO: [1.9, 2.0, 1.95], ADAMW: [2.1, 2.2, 2.15]})
    found = margin(made, method=APOLLO, baseline=ADAMW, most=-0.15)
    assert found.holds
    assert found.value.startswith("1.950 against 2.150: -0.200 [")
    assert "at least 0.15 below" in found.detail
    assert not margin(made, method=APOLLO, baseline=ADAMW, most=-0.25).holds


@pytest.mark.parametrize("reading", [margin, within])
def test_diverged_runs_hold_nothing(reading):
    made = Made({APOLLO: [1.9, math.nan], ADAMW: [2.1, 2.2]})
    bar = {"most": 0.5} if reading is margin else {"share": 0.5}
    assert not reading(made, method=APOLLO, baseline=ADAMW, **bar).holds


def test_a_share_of_the_loss():
    made = Made({APOLLO: [2.02], ADAMW: [2.0]})
    assert within(made, method=APOLLO, baseline=ADAMW, share=0.011).holds
    assert not within(made, method=APOLLO, baseline=ADAMW, share=0.009).holds


def test_momentum_within_the_noise():
    noisy = Made({"sgd-8bit": [0.10, 0.12, 0.11], "sgd": [0.11, 0.11, 0.12]})
    assert blockwise_8bit.momentum_as_in_32_bits(noisy).holds
    worse = Made({"sgd-8bit": [0.20, 0.22, 0.21], "sgd": [0.10, 0.12, 0.11]})
    assert not blockwise_8bit.momentum_as_in_32_bits(worse).holds
    assert not blockwise_8bit.momentum_as_in_32_bits(Made({"sgd-8bit": [math.nan], "sgd": [0.1]})).holds


def test_updates_are_several_times_faster_or_not():
    assert apollo.cheaper_than_galore(Made({}, {APOLLO: 1.0, GALORE: 2.5})).holds
    assert not apollo.cheaper_than_galore(Made({}, {APOLLO: 1.0, GALORE: 1.5})).holds


def test_every_method_of_the_fixed_study_has_a_label_and_every_study_names_its_methods():
    assert set(FIXED.methods) == set(LABELS)
    for claim in (*apollo.CLAIMS, *frugal.CLAIMS, *blockwise_8bit.CLAIMS):
        keywords = getattr(claim.check, "keywords", {})
        for name in ("method", "baseline"):
            assert claim.study is None or name not in keywords or keywords[name] in claim.study.methods
