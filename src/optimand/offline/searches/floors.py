"""What every method must beat: random designs, and the best of the data.

Neither fits a surrogate, so neither has predictions: a random design's prediction is the mean of the data, which is
what is known of it; a row's is its own value.
"""

from __future__ import annotations

import numpy as np

from .parts.search import Job, Proposal, search


@search("random", {}, learns=False)
def random_designs(job: Job) -> Proposal:
    """Designs drawn uniformly from all sequences, or within the bounds."""
    space = job.space
    rng = job.numpy("search")
    found = space.random(job.q, rng)
    if job.unique:
        found = space.complete(found, job.q, rng)
    return job.proposal(found, np.full(job.q, space.data.y_mean))


@search("best-of-data", {}, learns=False)
def best_of_data(job: Job) -> Proposal:
    """The best offline designs; rows again from the best on where ``q`` is more than there are.

    With ``unique=True``, ValueError where fewer than ``q`` rows differ.
    """
    data = job.space.data
    order = data.best(len(data))
    if job.unique:
        order = order[job.space.first_distinct(data.x[order])]
        if job.q > len(order):
            raise ValueError(
                f"q must be at most the number of distinct offline designs, {len(order)}, when unique=True, got {job.q}"
            )
    rows = np.resize(order, job.q)
    return job.proposal(data.x[rows], data.y[rows].copy())
