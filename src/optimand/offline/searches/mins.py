"""Model inversion networks: a generator learns designs from values, and is asked for a value as good as the best.

The inverse map is a conditional Wasserstein GAN with a gradient penalty. Rows are weighted so that rare high values
count: bins of values get the mass ``N/(N + k) exp(-(y_max - y)/tau)``, as in the paper. Sequences are relaxed by
Gumbel-softmax, whose temperature falls, and real ones are relaxed in the same way, so that the critic cannot tell them
by their corners.

In the published offline runs the surrogate has no say in what is proposed. Here it chooses: ``pool`` times as many
designs are generated as are proposed, and those predicted to be best are kept. The paper preset has ``pool=1``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .parts.networks import Critic, Generator, features, relaxed
from .parts.search import Job, Proposal, search
from .parts.settings import SURROGATE, Table, real, whole

MINS: Table = {
    **SURROGATE,
    "depth": whole(1, 1),
    "width": whole(256, 1024),
    "epochs": whole(8, 100),
    "lr": real(1e-3, 1e-3, low_open=True),
    "latent": whole(32, 32),
    "gan_width": whole(256, 1024),
    "gan_epochs": whole(5, 200),
    "gan_lr": real(2e-4, 2e-4, low_open=True),
    "penalty": real(10.0, 10.0),
    # Steps of the critic for each of the generator.
    "critic_steps": whole(4, 10),
    "keep": real(0.99, 0.99, low=0.5, high=1.0),
    "first_temperature": real(5.0, 5.0, low_open=True),
    "last_temperature": real(1.0, 1.0, low_open=True),
    "bins": whole(20, 20),
    # None: the distance from the best value to the 90th percentile.
    "tau": real(None, 0.1, low_open=True),
    # Standard deviations above the best offline value that the generator is asked for.
    "margin": real(0.0, 0.0),
    "pool": whole(8, 1),
}


@search("mins", MINS)
def mins(job: Job) -> Proposal:
    """Generate designs for the best value from an inverse map of the data.

    Reference:
        Kumar, Levine, Model Inversion Networks for Model-Based Optimization, NeurIPS 2020, arXiv 1912.13464.
    """
    space, s = job.space, job.s
    predictor = job.fit()
    inverse = Generator(space, s.latent, s.gan_width, job.torch("generator"))
    generator = job.torch("search")
    _train(job, inverse, generator)
    target = float(space.y.max()) + s.margin
    with torch.no_grad():
        # Close to the corners: a generated sequence is one sample of each position's law.
        out = inverse(torch.full((s.pool * job.q,), target), 1e-2, generator)
    if space.is_discrete:
        found = out.view(len(out), space.length, space.classes).argmax(dim=2).numpy()
    else:
        found = space.decode(out)
    job.watch(1, 1, predictor.score(found))
    return job.propose(found, predictor.score)


def row_weights(y: NDArray[np.float64], bins: int = 20, tau: float | None = None) -> NDArray[np.float32]:
    """Weights of rows by the frequency and the height of their values, of mean about 1 and at most 5.

    Args:
        y: values, (n,).
        bins: of equal width between the least and the greatest value.
        tau: how fast weight falls below the best; None for the distance from the best to the 90th percentile.

    Example:
        >>> row_weights(np.array([0.0, 0.0, 0.0, 1.0]), bins=2, tau=1.0).round(1).tolist()
        [0.5, 0.5, 0.5, 2.5]
    """
    if y.max() == y.min():
        return np.ones(len(y), dtype=np.float32)
    counts, edges = np.histogram(y, bins=bins)
    share = counts / len(y)
    tau = tau if tau is not None else max(float(y.max() - np.quantile(y, 0.9)), 1e-6)
    mass = np.exp((edges[1:] - edges[-1]) / tau) * share / (share + 1e-3)
    mass /= mass.sum()
    bin_of = np.clip(np.searchsorted(edges, y, side="right") - 1, 0, bins - 1)
    return np.clip(mass[bin_of] / share[bin_of], 0.0, 5.0).astype(np.float32)


def _train(job: Job, inverse: Generator, generator: torch.Generator) -> None:
    """Fit the inverse map against a critic."""
    space, s = job.space, job.s
    critic = Critic(space, s.gan_width, job.torch("critic"))
    optimizers = [torch.optim.Adam(net.parameters(), lr=s.gan_lr, betas=(0.0, 0.9)) for net in (critic, inverse)]
    weights = torch.from_numpy(row_weights(space.y.double().numpy(), s.bins, s.tau))
    rows = torch.from_numpy(space.designs.copy()) if space.is_discrete else space.x
    steps = 0
    for epoch in range(s.gan_epochs):
        share = epoch / max(1, s.gan_epochs - 1)
        heat = s.first_temperature + share * (s.last_temperature - s.first_temperature)
        gaps = []
        for batch in torch.randperm(len(rows), generator=generator).split(s.batch):
            y, weight = space.y[batch], weights[batch]
            weight = weight / weight.sum()
            real = _real(job, rows[batch], heat, generator)
            fake = inverse(y, heat, generator).detach()
            gap = (weight * (critic(real, y) - critic(fake, y))).sum()
            loss = s.penalty * (weight * critic.penalty(real, fake, y, generator)).sum() - gap
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            gaps.append(float(gap.detach()))
            steps += 1
            if steps % s.critic_steps == 0:
                optimizers[1].zero_grad()
                (-(weight * critic(inverse(y, heat, generator), y)).sum()).backward()
                optimizers[1].step()
        job.log("gan", epoch + 1, s.gan_epochs, gap=sum(gaps) / len(gaps), temperature=heat)


def _real(job: Job, x: Tensor, heat: float, generator: torch.Generator) -> Tensor:
    """Real designs as the critic sees them: sequences keep most of a position's mass and are relaxed."""
    space, keep = job.space, job.s.keep
    if not space.is_discrete:
        return x
    shares = keep * features(space, x).view(len(x), space.length, -1) + (1 - keep) / space.classes
    return relaxed((shares + 1e-12).log(), heat, generator).flatten(1)
