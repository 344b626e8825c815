"""A small network with quantized matrices, and its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from optimand.optim.int8_weights import QuantizedLinear, quantize_model_int8
from optimand.optim.projection import generator_of


class Network(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.mlp_up = nn.Linear(16, 40)
        self.mlp_down = nn.Linear(40, 16, bias=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mlp_down(torch.tanh(self.mlp_up(x)))))


def quantized(seed: int = 0, **options: Any) -> Network:
    model = quantize_model_int8(Network(seed), **options)
    assert isinstance(model, Network)
    return model


def loss_of(model: nn.Module, step: int) -> Tensor:
    x = torch.randn(32, 16, generator=generator_of(step))
    return nn.functional.cross_entropy(model(x), (x[:, :4]).argmax(1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int) -> list[float]:
    losses = []
    for step in range(begin, end):
        loss = loss_of(model, step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def float_weights(model: nn.Module) -> list[Tensor]:
    return [m.dequantize() if isinstance(m, QuantizedLinear) else m.weight.detach().clone() for m in model.children()]
