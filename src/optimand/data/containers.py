"""What a loader returns: arrays for tables and images, bytes for text, each cut into train, valid and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Examples ``x`` of shape ``[n, …]`` with labels ``y`` of shape ``[n]``."""

    x: NDArray[np.generic]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class TableData:
    """A labelled set of rows or images.

    Attributes:
        name: its name in :func:`optimand.data.load`.
        train: examples to learn from.
        valid: examples to choose hyperparameters by.
        test: examples to report on.
        classes: number of labels, which are ``0 … classes - 1``.
        source: where the data comes from, one line.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    classes: int
    source: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.train.x.shape[1:])

    def standardized(self, *, per_feature: bool) -> TableData:
        """The same data as float32, with mean 0 and standard deviation 1 on the training split.

        Args:
            per_feature: take the statistics of each feature (tables), or of all values together
                (images and signals). The valid and test splits use the training split's statistics.

        Example:
            >>> from optimand.data import load
            >>> x = load("digits").standardized(per_feature=False).train.x
            >>> abs(float(x.mean())) < 1e-5, round(float(x.std()), 4)
            (True, 1.0)
        """
        axis = 0 if per_feature else None
        reference = self.train.x.astype(np.float64)
        mean = reference.mean(axis=axis)
        std = reference.std(axis=axis)
        std = np.where(std > 0, std, 1.0)

        def convert(split: Split) -> Split:
            return Split(((split.x.astype(np.float64) - mean) / std).astype(np.float32), split.y)

        return replace(self, train=convert(self.train), valid=convert(self.valid), test=convert(self.test))


@dataclass(frozen=True)
class TextData:
    """A text as bytes (uint8 arrays), cut into three contiguous pieces.

    Attributes:
        name: its name in :func:`optimand.data.load`.
        train: the first part.
        valid: the part after it.
        test: the last part.
        source: where the text comes from, one line.
    """

    name: str
    train: NDArray[np.uint8]
    valid: NDArray[np.uint8]
    test: NDArray[np.uint8]
    source: str

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify the text: corpora taken from other software change with it."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            digest.update(part.tobytes())
        return digest.hexdigest()[:12]

    @classmethod
    def cut(cls, name: str, text: bytes, source: str, *, shares: Sequence[float] = (0.9, 0.05)) -> TextData:
        """Cut ``text`` into contiguous pieces: ``shares`` for train and valid, the rest for test.

        Example:
            >>> data = TextData.cut("abc", b"abcdefghij" * 10, "the alphabet")
            >>> len(data.train), len(data.valid), len(data.test)
            (90, 5, 5)
        """
        array = np.frombuffer(text, dtype=np.uint8)
        first = round(len(array) * shares[0])
        second = round(len(array) * (shares[0] + shares[1]))
        return cls(name, array[:first], array[first:second], array[second:], source)


def stratified_split(y: NDArray[np.int64], shares: Sequence[float], seed: int = 0) -> list[NDArray[np.int64]]:
    """Indices of disjoint parts with the same share of each class, in a fixed random order.

    Args:
        y: labels, ``[n]``.
        shares: share of each part; the last part is given what is left over.
        seed: seed of the permutation. The order comes from NumPy's frozen legacy generator, so the
            split is the same under every NumPy version.

    Returns:
        One index array a part; together they hold every index once.
    """
    rng = np.random.RandomState(seed)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        edges = np.round(np.cumsum(shares)[:-1] * len(members)).astype(int)
        for part, piece in zip(parts, np.split(members, edges), strict=True):
            part.append(piece)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def take(x: NDArray[np.generic], y: NDArray[np.int64], indices: NDArray[np.int64] | slice) -> Split:
    """The examples at ``indices``, labels as int64."""
    return Split(np.ascontiguousarray(x[indices]), np.ascontiguousarray(y[indices]).astype(np.int64))
