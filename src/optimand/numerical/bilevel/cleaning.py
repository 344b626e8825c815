"""Data hyper-cleaning: weights of training examples, learned on clean validation data, for a softmax regression.

    f(u, W) = mean cross-entropy of W on the validation data
    g(u, W) = 1/n sum_i u_i l_i(W) + lam/2 ‖W‖²,  u in [0, 1]^n

with l_i the cross-entropy of training example i. All arrays are float64; W has shape (classes, features), so that
the models y and z can be stacked and pass the data in one matrix product.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .oracle import PairedBatch, PairedOracle, SplitData

Array = Any


@dataclass(frozen=True)
class CleaningData(SplitData):
    """Data of which some training labels are wrong.

    Attributes:
        corrupt: shape (n_train,), whether a training label was changed.
        classes: number of classes.
    """

    corrupt: Array
    classes: int


@functools.lru_cache(maxsize=8)
def digits_data(split_seed: int | None = 0, rng_words: tuple[int, ...] = ()) -> CleaningData:
    """scikit-learn's digits, 800 for training with 40 % of labels wrong, 200 for validation, 797 for testing.

    Pixels are divided by 16 and a column of ones is added. One generator shuffles the images, draws which training
    labels are wrong (each with probability 0.4) and adds 1 to 9 to those, modulo 10.

    Args:
        split_seed: seed of the generator; at 0, 359 of the 800 labels are wrong, 45 % by chance.
        rng_words: entropy of the generator where ``split_seed`` is None.

    Example:
        >>> data = digits_data()
        >>> data.train_x.shape, data.valid_x.shape, data.test_x.shape, int(data.corrupt.sum())
        ((800, 65), (200, 65), (797, 65), 359)
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(list(rng_words) if split_seed is None else split_seed)
    images, labels = load_digits(return_X_y=True)
    x = np.hstack([images / 16, np.ones((len(images), 1))])
    order = rng.permutation(len(images))
    train, valid, test = order[:800], order[800:1000], order[1000:]
    t = labels[train].copy()
    corrupt = rng.random(800) < 0.4
    t[corrupt] = (t[corrupt] + rng.integers(1, 10, corrupt.sum())) % 10
    return CleaningData(x[train], t, x[valid], labels[valid], x[test], labels[test], corrupt, 10)


def softmax_stack(weights: Array, inputs_t: Array, labels: Array) -> tuple[Array, Array]:
    """Class probabilities and losses of stacked models.

    Args:
        weights: shape (models, classes, features).
        inputs_t: shape (features, n).
        labels: shape (n,).

    Returns:
        Probabilities, shape (models, classes, n), and cross-entropies, shape (models, n).
    """
    models, classes, features = weights.shape
    logits = (weights.reshape(models * classes, features) @ inputs_t).reshape(models, classes, -1)
    logits -= logits.max(1, keepdims=True)
    true = logits[:, labels, np.arange(len(labels))]
    np.exp(logits, out=logits)
    total = logits.sum(1)
    logits /= total[:, None]
    return logits, np.log(total) - true


class HyperCleaning(PairedOracle):
    """The oracle of data hyper-cleaning, with y and z stacked in every product with the data.

    Args:
        data: the data.
        lam: weight of the penalty on W, > 0; the bias column is penalized too.

    Example:
        >>> oracle = HyperCleaning(digits_data())
        >>> W = np.zeros((10, 65))
        >>> round(oracle.values(np.full(800, 0.5), W, W)[0], 6)  # the cross-entropy of guessing
        2.302585
    """

    def __init__(self, data: CleaningData, lam: float = 1e-3) -> None:
        super().__init__()
        self.data, self.lam = data, lam
        self._train_t, self._valid_t = (np.ascontiguousarray(a.T) for a in (data.train_x, data.valid_x))
        eye = np.eye(data.classes)
        self._train_hot, self._valid_hot = (np.ascontiguousarray(eye[t].T) for t in (data.train_t, data.valid_t))

    # ------------------------------------------------------------------ pieces

    def _rows(self, level: str, idx: Any) -> tuple[Array, Array, Array, Array]:
        """Inputs, transposed inputs, labels and one-hot labels (classes, n) of a level's rows."""
        data = self.data
        if level == "g":
            x, xt, t, hot = data.train_x, self._train_t, data.train_t, self._train_hot
        else:
            x, xt, t, hot = data.valid_x, self._valid_t, data.valid_t, self._valid_hot
        if idx is None:
            return x, xt, t, hot
        part = x[idx]
        return part, part.T, t[idx], hot[:, idx]

    def _charge(self, f: int, g: int, batch: PairedBatch | None) -> None:
        data = self.data
        if f:
            self.counter.charge(f * (1.0 if batch is None else len(batch.upper) / len(data.valid_t)), "f")
        if g:
            self.counter.charge(g * (1.0 if batch is None else len(batch.lower) / len(data.train_t)), "g")

    def _train_gradients(self, u: Array, stack: Array, batch: PairedBatch | None) -> tuple[Array, Array]:
        """Gradients of g in W for a stack of models, and the examples' losses."""
        idx = None if batch is None else batch.lower
        x, xt, t, hot = self._rows("g", idx)
        p, losses = softmax_stack(stack, xt, t)
        p -= hot
        p *= (u if idx is None else u[idx]) / len(t)
        gradients = (p.reshape(-1, len(t)) @ x).reshape(stack.shape)
        gradients += self.lam * stack
        return gradients, losses

    def _valid_gradient(self, y: Array, batch: PairedBatch | None) -> Array:
        x, xt, t, hot = self._rows("f", None if batch is None else batch.upper)
        p, _ = softmax_stack(y[None], xt, t)
        return ((p[0] - hot) / len(t)) @ x

    def _weights_gradient(self, losses: Array, sigma: float, batch: PairedBatch | None) -> Array:
        difference = (losses[0] - losses[1]) / (losses.shape[1] * sigma)
        if batch is None:
            return difference
        return np.bincount(batch.lower, difference, minlength=len(self.data.train_t))

    # --------------------------------------------------------------- the oracle

    def lower(
        self, x: Array, y: Array, z: Array, sigma: float, batch: PairedBatch | None = None
    ) -> tuple[Array, Array]:
        """Gradients that move y and z; one gradient of f and two of g."""
        self._charge(1, 2, batch)
        gradients, _ = self._train_gradients(x, np.stack([y, z]), batch)
        return gradients[0] + sigma * self._valid_gradient(y, batch), gradients[1]

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: PairedBatch | None = None) -> Array:
        """The gradient in the weights: differences of losses. f does not depend on them, so two gradients of g."""
        self._charge(0, 2, batch)
        _, xt, t, _ = self._rows("g", None if batch is None else batch.lower)
        return self._weights_gradient(softmax_stack(np.stack([y, z]), xt, t)[1], sigma, batch)

    def joint(
        self, x: Array, y: Array, z: Array, sigma: float, batch: PairedBatch | None = None
    ) -> tuple[Array, Array, Array]:
        """All three from the same probabilities; counted as :meth:`lower` and :meth:`upper`."""
        self._charge(1, 4, batch)
        gradients, losses = self._train_gradients(x, np.stack([y, z]), batch)
        h_y = gradients[0] + sigma * self._valid_gradient(y, batch)
        return h_y, gradients[1], self._weights_gradient(losses, sigma, batch)

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """``f(x, y)``, ``g(x, y)`` and ``g(x, z)`` on all data."""
        self.counter.charge(3, "values")
        data = self.data
        f_y = softmax_stack(y[None], self._valid_t, data.valid_t)[1].mean()
        losses = softmax_stack(np.stack([y, z]), self._train_t, data.train_t)[1]
        g_y, g_z = (float(x @ a / len(x) + 0.5 * self.lam * np.vdot(w, w)) for a, w in zip(losses, (y, z), strict=True))
        return float(f_y), g_y, g_z

    # -------------------------------------------- second derivatives, for baselines

    def lower_gradient(self, x: Array, y: Array) -> Array:
        """``∇_y g(x, y)``; one gradient."""
        self._charge(0, 1, None)
        return self._train_gradients(x, y[None], None)[0][0]

    def upper_gradients(self, x: Array, y: Array) -> tuple[Array, Array]:
        """``∇_x f`` (zero) and ``∇_y f``; one gradient."""
        self._charge(1, 0, None)
        return np.zeros_like(x), self._valid_gradient(y, None)

    def second_order(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Products ``v -> ∇²_yy g v`` and ``v -> ∇²_xy g v`` at (x, y); each use counts as two gradients."""
        data, n = self.data, len(self.data.train_t)
        p, _ = softmax_stack(y[None], self._train_t, data.train_t)
        p = p[0]

        def hessian(v: Array) -> Array:
            self._charge(0, 2, None)
            turned = p * (v @ self._train_t)
            turned -= p * turned.sum(0)
            return (turned * (x / n)) @ data.train_x + self.lam * v

        def mixed(v: Array) -> Array:
            self._charge(0, 2, None)
            return ((p - self._train_hot) * (v @ self._train_t)).sum(0) / n

        return hessian, mixed

    def newton(self, x: Array, y: Array, sigma: float, tol: float = 1e-13, maxiter: int = 60) -> Array:
        """The minimizer of ``sigma f + g`` (of ``g`` at sigma 0) by Newton's method with halved steps.

        A Hessian counts as products with it, one for each column.

        Args:
            x: weights.
            y: start.
            sigma: >= 0.
            tol: norm of the gradient to reach; the best point is returned where rounding forbids it.
            maxiter: cap on iterations.
        """
        data, (classes, features) = self.data, y.shape
        parts = [(data.train_x, self._train_t, data.train_t, self._train_hot, x / len(x))]
        if sigma:
            m = len(data.valid_t)
            parts.append((data.valid_x, self._valid_t, data.valid_t, self._valid_hot, np.full(m, sigma / m)))

        def gradient(w: Array) -> Array:
            self._charge(int(sigma > 0), 1, None)
            total = self.lam * w
            for inputs, xt, t, hot, weight in parts:
                total = total + ((softmax_stack(w[None], xt, t)[0][0] - hot) * weight) @ inputs
            return total

        g = gradient(y)
        for _ in range(maxiter):
            size = float(np.linalg.norm(g))
            if size <= tol:
                break
            self._charge(2 * y.size * int(sigma > 0), 2 * y.size, None)
            hessian = self.lam * np.eye(classes * features)
            for inputs, xt, t, _, weight in parts:
                p = softmax_stack(y[None], xt, t)[0][0]
                rows = (p[:, :, None] * inputs[None]).transpose(1, 0, 2).reshape(len(t), -1)
                hessian -= (rows * weight[:, None]).T @ rows
                for c in range(classes):
                    block = slice(c * features, (c + 1) * features)
                    hessian[block, block] += (inputs * (p[c] * weight)[:, None]).T @ inputs
            direction = np.linalg.solve(hessian, g.ravel()).reshape(y.shape)
            step = 1.0
            while step > 1e-6 and float(np.linalg.norm(gradient(y - step * direction))) >= size:
                step /= 2
            if step <= 1e-6:
                break
            y = y - step * direction
            g = gradient(y)
        return y


def accuracy(w: Array, x: Array, t: Array) -> float:
    """Share of right predictions of the model ``w`` (classes, features)."""
    return float(((x @ w.T).argmax(1) == t).mean())


def cross_entropy(w: Array, x: Array, t: Array) -> float:
    """Mean cross-entropy of the model ``w``."""
    return float(softmax_stack(w[None], x.T, t)[1].mean())


def area_under_curve(scores: Array, positive: Array) -> float:
    """Area under the ROC curve: the chance that a positive example scores higher than a negative one, ties half.

    Example:
        >>> area_under_curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
        0.875
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    n = int(positive.sum())
    m = len(positive) - n
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
