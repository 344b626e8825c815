"""What the learners of this room share: arguments, checks, and two ways of being used.

Under the engine a learner is reset with a :class:`~optimand.online.engine.contracts.Spec` and plays points ``(R, d)``.
By hand it needs no engine::

    learner = OGD(Ball(1.0, dim=2), G=1.0)
    x = learner.predict()  # shape (2,)
    learner.update(grad)

Constants that were not given come from the domain (``D``) and from what the environment tells (``G``, ``L``, …).
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.validation import OptimandError, check_int, check_number

from ..engine.contracts import Feedback, Learner, Spec
from ..engine.draws import Draws
from .domains import Domain, check_domain

Array = np.ndarray
LARGEST = sys.float_info.max
# Gradients longer than G by rounding alone are not counted.
SLACK = 1 + 1e-9


class GradientLearner(Learner):
    """Base of learners from gradients; points of all repetitions have shape ``(R, d)``.

    A subclass says in :meth:`_begin` what its state is, in :meth:`_decide` what it plays (``self._next`` by default)
    and in :meth:`_learn` what a gradient changes. Arrays of a state are replaced, never written into, once they have
    been played.

    Args:
        domain: where points are played from; None for the environment's.
        D: diameter of the domain, > 0.
        G: bound on the norms of gradients, > 0. A longer gradient is counted in :attr:`exceeded` and used as it is;
            the first one warns.
        L: smoothness of the mean losses, at least 0.
        x1: the first point, shape ``(d,)``; by default the point of the domain nearest to 0 (the simplex: its center).

    Attributes:
        t: rounds that were learned from.
        exceeded: by repetition the number of gradients longer than ``G``, shape ``(R,)``.

    Raises:
        ValueError: an argument is out of its range, or ``x1`` is outside the domain.
    """

    kind: ClassVar[Literal["gradient"]] = "gradient"
    _next: Array
    # What must be known before the first round: constants by name.
    asks: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, domain: Any = None, *, D: float | None = None, G: Any = None, L: float | None = None, x1: Any = None
    ) -> None:
        self.domain = None if domain is None else check_domain(domain)
        self.D = None if D is None else check_number("D", D, low=0, low_open=True, high=math.inf, high_open=True)
        self.G = self._checked_bound(G)
        self.L = None if L is None else check_number("L", L, low=0, high=math.inf, high_open=True)
        self.x1 = None if x1 is None else np.array(x1, dtype=float)
        if self.x1 is not None and self.x1.ndim != 1:
            raise ValueError(f"x1 must have shape (d,), got {self.x1.shape}")
        if self.x1 is not None and domain is not None:
            _check_inside(domain, self.x1)
        self.facts: dict[str, Any] = {}
        self._x: Array | None = None
        self._shape: tuple[int, int] | None = None

    def _checked_bound(self, G: Any) -> Any:
        if isinstance(G, str):
            raise ValueError(f"G must be a number > 0, got {G!r}")
        return None if G is None else check_number("G", G, low=0, low_open=True, high=math.inf, high_open=True)

    def begin(
        self, dim: int | None = None, reps: int | None = None, *, domain: Any = None, horizon: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin anew.

        Args:
            dim: entries of a point; by default what the domain or ``x1`` tells.
            reps: repetitions: points have shape ``(reps, dim)``; None for one of shape ``(dim,)``.
            domain: used where the learner was given none.
            horizon: rounds to come, where they are known.
            facts: constants by name, used where the learner was given none.

        Raises:
            OptimandError: the dimension, the domain or a constant that the learner needs is not known.
            ValueError: ``x1`` is outside the domain, or not of the dimension.
        """
        space: Domain | None = self.domain if self.domain is not None else domain
        if space is None:
            raise OptimandError(f"{type(self).__name__} needs a domain, such as Ball(1.0) or Unconstrained()")
        known = len(self.x1) if self.x1 is not None else space.dim
        if dim is None and known is None:
            raise OptimandError(
                f"{type(self).__name__} does not know the dimension: give the domain dim=, give x1=, or call begin(dim)"
            )
        dim = check_int("dim", known if dim is None else dim, low=1)
        for name, own in (("domain", space.dim), ("x1", known)):
            if own is not None and own != dim:
                raise OptimandError(f"{name} has {own} entries, points have {dim}")
        if self.x1 is not None:
            _check_inside(space, self.x1)
        self._space = space
        self._single = reps is None
        self._shape = (1 if reps is None else check_int("reps", reps, low=1), dim)
        self.horizon_told = horizon
        self.facts = {**(facts or {})}
        if 0 < space.diameter_in(dim) < math.inf:
            self.facts["D"] = space.diameter_in(dim)
        for name in self.asks:
            if self._constant(name) is None:
                why = f"{space!r} has no finite diameter > 0" if name == "D" else "the environment does not tell it"
                what = "G, the bound on the norms of gradients," if name == "G" else name
                raise OptimandError(f"{type(self).__name__}: {what} must be given: {why}")
        bound = self._constant("G")
        self._limit = LARGEST if bound is None or isinstance(bound, str) else (float(bound) * SLACK) ** 2
        self._warned = False
        self.exceeded = np.zeros(self._shape[0], dtype=np.int64)
        self.t = 0
        self._x = None
        self._begin()

    def _constant(self, name: str) -> Any:
        """A constant: as given, or as told; None where it is not known."""
        own = getattr(self, name, None)
        value = self.facts.get(name) if own is None else own
        if value is None or (name == "D" and not (0 < value < math.inf)):
            return None
        return value

    def _first_point(self) -> Array:
        assert self._shape is not None
        first = self._space.start(self._shape[1]) if self.x1 is None else self.x1
        return np.repeat(first[None], self._shape[0], axis=0)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin anew for the repetitions of ``spec``; nothing here is random."""
        self.begin(spec.actions, spec.reps, domain=spec.domain, horizon=spec.horizon, facts=spec.facts)

    def act(self, observation: Any = None) -> Array:
        """The points of the round, shape ``(R, d)``; not to be written into."""
        if self._x is None:
            if self._shape is None:
                self.begin()
            self._x = self._decide()
        return self._x

    def predict(self) -> Array:
        """The point of the round, shape ``(d,)`` (or ``(R, d)`` after ``begin(d, R)``); the same until :meth:`update`.

        Raises:
            OptimandError: as :meth:`begin`.
        """
        points = self.act()
        return points[0].copy() if self._single else points.copy()

    def update(self, feedback: Any = None, *, loss: Any = None) -> None:
        """Learn from the round.

        Args:
            feedback: the gradient at the point that was played, of the point's shape, or the engine's Feedback.
            loss: the round's loss, an object with ``gradient(x)`` for points of shape ``(R, d)``; instead of, or
                besides, the gradient.

        Raises:
            OptimandError: there was no :meth:`predict` before, neither gradient nor loss is given, the loss is none or
                does not fit, or the gradient has another shape or entries that are not finite.

        Example:
            >>> from optimand.online.convex import OGD, Ball
            >>> learner = OGD(Ball(1.0, dim=1), G=1.0)
            >>> _ = learner.predict()
            >>> learner.update([0.25])
            >>> learner.predict().tolist()
            [-0.5]
        """
        x = self._x
        if x is None:
            raise OptimandError("update came before predict: a gradient belongs to a point that was played")
        gradient = feedback
        if isinstance(feedback, Feedback):
            gradient, loss = feedback.gradient, feedback.loss if loss is None else loss
            if feedback.action is not None:  # it comes late, and is about that point
                self._x = x = np.asarray(feedback.action, dtype=float)
        elif loss is not None:
            check_hand_made(loss, x.shape)
        if gradient is None:
            if loss is None:
                raise OptimandError("update needs a gradient or a loss, got neither")
            gradient = gradient_of(loss, x)
        try:
            g = np.array(gradient, dtype=float)
        except (TypeError, ValueError) as error:
            raise OptimandError(
                f"gradient must be numbers of shape {self._expected()}, got {gradient!r:.60} "
                f"({type(gradient).__name__}); a loss is given as update(loss=…)"
            ) from error
        if g.shape != self._shape:
            if g.shape != self._expected():
                raise OptimandError(f"gradient must have shape {self._expected()}, the point's, got {g.shape}")
            g = g[None]
        square = self._space.dual_square(g)
        if not np.maximum.reduce(square) <= self._limit:
            self._check(g, square)
        self._learn(g, square, loss)
        self.t += 1
        self._x = None

    def _expected(self) -> tuple[int, ...]:
        assert self._shape is not None
        return self._shape[1:] if self._single else self._shape

    def _check(self, g: Array, square: Array) -> None:
        bad = ~np.isfinite(g).all(1)
        if bad.any() or not (square < math.inf).all():
            r = int(np.flatnonzero(bad | ~(square < math.inf))[0])
            where = "" if self._single else f" of repetition {r}"
            raise OptimandError(f"gradient{where} must be finite (round {self.t + 1}), got {g[r].tolist()}"[:400])
        self._exceed(square)

    def _exceed(self, square: Array) -> None:
        over = square > self._limit
        self.exceeded = self.exceeded + over
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{type(self).__name__}: a gradient of norm {math.sqrt(float(square.max())):.6g} is longer than "
                f"G = {math.sqrt(self._limit) / SLACK:.6g} (round {self.t + 1}); bounds on the regret do not hold. "
                "Such gradients are counted in .exceeded",
                RuntimeWarning,
                stacklevel=4,
            )

    def _begin(self) -> None:
        raise NotImplementedError

    def _decide(self) -> Array:
        return self._next

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        """Take in gradients ``g`` (R, d), with the squares of their norms (R,)."""
        raise NotImplementedError


def _check_inside(domain: Domain, x1: Array) -> None:
    if not np.isfinite(x1).all() or not domain.contains(x1):
        raise ValueError(f"x1 must be a point of {domain!r}, got {x1.tolist()}")


def check_euclidean(name: str, space: Domain) -> None:
    """OptimandError for a simplex with entropy, which the learner called ``name`` has no use for."""
    if space.entropic:
        raise OptimandError(f"{name} goes by the Euclidean norm: give Simplex(entropy=False), got {space!r}")


def check_bounded(name: str, space: Domain) -> None:
    """ValueError unless the set is bounded."""
    if not space.bounded:
        raise ValueError(f"{name} needs a bounded domain, got {space!r}")


def check_hand_made(loss: Any, shape: tuple[int, int]) -> None:
    """Check a loss that came by hand, for points of shape ``(R, d)``.

    Raises:
        OptimandError: it has no ``gradient``, or the features of a linear model do not fit.
    """
    if not callable(getattr(loss, "gradient", None)):
        raise OptimandError(
            f"loss must be an object with gradient(x) for points x of shape (R, d), got {loss!r:.60} "
            f"({type(loss).__name__})"
        )
    features = getattr(loss, "features", None)
    if features is not None:
        found = np.shape(features)
        if len(found) != 2 or found[1] != shape[1] or found[0] not in (1, shape[0]):
            raise OptimandError(
                f"loss must have features of shape {shape}, as the points have, got {found} ({type(loss).__name__})"
            )


def gradient_of(loss: Any, x: Array) -> Array:
    """The loss's gradient at the points ``x`` (R, d).

    Raises:
        OptimandError: it fails, or has another shape.
    """
    kind = type(loss).__name__
    try:
        found = np.asarray(loss.gradient(x.copy()), dtype=float)
    except Exception as error:  # whatever a user's code raises
        raise OptimandError(
            f"{kind}.gradient(x) failed at points x of shape {x.shape}, one row a repetition: "
            f"{type(error).__name__}: {error}"
        ) from error
    if found.shape != x.shape:
        raise OptimandError(
            f"{kind}.gradient(x) must have the shape of the points x, (R, d) = {x.shape}, got {found.shape}"
        )
    return found
