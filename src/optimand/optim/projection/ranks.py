"""Matrix methods with a rank, and what to do where it exceeds the smaller side of a matrix."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from optimand.core.validation import check_choice, check_int, check_number

from .base import MatrixOptimizer

OVERSIZE = ("warn", "clamp", "raise")


def check_ranks(rank: int, shapes: Iterable[Sequence[int]], oversize: str, *, stacklevel: int = 3) -> None:
    """Warn or raise where ``rank`` exceeds the smaller side of a matrix.

    Args:
        rank: of a group.
        shapes: of its matrices; of those with more dimensions, the later ones count as one.
        oversize: ``"warn"``, ``"raise"``, or ``"clamp"`` to take the smaller side without a word.
        stacklevel: of the warning.

    Raises:
        ValueError: ``oversize`` is ``"raise"``, and a matrix is too small.

    Warns:
        UserWarning: ``oversize`` is ``"warn"``, and a matrix is too small.

    Example:
        >>> check_ranks(4, [(4, 2, 3)], "raise")
    """
    sides = {tuple(shape): min(shape[0], math.prod(shape[1:])) for shape in shapes}
    small = [shape for shape, side in sides.items() if side < rank]
    if not small or oversize == "clamp":
        return
    message = (
        f"rank must be at most the smaller side of a matrix, got {rank} for shape {min(small, key=sides.__getitem__)}"
    )
    if oversize == "raise":
        raise ValueError(message)
    more = f" and {len(small) - 1} other shapes" if len(small) > 1 else ""
    warnings.warn(f"{message}{more}: the smaller side is taken there", UserWarning, stacklevel=stacklevel)


class RankedOptimizer(MatrixOptimizer):
    """A matrix method that projects to a rank and draws a new projection every few steps: APOLLO, GaLore, Fira.

    Args:
        params: parameters, or groups of parameters.
        defaults: hyperparameters; ``rank, update_proj_gap, scale, proj, seed, oversize`` among them.

    Raises:
        ValueError: a hyperparameter is bad, or ``rank`` exceeds the smaller side of a matrix with
            ``oversize="raise"``.

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
        check_int("seed", group["seed"])
        check_choice("oversize", group["oversize"], OVERSIZE)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_ranks(group["rank"], [p.shape for p in self.matrices(group)], group["oversize"])
        except ValueError:
            self.param_groups.pop()
            raise
