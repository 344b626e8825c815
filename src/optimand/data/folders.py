"""Image sets that are files in ``$OPTIMAND_DATA``: ``mnist10k`` and ``notmnist10k`` in MNIST's idx format."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.validation import OptimandError
from .containers import TableData, take

_TRAIN, _VALID = 7000, 1000


def mnist10k(root: Path | None = None) -> TableData:
    """MNIST's 10 000-image test file in file order: 7000 train, 1000 valid, 2000 test; 28x28 uint8."""
    x, y = _read_folder(root, "mnist10k")
    return _cut("mnist10k", x, y, np.arange(len(y)), "MNIST t10k file")


def notmnist10k(root: Path | None = None) -> TableData:
    """Letters A to J in many fonts, in file order: the last 2000 for test; 28x28 uint8.

    About 2 % of the images occur more than once. What is in the test split is left out of the other
    two, and what is in the validation split is left out of the training split.
    """
    x, y = _read_folder(root, "notmnist10k")
    keys = [hashlib.sha256(image.tobytes()).digest() for image in x]
    last = {key: i for i, key in enumerate(keys)}
    held_out = len(y) - 2000
    keep = np.array([i for i, key in enumerate(keys) if i >= held_out or last[key] == i])
    return _cut("notmnist10k", x, y, keep, "notMNIST, repackaged as an idx file")


def _cut(name: str, x: NDArray[np.uint8], y: NDArray[np.int64], keep: NDArray[np.int64], source: str) -> TableData:
    parts = np.split(keep, np.searchsorted(keep, [_TRAIN, _TRAIN + _VALID]))
    train, valid, test = (take(x, y, part) for part in parts)
    return TableData(name, train, valid, test, int(y.max()) + 1, source)


def find_folder(root: Path | None, name: str) -> Path:
    """``root/name``; OptimandError says how to provide it when it is not there."""
    if root is None:
        raise OptimandError(
            f"data set {name!r} is a folder of files: set OPTIMAND_DATA to the folder that holds {name}/"
        )
    folder = root / name
    if not folder.is_dir():
        raise OptimandError(
            f"data set {name!r} was not found: {str(folder)!r} is no folder (OPTIMAND_DATA={str(root)!r})"
        )
    return folder


def _read_folder(root: Path | None, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    folder = find_folder(root, name)
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz").astype(np.int64)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise OptimandError(f"data set {name!r}: images of shape {images.shape} and labels of shape {labels.shape}")
    return images, labels


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an unsigned-byte array in MNIST's idx format, gzipped or not; OptimandError for any other content."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise OptimandError(f"file {str(path)!r} could not be read: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise OptimandError(f"file {str(path)!r} is no idx file of unsigned bytes")
    rank = raw[3]
    shape = tuple(np.frombuffer(raw, dtype=">u4", count=rank, offset=4).tolist())
    content = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank)
    if content.size != int(np.prod(shape)):
        raise OptimandError(f"file {str(path)!r} should hold {shape} values and holds {content.size}")
    return content.reshape(shape)
