"""Random numbers for repetitions: each repetition has a stream of its own, whatever block it is simulated in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree


class Draws:
    """A source of random numbers for a block of repetitions.

    The numbers of a repetition depend on the branch of the seed tree, on the repetition's number and on how many were
    drawn before, and on nothing else: not on the other repetitions of the block.

    Args:
        tree: the branch of the tree of seeds.
        reps: numbers of the repetitions, shape ``(R,)``.
        stream: one of several independent streams under the same branch.

    Attributes:
        reps: the repetitions' numbers.
        key: what names the branch in :mod:`optimand.online.engine.streams`.
        count: values that each repetition has drawn; all that a resume needs.

    Example:
        >>> both, second = Draws(SeedTree(0), [0, 1]), Draws(SeedTree(0), [1])
        >>> bool((both.uniform(3)[1] == second.uniform(3)[0]).all())
        True
    """

    def __init__(self, tree: SeedTree, reps: Any, stream: int = 0) -> None:
        self.tree = tree
        self.key = np.uint64(tree.integer())
        self.reps = np.ascontiguousarray(reps, dtype=np.int64)
        self.stream = stream
        self.count = 0

    def child(self, *names: str | int) -> Draws:
        """An independent source for the same repetitions."""
        return Draws(self.tree.child(*names), self.reps)

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniform numbers on [0, 1), shape ``(R, *shape)``."""
        from .streams import fill_uniform

        return self._fill(fill_uniform, shape, 1)

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal numbers, shape ``(R, *shape)``."""
        from .streams import fill_normal

        return self._fill(fill_normal, shape, 2)

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """Integers in ``[0, high)``, shape ``(R, *shape)``; ``high`` up to 2**53."""
        return np.minimum((self.uniform(*shape) * high).astype(np.int64), high - 1)

    def permutation(self, n: int) -> np.ndarray:
        """A permutation of ``range(n)`` for each repetition, shape ``(R, n)``."""
        return np.argsort(self.uniform(n), axis=1, kind="stable")

    def binomial(self, n: Any, p: Any) -> np.ndarray:
        """Successes in ``n`` trials of probability ``p`` (numbers or arrays ``(R,)``), as floats of shape ``(R,)``."""
        from .streams import fill_binomial

        size = len(self.reps)
        out = np.empty(size)
        trials = np.broadcast_to(np.asarray(n, dtype=np.int64), size)
        fill_binomial(self.key, self.reps, self.stream, self.count, trials, np.broadcast_to(np.float64(p), size), out)
        self.count += 1
        return out

    def _fill(self, fill: Any, shape: tuple[int, ...], uniforms: int) -> np.ndarray:
        # A value that is made from two uniform ones takes the places of both.
        first = -(-self.count // uniforms)
        out = np.empty((len(self.reps), math.prod(shape)))
        fill(self.key, self.reps, self.stream, first, out)
        self.count = (first + out.shape[1]) * uniforms
        return out.reshape(len(self.reps), *shape)
