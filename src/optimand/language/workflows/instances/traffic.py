"""Two green times for a crossing of two streets: a seeded simulation of the queues, and a rule of traffic engineers.

A stand-in for the traffic experiment of Trace (arXiv 2406.16218, Section 5.2). Cars arrive as Poisson streams of given
rates and leave, one at a time, while their street has green. The metric is the mean wait of a car in units of the wait
under the green times of Webster's formula (F. V. Webster, Traffic signal settings, 1958), which knows the rates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SHORTEST, LONGEST = 5.0, 90.0  # seconds of green
LOST = 5.0  # seconds without green at each change
HEADWAY = 2.0  # seconds between two cars that leave
HOUR = 3600.0  # simulated seconds of a day's peak
STREETS = ("north_south", "east_west")


@dataclass(frozen=True)
class Crossing:
    """An instance.

    Attributes:
        rates: cars per second of the two streets.
        days: arrival times in seconds, for each day those of the two streets.
        others: the same for days that the guide never looks at.

    Example:
        >>> crossing = draw_crossing(np.random.default_rng(0))
        >>> 0.5 < crossing.load < 0.9
        True
        >>> crossing.wait((5.0, 5.0)) > crossing.wait(webster(crossing.rates))
        True
    """

    rates: tuple[float, float]
    days: tuple[tuple[Any, Any], ...]
    others: tuple[tuple[Any, Any], ...]

    @property
    def load(self) -> float:
        """The share of time that green is needed, over both streets."""
        return sum(self.rates) * HEADWAY

    def wait(self, greens: Sequence[float], *, held_out: bool = False) -> float:
        """The mean wait of a car."""
        cycle = sum(greens) + 2 * LOST
        days = self.others if held_out else self.days
        return float(np.concatenate([waits(days, i, green, cycle) for i, green in enumerate(greens)]).mean())


def waits(days: Sequence[tuple[Any, Any]], street: int, green: float, cycle: float) -> Any:
    """The waits of all cars of a street in seconds, all days.

    Args:
        days: arrival times in seconds of the two streets.
        street: 0 or 1; green begins at the start of the cycle for 0, at its end minus lost time for 1.
        green: seconds.
        cycle: seconds, green of both and twice the lost time.
    """
    begin = 0.0 if street == 0 else cycle - LOST - green
    return np.concatenate([leave(day[street], begin, green, cycle) - day[street] for day in days])


def leave(arrivals: Any, begin: float, green: float, cycle: float) -> Any:
    """When cars leave a crossing, in the order in which they arrive.

    Args:
        arrivals: seconds, ascending.
        begin: when green begins in each cycle; ``begin + green <= cycle``.
        green, cycle: seconds.

    Returns:
        Seconds: each car leaves at the first moment of green that is not before its arrival nor sooner than
        ``HEADWAY`` after the car before it; the first of a green leaves at once.

    Example:
        >>> leave(np.array([0.0, 1.0, 14.0]), 0.0, 3.0, 10.0).tolist()
        [0.0, 2.0, 20.0]
    """
    free, out = -HEADWAY, np.empty(len(arrivals))
    for i, arrival in enumerate(arrivals.tolist()):
        time = max(arrival, free + HEADWAY)
        phase = (time - begin) % cycle
        if phase >= green:
            time += cycle - phase
        out[i] = free = time
    return out


def webster(rates: Sequence[float]) -> tuple[float, float]:
    """Green times by Webster's formula: the cycle ``(1.5 L + 5)/(1 - Y)``, green in proportion to what is needed.

    Args:
        rates: cars per second; together they need less than all the time.

    Example:
        >>> webster((0.2, 0.1))
        (26.66..., 13.33...)
    """
    needed = [rate * HEADWAY for rate in rates]
    cycle = (1.5 * 2 * LOST + 5) / (1 - sum(needed))
    greens = [(cycle - 2 * LOST) * need / sum(needed) for need in needed]
    first, second = (float(np.clip(green, SHORTEST, LONGEST)) for green in greens)
    return first, second


def draw_crossing(rng: np.random.Generator, days: int = 3) -> Crossing:
    """Draw rates that need 55 to 85 % of the time, 55 to 80 % of that for one street, and ``2 days`` days of cars."""
    load, share = rng.uniform(0.55, 0.85), rng.uniform(0.55, 0.8)
    if rng.random() < 0.5:
        share = 1 - share
    rates = (load * share / HEADWAY, load * (1 - share) / HEADWAY)
    made = [tuple(_arrivals(rng, rate) for rate in rates) for _ in range(2 * days)]
    return Crossing(rates, tuple(made[:days]), tuple(made[days:]))  # type: ignore[arg-type]


def _arrivals(rng: np.random.Generator, rate: float) -> Any:
    return np.sort(rng.uniform(0.0, HOUR, rng.poisson(rate * HOUR)))


def saturation(rate: float, green: float, cycle: float) -> float:
    """Cars that arrive in a cycle in units of those that can leave in its green."""
    return rate * cycle / (green / HEADWAY)


@functools.cache
def _traced() -> dict[str, Callable[..., Any]]:
    from ..tracing.bundles import bundle

    @bundle(description="[street] Simulates a street's queue: mean wait, cars, and how much of the green is used.")
    def street(green: Any, cycle: Any, traffic: Any, index: Any) -> Any:
        days = traffic.value
        seconds = waits(days, index, green, cycle)
        used = saturation(len(seconds) / len(days) / HOUR, green, cycle)
        return {"wait": float(seconds.mean()), "cars": len(seconds), "saturation": used}

    @bundle(description="[mean_wait] The mean wait of all cars of both streets.")
    def mean_wait(first: Any, second: Any) -> Any:
        cars = first["cars"] + second["cars"]
        return {
            "wait": (first["wait"] * first["cars"] + second["wait"] * second["cars"]) / cars,
            "streets": [first, second],
        }

    return {"street": street, "mean_wait": mean_wait}


def trace(crossing: Crossing, greens: Sequence[Any]) -> Any:
    """A day's peak as a workflow: a node whose value has the mean wait and what each street saw."""
    from ..loop import Hidden
    from ..tracing.nodes import Node

    functions = _traced()
    cars = Node(Hidden(crossing.days, "arrival times of cars"), name="traffic")  # neither rates nor other days
    cycle = greens[0] + greens[1] + 2 * LOST
    return functions["mean_wait"](*(functions["street"](g, cycle, cars, i) for i, g in enumerate(greens)))


def feedback(output: dict[str, Any]) -> str:
    """What the guide says: the score, the negative mean wait, and wait and saturation of each street."""
    streets = "; ".join(
        f"green_{name}: mean wait {seen['wait']:.1f} s, saturation {seen['saturation']:.3f}"
        for name, seen in zip(STREETS, output["streets"], strict=True)
    )
    return f"score: {-output['wait']:.4f}. {streets}."
