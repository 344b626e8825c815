"""Matrix methods with a rank, and what to do where it exceeds the smaller side of a matrix."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from optimand.core.validation import check_choice, check_int, check_number

from .base import MatrixOptimizer
from .selection import SIDES, kept_dim
from .sharding import Shard2d


class RankedOptimizer(MatrixOptimizer):
    """A matrix method that projects to a rank and draws a new projection every few steps: APOLLO, GaLore, Fira.

    Args:
        params: parameters, or groups of parameters.
        defaults: hyperparameters; ``rank, update_proj_gap, scale, proj, proj_type, seed, oversize`` among them.

    Raises:
        ValueError: a hyperparameter is bad.

    Warns:
        UserWarning: ``rank`` exceeds the smaller side of a matrix, with ``oversize="warn"``.
    """

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        if group["rank"] is not None:
            check_int("rank", group["rank"], low=1)
        check_int("update_proj_gap", group["update_proj_gap"], low=1)
        check_number("scale", group["scale"], low=0.0, low_open=True)
        check_choice("proj", group["proj"], ("svd", "random"))
        check_choice("proj_type", group["proj_type"], SIDES)
        if group.get("norm_growth") is not None:
            check_number("norm_growth", group["norm_growth"], low=1.0)
        check_int("seed", group["seed"])
        check_choice("oversize", group["oversize"], ("warn", "clamp"))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["oversize"] == "warn":
            warn_of_ranks(group["rank"], [p.shape for p in self.matrices(group)])

    def shared_dim(self, group: dict[str, Any], shard: Shard2d) -> int:
        return kept_dim(shard.shape, group["proj_type"])

    def init_moments(
        self, group: dict[str, Any], state: dict[str, Any], shape: Sequence[int], like: Tensor, shard: Shard2d
    ) -> None:
        """Put Adam's moments of a projected gradient of this shape into a state."""
        for name in ("exp_avg", "exp_avg_sq"):
            buffer = self.zeros(group, shape, like, name)
            kept = self.shared_dim(group, shard)
            state[name] = shard.wrap(buffer, kept) if isinstance(buffer, Tensor) else buffer

    @staticmethod
    def bias_correction(group: dict[str, Any], step: int) -> float:
        """What Adam's bias corrections multiply the learning rate by."""
        beta1, beta2 = group["betas"]
        return math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step) if group["correct_bias"] else 1.0


def warn_of_ranks(rank: int, shapes: Iterable[Sequence[int]], *, stacklevel: int = 3) -> None:
    """Warn where ``rank`` exceeds the smaller side of a matrix.

    Args:
        rank: of a group.
        shapes: of its matrices; of those with more dimensions, the later ones count as one.
        stacklevel: of the warning.

    Warns:
        UserWarning: a matrix is too small.
    """
    sides = {tuple(shape): min(shape[0], math.prod(shape[1:])) for shape in shapes}
    small = [shape for shape, side in sides.items() if side < rank]
    if small:
        more = f" and {len(small) - 1} other shapes" if len(small) > 1 else ""
        warnings.warn(
            f"rank must be at most the smaller side of a matrix, got {rank} for shape "
            f"{min(small, key=sides.__getitem__)}{more}: the smaller side is taken there",
            UserWarning,
            stacklevel=stacklevel,
        )
