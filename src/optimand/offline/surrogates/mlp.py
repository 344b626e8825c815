"""A multilayer perceptron that predicts a mean and a standard deviation, as the methods of arXiv 2503.04242 use it.

The defaults are Keras's, in which the authors' surrogates are written: Glorot weights, zero biases, a LeakyReLU of
slope 0.3. The logarithm of the standard deviation is held softly between two bounds that are learned; they do not
take part in the mean, so a penalty on the mean's gradient leaves them alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from optimand.core.validation import check_choice, check_int


class Cosine(nn.Module):
    """The cosine as an activation."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cos(x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "cos": Cosine}


def make_activation(name: str) -> nn.Module:
    """An activation by name: ``leaky_relu:SLOPE``, ``cos``, ``relu`` or ``tanh``.

    Example:
        >>> make_activation("leaky_relu:0.3")
        LeakyReLU(negative_slope=0.3)
    """
    kind, _, parameter = name.partition(":")
    if kind == "leaky_relu":
        try:
            return nn.LeakyReLU(float(parameter or 0.3))
        except ValueError as error:
            raise ValueError(f"activation must name a slope after leaky_relu:, got {name!r}") from error
    check_choice("activation", name, ["leaky_relu:SLOPE", *ACTIVATIONS])
    return ACTIVATIONS[kind]()


class GaussianMLP(nn.Module):
    """An MLP from (n, dim) inputs to the mean and the log standard deviation of a normal law.

    Args:
        dim: number of inputs, at least 1.
        width: units of a hidden layer, or one number for each of them.
        depth: hidden layers, at least 0; not used where ``width`` has a number for each.
        activation: a name (see :func:`make_activation`), or one for each hidden layer.
        dropout: share of hidden units that are dropped in training, in [0, 1).
        generator: draws the weights; the global generator if None.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> model = GaussianMLP(3, width=8, generator=torch.Generator().manual_seed(0))
        >>> mean, logstd = model(torch.zeros(5, 3))
        >>> mean.shape, bool((logstd.exp() > 0.1).all())
        (torch.Size([5]), True)
    """

    def __init__(
        self,
        dim: int,
        width: int | Sequence[int] = 256,
        depth: int = 2,
        activation: str | Sequence[str] = "leaky_relu:0.3",
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_int("dim", dim, low=1)
        check_int("depth", depth, low=0)
        widths = [width] * depth if isinstance(width, int) else list(width)
        for each in widths:
            check_int("width", each, low=1)
        names = [activation] * len(widths) if isinstance(activation, str) else list(activation)
        if len(names) != len(widths):
            raise ValueError(f"activation must be one name or one for each of {len(widths)} hidden layers, got {names}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
        layers: list[nn.Module] = []
        inputs = dim
        for units, name in zip(widths, names, strict=True):
            layers += [nn.Linear(inputs, units), make_activation(name)]
            if dropout:
                layers.append(nn.Dropout(dropout))
            inputs = units
        self.dim = dim
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, 2)
        self.min_logstd = nn.Parameter(torch.tensor(math.log(0.1)))
        self.max_logstd = nn.Parameter(torch.tensor(math.log(0.2)))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (n,), of inputs (n, dim) or (n, L, K) with dim = L K."""
        out = self.head(self.body(x.flatten(1)))
        logstd = self.max_logstd - softplus(self.max_logstd - out[:, 1])
        return out[:, 0], self.min_logstd + softplus(logstd - self.min_logstd)

    def mean(self, x: Tensor) -> Tensor:
        """The mean (n,) alone."""
        return self.head(self.body(x.flatten(1)))[:, 0]


def gaussian_nll(mean: Tensor, logstd: Tensor, y: Tensor) -> Tensor:
    """The mean over the batch of -log N(y; mean, exp(logstd)^2)."""
    scaled = (y - mean) * torch.exp(-logstd)
    return (0.5 * scaled.square() + logstd).mean() + 0.5 * math.log(2.0 * math.pi)
