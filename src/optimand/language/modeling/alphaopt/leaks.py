"""Whether an insight gives a task's answer away.

An insight that is verified only on the task it came from can pass by carrying that task's answer. The check refuses
numbers of the ground truth in its texts, and looks for programs that print the answer instead of finding it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from .insights import Insight

_NUMBER = re.compile(r"(?<![\w.])\d{1,3}(?:(?:,|\{,\}|\\,|_)\d{3})+(?:\.\d+)?|(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Every second example holds a bound of zero or a coefficient of one: they give nothing away.
HARMLESS = (0.0, 1.0)


def numbers_in(text: str) -> list[tuple[float, float]]:
    """Numbers of a text without their signs, each with half a unit of its last digit.

    Example:
        >>> numbers_in("profit of $1,250.5 and 3e2, x1 not")
        [(1250.5, 0.05), (300.0, 0.5)]
    """
    found = []
    for match in _NUMBER.finditer(text):
        plain = re.sub(r"\{,\}|\\,|,|_", "", match.group(0))
        digits = len(plain.partition(".")[2].partition("e")[0]) if "e" not in plain.lower() else 0
        found.append((float(plain), round(0.5 * 10.0**-digits, digits + 1)))
    return found


def same_number(number: float, half: float, truth: float) -> bool:
    """Whether a printed number is the truth, rounded to the digits that were printed if these are three or more."""
    truth = abs(truth)
    if truth in HARMLESS:
        return False
    exact = abs(number - truth) <= 1e-6 * max(1.0, truth)
    return exact or (number >= 200 * half and abs(number - truth) <= half)


def leaks(insight: Insight, truths: Iterable[float]) -> list[str]:
    """Where an insight holds a number that is an answer of its source task.

    Args:
        insight: all of its texts are read.
        truths: the answers that must not occur; 0 and 1 are never counted.

    Returns:
        A sentence for each find; empty when there is none.

    Example:
        >>> lesson = Insight({"General Formulation": {"V": ["w"]}}, "This insight applies …", "… gives 5,050 in all")
        >>> leaks(lesson, [5050.0])
        ['the explanation holds 5050, an answer of the task']
    """
    found = []
    for truth in truths:
        for part in ("condition", "explanation", "example"):
            if any(same_number(number, half, truth) for number, half in numbers_in(getattr(insight, part))):
                found.append(f"the {part} holds {truth:g}, an answer of the task")
    return found


def hard_coded(code: str, truths: Iterable[float], given: str) -> bool:
    """Whether a program holds an answer as a literal that the task's text does not hold.

    Args:
        code: Python source; what does not parse holds none.
        truths: the answers.
        given: the task's text.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    literals = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | bytes | complex):
            if isinstance(node.value, int | float):
                literals.append((abs(float(node.value)), 0.0))
            elif isinstance(node.value, str):
                literals += numbers_in(node.value)
    data = numbers_in(given)
    return any(
        any(same_number(number, half, truth) for number, half in literals)
        and not any(same_number(number, 0.0, truth) for number, _ in data)
        for truth in truths
    )
