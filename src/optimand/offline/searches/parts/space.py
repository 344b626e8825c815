"""The space in which searches work: offline rows, encoded, with values scaled to mean 0 and deviation 1.

It sees an :class:`~optimand.offline.tasks.base.OfflineData` and nothing else, and adds what searches need: starts,
neighbours, random designs, and sets of designs in which none occurs twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from optimand.core.validation import OptimandError

from ...tasks.base import OfflineData

Designs = NDArray[Any]
# Neighbours that are scored at once when a set of designs is completed.
MOST_NEIGHBOURS = 20_000


class Space:
    """Offline data for a search.

    Args:
        data: designs, values, and the map between designs and model space.

    Attributes:
        x: encodings, float32 (n, D), standardised by the rows.
        y: standardised values, float32 (n,).
        dim: D.
        length: positions of a sequence, or coordinates.
        box: the bounds of coordinates in this space, each (D,); None for sequences.
        spread: standard deviation of each column of the designs, (length,), 1 where it is constant.
        classes: K; 0 for continuous designs.

    Raises:
        TypeError: ``data`` is no offline data.
        ValueError: fewer than two rows.
    """

    def __init__(self, data: OfflineData) -> None:
        if not isinstance(data, OfflineData):
            raise TypeError(f"data must be an OfflineData, got {data!r:.60} ({type(data).__name__})")
        if len(data) < 2:
            raise ValueError(f"data must have at least 2 rows, got {len(data)}")
        self.data = data
        self.designs: Designs = data.x
        self.is_discrete, self.classes = data.is_discrete, data.num_classes or 0
        self.length, self.dim = data.length, data.dim
        self.x = torch.from_numpy(data.encode(data.x))
        self.y = torch.from_numpy(((data.y - data.y_mean) / data.y_std).astype(np.float32))

        self.box: tuple[torch.Tensor, torch.Tensor] | None = None
        if data.bounds is not None:
            mean, deviation = data.scale
            low, high = (torch.from_numpy(((side - mean) / deviation).astype(np.float32)) for side in data.bounds)
            self.box = low, high
        spread = self.designs.std(axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)

    @property
    def distinct(self) -> float:
        """How many designs there are: K^L; infinitely many, or one, of coordinates within bounds."""
        if self.data.bounds is not None:
            return float("inf") if (self.data.bounds[0] < self.data.bounds[1]).any() else 1
        return self.classes**self.length

    def encode(self, designs: Designs) -> torch.Tensor:
        """Designs in this space, float32 (m, D)."""
        return torch.from_numpy(self.data.encode(designs))

    def decode(self, z: torch.Tensor | NDArray[Any]) -> Designs:
        """The designs that points of this space stand for; OptimandError for points that are not finite."""
        points = z.detach().numpy() if isinstance(z, torch.Tensor) else np.asarray(z)
        if not np.isfinite(points).all():
            raise OptimandError("the search left the finite numbers: use smaller steps, or a smaller learning rate")
        return self.data.decode(points)

    def project(self, z: torch.Tensor) -> torch.Tensor:
        """The nearest points within the box: what is outside stands for no design, and a surrogate should not say so.

        Points of sequences are left as they are.
        """
        return z if self.box is None else z.clamp(*self.box)

    def clip(self, designs: Designs) -> Designs:
        """Continuous designs within the bounds."""
        return designs if self.data.bounds is None else np.clip(designs, *self.data.bounds)

    def raw(self, standard: torch.Tensor | NDArray[Any]) -> NDArray[np.float64]:
        """Values in the units of the data."""
        values = standard.detach().numpy() if isinstance(standard, torch.Tensor) else standard
        return np.asarray(np.asarray(values, dtype=np.float64) * self.data.y_std + self.data.y_mean)

    def starts(self, k: int, rng: np.random.Generator) -> torch.Tensor:
        """Points where ``k`` searches start: the best rows; beyond the last row, rows again with noise on them."""
        rows = self.data.best(k)
        found = self.x[torch.from_numpy(np.resize(rows, k))].clone()
        if k > len(rows):
            noise = 0.1 * rng.standard_normal((k - len(rows), self.dim))
            found[len(rows) :] += torch.from_numpy(noise.astype(np.float32))
        return found

    def random(self, k: int, rng: np.random.Generator) -> Designs:
        """``k`` designs drawn uniformly: from all sequences, or within the bounds."""
        if self.data.bounds is None:
            return rng.integers(0, self.classes, (k, self.length))
        return rng.uniform(*self.data.bounds, (k, self.length))

    def one_hot(self, designs: Designs) -> torch.Tensor:
        """float32 (m, L, K)."""
        return torch.nn.functional.one_hot(torch.as_tensor(designs, dtype=torch.int64), self.classes).float()

    def neighbours(
        self, designs: Designs, rng: np.random.Generator, reach: NDArray[np.float64] | float = 0.1, per: int = 16
    ) -> Designs:
        """Designs that differ from one of ``designs`` in one place, all or many; or by noise, ``per`` of each.

        Args:
            designs: (m, L).
            rng: chooses among them where they would be more than ``MOST_NEIGHBOURS``, as many of each design.
            reach: deviation of the noise of coordinates, in deviations of the rows; a number or one for each design.
            per: how many of each design if they are coordinates.

        Returns:
            Grouped by the design that they are near to.
        """
        if not self.is_discrete:
            near = np.repeat(designs, per, axis=0)
            far = np.repeat(np.broadcast_to(reach, len(designs)), per)[:, None]
            return self.clip(near + rng.standard_normal(near.shape) * far * self.spread)
        others = self.classes - 1
        total = self.length * others
        most = max(1, MOST_NEIGHBOURS // len(designs))
        changes = np.arange(total)
        if total > most:
            changes = np.sort(rng.random((len(designs), total)).argpartition(most, axis=1)[:, :most], axis=1)
        changes = np.broadcast_to(changes, (len(designs), changes.shape[-1])).ravel()
        found = np.repeat(designs, len(changes) // len(designs), axis=0)
        at, place = np.arange(len(found)), changes // others
        found[at, place] = (found[at, place] + changes % others + 1) % self.classes
        return found

    def first_distinct(self, designs: Designs, taken: set[bytes] | None = None) -> NDArray[np.int64]:
        """Positions of designs that occur neither earlier nor in ``taken``, to which theirs are added."""
        seen = set() if taken is None else taken
        found = []
        for i, design in enumerate(np.ascontiguousarray(designs)):
            key = design.tobytes()
            if key not in seen:
                seen.add(key)
                found.append(i)
        return np.array(found, dtype=np.int64)

    def check_unique(self, q: int) -> None:
        """ValueError if there are fewer than ``q`` designs."""
        if q > self.distinct:
            counted = f"{self.classes}^{self.length} = " if self.is_discrete else ""
            raise ValueError(
                f"q must be at most the number of distinct designs, {counted}{self.distinct}, when unique=True, got {q}"
            )

    def complete(
        self,
        designs: Designs,
        q: int,
        rng: np.random.Generator,
        score: Callable[[Designs], NDArray[np.float64]] | None = None,
    ) -> Designs:
        """``q`` distinct designs: the first of equal ones, then neighbours of what is kept, those of best score first.

        Args:
            designs: best first.
            q: at most ``distinct``.
            rng: of the neighbours and, without a score, their order.
            score: predictions of designs.
        """
        taken: set[bytes] = set()
        kept = designs[self.first_distinct(designs, taken)]
        source, reach = kept, 0.1
        while len(kept) < q:
            found = self.neighbours(source, rng, reach)
            found = found[self.first_distinct(found, taken)]
            if len(found):
                order = rng.permutation(len(found)) if score is None else np.argsort(-score(found), kind="stable")
                found = found[order]
                kept, source = np.concatenate([kept, found]), found
            else:
                # Every neighbour is there already, or noise was lost at the bounds: look around other designs, further.
                source, reach = self.random(max(q, 16), rng), 2 * reach
        return kept[:q]
