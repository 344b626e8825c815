"""Real data as a misspecified linear bandit: patients are arms, a few of their measurements explain their outcome."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import check_number
from optimand.online.engine.draws import Draws

from .environment import MisspecifiedLinearEnvironment
from .queries import Array


class PatientsBandit(MisspecifiedLinearEnvironment):
    """The 442 patients of scikit-learn's diabetes data as arms, rows divided by the largest length.

    For each repetition ``sparsity`` of the 10 measurements are drawn; least squares on them explains the standardised
    progression of the disease, its coefficients scaled to length 1, and what is left, clipped to ``[-eps, eps]``, is
    the error.

    Args:
        eps: bound of the error, > 0.
        sparsity: measurements, in [1, 10].
        noise: standard deviation of a reward, >= 0.

    Example:
        >>> from optimand.core.seeds import SeedTree
        >>> PatientsBandit().instance(Draws(SeedTree(0), [0, 1])).shape
        (2, 442)
    """

    def __init__(self, *, eps: float = 0.1, sparsity: int = 2, noise: float = 0.3, **options: Any) -> None:
        from .generators import real_features

        check_number("eps", eps, low=0, low_open=True)
        super().__init__(real_features("diabetes"), eps=eps, error="none", sparsity=sparsity, noise=noise, **options)

    def instance(self, draws: Draws) -> Array:
        """Means of the repetitions of ``draws``, shape ``(R, 442)``."""
        from .generators import real_table

        x, y = self.features, real_table("diabetes")[1][:, 0]
        chosen = draws.permutation(x.shape[1])[:, : self.sparsity]
        columns = x[:, chosen].transpose(1, 0, 2)
        found = np.linalg.pinv(columns) @ y
        scale = np.linalg.norm(found, axis=1, keepdims=True)
        linear = np.einsum("rnk,rk->rn", columns, found / scale)
        return linear + np.clip(y / scale - linear, -self.eps, self.eps)
