"""Functions with one fault, and the cases that show it: what the standard library gives for the same arguments.

Each task is a plain implementation of a function that Python's standard library has, so that expected results come
from the library itself. A fault is one small change of the source: a comparison, an operator, a constant, ``and`` for
``or``. Only loops over things that end are used, so no fault can make one endless.
"""

from __future__ import annotations

import ast
import bisect
import calendar
import colorsys
import functools
import heapq
import itertools
import math
import os.path
import statistics
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Case = tuple[Any, ...]


@dataclass(frozen=True)
class Task:
    """A function to repair.

    Attributes:
        name: of the function.
        source: a correct implementation.
        reference: the standard library's function.
        cases: draws a case's arguments.
    """

    name: str
    source: str
    reference: Callable[..., Any]
    cases: Callable[[np.random.Generator], Case]


def _numbers(rng: np.random.Generator, low: int = 1, most: int = 9) -> list[int]:
    return [int(x) for x in rng.integers(-9, 10, int(rng.integers(low, most)))]


def _words(rng: np.random.Generator) -> list[str]:
    stem = "".join(rng.choice(list("abc"), int(rng.integers(0, 4))))
    return [stem + "".join(rng.choice(list("abc"), int(rng.integers(0, 4)))) for _ in range(int(rng.integers(1, 5)))]


def _text(rng: np.random.Generator) -> str:
    return " ".join("".join(rng.choice(list("abXY"), int(rng.integers(1, 5)))) for _ in range(int(rng.integers(1, 5))))


_TASKS = (
    Task(
        "bisect_left",
        '''def bisect_left(values, x):
    """Where x would be put into the sorted list values, before all that are equal to it."""
    place = 0
    for value in values:
        if value < x:
            place = place + 1
    return place
''',
        bisect.bisect_left,
        lambda rng: (sorted(_numbers(rng)), int(rng.integers(-9, 10))),
    ),
    Task(
        "median_low",
        '''def median_low(data):
    """The middle of the sorted data; the smaller of the two middle ones if there are two."""
    ordered = sorted(data)
    count = len(ordered)
    if count % 2 == 1:
        return ordered[count // 2]
    return ordered[count // 2 - 1]
''',
        statistics.median_low,
        lambda rng: (_numbers(rng),),
    ),
    Task(
        "multimode",
        '''def multimode(data):
    """The values that occur most often, in the order in which they first occur."""
    counts = {}
    for value in data:
        counts[value] = counts.get(value, 0) + 1
    most = max(counts.values())
    return [value for value in counts if counts[value] >= most]
''',
        statistics.multimode,
        lambda rng: ([int(x) for x in rng.integers(0, 4, int(rng.integers(1, 9)))],),
    ),
    Task(
        "isleap",
        '''def isleap(year):
    """Whether a year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
''',
        calendar.isleap,
        lambda rng: (int(rng.choice([1900, 2000, 2100, 2400, *range(1996, 2026)])),),
    ),
    Task(
        "commonprefix",
        '''def commonprefix(words):
    """The longest text that all words begin with."""
    shortest = min(words)
    longest = max(words)
    for place, letter in enumerate(shortest):
        if letter != longest[place]:
            return shortest[:place]
    return shortest
''',
        os.path.commonprefix,
        lambda rng: (_words(rng),),
    ),
    Task(
        "capwords",
        '''def capwords(text):
    """Each word with a capital first letter and the others small, one space between two."""
    words = []
    for word in text.split():
        words.append(word[0].upper() + word[1:].lower())
    return " ".join(words)
''',
        string.capwords,
        lambda rng: (_text(rng),),
    ),
    Task(
        "nlargest",
        '''def nlargest(n, data):
    """The n largest items, largest first."""
    rest = list(data)
    found = []
    for _ in range(min(n, len(rest))):
        best = 0
        for place in range(len(rest)):
            if rest[place] > rest[best]:
                best = place
        found.append(rest.pop(best))
    return found
''',
        heapq.nlargest,
        lambda rng: (int(rng.integers(0, 6)), _numbers(rng)),
    ),
    Task(
        "accumulate",
        '''def accumulate(data):
    """The sums of the first 1, 2, 3, ... items."""
    total = 0
    sums = []
    for value in data:
        total = total + value
        sums.append(total)
    return sums
''',
        lambda data: list(itertools.accumulate(data)),
        lambda rng: (_numbers(rng),),
    ),
    Task(
        "gcd",
        '''def gcd(a, b):
    """The greatest number that divides both a and b, which are not negative."""
    for _ in range(64):
        if b == 0:
            return a
        a, b = b, a % b
    return a
''',
        math.gcd,
        lambda rng: (int(rng.integers(0, 60)), int(rng.integers(0, 60))),
    ),
    Task(
        "comb",
        '''def comb(n, k):
    """In how many ways k of n things can be chosen; 0 if k is more than n."""
    if k > n:
        return 0
    ways = 1
    for i in range(k):
        ways = ways * (n - i) // (i + 1)
    return ways
''',
        math.comb,
        lambda rng: (int(rng.integers(0, 12)), int(rng.integers(0, 12))),
    ),
    Task(
        "weekday",
        '''def weekday(year, month, day):
    """The day of the week of a date, 0 for Monday."""
    shifts = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
    if month < 3:
        year = year - 1
    return (year + year // 4 - year // 100 + year // 400 + shifts[month - 1] + day - 1) % 7
''',
        calendar.weekday,
        lambda rng: (int(rng.integers(1600, 2400)), int(rng.integers(1, 13)), int(rng.integers(1, 29))),
    ),
    Task(
        "rgb_to_yiq_y",
        '''def rgb_to_yiq_y(red, green, blue):
    """The brightness of a colour, as television has it, rounded to three digits."""
    return round(0.30 * red + 0.59 * green + 0.11 * blue, 3)
''',
        lambda r, g, b: round(colorsys.rgb_to_yiq(r, g, b)[0], 3),
        lambda rng: tuple(round(float(x), 2) for x in rng.random(3)),
    ),
)
TASKS: dict[str, Task] = {task.name: task for task in _TASKS}

_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
}  # fmt: skip
_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,), ast.FloorDiv: (ast.Mod,), ast.Mod: (ast.FloorDiv,),
}  # fmt: skip


def faults(source: str) -> list[str]:
    """All sources that differ by one small change.

    Example:
        >>> print(*faults("def f(a, b):\\n    return a < b\\n"), sep="\\n")
        def f(a, b):
            return a <= b
        def f(a, b):
            return a > b
    """
    tree = ast.parse(source)
    found: list[str] = []

    def change(node: Any, field: str, value: Any) -> None:
        old = getattr(node, field)
        setattr(node, field, value)
        found.append(ast.unparse(tree))
        setattr(node, field, old)

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            for kind in _COMPARISONS.get(type(node.ops[0]), ()):
                change(node, "ops", [kind()])
        elif isinstance(node, ast.BinOp):
            for kind in _OPERATORS.get(type(node.op), ()):
                change(node, "op", kind())
        elif isinstance(node, ast.BoolOp):
            change(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value is not True:
            for shift in (1, -1) if isinstance(node.value, int) else (0.1, -0.1):
                change(node, "value", round(node.value + shift, 3))
    return found


@dataclass(frozen=True)
class Broken:
    """A task with a fault.

    Attributes:
        task: what the function should do.
        source: with the fault.
        shown: arguments and expected results of the cases that feedback is on.
        hidden: of others.
    """

    task: Task
    source: str
    shown: tuple[tuple[Case, Any], ...]
    hidden: tuple[tuple[Case, Any], ...]


def draw_broken(rng: np.random.Generator, name: str | None = None, *, shown: int = 8, hidden: int = 24) -> Broken:
    """Draw a function, a fault that at least one shown case notices, and cases.

    Args:
        rng: random numbers.
        name: of a task in :data:`TASKS`; None to draw one.
        shown, hidden: how many cases of each kind.

    Example:
        >>> broken = draw_broken(np.random.default_rng(0), "gcd")
        >>> 0 < share_failing(in_process(broken.source, "gcd"), broken.shown) <= 1
        True
    """
    task = TASKS[str(rng.choice(sorted(TASKS))) if name is None else name]
    drawn = [task.cases(rng) for _ in range(shown + hidden)]
    cases = [(case, task.reference(*case)) for case in drawn]
    candidates = faults(task.source)
    for index in rng.permutation(len(candidates)):
        source = candidates[int(index)]
        if share_failing(in_process(source, task.name), cases[:shown]) > 0:
            return Broken(task, source, tuple(cases[:shown]), tuple(cases[shown:]))
    raise RuntimeError(f"no fault of {task.name} shows")  # pragma: no cover (each task has many that do)


def in_process(source: str, name: str) -> Callable[..., Any]:
    """The function that one of our own sources defines; nothing that a model wrote may come here."""
    space: dict[str, Any] = {}
    exec(compile(source, f"<{name}>", "exec"), space)
    found: Callable[..., Any] = space[name]
    return found


def share_failing(function: Callable[..., Any], cases: Any) -> float:
    """The share of cases where a function gives something else, or raises an exception."""
    return sum(not _agrees(function, case, expected) for case, expected in cases) / len(cases)


def _agrees(function: Callable[..., Any], case: Case, expected: Any) -> bool:
    try:
        return same(function(*_copied(case)), expected)
    except Exception:  # whatever a faulty function raises
        return False


def _copied(case: Case) -> Case:
    return tuple(list(part) if isinstance(part, list) else part for part in case)


def same(result: Any, expected: Any) -> bool:
    """Whether a result is the expected one, of the same type; a truth value is no number."""
    return type(result) is type(expected) and bool(result == expected)


def call_text(name: str, case: Case) -> str:
    """A call as one would type it.

    Example:
        >>> call_text("gcd", (4, 6))
        'gcd(4, 6)'
    """
    return f"{name}({', '.join(map(repr, case))})"


@functools.cache
def names() -> tuple[str, ...]:
    """The tasks' names, sorted."""
    return tuple(sorted(TASKS))
