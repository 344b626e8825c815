"""The replay: a ring of decisions with their targets, from which states or unrolled sequences are drawn.

Episodes lie in the ring one after another, so the decisions after a state are its successors until its episode ends;
the newest episode overwrites the oldest decisions. Draws are uniform or by priority (proportional, with importance
weights; Schaul et al., arXiv 1511.05952).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

IMPORTANCE = 0.4  # exponent of the importance weights


@dataclass
class Episode:
    """What was decided in an episode of T decisions; one that had none is empty."""

    program: int
    features: NDArray[np.float32]  # (T, F)
    actions: NDArray[np.int8]  # (T,), 0 slow, 1 fast
    policies: NDArray[np.float32]  # (T, 2), targets
    rewards: NDArray[np.float32]  # (T,)
    roots: NDArray[np.float32]  # (T,), values of the searches; the actual returns where there was none
    grids: NDArray[np.uint8] | None = None  # (T, 512), packed bits

    @property
    def returns(self) -> NDArray[np.float32]:
        """The actual remaining return at each decision."""
        return np.cumsum(self.rewards[::-1])[::-1].astype(np.float32)


class Draw:
    """A batch: indices into the ring, and importance weights with mean near 1."""

    def __init__(self, at: NDArray[np.int64], weights: NDArray[np.float32]) -> None:
        self.at, self.weights = at, weights


class Replay:
    """A ring of decisions.

    Args:
        capacity: decisions that are kept.
        features: of a state.
        grid: whether grids are kept.
        priority: exponent of the priorities; 0 draws uniformly.
    """

    def __init__(self, capacity: int, features: int, *, grid: bool = False, priority: float = 0.0) -> None:
        self.capacity = check_int("capacity", capacity, low=1)
        self.priority = check_number("priority", priority, low=0.0)
        self.arrays: dict[str, NDArray] = {
            "features": np.zeros((capacity, features), np.float32),
            "policies": np.zeros((capacity, 2), np.float32),
            "rewards": np.zeros(capacity, np.float32),
            "returns": np.zeros(capacity, np.float32),
            "roots": np.zeros(capacity, np.float32),
            "actions": np.zeros(capacity, np.int8),
            "programs": np.zeros(capacity, np.int32),
            "steps": np.zeros(capacity, np.int32),  # decisions since the beginning of the episode
            "left": np.zeros(capacity, np.int32),  # decisions after this one
            "priorities": np.ones(capacity, np.float32),
            "grids": np.zeros((capacity if grid else 0, 512), np.uint8),
        }
        self.head = 0
        self.size = 0

    def add(self, episode: Episode) -> None:
        """Put an episode in; of one that is longer than the ring, its last decisions stay."""
        length = len(episode.actions)
        keep = slice(max(0, length - self.capacity), length)
        count = keep.stop - keep.start
        if count == 0:
            return
        at = (self.head + np.arange(count)) % self.capacity
        a = self.arrays
        a["features"][at], a["policies"][at] = episode.features[keep], episode.policies[keep]
        a["rewards"][at], a["returns"][at] = episode.rewards[keep], episode.returns[keep]
        a["roots"][at], a["actions"][at] = episode.roots[keep], episode.actions[keep]
        a["programs"][at], a["steps"][at] = episode.program, np.arange(length)[keep]
        a["left"][at] = length - 1 - np.arange(length)[keep]
        a["priorities"][at] = a["priorities"][: self.size].max(initial=1e-3) if self.size else 1.0
        if len(a["grids"]):
            assert episode.grids is not None
            a["grids"][at] = episode.grids[keep]
        self.head = int((self.head + count) % self.capacity)
        self.size = min(self.size + count, self.capacity)

    def sample(self, batch: int, rng: np.random.Generator) -> Draw:
        """Indices of a batch, with replacement."""
        if self.priority == 0.0:
            return Draw(rng.integers(self.size, size=batch), np.ones(batch, np.float32))
        weights = self.arrays["priorities"][: self.size].astype(np.float64) ** self.priority
        sums = np.cumsum(weights)
        at = np.minimum(np.searchsorted(sums, rng.random(batch) * sums[-1], side="right"), self.size - 1)
        chance = weights[at] / sums[-1]
        importance = (self.size * chance) ** -IMPORTANCE
        return Draw(at, (importance / importance.max()).astype(np.float32))

    def set_priorities(self, at: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Priorities are the absolute errors of the values."""
        if self.priority > 0.0:
            self.arrays["priorities"][at] = np.abs(errors) + 1e-3

    def after(self, at: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The decisions ``steps`` later, and whether the episode has them."""
        inside = self.arrays["left"][at] >= steps
        return np.where(inside, (at + steps) % self.capacity, at), inside

    def bootstrapped(self, at: NDArray[np.int64], steps: int | None) -> NDArray[np.float32]:
        """Value targets: the rewards of ``steps`` decisions and the root value after them; None: actual returns."""
        if steps is None:
            return self.arrays["returns"][at]
        later, inside = self.after(at, steps)
        tail = np.where(inside, self.arrays["roots"][later] - self.arrays["returns"][later], 0.0)
        return (self.arrays["returns"][at] + tail).astype(np.float32)

    def prefix(self, at: int) -> NDArray[np.int8] | None:
        """The actions of the episode before a decision; None where its beginning was overwritten."""
        steps = int(self.arrays["steps"][at])
        age = (at - self.head) % self.capacity if self.size == self.capacity else at
        if steps > age:
            return None
        return self.arrays["actions"][(at - steps + np.arange(steps)) % self.capacity]

    def state_dict(self) -> dict[str, Any]:
        """Contents and place of writing."""
        arrays = {name: array[: self.size].copy() for name, array in self.arrays.items()}
        return {"arrays": arrays, "head": self.head, "size": self.size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.head, self.size = int(state["head"]), int(state["size"])
        for name, array in state["arrays"].items():
            self.arrays[name][: len(array)] = array
