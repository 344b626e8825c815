"""Sets in $OPTIMAND_DATA: idx files made here, and the real ones where the variable points at them."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import types

import numpy as np
import pytest

from optimand import data
from optimand.core.validation import OptimandError
from optimand.data.folders import read_idx


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def folder(tmp_path):
    """10 000 images of 28x28 in mnist10k's form, 300 of them twice."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10_000, 28, 28), dtype=np.uint8)
    images[100:200] = images[9000:9100]  # training images that occur in the test split
    images[7100:7150] = images[9500:9550]  # validation images that occur there
    images[300:350] = images[7500:7550]  # training images that occur in the validation split
    labels = rng.integers(0, 10, 10_000)
    for name in ("mnist10k", "notmnist10k"):
        (tmp_path / name).mkdir()
        write_idx(tmp_path / name / "t10k-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / name / "t10k-labels-idx1-ubyte.gz", labels)
    return tmp_path, images, labels


def test_mnist10k_is_split_in_file_order(folder, monkeypatch):
    root, images, labels = folder
    monkeypatch.setenv("OPTIMAND_DATA", str(root))
    loaded = data.load("mnist10k")
    np.testing.assert_array_equal(loaded.train.x, images[:7000])
    np.testing.assert_array_equal(loaded.valid.x, images[7000:8000])
    np.testing.assert_array_equal(loaded.test.y, labels[8000:])


def test_notmnist10k_keeps_the_test_split_and_drops_what_repeats_it(folder):
    root, images, _ = folder
    loaded = data.load("notmnist10k", root)
    np.testing.assert_array_equal(loaded.test.x, images[8000:])
    assert len(loaded.train.y) == 7000 - 150
    assert len(loaded.valid.y) == 1000 - 50
    parts = [{image.tobytes() for image in part.x} for part in (loaded.train, loaded.valid, loaded.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OptimandError, match=r"'mnist10k' was not found.*mnist10k.* is no folder"):
        data.load("mnist10k", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "could not be read|is no idx file"),
        (gzip.compress(b"\x00\x00\x09\x01" + b"\x00" * 8), "is no idx file of unsigned bytes"),
        (gzip.compress(struct.pack(">HBBI", 0, 8, 1, 5) + b"abc"), r"should hold \(5,\) values and holds 3"),
    ],
    ids=["empty", "other type", "cut short"],
)
def test_damaged_idx_file_is_named(tmp_path, content, message):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(OptimandError, match=message):
        read_idx(path)


def test_tinyshakespeare_reads_the_file(tmp_path):
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_bytes(b"0123456789" * 10)
    loaded = data.load("tinyshakespeare", tmp_path)
    assert (len(loaded.train), len(loaded.valid), len(loaded.test)) == (90, 5, 5)


def test_real_mnist10k_has_the_published_class_counts():
    root = os.environ.get("OPTIMAND_DATA")
    if not root or not data.available("mnist10k", root):
        pytest.skip("OPTIMAND_DATA holds no mnist10k")
    loaded = data.load("mnist10k", root)
    labels = np.concatenate([loaded.train.y, loaded.valid.y, loaded.test.y])
    # counts of the official t10k file
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


class _Images:
    """Stands in for a torchvision data set: the same constructor, ``data`` and ``targets``."""

    def __init__(self, root, train):
        if not os.path.isdir(os.path.join(root, "FashionMNIST")):
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        n = 6000 if train else 100
        self.data = np.arange(n * 4, dtype=np.int64).reshape(n, 2, 2) % 256
        self.targets = np.arange(n) % 10


@pytest.fixture
def torchvision(monkeypatch):
    package = types.ModuleType("torchvision")
    package.datasets = types.SimpleNamespace(FashionMNIST=_Images)
    monkeypatch.setitem(sys.modules, "torchvision", package)


def test_torchvision_sets_keep_the_official_test_split(torchvision, tmp_path):
    (tmp_path / "FashionMNIST").mkdir()
    loaded = data.load("fashion_mnist", tmp_path)
    assert (len(loaded.train.y), len(loaded.valid.y), len(loaded.test.y)) == (1000, 5000, 100)


def test_torchvision_set_without_files_says_how_to_download_it(torchvision, tmp_path):
    with pytest.raises(OptimandError, match=r"FashionMNIST\('.*', download=True\)"):
        data.load("fashion_mnist", tmp_path)


class _Rows(dict):
    @property
    def column_names(self):
        return list(self)


def test_hub_text_keeps_the_splits_of_the_set(monkeypatch):
    splits = {s: _Rows(text=[s, "x"]) for s in ("train", "validation", "test")}
    calls = []

    def load_dataset(name, config, download_config):
        assert package.config.HF_HUB_OFFLINE
        calls.append((name, config))
        return splits

    package = types.ModuleType("datasets")
    package.load_dataset, package.DownloadConfig = load_dataset, lambda local_files_only: local_files_only
    package.config = types.SimpleNamespace(HF_HUB_OFFLINE=False)
    monkeypatch.setitem(sys.modules, "datasets", package)
    loaded = data.load("hub:owner/set/small")
    assert calls == [("owner/set", "small")]
    assert (bytes(loaded.train), bytes(loaded.valid)) == (b"train\nx", b"validation\nx")
    assert not package.config.HF_HUB_OFFLINE
    splits["train"] = _Rows(content=["x"])
    with pytest.raises(OptimandError, match="no column 'text', only content"):
        data.load("hub:owner/other")
