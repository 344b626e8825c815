"""The catalogue of papers: what each one is about, whether it is implemented, its claims, and a search by meaning.

A paper is a folder with ``paper.toml``, and where something is implemented ``claims.py``, whose ``CLAIMS`` are its
claims. This package's papers lie beside this module; a plugin's in the folder ``papers`` of its package.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core import catalog, index
from ..core.validation import OptimandError, UnknownNameError, check_int, suggest
from .search import Search

if TYPE_CHECKING:
    from ..core.claims import Claim

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
        guide: the page of the documentation on it, such as ``bilevel.md``; empty where there is none.
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
    guide: str = ""

    @property
    def url(self) -> str:
        """Address of the paper's arXiv page."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def byline(self) -> str:
        """First author, ``et al.`` where there are others, and the year."""
        return f"{self.first_author}{' et al.' if self.authors > 1 else ''} ({self.year})"

    @property
    def short_name(self) -> str:
        """What one types: the slug if it is one word, else the first alias."""
        return (*self.aliases, self.slug)[0] if "-" in self.slug else self.slug

    def to_dict(self) -> dict[str, Any]:
        """All attributes and the address as plain lists, strings and integers, ready for JSON."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "url": self.url}


@functools.cache
def load_papers(plugins: bool = True) -> tuple[Paper, ...]:
    """All papers, by slug; those of this package only, without ``plugins``.

    Example:
        >>> len(load_papers())
        29
    """
    methods: dict[str, list[str]] = {}
    for method in catalog.methods().listed().values():
        methods.setdefault(method.facts.get("paper", ""), []).append(method.name)
    found = {}
    for slug, file in _files(plugins).items():
        entry = tomllib.loads(file.read_text(encoding="utf-8"))
        lists = {key: tuple(entry[key]) for key in ("aliases", "keywords")}
        found[slug] = Paper(**{**entry, **lists, "slug": slug, "methods": tuple(methods.get(slug, ()))})
    return tuple(found[slug] for slug in sorted(found))


def _files(plugins: bool = True) -> dict[str, Path]:
    """Each paper's ``paper.toml`` by slug; a slug that this package has, no plugin can take."""
    places = []
    for entry_point in importlib.metadata.entry_points(group=catalog.ENTRY_POINT_GROUP) if plugins else ():
        spec = importlib.util.find_spec(entry_point.module.partition(".")[0])
        places += [Path(place) / "papers" for place in (spec and spec.submodule_search_locations) or ()]
    places.append(Path(__file__).parent)
    return {file.parent.name.replace("_", "-"): file for place in places for file in place.glob("*/paper.toml")}


def claims(slug: str) -> list[Claim]:
    """The claims of a paper, in the order of its ``claims.py``; none where it has none.

    Args:
        slug: the paper's slug.

    Example:
        >>> claims("exadam")[0].name
        'same-lr'
    """
    entry = _files().get(slug)
    if entry is not None and (file := entry.with_name("claims.py")).exists():
        package = "optimand" if file.parents[1] == Path(__file__).parent else file.parents[2].name
        return list(importlib.import_module(f"{package}.papers.{file.parent.name}.claims").CLAIMS)
    return []


def listed_claims() -> dict[str, list[tuple[str, str, bool]]]:
    """By paper, each claim's name, its sentence and whether it can be checked: from the index, and plugins' papers."""
    known: dict[str, list[tuple[str, str, bool]]] = dict(index.read().get("claims", {}))
    for slug in _files():
        if slug not in known and (found := claims(slug)):
            known[slug] = [(claim.name, claim.sentence, claim.check is not None) for claim in found]
    return {slug: known[slug] for slug in sorted(known)}


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
    """``name`` as :func:`_names` spells it; a folder's name serves as well."""
    return name.strip().lower().removeprefix("arxiv:").replace("_", "-")


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
    scored = [(p, 1.0 if p is named else s) for p, s in zip(load_papers(), _search().scores(query), strict=True)]
    ranked = sorted(scored, key=lambda pair: -pair[1])
    return [(paper, min(score, 1.0)) for paper, score in ranked if score >= MIN_SCORE][:limit]


@functools.cache
def _search() -> Search:
    return Search(
        [" ".join((p.title, p.first_author, p.slug, *p.aliases, *p.keywords, p.summary, p.room)) for p in load_papers()]
    )
