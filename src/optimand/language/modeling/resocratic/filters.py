"""Checks of a synthetic pair that ask no model: its printed objective, its numbers, its text.

The published pipeline keeps a program that ran, or ran out of time; a wrong model that runs is kept too. Here the
printed objective is compared with a solve of the formal lines by other means, and each number of the formal lines must
be in the question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from optimand.language.modeling.execution import Sandbox, run_program
from optimand.language.modeling.formulations.formulation import Formulation

from .problem_specs import numbers_in
from .scenarios import Scenario

_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "hundred": 100, "dozen": 12, "twice": 2, "double": 2, "half": 0.5, "third": 1 / 3, "quarter": 0.25, "triple": 3,
    "both": 2,
}  # fmt: skip
_NUMERAL = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\s*%?")
_EXPONENT = re.compile(r"(?:\*\*|\^)\s*\d+")
_EXEMPT = (0.0, 1.0)


@dataclass(frozen=True)
class CrossCheck:
    """What an independent solve says of a printed objective.

    Attributes:
        verdict: ``agrees``, ``differs``, ``unread`` (no formulation, nothing to compare with), ``unsolved`` (the
            formal lines have no optimum, or none was found).
        objective: what the independent solve found.
        how: the solver.
    """

    verdict: str
    objective: float | None = None
    how: str = ""


def printed_objective(values: Mapping[str, float]) -> float | None:
    """The objective among a program's results: the label ``objective``, or the only label that contains the word.

    Example:
        >>> printed_objective({"x": 1.0, "Objective value": 5.0})
        5.0
    """
    for name in ("objective", "obj", "objective value", "objective_value"):
        for label, value in values.items():
            if label.strip().lower() == name:
                return value
    found = [value for label, value in values.items() if "objective" in label.lower()]
    return found[0] if len(found) == 1 else None


def cross_check(
    formulation: Formulation | None, objective: float, sandbox: Sandbox, *, seconds: float = 2.0, seed: int = 0
) -> CrossCheck:
    """Compare a printed objective with a solve of the formal lines.

    HiGHS, Dinkelbach's iteration or all points decide where they serve. Elsewhere the program that the formal lines
    give is run: the same solver, but another model of the problem; local searches can still refute it.

    Args:
        formulation: read from the formal lines, or None.
        objective: what the program under test printed.
        sandbox: runs the program of the formal lines.
        seconds: of the second solver.
        seed: of its local searches.
    """
    if formulation is None:
        return CrossCheck("unread")
    found = formulation.solve(seconds=seconds, seed=seed)
    if found.status == "optimal" and found.objective is not None:
        return CrossCheck(_verdict(objective, found.objective), found.objective, found.how)
    if found.status != "limit":
        return CrossCheck("unsolved", None, found.how)
    ran = run_program(formulation.program(), sandbox)
    if ran.status != "optimal" or "objective" not in ran.values:
        return CrossCheck("unsolved", None, "SCIP on the formal lines")
    value = ran.values["objective"]
    if found.objective is not None:
        better = found.objective - value if formulation.sense == "maximize" else value - found.objective
        if better > 1e-4 * max(1.0, abs(value)):
            return CrossCheck(_verdict(objective, found.objective), found.objective, found.how)
    return CrossCheck(_verdict(objective, value), value, "SCIP on the formal lines")


def _verdict(printed: float, truth: float) -> str:
    return "agrees" if math.isclose(printed, truth, rel_tol=1e-4, abs_tol=1e-4) else "differs"


def formal_numbers(scenario: Scenario) -> set[float]:
    """The numbers of the formal lines that a question must hold: all but 0, 1 and exponents."""
    found: set[float] = set()
    for section in scenario.sections:
        for line in section.formal:
            text = re.sub(r'"(?:[^"\\]|\\.)*"\s*:\s*"[A-Za-z_]\w*"', "", line.replace("'", '"'))
            found |= _numerals(_EXPONENT.sub("", text))
    return {value for value in found if not any(math.isclose(value, exempt) for exempt in _EXEMPT)}


def missing_numbers(scenario: Scenario, question: str) -> list[float]:
    """Numbers of the formal lines that are not in the question, in ascending order.

    ``30%`` and ``0.3``, ``1,000`` and ``1000``, ``half`` and ``0.5`` or ``1/2`` count as the same.

    Example:
        >>> from optimand.language.modeling.resocratic import parse_scenario
        >>> text = "## Define Variables:\\nA.\\n// {'a': 'x'}\\n## Define Objective Function:\\nB.\\n"
        >>> missing_numbers(parse_scenario(text + "// Maximize 3x + 40"), "A piece earns $3.")
        [40.0]
    """
    words = re.findall(r"[a-z]+", question.lower())
    there = _numerals(question) | {float(_WORDS[word]) for word in words if word in _WORDS}
    there |= {float(value) for value in numbers_in(question)}
    # Shares of what is written count; hundredths of whole numbers only where the question speaks of per cent, or a
    # 20 somewhere would pass for 0.2 and that for a lost 5.
    other = {1 / value for value in there if 0 < value < 1} | {100 * value for value in there if value < 1}
    if re.search(r"%|\bper ?cent", question.lower()):
        other |= {value / 100 for value in there} | {100.0}
    there |= other

    def stated(value: float) -> bool:
        return any(math.isclose(value, other, rel_tol=1e-9) for other in there)

    return sorted(value for value in formal_numbers(scenario) if not stated(value))


def _numerals(text: str) -> set[float]:
    found = set()
    for numeral in _NUMERAL.findall(re.sub(r"(?<=\d)(?=[A-Za-z])", " ", text)):
        bare = numeral.replace(",", "").strip()
        found.add(float(bare[:-1]) / 100 if bare.endswith("%") else float(bare))
    return found


def leaks_formula(scenario: Scenario, question: str) -> bool:
    """Whether a question shows formal lines: a ``//`` line, or a symbol that no words of the scenario contain.

    Symbols are told from words by an underscore or a digit in them, or as the letters x, y and z.
    """
    if re.search(r"^\s*//", question, re.MULTILINE):
        return True
    words = " ".join(section.text for section in scenario.sections)
    declared = re.findall(r'":\s*"([A-Za-z]\w*)"', "\n".join(scenario.sections[0].formal).replace("'", '"'))
    symbols = {symbol for symbol in declared if re.search(r"[_\d]", symbol) or symbol.lower() in ("x", "y", "z")}
    return any(re.search(rf"\b{symbol}\b", question) and not re.search(rf"\b{symbol}\b", words) for symbol in symbols)
