"""Problems of the family ``streaming-bandits``: streams of arms that pass once.

The budget counts trials, all of them: a method explores as long as it likes and then commits to an arm, which is played
to the end. ``regret_share`` is the regret in units of ``K^{1/3} T^{2/3}``, the rate that no learner with little memory
can beat; ``regret`` is the regret itself. Both are against the best of all arms. Costs beside time: arms alive at once,
trials before the commitment and their share, and by how much the arm committed to falls short of the best.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int

from .. import streaming
from ..engine.contracts import Spec
from ..engine.running import RepeatedProblem, run_repetitions
from .family import make_learner

if TYPE_CHECKING:
    from .instances import Instances


@dataclass(frozen=True, kw_only=True)
class StreamingProblem(RepeatedProblem):
    """Streams of arms, many repetitions in a run.

    Attributes:
        make: makes the instances.
        arms: ``K``.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> recorder = Recorder(100_000)
        >>> method = Method("uniform", "streaming-bandits", lambda spec: streaming.UniformExplore(), {}, {})
        >>> streams = stream_mix_in(K=50, reps=20)
        >>> streams.run(method, {}, seed=SeedTree(0), budget=100_000, recorder=recorder)
        >>> 0.5 < recorder.last("test", "regret_share") < 1.5, recorder.costs["peak_arms"]
        (True, 2.0)
    """

    make: Callable[[], Instances]
    arms: int

    family: ClassVar[str] = "streaming-bandits"
    unit: ClassVar[str] = "trials"
    metric: ClassVar[str] = "regret_share"

    def __post_init__(self) -> None:
        check_int("K", self.arms, low=1)
        super().__post_init__()
        if self.budget < self.arms:
            raise ValueError(f"budget must be at least the number of arms, K={self.arms}, got {self.budget}")

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once, ``reps`` repetitions on each split.

        Regret is recorded from a twentieth of ``K/eps^2`` trials on: before it, all learners pull their first arms.
        """
        from .family import rehearse

        unit = self.arms ** (1 / 3) * budget ** (2 / 3)
        # Instances are made and loops compiled before a method's clock counts it.
        env = streaming.StreamingBandit(self.make())
        with contextlib.suppress(Exception):  # what fails here is reported by the run itself
            rehearse(method)
        run_repetitions(
            lambda split: env, lambda: make_learner(method, hyper, Spec("arms", self.reps, budget, self.arms)),
            reps=self.reps, metrics={"regret_share": "best-arm", "regret": "best-arm"}, seed=seed, budget=budget,
            recorder=recorder, first=max(1, min(budget, int(unit / 20))), scale={"regret_share": lambda at: unit},
        )  # fmt: skip


SHARE = "regret_share = regret / (K^(1/3) T^(2/3))"


def _problem(name: str, make: Callable[[], Instances], K: int, budget: int | None, reps: int, summary: str) -> Any:
    return StreamingProblem(
        name=name, make=make, arms=K, budget=_trials(K, budget), reps=reps, summary=f"{summary}; {SHARE}"
    )


def _trials(K: int, budget: int | None) -> int:
    """The budget, or the page's ``T = K^3``."""
    return K**3 if budget is None else budget


@problem("stream-clear-cut", family="streaming-bandits")
def stream_clear_cut(K: int = 500, budget: int | None = None, reps: int = 100) -> StreamingProblem:
    """One arm of mean 0.82 among arms of truncated normal means up to 0.8; regret / (K^(1/3) T^(2/3)).

    Args:
        K: arms.
        budget: trials, at least K; K^3 by default.
        reps: repetitions on each split.
    """
    check_int("K", K, low=1)
    text = f"{K} arms that pass once: one of mean 0.82, the others normal(0.5, 0.1) within [0, 0.8]"
    return _problem(f"stream-clear-cut:K={K}", lambda: streaming.clear_cut(K), K, budget, reps, text)


@problem("stream-mix-in", family="streaming-bandits")
def stream_mix_in(K: int = 500, budget: int | None = None, reps: int = 100) -> StreamingProblem:
    """Arms with means uniform on [0, 1]; regret / (K^(1/3) T^(2/3)).

    Args:
        K: arms.
        budget: trials, at least K; K^3 by default.
        reps: repetitions on each split.
    """
    check_int("K", K, low=1)
    text = f"{K} arms that pass once, means uniform on [0, 1]"
    return _problem(f"stream-mix-in:K={K}", lambda: streaming.mix_in(K), K, budget, reps, text)


@problem("stream-beta", family="streaming-bandits")
def stream_beta(
    K: int = 500, a: float = 2.0, b: float = 8.0, budget: int | None = None, reps: int = 100
) -> StreamingProblem:
    """Arms with means from Beta(a, b): with b well above a good ones are rare; regret / (K^(1/3) T^(2/3)).

    Args:
        K: arms.
        a, b: > 0.
        budget: trials, at least K; K^3 by default.
        reps: repetitions on each split.
    """
    streaming.beta_arms(K, a, b)
    text = f"{K} arms that pass once, means from Beta({a:g}, {b:g})"
    return _problem(f"stream-beta:K={K},a={a:g},b={b:g}", lambda: streaming.beta_arms(K, a, b), K, budget, reps, text)


@problem("stream-hard", family="streaming-bandits")
def stream_hard(
    K: int = 200, c: float = 1.0, last: str = "alternate", budget: int | None = None, reps: int = 200
) -> StreamingProblem:
    """The lower bound's instance: an arm better by c (K/T)^(1/3), the last 0 or 1; regret / (K^(1/3) T^(2/3)).

    Args:
        K: arms, at least 2.
        c: size of the gap.
        last: ``alternate`` (0 in even repetitions, 1 in odd ones), ``random``, ``zero`` or ``one``.
        budget: trials, at least K; K^3 by default. The gap follows it.
        reps: repetitions on each split.
    """
    check_choice("last", last, ("alternate", "random", "zero", "one"))
    streaming.hard_instance(K, _trials(check_int("K", K, low=2), budget), c, last)
    text = f"{K} arms of 1/2 that pass once, one better by {c:g} (K/T)^(1/3), the last {last}"
    name = f"stream-hard:K={K},c={c:g},last={last}"
    return _problem(name, lambda: streaming.hard_instance(K, None, c, last), K, budget, reps, text)


@problem("stream-classifiers", family="streaming-bandits")
def stream_classifiers(K: int = 300, budget: int = 1_000_000, reps: int = 100) -> StreamingProblem:
    """Classifiers of digits with random settings, a trial shows one a new image; regret / (K^(1/3) T^(2/3)).

    Args:
        K: classifiers.
        budget: trials, at least K.
        reps: repetitions (random orders) on each split.
    """
    check_int("K", K, low=1)
    text = f"{K} classifiers of digits with random settings that pass once in random order, reward: right or wrong"
    return _problem(f"stream-classifiers:K={K}", lambda: streaming.classifier_stream(K), K, budget, reps, text)
