"""FRUGAL: full-rank updates with states for a subspace only (Zmushko et al., ICML 2025, arXiv 2411.07837).

    every T steps: a new subspace of each projectable matrix, its states begin anew
    g_full = down(g)                          the part in the subspace: AdamW, Lion or SGD with momentum
    g_free = g - up(g_full)                   the rest: the sign of the gradient, or the gradient, without states
    p = p (1 - lr weight_decay) + up(update(g_full)) - lr_free sign(g_free)

With density rho the states take rho times AdamW's memory, while every weight moves in every step. Unlike the authors'
code, a subspace is a pure function of seed, parameter and number of the refresh, so runs resume exactly and processes
agree; residuals that are rounding noise have no sign; and a parameter without gradient joins when it has one.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int, check_number

from ..base import Params
from ..checks import arguments
from ..kernels import Kernel
from ..projection import MatrixOptimizer, Shard2d, as_matrix, local_of, shard_of
from ..projection.selection import ORDERS, SIDES, active_blocks, kept_dim, subset_size
from ..projection.sharding import local_gradient
from ..stochastic import HALF, advance_key, keys_of
from .rules import STATE_FREE, STATE_FULL, full_scalars, matrix_scalars
from .spaces import SUBSPACES, Cache, enter, find
from .steps import Item, update


class FRUGAL(MatrixOptimizer):
    """FRUGAL: a rule with states on a subspace, a rule without on the rest (arXiv 2411.07837).

    Groups with ``is_proj_params=True``, or with a ``density`` of their own, are projectable; where no group says
    either, all are. Other groups, and vectors where the subspace is one of matrices, take the rule with states
    throughout. Give embeddings, norms and the output head a group of their own, as
    :func:`optimand.optim.routing.param_groups_for` does.

    With ``block``, which tensors have states changes at refreshes, so torch.distributed.checkpoint, which loads into
    the states of a fresh optimizer, restores them only until the first one; ``torch.save`` has no such limit.

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate of both rules, at least 0; a number or a 0-d tensor.
        betas: decay rates of the averages of AdamW or Lion, each in [0, 1).
        eps: added to AdamW's denominator, at least 0.
        weight_decay: decoupled weight decay, at least 0, on all parameters, before the update.
        density: share rho of a matrix that has states, in [0, 1]; a change takes effect at the next refresh.
        update_gap: steps T between refreshes, at least 1.
        subspace: ``columns``, ``rows`` or ``randk`` (entries), drawn at random; ``block``: whole tensors; ``svd``:
            leading singular vectors of the gradient; ``random``: random orthonormal vectors.
        proj_side: for ``svd`` and ``random``: ``std`` projects the smaller side (of square matrices the columns),
            ``reverse_std`` the other, ``left`` the rows, ``right`` the columns.
        block_order: for ``block``: ``random``, ``shuffled`` (every block once before the next round), ``ascending``,
            ``descending``.
        state_full: rule with states: ``adamw``, ``lion`` or ``sgdm``.
        state_free: rule without states: ``sign_sgd``, ``sgd`` or ``none``.
        inactive_lr_scale: the learning rate of the rule without states, as a multiple of the other's.
        proj_params_lr_scale: multiplies the learning rate of both rules in projectable groups.
        on_change: what becomes of states at a refresh: ``reset``: they begin anew, and so does their step count;
            ``keep``: they stay as they are, in other places; ``project``: they change into the new subspace,
            coordinates that stay keep theirs.
        momentum: of ``sgdm``, in [0, 1).
        dampening: of ``sgdm``, in [0, 1], from the first step on (torch's leaves the first one undamped).
        nesterov: Nesterov's form of ``sgdm``.
        state_dtype: of the states: ``torch.float32``, ``torch.bfloat16``, or ``"8bit"``.
        seed: of the subspaces.
        maximize: whether to maximize the objective.
        foreach: update by torch operations; for groups without subspace as in torch.
        fused: update by compiled CPU code; default where it can serve.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters. In ``step``: a DTensor with
            8-bit states of which no dimension is the parameter's (``block``, ``randk``, or columns or rows that are
            themselves split).
        RuntimeError: in ``step``, for a sparse gradient.

    Warns:
        UserWarning: a group that is said to be projectable has vectors, which its subspace cannot divide.

    Reference:
        Zmushko et al., FRUGAL: Memory-Efficient Optimization by Reducing State Overhead for Scalable Training,
        ICML 2025, arXiv 2411.07837, algorithm 1.

    Example:
        >>> W = torch.nn.Parameter(torch.zeros(2, 4))
        >>> optimizer = FRUGAL([W], lr=0.1, density=0.5)
        >>> W.grad = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.5, 1.0, -1.5, 4.0]])
        >>> optimizer.step()
        >>> W.data
        tensor([[-0.1000,  0.1000, -0.1000,  0.0000],
                [-0.1000, -0.1000,  0.1000, -0.1000]])
        >>> optimizer.state[W]["exp_avg"].shape
        torch.Size([2, 2])
    """

    matrix_key = "density"
    group_counts = ("refreshes", "since_refresh")

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        density: float = 0.25,
        update_gap: int = 200,
        subspace: str = "columns",
        proj_side: str = "std",
        block_order: str = "random",
        state_full: str = "adamw",
        state_free: str = "sign_sgd",
        inactive_lr_scale: float = 1.0,
        proj_params_lr_scale: float = 1.0,
        on_change: str = "reset",
        momentum: float = 0.9,
        dampening: float = 0.0,
        nesterov: bool = False,
        state_dtype: torch.dtype | str = torch.float32,
        seed: int = 0,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        stochastic_rounding: bool = False,
    ) -> None:
        defaults = arguments(locals())
        given: Any = params
        if not isinstance(params, Tensor):  # torch refuses a tensor with a message of its own
            given = list(params)
            if any(isinstance(group, dict) and "is_proj_params" in group for group in given):
                given = [_marked(group, density) for group in given]
        super().__init__(given, defaults)

    # Groups

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        if group["density"] is not None:
            check_number("density", group["density"], low=0.0, high=1.0)
        check_int("update_gap", group["update_gap"], low=1)
        check_choice("subspace", group["subspace"], SUBSPACES)
        check_choice("proj_side", group["proj_side"], SIDES)
        check_choice("block_order", group["block_order"], ORDERS)
        check_choice("state_full", group["state_full"], STATE_FULL)
        check_choice("state_free", group["state_free"], STATE_FREE)
        check_number("inactive_lr_scale", group["inactive_lr_scale"], low=0.0)
        check_number("proj_params_lr_scale", group["proj_params_lr_scale"], low=0.0)
        check_choice("on_change", group["on_change"], ("reset", "keep", "project"))
        check_number("momentum", group["momentum"], low=0.0, high=1.0, high_open=True)
        check_number("dampening", group["dampening"], low=0.0, high=1.0)
        check_int("seed", group["seed"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        said = isinstance(param_group, dict) and ("density" in param_group or "is_proj_params" in param_group)
        if said and "is_proj_params" in param_group:
            known = [self.defaults["density"], *(group["density"] for group in self.param_groups)]
            param_group = _marked(param_group, next((d for d in known if d is not None), 0.25))
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in self.group_counts:
            group.setdefault(name, 0)
        vectors = [p for p in group["params"] if not self.is_matrix(group, p) and p.numel()]
        if said and vectors and group["density"] is not None:
            warnings.warn(
                f"subspace={group['subspace']!r} divides matrices only: {len(vectors)} of the group's parameters, "
                f"shape {tuple(vectors[0].shape)} among them, take {group['state_full']} throughout",
                UserWarning,
                stacklevel=2,
            )

    def is_matrix(self, group: dict[str, Any], param: Tensor) -> bool:
        if group["subspace"] in ("block", "randk"):
            return group["density"] is not None and param.ndim > 0 and param.numel() > 0 and not param.is_complex()
        return super().is_matrix(group, param)

    # The rule with states for everything that is not projectable

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        return STATE_FULL[group["state_full"]]

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        return full_scalars(group, group["lr"], 1.0 - group["lr"] * group["weight_decay"], step)

    # Projectable matrices

    def shared_dim(self, group: dict[str, Any], shard: Shard2d) -> int | None:
        if group["subspace"] in ("columns", "rows"):
            return int(group["subspace"] == "rows")
        return kept_dim(shard.shape, group["proj_side"])

    def update_matrices(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], states: list[dict[str, Any]]
    ) -> None:
        refresh = self._advance(group)
        keys = keys_of(group, params)
        items = []
        scalars: dict[int, tuple[tuple[float, ...], tuple[float, float]]] = {}
        active: set[int] | None = None
        for i, (param, state) in enumerate(zip(params, states, strict=True)):
            target, shard = local_of(param), shard_of(param)
            matrix, grad = as_matrix(target), as_matrix(local_gradient(param))
            cache = self.__dict__.setdefault("_caches", {}).setdefault(param, Cache())
            if state.get("refresh") == refresh:
                space = find(group, state, matrix, shard, cache)
            else:
                if active is None:
                    active = self._active(group, refresh)
                space = enter(
                    group, state, matrix, grad, shard, cache, refresh, self.place_of(param).position in active
                )
            step = state["step"]
            full, free = scalars.get(step) or scalars.setdefault(step, matrix_scalars(group, step))
            key = keys[i] if keys is not None and matrix.dtype in HALF else None
            items.append(Item(target, matrix, grad, state, space, full, free, key))
        update(group, items)
        advance_key(group)

    def _advance(self, group: dict[str, Any]) -> int:
        """Count the step, with a refresh where one is due; returns the current refresh's number, from 0."""
        if group["refreshes"] == 0 or group["since_refresh"] >= group["update_gap"]:
            group["refreshes"] += 1
            group["since_refresh"] = 0
            if group["subspace"] == "block":
                self._free_blocks(group)
        group["since_refresh"] += 1
        return int(group["refreshes"]) - 1

    def _active(self, group: dict[str, Any], refresh: int) -> set[int]:
        """Positions in the group of the tensors that are active; empty unless in block mode."""
        if group["subspace"] != "block":
            return set()
        positions = [self.place_of(p).position for p in self.matrices(group)]
        count = subset_size(len(positions), group["density"], rounding="nearest")
        number = self.place_of(group["params"][0]).group
        chosen = active_blocks(len(positions), count, group["block_order"], refresh, (group["seed"], number))
        return {positions[i] for i in chosen}

    def _free_blocks(self, group: dict[str, Any]) -> None:
        """Drop the states of blocks that are no longer active, also of tensors without gradient."""
        active = self._active(group, group["refreshes"] - 1)
        for param in self.matrices(group):
            if self.place_of(param).position not in active and param in self.state:
                for name in STATE_FULL[group["state_full"]].states:
                    self.state[param].pop(name, None)


def _marked(group: Any, density: float) -> Any:
    """A group with its own density: None where it is not projectable."""
    if not isinstance(group, dict):
        return group
    if group.get("is_proj_params", "density" in group):
        return {**group, "density": group.get("density", density)}
    return {**group, "density": None}
