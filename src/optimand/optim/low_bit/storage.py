"""How a state is kept: which parameters have quantized states, in which form, and how that form is saved.

The form belongs to the optimizer, not to a checkpoint: a state saved in another form is converted when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.codec import check_block_size
from optimand.optim.projection.sharding import distributed, local_as, local_of

SETTINGS = ("optim_bits", "block_size", "min_8bit_size", "signed_scale", "second_moment")
# States that are never negative: they have maps without signs.
NON_NEGATIVE = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"})
SECOND_MOMENTS = {
    "sqrt": "dynamic_unsigned_sqrt",
    "plain": "dynamic_unsigned",
}


def check_settings(settings: Mapping[str, Any], bits: int) -> None:
    """TypeError or ValueError if one of the :data:`SETTINGS` in ``settings`` is bad.

    Args:
        settings: some of them, by name.
        bits: of the optimizer's quantized states, 8 or 4.
    """
    for name in settings:
        check_choice("setting", name, SETTINGS)
    if "optim_bits" in settings:
        check_choice("optim_bits", settings["optim_bits"], (bits, 32))
    if "block_size" in settings:
        check_block_size(settings["block_size"])
    if "min_8bit_size" in settings:
        check_int("min_8bit_size", settings["min_8bit_size"], low=0)
    if "signed_scale" in settings:
        check_choice("signed_scale", settings["signed_scale"], (True, False))
    if "second_moment" in settings:
        check_choice("second_moment", settings["second_moment"], SECOND_MOMENTS if bits == 8 else ("plain",))


def settings_of(group: Mapping[str, Any], param: Tensor) -> dict[str, Any]:
    """How the states of ``param`` are kept: by the group, by a mark on the parameter, by an override.

    Args:
        group: a parameter group with all :data:`SETTINGS` and ``overrides``, which maps positions in the group to
            some of them.
        param: a parameter of the group; a mark is an attribute ``optim_bits`` of 32.
    """
    settings = {name: group[name] for name in SETTINGS}
    if getattr(param, "optim_bits", None) == 32:
        settings["optim_bits"] = 32
    if group["overrides"]:
        at = next(i for i, p in enumerate(group["params"]) if p is param)
        settings.update(group["overrides"].get(at, {}))
    return settings


def quantizes(settings: Mapping[str, Any], param: Tensor) -> bool:
    """Whether ``param`` has quantized states: large enough, and not of 64 bits."""
    return (
        settings["optim_bits"] != 32
        and param.numel() >= settings["min_8bit_size"]
        and param.numel() > 0
        and param.dtype != torch.float64
    )


def map_name(settings: Mapping[str, Any], state: str) -> str:
    """The map of the state of this name.

    Example:
        >>> map_name({"optim_bits": 8, "second_moment": "sqrt"}, "exp_avg_sq")
        'dynamic_unsigned_sqrt'
    """
    if settings["optim_bits"] == 4:
        return "linear4_unsigned" if state in NON_NEGATIVE else "dynamic4"
    return SECOND_MOMENTS[settings["second_moment"]] if state in NON_NEGATIVE else "dynamic"


def fresh(settings: Mapping[str, Any], state: str, param: Tensor) -> QuantizedTensor:
    """A quantized state of zeros, for what this process holds of ``param``."""
    return QuantizedTensor.zeros_like(
        local_of(param), map_name(settings, state), settings["block_size"], settings["signed_scale"]
    )


def sum_over_shards(values: Tensor, param: Tensor) -> Tensor:
    """The sum of a tensor of numbers over all processes that hold another shard of ``param``."""
    if not hasattr(param, "to_local"):
        return values
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Replicate() if p.is_replicate() else Partial() for p in param.placements]  # type: ignore[attr-defined]
    return DTensor.from_local(values, param.device_mesh, placements, run_check=False).full_tensor()  # type: ignore[attr-defined,no-any-return]


def packed(state: QuantizedTensor, param: Tensor) -> Any:
    """A quantized state as it is saved: a plain dict, or for a DTensor's the values as a DTensor of its layout.

    Blocks of a shard mean nothing to other shards, while float32 values can be sharded anew; quantizing them again
    gives the same codes (with ``signed_scale``).
    """
    return sharded_like(param, state.dequantize()) if hasattr(param, "to_local") else state.state_dict()


def restored(value: Any, settings: Mapping[str, Any], name: str, param: Tensor, dtype: torch.dtype) -> Any:
    """A saved state in the form that ``param`` has states in, in memory of its own.

    Args:
        value: what :func:`packed` gave, or full-precision values: a tensor or a DTensor.
        settings: how the states of ``param`` are kept.
        name: of the state.
        param: the parameter.
        dtype: of the state, if it is not quantized.

    Raises:
        ValueError: the state has another shape than the parameter, or values that are not finite.
    """
    if isinstance(value, Mapping):
        value = QuantizedTensor.from_state_dict(dict(value)).to(local_of(param).device)
    dense = None if isinstance(value, QuantizedTensor) else values_here(value, name, param)
    if not quantizes(settings, param):
        full = value.dequantize() if dense is None else dense
        copy = torch.empty_like(local_of(param), dtype=dtype).copy_(full)
        return sharded_like(param, copy) if hasattr(param, "to_local") else copy
    target = fresh(settings, name, param)
    if dense is None:
        form = ("map", "shape", "stride", "block_size", "signed_scale")
        if all(getattr(value, part) == getattr(target, part) for part in form):
            return value.clone()
        dense = value.dequantize()
    return target.copy_(dense.to(target.device, torch.float32))


def values_here(value: Tensor, name: str, param: Tensor) -> Tensor:
    """What this process needs of the full-precision state ``value`` of ``param``."""
    if value.shape != param.shape:
        raise ValueError(
            f"state {name!r} must have the parameter's shape {tuple(param.shape)}, got {tuple(value.shape)}"
        )
    if not hasattr(param, "to_local"):
        return value.full_tensor() if hasattr(value, "full_tensor") else value  # type: ignore[no-any-return]
    if hasattr(value, "to_local"):
        return local_as(value, param)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(local_of(param).device), param.device_mesh, param.placements).to_local()  # type: ignore[attr-defined,no-any-return]


def sharded_like(param: Tensor, values: Tensor) -> Tensor:
    """This process's ``values`` as a DTensor with the layout of ``param``."""
    like: Any = param
    return distributed(values, like.device_mesh, like.placements, like.shape, like.stride())  # type: ignore[no-any-return]
