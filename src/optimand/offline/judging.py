"""A judge of designs that has only the offline data: a Gaussian process, no relative of the methods' networks.

Tuning must not see the oracle, so a run's ``valid`` values are this judge's. It is a Gaussian process with a squared
exponential kernel in model space on a part of the rows (the best ones and random ones), whose length scale and noise
are chosen by the exact leave-one-out error. Far from the data its mean goes back to that of the rows, so it rewards no
blind extrapolation; how well it ranks designs beyond the data is measured in the family's documentation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tasks.base import OfflineData

Floats = NDArray[np.float64]

ROWS = 2000
TRIAL_ROWS = 800
# Length scales in units of the median distance between rows, and variances of the noise in units of the rows'.
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
NOISES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


class Judge:
    """Predicts values of designs from offline data.

    Args:
        data: the rows.
        rows: how many of them to use at most: half of them the best, half of them random others.
        seed: of the random ones.

    Attributes:
        scale, noise: what was chosen.
        loo_r2: share of the variance that the leave-one-out predictions explain, on the rows tried.

    Example:
        >>> x = np.linspace(0, 6, 40)[:, None]
        >>> judge = Judge(OfflineData(x, np.sin(x[:, 0]), False))
        >>> judge(np.array([[1.0], [2.0]])).round(2).tolist()
        [0.84, 0.91]
    """

    def __init__(self, data: OfflineData, rows: int = ROWS, seed: int = 0) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self.data = data
        kept = _some_rows(data, rows, seed)
        z = data.encode(data.x[kept]).astype(np.float64)
        target = (data.y[kept] - data.y_mean) / data.y_std
        tried = np.random.default_rng(seed).permutation(len(kept))[:TRIAL_ROWS]
        near = _squared_distances(z[tried], z[tried])
        above = near[np.triu_indices(len(near), 1)]
        self._unit = float(np.median(above)) if len(above) and np.median(above) > 0 else 1.0
        best = (np.inf, SCALES[0], NOISES[0])
        for scale in SCALES:
            values, vectors = np.linalg.eigh(np.exp(-near / (2 * scale**2 * self._unit)))
            turned = vectors.T @ target[tried]
            for noise in NOISES:
                # Leave-one-out residuals of a Gaussian process: (K^-1 y)_i / (K^-1)_ii.
                inverse = 1 / (np.maximum(values, 0) + noise)
                residual = (vectors @ (inverse * turned)) / ((vectors**2) @ inverse)
                best = min(best, (float((residual**2).mean()), scale, noise))
        error, self.scale, self.noise = best
        self.loo_r2 = 1 - error / max(float(target[tried].var()), 1e-300)
        self._z = z
        K = self._kernel(z) + self.noise * np.eye(len(z))
        self._weights: Floats = cho_solve(cho_factor(K), target)

    def _kernel(self, z: Floats) -> Floats:
        return np.asarray(np.exp(-_squared_distances(z, self._z) / (2 * self.scale**2 * self._unit)))

    def __call__(self, designs: Any) -> Floats:
        """Predicted values, in the units of the data, shape ``(n,)``."""
        z = self.data.encode(designs).astype(np.float64)
        return np.asarray(self.data.y_mean + self.data.y_std * (self._kernel(z) @ self._weights))


def _some_rows(data: OfflineData, rows: int, seed: int) -> NDArray[np.int64]:
    if len(data) <= rows:
        return np.arange(len(data))
    order = data.best(len(data))
    best, others = order[: rows // 2], order[rows // 2 :]
    drawn = np.random.default_rng([seed, 1]).choice(others, size=rows - len(best), replace=False)
    return np.concatenate([best, drawn])


def _squared_distances(a: Floats, b: Floats) -> Floats:
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.maximum(found, 0.0)
