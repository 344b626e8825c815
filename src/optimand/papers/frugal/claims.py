"""Claims of FRUGAL (arXiv 2411.07837): language models at the scale of one machine, convergence, memory."""

from __future__ import annotations

import functools
from typing import Any

from optimand.core.claims import Claim, Finding
from optimand.papers.reading import tuned_difference
from optimand.papers.small_lm import (
    ADAMW,
    FIXED,
    FIXED_SMALL,
    FRUGAL,
    LM,
    PARTIAL,
    STATELESS,
    TUNED,
    TUNED_SMALL,
    layer_state_bytes,
    margin,
)

PAPER = "frugal"


def squared_gradients(steps: int, lr: float, noise: list[float]) -> Any:
    """Running sums of the squared gradient norm of FRUGAL(SGDM, SGD) on a quadratic of condition 100.

    Args:
        steps: number of steps.
        lr: learning rate.
        noise: for each run the standard deviation of the noise on every coordinate of its gradient; the runs share
            their subspaces.

    Returns:
        Tensor ``[steps, runs]``.
    """
    import torch

    from optimand.optim import frugal

    curvature = torch.logspace(-2, 0, 50, dtype=torch.float64)
    x = torch.nn.Parameter(torch.ones(len(noise), 50, dtype=torch.float64))
    optimizer = frugal.FRUGAL(
        [x], lr=lr, density=0.5, update_gap=1, state_full="sgdm", state_free="sgd", on_change="project",
        momentum=0.9, dampening=0.9,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    deviation = torch.tensor(noise, dtype=torch.float64).view(-1, 1)
    squares = []
    for _ in range(steps):
        gradient = curvature * x.detach()
        squares.append(gradient.square().sum(1))
        x.grad = gradient + deviation * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        optimizer.step()
    return torch.stack(squares).cumsum(0)


def converges_at_the_rate_of_sgd() -> Finding:
    """Without noise the sum of squared gradients is bounded; with noise its growth is proportional to the step size."""
    noise = [0.0] + [0.1] * 5
    sums = [squared_gradients(8000, lr, noise) for lr in (0.05, 0.025)]
    bounded = (sums[0][3999, 0] / sums[0][999, 0]).item()
    growth = [(s[7999, 1:] - s[3999, 1:]).mean().item() for s in sums]
    ratio = growth[0] / growth[1]
    return Finding(
        f"without noise S(4000)/S(1000) = {bounded:.4f}; with noise, twice the step size gives {ratio:.2f} times the "
        "plateau",
        bounded <= 1.1 and 1.5 <= ratio <= 2.2,
        "quadratic with eigenvalues from 0.01 to 1, half of the coordinates drawn anew in each step; S is the sum of "
        "squared gradient norms, the plateau its growth from step 4000 to 8000, mean of 5 runs",
    )


def state_memory() -> Finding:
    """States at density 0.25 and 0 on the matrices of a layer of LLaMA-60M, over AdamW's."""
    import torch

    from optimand.optim import frugal

    full = layer_state_bytes(torch.optim.AdamW)
    quarter, none = (layer_state_bytes(lambda ps, d=d: frugal.FRUGAL(ps, density=d)) for d in (0.25, 0.0))
    return Finding(
        f"density 0.25: {quarter / full:.2%} of AdamW's, density 0: {none / full:.3%}",
        quarter / full <= 0.255 and none / full <= 0.001,
        "matrices of a layer of LLaMA-60M, random columns",
    )


claim = functools.partial(Claim, PAPER)
fixed = functools.partial(Claim, PAPER, study=FIXED, small=FIXED_SMALL)
tuned = functools.partial(Claim, PAPER, study=TUNED, small=TUNED_SMALL)

CLAIMS = (
    tuned(
        "galore",
        "FRUGAL ends below GaLore at the same memory.",
        "in words (LLaMA pretraining on C4 up to 1B)",
        functools.partial(tuned_difference, problem=LM, method="frugal", baseline="galore"),
    ),
    tuned(
        "badam",
        "FRUGAL ends below BAdam.",
        "in words (LLaMA pretraining on C4 up to 1B)",
        functools.partial(tuned_difference, problem=LM, method="frugal-block", baseline="badam"),
    ),
    fixed(
        "adamw",
        "With states for a quarter of the entries, FRUGAL comes close to AdamW at the same learning rate.",
        "in words",
        functools.partial(margin, method=FRUGAL, baseline=ADAMW, most=0.0),
        reference="the authors' code 2.083 against 2.142, another 2.109 against 2.190 (nats a byte, texts like this)",
    ),
    fixed(
        "state-free-part",
        "Updating the rest of the entries without states matters.",
        "in words",
        functools.partial(margin, method=FRUGAL, baseline=PARTIAL, most=-0.15),
        reference="the authors' code 2.083 against 2.344, another 2.109 against 2.319 (nats a byte, texts like this)",
    ),
    fixed(
        "density-0",
        "Even without any states for the matrices, FRUGAL is competitive.",
        "in words",
        functools.partial(margin, method=STATELESS, baseline=ADAMW, most=0.02),
        reference="the authors' code 2.100 against 2.142, another 2.146 against 2.190 (nats a byte, texts like this)",
    ),
    claim(
        "large-models",
        "From 60M to 1B parameters on C4, and in fine-tuning RoBERTa on GLUE, FRUGAL beats LoRA, GaLore and BAdam.",
        "in words",
        untestable="needs C4, GLUE and accelerators",
    ),
    claim(
        "convergence",
        "FRUGAL with SGDM and SGD converges at the rate of SGD with momentum.",
        "O(1/k) without noise, a plateau proportional to the step size with it",
        converges_at_the_rate_of_sgd,
    ),
    claim(
        "state-memory",
        "With density rho the states take rho times AdamW's memory.",
        "rho = 0.25 and rho = 0",
        state_memory,
    ),
)
