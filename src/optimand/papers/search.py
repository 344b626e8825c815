"""Search by meaning in a few texts: TF-IDF (Salton and Buckley, 1988) on two levels.

Words and pairs of words find the topic, runs of three to five letters inflections and spelling. The vectors are those
of scikit-learn's ``TfidfVectorizer`` (sublinear frequencies, smooth idf, unit length), which takes longer to import
than these few texts to search.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

STOP_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be been before being below between both
    but by can cannot could did do does doing down during each few for from further had has have having
    he her here hers him his how i if in into is it its itself just me more most my myself no nor not
    now of off on once only or other our ours out over own same she should so some such than that the
    their theirs them then there these they this those through to too under until up upon very was we
    were what when where which while who whom whose why will with without would yet you your yours
    """.split()  # noqa: SIM905
)


def words(text: str) -> list[str]:
    """The words of ``text`` in lower case, without stop words.

    Example:
        >>> words("The choice of a batch size")
        ['choice', 'batch', 'size']
    """
    return [word for word in re.findall(r"\b\w\w+\b", text.lower()) if word not in STOP_WORDS]


def word_terms(text: str) -> list[str]:
    """Words and pairs of neighbours."""
    single = words(text)
    return [*single, *(f"{a} {b}" for a, b in itertools.pairwise(single))]


def letter_terms(text: str) -> list[str]:
    """Runs of 3 to 5 letters within words, whose edges count as blanks; a shorter word is one run."""
    terms = []
    for word in text.lower().split():
        padded = f" {word} "
        for n in (3, 4, 5):
            terms += [padded[i : i + n] for i in range(max(len(padded) - n, 0) + 1)]
            if len(padded) <= n:
                break
    return terms


class _Level:
    """Unit vectors of the texts on one kind of terms."""

    def __init__(self, texts: Sequence[str], terms: Callable[[str], list[str]]) -> None:
        self.terms = terms
        counts = [Counter(terms(text)) for text in texts]
        documents = Counter(term for count in counts for term in count)
        self.idf = {term: math.log((1 + len(texts)) / (1 + n)) + 1 for term, n in documents.items()}
        self.vectors = [self._vector(count) for count in counts]

    def _vector(self, counts: Counter[str]) -> dict[str, float]:
        raw = {term: (1 + math.log(n)) * self.idf[term] for term, n in counts.items() if term in self.idf}
        length = math.sqrt(math.fsum(value * value for value in raw.values())) or 1.0
        return {term: value / length for term, value in raw.items()}

    def similarities(self, query: str) -> list[float]:
        """Cosines, times the share of the query's terms that the texts know.

        TF-IDF drops unknown terms before it normalizes, so that one common word among many unknown ones would
        otherwise count like a full match.
        """
        terms = self.terms(query)
        single = [term for term in terms if " " not in term.strip()]
        share = sum(term in self.idf for term in single) / max(len(single), 1)
        asked = self._vector(Counter(terms))
        return [share * sum(w * v.get(t, 0.0) for t, w in asked.items()) for v in self.vectors]


class Search:
    """Scores of texts for queries.

    Args:
        texts: what is searched.

    Example:
        >>> scores = Search(["sparse linear systems", "bandits with many arms"]).scores("an arm of a bandit")
        >>> scores[0] < 0.1 < scores[1]
        True
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._levels = [_Level(texts, terms) for terms in (word_terms, letter_terms)]

    def scores(self, query: str) -> list[float]:
        """The mean of both levels' similarities of ``query`` to each text, in [0, 1]."""
        content = " ".join(words(query))
        return [sum(pair) / 2 for pair in zip(*(level.similarities(content) for level in self._levels), strict=True)]
