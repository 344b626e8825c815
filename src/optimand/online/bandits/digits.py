"""Classifiers of random kind and settings on scikit-learn's handwritten digits, and which images each gets right."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

FITTED = 150  # images to fit to: few, so that the classifiers differ


@functools.cache
def outcomes(arms: int) -> Mapping[str, np.ndarray]:
    """For ``valid`` and ``test``, each half of the images not fitted to, 1 where a classifier is right.

    Returns:
        By split an array ``(arms, images)``.

    Example:
        >>> {split: found.shape for split, found in outcomes(2).items()}
        {'valid': (2, 823), 'test': (2, 824)}
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order] / 16, y[order]
    middle = FITTED + (len(y) - FITTED) // 2
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classifiers that were stopped early are arms like others
        for arm in range(arms):
            model = _classifier(np.random.default_rng([1, arm]))
            found.append(model.fit(x[:FITTED], y[:FITTED]).predict(x[FITTED:]) == y[FITTED:])
    right = np.array(found, dtype=float)
    return {"valid": right[:, : middle - FITTED], "test": right[:, middle - FITTED :]}


def _classifier(rng: np.random.Generator) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    state = int(rng.integers(2**31))
    kind = int(rng.integers(7))
    if kind == 0:
        return LogisticRegression(C=10 ** rng.uniform(-3, 2), max_iter=30)
    if kind == 1:
        return KNeighborsClassifier(int(rng.integers(1, 20)))
    if kind == 2:
        return SVC(C=10 ** rng.uniform(-1, 2), gamma=10 ** rng.uniform(-2.5, 0))
    if kind == 3:
        return DecisionTreeClassifier(max_depth=int(rng.integers(2, 12)), random_state=state)
    if kind == 4:
        depth = int(rng.integers(2, 10))
        return RandomForestClassifier(int(rng.integers(3, 30)), max_depth=depth, random_state=state)
    if kind == 5:
        return GaussianNB(var_smoothing=10 ** rng.uniform(-4, 0))
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=rng.uniform(0, 1))
