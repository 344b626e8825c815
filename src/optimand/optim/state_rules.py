"""How many bytes of state each method keeps, from shapes alone: the papers' formulas, with step counts.

A rule takes groups of parameters with all their options, and gives the bytes of each parameter's state once every
parameter has been updated. Numbers that are kept as Python integers count nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .projection.buffers import check_state_dtype
from .projection.selection import active_blocks, kept_dim, subset_size
from .stochastic import HALF

Group = Mapping[str, Any]
Rule = Callable[[Sequence[Group]], list[list[int]]]
STEP = 4  # a step count, float32
HISTORY = 400  # a hundred norms of gradients, float32
SCALE = 4  # the scale of a block of quantized values, float32


def full_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of states that are kept in full precision: float32 for 16-bit parameters."""
    return torch.float32 if dtype in HALF else dtype


def quantized_bytes(numel: int, bits: int, block_size: int) -> int:
    """Bytes of values kept in ``bits`` bits with a float32 scale for each block.

    Example:
        >>> quantized_bytes(4096, 8, 256), quantized_bytes(4097, 4, 128)
        (4160, 2181)
    """
    return -(-numel * bits // 8) + SCALE * -(-numel // block_size)


def buffer_bytes(numel: int, dtype: torch.dtype | str, like: torch.dtype) -> int:
    """Bytes of a state of a projected matrix in a group's ``state_dtype``.

    Args:
        numel: number of values.
        dtype: floating-point, where float32 is float64 for parameters of that dtype; or ``"8bit"``, block-wise.
        like: the parameter's.

    Raises:
        ValueError: ``dtype`` is neither.
    """
    check_state_dtype(dtype)
    if not isinstance(dtype, torch.dtype) or dtype == torch.uint8:
        return quantized_bytes(numel, 8, 256)
    return numel * (like if dtype == torch.float32 and like == torch.float64 else dtype).itemsize


def _each(of_one: Callable[[Tensor, Group], int]) -> Rule:
    """The rule that looks at one parameter at a time."""
    return lambda groups: [[of_one(p, group) for p in group["params"]] for group in groups]


def _each_group(of_group: Callable[[Sequence[Tensor], Group], list[int]]) -> Rule:
    """The rule that looks at one group at a time."""
    return lambda groups: [of_group(group["params"], group) for group in groups]


def elementwise(states: int, *, step: bool = True, full: bool = False) -> Rule:
    """A rule with so many values a parameter, in the parameter's dtype or (``full``) at least in float32."""

    def of_one(p: Tensor, group: Group) -> int:
        dtype = group.get("momentum_dtype") or (full_dtype(p.dtype) if full else p.dtype)
        extra = int(bool(group.get("amsgrad")))
        return (states + extra) * p.numel() * dtype.itemsize + (STEP if step else 0)

    return _each(of_one)


def _sgd(p: Tensor, group: Group) -> int:
    return p.numel() * p.element_size() if group.get("momentum", 0) else 0


def low_bit(states: int, bits: int = 8, *, also_momentum: bool = False) -> Rule:
    """Block-wise quantized states; parameters below ``min_8bit_size`` keep float32 (arXiv 2110.02861).

    Args:
        states: number of states a parameter.
        bits: of a value.
        also_momentum: whether there is one more where the group's momentum is not 0.
    """
    common = {"optim_bits": bits, "min_8bit_size": 4096, "block_size": 256 if bits == 8 else 128}

    def of_group(params: Sequence[Tensor], group: Group) -> list[int]:
        extra = STEP + (HISTORY if group.get("percentile_clipping", 100) < 100 else 0)
        count = states + int(bool(group.get("amsgrad"))) + int(also_momentum and bool(group.get("momentum")))
        found = []
        for at, p in enumerate(params):
            own = {name: group.get(name, value) for name, value in common.items()}
            own |= {"optim_bits": 32} if getattr(p, "optim_bits", None) == 32 else {}
            own |= dict((group.get("overrides") or {}).get(at, {}))
            if own["optim_bits"] == 32 or p.numel() < own["min_8bit_size"] or p.dtype == torch.float64:
                found.append(count * p.numel() * full_dtype(p.dtype).itemsize + extra)
            else:
                found.append(count * quantized_bytes(p.numel(), bits, own["block_size"]) + extra)
        return found

    return _each_group(of_group)


def _sides(p: Tensor) -> tuple[int, int]:
    return p.shape[0], p.numel() // max(1, p.shape[0])


def _plain(p: Tensor, states: int = 2) -> int:
    """AdamW (or Lion, SGD with momentum: one state) beside projected matrices: full precision and a step count."""
    return states * p.numel() * full_dtype(p.dtype).itemsize + STEP


def projected(*, norm: bool, drawn: bool = False) -> Rule:
    """Adam's moments of a projected gradient and the projection: ``2 n r + m r`` values, n the side that is kept.

    Args:
        norm: whether the norm of the last update is kept.
        drawn: whether a random projection is drawn anew in each step, and kept only when asked for.

    Reference:
        Zhao et al., GaLore, arXiv 2403.03507, table 1; Zhu et al., APOLLO, arXiv 2412.05270, table 1.
    """

    def of_one(p: Tensor, group: Group) -> int:
        rank = group.get("rank")
        if rank is None or p.ndim < 2 or not p.numel():
            return _plain(p)
        rows, columns = _sides(p)
        rank = min(rank, rows, columns)
        kept = kept_dim((rows, columns), group.get("proj_type") or "std")
        total = 2 * buffer_bytes(rank * (rows, columns)[kept], group.get("state_dtype", torch.float32), p.dtype)
        work = full_dtype(p.dtype).itemsize
        if not drawn or group.get("proj", "random") != "random" or group.get("cache_projection"):
            total += rank * (columns, rows)[kept] * work
        return total + (work if norm and (drawn or group.get("norm_growth", 1.01) is not None) else 0)

    return _each(of_one)


def _frugal(params: Sequence[Tensor], group: Group) -> list[int]:
    """States of a subspace of density rho (arXiv 2411.07837); in block mode the most that is held at any time."""
    rule = group.get("state_full", "adamw")
    states = 2 if rule == "adamw" else 1
    density = group.get("density", 0.25)
    if density is None or not group.get("is_proj_params", "density" in group):
        return [_plain(p, states) for p in params]
    kind = group.get("subspace", "columns")
    if kind == "block":
        return _blocks(params, group, density, states)
    found = []
    for p in params:
        if p.ndim < (1 if kind == "randk" else 2) or not p.numel():
            found.append(_plain(p, states))
            continue
        rows, columns = _sides(p)
        part, vectors = _subspace_size(kind, rows, columns, density, group.get("proj_side") or "std")
        size = buffer_bytes(part, group.get("state_dtype", torch.float32), p.dtype)
        found.append(states * size + (vectors * full_dtype(p.dtype).itemsize if kind in ("svd", "random") else 0))
    return found


def _subspace_size(kind: str, rows: int, columns: int, density: float, proj_side: str) -> tuple[int, int]:
    """Values of one state, and of the basis."""
    if kind == "columns":
        return rows * subset_size(columns, density), 0
    if kind == "rows":
        return subset_size(rows, density) * columns, 0
    if kind == "randk":
        return subset_size(rows * columns, density), 0
    rank = subset_size(min(rows, columns), density, rounding="nearest")
    kept = kept_dim((rows, columns), proj_side)
    return rank * (rows, columns)[kept], rank * (columns, rows)[kept]


def _blocks(params: Sequence[Tensor], group: Group, density: float, states: int) -> list[int]:
    """The tensors that are largest together: of those that the order takes, or of any where it is random."""
    dtype = group.get("state_dtype", torch.float32)
    size = [states * buffer_bytes(p.numel(), dtype, p.dtype) for p in params]
    count, order = subset_size(len(size), density, rounding="nearest"), group.get("block_order", "random")
    if order in ("random", "shuffled"):
        active = sorted(range(len(size)), key=lambda at: -size[at])[:count]
    else:
        sets = (active_blocks(len(size), count, order, refresh, ()) for refresh in range(len(size)))
        active = max(sets, key=lambda chosen: sum(size[at] for at in chosen), default=[])
    return [n if at in active else 0 for at, n in enumerate(size)]


def _badam(groups: Sequence[Group]) -> list[list[int]]:
    """AdamW's states of one block, the largest, and of what is always active (arXiv 2404.02827)."""
    labels = [labels_of(group, number) for number, group in enumerate(groups)]
    size = [[_plain(p) for p in group["params"]] for group in groups]
    total: dict[str, int] = {}
    for group, own, sizes in zip(groups, labels, size, strict=True):
        for label, n in zip(own, sizes, strict=True):
            if not group.get("always_active"):
                total[label] = total.get(label, 0) + n
    largest = max(total, key=lambda label: total[label], default=None)
    return [
        [n if group.get("always_active") or label == largest else 0 for label, n in zip(own, sizes, strict=True)]
        for group, own, sizes in zip(groups, labels, size, strict=True)
    ]


def labels_of(group: Group, number: int) -> list[str]:
    """The block of each parameter of a group: as the group says, or the group itself."""
    count = len(group["params"])
    if group.get("blocks") is not None:
        return list(map(str, group["blocks"]))
    return [str(group.get("block", f"group {number}"))] * count


RULES: dict[str, Rule] = {
    "adam": elementwise(2),
    "adamw": elementwise(2),
    "sgd": _each(_sgd),
    "lion": elementwise(1, step=False),
    "lion-cautious": elementwise(1, step=False),
    "signum": elementwise(1, step=False),
    "exadam": elementwise(2, full=True),
    "exadam-v1": elementwise(2, full=True),
    "adam-8bit": low_bit(2),
    "adamw-8bit": low_bit(2),
    "adamw-4bit": low_bit(2, 4),
    "sgd-8bit": low_bit(1),
    "lars-8bit": low_bit(1),
    "lion-8bit": low_bit(1),
    "adagrad-8bit": low_bit(1),
    "rmsprop-8bit": low_bit(1, also_momentum=True),
    "lamb-8bit": low_bit(2),
    "ademamix-8bit": low_bit(3),
    "apollo": projected(norm=True, drawn=True),
    "apollo-mini": projected(norm=True, drawn=True),
    "galore": projected(norm=False),
    "fira": projected(norm=True),
    "frugal": _each_group(_frugal),
    "badam": _badam,
}
