"""A tensor kept as codes of 8 or 4 bits and one scale per block: the state of a memory-efficient optimizer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from optimand.optim.kernels import sqrt
from optimand.optim.kernels.gather import is_dense

from .codec import block_scale, check_block_size, lookup, nearest, pack_nibbles, pieces, unpack_nibbles
from .maps import map_of

# Temporaries of a few float32 values per element, for this many elements, stay well below a mebibyte.
PIECE = 1 << 14


class QuantizedTensor:
    """Values of a tensor as codes and scales, in the memory order of that tensor.

    Args:
        codes: uint8, one per value in memory order; for a map of 4 bits two per byte, the first in the low half.
        scale: float32, one per block.
        map: the name of the map, see :data:`~optimand.optim.blockwise.MAPS`.
        shape: of the tensor that this stands for.
        stride: of that tensor; it fills its memory without gaps.
        block_size: values that share a scale, a power of two from 64 to 4096.
        signed_scale: whether the scale carries the sign of the block's extreme (signed maps only).

    Raises:
        TypeError, ValueError: an argument does not fit the others.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861.

    Example:
        >>> q = QuantizedTensor.zeros_like(torch.empty(2, 3))
        >>> _ = q.copy_(torch.tensor([[0.5, -1.0, 0.001], [2.0, -2.0, 0.3]]))
        >>> q.codes.tolist(), q.scale.tolist()
        ([201, 35, 138, 255, 0, 194], [2.0])
        >>> q.dequantize()
        tensor([[ 4.9531e-01, -1.0016e+00,  9.8750e-04],
                [ 2.0000e+00, -1.9859e+00,  2.9844e-01]])
        >>> q.nbytes
        10
    """

    def __init__(
        self,
        codes: Tensor,
        scale: Tensor,
        map: str,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        block_size: int = 256,
        signed_scale: bool = True,
    ) -> None:
        spec = map_of(map)
        self.spec = spec
        self.table = spec.table(codes.device)
        self.midpoints = spec.midpoints(codes.device)
        self.cells = spec.cells(codes.device)
        self.codes = codes
        self.scale = scale
        self.map = map
        self.shape = torch.Size(shape)
        self.stride = tuple(stride)
        self.block_size = check_block_size(block_size)
        self.signed_scale = bool(signed_scale)
        self.numel = self.shape.numel()
        self.bits = spec.bits
        length = -(-self.numel * spec.bits // 8)
        if codes.dtype != torch.uint8 or codes.shape != (length,):
            raise ValueError(f"codes must be {length} uint8 numbers, got {tuple(codes.shape)} of {codes.dtype}")
        blocks = -(-self.numel // self.block_size)
        if scale.dtype != torch.float32 or scale.shape != (blocks,):
            raise ValueError(f"scale must be {blocks} float32 numbers, got {tuple(scale.shape)} of {scale.dtype}")

    @classmethod
    def zeros_like(
        cls, param: Tensor, map: str = "dynamic", block_size: int = 256, signed_scale: bool = True
    ) -> QuantizedTensor:
        """Zeros of the shape, the memory order and the device of ``param``.

        Args:
            param: any strided tensor; where its elements do not fill its memory, row-major order is taken.
            map: the name of the map.
            block_size: values that share a scale, a power of two from 64 to 4096.
            signed_scale: whether the scale carries the sign of the block's extreme.

        Raises:
            ValueError: ``map`` or ``block_size`` is bad.

        Example:
            >>> QuantizedTensor.zeros_like(torch.ones(300), "dynamic_unsigned").scale
            tensor([0., 0.])
        """
        spec, numel = map_of(map), param.numel()
        block_size = check_block_size(block_size)
        zero = spec.zero if spec.bits == 8 else spec.zero | spec.zero << 4
        codes = torch.full((-(-numel * spec.bits // 8),), zero, dtype=torch.uint8, device=param.device)
        if spec.bits == 4 and numel % 2:
            codes[-1] = spec.zero
        scale = torch.zeros(-(-numel // block_size), dtype=torch.float32, device=param.device)
        stride = param.stride() if is_dense(param) else row_major(param.shape)
        return cls(codes, scale, map, tuple(param.shape), stride, block_size, signed_scale)

    @property
    def device(self) -> torch.device:
        """Where the codes are."""
        return self.codes.device

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and the scales."""
        return self.codes.nbytes + self.scale.nbytes

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The tensors that hold the contents: codes and scales."""
        return self.codes, self.scale

    def flat(self, x: Tensor) -> Tensor:
        """The elements of ``x`` in this tensor's memory order: a view where ``x`` has that order, else a copy."""
        if x.shape != self.shape:
            raise ValueError(f"x must have shape {tuple(self.shape)}, got {tuple(x.shape)}")
        if x.stride() == self.stride or (x.is_contiguous() and self.stride == row_major(self.shape)):
            return x.as_strided((self.numel,), (1,))
        ordered = torch.empty_strided(self.shape, self.stride, dtype=x.dtype, device=x.device)
        return ordered.copy_(x).as_strided((self.numel,), (1,))

    def read(self, begin: int, end: int, rows: int) -> Tensor:
        """Values ``begin`` to ``end - 1``, float32, as ``rows`` blocks.

        Args:
            begin: a multiple of the block size.
            end: another, or the number of values.
            rows: number of blocks, all equally long.
        """
        first = begin // self.block_size
        scale = self.scale[first : first + rows].view(rows, 1)
        values = lookup(self._codes(begin, end), self.table).view(rows, -1) * scale
        return values * values if self.spec.root else values

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (int32) and scales of the blocks that the rows of ``x`` are; scales as a column."""
        x = sqrt(x) if self.spec.root else x
        scale = block_scale(x, self.spec.signed, self.signed_scale)
        return nearest(x, scale, self.midpoints, self.cells), scale

    def write(self, begin: int, end: int, codes: Tensor, scale: Tensor, keep: Tensor | None = None) -> None:
        """Store what :meth:`encode` gave for values ``begin`` to ``end - 1``.

        Args:
            begin: a multiple of the block size.
            end: another, or the number of values.
            codes: a row for each block.
            scale: a column.
            keep: a column of booleans: blocks that stay as they are.
        """
        first, rows = begin // self.block_size, codes.shape[0]
        if keep is not None:
            codes = torch.where(keep, self._codes(begin, end).view_as(codes), codes)
            scale = torch.where(keep, self.scale[first : first + rows].view(rows, 1), scale)
        self.scale[first : first + rows].copy_(scale.view(-1))
        flat = codes.to(torch.uint8).view(-1)
        if self.bits == 8:
            self.codes[begin:end].copy_(flat)
        else:
            self.codes[begin // 2 : -(-end // 2)].copy_(pack_nibbles(flat))

    def _codes(self, begin: int, end: int) -> Tensor:
        if self.bits == 8:
            return self.codes[begin:end]
        return unpack_nibbles(self.codes[begin // 2 : -(-end // 2)], end - begin)

    def dequantize(self) -> Tensor:
        """The values: float32, with the shape and the memory order of the tensor that this stands for."""
        from . import fused

        out = torch.empty_strided(self.shape, self.stride, dtype=torch.float32, device=self.device)
        if not fused.dequantize(self, out):
            flat = out.as_strided((self.numel,), (1,))
            for begin, end, rows in pieces(self.numel, self.block_size, PIECE):
                flat[begin:end] = self.read(begin, end, rows).view(-1)
        return out

    def copy_(self, x: Tensor) -> QuantizedTensor:
        """Quantize ``x`` into this tensor.

        Args:
            x: values of the same shape; non-negative for an unsigned map.

        Raises:
            ValueError: ``x`` has another shape, values that are not finite, or negative ones where the map has none;
                nothing has changed then.
        """
        from . import fused

        if x.shape != self.shape:
            raise ValueError(f"x must have shape {tuple(self.shape)}, got {tuple(x.shape)}")
        x = x.detach()
        low, high = x.aminmax() if self.numel else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("x must be finite: one NaN or inf would spoil its whole block")
        if low < 0 and not self.spec.signed:
            raise ValueError(f"x must not be negative for the map {self.map!r}, got {float(low)}")
        if x.device == self.device and fused.quantize(x, self):
            return self
        flat = self.flat(x.to(self.device))
        for begin, end, rows in pieces(self.numel, self.block_size, PIECE):
            self.write(begin, end, *self.encode(flat[begin:end].float().view(rows, -1)))
        return self

    def fill_(self, value: float) -> QuantizedTensor:
        """Set every element to ``value``, finite and not negative for an unsigned map.

        Example:
            >>> QuantizedTensor.zeros_like(torch.empty(3), "dynamic_unsigned_sqrt").fill_(0.25).dequantize()
            tensor([0.2500, 0.2500, 0.2500])
        """
        return self.copy_(torch.full((), value, device=self.device).expand(self.shape))

    def to(self, device: torch.device | str) -> QuantizedTensor:
        """This tensor on ``device``; itself if it is there already."""
        device = torch.device(device)
        return self if self.device == device else self._with(self.codes.to(device), self.scale.to(device))

    def clone(self) -> QuantizedTensor:
        """A copy with memory of its own."""
        return self._with(self.codes.clone(), self.scale.clone())

    def _with(self, codes: Tensor, scale: Tensor) -> QuantizedTensor:
        form = self.map, tuple(self.shape), self.stride, self.block_size, self.signed_scale
        return QuantizedTensor(codes, scale, *form)

    def state_dict(self) -> dict[str, Any]:
        """The contents in plain terms, for :meth:`from_state_dict`; the codes stand under the name of their map.

        Only dicts, tensors and numbers: distributed checkpoints that flatten a state accept nothing else. The codes
        and scales are not copied.

        Example:
            >>> state = QuantizedTensor.zeros_like(torch.ones(3, 1)).state_dict()
            >>> state["codes"], state["scale"], state["shape"], state["stride"]
            ({'dynamic': tensor([127, 127, 127], dtype=torch.uint8)}, tensor([0.]), tensor([3, 1]), tensor([1, 1]))
            >>> state["block_size"], state["signed_scale"]
            (256, True)
        """
        return {
            "codes": {self.map: self.codes},
            "scale": self.scale,
            "shape": torch.tensor(self.shape, dtype=torch.int64),
            "stride": torch.tensor(self.stride, dtype=torch.int64),
            "block_size": self.block_size,
            "signed_scale": self.signed_scale,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> QuantizedTensor:
        """The tensor that :meth:`state_dict` described; it takes over the tensors.

        Raises:
            KeyError, ValueError: an entry is missing or does not fit the others.
        """
        ((name, codes),) = state["codes"].items()
        shape, stride = tuple(state["shape"].tolist()), tuple(state["stride"].tolist())
        if len(stride) != len(shape) or not is_dense(torch.empty_strided(shape, stride, device="meta")):
            raise ValueError(f"stride must fill the memory of shape {shape}, got {stride}")
        return cls(codes, state["scale"], name, shape, stride, int(state["block_size"]), bool(state["signed_scale"]))

    def __reduce__(self) -> tuple[Any, ...]:  # the map's tables are shared, not copied
        return QuantizedTensor.from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return (
            f"QuantizedTensor(shape={tuple(self.shape)}, map={self.map!r}, block_size={self.block_size}, "
            f"device={str(self.device)!r})"
        )


def row_major(shape: torch.Size | tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor.

    Example:
        >>> row_major((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
