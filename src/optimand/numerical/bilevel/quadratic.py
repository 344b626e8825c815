"""Lower levels that are quadratic in y: random programs, and ridge regression with tuned penalties."""

from __future__ import annotations

from typing import Any

import numpy as np

from .oracle import PairedBatch, PairedOracle, SplitData

Array = Any


class QuadraticPrograms(PairedOracle):
    """``f = ‖y - t‖²/2 + c ‖x‖²/2`` over minimizers of ``g = yᵀ A y / 2 - yᵀ B x``.

    Args:
        A: symmetric positive semidefinite, shape (m, m); B must lie in its range.
        B: shape (m, n).
        target: t, shape (m,).
        c: >= 0.

    Example:
        >>> oracle = QuadraticPrograms(np.eye(1), np.array([[2.0]]), np.ones(1), 0.5)
        >>> oracle.upper(np.ones(1), np.array([1.5]), np.array([2.0]), 1.0).tolist()
        [1.5]
    """

    def __init__(self, A: Array, B: Array, target: Array, c: float) -> None:
        super().__init__()
        self.A, self.B, self.target, self.c = A, B, target, c

    def lower(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> tuple[Array, Array]:
        """Gradients that move y and z."""
        self.counter.charge(1, "f")
        self.counter.charge(2, "g")
        pull = self.B @ x
        return sigma * (y - self.target) + self.A @ y - pull, self.A @ z - pull

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> Array:
        """The penalty gradient."""
        self.counter.charge(1, "f")
        self.counter.charge(2, "g")
        return self.c * x - self.B.T @ (y - z) / sigma

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """``f(x, y)``, ``g(x, y)`` and ``g(x, z)``."""
        self.counter.charge(3, "values")
        f_y = 0.5 * float(((y - self.target) ** 2).sum() + self.c * (x**2).sum())
        g_y, g_z = (float(0.5 * w @ self.A @ w - w @ self.B @ x) for w in (y, z))
        return f_y, g_y, g_z

    def lower_gradient(self, x: Array, y: Array) -> Array:
        """``∇_y g``."""
        self.counter.charge(1, "g")
        return self.A @ y - self.B @ x

    def upper_gradients(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Both gradients of f."""
        self.counter.charge(2, "f")
        return self.c * x, y - self.target

    def second_order(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Products with both second derivatives of g."""

        def hessian(v: Array) -> Array:
            self.counter.charge(2, "g")
            return self.A @ v

        def mixed(v: Array) -> Array:
            self.counter.charge(2, "g")
            return -self.B.T @ v

        return hessian, mixed


def diabetes_data(rng: np.random.Generator) -> SplitData:
    """scikit-learn's diabetes: 442 patients, ten measurements, their squares and products, standardized.

    Half of the patients are for training, a quarter each for validation and test, drawn by ``rng``.

    Example:
        >>> data = diabetes_data(np.random.default_rng(0))
        >>> data.train_x.shape, data.valid_x.shape, data.test_x.shape
        ((221, 64), (110, 64), (111, 64))
    """
    from sklearn.datasets import load_diabetes

    x, t = load_diabetes(return_X_y=True)
    rows, columns = np.triu_indices(x.shape[1])
    features = np.hstack([x, x[:, rows] * x[:, columns]])
    # Sex takes two values, so its square says nothing.
    features = np.delete(features, 10 + int(np.flatnonzero((rows == 1) & (columns == 1))[0]), axis=1)
    order = rng.permutation(len(t))
    train, valid, test = order[:221], order[221:331], order[331:]
    mean, scale = features[train].mean(0), features[train].std(0)
    features = (features - mean) / scale
    t = (t - t[train].mean()) / t[train].std()
    return SplitData(features[train], t[train], features[valid], t[valid], features[test], t[test])


class TunedRidge(PairedOracle):
    """Ridge regression whose penalties' logarithms are the upper variable: one for each of the ten measurements, and
    one for all squares and products.

    ``f = mean squared error on the validation data / 2`` and
    ``g = mean squared error on the training data / 2 + sum_j exp(x_group(j)) w_j² / 2``.

    Args:
        data: the data.

    Example:
        >>> oracle = TunedRidge(diabetes_data(np.random.default_rng(0)))
        >>> w = oracle.solve(np.full(11, -2.0))
        >>> bool(abs(oracle.lower_gradient(np.full(11, -2.0), w)).max() < 1e-12)
        True
    """

    def __init__(self, data: SplitData) -> None:
        super().__init__()
        self.data = data
        self._group = np.minimum(np.arange(data.train_x.shape[1]), 10)
        self._gram, self._right = data.train_x.T @ data.train_x / len(data.train_t), self._moment("g")
        self._valid_gram, self._valid_right = data.valid_x.T @ data.valid_x / len(data.valid_t), self._moment("f")

    def _moment(self, level: str) -> Array:
        x, t = self._rows(level, None)
        return x.T @ t / len(t)

    def _rows(self, level: str, idx: Any) -> tuple[Array, Array]:
        data = self.data
        x, t = (data.train_x, data.train_t) if level == "g" else (data.valid_x, data.valid_t)
        return (x, t) if idx is None else (x[idx], t[idx])

    def penalties(self, x: Array) -> Array:
        """The penalty of each feature, shape (64,)."""
        return np.exp(x)[self._group]

    def _grouped(self, values: Array) -> Array:
        return np.bincount(self._group, values)

    def _slope(self, level: str, w: Array, batch: PairedBatch | None) -> Array:
        """Gradient in w of half the mean squared error."""
        if batch is None:
            self.counter.charge(1, level)
            return self._gram @ w - self._right if level == "g" else self._valid_gram @ w - self._valid_right
        idx = batch.lower if level == "g" else batch.upper
        self.counter.charge(len(idx) / len(self._rows(level, None)[1]), level)
        x, t = self._rows(level, idx)
        return x.T @ (x @ w - t) / len(t)

    def lower(
        self, x: Array, y: Array, z: Array, sigma: float, batch: PairedBatch | None = None
    ) -> tuple[Array, Array]:
        """Gradients that move y and z."""
        penalty = self.penalties(x)
        h_y = sigma * self._slope("f", y, batch) + self._slope("g", y, batch) + penalty * y
        return h_y, self._slope("g", z, batch) + penalty * z

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: PairedBatch | None = None) -> Array:
        """The penalty gradient; the data do not enter, and it is counted as two gradients of g all the same."""
        self.counter.charge(2, "g")
        return self._grouped(self.penalties(x) * (y**2 - z**2)) / (2 * sigma)

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """``f(x, y)``, ``g(x, y)`` and ``g(x, z)`` on all data."""
        self.counter.charge(3, "values")
        g_y, g_z = (0.5 * self.error("train", w) + 0.5 * float(self.penalties(x) @ w**2) for w in (y, z))
        return 0.5 * self.error("valid", y), g_y, g_z

    def error(self, split: str, w: Array) -> float:
        """Mean squared error on ``train``, ``valid`` or ``test``; that of predicting the mean is about 1."""
        x, t = getattr(self.data, f"{split}_x"), getattr(self.data, f"{split}_t")
        return float(((x @ w - t) ** 2).mean())

    def solve(self, x: Array) -> Array:
        """The minimizer of g; counted as products with the Hessian, one for each column."""
        self.counter.charge(2 * len(self._right), "g")
        return np.linalg.solve(self._gram + np.diag(self.penalties(x)), self._right)

    def lower_gradient(self, x: Array, y: Array) -> Array:
        """``∇_y g``."""
        return self._slope("g", y, None) + self.penalties(x) * y

    def upper_gradients(self, x: Array, y: Array) -> tuple[Array, Array]:
        """``∇_x f`` (zero) and ``∇_y f``."""
        return np.zeros_like(x), self._slope("f", y, None)

    def second_order(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Products with both second derivatives of g."""
        penalty = self.penalties(x)

        def hessian(v: Array) -> Array:
            self.counter.charge(2, "g")
            return self._gram @ v + penalty * v

        def mixed(v: Array) -> Array:
            self.counter.charge(2, "g")
            return self._grouped(penalty * y * v)

        return hessian, mixed
