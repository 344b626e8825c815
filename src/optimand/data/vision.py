"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision, from files that are already there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.validation import OptimandError
from .containers import TableData, take

_VALID = 5000


def mnist(root: Path | None = None) -> TableData:
    """55 000 train, 5000 valid (the last of the official training set), 10 000 test; 28x28 uint8."""
    return _from_torchvision(root, "mnist", "MNIST")


def fashion_mnist(root: Path | None = None) -> TableData:
    """55 000 train, 5000 valid (the last of the official training set), 10 000 test; 28x28 uint8."""
    return _from_torchvision(root, "fashion_mnist", "FashionMNIST")


def cifar10(root: Path | None = None) -> TableData:
    """45 000 train, 5000 valid (the last of the official training set), 10 000 test; 3x32x32 uint8."""
    return _from_torchvision(root, "cifar10", "CIFAR10")


def _from_torchvision(root: Path | None, name: str, class_name: str) -> TableData:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise OptimandError(f"data set {name!r} is read by torchvision: pip install 'optimand[vision]'") from error
    if root is None:
        raise OptimandError(f"data set {name!r} is read from files: set OPTIMAND_DATA to the folder that holds it")
    dataset = getattr(datasets, class_name)
    try:
        learn, held_out = dataset(str(root), train=True), dataset(str(root), train=False)
    except RuntimeError as error:
        raise OptimandError(
            f"data set {name!r} is not in {str(root)!r}; to download it there: python -c "
            f"\"from torchvision.datasets import {class_name}; {class_name}('{root}', download=True)\""
        ) from error

    def images(part: object) -> np.ndarray:
        x = np.asarray(part.data)  # type: ignore[attr-defined]
        return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x

    x, y = images(learn), np.asarray(learn.targets)
    edge = len(y) - _VALID
    return TableData(
        name,
        take(x, y, slice(edge)),
        take(x, y, slice(edge, None)),
        take(images(held_out), np.asarray(held_out.targets), slice(None)),
        int(y.max()) + 1,
        f"{class_name}, read by torchvision",
    )
