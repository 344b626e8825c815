"""CMA-ES on the mean prediction of an ensemble, one run from each of the best offline designs.

All runs advance together, so that one forward pass serves a generation of them all. Beyond ``full_up_to`` dimensions
the covariance is diagonal: a full one would cost D^2 memory in each run. A run gives its best points, each decoded.
The package ``cma`` does the strategy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .parts.search import Job, Proposal, need, search
from .parts.settings import BOOTSTRAPS, Table, real, whole
from .parts.space import Designs

CMA_ES: Table = {
    **BOOTSTRAPS,
    "sigma": real(0.5, 0.5, low_open=True),
    "steps": whole(40, 100),
    # None of these is more than q.
    "runs": whole(16, 128),
    "full_up_to": whole(200, 200, low=0),
}


@search("cma-es", CMA_ES)
def cma_es(job: Job) -> Proposal:
    """Evolve points by covariance matrix adaptation, from the best offline designs.

    Reference:
        Hansen, The CMA Evolution Strategy: A Tutorial, arXiv 1604.00772.
    """
    cma: Any = need("cma")
    space, s = job.space, job.s
    predictor = job.fit(bootstrap=True)
    runs = min(s.runs, job.q)
    starts = space.starts(runs, job.numpy("starts")).double().numpy()
    options = {
        "CMA_diagonal": space.dim > s.full_up_to,
        "maxiter": s.steps,
        "verbose": -9,
        "verb_log": 0,
        "verb_disp": 0,
    }
    # cma seeds NumPy's global generator: it gets functions of ours instead.
    rngs = [job.numpy("cma", i) for i in range(runs)]
    strategies = [
        cma.CMAEvolutionStrategy(
            start,
            s.sigma,
            {**options, "seed": float("nan"), "randn": lambda *shape, rng=rng: rng.standard_normal(shape)},
        )
        for start, rng in zip(starts, rngs, strict=True)
    ]
    each = -(-job.q // runs)
    archives = [_Archive(each) for _ in strategies]
    for step in range(s.steps):
        active = [i for i, strategy in enumerate(strategies) if not strategy.stop()]
        if not active:
            break
        asked = [strategies[i].ask() for i in active]
        with torch.no_grad():
            z = torch.from_numpy(np.concatenate([np.stack(points) for points in asked]).astype(np.float32))
            values = predictor(space.project(z)).double().numpy()
        at = 0
        for i, points in zip(active, asked, strict=True):
            mine = values[at : at + len(points)]
            at += len(points)
            strategies[i].tell(points, (-mine).tolist())
            archives[i].add(np.stack(points), mine)
        job.watch(step + 1, s.steps, space.raw(values))
    found = np.concatenate([archive.designs(job) for archive in archives])
    return job.propose(found, predictor.score)


class _Archive:
    """The points of a run that are predicted to be best, a few times as many as it will propose."""

    def __init__(self, each: int) -> None:
        self.each = each
        self.points: Any = None
        self.values: Any = None

    def add(self, points: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        if self.points is not None:
            points, values = np.concatenate([self.points, points]), np.concatenate([self.values, values])
        kept = np.argsort(-values, kind="stable")[: 32 * self.each]
        self.points, self.values = points[kept], values[kept]

    def designs(self, job: Job) -> Designs:
        """``each`` designs, best first: different ones as far as there are."""
        decoded = job.space.decode(self.points)
        first = job.space.first_distinct(decoded)
        others = np.setdiff1d(np.arange(len(decoded)), first)
        return decoded[np.resize(np.concatenate([first, others]), max(self.each, len(decoded)))[: self.each]]
