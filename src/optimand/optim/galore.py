"""GaLore: AdamW on gradients projected to a low rank (Zhao et al., ICML 2024, arXiv 2403.03507).

    every T steps: P = the r leading singular vectors of G, on its smaller side
    R = P' G                           (or G P)
    M = beta1 M + (1 - beta1) R        V = beta2 V + (1 - beta2) R^2
    W = W - lr scale sqrt(1 - beta2^t) / (1 - beta1^t) P M / (sqrt(V) + eps)

The moments stay as they are when P changes. Order and constants are those of the authors' code: ``eps`` beside the
uncorrected root, weight decay after the update. Unlike there, the basis has memory of its own (slices of the factors
of a decomposition keep all of them alive), the moments of bf16 weights are float32, and the states can be loaded with
``weights_only=True``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .base import Params
from .checks import arguments
from .projection import Shard2d, adam_direction
from .projection.ranks import RankedOptimizer
from .projection.subspaces import Basis, basis_in, draw_basis


class Move(NamedTuple):
    """Adam's step in a subspace.

    Attributes:
        space: the subspace.
        low: the gradient's coordinates there, their sign turned for ``maximize``.
        direction: Adam's direction there.
        lr: learning rate, bias correction included.
    """

    space: Basis
    low: Tensor
    direction: Tensor
    lr: float


class LowRankAdam(RankedOptimizer):
    """Adam's moments of a projected gradient: what GaLore and Fira share.

    A subclass brings the defaults of its groups and may say otherwise how the direction in the subspace moves the
    weights (:meth:`move`).

    Args:
        params: parameters, or groups of parameters.
        defaults: hyperparameters, those of :class:`GaLore` among them.
    """

    def update_matrix(
        self, group: dict[str, Any], matrix: Tensor, grad: Tensor, state: dict[str, Any], shard: Shard2d
    ) -> None:
        grad = grad.to(matrix.dtype)
        space = self._space(group, grad, state, shard)
        low = space.down(grad)
        if group["maximize"]:
            low = -low
        direction = adam_direction(low, state["exp_avg"], state["exp_avg_sq"], group["betas"], group["eps"])
        lr = group["lr"] * self.bias_correction(group, state["step"])
        self.move(group, matrix, grad, state, Move(space, low, direction, lr))
        if group["weight_decay"]:
            matrix.mul_(1.0 - group["lr"] * group["weight_decay"])

    def _space(self, group: dict[str, Any], grad: Tensor, state: dict[str, Any], shard: Shard2d) -> Basis:
        """The subspace of this step; with the first one come the moments."""
        refresh = (state["step"] - 1) // group["update_proj_gap"]
        if state.get("refresh") != refresh:
            key, rank = (group["seed"], state["index"], refresh), min(group["rank"], *shard.shape)
            draw_basis(state, grad, group["proj"], rank, group["proj_type"], key, shard)
            state["refresh"] = refresh
        space = basis_in(state, grad, shard)
        assert space is not None, "a refresh leaves one"
        if "exp_avg" not in state:
            self.init_moments(group, state, space.size(grad.shape), grad, shard)
        return space

    def move(self, group: dict[str, Any], matrix: Tensor, grad: Tensor, state: dict[str, Any], step: Move) -> None:
        """Subtract the learning rate times the update from the weights, in place.

        Args:
            group: the group's hyperparameters.
            matrix: this process's block of the weights.
            grad: of the gradient.
            state: the matrix's state.
            step: what has been found in the subspace.
        """
        step.space.add_up_(matrix, step.direction, -step.lr * group["scale"])


class GaLore(LowRankAdam):
    """GaLore: AdamW in the span of the gradient's leading singular vectors (arXiv 2403.03507).

    Only matrices are treated so (tensors of more dimensions as ``(out, rest)``); vectors and scalars run AdamW. The
    keys of groups are those of galore-torch; where one group names a ``rank``, groups that do not run AdamW.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the square root of the second moment, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        rank: rank r of the projection, at least 1; None for AdamW. A quarter of the width is the paper's choice.
        update_proj_gap: steps T between new projections, at least 1.
        scale: multiplies the update of projected matrices, above 0; the paper's alpha.
        proj: ``svd``: leading singular vectors of the gradient; ``random``: random orthonormal vectors.
        proj_type: which side is projected: ``std`` the smaller (the columns of a square matrix), ``reverse_std`` the
            other, ``left`` the rows, ``right`` the columns.
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

    Warns:
        UserWarning: ``rank`` exceeds the smaller side of a matrix, with ``oversize="warn"``.

    Reference:
        Zhao et al., GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection, ICML 2024,
        arXiv 2403.03507, algorithm 2.

    Example:
        >>> W = torch.nn.Parameter(torch.zeros(2, 3))
        >>> optimizer = GaLore([W], lr=0.1, rank=1, scale=1.0)
        >>> W.grad = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> optimizer.step()
        >>> W.data.abs() < 0.1
        tensor([[True, True, True],
                [True, True, True]])
        >>> {name: tuple(x.shape) for name, x in optimizer.state[W].items() if torch.is_tensor(x)}
        {'left': (2, 1), 'exp_avg': (1, 3), 'exp_avg_sq': (1, 3)}
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
        scale: float = 0.25,
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
