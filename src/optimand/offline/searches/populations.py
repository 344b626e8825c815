"""Searches among designs themselves, with a surrogate as the judge: local search and a genetic algorithm.

Both work on sequences and on coordinates. They are what the gradient methods must beat: on short sequences a local
search sees every neighbour, so what it finds is limited by the surrogate alone.
"""

from __future__ import annotations

import numpy as np

from .parts.fitting import Predictor
from .parts.search import Job, Proposal, search
from .parts.settings import SURROGATE, Table, real, whole
from .parts.space import MOST_NEIGHBOURS, Designs

LOCAL: Table = {**SURROGATE, "steps": whole(32, 128, low=0), "reach": real(0.2, 0.2, low_open=True)}
EVOLUTION: Table = {
    **SURROGATE,
    "steps": whole(50, 200, low=0),
    "population": whole(256, 1024, low=2),
    # Expected number of positions that a mutation changes; for coordinates, the deviation of its noise is ``reach``.
    "mutations": real(1.0, 1.0, low_open=True),
    "reach": real(0.2, 0.2, low_open=True),
    "crossover": real(0.5, 0.5, low=0.0, high=1.0 + 1e-12),
}


@search("local-search", LOCAL)
def local_search(job: Job) -> Proposal:
    """Move each of the best offline designs to its best neighbour while a surrogate says that it is better.

    Neighbours of a sequence differ in one position; all are tried where they are few. Neighbours of coordinates are
    random, at a distance that starts at ``reach`` deviations of the rows and halves where none is better.
    """
    space, s = job.space, job.s
    predictor = job.fit()
    rng = job.numpy("search")
    x = space.decode(space.starts(job.q, job.numpy("starts")))
    value = predictor.score(x)
    reach, moving = np.full(len(x), s.reach), np.ones(len(x), dtype=bool)
    for step in range(s.steps):
        active = np.flatnonzero(moving)
        better, candidates = _best_neighbours(job, predictor, x[active], reach[active], rng)
        gains = better > value[active] + 1e-9
        winners = active[gains]
        x[winners], value[winners] = candidates[gains], better[gains]
        if space.is_discrete:
            moving[active[~gains]] = False
        else:
            reach[active[~gains]] /= 2
            moving = reach > 1e-3 * s.reach
        job.watch(step + 1, s.steps, value)
        if not moving.any():
            break
    return job.propose(x, predictor.score)


def _best_neighbours(
    job: Job, predictor: Predictor, x: Designs, reach: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Designs]:
    """The best neighbour of each design and its prediction."""
    space = job.space
    per = space.length * (space.classes - 1) if space.is_discrete else 32
    # As many designs at a time as have all their neighbours considered; of very long sequences a part of them is.
    at_once = max(1, MOST_NEIGHBOURS // per)
    values, found = [], []
    for part in range(0, len(x), at_once):
        mine = x[part : part + at_once]
        near = space.neighbours(mine, rng, reach[part : part + at_once], per)
        each = len(near) // len(mine)
        scores = predictor.score(near).reshape(len(mine), each)
        best = scores.argmax(axis=1)
        at = np.arange(len(mine))
        values.append(scores[at, best])
        found.append(near.reshape(len(mine), each, -1)[at, best])
    return np.concatenate(values), np.concatenate(found)


@search("evolution", EVOLUTION)
def evolution(job: Job) -> Proposal:
    """A genetic algorithm on a surrogate: crossover of good parents, mutation, survival of the best distinct designs.

    The first population is the best offline designs; ``crossover`` is the share of children with two parents.
    """
    space, s = job.space, job.s
    predictor = job.fit()
    rng = job.numpy("search")
    size = max(s.population, job.q)
    x = space.decode(space.starts(size, job.numpy("starts")))
    value = predictor.score(x)
    for step in range(s.steps):
        # Parents by tournaments of two.
        pairs = rng.integers(0, len(x), (2, size, 2))
        first, second = (np.where(value[p[:, 0]] >= value[p[:, 1]], p[:, 0], p[:, 1]) for p in pairs)
        mixed = (rng.random((size, 1)) < s.crossover) & (rng.random((size, space.length)) < 0.5)
        children = _mutate(job, np.where(mixed, x[second], x[first]), rng)
        x = np.concatenate([x, children])
        value = np.concatenate([value, predictor.score(children)])
        kept = space.first_distinct(x)
        # Copies survive only where there are too few distinct designs.
        kept = kept if len(kept) >= size else np.concatenate([kept, np.setdiff1d(np.arange(len(x)), kept)])
        kept = kept[np.argsort(-value[kept], kind="stable")[:size]] if len(kept) > size else kept[:size]
        x, value = x[kept], value[kept]
        if step % max(1, s.steps // 20) == 0 or step == s.steps - 1:
            job.watch(step + 1, s.steps, value)
    return job.propose(x, predictor.score)


def _mutate(job: Job, x: Designs, rng: np.random.Generator) -> Designs:
    space, s = job.space, job.s
    changed = rng.random(x.shape) < min(1.0, s.mutations / space.length)
    if space.is_discrete:
        return np.where(changed, (x + rng.integers(1, space.classes, x.shape)) % space.classes, x)
    noise = rng.standard_normal(x.shape) * s.reach * space.spread
    return space.clip(np.where(changed, x + noise, x))
