"""Splitting and standardizing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimand.data import Split, TableData, TextData
from optimand.data.containers import stratified_split


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.integers(0, 5))
def test_stratified_split_is_a_partition_with_even_classes(labels, seed):
    y = np.array(labels, dtype=np.int64)
    shares = (0.6, 0.2, 0.2)
    parts = stratified_split(y, shares, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(y)))
    for label in np.unique(y):
        total = (y == label).sum()
        for part, share in zip(parts, shares, strict=True):
            assert abs((y[part] == label).sum() - share * total) <= 1


@pytest.mark.parametrize("per_feature", [True, False])
def test_standardizing_uses_the_training_split_alone(per_feature):
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (50, 4)) * np.array([1.0, 10.0, 100.0, 0.0])
    y = np.zeros(50, dtype=np.int64)
    shifted = Split(x + 1000, y)
    table = TableData("t", Split(x, y), shifted, shifted, 1, "made here")
    out = table.standardized(per_feature=per_feature)
    assert out.train.x.dtype == np.float32
    axis = 0 if per_feature else None
    std = np.asarray(x.std(axis=axis))
    std[std == 0] = 1.0  # a constant feature stays 0 and brings no NaN
    np.testing.assert_allclose(out.train.x, (x - x.mean(axis=axis)) / std, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out.valid.x, (x + 1000 - x.mean(axis=axis)) / std, rtol=1e-5, atol=1e-4)


@given(st.binary(min_size=1, max_size=300))
def test_text_parts_join_to_the_text(text):
    data = TextData.cut("t", text, "made here")
    assert bytes(data.train) + bytes(data.valid) + bytes(data.test) == text


def test_digest_tells_texts_apart():
    assert TextData.cut("t", b"a" * 40, "").digest == TextData.cut("u", b"a" * 40, "").digest
    assert TextData.cut("t", b"a" * 40, "").digest != TextData.cut("t", b"a" * 39 + b"b", "").digest
