"""Images: scikit-learn's digits (no download), and the MNIST family and CIFAR-10 where their files are.

What ranks methods is the accuracy where at least 1000 examples are held out for the report: it is what a
user wants, and the cross-entropy of a network that is sure of its few mistakes rises while its accuracy still
does. On the few hundred held-out digits accuracy is too coarse, and the cross-entropy ranks.
"""

from __future__ import annotations

from functools import partial

from ...core.validation import check_int
from ..models import MLP, ConvNet
from ..transformer import ViT
from .register import Parts, training_problem
from .tables import by_accuracy, table

_TORCHVISION = "torchvision and its files"


def _mlp(name: str, label: str, inputs: int, hidden: int, depth: int) -> Parts:
    check_int("hidden", hidden, low=1)
    check_int("depth", depth, low=0)
    return Parts(
        partial(table, name, per_feature=False),
        partial(MLP, inputs, hidden, depth, 10),
        f"{label}, perceptron with {depth} hidden layers of {hidden}",
    )


def _cnn(name: str, label: str, shape: tuple[int, ...], width: int, stages: int) -> Parts:
    check_int("width", width, low=1)
    return Parts(
        partial(table, name, per_feature=False),
        partial(ConvNet, shape, width, stages, 10),
        f"{label}, convolutional network of {stages} stages, {width} channels in the first",
    )


@training_problem("digits-mlp", budget=600, target=0.11)
def digits_mlp(*, hidden: int = 64, depth: int = 2) -> Parts:
    """Perceptron on handwritten digits of 8x8 pixels.

    Ranked by cross-entropy: on 359 test digits one more or less right moves accuracy by 0.3 %, as much as
    separates good methods; accuracy is recorded beside it.
    """
    return _mlp("digits", "digits 8x8 (UCI)", 64, hidden, depth)


@training_problem("digits-cnn", budget=500, target=0.12)
def digits_cnn(*, width: int = 16) -> Parts:
    """Convolutional network on handwritten digits of 8x8 pixels. Ranked by cross-entropy, see ``digits-mlp``."""
    return _cnn("digits", "digits 8x8 (UCI)", (8, 8), width, 2)


@training_problem("digits-vit", budget=500, target=0.45, warmup=0.1)
def digits_vit(*, width: int = 32, layers: int = 2, heads: int = 4) -> Parts:
    """Vision transformer on handwritten digits, patches of 2x2. Ranked by cross-entropy, see ``digits-mlp``."""
    for name, value in (("width", width), ("layers", layers), ("heads", heads)):
        check_int(name, value, low=1)
    return Parts(
        partial(table, "digits", per_feature=False),
        partial(ViT, (8, 8), 2, layers, width, heads, 10),
        f"digits 8x8 (UCI), vision transformer of {layers} layers, width {width}",
    )


@training_problem("mnist10k-mlp", needs="$OPTIMAND_DATA/mnist10k", budget=1000, target=0.955, objective=by_accuracy)
def mnist10k_mlp(*, hidden: int = 128, depth: int = 2) -> Parts:
    """Perceptron on 10 000 MNIST digits. Ranked by accuracy."""
    return _mlp("mnist10k", "MNIST (10 000)", 784, hidden, depth)


@training_problem(
    "mnist10k-cnn", needs="$OPTIMAND_DATA/mnist10k", budget=500, target=0.93, objective=by_accuracy, evaluations=10
)
def mnist10k_cnn(*, width: int = 8) -> Parts:
    """Convolutional network on 10 000 MNIST digits. Ranked by accuracy."""
    return _cnn("mnist10k", "MNIST (10 000)", (28, 28), width, 2)


@training_problem(
    "notmnist10k-mlp", needs="$OPTIMAND_DATA/notmnist10k", budget=1000, target=0.89, objective=by_accuracy
)
def notmnist10k_mlp(*, hidden: int = 128, depth: int = 2) -> Parts:
    """Perceptron on 10 000 letters (notMNIST). Ranked by accuracy."""
    return _mlp("notmnist10k", "notMNIST (10 000)", 784, hidden, depth)


@training_problem("mnist-cnn", needs=_TORCHVISION, budget=3000, target=None, objective=by_accuracy, batch_size=128)
def mnist_cnn(*, width: int = 16) -> Parts:
    """Convolutional network on MNIST (read by torchvision). Ranked by accuracy on 10 000 test images."""
    return _cnn("mnist", "MNIST", (28, 28), width, 2)


@training_problem("fashion-mlp", needs=_TORCHVISION, budget=3000, target=None, objective=by_accuracy, batch_size=128)
def fashion_mlp(*, hidden: int = 256, depth: int = 2) -> Parts:
    """Perceptron on Fashion-MNIST (read by torchvision). Ranked by accuracy on 10 000 test images."""
    return _mlp("fashion_mnist", "Fashion-MNIST", 784, hidden, depth)


@training_problem("cifar10-cnn", needs=_TORCHVISION, budget=5000, target=None, objective=by_accuracy, batch_size=128)
def cifar10_cnn(*, width: int = 32) -> Parts:
    """Convolutional network on CIFAR-10 (read by torchvision). Ranked by accuracy on 10 000 test images."""
    return _cnn("cifar10", "CIFAR-10", (3, 32, 32), width, 3)
