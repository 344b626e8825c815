"""One tree of seeds: everything random in a run hangs on a named branch of one root seed.

Names instead of order: a branch gives the same numbers whether or not other branches are used, so two
methods on the same problem and seed meet the same data order and the same initial weights.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from .validation import check_int

if TYPE_CHECKING:
    import torch


class SeedTree:
    """A branch of the tree of seeds.

    Args:
        root: the seed, a non-negative integer.
        path: the names from the root to this branch.

    Example:
        >>> SeedTree(3).child("data").integer() == SeedTree(3).child("data").integer()
        True
        >>> SeedTree(3).child("data").integer() == SeedTree(3).child("model").integer()
        False
    """

    def __init__(self, root: int, path: tuple[str, ...] = ()) -> None:
        self.root = check_int("root", root, low=0)
        self.path = path

    def child(self, *names: str | int) -> SeedTree:
        """The branch below this one that ``names`` lead to."""
        return SeedTree(self.root, (*self.path, *map(str, names)))

    def sequence(self) -> np.random.SeedSequence:
        """NumPy's seed sequence of this branch."""
        digest = hashlib.sha256("\x1f".join(self.path).encode()).digest()
        return np.random.SeedSequence(self.root, spawn_key=tuple(np.frombuffer(digest, dtype=np.uint32).tolist()))

    def integer(self) -> int:
        """A seed in ``[0, 2**63)`` for a library that takes one."""
        return int(self.sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))

    def numpy(self) -> np.random.Generator:
        """A NumPy generator."""
        return np.random.Generator(np.random.PCG64(self.sequence()))

    def torch(self, device: str = "cpu") -> torch.Generator:
        """A torch generator on ``device``."""
        import torch

        return torch.Generator(device).manual_seed(self.integer())

    def __repr__(self) -> str:
        return f"SeedTree({self.root}, {'/'.join(self.path) or '.'})"
