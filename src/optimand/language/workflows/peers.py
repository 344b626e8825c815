"""Optimizers to compare with: values drawn at random, Nelder and Mead's simplex, Optuna's TPE, a rule for traffic.

They look at no graph. The first takes no notice of feedback; the simplex (SciPy's) and TPE need a score in it; the rule
reads what a street reports. All that they know is their history, so a state is a history, and a simplex goes on by
running again over the scores that it has seen.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import OptimandError, check_int, check_number

from .heuristic.brackets import Point, clip
from .heuristic.coordinates import Coordinates
from .heuristic.feedback_parsing import ParsedFeedback, parse_feedback
from .optimizers.optimizer import Optimizer, Proposal
from .optimizers.reports import StepReport
from .optimizers.values import name_of

if TYPE_CHECKING:
    from .tracing.nodes import ParameterNode


@dataclass(frozen=True)
class Told:
    """An evaluation: a point, positions of options, and the feedback's score, minus infinity for an exception."""

    point: Point
    options: tuple[int, ...]
    score: float


class HistoryOptimizer(Optimizer):
    """An optimizer whose next values are a function of the seed and of all scores so far.

    Args:
        parameters: numbers, truth values, enumerations; others stay as they are.
        seed: >= 0.

    Attributes:
        told: the evaluations, oldest first.
        needs_score: whether feedback without a score is an error.
    """

    needs_score = True

    def __init__(
        self, parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode], *, seed: int = 0, log_size: int = 100
    ) -> None:
        super().__init__(parameters, log_size=log_size)
        self.seed = check_int("seed", seed, low=0)
        self._coordinates = Coordinates(self.parameters)
        self.told: list[Told] = []
        self._output: Any = None

    def zero_feedback(self) -> None:
        """Forget the feedback that the parameters have received."""
        super().zero_feedback()
        self._output = None

    def propose(self, **options: Any) -> Proposal:
        """The next values.

        Raises:
            OptimandError: there is no feedback, or none with a score where one is needed.
        """
        if options:
            raise TypeError(f"propose takes no options here, got {', '.join(options)}")
        graph = self.feedback_graph()
        parsed = parse_feedback(graph.feedback)
        score = -math.inf if parsed.failed else math.nan if parsed.score is None else parsed.score
        if self.needs_score and math.isnan(score):
            raise OptimandError(
                f"{type(self).__name__} needs a score in the feedback, got {str(graph.feedback)!r:.80}; on feedback "
                "of directions use HeuristicProposer"
            )
        point, listed = self._coordinates.read()
        if self._output is not graph.output:
            self._output = graph.output
            self.told.append(Told(point, listed, score))
        found = self.next(parsed)
        proposal = {} if found is None else self._coordinates.values(*found)
        self.steps += 1
        self.log.append(StepReport(self.steps, proposed={name_of(p): value for p, value in proposal.items()}))
        return proposal

    def next(self, parsed: ParsedFeedback) -> tuple[Point, tuple[int, ...]] | None:
        """The next point and options; None to stay."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The history, as JSON can hold it."""
        told = [[list(t.point), list(t.options), t.score if math.isfinite(t.score) else None] for t in self.told]
        return {**super().state_dict(), "told": told}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        lost = -math.inf if self.needs_score else math.nan
        self.told = [Told(tuple(p), tuple(o), lost if score is None else score) for p, o, score in state["told"]]
        self._output = None

    @property
    def _scores(self) -> list[float]:
        """Scores, those of exceptions one spread below the least of the others."""
        good = [t.score for t in self.told if math.isfinite(t.score)]
        low = min(good, default=0.0) - (max(good) - min(good) if good else 1.0) - 1e-9
        return [t.score if math.isfinite(t.score) else low for t in self.told]


class RandomValues(HistoryOptimizer):
    """Values drawn uniformly from ranges and choices, whatever the feedback says.

    Numbers without bounds are drawn from a normal distribution around the first value, its deviation ``1 + |value|``.
    """

    needs_score = False

    def next(self, parsed: ParsedFeedback) -> tuple[Point, tuple[int, ...]]:
        """A point that depends on the seed and on how many there were."""
        rng = np.random.default_rng([self.seed, len(self.told), self.steps])
        start = self.told[0].point
        point = [
            rng.uniform(r.low, r.high) if math.isfinite(r.width) else rng.normal(value, 1.0 + abs(value))
            for value, r in zip(start, self._coordinates.ranges, strict=True)
        ]
        options = tuple(int(rng.integers(len(choices))) for choices in self._coordinates.choices)
        return clip(point, self._coordinates.ranges), options


class _AskedError(Exception):
    """SciPy wants to know the value at a point that has not been evaluated."""

    def __init__(self, point: Any) -> None:
        self.point = point


class NelderMead(HistoryOptimizer):
    """SciPy's simplex on the scores; numbers with bounds only, options stay as they are.

    Args:
        parameters: see :class:`HistoryOptimizer`.
        seed: not used: the simplex is drawn from the first point.
        size: edge of the first simplex in units of the ranges' widths, in (0, 1].

    Raises:
        OptimandError: a number without bounds.
    """

    def __init__(self, parameters: Any, *, seed: int = 0, size: float = 0.25, log_size: int = 100) -> None:
        super().__init__(parameters, seed=seed, log_size=log_size)
        self.size = check_number("size", size, low=0.0, high=1.0, low_open=True)
        for name, r in zip(self._coordinates.names, self._coordinates.ranges, strict=True):
            if not math.isfinite(r.width):
                raise OptimandError(f"NelderMead needs a minimum and a maximum for each number, {name!r} has not both")

    def next(self, parsed: ParsedFeedback) -> tuple[Point, tuple[int, ...]] | None:
        """What the simplex asks for next, after the scores so far in their order."""
        from scipy.optimize import minimize

        if not self._coordinates.ranges:
            return None
        low, width = (np.array([getattr(r, key) for r in self._coordinates.ranges]) for key in ("low", "width"))
        width = np.where(width > 0, width, 1.0)
        start = (np.array(self.told[0].point) - low) / width
        edges = np.where(start + self.size <= 1.0, self.size, -self.size)
        simplex = np.vstack([start, start + np.diag(edges)])
        answers = iter([-score for score in self._scores])

        def value(x: Any) -> float:
            try:
                return next(answers)
            except StopIteration:
                raise _AskedError(x) from None

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a first simplex that is clipped to the bounds
                found = minimize(
                    value, start, method="Nelder-Mead", bounds=[(0.0, 1.0)] * len(start),
                    options={"initial_simplex": simplex, "xatol": 1e-9, "fatol": 0.0, "maxiter": 10**6, "maxfev": 10**6}
                ).x  # fmt: skip
        except _AskedError as asked:
            found = asked.point
        return clip((low + width * found).tolist(), self._coordinates.ranges), self.told[0].options


class TPE(HistoryOptimizer):
    """Optuna's tree-structured Parzen estimator on the scores.

    Args:
        parameters: see :class:`HistoryOptimizer`; numbers need bounds.
        seed: of the sampler.
        startup: evaluations at random first, >= 1.

    Raises:
        OptimandError: a number without bounds, or Optuna is not installed.
    """

    def __init__(self, parameters: Any, *, seed: int = 0, startup: int = 10, log_size: int = 100) -> None:
        super().__init__(parameters, seed=seed, log_size=log_size)
        self.startup = check_int("startup", startup, low=1)
        for name, r in zip(self._coordinates.names, self._coordinates.ranges, strict=True):
            if not math.isfinite(r.width):
                raise OptimandError(f"TPE needs a minimum and a maximum for each number, {name!r} has not both")
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise OptimandError("TPE needs Optuna: python -m pip install optuna") from error

    def next(self, parsed: ParsedFeedback) -> tuple[Point, tuple[int, ...]]:
        """What a study with these scores asks for."""
        import optuna

        ranges, choices = self._coordinates.ranges, self._coordinates.choices
        space: dict[str, Any] = {
            f"n{i}": optuna.distributions.IntDistribution(math.ceil(r.low), math.floor(r.high))
            if r.integer
            else optuna.distributions.FloatDistribution(r.low, r.high)
            for i, r in enumerate(ranges)
        }
        for i, listed in enumerate(choices):
            space[f"c{i}"] = optuna.distributions.CategoricalDistribution(tuple(range(len(listed))))
        sampler = optuna.samplers.TPESampler(
            seed=(self.seed + len(self.told)) % 2**32, n_startup_trials=self.startup, multivariate=False
        )
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for told, score in zip(self.told, self._scores, strict=True):
                values: dict[str, Any] = {f"n{i}": int(x) if ranges[i].integer else x for i, x in enumerate(told.point)}
                values |= {f"c{i}": option for i, option in enumerate(told.options)}
                study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=score))
            asked = study.ask(space).params
        finally:
            optuna.logging.set_verbosity(level)
        point = clip([float(asked[f"n{i}"]) for i in range(len(ranges))], ranges)
        return point, tuple(int(asked[f"c{i}"]) for i in range(len(choices)))


_SEEN = re.compile(r"(green_\w+): mean wait [-\d.e+]+ s, saturation (\d+\.\d+)")


class SaturationRule(HistoryOptimizer):
    """A rule in the manner of SCATS: split and cycle follow how much of each green is used.

    The split of green moves towards equal saturation of the streets, by at most ``most`` of the cycle at once; the
    cycle grows when the largest saturation is above ``wanted`` and shrinks when it is below (P. R. Lowrie, SCATS, 1982,
    in its main features). It reads reports such as ``green_a: mean wait 20.1 s, saturation 0.93``.

    Args:
        parameters: green times, named as in the reports.
        seed: not used.
        wanted: largest saturation to aim at, in (0, 1).
        most: largest change of the split, and of the cycle, as a share of the cycle, in (0, 1).
    """

    needs_score = False

    def __init__(
        self, parameters: Any, *, seed: int = 0, wanted: float = 0.9, most: float = 0.1, log_size: int = 100
    ) -> None:
        super().__init__(parameters, seed=seed, log_size=log_size)
        self.wanted = check_number("wanted", wanted, low=0, high=1, low_open=True, high_open=True)
        self.most = check_number("most", most, low=0, high=1, low_open=True, high_open=True)
        self._reported: dict[str, float] = {}

    def propose(self, **options: Any) -> Proposal:
        """The next green times.

        Raises:
            OptimandError: there is no feedback, or it reports no saturation of the parameters.
        """
        text = str(self.feedback_graph().feedback)
        self._reported = {name: float(value) for name, value in _SEEN.findall(text)}
        names = [str(owner.name).rpartition(":")[0] for owner in self._coordinates.owners]
        if not names or any(name not in self._reported for name in names):
            raise OptimandError(
                f"SaturationRule needs reports such as 'green_a: mean wait 20.1 s, saturation 0.93' for "
                f"{', '.join(names) or 'its parameters'}, got {text!r:.80}"
            )
        return super().propose(**options)

    def next(self, parsed: ParsedFeedback) -> tuple[Point, tuple[int, ...]]:
        """Green times moved by the rule."""
        last = self.told[-1]
        greens = np.array(last.point)
        used = np.array([self._reported[str(owner.name).rpartition(":")[0]] for owner in self._coordinates.owners])
        total = float(greens.sum())
        needed = np.maximum(used * greens, 1e-9)  # green that would be used fully
        share = needed / needed.sum()
        moved = greens + np.clip(share * total - greens, -self.most * total, self.most * total)
        growth = float(np.clip(used.max() / self.wanted, 1 - self.most, 1 + self.most))
        return clip(moved * growth, self._coordinates.ranges), last.options
