"""Hyperparameter search: the same number of trials for each method, the defaults being the first."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from ..core.seeds import SeedTree
from ..core.space import Choice, Dimension, Float, Int

TUNERS = ("qmc", "random", "tpe")


class Tuner:
    """The trials of one method on one problem, in ask-and-tell form on top of Optuna.

    Args:
        space: what to search; may be empty, then the defaults are the only trial.
        trials: number of trials, the defaults included.
        tuner: ``qmc`` (scrambled Sobol points) and ``random`` do not look at results, so all their trials
            can run at once; ``tpe`` asks for one trial after the other.
        direction: ``min`` or ``max``.
        seed: branch of the tree of seeds.

    A stored trial that is told again leads to the same next trials, so a resumed search equals an
    unbroken one.
    """

    def __init__(self, space: Mapping[str, Dimension], trials: int, tuner: str, direction: str, seed: SeedTree) -> None:
        self.trials = trials if space else min(trials, 1)
        self._direction = direction
        self._space = space
        self._values: dict[int, float] = {}
        self._asked: list[tuple[int, dict[str, Any]]] = []
        self._adaptive = tuner == "tpe"
        self._study: Any = None
        self._open: dict[int, Any] = {}
        if self.trials > 1:
            self._study = _optuna_study(tuner, direction, seed, _distributions(space), self.trials)

    def ask(self) -> list[tuple[int, dict[str, Any]]]:
        """The trials that can be started now and were not asked for before: ``(number, hyperparameters)``."""
        fresh: list[tuple[int, dict[str, Any]]] = []
        if not self._asked and self.trials:
            fresh.append((0, {}))
            self._asked += fresh
        while len(self._asked) < self.trials and not (self._adaptive and len(self._values) < len(self._asked)):
            trial = self._study.ask(_distributions(self._space))
            number = len(self._asked)
            self._open[number] = trial
            fresh.append((number, self._values_of(trial.params)))
            self._asked.append(fresh[-1])
        return fresh

    def _values_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {n: d.options[params[n]] if isinstance(d := self._space[n], Choice) else params[n] for n in self._space}

    def tell(self, number: int, value: float) -> None:
        """Give a trial's validation value; NaN if it diverged or failed."""
        import optuna

        self._values[number] = value
        if number in self._open:
            trial = self._open.pop(number)
            if math.isfinite(value):
                self._study.tell(trial, value)
            else:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)

    @property
    def complete(self) -> bool:
        """Whether all trials have been told."""
        return len(self._values) == self.trials

    def best(self) -> dict[str, Any]:
        """Hyperparameters of the best trial, the first of equals; the defaults if every trial diverged."""
        sign = -1.0 if self._direction == "max" else 1.0
        finite = [(sign * v, n) for n, v in self._values.items() if math.isfinite(v)]
        number = min(finite)[1] if finite else 0
        return next((hyper for n, hyper in self._asked if n == number), {})


def _distributions(space: Mapping[str, Dimension]) -> dict[str, Any]:
    from optuna import distributions as od

    made: dict[str, Any] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Float):
            made[name] = od.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        elif isinstance(dimension, Int):
            made[name] = od.IntDistribution(dimension.low, dimension.high, log=dimension.log)
        elif isinstance(dimension, Choice):
            # Optuna stores plain values only; an option (a tuple, say) travels as its position.
            made[name] = od.CategoricalDistribution(list(range(len(dimension.options))))
        else:
            raise TypeError(f"space[{name!r}] must be a Float, Int or Choice, got {dimension!r}")
    return made


def _optuna_study(tuner: str, direction: str, seed: SeedTree, distributions: Mapping[str, Any], trials: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    number = seed.integer() % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if tuner == "qmc":

            class KnownSpace(optuna.samplers.QMCSampler):
                # Optuna would learn the space from a first, merely random trial; here it is known.
                def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
                    return {k: d for k, d in distributions.items() if not hasattr(d, "choices")}

            sampler: Any = KnownSpace(
                qmc_type="sobol",
                scramble=True,
                seed=number,
                warn_independent_sampling=False,
                warn_asynchronous_seeding=False,
            )
        elif tuner == "random":
            sampler = optuna.samplers.RandomSampler(seed=number)
        else:
            sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=min(10, max(3, trials // 3)))
    return optuna.create_study(sampler=sampler, direction="maximize" if direction == "max" else "minimize")
