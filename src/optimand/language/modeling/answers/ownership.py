"""Whose a number is, and what of: the variables and the other words that a text names beside it.

A number in a table belongs to what its row and its column name; one in a sentence to what its clause names, told apart
by the words that open the sentence, or else to what the clause before names. Where numbers are listed apart from their
owners ("cost 3, 4 and 5 respectively") nothing is concluded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..benchmarks.matching import words
from ..formulations.expressions import Binary, Call, Name, Negative, Node, Number, names, walk
from ..formulations.formulation import Formulation
from .tables import Cell, cell_at, cells
from .wording import Mention

_SENTENCE = re.compile(r"(?:[^.;!?\n]|(?<=\d)\.(?=\d))+")
_CLAUSE = re.compile(r"(?:(?!,\s|:\s|\sand\s|\swhile\s|\swhereas\s|\sbut\s|\sor\s).)+", re.DOTALL)
_DULL = words(
    "number amount quantity total unit units piece pieces made make produced used use uses need needs take takes cost "
    "costs count more most least no not than up can be had must only there available limit maximum minimum it he she "
    "they one two three also so at any all day week month year per cent percent given stock must hold this"
)


_TIMES = words("day week month year hour minute")


@dataclass(frozen=True)
class Surroundings:
    """What a text says beside a number.

    Attributes:
        owners: variables it may belong to; empty where that is not told.
        about: words of its clause, its sentence's opening or its column that name no variable.
        beside: the owners are named in its own clause or cell, not in one before.
    """

    owners: frozenset[str]
    about: frozenset[str]
    beside: bool = False


class Reader:
    """Reads what stands beside the numbers of a text.

    Args:
        formulation: its variables' names and meanings are looked for.
        text: the problem.
    """

    def __init__(self, formulation: Formulation, text: str) -> None:
        # An aside without a number ("for both teams") is no owner; what it takes up stays, so that positions hold.
        self.text = re.sub(r"\([^()\d|]*\)", lambda match: " " * len(match.group()), text)
        own = {v.name: words(f"{v.name} {v.meaning}") for v in formulation.variables}
        counts = Counter(word for found in own.values() for word in found)
        every = len(own)
        # A word that all variables share tells nothing; with one variable its words do.
        self.keys = {
            name: frozenset(w for w in found if (counts[w] < every or every == 1) and len(w) > 1 and w not in _TIMES)
            for name, found in own.items()
        }
        self._named = frozenset(word for found in own.values() for word in found)

    def around(self, mention: Mention) -> Surroundings:
        """What stands beside a number."""
        cell = cell_at(self.text, mention.start)
        if cell is not None:
            owners = self._best(words(cell.row))
            if all(self._best(words(heading)) for heading in self._headings(cell)):
                owners = self._best(words(cell.row) | words(cell.column))  # a table of pairs
            return Surroundings(owners, self._rest(words(cell.column)), True)
        sentence = next((s for s in _SENTENCE.finditer(self.text) if s.start() <= mention.start < s.end()), None)
        clauses = list(_CLAUSE.finditer(sentence.group())) if sentence else []
        place = mention.start - (sentence.start() if sentence else 0)
        index = next((i for i, c in enumerate(clauses) if c.start() <= place < c.end()), None)
        if index is None:
            return Surroundings(frozenset(), frozenset())
        opening = clauses[0].group() if index else ""
        about = self._rest(words(clauses[index].group())) | self._rest(words(opening))
        if _is_listing([c.group() for c in clauses], self.keys):
            return Surroundings(frozenset(), about)
        owners = self._best(words(clauses[index].group()))
        beside = bool(owners)
        if len(owners) > 1:
            # "As to the haul to Leeds, York has 4": of common words only names are sure to be meant.
            proper = " ".join(re.findall(r"(?<=\s)[A-Z]\w+", opening))
            owners = self._best(words(proper), owners)
        for before in reversed(clauses[:index]):
            if owners:
                break
            owners = self._best(words(before.group()))
        return Surroundings(owners, about, beside)

    def in_line_of(self, mention: Mention, variables: frozenset[str]) -> bool:
        """Whether a number stands in a table's row that names these variables and no others."""
        cell = cell_at(self.text, mention.start)
        return cell is not None and self._best(words(cell.row)) == variables

    def _headings(self, cell: Cell) -> set[str]:
        return {other.column for other in cells(self.text) if other.place[0] == cell.place[0]}

    def _best(self, said: frozenset[str], among: frozenset[str] | None = None) -> frozenset[str]:
        """The variables of which most words are said; all of ``among`` where none is."""
        score = {name: len(own & said) for name, own in self.keys.items() if among is None or name in among}
        most = max(score.values(), default=0)
        if not most:
            return among or frozenset()
        return frozenset(name for name, found in score.items() if found == most)

    def _rest(self, said: frozenset[str]) -> frozenset[str]:
        return frozenset(w for w in said - self._named - _DULL if len(w) > 1 and not w[0].isdigit())


def _is_listing(clauses: Sequence[str], keys: Mapping[str, frozenset[str]]) -> bool:
    """Whether a sentence lists owners in some clauses and numbers in others."""
    if any(re.search(r"\brespectively\b", clause) for clause in clauses):
        return True
    named = [any(own & words(clause) for own in keys.values()) for clause in clauses]
    numbered = [re.search(r"\d", clause) is not None for clause in clauses]
    bare = [
        n and not name and len(re.findall(r"[A-Za-z]{2,}", clause)) <= 1
        for n, name, clause in zip(numbered, named, clauses, strict=True)
    ]
    return any(bare) and any(name and not n for n, name in zip(numbered, named, strict=True))


Term = tuple[frozenset[str], float]


def stated_rows(formulation: Formulation) -> list[list[Term]]:
    """The terms of the objective and of each constraint as they are written: a number and the variables it multiplies.

    The sides of a division and the arguments of a function count as rows of their own. A term with several numbers is
    left out: their product may be no number of the text, or another.

    Example:
        >>> from optimand.language.modeling.formulations.formulation import Variable
        >>> f = Formulation((Variable("x"), Variable("y")), "minimize", "4*x + 2*3*y", ("x*y*5 <= 9",))
        >>> [[(sorted(names), value) for names, value in row] for row in stated_rows(f)]
        [[(['x'], 4.0)], [(['x', 'y'], 5.0), ([], 9.0)]]
    """
    found: list[list[Term]] = []
    for sides in ([formulation.objective_node], *([r.left, r.right] for r in formulation.relations)):
        row: list[Term] = []
        found.append(row)
        for side in sides:
            _collect(side, row, found)
        if len(sides) == 1:
            row[:] = [term for term in row if term[0]]  # a constant of the objective is no limit
    return [row for row in found if row]


def _collect(node: Node, row: list[Term], rows: list[list[Term]]) -> None:
    """Put the terms of a sum into ``row``, and what stands below divisions and functions into rows of their own."""
    if isinstance(node, Negative):
        _collect(node.of, row, rows)
    elif isinstance(node, Binary) and node.op in "+-":
        _collect(node.left, row, rows)
        _collect(node.right, row, rows)
    elif isinstance(node, Number):
        row.append((frozenset(), node.value))
    elif isinstance(node, Name):
        row.append((frozenset({node.name}), 1.0))
    elif isinstance(node, Binary) and node.op == "*":
        parts = list(walk(node))
        given = [part.value for part in parts if isinstance(part, Number)]
        if not given and not any(isinstance(part, Call) or getattr(part, "op", "*") != "*" for part in parts):
            row.append((frozenset(names(node)), 1.0))
        elif all(isinstance(part, Number | Name) or (isinstance(part, Binary) and part.op == "*") for part in parts):
            if len(given) == 1:
                row.append((frozenset(names(node)), given[0]))
        else:
            _apart((node.left, node.right), rows)
    elif isinstance(node, Binary) and node.op == "/":
        _apart((node.left, node.right), rows)
    elif isinstance(node, Call):
        _apart(node.args, rows)


def _apart(nodes: Sequence[Node], rows: list[list[Term]]) -> None:
    for node in nodes:
        if isinstance(node, Number | Name):
            continue
        row: list[Term] = []
        rows.append(row)
        _collect(node, row, rows)
        row[:] = [term for term in row if term[0]]
