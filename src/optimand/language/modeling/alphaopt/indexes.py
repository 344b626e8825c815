"""How insights are found: by exact labels through an index, by words through TF-IDF, by an embedding that is given."""

from __future__ import annotations

import math
import re
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from .insights import Insight, Triple, normalised

# Texts to vectors, one row for each text.
Embed = Callable[[Sequence[str]], Any]

_WORD = re.compile(r"[a-z][a-z']+|\d+")
_STOP = frozenset(
    """a an and are as at be been but by can does do each every for from has have if in into is it its may more most
    must no not of on or so such than that the their them then there these they this those to was when where which while
    will with applies insight problem example statement""".split()  # noqa: SIM905 (a list would take a page)
)


class TripleIndex:
    """Ids of insights by (stage, level 1, level 2), case and spacing apart.

    Example:
        >>> index = TripleIndex()
        >>> lesson = Insight({"Domain Modeling": {"Routing": ["Flow Conservation"]}}, "c", "e", insight_id=4)
        >>> index.add(lesson)
        >>> index.find({"Domain Modeling": {"routing": ["FLOW conservation"]}})
        [4]
    """

    def __init__(self) -> None:
        self._ids: dict[Triple, list[int]] = {}

    def add(self, insight: Insight) -> None:
        """Enter an insight that has an id."""
        assert insight.insight_id is not None
        for key in insight.keys:
            insort(self._ids.setdefault(key, []), insight.insight_id)

    def remove(self, insight: Insight) -> None:
        """Take an insight out."""
        for key in insight.keys:
            self._ids[key].remove(insight.insight_id)  # type: ignore[arg-type]
            if not self._ids[key]:
                del self._ids[key]

    def find(self, taxonomy: Any) -> list[int]:
        """Ids that share at least one label, ascending.

        Args:
            taxonomy: ``{stage: {level1: [level2, ...]}}`` or an iterable of triples.
        """
        found: set[int] = set()
        for key in wanted_keys(taxonomy):
            found.update(self._ids.get(key, ()))
        return sorted(found)

    def counts(self) -> dict[Triple, int]:
        """Number of insights under each label that is in use, as labels are compared."""
        return {key: len(ids) for key, ids in self._ids.items()}


def wanted_keys(taxonomy: Any) -> list[Triple]:
    """The labels that a query names, as they are compared."""
    if isinstance(taxonomy, Mapping):
        return [
            (normalised(stage), normalised(level1), normalised(level2))
            for stage, areas in taxonomy.items()
            for level1, labels in areas.items()
            for level2 in ([labels] if isinstance(labels, str) else labels)
        ]
    return [(normalised(a), normalised(b), normalised(c)) for a, b, c in taxonomy]


def words(text: str) -> list[str]:
    """Words that carry meaning, in lower case, a plural ``s`` off."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _STOP)
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


class TextIndex:
    """Nearness of texts by the cosine of TF-IDF weights, with one plus the logarithm of counts.

    Args:
        texts: the documents.

    Example:
        >>> TextIndex(["a truck carries boxes", "milk is mixed", "boxes, trucks"]).rank("which truck for the boxes", 2)
        [2, 0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words(text)) for text in texts]
        frequency = Counter(word for count in counts for word in count)
        self._idf = {word: math.log((1 + len(texts)) / (1 + n)) + 1 for word, n in frequency.items()}
        self._postings: dict[str, list[tuple[int, float]]] = {}
        for number, count in enumerate(counts):
            for word, weight in self._vector(count).items():
                self._postings.setdefault(word, []).append((number, weight))
        self._size = len(texts)

    def _vector(self, count: Mapping[str, int]) -> dict[str, float]:
        weights = {word: (1 + math.log(n)) * self._idf[word] for word, n in count.items() if word in self._idf}
        norm = math.sqrt(math.fsum(weight**2 for weight in weights.values()))
        return {word: weight / norm for word, weight in weights.items()} if norm else {}

    def scores(self, text: str) -> list[float]:
        """Cosine with each document."""
        found = [0.0] * self._size
        for word, weight in sorted(self._vector(Counter(words(text))).items()):
            for number, other in self._postings.get(word, ()):
                found[number] += weight * other
        return found

    def rank(self, text: str, k: int | None = None) -> list[int]:
        """Numbers of the nearest ``k`` documents, nearest first, equals in order."""
        return best_first(self.scores(text), k)


def best_first(scores: Sequence[float], k: int | None = None) -> list[int]:
    """Numbers of the ``k`` highest scores, equals in order.

    Example:
        >>> best_first([0.1, 0.7, 0.7], 2)
        [1, 2]
    """
    return sorted(range(len(scores)), key=lambda number: (-round(scores[number], 12), number))[:k]


def insight_text(insight: Insight) -> str:
    """What of an insight is searched: labels, condition and explanation."""
    return " ".join((insight.level1, *insight.level2, insight.condition, insight.explanation))


def cosines(text: str, documents: Sequence[str], embed: Embed | None = None) -> list[float]:
    """Nearness of a text to each document, by TF-IDF or by an embedding.

    Args:
        text: the query.
        documents: what it is compared with.
        embed: texts to vectors of one length each; None for TF-IDF.

    Raises:
        OptimandError: ``embed`` gives something else than a finite vector for each text.

    Example:
        >>> cosines("a", ["aa", "b"], embed=lambda texts: [[t.count("a"), t.count("b")] for t in texts])
        [1.0, 0.0]
    """
    if embed is None:
        return TextIndex(documents).scores(text)
    vectors = np.asarray(embed([text, *documents]), dtype=float)
    if vectors.ndim != 2 or len(vectors) != 1 + len(documents) or not np.isfinite(vectors).all():
        raise OptimandError(
            f"embed must give a finite vector for each of {1 + len(documents)} texts, got an array of shape "
            f"{vectors.shape}"
        )
    norms = np.linalg.norm(vectors, axis=1)
    return [float(value) for value in vectors[1:] @ vectors[0] / np.maximum(norms[1:] * norms[0], 1e-300)]


def nearest(text: str, insights: Iterable[Insight], k: int, embed: Embed | None = None) -> list[Insight]:
    """The ``k`` insights nearest to a text, in the order they came; see :func:`cosines`."""
    pool = list(insights)
    scores = cosines(text, [insight_text(insight) for insight in pool], embed) if pool else []
    return [pool[number] for number in sorted(best_first(scores, k))]
