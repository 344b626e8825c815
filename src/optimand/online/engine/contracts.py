"""What the engine asks of learners and environments: three verbs each, on a leading axis of repetitions.

A learner sees its :class:`Spec`, the observations and the :class:`Feedback`, never the environment: means, comparators
and the counts of what it used are on the other side. All arrays begin with the axis of the ``R`` repetitions, so that
one call in Python advances all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from .draws import Draws

Kind = Literal["reward", "gradient", "transition", "arms"]
Array = np.ndarray


@dataclass(frozen=True)
class Spec:
    """What a learner is told before it begins.

    Attributes:
        kind: the feedback: ``reward`` of the arm that was pulled, ``gradient`` (and loss) at the point that was
            played, ``transition`` of a decision process, ``arms`` that arrive in a stream.
        reps: repetitions ``R``.
        horizon: rounds (pulls) to come; None where the learner is not told.
        actions: number of arms, or dimension of the points.
        features: of the arms, shape ``(actions, d)``; None where they have none.
        domain: the convex set that points are played from, or an action space.
        facts: constants that the learner may know, such as ``G`` or ``sigma``.
    """

    kind: Kind
    reps: int
    horizon: int | None
    actions: int
    features: Array | None = None
    domain: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Feedback:
    """What a round reveals; a field that the environment does not reveal is None.

    Args:
        reward: shape ``(R,)``; for batches of pulls the mean of each batch.
        gradient: of the round's loss at the point played, shape ``(R, d)``.
        loss: the round's loss as an object, with ``value(x)``, ``gradient(x)`` and what else it can do.
        observation: what the next action may depend on, or None.
        terminated, truncated: ends of episodes, shape ``(R,)``.
        count: pulls of each batch, shape ``(R,)``, where actions are batches: what was left of the horizon may be
            less than was asked for. In feedback that arrives late 1 or 0: where it is 0, nothing has arrived.
        round: the round (from 0) that the feedback is about, shape ``(R,)``, where it arrives late; None for the last
            one.
        action: what was played in that round, where it arrives late.
        late: what a round brings where feedback arrives late: a list of feedbacks, each of which the learner's
            ``update`` is called with; it may be empty. None where feedback is about the last actions.
        final: the observation that ended an episode, where ``observation`` begins the next one.
    """

    __slots__ = (
        "action", "count", "final", "gradient", "late", "loss", "observation", "reward", "round", "terminated",
        "truncated",
    )  # fmt: skip

    def __init__(
        self, *, reward: Any = None, gradient: Any = None, loss: Any = None, observation: Any = None,
        terminated: Any = None, truncated: Any = None, count: Any = None, round: Any = None, action: Any = None,
        late: list[Feedback] | None = None, final: Any = None,
    ) -> None:  # fmt: skip
        self.reward, self.gradient, self.loss, self.observation = reward, gradient, loss, observation
        self.terminated, self.truncated, self.count, self.round = terminated, truncated, count, round
        self.action, self.late, self.final = action, late, final


class Stateful:
    """State as a dictionary: all attributes, copied. Resuming from it goes on bit for bit."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state."""
        return copy.deepcopy(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a copy of ``state``."""
        vars(self).update(copy.deepcopy(dict(state)))


class Learner(Stateful):
    """Chooses actions and learns from feedback, for ``R`` repetitions at once.

    Class attributes:
        kind: the feedback that it learns from.
        batched: whether ``act`` returns ``(actions, counts)``: each repetition repeats its action ``counts[r]`` times
            and is told the mean. Repetitions then differ in how far they are; one that has come to the horizon pulls
            nothing, and its ``count`` is 0.
        late: whether ``update`` can take feedback on earlier rounds, with its ``action`` and ``round``, and with a
            ``count`` of 0 where nothing arrived.
        needs: facts of the :class:`Spec` that must be there, e.g. ``("horizon",)``.
    """

    kind: ClassVar[Kind] = "reward"
    batched: ClassVar[bool] = False
    late: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin anew: ``spec.reps`` repetitions, random numbers from ``draws``."""
        raise NotImplementedError

    def act(self, observation: Any) -> Any:
        """The actions, shape ``(R,)`` or ``(R, d)``; with :attr:`batched` a pair with the counts ``(R,)``."""
        raise NotImplementedError

    def update(self, feedback: Feedback) -> None:
        """Learn from what the last actions brought."""
        raise NotImplementedError


class Environment(Stateful):
    """Answers actions, and keeps what learners must not see.

    Class attributes:
        kind: the feedback that it gives.
        batches: whether it takes batches of actions.
        late: when feedback arrives: ``never`` late, or after a ``constant`` or a ``random`` delay.
        comparators: what regret can be measured against, the usual one first.
    """

    kind: ClassVar[Kind] = "reward"
    batches: ClassVar[bool] = False
    late: ClassVar[Literal["never", "constant", "random"]] = "never"
    comparators: ClassVar[tuple[str, ...]] = ()

    def reset(self, draws: Draws, horizon: int | None) -> Any:
        """Begin anew for the repetitions of ``draws``; returns the first observation."""
        raise NotImplementedError

    def spec(self) -> Spec:
        """What a learner may know of the repetitions at hand."""
        raise NotImplementedError

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """Take the actions (each ``counts`` times) of all repetitions."""
        raise NotImplementedError

    def regret(self, comparator: str) -> Array:
        """Regret so far against a comparator, shape ``(R,)``; for the engine alone."""
        raise NotImplementedError

    def extras(self) -> dict[str, Array]:
        """What else was counted, by name, each of shape ``(R,)``."""
        return {}
