"""Classifiers with random settings on scikit-learn's handwritten digits, and how accurate each is."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree

TRAIN = 500


@functools.lru_cache(maxsize=4)
def accuracies(K: int, seed: int = 0) -> np.ndarray:
    """The share of 1297 held-out images that each of ``K`` classifiers gets right, shape ``(K,)``; read-only.

    Five kinds take turns: trees, nearest neighbours, naive Bayes, ridge on random features, centroids. Training takes
    about 6 ms a classifier, once in a process.

    Example:
        >>> accuracies(2).shape
        (2,)
    """
    from sklearn.datasets import load_digits

    tree = SeedTree(seed).child("classifiers")
    data, labels = load_digits(return_X_y=True)
    order = tree.child("split").numpy().permutation(len(labels))
    train, test = order[:TRAIN], order[TRAIN:]
    data = data / 16.0
    found = np.empty(K)
    for arm in range(K):
        rng = tree.child("arm", arm).numpy()
        pixels = rng.choice(data.shape[1], int(rng.integers(8, data.shape[1] + 1)), replace=False)
        few = train[: int(rng.integers(40, TRAIN + 1))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a pixel that never varies is no reason to warn
            model = _model(arm % 5, rng).fit(data[few][:, pixels], labels[few])
            found[arm] = np.mean(model.predict(data[test][:, pixels]) == labels[test])
    found.setflags(write=False)
    return found


def _model(kind: int, rng: np.random.Generator) -> Any:
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import RidgeClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    if kind == 0:
        return DecisionTreeClassifier(max_depth=int(rng.integers(2, 13)), random_state=int(rng.integers(2**31)))
    if kind == 1:
        return KNeighborsClassifier(int(rng.integers(1, 30)), algorithm="brute")
    if kind == 2:
        return GaussianNB(var_smoothing=float(10 ** rng.uniform(-9, 0)))
    if kind == 3:
        features = RBFSampler(
            gamma=float(10 ** rng.uniform(-2, 0.5)), n_components=int(rng.integers(20, 300)),
            random_state=int(rng.integers(2**31)),
        )  # fmt: skip
        return make_pipeline(features, RidgeClassifier(float(10 ** rng.uniform(-2, 2))))
    return NearestCentroid()
