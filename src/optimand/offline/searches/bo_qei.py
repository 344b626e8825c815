"""Bayesian optimization with batched expected improvement, on an ensemble in place of the oracle.

A Gaussian process is fitted to the best offline rows as the ensemble values them; qEI then proposes batches, which the
ensemble values too. Proposed are the best of all that the process was given, rows included. The package ``botorch``
does the process and the acquisition. Points live in the box of the offline rows in model space.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from .parts.search import Job, Proposal, need, search
from .parts.settings import BOOTSTRAPS, Table, option, real, whole

BO_QEI: Table = {
    **BOOTSTRAPS,
    "rows": whole(128, 500, low=2, high=2000),
    "gp_noise": real(0.1, 0.1, low_open=True),
    "batch_size": whole(16, 32),
    "iterations": whole(8, 10, low=0),
    "restarts": whole(2, 10),
    "raw_samples": whole(16, 128),
    "mc_samples": whole(32, 128),
    "maxiter": whole(20, 200),
    # The logarithm of the improvement has the same maximum and gradients that do not vanish.
    "acquisition": option("log-ei", "ei", ("log-ei", "ei")),
}


@search("bo-qei", BO_QEI)
def bo_qei(job: Job) -> Proposal:
    """Batched expected improvement of a Gaussian process, from the best offline designs.

    Reference:
        Wilson et al., The reparameterization trick for acquisition functions, arXiv 1712.00424; Balandat et al.,
        BoTorch, arXiv 1910.06403.
    """
    need("botorch")
    space, s = job.space, job.s
    predictor = job.fit(bootstrap=True)
    generator = job.torch("search")

    def observe(points: Tensor) -> Tensor:
        with torch.no_grad():
            value = predictor(points.float()).double()
        return value + s.gp_noise * torch.randn(len(value), generator=generator, dtype=torch.float64)

    # More rows than designs, or what is proposed could not be made of them.
    rows = min(len(space.x), max(s.rows, job.q))
    x = space.starts(rows, job.numpy("starts")).double()
    y = observe(x)
    low, high = space.x.amin(dim=0).double(), space.x.amax(dim=0).double()
    # A column that never changes still needs a box of some width.
    bounds = torch.stack([low, torch.where(high > low, high, low + 1e-6)])
    for step in range(s.iterations):
        kept = y.argsort(descending=True, stable=True)[:rows]
        with warnings.catch_warnings():
            # Of the fit and of the search for a batch: neither is the last word on anything here.
            warnings.simplefilter("ignore")
            batch = _next_batch(job, x[kept], y[kept], bounds, step)
        # What a design is worth is what its decoded self is worth.
        batch = space.encode(space.decode(batch)).double()
        value = observe(batch)
        x, y = torch.cat([x, batch]), torch.cat([y, value])
        job.watch(step + 1, s.iterations, space.raw(value))
    if len(x) < job.q:
        x = torch.cat([x, space.starts(job.q, job.numpy("starts"))[: job.q - len(x)].double()])
    return job.propose(space.decode(x), predictor.score)


def _next_batch(job: Job, x: Tensor, y: Tensor, bounds: Tensor, step: int) -> Tensor:
    """The batch with the greatest expected improvement that the optimizer finds."""
    botorch: Any = need("botorch")
    gpytorch: Any = need("gpytorch")
    s = job.s
    model = botorch.models.SingleTaskGP(
        x,
        y[:, None],
        train_Yvar=torch.full((len(y), 1), s.gp_noise**2, dtype=torch.float64),
        input_transform=botorch.models.transforms.Normalize(x.shape[1], bounds=bounds),
        outcome_transform=botorch.models.transforms.Standardize(1),
    )
    likelihood = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    botorch.fit.fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": s.maxiter}})
    sampler = botorch.sampling.SobolQMCNormalSampler(torch.Size([s.mc_samples]), seed=job.integer("sobol", step))
    kind = "qLogExpectedImprovement" if s.acquisition == "log-ei" else "qExpectedImprovement"
    found, _ = botorch.optim.optimize_acqf(
        getattr(botorch.acquisition, kind)(model, best_f=y.max(), sampler=sampler),
        bounds=bounds,
        q=min(s.batch_size, job.q),
        num_restarts=s.restarts,
        raw_samples=s.raw_samples,
        options={"maxiter": s.maxiter, "batch_limit": s.restarts, "seed": job.integer("restarts", step)},
    )
    return torch.as_tensor(found.detach())
