"""Inputs and targets by mean and standard deviation, as surrogates want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optimand.core.validation import OptimandError


def checked(name: str, values: Any) -> Tensor:
    """Numbers as a tensor, float32 unless they are float64 tensors; OptimandError where one is not finite."""
    given = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values), dtype=torch.float32)
    tensor = given if given.is_floating_point() else given.float()
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        rows = torch.nonzero(~finite)[:, 0] if tensor.ndim else torch.zeros(1, dtype=torch.int64)
        raise OptimandError(
            f"{name} has {int((~finite).sum())} values that are not finite, the first in row {int(rows[0])}; "
            "leave such rows out"
        )
    return tensor


@dataclass(frozen=True)
class Standardizer:
    """Column-wise (values - center) / scale; a constant column has scale 1.

    Example:
        >>> scaler = Standardizer.of(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaler(torch.tensor([[2.0, 6.0]])).tolist(), scaler.back(torch.tensor([[1.0, 0.0]])).tolist()
        ([[0.0, 1.0]], [[3.0, 5.0]])
    """

    center: Tensor
    scale: Tensor

    @classmethod
    def of(cls, values: Any) -> Standardizer:
        """From the rows of ``values``, (n,) or (n, d); the standard deviation divides by n."""
        rows = checked("values", values)
        if len(rows) == 0:
            raise ValueError("values must have at least one row, got none")
        scale = rows.std(dim=0, unbiased=False)
        # Rounding leaves a constant column a deviation that is tiny but not 0.
        flat = scale <= 1e-6 * rows.abs().amax(dim=0)
        return cls(rows.mean(dim=0), torch.where(flat, torch.ones_like(scale), scale))

    def __call__(self, values: Any) -> Tensor:
        """Standardized values."""
        return (torch.as_tensor(values, dtype=self.center.dtype) - self.center) / self.scale

    def back(self, values: Tensor) -> Tensor:
        """The values that were standardized."""
        return values * self.scale + self.center
