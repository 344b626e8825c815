"""The networks: policy and value for search with the exact game, and MuZero's three functions for the learned model.

All heads begin at zero, so that an untrained network says even odds and value 0. ``pack`` gives the weights to the
compiled searches.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from optimand.core.validation import check_int

from .search.inference import Mlp, pack_mlp
from .search.learned import ModelNets


def perceptron(sizes: Sequence[int], generator: torch.Generator, *, zero_from: int | None = None) -> nn.Sequential:
    """Linear layers with ReLU between, drawn from ``generator``; outputs from ``zero_from`` on begin at zero."""
    layers: list[nn.Module] = []
    with torch.no_grad():
        for fan_in, fan_out in itertools.pairwise(sizes):
            linear = nn.Linear(fan_in, fan_out)
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * (2.0 / fan_in) ** 0.5)
            linear.bias.zero_()
            layers += [linear, nn.ReLU()]
        if zero_from is not None:
            linear.weight[zero_from:] = 0.0
            linear.bias[zero_from:] = 0.0
    return nn.Sequential(*layers[:-1])


def _pack(net: nn.Sequential) -> Mlp:
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    return pack_mlp([(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear])


class PolicyValueNet(nn.Module):
    """Features to logits of slow and fast and the remaining return.

    Args:
        features: how many.
        hidden: units of the hidden layers.
        generator: draws the weights; None: seed 0.
    """

    def __init__(
        self, features: int, hidden: Sequence[int] = (64, 64), *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        sizes = check_int("features", features, low=1), *_check_hidden(hidden), 3
        self.trunk = perceptron(sizes, generator or torch.Generator().manual_seed(0), zero_from=0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 2) and values (B,) of features (B, F)."""
        out = self.trunk(x)
        return out[:, :2], out[:, 2]

    def pack(self) -> Mlp:
        """The weights for compiled searches."""
        return _pack(self.trunk)


class ModelNet(nn.Module):
    """MuZero's representation, dynamics and prediction as perceptrons; hidden states are scaled to [0, 1].

    Args:
        features: of an observation.
        width: of the hidden state.
        hidden: units of the layers inside each function.
        actions: of the game.
        generator: draws the weights; None: seed 0.
    """

    def __init__(
        self,
        features: int,
        *,
        width: int = 32,
        hidden: Sequence[int] = (64,),
        actions: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        hidden = _check_hidden(hidden)
        self.width, self.actions = check_int("width", width, low=2), check_int("actions", actions, low=1)
        self.represent = perceptron((features, *hidden, width), generator)
        self.dynamics = perceptron((width + actions, *hidden, width + 1), generator, zero_from=width)
        self.prediction = perceptron((width, *hidden, actions + 1), generator, zero_from=0)

    def observe(self, x: Tensor) -> Tensor:
        """Hidden states of observations."""
        return rescale(self.represent(x))

    def advance(self, hidden: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Next hidden states and rewards."""
        taken = nn.functional.one_hot(action, self.actions).to(hidden.dtype)
        out = self.dynamics(torch.cat([hidden, taken], dim=1))
        return rescale(out[:, :-1]), out[:, -1]

    def predict(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and values of hidden states."""
        out = self.prediction(hidden)
        return out[:, :-1], out[:, -1]

    def pack(self) -> ModelNets:
        """The weights for compiled searches."""
        return ModelNets(_pack(self.represent), _pack(self.dynamics), _pack(self.prediction))


def rescale(hidden: Tensor) -> Tensor:
    """Each row moved and scaled to [0, 1]."""
    low, high = hidden.amin(1, keepdim=True), hidden.amax(1, keepdim=True)
    return (hidden - low) / (high - low).clamp_min(1e-5)


def _check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(check_int("hidden", size, low=1) for size in hidden)
    if not sizes:
        raise ValueError("hidden must name at least one layer, got none")
    return sizes
