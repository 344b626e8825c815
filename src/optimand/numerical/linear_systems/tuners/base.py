"""What all tuners share: arms, contexts, the order of ask and tell, and a state that can be saved."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimand.core.validation import check_choice, check_number

Array = NDArray[np.float64]

DEFAULT_ARMS = np.linspace(1.0, 1.95, 20)
DEFAULT_ARMS.setflags(write=False)
HIGHEST_COST = 1e100  # its square is still a number


class OmegaTuner(ABC):
    """Base of the tuners: :meth:`ask` for a value before a solve, :meth:`tell` its cost after it.

    Args:
        arms: the values to choose from, distinct and finite; by default ``linspace(1, 1.95, 20)``.
        context_bounds: ``(low, high)`` of the context, for the tuners that use one.
        outside: what a context outside the bounds does: ``error`` raises, ``clip`` takes the nearest bound.
        least_cost: the smallest cost that can occur, which counts as no loss: 1 for iteration counts, 0 for seconds.
        rng: a NumPy generator or an integer seed.

    A second ``ask`` without a ``tell`` forgets the first, as when a solve was broken off.
    """

    # The arrays that hold what was learned and what the pending arm needs, by their names without the underscore.
    _kept: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        arms: ArrayLike | None = None,
        *,
        context_bounds: tuple[float, float] | None = None,
        outside: str = "error",
        least_cost: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.arms = _checked_arms(DEFAULT_ARMS if arms is None else arms)
        self.context_bounds = None if context_bounds is None else checked_bounds(context_bounds)
        self.outside = check_choice("outside", outside, ("error", "clip"))
        self.least_cost = check_number("least_cost", least_cost, low=0, high=math.inf, high_open=True)
        self.rng = np.random.default_rng(rng)
        self._pending = -1  # the arm that was asked for and whose cost is not known yet

    def ask(self, context: float | None = None) -> float:
        """The value to use in the next solve.

        Args:
            context: what is known of the system before it is solved, such as its shift; tuners without
                ``context_bounds`` ignore it.

        Raises:
            ValueError: the context is missing, not finite, or outside the bounds with ``outside="error"``.
        """
        self._pending = self._choose(self._located(context))
        return float(self.arms[self._pending])

    def tell(self, cost: float) -> None:
        """Learn what the solve with the value from the last :meth:`ask` cost.

        Args:
            cost: iterations or seconds, in [0, 1e100].

        Raises:
            RuntimeError: no ``ask`` came before.
            ValueError: the cost is NaN or out of range.
        """
        if self._pending < 0:
            raise RuntimeError("tell() needs an ask() before it: no value is waiting for its cost")
        number = check_number("cost", cost, low=0, high=HIGHEST_COST)
        self._learn(self._pending, number)
        self._pending = -1

    def policy(self, context: float | None = None) -> float:
        """The value that looks best now, without exploring."""
        return float(self.arms[int(np.argmin(self._estimates(self._located(context))))])

    def probabilities(self, context: float | None = None) -> Array:
        """The probability of each arm in the next :meth:`ask`; shape ``(arms,)``, sums to 1."""
        return self._distribution(self._located(context))

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs, as plain values and arrays; its size does not grow with the rounds."""
        return {
            "kind": type(self).__name__,
            "arms": self.arms.copy(),
            "context_bounds": self.context_bounds,
            "rng": self.rng.bit_generator.state,
            "pending": self._pending,
            **{name: value.copy() for name, value in self._arrays().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken.

        Raises:
            ValueError: the state is of another kind of tuner, of other arms, bounds or sizes, or lacks an entry; the
                tuner is then as it was.
        """
        if state.get("kind") != type(self).__name__:
            raise ValueError(f"state must be of a {type(self).__name__}, got one of {state.get('kind')!r}")
        mine = self._arrays()
        missing = [name for name in ("arms", "context_bounds", "rng", "pending", *mine) if name not in state]
        if missing:
            raise ValueError(f"state must hold {', '.join(missing)}, got one without")
        bounds = state["context_bounds"]
        if not np.array_equal(state["arms"], self.arms) or (bounds and tuple(bounds)) != self.context_bounds:
            raise ValueError("state must be of a tuner with the same arms and context_bounds, got one with others")
        for name, value in mine.items():
            if np.shape(state[name]) != value.shape:
                raise ValueError(f"state[{name!r}] must have shape {value.shape}, got {np.shape(state[name])}")
        for name, value in mine.items():
            value[...] = state[name]
        self.rng.bit_generator.state = state["rng"]
        self._pending = int(state["pending"])

    def _located(self, context: float | None) -> float:
        """The context inside its bounds; 0 for a tuner that uses none."""
        if self.context_bounds is None:
            return 0.0
        if context is None:
            raise ValueError(f"context must be a number in {list(self.context_bounds)}, got None")
        low, high = self.context_bounds
        number = float(context)
        if low <= number <= high:
            return number
        if math.isnan(number):
            raise ValueError("context must be a number, got nan")
        slack = 1e-9 * (high - low)  # of rounding in the caller's arithmetic
        if self.outside == "error" and not low - slack <= number <= high + slack:
            raise ValueError(
                f"context must be in [{low:g}, {high:g}], got {number:g}; outside='clip' takes the nearest bound"
            )
        return min(max(number, low), high)

    @abstractmethod
    def _choose(self, context: float) -> int:
        """Draw the arm for a context."""

    @abstractmethod
    def _learn(self, arm: int, cost: float) -> None:
        """Take in the cost of an arm."""

    @abstractmethod
    def _estimates(self, context: float) -> Array:
        """What the arms seem to cost, up to scale."""

    @abstractmethod
    def _distribution(self, context: float) -> Array:
        """The probabilities of the arms, in a new array."""

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, f"_{name}") for name in self._kept}


class FixedOmega(OmegaTuner):
    """Always the same omega: the baseline, and a place to start from.

    Args:
        omega: the value.

    Example:
        >>> tuner = FixedOmega(1.5)
        >>> tuner.ask(context=0.3)
        1.5
        >>> tuner.tell(12)
    """

    def __init__(self, omega: float) -> None:
        super().__init__([omega], rng=0)

    def _choose(self, context: float) -> int:
        return 0

    def _learn(self, arm: int, cost: float) -> None:
        pass

    def _estimates(self, context: float) -> Array:
        return np.zeros(1)

    def _distribution(self, context: float) -> Array:
        return np.ones(1)


def _checked_arms(arms: ArrayLike) -> Array:
    checked = np.array(arms, dtype=np.float64)
    if checked.ndim != 1 or checked.size == 0:
        raise ValueError(f"arms must be a non-empty sequence of numbers, got shape {checked.shape}")
    if not np.isfinite(checked).all():
        raise ValueError("arms must be finite, got NaN or infinity among them")
    if np.unique(checked).size != checked.size:
        raise ValueError("arms must be distinct, got some of them twice")
    checked.setflags(write=False)
    return checked


def checked_bounds(bounds: Any) -> tuple[float, float]:
    """``bounds`` as two numbers; ValueError if they are not finite, or not low < high."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"context_bounds must be two numbers (low, high), got {bounds!r}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"context_bounds must be finite with low < high, got {bounds!r}")
    return low, high
