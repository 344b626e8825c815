"""The library of experience: insights with their taxonomy, found by label or by words, saved byte for byte alike.

Part of AlphaOPT (arXiv 2510.18428). Beyond the authors' list of insights: an index instead of scans, versions and
lineage, pinned insights (rules of a company, say) that learning leaves alone, validation that names the insight,
proposals for a person to accept or to reject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_choice, check_int

from .indexes import Embed, TextIndex, TripleIndex, best_first, cosines, insight_text
from .insights import STAGES, Insight, InsightError, Triple
from .taxonomy import DEFAULT, Taxonomy, TaxonomyError

if TYPE_CHECKING:
    from .comparison import LibraryDiff
    from .review import Proposal


class ExperienceLibrary:
    """Insights and the taxonomy they are filed under.

    Args:
        taxonomy: ``or-default``, a file, or a :class:`Taxonomy`.
        insights: to begin with.

    Raises:
        TaxonomyError: an insight has a label that the taxonomy lacks.
        InsightError: two insights have the same id.

    Example:
        >>> library = ExperienceLibrary()
        >>> lesson = Insight(
        ...     {"General Formulation": {"Variable Definition": ["Continuous vs. Discrete Confusion"]}},
        ...     "This insight applies when things are counted, such as trucks.",
        ...     "When the problem involves counted things, the best practice is integer variables.",
        ... )
        >>> library.add(lesson).insight_id
        1
        >>> [found.insight_id for found in library.retrieve(text="how many trucks", k=3)]
        [1]
    """

    def __init__(self, taxonomy: str | Path | Taxonomy = DEFAULT, insights: Iterable[Insight] = ()) -> None:
        self.taxonomy = taxonomy if isinstance(taxonomy, Taxonomy) else Taxonomy.load(taxonomy)
        self._insights: dict[int, Insight] = {}
        self._index = TripleIndex()
        self._text: tuple[list[int], TextIndex] | None = None
        self.next_id = 1
        self.retired: dict[int, tuple[int, ...]] = {}
        self.pending: list[Proposal] = []
        for insight in insights:
            self.add(insight)

    # what is there

    def __len__(self) -> int:
        return len(self._insights)

    def __iter__(self) -> Iterator[Insight]:
        return iter(self.insights)

    def __contains__(self, insight_id: object) -> bool:
        return insight_id in self._insights

    def __getitem__(self, insight_id: int) -> Insight:
        if insight_id not in self._insights:
            gone = self.retired.get(insight_id)
            became = f"; it was replaced by {', '.join(map(str, gone))}" if gone else ""
            raise InsightError(f"no insight {insight_id!r} in a library of {len(self)}{became}")
        return self._insights[insight_id]

    @property
    def insights(self) -> tuple[Insight, ...]:
        """All insights, by id."""
        return tuple(self._insights[number] for number in sorted(self._insights))

    def counts(self) -> dict[str, int]:
        """Number of insights in each stage."""
        return {stage: sum(insight.stage == stage for insight in self) for stage in STAGES}

    @property
    def triples(self) -> dict[Triple, int]:
        """Labels in use, as the insights write them, each with its number of insights."""
        found: dict[Triple, int] = {}
        for insight in self:
            for triple in insight.triples:
                found[triple] = found.get(triple, 0) + 1
        return found

    def copy(self) -> ExperienceLibrary:
        """Another library with the same contents, which can be changed apart from this one."""
        twin = ExperienceLibrary(self.taxonomy.copy())
        twin._insights = dict(self._insights)
        for insight in twin:
            twin._index.add(insight)
        twin.next_id, twin.retired, twin.pending = self.next_id, dict(self.retired), list(self.pending)
        return twin

    def become(self, other: ExperienceLibrary) -> None:
        """Take over the contents of another library."""
        twin = other.copy()
        self.taxonomy, self._insights, self._index = twin.taxonomy, twin._insights, twin._index
        self.next_id, self.retired, self.pending, self._text = twin.next_id, twin.retired, twin.pending, None

    # changes

    def add(self, insight: Insight, definitions: Mapping[Triple, Mapping[str, str] | None] | None = None) -> Insight:
        """Put an insight in, with the next id if it has none.

        Args:
            insight: its labels must be in the taxonomy or in ``definitions``.
            definitions: definition and condition of labels that the taxonomy lacks; others are ignored.

        Returns:
            The insight as it is kept.

        Raises:
            TaxonomyError: an unknown label without definition and condition.
            InsightError: the id is taken.
        """
        if not isinstance(insight, Insight):
            raise TypeError(f"insight must be an Insight, got {insight!r:.60} ({type(insight).__name__})")
        if insight.insight_id in self._insights:
            raise InsightError(f"{insight.name} is there already; ids are given once")
        mine = {triple: (definitions or {}).get(triple) for triple in insight.triples}
        try:
            self.taxonomy.update(mine)
        except TaxonomyError as error:
            raise TaxonomyError(f"{insight.name}: {error}") from None
        if insight.insight_id is None:
            insight = replace(insight, insight_id=self.next_id)
        assert insight.insight_id is not None
        self._put(insight)
        return insight

    def _put(self, insight: Insight) -> None:
        assert insight.insight_id is not None
        self._insights[insight.insight_id] = insight
        self._index.add(insight)
        self.next_id = max(self.next_id, insight.insight_id + 1)
        self._text = None

    def replace(self, insight: Insight, *, force: bool = False) -> None:
        """Put another version of an insight in the place of the one with its id.

        Raises:
            InsightError: no insight has that id; or it is pinned, its texts or labels would change, and ``force`` is
            off.
        """
        old = self[insight.insight_id]  # type: ignore[index]
        texts = ("taxonomy", "condition", "explanation", "example", "pinned")
        if old.pinned and not force and any(getattr(old, part) != getattr(insight, part) for part in texts):
            raise InsightError(f"{old.name} is pinned and is not rewritten; unpin it first")
        for triple in insight.triples:
            if triple not in self.taxonomy:
                raise TaxonomyError(f"{insight.name}: no label {' / '.join(triple)}{self.taxonomy.hint(triple)}")
        self._index.remove(old)
        self._put(insight)

    def remove(self, ids: Iterable[int], *, into: Sequence[int] = (), force: bool = False) -> None:
        """Take insights out.

        Args:
            ids: which.
            into: ids of what replaces them, for the lineage.
            force: pinned ones too.

        Raises:
            InsightError: no such insight, or it is pinned; then none is taken out.
        """
        gone = [self[number] for number in ids]
        for insight in gone:
            if insight.pinned and not force:
                raise InsightError(f"{insight.name} is pinned and is not removed; unpin it first")
        for insight in gone:
            assert insight.insight_id is not None
            self._index.remove(insight)
            del self._insights[insight.insight_id]
            self.retired[insight.insight_id] = tuple(into)
        self._text = None

    def pin(self, insight_id: int, pinned: bool = True) -> None:
        """Keep learning from merging, rewriting and removing an insight, or allow it again."""
        self.replace(replace(self[insight_id], pinned=pinned), force=True)

    # search

    def retrieve(
        self,
        *,
        taxonomy: Any = None,
        text: str | None = None,
        k: int | None = None,
        stages: Iterable[str] = STAGES,
        embed: Embed | None = None,
    ) -> list[Insight]:
        """Insights by label, by words, or both.

        Args:
            taxonomy: ``{stage: {level1: [level2, ...]}}`` or triples: those that share at least one label.
            text: rank by nearness to this text.
            k: at most so many.
            stages: only of these stages.
            embed: texts to vectors; nearness is then the cosine of these, else of TF-IDF.

        Returns:
            By id, or with ``text`` nearest first.

        Example:
            >>> ExperienceLibrary().retrieve(taxonomy={"Domain Modeling": {"Routing": ["Flow Conservation"]}})
            []
        """
        if k is not None:
            check_int("k", k, low=1)
        wanted = {check_choice("stages", stage, STAGES) for stage in stages}
        ids = self._index.find(taxonomy) if taxonomy is not None else sorted(self._insights)
        found = [self._insights[number] for number in ids]
        if len(wanted) < len(STAGES):
            found = [insight for insight in found if insight.stage in wanted]
        if text is None or not found:
            return found[:k]
        if embed is not None:
            near = cosines(text, [insight_text(insight) for insight in found], embed)
        else:
            if self._text is None:
                numbers = sorted(self._insights)
                self._text = numbers, TextIndex([insight_text(self._insights[number]) for number in numbers])
            score = dict(zip(self._text[0], self._text[1].scores(text), strict=True))
            near = [score[insight.insight_id] for insight in found]  # type: ignore[index]
        return [found[number] for number in best_first(near, k)]

    # comparison; see comparison

    def diff(self, other: ExperienceLibrary) -> LibraryDiff:
        """What ``other`` has otherwise."""
        from .comparison import diff

        return diff(self, other)

    def merge(self, other: ExperienceLibrary) -> list[Insight]:
        """Add another library's insights under ids of this one; those with the same texts are here already.

        Returns:
            The insights added.
        """
        from .comparison import merge

        return merge(self, other)

    def validate(self, tasks: Iterable[Any] | None = None) -> list[str]:
        """What is wrong or doubtful, a sentence each; empty when nothing is.

        Args:
            tasks: known tasks; with them, sources are looked up and texts searched for their answers.
        """
        from .comparison import faults

        return faults(self, tasks)

    # a person's part

    def review(self) -> Iterator[Proposal]:
        """Changes for a person to decide on: what learning proposed, then what the statistics suggest.

        Give each to :meth:`accept` or :meth:`reject`.
        """
        from .review import suggestions

        yield from tuple(self.pending)
        yield from suggestions(self)

    def accept(self, proposal: Proposal) -> None:
        """Make a proposed change.

        Raises:
            OptimandError: the proposal is only a hint and holds no change, it touches a pinned insight, or an insight
            that it is about is not any more what it was.
        """
        from .review import apply

        apply(self, proposal)
        self.reject(proposal)

    def reject(self, proposal: Proposal) -> None:
        """Drop a proposal."""
        self.pending = [other for other in self.pending if other != proposal]

    # files; see library_files

    def to_dict(self) -> dict[str, Any]:
        """Plain data with the version of the form."""
        from .library_files import library_to_dict

        return library_to_dict(self)

    def dumps(self) -> str:
        """The JSON text that :meth:`save` writes."""
        from .library_files import to_json

        return to_json(self)

    def save(self, path: str | Path) -> None:
        """Write to a ``.json`` file, or ``.toml`` to edit by hand; reading and writing again gives the same bytes."""
        from .library_files import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, taxonomy: str | Path | Taxonomy | None = None) -> ExperienceLibrary:
        """Read a file that :meth:`save` wrote, or the authors' released list of insights.

        Args:
            path: ``.json`` or ``.toml``.
            taxonomy: for the released list; by default the taxonomy beside it, else ``or-default``.

        Raises:
            OptimandError: what is wrong with the file; errors in an insight name it.
        """
        from .library_files import load

        return load(Path(path), taxonomy)

    def to_markdown(self) -> str:
        """A page to read, in Markdown."""
        from .rendering import to_markdown

        return to_markdown(self)

    def to_html(self) -> str:
        """A page to read, in HTML, without scripts or links outside."""
        from .rendering import to_html

        return to_html(self)
