"""What a template makes: facts, rules and a goal, kept apart so that one problem gives sentences, table and lines.

A number is written once in either rendering, from one place, so the versions with and without a table hold the same
numbers by construction.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from optimand.language.modeling.formulations.formulation import Constraint, Formulation, Variable

from .scenarios import PREFIXES, Scenario, Section

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")


def written(value: float) -> str:
    """A number as it stands in a text: no exponent, no needless decimals.

    Example:
        >>> written(3.0), written(0.25)
        ('3', '0.25')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}".rstrip("0")


def numbers_in(text: str) -> Counter[float]:
    """The numbers in a text with how often each stands there; separators of thousands are understood.

    Example:
        >>> sorted(numbers_in("$1,200 for 3 desks, 0.5 m each").items())
        [(0.5, 1), (3.0, 1), (1200.0, 1)]
    """
    return Counter(float(found.replace(",", "")) for found in _NUMBER.findall(text))


def joined(parts: Sequence[str], word: str = "and") -> str:
    """A list in words.

    Example:
        >>> joined(["rye", "oats", "peas"])
        'rye, oats and peas'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def amount(number: float, unit: str, name: str) -> str:
    """So much of something in words; what is counted in pieces needs no unit.

    Example:
        >>> amount(40, "kg", "flour"), amount(40, "pieces", "corks")
        ('40 kg of flour', '40 corks')
    """
    return f"{written(number)} {name}" if unit == "pieces" else f"{written(number)} {unit} of {name}"


def with_articles(text: str) -> str:
    """The text with *an* for *a* before a vowel.

    Example:
        >>> with_articles("A airport near a Epworth orchard, a union")
        'An airport near an Epworth orchard, a union'
    """
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|one\b|eu)", r"\1n ", text, flags=re.IGNORECASE)


def identifier(*words: str) -> str:
    """An identifier made of words.

    Example:
        >>> identifier("sea salt", "bars")
        'sea_salt_bars'
    """
    plain = re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower().replace("é", "e").replace("'", "")).strip("_")
    return plain if plain.isidentifier() else f"n_{plain}"


@dataclass(frozen=True)
class Column:
    """One kind of number: its name, the sign before each number, and the unit, which is named once."""

    label: str
    before: str = ""
    unit: str = ""

    @property
    def title(self) -> str:
        """The name with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def cell(self, value: float) -> str:
        """The number with its sign; money that is not whole has its cents."""
        whole = self.before != "$" or float(value).is_integer()
        return f"{self.before}{written(value) if whole else f'{value:.2f}'}"


@dataclass(frozen=True)
class Facts:
    """A block of numbers: a row for each thing, a column for each property.

    Attributes:
        head: what the rows are.
        rows: their names.
        columns: the properties.
        values: ``values[row][column]``.
    """

    head: str
    rows: Sequence[str]
    columns: Sequence[Column]
    values: Sequence[Sequence[float]]

    def sentences(self, style: int) -> str:
        """All numbers in sentences, one for each column; ``style`` is 0, 1 or 2."""
        start, link = (("The {} is ", "{1} for {0}"), ("As to the {}, ", "{0} has {1}"), ("By {}: ", "{0} {1}"))[style]
        return " ".join(
            start.format(column.title)
            + joined([link.format(row, column.cell(vs[j])) for row, vs in zip(self.rows, self.values, strict=True)])
            + "."
            for j, column in enumerate(self.columns)
        )

    def table(self) -> str:
        """The numbers as a table with bars."""
        lines = [f"| {self.head} | " + " | ".join(column.title for column in self.columns) + " |"]
        lines.append("|" + " --- |" * (len(self.columns) + 1))
        for row, vs in zip(self.rows, self.values, strict=True):
            cells = [column.cell(v) for column, v in zip(self.columns, vs, strict=True)]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Rule:
    """A constraint in words, with its formal relations."""

    text: str
    relations: tuple[str, ...]


@dataclass
class ProblemSpec:
    """A problem before it is rendered.

    Attributes:
        intro: who has to decide what.
        facts: the numbers that can stand in a table.
        goal: the last sentence, which says what is wanted.
        variables, sense, objective: of the formulation.
        target: what the objective is called.
        rules: the constraints; at least one, at most five.
        exact: the optimal value in closed form, where the template knows it.
        point: the optimum to that value.
        unique: whether it is the only one.
    """

    intro: str
    facts: list[Facts]
    goal: str
    variables: tuple[Variable, ...]
    sense: Literal["maximize", "minimize"]
    objective: str
    target: str
    rules: list[Rule]
    exact: float | None = None
    point: dict[str, float] = field(default_factory=dict)
    unique: bool = True

    def __post_init__(self) -> None:
        self.intro, self.goal = with_articles(self.intro), with_articles(self.goal)

    def formulation(self) -> Formulation:
        """The formal problem."""
        rules = [Constraint(relation, rule.text) for rule in self.rules for relation in rule.relations]
        return Formulation(self.variables, self.sense, self.objective, tuple(rules))

    def question(self, rng: np.random.Generator, *, table: bool) -> str:
        """The problem in words; ``rng`` chooses between orders, the numbers stay."""
        style = int(rng.integers(3))
        goal_first = bool(rng.integers(2))
        lead = rng.choice(["The data are:", "The figures are as follows:", "See the table:", "What is known:"])
        if table:
            body = "\n\n".join([str(lead), *(facts.table() for facts in self.facts)]) + "\n\n"
        else:
            body = " ".join(facts.sentences(style) for facts in self.facts) + " "
        rules = " ".join(rule.text for rule in self.rules)
        if goal_first:
            return f"{self.intro} {self.goal} {body}{rules}".strip()
        return f"{self.intro} {body}{rules} {self.goal}".strip()

    def scenario(self) -> Scenario:
        """The problem as a demonstration, whose formal lines read back to the same formulation."""
        declared = tuple(
            json.dumps(
                {
                    v.meaning: v.name,
                    "range": f"{v.name} = 0 or 1" if v.kind == "binary" else f"{v.name} >= {written(v.low or 0.0)}",
                    "type": v.kind,
                }
            )
            for v in self.variables
        )
        told = " ".join([self.goal, *(facts.sentences(0) for facts in self.facts)])
        verb = "Maximize" if self.sense == "maximize" else "Minimize"
        sections = [
            Section(PREFIXES[0], self.intro, declared),
            Section(PREFIXES[1], told, (f"{verb} {self.objective}",)),
        ]
        for k, rule in enumerate(self.rules):
            sections.append(Section(PREFIXES[2 + k], rule.text, rule.relations))
        return Scenario(tuple(sections))
