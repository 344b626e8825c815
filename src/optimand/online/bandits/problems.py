"""Problems of the family ``bandits``: drawn arms, arms that change, and classifiers as arms on real data.

The budget counts pulls of one repetition. A run simulates ``reps`` repetitions at once on each of the splits ``valid``
and ``test``; the metric is the mean of their regret.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int, check_number

from .. import bandits
from ..engine.running import RepeatedProblem, run_repetitions
from .family import BanditTask, rehearse

if TYPE_CHECKING:
    from ..engine.contracts import Environment
    from ..engine.draws import Draws


@dataclass(frozen=True, kw_only=True)
class BanditProblem(RepeatedProblem):
    """A bandit to play for a budget of pulls.

    Attributes:
        make: makes the environment of a split (``valid`` or ``test``) for a budget.
        metrics: what is recorded, each with the comparator that it measures regret against.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> recorder = Recorder(500)
        >>> method = Method("ucb1", "bandits", lambda task: bandits.UCB1(0.5), {}, {})
        >>> bernoulli_bandit(arms=3, reps=5).run(method, {}, seed=SeedTree(0), budget=500, recorder=recorder)
        >>> recorder.last("test", "regret") < 100
        True
    """

    make: Callable[[str, int], Environment]
    budget: int = 10_000
    metrics: Mapping[str, str] = field(default_factory=lambda: {"regret": "best-arm"})

    family: ClassVar[str] = "bandits"
    unit: ClassVar[str] = "pulls"
    metric: ClassVar[str] = "regret"

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Simulate the repetitions; see :func:`optimand.online.engine.running.run_repetitions`."""
        settings = method.hyper(hyper)
        with contextlib.suppress(Exception):  # what fails here is reported by the run itself
            # Loops are compiled, and classifiers fitted, before a method's clock counts it.
            rehearse(method)
            self.make("test", budget)
        run_repetitions(
            lambda split: self.make(split, budget), lambda: method.build(BanditTask(budget), **settings),
            reps=self.reps, metrics=self.metrics, seed=seed, budget=budget, recorder=recorder,
        )  # fmt: skip


def _listed(means: Any) -> tuple[float, ...] | None:
    if means is None:
        return None
    return tuple(check_number("means", mean) for mean in means)


def _typed(means: tuple[float, ...] | None, arms: int) -> str:
    return f"arms={arms}" if means is None else f"means=({','.join(f'{mean:g}' for mean in means)})"


@problem("bernoulli-bandit", family="bandits")
def bernoulli_bandit(
    arms: int = 10, means: tuple[float, ...] | None = None, reps: int = 100, budget: int = 10_000
) -> BanditProblem:
    """Arms that give 1 or 0; their probabilities uniform on [0, 1], drawn for each repetition.

    Args:
        arms: at least 2.
        means: probabilities in place of drawn ones, the same in all repetitions.
        reps: repetitions on each split.
        budget: pulls.
    """
    check_int("arms", arms, low=2)
    means = _listed(means)

    def make(split: str, budget: int) -> Environment:
        return bandits.BernoulliBandit((lambda draws: draws.uniform(arms)) if means is None else means)

    make("test", budget)
    how = "drawn uniformly" if means is None else f"{min(means):g} to {max(means):g}"
    return BanditProblem(
        name=f"bernoulli-bandit:{_typed(means, arms)}", make=make, reps=reps, budget=budget,
        summary=f"{arms if means is None else len(means)} Bernoulli arms, means {how}; {reps} repetitions",
    )  # fmt: skip


@problem("gaussian-bandit", family="bandits")
def gaussian_bandit(
    arms: int = 10, sigma: float = 1.0, spread: float = 1.0, means: tuple[float, ...] | None = None, reps: int = 100,
    budget: int = 10_000,
) -> BanditProblem:  # fmt: skip
    """Arms with normal rewards; their means normal too, drawn for each repetition.

    Args:
        arms: at least 2.
        sigma: standard deviation of the rewards, > 0.
        spread: standard deviation of the means, > 0.
        means: means in place of drawn ones, the same in all repetitions.
        reps: repetitions on each split.
        budget: pulls.
    """
    check_int("arms", arms, low=2)
    check_number("sigma", sigma, low=0, low_open=True)
    check_number("spread", spread, low=0, low_open=True)
    means = _listed(means)

    def make(split: str, budget: int) -> Environment:
        return bandits.GaussianBandit((lambda draws: spread * draws.normal(arms)) if means is None else means, sigma)

    make("test", budget)
    how = f"normal with deviation {spread:g}" if means is None else f"{min(means):g} to {max(means):g}"
    return BanditProblem(
        name=f"gaussian-bandit:{_typed(means, arms)},sigma={sigma:g}", make=make, reps=reps, budget=budget,
        # without Exp3, which is for rewards in [0, 1]
        methods=("ucb1", "kl-ucb", "thompson", "moss", "epsilon-greedy", "successive-elimination"),
        summary=f"{arms if means is None else len(means)} arms, noise {sigma:g}, means {how}; {reps} repetitions",
    )  # fmt: skip


@problem("changing-bandit", family="bandits")
def changing_bandit(arms: int = 5, segments: int = 5, reps: int = 100, budget: int = 10_000) -> BanditProblem:
    """Bernoulli arms whose probabilities are drawn anew several times; regret against the best arm of each segment.

    ``regret-fixed`` is that against the best arm over all rounds.

    Args:
        arms: at least 2.
        segments: of equal length, at least 2.
        reps: repetitions on each split.
        budget: pulls.
    """
    check_int("arms", arms, low=2)
    check_int("segments", segments, low=2)

    def make(split: str, budget: int) -> Environment:
        lasting = min(segments, budget)  # a segment has a pull at least

        def means(draws: Draws) -> np.ndarray:
            drawn = draws.uniform(segments, arms)
            return drawn[:, :lasting] if lasting > 1 else drawn[:, 0]

        return bandits.BernoulliBandit(means, changes=[budget * k // lasting for k in range(1, lasting)])

    return BanditProblem(
        name=f"changing-bandit:arms={arms},segments={segments}", make=make, reps=reps, budget=budget,
        metrics={"regret": "per-segment", "regret-fixed": "best-arm"},
        methods=("ucb1", "ucb1-restarted", "kl-ucb", "thompson", "epsilon-greedy", "exp3"),
        summary=f"{arms} Bernoulli arms, means drawn anew in {segments} segments; {reps} repetitions",
    )  # fmt: skip


@problem("digits-models", family="bandits")
def digits_models(arms: int = 30, reps: int = 100, budget: int = 5_000) -> BanditProblem:
    """Which of several classifiers is best on handwritten digits? A pull tries one on a random image it has not seen.

    Args:
        arms: classifiers, of random kind and settings, each fitted to 150 images.
        reps: repetitions on each split.
        budget: images tried.
    """
    check_int("arms", arms, low=2)

    def make(split: str, budget: int) -> Environment:
        from .digits import outcomes

        return bandits.TableBandit(outcomes(arms)[split])

    return BanditProblem(
        name=f"digits-models:arms={arms}", make=make, reps=reps, budget=budget,
        summary=f"{arms} classifiers of handwritten digits, one random image a pull; {reps} repetitions",
    )  # fmt: skip
