"""Generative networks of the searches: a variational autoencoder with weights, and a conditional critic and generator.

Both speak of designs in one of two ways: sequences as one-hot vectors with a categorical law for each position,
coordinates as standardised points with a normal law.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .space import Space


def perceptron(sizes: list[int], generator: torch.Generator, activation: type[nn.Module] = nn.LeakyReLU) -> nn.Module:
    """Linear layers of Glorot weights with activations between them.

    Args:
        sizes: units of the input, the hidden layers and the output.
        generator: draws the weights.
        activation: a module's class.
    """
    layers: list[nn.Module] = []
    for inputs, units in pairwise(sizes):
        linear = nn.Linear(inputs, units)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def features(space: Space, x: Tensor) -> Tensor:
    """What networks read of designs: flat one-hot vectors of integers (m, L), or points (m, D) as they are."""
    if not space.is_discrete:
        return x
    return nn.functional.one_hot(x, space.classes).float().flatten(1)


class VAE(nn.Module):
    """A variational autoencoder of designs.

    Args:
        space: says what designs are.
        latent: dimensions of the latent space, whose prior is standard normal.
        width: units of the hidden layer of encoder and decoder.
        generator: draws the weights.
    """

    def __init__(self, space: Space, latent: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.space, self.latent = space, latent
        inputs = space.length * space.classes if space.is_discrete else space.dim
        outputs = inputs if space.is_discrete else 2 * space.dim
        self.encoder = perceptron([inputs, width, 2 * latent], generator)
        self.decoder = perceptron([latent, width, outputs], generator)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """``log p(x | z)``, (m,), of integers (m, L) or points (m, D)."""
        if self.space.is_discrete:
            return self._logits(z).log_softmax(dim=2).gather(2, x[:, :, None]).sum(dim=(1, 2))
        mean, log_spread = self._normal(z)
        return (-0.5 * ((x - mean) / log_spread.exp()).square() - log_spread - 0.5 * math.log(2 * math.pi)).sum(dim=1)

    def loss(self, x: Tensor, weight: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """The weighted mean of the negative evidence bound, with ``beta`` on its divergence."""
        mean, log_spread = self.encoder(features(self.space, x)).chunk(2, dim=1)
        # Bounded, so that a code can neither collapse to a point nor overflow.
        log_spread = log_spread.clamp(-6.0, 3.0)
        z = mean + log_spread.exp() * torch.randn(mean.shape, generator=generator)
        divergence = 0.5 * (mean.square() + (2 * log_spread).exp() - 1 - 2 * log_spread).sum(dim=1)
        bound = self.log_likelihood(x, z) - beta * divergence
        return -(weight * bound).sum() / weight.sum()

    @torch.no_grad()
    def sample(self, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``k`` designs (integers or points) and the latent points that they were decoded from."""
        z = torch.randn(k, self.latent, generator=generator)
        if not self.space.is_discrete:
            mean, log_spread = self._normal(z)
            return mean + log_spread.exp() * torch.randn(mean.shape, generator=generator), z
        shares = self._logits(z).softmax(dim=2).flatten(0, 1)
        return torch.multinomial(shares, 1, generator=generator).view(k, self.space.length), z

    def _logits(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z)
        return out.view(len(z), self.space.length, self.space.classes)

    def _normal(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_spread = self.decoder(z).chunk(2, dim=1)
        return mean, log_spread.clamp(math.log(0.1), 1.0)


class Generator(nn.Module):
    """Designs from noise and a value: the inverse of the objective.

    Args:
        space: says what designs are.
        latent: dimensions of the noise.
        width: units of the two hidden layers.
        generator: draws the weights.
    """

    def __init__(self, space: Space, latent: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.space, self.latent = space, latent
        outputs = space.length * space.classes if space.is_discrete else space.dim
        self.body = perceptron([latent + 1, width, width, outputs], generator)

    def forward(self, y: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Relaxed one-hot vectors (m, L K), or points (m, D), for values ``y`` (m,)."""
        out: Tensor = self.body(torch.cat([torch.randn(len(y), self.latent, generator=generator), y[:, None]], dim=1))
        if not self.space.is_discrete:
            return out
        return relaxed(out.view(len(y), self.space.length, self.space.classes), temperature, generator).flatten(1)


def relaxed(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A sample of the Gumbel-softmax law, of the shape of ``logits``, with classes last."""
    uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-6, 1 - 1e-6)
    return ((logits - (-uniform.log()).log()) / temperature).softmax(dim=-1)


class Critic(nn.Module):
    """How real a pair of a design and a value looks.

    Args:
        space: says what designs are.
        width: units of the two hidden layers.
        generator: draws the weights.
    """

    def __init__(self, space: Space, width: int, generator: torch.Generator) -> None:
        super().__init__()
        inputs = space.length * space.classes if space.is_discrete else space.dim
        self.body = perceptron([inputs + 1, width, width, 1], generator)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.body(torch.cat([x, y[:, None]], dim=1))
        return out[:, 0]

    def penalty(self, real: Tensor, fake: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """``(|grad| - 1)^2`` of each row at a random point between a real design and a generated one, (m,)."""
        share = torch.rand(len(y), 1, generator=generator)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self(between, y).sum(), between, create_graph=True)
        return ((slope.square().sum(dim=1) + 1e-12).sqrt() - 1).square()
