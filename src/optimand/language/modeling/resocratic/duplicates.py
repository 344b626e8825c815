"""Near-duplicates by the cosine of TF-IDF vectors, dropped greedily in order (arXiv 2407.09887, synthesis).

A text is dropped if its similarity to an accepted one is above the threshold. The weights depend on the texts that are
compared, so a second run on the survivors could drop more; here the pass is repeated until none is dropped, which makes
the result idempotent. Pairs are found without comparing all: a text whose common words weigh less than the threshold
can reach it only with a text that shares one of its rare words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_number

STOP_WORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being below
    between both but by can cannot could did do does doing down during each either else every few
    for from further had has have having he her here hers him his how i if in into is it its itself
    just may me might more most must my neither no nor not now of off on once one only or other our
    ours out over own per same shall she should so some such than that the their theirs them then
    there these they this those through to too two under until up upon us very was we were what when
    where whether which while who whom whose why will with within without would you your yours""".split()  # noqa: SIM905
)
_WORD = re.compile(r"\b\w\w+\b")
_BLOCK = 512


def dedupe(
    texts: Sequence[str],
    threshold: float = 0.7,
    *,
    stop_words: Collection[str] = STOP_WORDS,
    accepted: Sequence[str] = (),
    until_stable: bool = True,
) -> list[int]:
    """Positions of the texts to keep.

    Args:
        texts: in the order in which they are judged.
        threshold: in [0, 1]; a text that is more similar than this to one kept before it is dropped.
        stop_words: words that do not count, in lower case.
        accepted: texts that came before and stay whatever happens; they count for weights and for similarity.
        until_stable: repeat on the survivors until none is dropped. False makes the paper's single pass.

    Returns:
        Positions in ``texts``, ascending.

    Raises:
        TypeError: texts are not a sequence of texts.
        ValueError: a threshold outside [0, 1].

    Example:
        >>> dedupe(["A bakery makes bread", "bread makes a bakery", "Wheat and corn"])
        [0, 2]
    """
    check_number("threshold", threshold, low=0, high=1)
    before = _check_texts("accepted", accepted)
    kept = list(range(len(_check_texts("texts", texts))))
    while kept:
        # The factor keeps rounding from calling equal texts more similar than 1.
        limit = threshold * (1 + 1e-12)
        found = _greedy_pass([*before, *(texts[i] for i in kept)], len(before), limit, stop_words)
        stable = len(found) == len(kept)
        kept = [kept[i] for i in found]
        if stable or not until_stable:
            break
    return kept


def similarities(texts: Sequence[str], *, stop_words: Collection[str] = STOP_WORDS) -> NDArray[np.float64]:
    """Cosines of all pairs, ``[n, n]``; the diagonal is 0 for a text without any word that counts.

    Example:
        >>> similarities(["oats, rye", "rye; oats", "barley"]).round(3).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    vectors = _vectors(_check_texts("texts", texts), stop_words)
    return np.asarray((vectors @ vectors.T).toarray(), dtype=np.float64)


def _check_texts(name: str, texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"{name} must be a sequence of texts, got {texts!r:.60} ({type(texts).__name__})")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} must hold texts, got {text!r:.60} ({type(text).__name__})")
    return texts


def _vectors(texts: Sequence[str], stop_words: Collection[str]) -> Any:
    """Rows of unit length, features in ascending order of frequency (rarest first), as a CSR matrix."""
    from scipy.sparse import csr_matrix

    counts = [Counter(word for word in _WORD.findall(text.lower()) if word not in stop_words) for text in texts]
    frequency: Counter[str] = Counter()
    for count in counts:
        frequency.update(count.keys())
    column = {word: j for j, word in enumerate(sorted(frequency, key=lambda word: (frequency[word], word)))}
    n = len(texts)
    weight = {word: math.log((1 + n) / (1 + df)) + 1 for word, df in frequency.items()}
    data, indices, starts = [], [], [0]
    for count in counts:
        entries = sorted((column[word], number * weight[word]) for word, number in count.items())
        norm = math.sqrt(sum(value * value for _, value in entries)) or 1.0
        indices += [j for j, _ in entries]
        data += [value / norm for _, value in entries]
        starts.append(len(indices))
    return csr_matrix((np.array(data), np.array(indices, dtype=np.int64), starts), shape=(n, max(len(column), 1)))


def _rare_part(vectors: Any, threshold: float) -> tuple[Any, NDArray[np.float64]]:
    """The rare features of each row, chosen so that the rest has a norm below the threshold; and that norm."""
    from scipy.sparse import csr_matrix

    squares = vectors.data**2
    row = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    # Sum of squares from an entry to the end of its row: entries are rarest first, so this is the common remainder.
    total = np.concatenate([[0.0], np.cumsum(squares)])
    remainder = total[vectors.indptr[1:]][row] - total[:-1]
    keep = remainder > (threshold * (1 - 1e-9)) ** 2
    starts = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=vectors.shape[0]))])
    rest = np.sqrt(np.bincount(row[~keep], squares[~keep], minlength=vectors.shape[0]))
    return csr_matrix((vectors.data[keep], vectors.indices[keep], starts), shape=vectors.shape), rest


def _greedy_pass(texts: Sequence[str], fixed: int, threshold: float, stop_words: Collection[str]) -> list[int]:
    """Positions kept, counted from ``fixed``; the first ``fixed`` texts are kept anyway."""
    vectors = _vectors(texts, stop_words)
    rare, rest = _rare_part(vectors, threshold)
    kept = list(range(fixed))
    for begin in range(fixed, len(texts), _BLOCK):
        block = np.arange(begin, min(begin + _BLOCK, len(texts)))
        alive = ~_near(vectors, rare, rest, block, np.array(kept, dtype=np.int64), threshold)
        inside = (vectors[block] @ vectors[block].T).toarray() > threshold
        for i in range(len(block)):
            if alive[i]:
                kept.append(int(block[i]))
                alive[i + 1 :] &= ~inside[i, i + 1 :]
    return [i - fixed for i in kept[fixed:]]


def _near(
    vectors: Any,
    rare: Any,
    rest: NDArray[np.float64],
    block: NDArray[np.int64],
    kept: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.bool_]:
    """Which texts of the block are more similar than the threshold to a kept one."""
    near = np.zeros(len(block), dtype=bool)
    if not len(kept):
        return near
    partial = (rare[block] @ vectors[kept].T).tocoo()
    possible = partial.data + rest[block][partial.row] > threshold * (1 - 1e-9)
    rows, columns = partial.row[possible], partial.col[possible]
    for start in range(0, len(rows), 100_000):
        r, c = rows[start : start + 100_000], columns[start : start + 100_000]
        exact = np.asarray(vectors[block[r]].multiply(vectors[kept[c]]).sum(axis=1)).ravel()
        near[r[exact > threshold]] = True
    return near
