"""Worded problems from templates: any number of verified pairs of question and program, without a model.

Reference: arXiv 2407.09887 for the four types and the formal lines; the templates are ours. Each item is a function of
the seed, its type and its index. Its optimum is recorded from HiGHS (linear), from all points (whole numbers) or from a
closed form (fences, budgets), and its program is SCIP's, so that running the program is a second solve.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import check_choice, check_int
from optimand.language.modeling.execution import TYPES, ModelingProblem
from optimand.language.modeling.formulations.formulation import Formulation

from .optima import Optimum, find_optimum
from .problem_specs import ProblemSpec
from .scenarios import Scenario
from .vocabulary import VocabularySampler

if TYPE_CHECKING:
    from optimand.language.modeling.execution import Sandbox

TOLERANCE = 1e-6  # relative, between the solvers
_ATTEMPTS = 8


@dataclass(frozen=True)
class TemplateItem:
    """One problem with its answer.

    Attributes:
        id: names it: seed, type and index.
        type: ``linear-notable``, ``linear-table``, ``nonlinear-notable`` or ``nonlinear-table``.
        template: the template's name.
        plain, table: the question in sentences, and with a table; the same numbers stand in both.
        formulation: the formal problem.
        scenario: the same as a demonstration of the synthesis.
        objective: the optimal value.
        values: an optimal point by variable.
        unique: whether no other point is optimal; else only the objective is asked for.
        target: what the objective is called.
    """

    id: str
    type: str
    template: str
    plain: str
    table: str
    formulation: Formulation
    scenario: Scenario
    objective: float
    values: Mapping[str, float]
    unique: bool
    target: str
    _cache: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def question(self) -> str:
        """The question of the item's type."""
        return self.table if self.type.endswith("-table") else self.plain

    @property
    def code(self) -> str:
        """A PySCIPOpt program that solves it and prints the result."""
        if "code" not in self._cache:
            self._cache["code"] = self.formulation.program()
        return self._cache["code"]

    @property
    def asks(self) -> dict[str, str]:
        """For each query the variable, or ``objective``."""
        queries = {}
        if self.unique:
            for v in self.formulation.variables:
                queries[f"W{v.meaning[1:]}" if v.kind == "binary" else f"The {v.meaning}"] = v.name
        return {**queries, f"The {self.target[0].lower()}{self.target[1:]}": "objective"}

    @property
    def answers(self) -> dict[str, float]:
        """The true number for each query."""
        found = {**self.values, "objective": self.objective}
        return {query: found[name] for query, name in self.asks.items()}

    @property
    def problem(self) -> ModelingProblem:
        """As a problem of the benchmark's form."""
        return ModelingProblem(self.id, self.question, self.type, self.answers, self.formulation, self.asks)

    def verify(self, sandbox: Sandbox) -> bool:
        """Whether the program, run in a sandbox, ends optimal with the recorded objective at a feasible point."""
        from optimand.language.modeling.execution import run_program

        ran = run_program(self.code, sandbox)
        if ran.status != "optimal" or "objective" not in ran.values:
            return False
        point = {v.name: ran.values[v.name] for v in self.formulation.variables if v.name in ran.values}
        if len(point) < len(self.formulation.variables) or not self.formulation.check(point, tol=1e-5).feasible:
            return False
        return abs(ran.values["objective"] - self.objective) <= TOLERANCE * max(1.0, abs(self.objective))


class TemplateGenerator:
    """Problems from templates.

    Args:
        seed: >= 0; the same seed gives the same items, whichever were made before.

    Example:
        >>> item = TemplateGenerator(0).item(3, type="linear-table")
        >>> item.type, item.formulation.kind, item.formulation.check(item.values).feasible
        ('linear-table', 'linear', True)
        >>> item == TemplateGenerator(0).item(3, type="linear-table")
        True
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = check_int("seed", seed, low=0)

    def item(self, index: int, type: str = "linear-notable") -> TemplateItem:
        """The item of an index.

        Args:
            index: >= 0; templates take turns.
            type: one of the benchmark's four types.

        Raises:
            ValueError: an index below 0 or an unknown type.
        """
        check_int("index", index, low=0)
        check_choice("type", type, TYPES)
        from .linear_plans import PLANS
        from .linear_templates import MIXES
        from .nonlinear_shapes import SHAPES
        from .nonlinear_templates import WHOLE

        linear = type.startswith("linear")
        templates: Mapping[str, Any] = {**MIXES, **PLANS} if linear else {**WHOLE, **SHAPES}
        names = list(templates)
        # Both types of a kind take subjects from one sequence, so that a set of both has no subject twice in a row.
        turn, which = divmod(index, len(names))
        turn = 2 * turn + type.endswith("-table")
        name = names[which]
        found: tuple[ProblemSpec, Optimum] | None = None
        for attempt in itertools.count():  # a specification without a feasible point is rare, one after another rarer
            rng = np.random.default_rng([self.seed, TYPES.index(type), index, attempt])
            spec = templates[name](VocabularySampler(self.seed, turn, rng, which + (100 if linear else 200)))
            optimum = find_optimum(spec)
            if optimum is not None and abs(optimum.objective) > 1e-9:
                found = (spec, optimum) if optimum.unique or found is None else found
            if found is not None and (found[1].unique or attempt + 1 >= _ATTEMPTS):
                break
        assert found is not None  # the loop ends with one
        spec, optimum = found
        return self._finish(spec, optimum, name, index, type)

    def _finish(self, spec: ProblemSpec, optimum: Optimum, name: str, index: int, type: str) -> TemplateItem:
        styles = [np.random.default_rng([self.seed, TYPES.index(type), index, 1000 + k]) for k in range(2)]
        return TemplateItem(
            f"template-{self.seed}-{type}-{index}",
            type,
            name,
            spec.question(styles[0], table=False),
            spec.question(styles[1], table=True),
            spec.formulation(),
            spec.scenario(),
            optimum.objective,
            optimum.values,
            optimum.unique,
            spec.target,
        )

    def items(self, n: int, type: str | None = None) -> Iterator[TemplateItem]:
        """The first items.

        Args:
            n: how many; of each type in turn where ``type`` is None.
            type: one of the four types, or None for all.
        """
        check_int("n", n, low=0)
        for k in range(n):
            if type is not None:
                yield self.item(k, type)
            else:
                yield self.item(k // len(TYPES), TYPES[k % len(TYPES)])

    def distinct(self, n: int, type: str, threshold: float = 0.7) -> list[TemplateItem]:
        """The first items of a type of which no two questions, and no two openings, are near-duplicates.

        Items keep their index; those that resemble an earlier one are left out and later ones take their place.

        Args:
            n: how many.
            type: one of the four types.
            threshold: of :func:`~optimand.language.modeling.resocratic.dedupe`.
        """
        from .duplicates import dedupe

        check_int("n", n, low=0)
        kept: list[TemplateItem] = []
        index = 0
        while len(kept) < n:
            more = [self.item(k, type) for k in range(index, index + n - len(kept))]
            index += len(more)
            kept += more
            # Weights depend on the whole set, so what is kept is judged again with what came later, until neither
            # the questions nor the openings lose one.
            before = -1
            while before != len(kept):
                before = len(kept)
                kept = [kept[k] for k in dedupe([item.question for item in kept], threshold)]
                kept = [kept[k] for k in dedupe([item.scenario.opening for item in kept], threshold)]
        return kept
