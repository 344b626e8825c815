"""APOLLO: AdamW's step as one factor for each channel of the raw gradient (Zhu et al. 2025, arXiv 2412.05270).

    R = P G                            P random, r x m, drawn again every ``update_proj_gap`` steps
    M = beta1 M + (1 - beta1) R        V = beta2 V + (1 - beta2) R^2
    s_j = |M / (sqrt(V) + eps)|_j / |R|_j        for each channel j of the larger dimension (APOLLO)
    U = G s, its norm held to 1.01 times the previous one's
    W = W - lr sqrt(scale) sqrt(1 - beta2^t) / (1 - beta1^t) U

APOLLO-Mini has rank 1 and one factor for the whole matrix. The state is 2 n r + 1 numbers (2 n + 1) instead of AdamW's
2 m n, because P is drawn again from integers in every step. Where the authors' code and their paper differ, the code
is followed: ``eps`` and the limiter without bias correction, weight decay after the update. Unlike both, a zero
gradient leaves no record that the limiter would hold later updates to.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_choice

from .base import Params
from .checks import arguments
from .projection import (
    Shard2d,
    adam_direction,
    channel_squares,
    gaussian_projection,
    limit_growth,
    norm_ratio,
    work_dtype,
)
from .projection.ranks import RankedOptimizer
from .projection.selection import singular_vectors


class APOLLO(RankedOptimizer):
    """APOLLO: the raw gradient, scaled channel by channel as AdamW would (arXiv 2412.05270).

    Only matrices are treated so (tensors of more dimensions as ``(out, rest)``); vectors and scalars run AdamW. Give
    embeddings and the output head a group without ``rank``, as
    :func:`optimand.optim.routing.param_groups_for` does. The keys of groups are those of apollo-torch; where one
    group names a ``rank``, groups that do not run AdamW.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the square root of the second moment, at least 0.
        weight_decay: decoupled weight decay, at least 0; it acts on the updated weights, as in the authors' code.
        rank: rank r of the projection, at least 1; None for AdamW. A quarter of the width is the paper's choice.
        scale: the update is multiplied by ``alpha = sqrt(scale)``; above 0.
        scale_type: ``channel``: one factor for each entry of the dimension that is not projected; ``tensor``: one.
        update_proj_gap: steps between new projections, at least 1.
        proj: ``random``, or ``svd`` for the leading singular vectors of the gradient, which are kept in the state.
        proj_type: which side is projected: ``std`` the smaller (the columns of a square matrix), ``reverse_std`` the
            other, ``left`` the rows, ``right`` the columns.
        norm_growth: largest growth of an update's norm from step to step, at least 1; None for no limit. The norm is
            that before bias correction, as in the authors' code.
        state_dtype: of the moments: ``torch.float32``, ``torch.bfloat16``, or ``"8bit"``.
        seed: of the projections.
        cache_projection: keep P between steps (r m numbers for each matrix) instead of drawing it in each. Drawing
            runs on the CPU; with weights on an accelerator and large ranks, keep it.
        correct_bias: whether Adam's bias correction multiplies the learning rate.
        oversize: where ``rank`` exceeds the smaller side of a matrix, that side is taken: ``warn`` says so, ``clamp``
            does not.
        maximize: whether to maximize the objective.
        foreach: as in torch, for the parameters that run AdamW.
        fused: as in torch, for the parameters that run AdamW.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Warns:
        UserWarning: ``rank`` exceeds the smaller side of a matrix, with ``oversize="warn"``.

    Reference:
        Zhu et al., APOLLO: SGD-like Memory, AdamW-level Performance, MLSys 2025, arXiv 2412.05270, algorithm 1.

    Example:
        >>> W = torch.nn.Parameter(torch.zeros(2, 3))
        >>> optimizer = APOLLO([W], lr=0.1, rank=1)
        >>> W.grad = torch.tensor([[1.0, -2.0, 0.5], [0.5, 1.0, -1.5]])
        >>> optimizer.step()
        >>> W.grad[0] * W.data[0] < 0
        tensor([True, True, True])
        >>> sorted(optimizer.state[W])
        ['exp_avg', 'exp_avg_sq', 'index', 'norm', 'step']
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        rank: int | None = 256,
        scale: float = 1.0,
        scale_type: str = "channel",
        update_proj_gap: int = 200,
        proj: str = "random",
        proj_type: str = "std",
        norm_growth: float | None = 1.01,
        state_dtype: torch.dtype | str = torch.float32,
        seed: int = 0,
        cache_projection: bool = False,
        correct_bias: bool = True,
        oversize: str = "warn",
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        stochastic_rounding: bool = False,
    ) -> None:
        super().__init__(params, arguments(locals()))

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_choice("scale_type", group["scale_type"], ("channel", "tensor"))

    def transient_states(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("projection", "refresh") if group["proj"] == "random" else ()

    def init_matrix(self, group: dict[str, Any], matrix: Tensor, state: dict[str, Any], shard: Shard2d) -> None:
        shape = list(matrix.shape)
        shape[1 - self.shared_dim(group, shard)] = min(group["rank"], *shard.shape)
        self.init_moments(group, state, shape, matrix, shard)
        state["norm"] = torch.zeros((), dtype=work_dtype(matrix), device=matrix.device)

    def projection(
        self, group: dict[str, Any], grad: Tensor, state: dict[str, Any], shard: Shard2d, kept: int
    ) -> Tensor:
        """P of this step, ``r x m`` with m the projected dimension of the whole matrix, in the gradient's dtype.

        Args:
            group: the group's hyperparameters.
            grad: this process's block of the gradient, in the working precision.
            state: the matrix's state; what is kept of P goes there.
            shard: where the block lies in the whole matrix.
            kept: the dimension that is not projected.
        """
        refresh = (state["step"] - 1) // group["update_proj_gap"]
        if "projection" in state and state.get("refresh") == refresh:
            return state["projection"].to(grad.dtype)  # type: ignore[no-any-return]
        rank, size = min(group["rank"], *shard.shape), shard.shape[1 - kept]
        if group["proj"] == "svd":
            found = singular_vectors(shard.full(grad), rank, ("right", "left")[kept]).to(grad.dtype)
            found = found.T if kept else found
        else:
            key = (group["seed"], state["index"], refresh)
            found = gaussian_projection(rank, size, key, device=grad.device, dtype=grad.dtype)
        if group["proj"] == "svd" or group["cache_projection"]:
            state["projection"], state["refresh"] = found, refresh
        return found

    def update_matrix(
        self, group: dict[str, Any], matrix: Tensor, grad: Tensor, state: dict[str, Any], shard: Shard2d
    ) -> None:
        kept = self.shared_dim(group, shard)
        grad = grad.to(matrix.dtype)
        projection = self.projection(group, grad, state, shard, kept)[:, shard.part(grad.shape[1 - kept], 1 - kept)]
        low = grad @ projection.T if kept == 0 else projection @ grad
        shard.sum_over(1 - kept, low)
        if group["maximize"]:
            low = -low
        factor = self._factor(group, low, grad, state, shard, kept)
        if group["norm_growth"] is not None:
            _limit(group, factor, grad, state, shard, kept)
        size = group["lr"] * math.sqrt(group["scale"]) * self.bias_correction(group, state["step"])
        _add_scaled(matrix, grad, factor, size if group["maximize"] else -size)
        if group["weight_decay"]:
            matrix.mul_(1.0 - group["lr"] * group["weight_decay"])

    def _factor(
        self, group: dict[str, Any], low: Tensor, grad: Tensor, state: dict[str, Any], shard: Shard2d, kept: int
    ) -> Tensor:
        """s: for each channel, shaped to multiply the gradient, or for the whole matrix."""
        direction = adam_direction(low, state["exp_avg"], state["exp_avg_sq"], group["betas"], group["eps"])
        squares = [channel_squares(x, kept) for x in (direction, low)]
        if group["scale_type"] == "tensor":
            sums = torch.stack([x.sum() for x in squares])
            shard.sum_over(kept, sums)
            squares = list(sums)
        return norm_ratio(*(x.sqrt() for x in squares))


class APOLLOMini(APOLLO):
    """APOLLO-Mini: rank 1 and one factor for a whole matrix, almost without state (arXiv 2412.05270).

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the square root of the second moment, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        rank: rank of the projection, at least 1; None for AdamW.
        scale: the update is multiplied by ``alpha = sqrt(scale)``; above 0.
        scale_type: ``tensor``: one factor for the matrix; ``channel``: one for each channel.
        options: further arguments of :class:`APOLLO`.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Reference:
        Zhu et al., APOLLO, MLSys 2025, arXiv 2412.05270, section 4.3.

    Example:
        >>> W = torch.nn.Parameter(torch.zeros(2, 3))
        >>> optimizer = APOLLOMini([W], lr=0.1)
        >>> W.grad = torch.tensor([[1.0, -2.0, 0.5], [0.5, 1.0, -1.5]])
        >>> optimizer.step()
        >>> sum(x.numel() for x in optimizer.state[W].values() if torch.is_tensor(x))  # 2 n + 1
        7
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        rank: int | None = 1,
        scale: float = 128.0,
        scale_type: str = "tensor",
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, rank=rank, scale=scale, scale_type=scale_type, **options)


def _limit(
    group: dict[str, Any], factor: Tensor, grad: Tensor, state: dict[str, Any], shard: Shard2d, kept: int
) -> None:
    """Shrink ``factor`` in place where the update's norm would grow too fast."""
    if group["scale_type"] == "tensor":
        square = torch.linalg.vector_norm(grad) ** 2
        shard.sum_over_all(square)
        norm = square.sqrt() * factor
    else:
        squares = channel_squares(grad, kept)
        shard.sum_over(1 - kept, squares)
        square = (squares * factor * factor).sum()
        shard.sum_over(kept, square)
        norm = square.sqrt()
    factor.mul_(limit_growth(norm, state["norm"], group["norm_growth"]))


def _add_scaled(matrix: Tensor, grad: Tensor, factor: Tensor, size: float) -> None:
    """``matrix += size * factor * grad`` in one pass."""
    if factor.ndim == 0 and matrix.device.type == "cpu":
        matrix.add_(grad, alpha=size * factor.item())
    else:
        matrix.addcmul_(grad, factor, value=size)
