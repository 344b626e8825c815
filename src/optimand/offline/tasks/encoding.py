"""Designs as points of a vector space, in which surrogates are fitted and searched.

Discrete designs become logits, as in Design-Bench: the one-hot vector of a position is mixed with the uniform
distribution, its logarithm taken, and the first class subtracted and dropped. Both kinds are then standardised by the
mean and the standard deviation of the offline rows. This is what makes one step size serve all tasks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Probability that a position's own class keeps before the uniform distribution is mixed in.
KEEP = 0.6

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def to_logits(designs: Ints, num_classes: int) -> Floats:
    """Logits of integer designs relative to class 0.

    Args:
        designs: shape ``(n, L)``, entries in ``[0, num_classes)``.
        num_classes: ``K``, at least 2.

    Returns:
        Shape ``(n, L (K - 1))``, positions outermost.

    Example:
        >>> to_logits(np.array([[0, 1]]), 2).round(4).tolist()
        [[-1.3863, 1.3863]]
    """
    high, low = KEEP + (1 - KEEP) / num_classes, (1 - KEEP) / num_classes
    table = np.full((num_classes, num_classes), np.log(low))
    np.fill_diagonal(table, np.log(high))
    table = (table - table[:, :1])[:, 1:]
    return np.asarray(table[designs].reshape(len(designs), -1))


def from_logits(logits: Any, length: int, num_classes: int) -> Ints:
    """The most probable class of every position; class 0 has logit 0, and the lowest class wins a tie.

    Args:
        logits: shape ``(n, L (K - 1))``.
        length: ``L``.
        num_classes: ``K``.

    Example:
        >>> from_logits([[-1.4, 1.4]], 2, 2).tolist()
        [[0, 1]]
    """
    given = np.asarray(logits, dtype=np.float64).reshape(-1, length, num_classes - 1)
    full = np.concatenate([np.zeros((len(given), length, 1)), given], axis=2)
    return full.argmax(axis=2).astype(np.int64)


def moments(points: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a constant column gets 1, so that it can be divided by."""
    mean, std = points.mean(axis=0), points.std(axis=0)
    return mean, np.where(std > 1e-12 * np.maximum(1.0, np.abs(mean)), std, 1.0)


def text_to_ints(texts: Any, alphabet: str) -> Ints:
    """Sequences of letters as integers, the position in ``alphabet``.

    Raises:
        ValueError: a letter that the alphabet does not have, or sequences of different length.

    Example:
        >>> text_to_ints(["ACGT"], "ACGT").tolist()
        [[0, 1, 2, 3]]
    """
    lines = [str(text) for text in texts]
    if len({len(line) for line in lines}) > 1:
        raise ValueError(f"sequences must have one length, got {sorted({len(line) for line in lines})}")
    raw = np.frombuffer("".join(lines).encode("latin-1", "replace"), dtype=np.uint8).reshape(len(lines), -1)
    table = np.full(256, -1, dtype=np.int64)
    table[np.frombuffer(alphabet.encode(), dtype=np.uint8)] = np.arange(len(alphabet))
    found: Ints = table[raw]
    if (found < 0).any():
        i, j = np.argwhere(found < 0)[0]
        raise ValueError(f"sequence {i} has {lines[i][j]!r} at position {j}, expected letters of {alphabet!r}")
    return found


def ints_to_text(designs: Any, alphabet: str) -> list[str]:
    """Integer designs as sequences of letters.

    Example:
        >>> ints_to_text([[0, 1, 2, 3]], "ACGT")
        ['ACGT']
    """
    letters = np.frombuffer(alphabet.encode(), dtype=np.uint8)[np.asarray(designs, dtype=np.int64)]
    return [row.tobytes().decode() for row in np.ascontiguousarray(letters)]


def as_floats(name: str, values: NDArray[Any]) -> Floats:
    """``values`` as float64; TypeError or ValueError, with the place, where one is no finite number."""
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be numbers, got {values.dtype}")
    found = values.astype(np.float64)
    if not np.isfinite(found).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise ValueError(f"{name} must be finite, got {found[index]} at {index[0] if len(index) == 1 else index}")
    return found
