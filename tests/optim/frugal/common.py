"""Parameters and gradients for the tests of FRUGAL."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from optimand.optim.memory import tensor_bytes, tensors_in
from optimand.optim.projection.random import generator_of


def matrix(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter((torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5).to(dtype))


def gradient(shape: Any, step: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=generator_of(100, step)).to(dtype)


def run(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], begin: int, end: int) -> None:
    for step in range(begin, end):
        for i, p in enumerate(params):
            p.grad = gradient(p.shape, 1000 * i + step, p.dtype)
        optimizer.step()


def state_bytes_of(optimizer: torch.optim.Optimizer, params: list[nn.Parameter]) -> int:
    return tensor_bytes(tensors_in([optimizer.state[p] for p in params]))
