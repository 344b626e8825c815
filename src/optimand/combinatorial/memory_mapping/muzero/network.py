"""The networks: policy and value for search with the exact game, and MuZero's three functions for the learned model.

All heads begin at zero, so that an untrained network says even odds and value 0. ``pack`` gives the weights to the
compiled searches; a network with the grid of occupancy is evaluated by torch, on whatever device it lies.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from optimand.core.validation import OptimandError, check_int

from .search.inference import Mlp, pack_mlp
from .search.learned import ModelNets


def perceptron(sizes: Sequence[int], generator: torch.Generator, *, zero_from: int | None = None) -> nn.Sequential:
    """Linear layers with ReLU between, drawn from ``generator``; outputs from ``zero_from`` on begin at zero."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        _draw(linear, generator)
        layers += [linear, nn.ReLU()]
    last = layers[-2]
    assert isinstance(last, nn.Linear)
    if zero_from is not None:
        with torch.no_grad():
            last.weight[zero_from:] = 0.0
            last.bias[zero_from:] = 0.0
    return nn.Sequential(*layers[:-1])


def _draw(layer: nn.Linear | nn.Conv2d, generator: torch.Generator) -> None:
    """He's normal weights and zero biases, without touching the global generator."""
    with torch.no_grad():
        fan_in = layer.weight[0].numel()
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2.0 / fan_in) ** 0.5)
        if layer.bias is not None:
            layer.bias.zero_()


def _pack(net: nn.Sequential) -> Mlp:
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    return pack_mlp([(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear])


class PolicyValueNet(nn.Module):
    """Features, and optionally the grid, to logits of slow and fast and the remaining return.

    Args:
        features: how many.
        hidden: units of the hidden layers.
        grid: whether a 64 x 64 grid goes through two convolutions of 16 channels and stride 2, joined to the features.
        generator: draws the weights; None: seed 0.
    """

    def __init__(
        self,
        features: int,
        hidden: Sequence[int] = (64, 64),
        *,
        grid: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.features, self.hidden = check_int("features", features, low=1), _check_hidden(hidden)
        self.eyes: nn.Sequential | None = None
        if grid:
            convolutions = nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
            join = nn.Linear(16 * 16 * 16, self.hidden[0])
            for layer in (*convolutions, join):
                _draw(layer, generator)
            self.eyes = nn.Sequential(
                convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), nn.Flatten(), join, nn.ReLU()
            )
        inputs = features + (self.hidden[0] if grid else 0)
        self.trunk = perceptron((inputs, *self.hidden, 3), generator, zero_from=0)

    def forward(self, x: Tensor, grid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (B, 2) and values (B,) of features (B, F) and grids (B, 64, 64)."""
        if self.eyes is not None:
            if grid is None:
                raise OptimandError("grid must be given to a network that looks at it, got None")
            x = torch.cat([x, self.eyes(grid.unsqueeze(1).to(x.dtype))], dim=1)
        out = self.trunk(x)
        return out[:, :2], out[:, 2]

    def pack(self) -> Mlp:
        """The weights for compiled searches; OptimandError for a network with the grid."""
        if self.eyes is not None:
            raise OptimandError("a network with the grid cannot be packed; search with its evaluator")
        return _pack(self.trunk)

    def evaluator(self, device: torch.device | str = "cpu") -> TorchEvaluator:
        """The network as a function of batches for ``ExactSearch``."""
        return TorchEvaluator(self, device)


class TorchEvaluator:
    """Evaluates batches of leaves with torch on a device."""

    def __init__(self, net: PolicyValueNet, device: torch.device | str) -> None:
        self.net, self.device = net.to(device), torch.device(device)

    @torch.inference_mode()
    def __call__(self, x: NDArray[np.float32], grid: NDArray[np.uint8] | None) -> tuple[NDArray, NDArray]:
        """Logits and values as float64 arrays."""
        eyes = None if grid is None else torch.from_numpy(grid).to(self.device)
        logits, values = self.net(torch.from_numpy(x).to(self.device), eyes)
        return logits.double().cpu().numpy(), values.double().cpu().numpy()


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
