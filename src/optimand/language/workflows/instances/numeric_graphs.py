"""Random arithmetic workflows whose output has to hit a value that only the guide knows.

Of the kind of the numerical experiment of Trace (arXiv 2406.16218, Section 5.1): operations are drawn from ``+ c``,
``- c``, ``* c`` with c in [-2, 2] and not 0, ``tanh`` and ``cube``; the value to hit is the output at a hidden point of
the box; feedback says "larger" or "smaller", no more. With several parameters each goes through operations of its own;
the results are added (separable: monotone in each) or, where asked for, added, subtracted and multiplied.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.validation import check_int

OPERATIONS = ("add", "subtract", "multiply", "tanh", "cube")
MOST = 10  # operations of a graph, those that put parameters together included
SMALLEST_RANGE = 1e-6  # of the output over the box, in units of its size: below, the graph is drawn again
RIGHT = 1e-12  # an error of less than this share of the range is called right

Step = tuple[str, float]


@dataclass(frozen=True)
class NumericGraph:
    """A workflow of numbers.

    Attributes:
        chains: the operations that each parameter goes through, with their constants.
        merges: how the results are put together, from the left: ``add``, ``subtract`` or ``multiply``.
        hidden: a point whose output is the target, shape (d,).
        start: where the parameters begin, shape (d,).
        low, high: the output's range over the box [-1, 1]^d: exact where all merges are sums, else over a grid.

    Example:
        >>> graph = NumericGraph(((("multiply", -2.0), ("add", 1.0)),), (), (0.5,), (0.0,), -1.0, 3.0)
        >>> graph.value([0.5]), graph.target, graph.error([0.0])
        (0.0, 0.0, 0.25)
    """

    chains: tuple[tuple[Step, ...], ...]
    merges: tuple[str, ...]
    hidden: tuple[float, ...]
    start: tuple[float, ...]
    low: float
    high: float

    @property
    def operations(self) -> int:
        """How many operations there are in all."""
        return sum(map(len, self.chains)) + len(self.merges)

    @property
    def target(self) -> float:
        """The output at the hidden point."""
        return float(self.value(self.hidden))

    def value(self, point: Sequence[Any]) -> Any:
        """The output, on numbers or arrays."""
        return _evaluate(self.chains, self.merges, point)

    def error(self, point: Sequence[float]) -> float:
        """How far the output is from the target, in units of its range over the box."""
        return self.error_of(float(self.value(point)))

    def error_of(self, output: float) -> float:
        """The error of an output."""
        gap = abs(output - self.target) / (self.high - self.low)
        return gap if math.isfinite(gap) else math.inf

    def trace(self, parameters: Sequence[Any]) -> Any:
        """The output as a node, computed from nodes."""
        functions = _traced()
        parts = [
            functools.reduce(lambda x, step: functions[step[0]](x, step[1]), chain, parameter)
            for chain, parameter in zip(self.chains, parameters, strict=True)
        ]
        return functools.reduce(
            lambda x, pair: functions[pair[0]](x, pair[1]), zip(self.merges, parts[1:], strict=True), parts[0]
        )

    def feedback(self, output: float) -> str:
        """What the guide says: no more than the direction."""
        if self.error_of(output) <= RIGHT:
            return "The output is right."
        return f"The output should be {'larger' if output < self.target else 'smaller'}."


def _evaluate(chains: Sequence[Sequence[Step]], merges: Sequence[str], point: Sequence[Any]) -> Any:
    parts = []
    for chain, x in zip(chains, point, strict=True):
        value = np.asarray(x, dtype=float)
        for name, c in chain:
            value = _PLAIN[name](value, c)
        parts.append(value)
    total = parts[0]
    for name, part in zip(merges, parts[1:], strict=True):
        total = _PLAIN[name](total, part)
    return total if total.ndim else float(total)


_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, c: x + c,
    "subtract": lambda x, c: x - c,
    "multiply": lambda x, c: x * c,
    "tanh": lambda x, _: np.tanh(x),
    "cube": lambda x, _: x * x * x,
}


@functools.cache
def _traced() -> dict[str, Callable[[Any, Any], Any]]:
    from ..tracing.bundles import bundle

    @bundle(description="[tanh] The hyperbolic tangent of x.")
    def tanh(x: Any) -> Any:
        return math.tanh(x)

    @bundle(description="[cube] x * x * x.")
    def cube(x: Any) -> Any:
        return x * x * x

    return {
        "add": lambda x, c: x + c,
        "subtract": lambda x, c: x - c,
        "multiply": lambda x, c: x * c,
        "tanh": lambda x, _: tanh(x),
        "cube": lambda x, _: cube(x),
    }


def random_graph(rng: np.random.Generator, *, params: int = 1, separable: bool = True, ops: int = MOST) -> NumericGraph:
    """Draw a workflow.

    Args:
        rng: random numbers.
        params: how many parameters, 1 to 5.
        separable: put the parameters' results together by sums only, so that the output is monotone in each.
        ops: most operations, at least ``2 params - 1``.

    Returns:
        A graph of ``2 params - 1`` to ``ops`` operations whose output has a range over the box that is not lost in
        rounding; others are drawn again.

    Example:
        >>> graph = random_graph(np.random.default_rng(0), params=3)
        >>> len(graph.chains), graph.merges, graph.operations <= 10
        (3, ('add', 'add'), True)
    """
    check_int("params", params, low=1, high=5)
    check_int("ops", ops, low=2 * params - 1)
    while True:
        count = int(rng.integers(2 * params - 1, ops + 1)) - (params - 1)
        lengths = 1 + rng.multinomial(count - params, [1.0 / params] * params)
        chains = tuple(tuple(_step(rng) for _ in range(length)) for length in lengths)
        kinds = ("add",) if separable else ("add", "subtract", "multiply")
        merges = tuple(str(rng.choice(kinds)) for _ in range(params - 1))
        hidden, start = (tuple(float(x) for x in rng.uniform(-1, 1, params)) for _ in range(2))
        low, high = output_range(chains, merges)
        if math.isfinite(high - low) and high - low > SMALLEST_RANGE * max(1.0, abs(low), abs(high)):
            return NumericGraph(chains, merges, hidden, start, low, high)


def _step(rng: np.random.Generator) -> Step:
    name = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
    c = 0.0
    while c == 0.0:
        c = float(rng.uniform(-2, 2))
    return name, c


def output_range(chains: Sequence[Sequence[Step]], merges: Sequence[str]) -> tuple[float, float]:
    """The least and largest output over [-1, 1]^d.

    Each chain is monotone, so its range is that of its ends; a sum's range is the sum of ranges. Products and
    differences, too, take their extremes at the ends of their two parts, as both parts depend on other parameters.

    Example:
        >>> output_range([[("multiply", -2.0)], [("cube", 1.0)]], ["multiply"])
        (-2.0, 2.0)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ends = [tuple(float(_evaluate([chain], [], [end])) for end in (-1.0, 1.0)) for chain in chains]
        low, high = min(ends[0]), max(ends[0])
        for name, pair in zip(merges, ends[1:], strict=True):
            found = [float(_PLAIN[name](x, y)) for x, y in itertools.product((low, high), pair)]
            low, high = min(found), max(found)
    return low, high
