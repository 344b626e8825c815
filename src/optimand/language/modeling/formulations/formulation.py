"""A formulation: variables, an objective and constraints as text, checked, solved and turned into a program.

What a language model (or a person) says about a problem is kept as data in the form of arXiv 2407.09887's formal
lines. From it come a PySCIPOpt program, an evaluator that knows no solver, and a second solve by other means, so a
result can be checked without trusting the program that gave it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from optimand.core.validation import OptimandError, check_choice, check_number, suggest

from .expressions import ExpressionError, Node, Relation, evaluate, names, parse, parse_relations
from .formulation_data import SCHEMA, Solved, read_formulation
from .polynomials import Polynomial, classify, degree, fraction
from .relations import Normal, normalize, violated
from .solving import solve, solve_linear

VariableKind = Literal["real", "integer", "binary"]
Sense = Literal["maximize", "minimize"]


class FormulationError(OptimandError, ValueError):
    """A formulation that is not one: an unknown name, text outside the grammar, bounds that cross."""


@dataclass(frozen=True)
class Variable:
    """An unknown of a problem.

    Attributes:
        name: an identifier.
        meaning: what it stands for.
        kind: ``real``, ``integer`` or ``binary``.
        low, high: bounds; None for none.
    """

    name: str
    meaning: str = ""
    kind: VariableKind = "real"
    low: float | None = 0.0
    high: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise FormulationError(f"a variable's name must be an identifier such as x1, got {self.name!r}")
        check_choice(f"kind of {self.name}", self.kind, ("real", "integer", "binary"))
        for side in ("low", "high"):
            if getattr(self, side) is not None:
                check_number(f"{side} of {self.name}", getattr(self, side))
        if self.bounds[0] > self.bounds[1]:
            raise FormulationError(f"bounds of {self.name} cross: {self.low:g} > {self.high:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound, infinite where there is none; within 0 and 1 for a binary."""
        low = -math.inf if self.low is None else float(self.low)
        high = math.inf if self.high is None else float(self.high)
        return (max(low, 0.0), min(high, 1.0)) if self.kind == "binary" else (low, high)

    @property
    def whole(self) -> bool:
        """Whether it takes whole numbers only."""
        return self.kind != "real"


@dataclass(frozen=True)
class Constraint:
    """A relation as text, such as ``2*x + y <= 100`` or ``10 <= x <= 20``, and what it stands for."""

    expression: str
    meaning: str = ""


@dataclass(frozen=True)
class Check:
    """What an evaluator that knows no solver says of a point.

    Attributes:
        feasible: bounds, whole numbers and constraints all hold within the tolerance.
        violations: a sentence for each that does not.
        objective: its value; NaN where it has none.
    """

    feasible: bool
    violations: tuple[str, ...]
    objective: float


@dataclass(frozen=True)
class Formulation:
    """An optimization problem in formal lines.

    Args:
        variables: at least one, with distinct names.
        sense: ``maximize`` or ``minimize``.
        objective: an expression of :mod:`~optimand.language.modeling.formulations.expressions`.
        constraints: relations, as :class:`Constraint` or as text.

    Raises:
        FormulationError: text outside the grammar, an unknown name, no variable.

    Reference:
        arXiv 2407.09887 (formal lines of a demonstration).

    Example:
        >>> f = Formulation((Variable("c", kind="integer"), Variable("v", kind="integer")), "maximize",
        ...                 "5c + 4v", ("2c + v <= 100",))
        >>> f.kind, f.solve_linear().objective, f.check({"c": 0, "v": 100}).feasible
        ('linear', 400.0, True)
    """

    variables: tuple[Variable, ...]
    sense: Sense
    objective: str
    constraints: tuple[Constraint, ...] = ()

    SCHEMA: ClassVar[dict[str, Any]] = SCHEMA

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        made = (Constraint(item) if isinstance(item, str) else item for item in self.constraints)
        object.__setattr__(self, "constraints", tuple(made))
        check_choice("sense", self.sense, ("maximize", "minimize"))
        if not self.variables:
            raise FormulationError("a formulation needs at least one variable")
        listed = [variable.name for variable in self.variables]
        if len(set(listed)) < len(listed):
            raise FormulationError(f"variables must have distinct names, got {', '.join(listed)}")
        self._known("the objective", self.objective_node)
        for relation in self.relations:
            self._known("a constraint", relation.left)
            self._known("a constraint", relation.right)
        try:
            _ = self.normal, self.objective_fraction
        except ExpressionError as error:
            raise FormulationError(str(error)) from None

    def _known(self, where: str, node: Node) -> None:
        listed = [variable.name for variable in self.variables]
        for name in names(node):
            if name not in listed:
                raise FormulationError(f"{where} uses {name!r}, which is no variable{suggest(name, listed)}")

    @functools.cached_property
    def objective_node(self) -> Node:
        """The objective, parsed."""
        return _parsed("the objective", parse, self.objective)

    @functools.cached_property
    def relations(self) -> tuple[Relation, ...]:
        """All constraints, parsed; a chain counts for several."""
        found: list[Relation] = []
        for constraint in self.constraints:
            found.extend(_parsed("a constraint", parse_relations, constraint.expression))
        return tuple(found)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Bounds by variable, infinite where there are none."""
        return {variable.name: variable.bounds for variable in self.variables}

    @functools.cached_property
    def objective_fraction(self) -> tuple[Polynomial, Polynomial] | None:
        """Numerator and denominator of the objective, or None."""
        return fraction(self.objective_node)

    @functools.cached_property
    def normal(self) -> tuple[Normal, ...]:
        """The relations with divisions multiplied out where the denominator's sign is known from the bounds."""
        whole = {variable.name for variable in self.variables if variable.whole}
        return tuple(normalize(relation, self.bounds, whole) for relation in self.relations)

    @property
    def kind(self) -> Literal["linear", "quadratic", "nonlinear"]:
        """``linear``, ``quadratic`` (polynomials of degree two) or ``nonlinear``."""
        kinds = {classify(self.objective_node)}
        for item in self.normal:
            order = 9 if item.polynomial is None else degree(item.polynomial)
            kinds.add("linear" if order <= 1 else "quadratic" if order == 2 else "general")
        if kinds <= {"constant", "linear"}:
            return "linear"
        return "quadratic" if kinds <= {"constant", "linear", "quadratic"} else "nonlinear"

    def check(self, values: Mapping[str, float], tol: float = 1e-6) -> Check:
        """Evaluate a point by arithmetic alone.

        Args:
            values: a number for each variable.
            tol: relative to the larger side of a relation, and at least absolute; >= 0.

        Raises:
            FormulationError: a variable has no value, or one that is no number.
        """
        check_number("tol", tol, low=0)
        point: dict[str, float] = {}
        violations: list[str] = []
        for variable in self.variables:
            if variable.name not in values:
                raise FormulationError(f"values must hold every variable; {variable.name!r} is missing")
            value = check_number(f"value of {variable.name}", values[variable.name])
            point[variable.name] = value
            low, high = variable.bounds
            slack = tol * max(1.0, abs(value))
            if not low - slack <= value <= high + slack:
                violations.append(f"{variable.name} = {value:.10g} is outside [{low:g}, {high:g}]")
            if variable.whole and abs(value - round(value)) > slack:
                violations.append(f"{variable.name} = {value:.10g} must be a whole number")
        violations += [text for item in self.normal if (text := violated(item, point, tol))]
        try:
            objective = float(evaluate(self.objective_node, point))
        except ExpressionError:
            objective = math.nan
            violations.append(f"the objective {self.objective} has no value there")
        return Check(not violations, tuple(violations), objective)

    def program(self) -> str:
        """A PySCIPOpt program that solves it and prints ten dashes, the values and a line ``RESULT_JSON: {...}``."""
        from .programs import write_program

        return write_program(self)

    def solve_linear(self) -> Solved:
        """Solve with HiGHS through :func:`scipy.optimize.milp`; ``unsupported`` for what is not linear."""
        return solve_linear(self)

    def solve(self, *, seconds: float = 10.0, seed: int = 0) -> Solved:
        """Solve without SCIP: HiGHS for linear ones, else enumeration or many local searches.

        Args:
            seconds: wall time that the searches may take.
            seed: of the starts of the local searches.

        Returns:
            Status ``optimal`` where the optimum is certain (HiGHS, enumeration), ``limit`` for the best point of
            local searches.
        """
        return solve(self, seconds=seconds, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data of the form :attr:`SCHEMA`."""
        return {
            "variables": [
                {"name": v.name, "meaning": v.meaning, "kind": v.kind, "low": v.low, "high": v.high}
                for v in self.variables
            ],
            "sense": self.sense,
            "objective": self.objective,
            "constraints": [{"expression": c.expression, "meaning": c.meaning} for c in self.constraints],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Formulation:
        """From what :meth:`to_dict` gives, or a model's variant of it: constraints as text, ``type`` for ``kind``.

        Raises:
            FormulationError: a part is missing or of another form.
        """
        try:
            read = read_formulation(data)
            return cls(
                tuple(Variable(**item) for item in read["variables"]),
                read["sense"],
                read["objective"],
                tuple(Constraint(**item) for item in read["constraints"]),
            )
        except FormulationError:
            raise
        except (TypeError, ValueError) as error:
            raise FormulationError(str(error)) from None


def _parsed(where: str, reader: Any, text: str) -> Any:
    try:
        return reader(text)
    except ExpressionError as error:
        raise FormulationError(f"{where} cannot be read: {error}") from None
