"""REINFORCE: a distribution over designs is moved by the score function towards what an ensemble predicts to be good.

The distribution has independent positions: logits of classes, or a mean and a deviation of each coordinate, first those
of the best offline designs. Predictions of a batch are standardised before they weight the gradient of its
log-probability, which is the usual baseline; the published code weights with the predictions themselves.
"""

from __future__ import annotations

import torch

from .parts.search import Job, Proposal, search
from .parts.settings import BOOTSTRAPS, Table, real, whole

REINFORCE: Table = {
    **BOOTSTRAPS,
    "steps": whole(200, 200),
    "samples": whole(256, 256, low=2),
    "search_lr": real(0.01, 0.01, low_open=True),
}


@search("reinforce", REINFORCE)
def reinforce(job: Job) -> Proposal:
    """Sample from a distribution of independent positions, trained by policy gradients on an ensemble.

    Reference:
        Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992.
    """
    space, s = job.space, job.s
    predictor = job.fit(bootstrap=True)
    generator = job.torch("search")
    best = space.data.best(job.q)
    if space.is_discrete:
        shares = space.one_hot(space.designs[best]).mean(dim=0)
        weights = [shares.clamp_min(1e-3).log().requires_grad_()]
    else:
        rows = space.x[torch.from_numpy(best)]
        spread = rows.std(dim=0, correction=0).clamp_min(1e-3)
        weights = [rows.mean(dim=0).requires_grad_(), spread.log().requires_grad_()]
    optimizer = torch.optim.Adam(weights, lr=s.search_lr, eps=1e-7)
    for step in range(s.steps):
        z, log_probability = _sample(job, weights, s.samples, generator)
        with torch.no_grad():
            value = predictor(space.project(z))
        advantage = (value - value.mean()) / (value.std() + 1e-6)
        optimizer.zero_grad()
        (-(log_probability * advantage).mean()).backward()
        optimizer.step()
        if step % max(1, s.steps // 20) == 0 or step == s.steps - 1:
            job.watch(step + 1, s.steps, space.raw(value))
    found = space.decode(_sample(job, weights, job.q, generator)[0])
    return job.propose(found, predictor.score)


def _sample(
    job: Job, weights: list[torch.Tensor], k: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """``k`` points of the space and the logarithms of their probabilities, differentiable by the weights."""
    space = job.space
    if not space.is_discrete:
        mean, log_spread = weights
        z = (mean + log_spread.exp() * torch.randn(k, space.dim, generator=generator)).detach()
        return z, (-0.5 * ((z - mean) / log_spread.exp()).square() - log_spread).sum(dim=1)
    logits = weights[0].log_softmax(dim=1)
    drawn = torch.multinomial(logits.detach().exp(), k, replacement=True, generator=generator).T
    log_probability = logits.gather(1, drawn.T).sum(dim=0)
    return space.encode(drawn.numpy()), log_probability
