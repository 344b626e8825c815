"""A small surrogate in double precision, a batch for it, and its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from optimand.offline.surrogates import GaussianMLP, gaussian_nll


def network(seed: int = 0, **options: Any) -> GaussianMLP:
    return GaussianMLP(3, 8, 2, generator=torch.Generator().manual_seed(seed), **options).double()


def batch(n: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return x, torch.randn(n, generator=generator, dtype=torch.float64)


def nll_of(y: Tensor) -> Any:
    return lambda output: gaussian_nll(*output, y)


def grads(model: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
