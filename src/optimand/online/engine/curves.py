"""What a simulation found: regret over time for every repetition, with intervals, ratios and rates."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimand.core.validation import UnknownNameError, check_choice, check_number, suggest

Array = np.ndarray

_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class RegretCurves:
    """Regret of several learners in the same repetitions of an environment.

    Repetition ``r`` of all learners met the same noise, so differences and ratios are taken pair by pair.

    Attributes:
        times: recording times, shape ``(G,)``.
        regret: by learner, shape ``(R, G)``.
        comparator: what regret is measured against.
        extras: by learner what else was counted at the end, each of shape ``(R,)``.
        seed: the root seed.

    Example:
        >>> curves = RegretCurves(np.array([1, 4]), {"a": np.array([[1.0, 2.0], [1.0, 4.0]])}, "best-arm")
        >>> curves.mean("a").tolist(), curves.sem("a").tolist()
        ([1.0, 3.0], [0.0, 1.0])
    """

    times: Array
    regret: Mapping[str, Array]
    comparator: str
    extras: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    seed: int = 0

    @property
    def names(self) -> list[str]:
        """The learners."""
        return list(self.regret)

    @property
    def reps(self) -> int:
        """Repetitions."""
        return len(next(iter(self.regret.values())))

    def of(self, name: str) -> Array:
        """The curves of a learner, shape ``(R, G)``; UnknownNameError for one that was not simulated."""
        if name not in self.regret:
            raise UnknownNameError(f"no learner {name!r}{suggest(name, self.names)}; there are {', '.join(self.names)}")
        return self.regret[name]

    def at(self, name: str, time: float | None = None) -> Array:
        """Regret of all repetitions at the last recording time that is at most ``time`` (the end by default)."""
        return self.of(name)[:, self._index(time)]

    def _index(self, time: float | None) -> int:
        if time is None:
            return len(self.times) - 1
        check_number("time", time, low=float(self.times[0]), high=float(self.times[-1]))
        return int(np.searchsorted(self.times, time, side="right")) - 1

    def mean(self, name: str) -> Array:
        """Mean over the repetitions, shape ``(G,)``."""
        return self.of(name).mean(axis=0)

    def sem(self, name: str) -> Array:
        """Standard error of :meth:`mean`; NaN with one repetition."""
        found = self.of(name)
        if len(found) < 2:
            return np.full(found.shape[1], np.nan)
        return found.std(axis=0, ddof=1) / len(found) ** 0.5

    def band(self, name: str, level: float = 0.95, kind: str = "normal") -> tuple[Array, Array]:
        """Ends of the interval of the mean at every time.

        Args:
            name: the learner.
            level: coverage, in (0, 1).
            kind: ``normal`` (Student's t) or ``bootstrap`` (percentiles of resampled means).
        """
        check_number("level", level, low=0, high=1, low_open=True, high_open=True)
        check_choice("kind", kind, ("normal", "bootstrap"))
        if kind == "bootstrap":
            low, high = np.quantile(_resample(self.of(name)), [(1 - level) / 2, (1 + level) / 2], axis=0)
            return low, high
        mean, half = student(self.of(name), level)
        return mean - half, mean + half

    def quantiles(self, name: str, q: Any) -> Array:
        """Quantiles over the repetitions, shape ``(len(q), G)``: of single runs, not of their mean."""
        return np.quantile(self.of(name), q, axis=0)

    def slope(self, name: str, start: float, stop: float, level: float = 0.95) -> Interval:
        """Exponent of the mean regret in time: slope of the line through logs over ``[start, stop]``.

        The interval comes from resampled repetitions. NaN where the mean is not positive.
        """
        chosen = (self.times >= start) & (self.times <= stop)
        if chosen.sum() < 2:
            raise ValueError(f"[start, stop] must hold two recording times, got [{start:g}, {stop:g}]")
        logs = np.log(self.times[chosen].astype(float))
        centered = logs - logs.mean()
        weights = centered / (centered @ centered)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(np.log(self.mean(name)[chosen]) @ weights)
            spread = np.log(_resample(self.of(name)[:, chosen])) @ weights
        spread = spread[np.isfinite(spread)]
        if not np.isfinite(value) or not len(spread):
            return Interval(float("nan"), float("nan"), float("nan"))
        low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
        return Interval(value, float(low), float(high))

    def ratio_to(self, baseline: str, name: str, time: float | None = None, level: float = 0.95) -> Interval:
        """Mean regret of ``name`` over that of ``baseline``, with an interval from resampled pairs of repetitions."""
        ours, theirs = self.at(name, time), self.at(baseline, time)
        means = _resample(np.stack([ours, theirs], axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = means[:, 0] / means[:, 1]
            value = float(np.float64(ours.mean()) / theirs.mean())
        spread = spread[np.isfinite(spread)]
        low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2]) if len(spread) else (np.nan, np.nan)
        return Interval(value, float(low), float(high))

    def difference_to(self, baseline: str, name: str, time: float | None = None, level: float = 0.95) -> Interval:
        """Mean of the paired difference ``name - baseline`` with Student's interval."""
        mean, half = student(self.at(name, time) - self.at(baseline, time), level)
        return Interval(float(mean), float(mean - half), float(mean + half))

    def normalise(self, scale: Callable[[Array], Any]) -> RegretCurves:
        """The same curves divided by ``scale(times)``, for instance a rate that a theorem names."""
        factor = np.asarray(scale(self.times.astype(float)), dtype=float)
        return replace(self, regret={name: found / factor for name, found in self.regret.items()})

    def hist(self, name: str, time: float | None = None, bins: Any = "auto") -> tuple[Array, Array]:
        """Counts and bin edges of the repetitions' regret at a time, as of ``numpy.histogram``."""
        counts, edges = np.histogram(self.at(name, time), bins=bins)
        return counts, edges

    def rows(self) -> list[dict[str, Any]]:
        """One row for each learner and time: mean, standard error, and the 10, 50 and 90 % quantiles of the runs."""
        found = []
        for name in self.names:
            mean, sem, quantiles = self.mean(name), self.sem(name), self.quantiles(name, [0.1, 0.5, 0.9])
            for g, time in enumerate(self.times.tolist()):
                row = {"learner": name, "time": time, "mean": mean[g], "sem": sem[g]}
                found.append({**row, "q10": quantiles[0, g], "median": quantiles[1, g], "q90": quantiles[2, g]})
        return found

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`rows` to a file."""
        write_csv(path, self.rows())

    def plot(self, ax: Any = None, *, level: float = 0.95, log: bool = True, unit: str = "rounds") -> Any:
        """Draw the means with bands (of the mean over repetitions) on matplotlib axes, which are returned."""
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1] if ax is None else ax
        for name in self.names:
            (line,) = ax.plot(self.times, self.mean(name), label=name)
            if self.reps > 1:
                ax.fill_between(self.times, *self.band(name, level), color=line.get_color(), alpha=0.2, linewidth=0)
        if log:
            ax.set_xscale("log")
            ax.set_yscale("log" if all((self.mean(n) > 0).all() for n in self.names) else "symlog")
        ax.set(xlabel=unit, ylabel=f"regret against {self.comparator}")
        ax.legend(title=f"mean of {self.reps} runs, {level:.0%} band of the mean", fontsize="small")
        return ax

    def __str__(self) -> str:
        width = max(map(len, self.names))
        lines = [f"regret against {self.comparator} after {self.times[-1]}, {self.reps} repetitions"]
        for name in self.names:
            lines.append(f"{name:<{width}}  {self.mean(name)[-1]:.4g} ± {self.sem(name)[-1]:.2g}")
        return "\n".join(lines)


def student(values: Array, level: float) -> tuple[Array, Array]:
    """Mean over the first axis, the repetitions, and half of Student's interval; NaN with one repetition."""
    from scipy.stats import t

    check_number("level", level, low=0, high=1, low_open=True, high_open=True)
    reps, mean = len(values), values.mean(axis=0)
    if reps < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, t.ppf((1 + level) / 2, reps - 1) * (values.std(axis=0, ddof=1) / reps**0.5)


def write_csv(path: str | os.PathLike[str], rows: list[dict[str, Any]]) -> None:
    """Write rows with the same columns to a file."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _resample(values: Array) -> Array:
    """Means of resampled repetitions, shape ``(resamples, …)``; ``values`` has shape ``(R, …)``."""
    # Always the same resamples: a figure must not change when it is asked for twice.
    rng = np.random.default_rng(0)
    reps = len(values)
    chunk = max(1, min(_RESAMPLES, 1_000_000 // reps))
    parts = []
    for first in range(0, _RESAMPLES, chunk):
        size = min(chunk, _RESAMPLES - first)
        parts.append(rng.multinomial(reps, np.full(reps, 1 / reps), size=size) @ values / reps)
    return np.concatenate(parts)
