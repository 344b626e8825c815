"""Claims of APOLLO (arXiv 2412.05270) that need no training: memory, and the law of the projected scales."""

from __future__ import annotations

import math
from typing import Any

from optimand.core.catalog import add_claim
from optimand.core.claims import Claim, Finding

PAPER = "apollo"


def layer_state_bytes(build: Any) -> int:
    """Bytes of state after a step on the matrices of a layer of LLaMA-60M."""
    import torch

    from optimand.optim.memory import state_bytes

    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in [(512, 512)] * 4 + [(1376, 512)] * 2 + [(512, 1376)]]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = build(params)
    optimizer.step()
    return state_bytes(optimizer)


def state_memory() -> Finding:
    """States of APOLLO at a quarter of the rank and of Mini, over AdamW's."""
    import torch

    from optimand.optim.apollo import APOLLO, APOLLOMini

    full = layer_state_bytes(torch.optim.AdamW)
    quarter, mini = layer_state_bytes(lambda ps: APOLLO(ps, rank=128)), layer_state_bytes(APOLLOMini)
    return Finding(
        f"rank 128: {quarter / full:.2%} of AdamW's, Mini: {mini / full:.3%}",
        quarter / full <= 0.26 and mini / full <= 0.005,
        "matrices of a layer of LLaMA-60M; projections are drawn from seeds in every step and take no memory",
    )


def projected_scales() -> Finding:
    """Median over the channels of sqrt(m/r) times the projected over the full-rank scale after 50 steps."""
    import torch

    from optimand.optim.projection.random import gaussian_projection

    m, n, steps, b1, b2 = 256, 512, 50, 0.9, 0.999
    medians = {}
    for rank in (16, 32, 64, 128):
        found = []
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)

            def normal(*shape: int, generator: torch.Generator = generator) -> torch.Tensor:
                return torch.randn(*shape, generator=generator)

            trend = normal(m, n)
            sides = [torch.eye(m), gaussian_projection(rank, m, (seed, 0, 0))]
            moments = [[torch.zeros(len(p), n), torch.zeros(len(p), n)] for p in sides]
            for _ in range(steps):
                gradient = 0.3 * trend + normal(m, n)
                scales = []
                for p, (first, second) in zip(sides, moments, strict=True):
                    seen = p @ gradient
                    first.mul_(b1).add_(seen, alpha=1 - b1)
                    second.mul_(b2).addcmul_(seen, seen, value=1 - b2)
                    scales.append((first / (second.sqrt() + 1e-6)).norm(dim=0) / seen.norm(dim=0))
            found.append((math.sqrt(m / rank) * scales[1] / scales[0]).median().item())
        medians[rank] = sum(found) / len(found)
    text = ", ".join(f"rank {rank}: {value:.3f}" for rank, value in medians.items())
    return Finding(
        text,
        all(0.95 <= value <= 1.05 for value in medians.values()),
        "256 x 512, noisy gradients with a trend, medians over the channels, mean of 4 seeds; the factor is the root "
        "of the projected dimension over the rank (the paper's text calls the other one n)",
    )


CLAIMS = (
    Claim(
        PAPER,
        "state-memory",
        "APOLLO keeps 2nr + 2 numbers for an m x n matrix and Mini 2n + 2: memory like SGD's.",
        "1.6 GB and 0.0 GB of states against 13 GB (8-bit Adam) at 7B parameters",
        state_memory,
    ),
    Claim(
        PAPER,
        "projected-scales",
        "A channel's scale, estimated in a random subspace of rank r, is sqrt(r/n) times the one at full rank.",
        "ratio within (1 +- e) of sqrt(r/n) (theorem 4.3, figure 4)",
        projected_scales,
    ),
)

for _claim in CLAIMS:
    add_claim(_claim)
