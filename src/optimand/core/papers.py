"""The catalogue of papers: what each one is about, whether it is implemented, and a search by meaning.

The entries stand in ``papers.toml`` beside this module. The search is TF-IDF (Salton and Buckley, 1988)
on two levels, words for the topic and character n-grams for inflections and spelling.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from .validation import OptimandError, UnknownNameError, check_int, suggest

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

Status = Literal["implemented", "partial", "planned"]
STATUSES: tuple[Status, ...] = ("implemented", "partial", "planned")

# Queries foreign to the catalogue stay below this score, through chance likeness of letters.
MIN_SCORE = 0.03


@dataclass(frozen=True)
class Paper:
    """A paper of the catalogue.

    Attributes:
        slug: the name that commands take.
        title: full title.
        year: year of the first arXiv version.
        arxiv: arXiv id without version, e.g. ``2302.06675``.
        first_author: name of the first author.
        authors: number of authors.
        venue: where it appeared, e.g. ``NeurIPS 2023``, or ``arXiv preprint``.
        room: part of the package where its methods belong; several are separated by commas.
        methods: names of the catalog's methods that come from it; empty while none is implemented.
        status: ``implemented``, ``partial`` (some of its methods) or ``planned`` (none yet).
        aliases: short names that :func:`get_paper` accepts besides the slug.
        keywords: terms by which people look for it.
        summary: one paragraph: the problem, the idea, what is claimed, for whom.
    """

    slug: str
    title: str
    year: int
    arxiv: str
    first_author: str
    authors: int
    venue: str
    room: str
    methods: tuple[str, ...]
    status: Status
    aliases: tuple[str, ...]
    keywords: tuple[str, ...]
    summary: str

    @property
    def url(self) -> str:
        """Address of the paper's arXiv page."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def byline(self) -> str:
        """First author, ``et al.`` where there are others, and the year."""
        return f"{self.first_author}{' et al.' if self.authors > 1 else ''} ({self.year})"

    def to_dict(self) -> dict[str, Any]:
        """All attributes and the address as plain lists, strings and integers, ready for JSON."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "url": self.url}


@functools.cache
def load_papers() -> tuple[Paper, ...]:
    """All papers in the order of the catalogue file.

    Example:
        >>> len(load_papers())
        29
    """
    text = resources.files(__package__).joinpath("papers.toml").read_text(encoding="utf-8")
    lists = ("methods", "aliases", "keywords")
    return tuple(
        Paper(**{**entry, **{key: tuple(entry[key]) for key in lists}}) for entry in tomllib.loads(text)["paper"]
    )


def get_paper(name: str) -> Paper:
    """The paper with this slug, alias or arXiv id; capitals and surrounding blanks do not matter.

    Raises:
        TypeError: ``name`` is not a string.
        UnknownNameError: there is none; the message suggests the nearest names.

    Example:
        >>> get_paper("lion").title
        'Symbolic Discovery of Optimization Algorithms'
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} ({type(name).__name__})")
    named, key = _names(), _key(name)
    if key not in named:
        raise UnknownNameError(f"unknown paper {name!r}{suggest(key, named)}; 'optimand papers' lists all")
    return named[key]


def _names() -> dict[str, Paper]:
    return {key: paper for paper in load_papers() for key in (paper.slug, *paper.aliases, paper.arxiv)}


def _key(name: str) -> str:
    """``name`` as :func:`_names` spells it."""
    return name.strip().lower().removeprefix("arxiv:")


def search_papers(query: str, limit: int = 10) -> list[tuple[Paper, float]]:
    """Papers that fit a query in plain words, best first.

    Args:
        query: words of any form, e.g. ``"low memory optimizer state"``; the slug, alias or arXiv id of
            a paper puts that paper first with score 1.
        limit: how many papers to return at most, 1 or more.

    Returns:
        Pairs of paper and score in (0, 1], falling; empty where nothing in the catalogue fits.

    Raises:
        TypeError: ``query`` is not a string, or ``limit`` not an integer.
        ValueError: ``limit`` is below 1.
        OptimandError: ``query`` holds no letter or digit.

    Example:
        >>> [paper.slug for paper, score in search_papers("batch size that grows", limit=1)]
        ['adadagrad']
    """
    if not isinstance(query, str):
        raise TypeError(f"query must be a string, got {query!r} ({type(query).__name__})")
    check_int("limit", limit, low=1)
    if not any(char.isalnum() for char in query):
        raise OptimandError(f"query must contain a word to search for, got {query!r}")
    named = _names().get(_key(query))
    scored = [(p, 1.0 if p is named else s) for p, s in zip(load_papers(), _index().scores(query), strict=True)]
    ranked = sorted(scored, key=lambda pair: -pair[1])
    return [(paper, min(score, 1.0)) for paper, score in ranked if score >= MIN_SCORE][:limit]


@dataclass(frozen=True)
class _Index:
    """TF-IDF vectors of all papers on words and on character n-grams."""

    words: TfidfVectorizer
    word_vectors: csr_matrix
    chars: TfidfVectorizer
    char_vectors: csr_matrix

    def scores(self, query: str) -> list[float]:
        """Mean of the two similarities of ``query`` to each paper, in the catalogue's order."""
        content = " ".join(_content_words(self.words, query))
        levels = ((self.words, self.word_vectors), (self.chars, self.char_vectors))
        by_level = [_similarities(vectorizer, vectors, content) for vectorizer, vectors in levels]
        return [sum(pair) / len(pair) for pair in zip(*by_level, strict=True)]


def _content_words(vectorizer: TfidfVectorizer, query: str) -> list[str]:
    """The words of ``query``, in lower case and without stop words."""
    return [term for term in vectorizer.build_analyzer()(query) if " " not in term]


def _similarities(vectorizer: TfidfVectorizer, vectors: csr_matrix, query: str) -> list[float]:
    """Cosine similarities, times the share of the query's terms that the catalogue knows.

    TF-IDF drops unknown terms before it normalizes, so that one common word among many unknown
    ones would otherwise count like a full match.
    """
    terms = [term for term in vectorizer.build_analyzer()(query) if " " not in term.strip()]
    known = sum(term in vectorizer.vocabulary_ for term in terms)
    cosines = (vectors @ vectorizer.transform([query]).T).toarray().ravel()
    return [float(cosine) * known / max(len(terms), 1) for cosine in cosines]


@functools.cache
def _index() -> _Index:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [
        " ".join((p.title, p.first_author, p.slug, *p.aliases, *p.keywords, p.summary, p.room)) for p in load_papers()
    ]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words="english")
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    return _Index(words, words.fit_transform(texts), chars, chars.fit_transform(texts))
