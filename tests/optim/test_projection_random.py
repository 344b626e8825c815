"""Random projections as functions of integers, and ranks that are too large."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.optim.projection import gaussian_projection, generator_of, mix64, orthonormal_projection
from optimand.optim.projection.ranks import warn_of_ranks

WORDS = st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=5)


@given(WORDS)
def test_mix_is_a_64_bit_number_that_depends_on_every_word(words):
    mixed = mix64(*words)
    assert 0 <= mixed < 2**64
    for i in range(len(words)):
        assert mix64(*words[:i], words[i] ^ 1, *words[i + 1 :]) != mixed


def test_integers_of_numpy_name_the_same_draws():
    assert mix64(np.int64(3), np.int32(-1)) == mix64(3, -1)


def test_mixed_words_spread_evenly():
    bits = torch.tensor([[mix64(seed, index) >> b & 1 for b in range(64)] for seed in range(40) for index in range(40)])
    share = bits.double().mean(0)
    assert (share - 0.5).abs().max() < 5 * 0.5 / math.sqrt(1600)


def test_projection_is_a_pure_function_of_its_key_and_shape():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = gaussian_projection(8, 20, (3, 1, 0))
    torch.manual_seed(2)
    assert torch.equal(first, gaussian_projection(8, 20, (3, 1, 0)))
    torch.manual_seed(1)
    assert torch.equal(before, torch.get_rng_state())
    for other in ((4, 1, 0), (3, 2, 0), (3, 1, 1)):
        assert not torch.equal(first, gaussian_projection(8, 20, other))
    assert not torch.equal(first[:, :10], gaussian_projection(8, 10, (3, 1, 0)))


def test_precision_does_not_change_what_is_drawn():
    single = gaussian_projection(4, 6, (1,))
    assert torch.equal(single.double(), gaussian_projection(4, 6, (1,), dtype=torch.float64))
    assert torch.equal(single.bfloat16(), gaussian_projection(4, 6, (1,), dtype=torch.bfloat16))


@pytest.mark.parametrize(("rank", "error"), [(64, 0.5), (256, 0.3)])
def test_norms_are_kept_as_johnson_and_lindenstrauss_promise(rank, error):
    x = torch.randn(1000, generator=generator_of(5))
    kept = torch.stack([(gaussian_projection(rank, 1000, (9, i)) @ x).norm() ** 2 for i in range(200)]) / x.norm() ** 2
    assert kept.mean().item() == pytest.approx(1.0, abs=4 * math.sqrt(2 / rank / 200))
    failures = ((kept - 1).abs() > error).float().mean().item()
    assert failures <= 2 * math.exp(-rank * error**2 / 8)
    assert failures <= 0.02  # measured 0.0025 in 400 draws


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**40))
def test_orthonormal_rows_are_orthonormal(rank, more, seed):
    q = orthonormal_projection(rank, rank + more, (seed,))
    torch.testing.assert_close(q @ q.T, torch.eye(rank), rtol=0, atol=2e-5)


def test_orthonormal_projections_favour_no_direction():
    mean = torch.stack([orthonormal_projection(2, 8, (i,)) for i in range(400)]).mean(0)
    assert mean.abs().max() < 4.5 / math.sqrt(8 * 400)


@pytest.mark.parametrize(("rank", "size", "shown"), [(0, 3, "0"), (2, 0, "0"), (-1, 3, "-1")])
def test_bad_sizes_are_refused(rank, size, shown):
    with pytest.raises(ValueError, match=shown):
        gaussian_projection(rank, size, (0,))
    with pytest.raises(ValueError, match=r"must be"):
        orthonormal_projection(rank, size, (0,))
    with pytest.raises(ValueError, match="rank"):
        orthonormal_projection(4, 3, (0,))


def test_ranks_beyond_the_smaller_side():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_ranks(3, [(3, 4), (5, 3, 2)])
    with pytest.warns(UserWarning, match=r"rank.*5.*\(2, 9\).*1 other"):
        warn_of_ranks(5, [(3, 9), (2, 9), (8, 8)])
