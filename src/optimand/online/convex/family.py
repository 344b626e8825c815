"""The family ``online-convex``: learners that play points and see gradients, compared by regret over rounds.

A method builds a learner from what may be known beforehand, a :class:`~optimand.online.engine.contracts.Spec` with the
dimension, the domain, the horizon and constants such as ``D``, ``G`` and ``L``. A run plays a block of repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

from ..engine.contracts import Environment, Feedback, Spec
from ..engine.draws import Draws
from ..engine.wrappers import PerRepetition
from .environments import SEAEnvironment

_VERBS = ("reset", "act", "update")
_EXPECTED = (
    "expected a class or function of a spec (with actions, the dimension; domain.project(x); horizon; facts['D'], …) "
    "that returns an object with predict() -> (d,) and update(grad), or a learner of the engine with reset, act, update"
)


class OneByOne(PerRepetition):
    """Plain learners ``predict()`` and ``update(grad)`` on points ``(d,)``, one for each repetition.

    Args:
        make: makes a plain learner from the Spec.

    Raises:
        OptimandError: a point has another shape than ``(d,)``.

    Example:
        >>> class Still:
        ...     def predict(self): return np.zeros(2)
        ...     def update(self, grad): pass
        >>> learner = OneByOne(lambda spec: Still())
        >>> learner.reset(Spec("gradient", 3, None, 2), None)
        >>> learner.act(None).shape
        (3, 2)
    """

    def __init__(self, make: Callable[[Spec], Any]) -> None:
        super().__init__(make, "gradient")

    def reset(self, spec: Spec, draws: Draws | None) -> None:
        """Make the learners anew."""
        self.d = spec.actions
        self.objects = [self.make(spec) for _ in range(spec.reps)]

    def act(self, observation: Any) -> Any:
        """The points of all of them, shape ``(R, d)``."""
        points = [np.asarray(learner.predict(), dtype=float) for learner in self.objects]
        for point in points:
            if point.shape != (self.d,):
                raise OptimandError(f"predict() must return a point of shape {(self.d,)}, got {point.shape}")
        return np.stack(points)

    def update(self, feedback: Feedback) -> None:
        """Give each its gradient."""
        for learner, gradient in zip(self.objects, feedback.gradient, strict=True):
            learner.update(gradient.copy())


def as_learner(name: str, built: Any, make: Callable[[Spec], Any]) -> Any:
    """What a method built as a learner of the engine; ``make`` makes plain ones.

    Raises:
        OptimandError: it is neither kind.
    """
    if all(callable(getattr(built, verb, None)) for verb in _VERBS):
        kind = getattr(built, "kind", None)
        if kind != "gradient":
            raise OptimandError(f"method {name!r} learns from {kind!r}, the problems of online-convex give 'gradient'")
        return built
    if callable(getattr(built, "predict", None)) and callable(getattr(built, "update", None)):
        return OneByOne(make)
    raise OptimandError(f"method {name!r} must build a learner, got {built!r:.80}; {_EXPECTED}")


def make_learner(method: Method, spec: Spec, hyper: Mapping[str, Any]) -> Any:
    """The method's learner for what ``spec`` tells."""
    chosen = {**method.defaults, **hyper}
    return as_learner(method.name, method.build(spec, **chosen), lambda s: method.build(s, **chosen))


def known_of(env: Environment, horizon: int) -> Spec:
    """What learners are told in an environment, from one repetition that is not played."""
    env.reset(Draws(SeedTree(0), [0]), horizon)
    return env.spec()


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's learner into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function ``build(spec, **hyper)`` whose result has ``predict()`` and ``update(grad)`` on points
            of shape ``(d,)``, or is a learner of the engine on ``(R, d)``; or a learner class of the engine itself,
            ``Class(**hyper)``. ``lr``, ``step``, ``eta`` and ``scale`` are tuned from a thirtieth to thirty times a
            positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small problem.

    Example:
        >>> class Mine:
        ...     def __init__(self, spec, lr=0.1):
        ...         self.x, self.project, self.lr = np.zeros(spec.actions), spec.domain.project, lr
        ...     def predict(self): return self.x
        ...     def update(self, grad): self.x = self.project(self.x - self.lr * grad)
        >>> adopt("mine", Mine).defaults
        {'lr': 0.1}
    """
    built: Any = obj
    whole = isinstance(obj, type) and all(callable(getattr(obj, verb, None)) for verb in _VERBS)
    return adoption.adopt(
        name, obj, family="online-convex", takes="spec", expected=_EXPECTED, on="a small problem", trial=rehearse,
        build=(lambda spec, **hyper: built(**hyper)) if whole else obj, leading=0 if whole else 1,
        tuned=("lr", "step", "eta", "scale"),
    )  # fmt: skip


def rehearse(method: Method, d: int = 3, reps: int = 2, rounds: int = 5) -> Any:
    """Play a few rounds; returns the learner. Errors are those of the method or of the points that it plays."""
    env = SEAEnvironment("alternating", d=d, sigma=0.1)
    learner = make_learner(method, known_of(env, rounds), {})
    env.reset(Draws(SeedTree(0), np.arange(reps)), rounds)
    learner.reset(env.spec(), Draws(SeedTree(0).child("learner"), np.arange(reps)))
    for _ in range(rounds):
        learner.update(env.step(learner.act(None)))
    env.regret("fixed")
    return learner


def describe(method: Method) -> dict[str, str]:
    """How many numbers a method keeps for each coordinate of a point in 10 dimensions and over 1000 rounds."""
    env = SEAEnvironment("alternating", d=10, sigma=0.1)
    learner = make_learner(method, known_of(env, 1000), {})
    learner.reset(env.spec(), Draws(SeedTree(0).child("learner"), [0]))
    for _ in range(3):
        learner.update(env.step(learner.act(None)))
    facts = {"gradients a round": "1"}
    if hasattr(learner, "state_dict"):
        facts["numbers kept for each coordinate (d = 10)"] = f"{_numbers(learner.state_dict()) / 10:.1f}"
    return facts


def _numbers(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.size)
    if isinstance(value, Mapping):
        return sum(map(_numbers, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_numbers, value))
    return sum(map(_numbers, vars(value).values())) if hasattr(value, "__dict__") and not callable(value) else 0


add_family(
    Family(
        name="online-convex",
        takes="a class of a spec with `predict()` and `update(grad)`, or a learner of the engine",
        guide="online-convex.md",
        summary="play points, see gradients: static and dynamic regret between stochastic and adversarial losses",
        adopt=adopt,
        describe=describe,
        methods=("oco-ogd", "oco-adagrad-norm", "oftrl", "optimistic-omd", "dynamic-omd"),
    )
)
