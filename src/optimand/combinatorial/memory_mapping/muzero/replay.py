"""The replay: a ring of decisions with their targets, from which states or unrolled sequences are drawn.

Episodes lie in the ring one after another, so the decisions after a state are its successors until its episode ends;
the newest episode overwrites the oldest decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Episode:
    """What was decided in an episode of T decisions; one that had none is empty."""

    features: NDArray[np.float32]  # (T, F)
    actions: NDArray[np.int8]  # (T,), 0 slow, 1 fast
    policies: NDArray[np.float32]  # (T, 2), targets
    rewards: NDArray[np.float32]  # (T,)

    @property
    def returns(self) -> NDArray[np.float32]:
        """The remaining return at each decision."""
        return np.cumsum(self.rewards[::-1])[::-1].astype(np.float32)


class Replay:
    """A ring of decisions.

    Args:
        capacity: decisions that are kept.
        features: of a state.
    """

    def __init__(self, capacity: int, features: int) -> None:
        self.capacity = capacity
        self.arrays: dict[str, NDArray] = {
            "features": np.zeros((capacity, features), np.float32),
            "policies": np.zeros((capacity, 2), np.float32),
            "rewards": np.zeros(capacity, np.float32),
            "returns": np.zeros(capacity, np.float32),
            "actions": np.zeros(capacity, np.int8),
            "left": np.zeros(capacity, np.int32),  # decisions after this one
        }
        self.head = 0
        self.size = 0

    def add(self, episode: Episode) -> None:
        """Put an episode in; of one that is longer than the ring, its last decisions stay."""
        length = len(episode.actions)
        count = min(length, self.capacity)
        at = (self.head + np.arange(count)) % self.capacity
        for name in ("features", "policies", "rewards", "returns", "actions"):
            self.arrays[name][at] = getattr(episode, name)[length - count :]
        self.arrays["left"][at] = np.arange(count)[::-1]
        self.head = int((self.head + count) % self.capacity)
        self.size = min(self.size + count, self.capacity)

    def sample(self, batch: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices of a batch, with replacement."""
        return rng.integers(self.size, size=batch)

    def after(self, at: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The decisions ``steps`` later, and whether the episode has them."""
        inside = self.arrays["left"][at] >= steps
        return np.where(inside, (at + steps) % self.capacity, at), inside

    def state_dict(self) -> dict[str, Any]:
        """Contents and place of writing."""
        arrays = {name: array[: self.size].copy() for name, array in self.arrays.items()}
        return {"arrays": arrays, "head": self.head, "size": self.size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.head, self.size = int(state["head"]), int(state["size"])
        for name, array in state["arrays"].items():
            self.arrays[name][: len(array)] = array
