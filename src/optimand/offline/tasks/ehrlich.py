"""Ehrlich functions: sequence landscapes in closed form, with constraints, epistasis and a known optimum.

Stanton et al., arXiv 2407.00236. A sequence is feasible when it makes no banned transition from one class to the
next. Its value is the product over ``c`` motifs of the best match of the motif anywhere in the sequence, with given
gaps between its elements, rounded down to ``q`` levels; an infeasible sequence has value 0. Ours differs in how motifs
are drawn: they lie on one permitted walk, so that writing them one after the other with repeated classes in the gaps
is feasible and has value 1. The seed defines the function; nothing has to be installed or downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int

from .base import OfflineData, Task, worst_part
from .encoding import Floats, Ints


@dataclass(frozen=True)
class Ehrlich:
    """An Ehrlich function.

    Attributes:
        banned: ``banned[a, b]``: class ``b`` must not follow class ``a``; no class bans itself.
        motifs: shape ``(c, k)``.
        offsets: where the elements of each motif stand relative to its first, shape ``(c, k)``.
        levels: ``q``, which divides ``k``.
        length: ``L``.
    """

    banned: NDArray[np.bool_]
    motifs: Ints
    offsets: Ints
    levels: int
    length: int

    def feasible(self, designs: Ints) -> NDArray[np.bool_]:
        """Which designs make no banned transition."""
        steps: NDArray[np.bool_] = self.banned[designs[:, :-1], designs[:, 1:]]
        return np.logical_not(steps.any(axis=1))

    def __call__(self, designs: Ints) -> Floats:
        """Values in [0, 1], shape ``(n,)``."""
        value = np.where(self.feasible(designs), 1.0, 0.0)
        k = self.motifs.shape[1]
        for motif, offset in zip(self.motifs, self.offsets, strict=True):
            places = self.length - int(offset[-1])
            hits = np.zeros((len(designs), places), dtype=np.int64)
            for element, shift in zip(motif, offset, strict=True):
                hits += designs[:, shift : shift + places] == element
            value *= (hits.max(axis=1) * self.levels // k) / self.levels
        return value

    def optimum(self) -> Ints:
        """A design of value 1, shape ``(L,)``."""
        pieces = []
        for motif, offset in zip(self.motifs, self.offsets, strict=True):
            gaps = np.diff(np.append(offset, offset[-1] + 1))
            pieces.append(np.repeat(motif, gaps))
        written = np.concatenate(pieces)
        return np.append(written, np.full(self.length - len(written), written[-1]))

    def sample(self, n: int, rng: np.random.Generator) -> Ints:
        """``n`` feasible designs: every class is drawn evenly among those that may follow."""
        K = len(self.banned)
        cumulative = (~self.banned).cumsum(axis=1)
        designs = np.empty((n, self.length), dtype=np.int64)
        designs[:, 0] = rng.integers(K, size=n)
        for j in range(1, self.length):
            row = cumulative[designs[:, j - 1]]
            pick = 1 + (rng.random(n) * row[:, -1]).astype(np.int64)
            designs[:, j] = (row < pick[:, None]).sum(axis=1)
        return designs


def draw_ehrlich(num_classes: int, length: int, motifs: int, motif_length: int, levels: int, seed: int) -> Ehrlich:
    """Draw a function; the arguments are those of :func:`ehrlich`."""
    rng = np.random.default_rng([seed, num_classes, length, motifs, motif_length])
    K, c, k = num_classes, motifs, motif_length
    while True:
        banned = rng.random((K, K)) < 0.3
        # Every class may follow itself, and the next one around a random circle: any class can be reached.
        circle = rng.permutation(K)
        banned[circle, np.roll(circle, -1)] = False
        np.fill_diagonal(banned, False)
        walk: list[int] = []
        while len(walk) < c * k:
            inside = walk[len(walk) - len(walk) % k :]
            options = [b for b in range(K) if b not in inside and not (walk and banned[walk[-1], b])]
            if not options:
                break
            walk.append(int(rng.choice(options)))
        if len(walk) == c * k:
            break
    room = length // c
    offsets = np.zeros((c, k), dtype=np.int64)
    for i in range(c):
        # Elements at increasing places of a window; the first stands at its begin.
        offsets[i, 1:] = np.sort(rng.choice(np.arange(1, room), size=k - 1, replace=False))
    return Ehrlich(banned, np.array(walk, dtype=np.int64).reshape(c, k), offsets, levels, length)


def evolve(f: Ehrlich, rows: int, rng: np.random.Generator, batch: int = 500) -> tuple[Ints, Floats]:
    """Designs that an evolution evaluates, and their values: half random, then mutants of the best quarter."""
    x = f.sample(rows // 2, rng)
    y = f(x)
    while len(x) < rows:
        size = min(batch, rows - len(x))
        # Ties are many: the noise chooses among them.
        order = np.argsort(1e-6 * rng.random(len(y)) - y, kind="stable")
        children = x[order[: max(1, len(x) // 4)]][rng.integers(max(1, len(x) // 4), size=size)]
        changed = rng.random(children.shape) < 1.5 / f.length
        children = np.where(changed, rng.integers(len(f.banned), size=children.shape), children)
        x, y = np.concatenate([x, children]), np.concatenate([y, f(children)])
    return x, y


def ehrlich(
    num_classes: int = 4,
    length: int = 32,
    motifs: int = 4,
    motif_length: int = 4,
    levels: int = 4,
    rows: int = 6000,
    percentile: float = 70.0,
    function: int = 0,
    seed: int = 0,
) -> Task:
    """An Ehrlich function with the poorer part of what an evolution saw as data.

    Half of the sequences are random feasible ones; the others are mutants of the best quarter of those before them, in
    batches of 500, so that infeasible ones occur, and values that hint at the motifs.

    Args:
        num_classes: classes of a position, at least ``motif_length`` and 2.
        length: positions ``L``, at least ``motifs * motif_length``.
        motifs: ``c``, at least 1.
        motif_length: ``k``, at least 2.
        levels: ``q``, which must divide ``motif_length``.
        rows: sequences evaluated.
        percentile: offline are those with a value at most this percentile of all, in (0, 100].
        function: number of the function.
        seed: of the sequences.

    Example:
        >>> task = ehrlich(length=16, motifs=2, rows=1000)
        >>> task.y_max, float(task.y.max()) < 1
        (1.0, True)
    """
    check_int("motifs", motifs, low=1)
    check_int("motif_length", motif_length, low=2)
    check_int("num_classes", num_classes, low=max(2, motif_length))
    check_int("length", length, low=motifs * motif_length)
    check_int("rows", rows, low=4)
    if motif_length % check_int("levels", levels, low=1, high=motif_length):
        raise ValueError(f"levels must divide motif_length, got levels={levels}, motif_length={motif_length}")
    f = draw_ehrlich(num_classes, length, motifs, motif_length, levels, check_int("function", function, low=0))
    x, y = evolve(f, rows, np.random.default_rng(check_int("seed", seed, low=0)))
    part = worst_part(y, percentile)
    name = f"ehrlich:num_classes={num_classes},length={length},motifs={motifs},function={function}"
    data = OfflineData(x[part], y[part], True, num_classes=num_classes, name=name)
    summary = f"Ehrlich function: {motifs} motifs of {motif_length} in {length} positions of {num_classes} classes"
    return Task(data, f, y_min=0.0, y_max=1.0, summary=summary)
