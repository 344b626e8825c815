"""Objects whose state is a list of attributes, for runs that go on where they were broken off."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np


class Stateful:
    """Gives ``state_dict`` and ``load_state_dict`` to a class that names its state's attributes in ``_state``.

    Values are copied; of a random generator the state of its bits is kept, and of an object with a ``state_dict`` of
    its own that. What is loaded goes into the generator and the object that are there: whoever shares them still does.

    Example:
        >>> class Walk(Stateful):
        ...     _state = ("at", "rng")
        ...     def __init__(self):
        ...         self.at, self.rng = 0.0, np.random.default_rng(0)
        ...     def step(self):
        ...         self.at += self.rng.normal()
        ...         return self.at
        >>> first, second = Walk(), Walk()
        >>> state = first.state_dict()
        >>> there = first.step(), first.step()
        >>> second.step() and second.load_state_dict(state)
        >>> (second.step(), second.step()) == there
        True
    """

    _state: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs, as plain values."""
        return {name: _plain(getattr(self, name, None)) for name in self._state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` exactly."""
        for name in self._state:
            mine: Any = getattr(self, name, None)
            value = copy.deepcopy(state[name])
            if isinstance(mine, np.random.Generator):
                mine.bit_generator.state = value
            elif hasattr(mine, "load_state_dict"):
                mine.load_state_dict(value)
            else:
                setattr(self, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    return value.state_dict() if hasattr(value, "state_dict") else copy.deepcopy(value)
