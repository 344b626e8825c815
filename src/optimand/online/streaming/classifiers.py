"""A real stream: classifiers with random settings on scikit-learn's handwritten digits, one trial one held-out image.

An arm is a trained classifier; a pull shows it a random held-out image, and the reward is 1 if it is right. An arm's
mean is its accuracy on the held-out images, so a pull is a Bernoulli draw.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int

from ..engine.draws import Draws
from .instances import Array, Instances

TRAIN = 500


def classifier_stream(K: int = 300, seed: int = 0) -> Instances:
    """``K`` classifiers with random settings, in a random order in each repetition.

    Args:
        K: arms; five kinds take turns: trees, nearest neighbours, naive Bayes, ridge on random features, centroids.
        seed: of the split and the settings; training, at once, takes about 6 ms an arm, once in a process.

    Example:
        >>> means = classifier_stream(10).draw(Draws(SeedTree(0), [0]), None)
        >>> means.shape, bool(means.min() > 0.05 and means.max() < 1)
        ((1, 10), True)
    """
    check_int("K", K, low=1)
    check_int("seed", seed, low=0)
    return Instances("classifiers on digits", K, functools.partial(_shuffled, accuracies(K, seed)))


def _shuffled(means: Array, draws: Draws, horizon: int | None) -> Array:
    return means[draws.permutation(len(means))]


@functools.lru_cache(maxsize=4)
def accuracies(K: int, seed: int) -> Array:
    """Accuracy of each classifier on the held-out images, shape ``(K,)``; read-only."""
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
