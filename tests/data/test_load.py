"""The loaders: sizes, splits, determinism, laziness, and what is said when a set is not there."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from optimand import data
from optimand.core.validation import OptimandError, UnknownNameError


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)


@pytest.mark.parametrize(
    ("name", "shape", "sizes", "classes"),
    [
        ("digits", (8, 8), (1078, 360, 359), 10),
        ("breast_cancer", (30,), (341, 115, 113), 2),
        ("mnist1d", (40,), (3200, 800, 1000), 10),
    ],
)
def test_packaged_sets_have_their_documented_sizes(name, shape, sizes, classes):
    loaded = data.load(name)
    assert loaded.shape == shape
    assert tuple(len(part.y) for part in (loaded.train, loaded.valid, loaded.test)) == sizes
    assert loaded.classes == classes
    for part in (loaded.train, loaded.valid, loaded.test):
        assert set(part.y.tolist()) == set(range(classes))
        assert part.y.dtype == np.int64


def test_splits_of_digits_hold_every_example_once():
    from sklearn.datasets import load_digits

    loaded = data.load("digits")
    rows = np.concatenate([part.x.reshape(len(part.x), -1) for part in (loaded.train, loaded.valid, loaded.test)])
    order = np.lexsort(rows.T)
    original = load_digits().data.astype(np.float32)
    np.testing.assert_array_equal(rows[order], original[np.lexsort(original.T)])


def test_split_of_digits_never_changes():
    # the first labels of each split as they were when the split was fixed: stored results depend on it
    loaded = data.load("digits")
    assert loaded.train.y[:10].tolist() == TRAIN_LABELS
    assert loaded.test.y[:10].tolist() == TEST_LABELS


TRAIN_LABELS = [5, 1, 1, 0, 3, 2, 0, 2, 6, 4]
TEST_LABELS = [4, 4, 1, 0, 9, 5, 5, 7, 2, 4]


def test_mnist1d_equals_the_generators_own_data():
    mnist1d = pytest.importorskip("mnist1d.data")
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    made = mnist1d.make_dataset(mnist1d.get_dataset_args())
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    loaded = data.load("mnist1d")
    np.testing.assert_array_equal(np.concatenate([loaded.train.x, loaded.valid.x]), made["x"].astype(np.float32))
    np.testing.assert_array_equal(loaded.test.y, made["y_test"])


def test_mnist1d_leaves_global_random_state_and_plotting_libraries_alone():
    code = """
import random, sys
import numpy as np
before = random.getstate(), np.random.get_state()[1].tolist()
import optimand.data
optimand.data.load("mnist1d")
assert (random.getstate(), np.random.get_state()[1].tolist()) == before
assert not [m for m in sys.modules if m.split(".")[0] in ("matplotlib", "requests", "mnist1d")]
import requests
assert requests.Session
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["kjv", "pystdlib"])
def test_texts_are_cut_into_contiguous_parts(name):
    loaded = data.load(name)
    sizes = np.array([len(loaded.train), len(loaded.valid), len(loaded.test)])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.9, 0.05, 0.05], atol=1e-5)
    assert loaded.train.dtype == np.uint8
    assert len(loaded.digest) == 12


def test_kjv_is_the_text_without_verse_numbers():
    text = bytes(data.load("kjv").train).decode()
    lines = text.split("\n")
    assert lines[0] == "In the beginning God created the heavens and the earth."
    assert lines[2] == "And God said, Let there be light: and there was light."
    assert not any(line[:1].isdigit() for line in lines)


def test_loaded_arrays_are_shared_and_read_only():
    first, second = data.load("digits"), data.load("digits")
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first.train.x[0] = 0


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown data set 'digit'; did you mean 'digits'\?"):
        data.load("digit")


@pytest.mark.parametrize("name", ["mnist10k", "notmnist10k", "tinyshakespeare"])
def test_missing_folder_says_what_to_set(name):
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA to the folder that holds"):
        data.load(name)
    assert not data.available(name)


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [
        ("mnist", "torchvision", r"pip install 'optimand\[vision\]'"),
        ("hub:a/b", "datasets", r"pip install 'optimand\[hub\]'"),
        ("digits", "sklearn", "pip install scikit-learn"),
    ],
)
def test_missing_package_says_what_to_install(name, package, hint, monkeypatch):
    from optimand.data import registry

    monkeypatch.setitem(sys.modules, package, None)
    registry._load.cache_clear()
    with pytest.raises(OptimandError, match=hint):
        data.load(name)
