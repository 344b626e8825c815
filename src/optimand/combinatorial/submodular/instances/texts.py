"""Verses of a text as elements that cover its words: a few of them that say most of what the latest ones are about."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections import Counter

import numpy as np

from optimand.core.validation import OptimandError

from ..objectives.coverage import Coverage

# Shorter words are articles and the like.
SHORTEST = 3


def verse_coverage() -> Coverage:
    """The verses of the King James Bible, in their order, and the words that they cover.

    A word weighs ``count * log(verses / verses with it)``: words that are frequent, but not everywhere, count most.

    Raises:
        OptimandError: the package with the text is missing.
    """
    return copy.copy(_verse_coverage())


@functools.cache
def _verse_coverage() -> Coverage:
    return words_covered(verses())


def words_covered(lines: tuple[str, ...]) -> Coverage:
    """Lines as elements 0, 1, … that cover their words, with weights as in :func:`verse_coverage`.

    Example:
        >>> f = words_covered(("light and dark", "light", "the sea"))
        >>> round(f.value([0]), 3), f.value([0, 1]) == f.value([0])
        (3.008, True)
    """
    words = [re.findall(rf"[a-z]{{{SHORTEST},}}", line.lower()) for line in lines]
    counts = Counter(word for line in words for word in line)
    lines_with = Counter(word for line in words for word in set(line))
    number = {word: i for i, word in enumerate(sorted(counts))}
    weights = np.array([counts[word] * math.log(len(lines) / lines_with[word]) for word in number])
    return Coverage([sorted({number[word] for word in line}) for line in words], weights)


@functools.cache
def verses() -> tuple[str, ...]:
    """The text's verses."""
    from optimand.data import TextData, load

    data = load("kjv")
    assert isinstance(data, TextData)
    text = np.concatenate([data.train, data.valid, data.test]).tobytes().decode()
    found = tuple(line for line in text.split("\n") if line)
    if not found:
        raise OptimandError("data set 'kjv' holds no verses")
    return found
