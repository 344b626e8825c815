"""The networks of the small problems: perceptron, convolutional networks in one and two dimensions."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Sequential):
    """Perceptron with ReLU; inputs of any shape are flattened.

    Args:
        inputs: values an example.
        hidden: width of the hidden layers.
        depth: number of hidden layers; 0 makes it linear (logistic regression).
        classes: outputs.
    """

    def __init__(self, inputs: int, hidden: int, depth: int, classes: int) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        width = inputs
        for _ in range(depth):
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        super().__init__(*layers, nn.Linear(width, classes))


class ConvNet(nn.Module):
    """Two or more stages of 3x3 convolution, ReLU and 2x2 pooling, then a linear layer.

    Args:
        shape: ``(height, width)`` or ``(channels, height, width)`` of an image.
        width: channels of the first stage; each further stage has twice as many.
        stages: number of stages; each halves height and width.
        classes: outputs.
    """

    def __init__(self, shape: tuple[int, ...], width: int, stages: int, classes: int) -> None:
        super().__init__()
        channels, height, breadth = shape if len(shape) == 3 else (1, *shape)
        self.shape = (channels, height, breadth)
        layers: list[nn.Module] = []
        for stage in range(stages):
            out = width << stage
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, height, breadth = out, height // 2, breadth // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(channels * height * breadth, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[batch, classes]`` of images ``[batch, *shape]``."""
        return self.head(self.features(x.reshape(-1, *self.shape)))


class SignalNet(nn.Module):
    """Three strided one-dimensional convolutions and a linear layer.

    The shape follows the convolutional baseline of "Scaling Down Deep Learning with MNIST-1D"
    (arXiv 2011.14439): kernels of 5, 3 and 3, stride 2, the same number of channels throughout.

    Args:
        length: values a signal.
        channels: channels of each convolution.
        classes: outputs.
    """

    def __init__(self, length: int, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for kernel in (5, 3, 3):
            layers += [nn.Conv1d(inputs, channels, kernel, stride=2, padding=1), nn.ReLU()]
            length = (length + 2 - kernel) // 2 + 1
            inputs = channels
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(channels * length, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[batch, classes]`` of signals ``[batch, length]``."""
        return self.head(self.features(x[:, None]))
