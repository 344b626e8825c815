"""Gradient ascent on a surrogate, and on the mean or the least prediction of several.

A network is fitted to the offline rows; the best rows are then moved along the gradient of its prediction with respect
to its input. It is the base that IGNITE (arXiv 2503.04242) is first applied to, and the one that shows best what goes
wrong without: nothing but bounds keeps the ascent where the network has seen data. The step is ``eta sqrt(D)``, so
that one ``eta`` serves all dimensions. Members of an ensemble differ by their first weights and their batches, and
with ``activations="mixed"`` by their activations.
"""

from __future__ import annotations

import math

import torch

from .parts.search import Job, Proposal, search
from .parts.settings import SURROGATE, Table, option, real, whole

ASCENT: Table = {**SURROGATE, "steps": whole(200, 200, low=0), "eta": real(0.01, 0.01, low_open=True)}
ENSEMBLE: Table = {
    **ASCENT,
    "width": whole(128, 2048),
    "epochs": whole(6, 100),
    "members": whole(3, 5),
    "activations": option("same", "same", ("same", "mixed")),
}


@search("ga", ASCENT)
def gradient_ascent(job: Job) -> Proposal:
    """Ascend the prediction of one network from the best offline designs.

    Reference:
        Dao et al., arXiv 2503.04242; the base method is that of Trabucco et al., Design-Bench, arXiv 2202.08450.
    """
    return _ascend(job, "mean")


@search("ens-mean", ENSEMBLE)
def ensemble_mean(job: Job) -> Proposal:
    """Ascend the mean prediction of several networks from the best offline designs."""
    return _ascend(job, "mean")


@search("ens-min", ENSEMBLE)
def ensemble_min(job: Job) -> Proposal:
    """Ascend the least prediction of several networks from the best offline designs."""
    return _ascend(job, "min")


def _ascend(job: Job, how: str) -> Proposal:
    predictor = job.fit(how=how)
    x = job.space.starts(job.q, job.numpy("starts"))
    step, every = job.s.eta * math.sqrt(job.space.dim), max(1, job.s.steps // 20)
    for done in range(job.s.steps):
        value, slope = predictor.value_and_slope(x)
        if done % every == 0:
            job.watch(done, job.s.steps, job.space.raw(value))
        x = job.space.project(x.add(slope, alpha=step))
    with torch.no_grad():
        job.watch(job.s.steps, job.s.steps, job.space.raw(predictor(x)))
    return job.propose(job.space.decode(x), predictor.score)
