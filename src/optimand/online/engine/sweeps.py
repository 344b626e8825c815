"""Regret at the horizon against a parameter, of a learner or of its environment."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, UnknownNameError, suggest

from .contracts import Array, Environment
from .curves import Interval, RegretCurves, student, write_csv
from .simulation import name_learners, simulate


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        parameter: name of what was swept.
        values: of it, in the order given.
        curves: for each value the regret curves.

    All values were simulated with the same seed, so repetition ``r`` met the same noise at all of them.
    """

    parameter: str
    values: tuple[Any, ...]
    curves: tuple[RegretCurves, ...]

    @property
    def names(self) -> list[str]:
        """The learners."""
        return self.curves[0].names

    def regret(self, name: str, time: float | None = None) -> Array:
        """Regret of all repetitions at a time (the end by default), shape ``(len(values), R)``."""
        return np.stack([curves.at(name, time) for curves in self.curves])

    def mean(self, name: str, time: float | None = None) -> Array:
        """Mean for every value."""
        return self.regret(name, time).mean(1)

    def interval(self, name: str, time: float | None = None, level: float = 0.95) -> list[Interval]:
        """For every value the mean over repetitions with Student's interval; NaN ends with one repetition."""
        mean, half = student(self.regret(name, time).T, level)
        return [Interval(float(m), float(m - h), float(m + h)) for m, h in zip(mean, half, strict=True)]

    def best(self, name: str | None = None, time: float | None = None) -> Any:
        """The value with the least mean regret (of the only learner by default).

        It was chosen on the same repetitions, so its regret here is a little too good; simulate it again with another
        seed for an honest figure.
        """
        if name is None and len(self.names) > 1:
            raise UnknownNameError(f"name one of the learners: {', '.join(self.names)}")
        return self.values[int(np.argmin(self.mean(name or self.names[0], time)))]

    def rows(self, level: float = 0.95) -> list[dict[str, Any]]:
        """One row for each learner and value."""
        return [
            {"learner": name, self.parameter: value, "mean": found.value, "low": found.low, "high": found.high}
            for name in self.names
            for value, found in zip(self.values, self.interval(name, level=level), strict=True)
        ]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`rows` to a file."""
        write_csv(path, self.rows())

    def plot(self, ax: Any = None, *, level: float = 0.95, log: bool = False) -> Any:
        """Draw means with intervals on matplotlib axes, which are returned."""
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1] if ax is None else ax
        numbers = all(isinstance(value, int | float | np.number) for value in self.values)
        at = np.array(self.values, dtype=float) if numbers else np.arange(len(self.values))
        for name in self.names:
            found = self.interval(name, level=level)
            low, high = [f.low for f in found], [f.high for f in found]
            (line,) = ax.plot(at, [f.value for f in found], "o-", ms=4, label=name)
            ax.fill_between(at, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if not numbers:
            ax.set_xticks(at, [str(value) for value in self.values])
        if log:
            ax.set_xscale("log")
        last = self.curves[0]
        ax.set(xlabel=self.parameter, ylabel=f"regret against {last.comparator} after {last.times[-1]}")
        ax.legend(title=f"mean of {last.reps} runs, {level:.0%} band of the mean", fontsize="small")
        return ax

    def __str__(self) -> str:
        lines = [f"regret after {self.curves[0].times[-1]} against {self.parameter}, {self.curves[0].reps} repetitions"]
        for name in self.names:
            for value, found in zip(self.values, self.interval(name), strict=True):
                lines.append(f"{name}  {self.parameter}={value}  {found}")
        return "\n".join(lines)


def sweep(
    make_learner: Callable[[Any], Any] | Any,
    values: Sequence[Any],
    *,
    env: Environment | None = None,
    make_env: Callable[[Any], Environment] | None = None,
    horizon: int,
    parameter: str | None = None,
    **options: Any,
) -> Sweep:
    """Simulate for every value of a parameter.

    Args:
        make_learner: a class or function that makes a learner (or several: a mapping or a sequence) from a value; or
            learners that do not depend on it, with ``make_env``.
        values: of the parameter.
        env: the environment, if it does not depend on the parameter.
        make_env: makes the environment from a value.
        horizon: rounds.
        parameter: its name, for tables and plots (``value`` by default). Where ``make_learner`` has a parameter of that
            name, it is given the value as that; otherwise a function is given it as its first argument, and a class is
            refused.
        options: of :func:`~optimand.online.engine.simulation.simulate`, such as ``reps``, ``seed``, ``n_jobs``.

    Raises:
        OptimandError: neither or both of ``env`` and ``make_env`` are given, ``make_learner`` is a class without a
            parameter of the name given, or the learners of two values differ in name.

    Example:
        >>> from optimand.online.bandits import UCB1, BernoulliBandit
        >>> found = sweep(UCB1, [0.01, 0.3, 2.0], env=BernoulliBandit([0.4, 0.6]), horizon=1000, reps=200)
        >>> found.best()
        0.3
    """
    if (env is None) == (make_env is None):
        raise OptimandError("sweep takes either env or make_env")
    values = tuple(values)
    if not values:
        raise OptimandError("values must hold at least one value, got none")
    depends = callable(make_learner)
    if not depends and make_env is None:
        raise OptimandError("make_learner must be a function of the value where the environment does not depend on it")
    make = _by_name(make_learner, parameter) if depends else lambda value: make_learner
    found: list[RegretCurves] = []
    for value in values:
        made = make(value)
        named = name_learners(made if isinstance(made, Mapping | list | tuple) else [made])
        place: Any = env if make_env is None else make_env(value)
        curves = simulate(named, place, horizon, **options)
        if found and curves.names != found[0].names:
            raise OptimandError(
                f"learners must have the same names for all values, got {found[0].names}, {curves.names}"
            )
        found.append(curves)
    return Sweep("value" if parameter is None else parameter, values, tuple(found))


def _by_name(make: Callable[..., Any], parameter: str | None) -> Callable[[Any], Any]:
    """``make`` as a function of the value alone, which it gets as ``parameter`` where it has one of that name."""
    try:
        has = inspect.signature(make).parameters
    except (TypeError, ValueError):  # a function without a signature
        return make
    if parameter is None:
        return make
    found = has.get(parameter)
    if found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY):
        return lambda value: make(**{parameter: value})
    whole = make
    while isinstance(whole, functools.partial):
        whole = whole.func
    if isinstance(whole, type):
        raise OptimandError(
            f"{whole.__name__} has no parameter {parameter!r}{suggest(parameter, has)}; it has "
            f"{', '.join(has) or 'none'}; a function of the value, such as lambda value: {whole.__name__}(…), may have "
            "any name"
        )
    return make
