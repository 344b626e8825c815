"""Byte-pair encoding: nothing is lost, whatever the bytes; learned from the training part; kept in a cache."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimand import data
from optimand.core.caching import cache_folder
from optimand.core.validation import OptimandError
from optimand.data.containers import TextData
from optimand.data.tokens import SPLITS, bpe

pytest.importorskip("tokenizers")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIMAND_CACHE", str(tmp_path))


def words(n=400):
    return TextData.cut("words", b"the cat sat on the mat, and the dog on the log.\n" * n, "made up")


def test_tokens_spell_the_text():
    text = words()
    tokens = bpe(text, 300)
    for split in SPLITS:
        assert tokens.decode(getattr(tokens, split)) == bytes(getattr(text, split))
        assert tokens.lengths[getattr(tokens, split)].sum() == len(getattr(text, split))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=100, max_size=400))
def test_any_bytes_are_encoded_without_loss(content):
    text = TextData.cut("any", content, "random")
    tokens = bpe(text, 280)
    for split in SPLITS:
        assert tokens.decode(getattr(tokens, split)) == bytes(getattr(text, split))


def test_frequent_words_become_tokens():
    tokens = bpe(words(), 320)
    assert tokens.lengths.max() >= 4
    assert len(tokens.train) < 0.5 * len(words().train)
    assert tokens.name == "words, 320 tokens"


def test_learning_is_deterministic_and_cached(monkeypatch):
    from optimand.data import tokens as module

    first = bpe(words(), 300)
    assert len(list(cache_folder("tokens").glob("words-300-*.npz"))) == 1
    learned = []
    monkeypatch.setattr(module, "_learn", lambda *a, learn=module._learn: learned.append(1) or learn(*a))
    again = bpe(words(), 300)
    assert not learned
    next(cache_folder("tokens").glob("*.npz")).write_bytes(b"PK damaged")
    anew = bpe(words(), 300)
    assert learned
    for other in (again, anew):
        for split in (*SPLITS, "lengths"):
            np.testing.assert_array_equal(getattr(first, split), getattr(other, split))


def test_another_text_or_vocabulary_is_another_file():
    bpe(words(400), 300), bpe(words(500), 300), bpe(words(400), 301)
    assert len(list(cache_folder("tokens").glob("words-*.npz"))) == 3


def test_cache_that_cannot_be_written_does_no_harm(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("OPTIMAND_CACHE", str(file))
    assert len(bpe(words(), 300).train) > 0


def test_too_small_vocabulary_and_missing_package_are_named(monkeypatch):
    with pytest.raises(ValueError, match=r"vocab must be in \[256, 1048576\], got 255"):
        bpe(words(), 255)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OptimandError, match=r"needs the package tokenizers: pip install 'optimand\[bpe\]'"):
        bpe(words(), 300)


def test_head_of_the_standard_library_is_cut_as_documented():
    head = data.load("pystdlib_head")
    assert (len(head.train), len(head.valid), len(head.test)) == (1_425_000, 40_961, 34_039)
    assert bytes(head.train[:40]).startswith(b"# Copyright 2007 Google")  # abc.py


def test_missing_dictionary_says_where_it_comes_from(monkeypatch, tmp_path):
    from optimand.data import registry, text

    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    monkeypatch.setattr(text, "GCIDE", "no-such-file.dz")
    registry._load.cache_clear()
    with pytest.raises(OptimandError, match="install the package dict-gcide, or put"):
        data.load("gcide")


def test_damaged_dictionary_is_named(monkeypatch, tmp_path):
    (tmp_path / "gcide").mkdir()
    (tmp_path / "gcide" / "gcide.dict.dz").write_bytes(b"no gzip")
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    with pytest.raises(OptimandError, match="could not be read"):
        data.load("gcide")
