"""Problems of the family ``online-convex``: the adversary between random and worst, and streams of real data.

The budget counts rounds. A run plays a block of repetitions on the split ``valid`` and another on ``test``: where the
losses are drawn the two differ in the draws, where they come from data they are different rows. What is recorded is
the mean over the repetitions of regret, or of the total loss where regret would need a solver at every point in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from .. import convex
from ..engine.contracts import Environment
from ..engine.running import SPLITS, RepeatedProblem, run_repetitions
from . import datasets
from .family import known_of, make_learner


@dataclass(frozen=True, kw_only=True)
class OnlineConvexProblem(RepeatedProblem):
    """Rounds of convex losses, for a block of repetitions; the budget is also the horizon.

    Attributes:
        make: makes the environment of a split, ``valid`` or ``test``.
        metrics: names of what is recorded, each with the environment's comparator; the first one ranks methods.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.online.convex.methods import oco_ogd
        >>> recorder, method = Recorder(50), Method("ogd", "online-convex", oco_ogd, {"scale": 1.0}, {})
        >>> sea_iid(d=3, reps=4).run(method, {}, seed=SeedTree(0), budget=50, recorder=recorder)
        >>> 0 < recorder.last("test", "regret") < 10
        True
    """

    make: Callable[[str], Environment]
    budget: int = 2000
    metrics: Mapping[str, str] = field(default_factory=lambda: {"regret": "fixed"})
    reps: int = 20

    family: ClassVar[str] = "online-convex"
    unit: ClassVar[str] = "rounds"

    @property
    def metric(self) -> str:
        """What ranks methods."""
        return next(iter(self.metrics))

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.online.engine.running.run_repetitions`."""
        spec = known_of(self.make("valid"), budget)
        run_repetitions(
            self.make, lambda: make_learner(method, spec, hyper), reps=self.reps, metrics=self.metrics, seed=seed,
            budget=budget, recorder=recorder,
        )  # fmt: skip


def _sea(name: str, kind: str, summary: str, *, dynamic: bool = False, budget: int, reps: int, **options: Any) -> Any:
    convex.SEAEnvironment(kind, **options)  # whatever is wrong with the options shows here
    static, moving = {"regret": "fixed"}, {"dynamic_regret": "dynamic"}
    return OnlineConvexProblem(
        name=name, make=lambda split: convex.SEAEnvironment(kind, **options), summary=summary, budget=budget, reps=reps,
        metrics={**moving, **static} if dynamic else static,
    )  # fmt: skip


@problem("sea-iid", family="online-convex")
def sea_iid(sigma: float = 0.5, curvature: float = 1.0, d: int = 10, reps: int = 20, budget: int = 2000) -> Any:
    """Quadratic losses with one mean and noise: stochastic optimization on the unit ball.

    Args:
        sigma: total standard deviation of the noise.
        curvature: of the losses; 0 for linear ones.
        d: dimension.
        reps: repetitions.
        budget: rounds.
    """
    return _sea(
        f"sea-iid:sigma={sigma:g},curvature={curvature:g},d={d}", "iid",
        f"losses ({curvature:g}/2)|x|² - <a, x> in {d} dimensions, one mean, noise {sigma:g}",
        budget=budget, reps=reps, sigma=sigma, curvature=curvature, d=d,
    )  # fmt: skip


@problem("sea-alternating", family="online-convex")
def sea_alternating(sigma: float = 0.1, curvature: float = 1.0, d: int = 10, reps: int = 20, budget: int = 2000) -> Any:
    """Losses whose mean changes its sign each round, with or without noise.

    Args:
        sigma: total standard deviation of the noise.
        curvature: of the losses; 0 for linear ones.
        d: dimension.
        reps: repetitions.
        budget: rounds.
    """
    return _sea(
        f"sea-alternating:sigma={sigma:g},curvature={curvature:g},d={d}", "alternating",
        f"losses whose mean changes its sign each round, {d} dimensions, noise {sigma:g}",
        budget=budget, reps=reps, sigma=sigma, curvature=curvature, d=d,
    )  # fmt: skip


@problem("sea-corrupted", family="online-convex")
def sea_corrupted(
    corruption: float = 100.0, sigma: float = 0.5, where: str = "even", d: int = 10, reps: int = 20, budget: int = 2000
) -> Any:
    """Quadratic losses drawn independently, some of which an adversary turned around.

    Args:
        corruption: total size of what is added to the means, 1 a round.
        sigma: total standard deviation of the noise.
        where: corrupted rounds spread evenly (``even``) or all at the ``start``, which is one switch of the mean: the
            regret to a fixed point is then negative.
        d: dimension.
        reps: repetitions.
        budget: rounds.
    """
    return _sea(
        f"sea-corrupted:corruption={corruption:g},sigma={sigma:g},where={where},d={d}", "corrupted",
        f"i.i.d. losses with corruption {corruption:g} ({where}), {d} dimensions, noise {sigma:g}",
        budget=budget, reps=reps, sigma=sigma, d=d, corruption=corruption, where=where,
    )  # fmt: skip


@problem("sea-segments", family="online-convex")
def sea_segments(segments: int = 10, sigma: float = 0.5, d: int = 10, reps: int = 20, budget: int = 4000) -> Any:
    """Segments of rounds, each with a mean of its own: dynamic regret.

    Args:
        segments: how many.
        sigma: total standard deviation of the noise.
        d: dimension.
        reps: repetitions.
        budget: rounds.
    """
    return _sea(
        f"sea-segments:segments={segments},sigma={sigma:g},d={d}", "segments",
        f"{segments} segments with means of their own, {d} dimensions, noise {sigma:g}; dynamic regret", dynamic=True,
        budget=budget, reps=reps, sigma=sigma, d=d, segments=segments,
    )  # fmt: skip


@problem("sea-drift", family="online-convex")
def sea_drift(turns: float = 2.0, sigma: float = 0.5, d: int = 10, reps: int = 20, budget: int = 4000) -> Any:
    """A mean that turns slowly in a plane: dynamic regret.

    Args:
        turns: in the budget.
        sigma: total standard deviation of the noise.
        d: dimension.
        reps: repetitions.
        budget: rounds.
    """
    return _sea(
        f"sea-drift:turns={turns:g},sigma={sigma:g},d={d}", "drift",
        f"a mean that makes {turns:g} turns, {d} dimensions, noise {sigma:g}; dynamic regret", dynamic=True,
        budget=budget, reps=reps, sigma=sigma, d=d, turns=turns,
    )  # fmt: skip


@problem("sea-random-order", family="online-convex")
def sea_random_order(n: int = 1000, passes: int = 2, d: int = 10, reps: int = 20) -> Any:
    """A pool of quadratic losses in random order, pass after pass: the random order model and multi-pass SGD.

    Args:
        n: losses in the pool.
        passes: the budget is that many times n.
        d: dimension.
        reps: repetitions.
    """
    check_int("passes", passes, low=1)
    return _sea(
        f"sea-random-order:n={n},passes={passes},d={d}", "multipass",
        f"{n} losses in {passes} reshuffled passes, {d} dimensions", budget=n * passes, reps=reps, n=n, d=d,
    )  # fmt: skip


def _halves(split: str, *arrays: Any) -> list[Any]:
    """Every other row: valid the even ones, test the odd ones."""
    return [a[SPLITS.index(split) :: 2] for a in arrays]


def _parts(split: str, *arrays: Any) -> list[Any]:
    """The first half of a series for valid, the second for test."""
    middle = len(arrays[0]) // 2
    return [a[:middle] if split == "valid" else a[middle : 2 * middle] for a in arrays]


@problem("random-order-regression", family="online-convex")
def random_order_regression(loss: str = "squared", passes: int = 3, radius: float = 3.0, reps: int = 20) -> Any:
    """Linear regression on scikit-learn's diabetes data in random order, pass after pass; regret to the best model.

    Args:
        loss: squared, absolute or quantile (0.9).
        passes: over the 221 rows of a split (valid: even rows, test: odd rows).
        radius: of the ball that models are in.
        reps: repetitions, each with an order of its own.
    """
    check_choice("loss", loss, ("squared", "absolute", "quantile"))
    check_int("passes", passes, low=1)
    check_number("radius", radius, low=0, low_open=True)

    def make(split: str) -> Environment:
        x, y = _halves(split, *datasets.diabetes())
        return convex.StreamEnvironment(x, y, loss=loss, order="reshuffled", domain=convex.Ball(radius), quantile=0.9)

    smooth = loss == "squared"
    return OnlineConvexProblem(
        name=f"random-order-regression:loss={loss},passes={passes},radius={radius:g}", make=make, budget=221 * passes,
        summary=f"diabetes, {loss} loss of a linear model, {passes} reshuffled passes over 221 rows", reps=reps,
        metrics={"regret": "realised", "loss": "loss"} if smooth else {"loss": "loss"},
    )  # fmt: skip


class _Sulfur(OnlineConvexProblem):
    """Says in its summary, which a study reads when it is planned, that the file is missing, not in every run."""

    _summary: str

    @property  # type: ignore[override]
    def summary(self) -> str:
        """One line; OptimandError where the file is missing."""
        datasets.sulfur_file()
        return self._summary

    @summary.setter
    def summary(self, text: str) -> None:
        object.__setattr__(self, "_summary", text)


@problem("sulfur-recovery", family="online-convex", needs="$OPTIMAND_DATA/optimistic-omd-sea/SRU_1.mat")
def sulfur_recovery(budget: int = 5040) -> Any:
    """Soft sensor of a sulfur recovery unit, in time order; total half squared loss, and regret to the best model.

    Args:
        budget: rounds, at most 5040: valid is the first half of the series, test the second.
    """
    check_int("budget", budget, low=1, high=5040)

    def make(split: str) -> Environment:
        return convex.StreamEnvironment(*_parts(split, *datasets.sulfur_recovery()))

    return _Sulfur(
        name="sulfur-recovery", make=make, budget=budget, reps=1, metrics={"loss": "loss", "regret": "realised"},
        summary="sulfur recovery unit, 5 measurements, linear model in the unit ball, time order, halves of the series",
    )  # fmt: skip


@problem("digits-label-shift", family="online-convex")
def digits_label_shift(
    loss: str = "logistic", how: str = "sine", radius: float = 10.0, reps: int = 10, budget: int = 2000
) -> Any:
    """Is a digit at least 5: scikit-learn's digits, drawn from classes whose proportions move; total loss.

    Args:
        loss: logistic or hinge.
        how: the proportions go ``linear`` from mostly 0 to mostly 9, or there and back (``sine``, ``square``).
        radius: of the ball that models are in.
        reps: repetitions.
        budget: rounds. Rows of valid are the even ones, of test the odd ones.
    """
    check_choice("loss", loss, ("logistic", "hinge"))
    check_choice("how", how, ("linear", "sine", "square"))
    check_number("radius", radius, low=0, low_open=True)

    def make(split: str) -> Environment:
        x, y, classes = _halves(split, *datasets.digits())
        return convex.StreamEnvironment(
            x, y, loss=loss, order="label-shift", classes=classes, how=how, domain=convex.Ball(radius)
        )

    return OnlineConvexProblem(
        name=f"digits-label-shift:loss={loss},how={how},radius={radius:g}", make=make, budget=budget, reps=reps,
        metrics={"loss": "loss"}, summary=f"digits below 5 or not, {loss} loss, shares of the classes move ({how})",
    )  # fmt: skip


@problem("data-stream", family="online-convex")
def data_stream(data: str = "breast-cancer", radius: float = 5.0) -> Any:
    """A set of scikit-learn as a stream in its order, a linear model; total loss.

    Args:
        data: ``breast-cancer`` (logistic loss) or ``diabetes`` (squared). Valid is the first half, test the second.
        radius: of the ball that models are in.
    """
    _, loss, rows = datasets.PACKAGED[check_choice("data", data, datasets.PACKAGED)]
    check_number("radius", radius, low=0, low_open=True)

    def make(split: str) -> Environment:
        x, y = _parts(split, *datasets.packaged(data))
        return convex.StreamEnvironment(x, y, loss=loss, domain=convex.Ball(radius))

    metrics = {"loss": "loss", "regret": "realised"} if loss == "squared" else {"loss": "loss"}
    return OnlineConvexProblem(
        name=f"data-stream:data={data},radius={radius:g}", make=make, budget=rows // 2, reps=1, metrics=metrics,
        summary=f"{data} of scikit-learn, {loss} loss of a linear model, in its order",
    )  # fmt: skip
