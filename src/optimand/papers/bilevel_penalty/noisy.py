"""A case with known answers for stochastic methods: a lower level with many solutions, and noise of known size.

    f(x, y) = ‖y - (1, -2)‖²/2,  g(x, y) = (y_1 + y_2 - x)²/2,  x in [-4, 4],  y in [-5, 5]²

The hyper-objective is ``(x + 1)²/4`` and the penalty gradient ``(x + 1)/(2 + sigma)``. Many runs, with noise of their
own each, go side by side as rows of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.projections import Box
from optimand.numerical.bilevel.oracle import PairedOracle
from optimand.numerical.bilevel.single_loop import SingleLoop

Array = Any
TARGET = np.array([1.0, -2.0])


@dataclass(frozen=True)
class Noise:
    """One draw for every run: additive on both lower gradients and on x's, and a factor common to both of g's.

    Attributes:
        y, z: shape (runs, 2).
        x, factor: shape (runs,).
    """

    y: Array
    z: Array
    x: Array
    factor: Array


def noise_sampler(runs: int, paired: bool, scale: float = 0.1) -> Callable[[np.random.Generator], Noise]:
    """Draws :class:`Noise`; ``paired`` gives y and z the same draw, as samples do that serve both.

    Example:
        >>> noise = noise_sampler(3, paired=True)(np.random.default_rng(0))
        >>> noise.y is noise.z, noise.x.shape
        (True, (3,))
    """

    def draw(rng: np.random.Generator) -> Noise:
        y = scale * rng.normal(size=(runs, 2))
        z = y if paired else scale * rng.normal(size=(runs, 2))
        return Noise(y, z, scale * rng.normal(size=runs), 1 + scale * rng.normal(size=runs))

    return draw


class ManySolutions(PairedOracle):
    """The oracle of the case; x has shape (runs,), y and z (runs, 2).

    Example:
        >>> y = np.array([[5 / 3, -4 / 3]])  # the penalized solution at x = 1, sigma = 1
        >>> z = np.array([[2.0, -1.0]])
        >>> ManySolutions().upper(np.ones(1), y, z, 1.0).round(12).tolist()
        [0.666666666667]
    """

    def lower(self, x: Array, y: Array, z: Array, sigma: float, batch: Noise | None = None) -> tuple[Array, Array]:
        """Gradients that move y and z."""
        self.counter.charge(1, "f")
        self.counter.charge(2, "g")
        h_y = sigma * (y - TARGET) + (y.sum(-1) - x)[:, None]
        g_z = np.repeat((z.sum(-1) - x)[:, None], 2, axis=1)
        return (h_y, g_z) if batch is None else (h_y + batch.y, g_z + batch.z)

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: Noise | None = None) -> Array:
        """The penalty gradient."""
        self.counter.charge(2, "g")
        at_y, at_z = x - y.sum(-1), x - z.sum(-1)
        if batch is None:
            return (at_y - at_z) / sigma
        return (at_y * batch.factor - at_z * batch.factor) / sigma + batch.x

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """Sums over the runs."""
        self.counter.charge(3, "values")
        f_y = 0.5 * float(((y - TARGET) ** 2).sum())
        g_y, g_z = (0.5 * float(((w.sum(-1) - x) ** 2).sum()) for w in (y, z))
        return f_y, g_y, g_z


def noisy_runs(
    momentum: bool, noise: str, runs: int = 10, steps: int = 20_000, last: int = 2000, seed: int = 0
) -> tuple[Array, Array]:
    """Errors of the single loop on the case, started at x = 3 with the paper's schedules.

    Args:
        momentum: STORM, or the plain single loop.
        noise: ``none``, ``independent`` (the hard case) or ``paired``.
        runs: runs side by side.
        steps: length of each.
        last: steps at the end over which the estimator is measured.
        seed: of the noise.

    Returns:
        For each run ``|x + 1|`` at the end, and the root mean square error of the estimate of the x-gradient.

    Example:
        >>> final, error = noisy_runs(True, "none", runs=1, steps=300, last=10)
        >>> bool(final[0] < 0.3)
        True
    """

    def sigma(k: int) -> float:
        return max(1e-3, 0.3 * k**-0.2)

    def eta(k: int) -> float:
        return min(1.0, 4.0 * k**-0.8)

    solver = SingleLoop(
        ManySolutions(), np.full(runs, 3.0), np.zeros((runs, 2)), Box(-4.0, 4.0), Box(-5.0, 5.0),
        sigma=sigma, alpha=lambda k: 0.3 * (k + 10) ** -0.6, gamma=0.2, eta=eta if momentum else 1.0, rng=seed,
        sample=None if noise == "none" else noise_sampler(runs, noise == "paired"),
    )  # fmt: skip
    squares = np.zeros(runs)
    for k in range(1, steps + 1):
        before = solver.x
        solver.step()
        if k > steps - last:
            squares += (solver.gradient - (before + 1) / (2 + sigma(k))) ** 2
    return abs(solver.x + 1), np.sqrt(squares / last)
