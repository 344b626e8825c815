"""Fira: GaLore's update, and what it leaves out of the gradient scaled by norms (Chen et al., arXiv 2410.01623).

    R = P' G,  psi = M / (sqrt(V) + eps)           as in GaLore
    S = phi (G - P R)                              phi_j = |psi_j| / |R_j| for each channel j of the other side
    S is held to 1.01 times the previous one's norm
    W = W - lr sqrt(1 - beta2^t) / (1 - beta1^t) (scale P psi + S)

So the update has full rank and the state is GaLore's and one number. The authors' code subtracts ``scale P R`` in S,
which leaves a part of the projected gradient there; ``scaled_residual`` does the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import Params
from .checks import arguments
from .galore import LowRankAdam, Move
from .projection import Shard2d, channel_squares, limit_growth, norm_ratio, work_dtype


class Fira(LowRankAdam):
    """Fira: full-rank updates under a low-rank state, by norm-based scaling (arXiv 2410.01623).

    Args:
        params: parameters, or groups of parameters, with the keys of :class:`~optimand.optim.galore.GaLore`.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the square root of the second moment, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        rank: rank of the projection, at least 1; None for AdamW.
        update_proj_gap: steps between new projections, at least 1.
        scale: multiplies the projected part of the update, above 0; the paper's runs on C4 take 0.25.
        norm_growth: largest growth of the norm of S from step to step, at least 1; None for no limit.
        scaled_residual: take ``G - scale P R`` for ``G - P R``, as the authors' code does.
        proj: ``svd``: leading singular vectors of the gradient; ``random``: random orthonormal vectors.
        proj_type: ``std``, ``reverse_std``, ``left`` or ``right``, as for GaLore.
        state_dtype: of the moments: ``torch.float32``, ``torch.bfloat16``, or ``"8bit"``.
        correct_bias: whether Adam's bias correction multiplies the learning rate.
        seed: of random projections.
        oversize: where ``rank`` exceeds the smaller side of a matrix, that side is taken: ``warn`` says so, ``clamp``
            does not.
        maximize: whether to maximize the objective.
        foreach: as in torch, for the parameters that run AdamW.
        fused: as in torch, for the parameters that run AdamW.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Reference:
        Chen et al., Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank Constraint?, arXiv 2410.01623,
        equations 5 to 8.

    Example:
        >>> W = torch.nn.Parameter(torch.zeros(2, 3))
        >>> optimizer = Fira([W], lr=0.1, rank=1)
        >>> W.grad = torch.tensor([[3.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
        >>> optimizer.step()
        >>> torch.linalg.matrix_rank(W.data).item()
        2
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        rank: int | None = 128,
        update_proj_gap: int = 200,
        scale: float = 1.0,
        norm_growth: float | None = 1.01,
        scaled_residual: bool = False,
        proj: str = "svd",
        proj_type: str = "std",
        state_dtype: torch.dtype | str = torch.float32,
        correct_bias: bool = True,
        seed: int = 0,
        oversize: str = "warn",
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        stochastic_rounding: bool = False,
    ) -> None:
        super().__init__(params, arguments(locals()))

    def init_matrix(self, group: dict[str, Any], matrix: Tensor, state: dict[str, Any], shard: Shard2d) -> None:
        """The norm that the limiter remembers; the moments come with the basis."""
        if group["norm_growth"] is not None:
            state["norm"] = torch.zeros((), dtype=work_dtype(matrix), device=matrix.device)

    def move(self, group: dict[str, Any], matrix: Tensor, grad: Tensor, state: dict[str, Any], step: Move) -> None:
        space, low, direction, lr = step
        kept = space.kept
        ours = group["scale"] if group["scaled_residual"] else 1.0
        squares, low_squares = channel_squares(grad, kept), channel_squares(low, kept)
        space.shard.sum_over(1 - kept, squares)
        factor = norm_ratio(channel_squares(direction, kept).sqrt(), low_squares.sqrt())
        if group["norm_growth"] is not None:
            # P has orthonormal columns: |G - c P R|^2 is |G|^2 - c (2 - c) |R|^2, without forming the product.
            square = (factor.square() * (squares - ours * (2.0 - ours) * low_squares).clamp(min=0.0)).sum()
            space.shard.sum_over(kept, square)
            factor = factor * limit_growth(square.sqrt(), state["norm"], group["norm_growth"])
        matrix.addcmul_(grad, factor, value=lr if group["maximize"] else -lr)
        space.add_up_(matrix, group["scale"] * direction - ours * factor * low, -lr)
