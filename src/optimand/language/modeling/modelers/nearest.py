"""The nearest known problem with its numbers and words exchanged: a baseline without a language model.

A text is compared with worked examples by TF-IDF; the formulation of the nearest is taken over, its numbers replaced by
those of the text in order, the words of its meanings by those that stand in their places.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from optimand.core.validation import OptimandError

from ..answers.ownership import Reader
from ..answers.tables import cell_at, cells
from ..answers.wording import Mention, mentions
from ..benchmarks.matching import words
from ..execution import Attempt, ModelingProblem, Sandbox, run_program
from ..formulations.expressions import Binary, Call, Negative, Node, Number, names, number_text, to_text
from ..formulations.formulation import Constraint, Formulation, FormulationError
from .modelers import finished
from .prompts import examples

# What as many numbers in both texts add to their cosine: only then do all numbers find their places.
FITTING = 0.3


@dataclass(frozen=True)
class Example:
    """A problem in words with its formal lines."""

    text: str
    formulation: Formulation


class NearestExample:
    """A solver that adapts the nearest worked example.

    Args:
        sandbox: runs the programs.
        known: worked examples; our own two are always among them. :meth:`learn` adds more.

    Example:
        >>> solver = NearestExample(None)
        >>> made = solver.formulate("A bowl takes 4 kg of clay and 1 hour; a jug 6 kg and 3 hours. They earn 7 and 9.")
        >>> [variable.name for variable in made.variables]
        ['bowls', 'jugs']
    """

    name = "nearest-example"

    def __init__(self, sandbox: Sandbox | None, known: Iterable[Example] = ()) -> None:
        self.sandbox = sandbox
        self._known = [Example(text, formulation) for text, formulation in examples()]
        self._index: _Index | None = None
        self._add(known)

    def _add(self, known: Iterable[Example]) -> None:
        self._known += list(known)
        self._index = None

    def learn(self, problems: Iterable[ModelingProblem]) -> None:
        """Keep the problems that come with formal lines."""
        self._add(Example(p.question, p.formulation) for p in problems if p.formulation is not None)

    def formulate(self, text: str) -> Formulation:
        """The nearest example's formulation, adapted to a text.

        Raises:
            OptimandError: the text is empty.
        """
        if not text.strip():
            raise OptimandError("the problem has no text")
        if self._index is None:
            self._index = _Index([example.text for example in self._known])
        return adapt(self._known[self._index.nearest(text)], text)

    def solve(self, problem: ModelingProblem | str) -> Attempt:
        """Adapt, run, done."""
        if self.sandbox is None:
            raise OptimandError("a sandbox is needed to run programs: NearestExample(open_sandbox())")
        try:
            formulation = self.formulate(problem if isinstance(problem, str) else problem.question)
        except FormulationError as error:
            return Attempt("", "", {}, "parse_error", error=str(error))
        code = formulation.program()
        return finished(code, run_program(code, self.sandbox), formulation=formulation)


class _Index:
    """TF-IDF vectors of texts without their numbers."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_terms(text) for text in texts]
        seen = Counter(term for count in counts for term in count)
        self._weight = {term: math.log((1 + len(texts)) / (1 + n)) + 1 for term, n in seen.items()}
        self._vectors = [self._vector(count) for count in counts]
        self._numbers = [len(_data(text)) for text in texts]

    def _vector(self, count: Mapping[str, int]) -> dict[str, float]:
        found = {term: n * self._weight[term] for term, n in count.items() if term in self._weight}
        norm = math.sqrt(sum(value * value for value in found.values())) or 1.0
        return {term: value / norm for term, value in found.items()}

    def nearest(self, text: str) -> int:
        """The index of the nearest text; those with as many numbers go first, and the first of equals."""
        vector, count = self._vector(_terms(text)), len(_data(text))
        scores = [
            sum(value * other.get(term, 0.0) for term, value in vector.items()) + (FITTING if numbers == count else 0.0)
            for other, numbers in zip(self._vectors, self._numbers, strict=True)
        ]
        return max(range(len(scores)), key=scores.__getitem__)


def _terms(text: str) -> Counter[str]:
    found = re.findall(r"[a-z]+", text.lower())
    return Counter([*found, *(f"{a} {b}" for a, b in itertools.pairwise(found))])


def adapt(example: Example, text: str) -> Formulation:
    """An example's formulation with the numbers and words of another text.

    Args:
        example: the worked example.
        text: the new problem; numbers are taken in order, and further ones are ignored.

    Example:
        >>> from optimand.language.modeling.formulations.formulation import Variable
        >>> known = Formulation((Variable("x", "number of pots"),), "maximize", "3*x", ("2*x <= 10",))
        >>> made = adapt(Example("A pot earns 3 and takes 2 of 10 kg.", known), "A mug earns 5 and takes 4 of 30 kg.")
        >>> made.objective, made.constraints[0].expression, made.variables[0].meaning
        ('5 * x', '4 * x <= 30', 'number of mugs')
    """
    change = _Numbers(example, _data(text))
    exchange = _exchanged_words(example.text, text)
    given = example.formulation
    variables = []
    for variable in given.variables:
        ends = {
            side: None if end is None or variable.kind == "binary" else change(end, (variable.name,))
            for side, end in (("low", variable.low), ("high", variable.high))
        }
        if variable.kind == "binary":
            ends = {"low": variable.low, "high": variable.high}
        variables.append(replace(variable, meaning=_reworded(variable.meaning, exchange), **ends))  # type: ignore[arg-type]
    constraints = []
    for relation in given.relations:
        changed = replace(relation, left=_renumbered(relation.left, change), right=_renumbered(relation.right, change))
        constraints.append(Constraint(str(changed)))
    objective = to_text(_renumbered(given.objective_node, change))
    return Formulation(tuple(variables), given.sense, objective, tuple(constraints))


def _data(text: str) -> list[Mention]:
    """The data in the order of reading; a table column by column, as sentences go through its goods property by
    property."""

    def order(mention: Mention) -> tuple[int, int, int]:
        cell = cell_at(text, mention.start)
        if cell is None:
            return mention.start, 0, 0
        first = next(other.start for other in cells(text) if other.place[0] == cell.place[0])
        return first, cell.place[2], cell.place[1]

    return sorted((mention for mention in mentions(text) if mention.data), key=order)


class _Numbers:
    """What a number of the old problem is in the new one: by its place among the text's numbers.

    Of equal numbers, one beside the variable that it multiplies goes first, then one that has not served.
    """

    def __init__(self, example: Example, new: list[Mention]) -> None:
        self.old, self.new = _data(example.text), new
        reader = Reader(example.formulation, example.text)
        self.owners = [reader.around(mention).owners for mention in self.old]
        self.used: Counter[int] = Counter()

    def __call__(self, value: float, variables: Iterable[str] = ()) -> float:
        found = [
            (not self.owners[place] & frozenset(variables), self.used[place], place, form)
            for place, mention in enumerate(self.old[: len(self.new)])
            for form, known in enumerate(mention.forms)
            if math.isclose(known, abs(value), rel_tol=1e-9, abs_tol=1e-12)
        ]
        if not found:
            return value
        _, _, place, form = min(found)
        self.used[place] += 1
        forms = self.new[place].forms
        return math.copysign(forms[form] if form < len(forms) else forms[0], value)


def _renumbered(node: Node, change: _Numbers) -> Node:
    if isinstance(node, Number):
        value = change(node.value)
        return Number(value, number_text(value))
    if isinstance(node, Negative):
        return Negative(_renumbered(node.of, change))
    if isinstance(node, Binary):
        if node.op == "*" and isinstance(node.left, Number):
            value = change(node.left.value, names(node.right))
            return Binary("*", Number(value, number_text(value)), _renumbered(node.right, change))
        right = node.right if node.op == "**" else _renumbered(node.right, change)
        return Binary(node.op, _renumbered(node.left, change), right)
    if isinstance(node, Call):
        return Call(node.function, tuple(_renumbered(arg, change) for arg in node.args))
    return node


def _tokens(text: str) -> list[str]:
    return ["#" if re.match(r"\d", token) else token for token in re.findall(r"\d[\d.,]*|[A-Za-z]+", text)]


def _exchanged_words(old: str, new: str) -> dict[str, str]:
    """Words of the old text and what stands in their place in the other."""
    before, after = _tokens(old), _tokens(new)
    votes: dict[str, Counter[str]] = {}
    for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag in ("replace", "equal") and b - a == d - c:
            for was, now in zip(before[a:b], after[c:d], strict=True):
                if "#" not in (was, now):
                    votes.setdefault(was.lower(), Counter())[now.lower()] += 1
    return {was: found.most_common(1)[0][0] for was, found in votes.items()}


def _reworded(meaning: str, exchange: Mapping[str, str]) -> str:
    def other(match: re.Match[str]) -> str:
        word = match.group()
        found = exchange.get(word.lower())
        if found is None and word.lower().endswith("s"):
            single = exchange.get(word.lower()[:-1])
            found = single + "s" if single and words(single) else None
        return found or word

    return re.sub(r"[A-Za-z]+", other, meaning)
