"""Conditioning by adaptive sampling: a generative model is refitted to its own samples, weighted by their promise.

A variational autoencoder is fitted to the offline designs. Then, in each iteration, designs are sampled from a second
one, which starts as its copy, and weighted by ``p(x|z)/q(x|z) P(y >= gamma | x)``: how much likelier the first one
finds them, times the probability under an ensemble that they exceed ``gamma``, a percentile of the predictions that
never falls. The second one is refitted to these. As in design-baselines, weights are raised to a power below 1,
without which few samples would carry all weight; they are also divided by the greatest, so that they cannot overflow.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from .parts.networks import VAE
from .parts.search import Job, Proposal, search
from .parts.settings import BOOTSTRAPS, Table, real, whole

CBAS: Table = {
    **BOOTSTRAPS,
    "latent": whole(16, 32),
    "vae_width": whole(128, 256),
    "vae_lr": real(1e-3, 3e-4, low_open=True),
    "beta": real(1.0, 1.0),
    "offline_epochs": whole(10, 200),
    "online_epochs": whole(5, 10),
    "iterations": whole(20, 20, low=0),
    "samples": whole(1280, 1280, low=2),
    "percentile": real(80.0, 80.0, high=100.0),
    "power": real(0.2, 0.2, high=1.0 + 1e-12),
}


@search("cbas", CBAS)
def cbas(job: Job) -> Proposal:
    """Sample from a variational autoencoder that is conditioned on high predictions.

    Reference:
        Brookes, Park, Listgarten, Conditioning by adaptive sampling for robust design, ICML 2019, arXiv 1901.10060.
    """
    space, s = job.space, job.s
    predictor = job.fit(bootstrap=True)
    prior = VAE(space, s.latent, s.vae_width, job.torch("vae"))
    generator = job.torch("search")
    rows = torch.from_numpy(space.designs.copy()) if space.is_discrete else space.x
    losses = _train(prior, rows, torch.ones(len(rows)), s.offline_epochs, job, generator)
    for epoch, loss in enumerate(losses):
        job.log("vae", epoch + 1, s.offline_epochs, loss=loss)
    model, gamma = copy.deepcopy(prior), -math.inf
    for step in range(s.iterations):
        x, z = model.sample(s.samples, generator)
        points = space.encode(x.numpy()) if space.is_discrete else space.project(x)
        with torch.no_grad():
            value = predictor(points)
            gamma = max(gamma, float(torch.quantile(value, s.percentile / 100)))
            weight = sample_weights(prior, model, x, z, predictor.exceeds(points, gamma), s.power)
        loss = _train(model, x, weight, s.online_epochs, job, generator)[-1]
        effective = float(weight.sum().square() / weight.square().sum())
        job.watch(step + 1, s.iterations, space.raw(value))
        job.history[-1].update(gamma=float(space.raw(torch.tensor([gamma]))[0]), loss=loss, effective=effective)
    x, _ = model.sample(job.q, generator)
    return job.propose(x.numpy() if space.is_discrete else space.decode(x), predictor.score)


def sample_weights(prior: VAE, model: VAE, x: Tensor, z: Tensor, promise: Tensor, power: float) -> Tensor:
    """``(p(x|z)/q(x|z) P(y >= gamma | x)) ^ power`` of samples of ``model``, divided by the greatest."""
    ratio = prior.log_likelihood(x, z) - model.log_likelihood(x, z)
    weight = ratio + promise.clamp_min(1e-30).log()
    return (power * (weight - weight.max())).exp()


def _train(model: VAE, x: Tensor, weight: Tensor, epochs: int, job: Job, generator: torch.Generator) -> list[float]:
    """Fit to weighted designs; the mean loss of each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=job.s.vae_lr)
    found = []
    for _ in range(epochs):
        losses = []
        for batch in torch.randperm(len(x), generator=generator).split(job.s.batch):
            loss = model.loss(x[batch], weight[batch], job.s.beta, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        found.append(sum(losses) / len(losses))
    return found
