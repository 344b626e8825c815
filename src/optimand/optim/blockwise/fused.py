"""Steps on quantized states by compiled code: the native library, else loops that Numba compiles from the formula.

Both serve ordinary CPU tensors of 32 or 16 bits and give the bits of the torch operations that serve the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optimand.optim.kernels import Kernel, native
from optimand.optim.kernels.gather import Batch, Memo
from optimand.optim.kernels.kernel import chunk_table
from optimand.optim.kernels.pool import run_pieces

from . import loops
from .batches import DTYPES, QUANTIZED, Layout, are_served, collect
from .encoding import tables_of
from .maps import MAPS
from .tensor import QuantizedTensor


def launch(
    kernel: Kernel,
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Sequence[QuantizedTensor]],
    table: Sequence[Sequence[Any]],
    rows: Sequence[int] | None = None,
    *,
    maximize: bool = False,
    keys: Sequence[int] | None = None,
    skipped: list[int] | None = None,
    memo: Memo | None = None,
) -> list[int]:
    """Update in place what compiled code can serve.

    Args:
        kernel: the formula.
        params: parameters of any dtypes and shapes.
        grads: their gradients.
        states: for each state of the formula, one quantized tensor for each parameter.
        table: rows of scalars, in the order of the kernel's ``scalars``.
        rows: for each parameter its row in ``table``; the first row for all by default.
        maximize: whether to follow the gradients upwards.
        keys: one 32-bit number for each parameter: round 16-bit parameters stochastically with these.
        skipped: gets the indices of the parameters of which a block was left as it was, because its new states
            would not be finite.
        memo: kept by the caller between calls with the same parameters and states, to save checks.

    Returns:
        The indices of the parameters that are still to be done: not on the CPU, a tensor subclass, of a dtype or
        layout that no compiled code reads, or no compiled code at hand.

    Example:
        >>> from optimand.optim.lion import Lion
        >>> p, g = torch.zeros(4), torch.tensor([1.0, -1.0, 2.0, 0.0])
        >>> m = QuantizedTensor.zeros_like(p)
        >>> launch(Lion.kernel, [p], [g], [[m]], [(1.0, 0.5, 0.9, 0.1, 0.99, 0.01)])
        []
        >>> p
        tensor([-0.5000,  0.5000, -0.5000,  0.0000])
    """
    batches, rest = collect(params, grads, states, memo)
    for layout, batch in batches.items():
        call = Call(layout, batch, table, rows, keys, maximize=maximize)
        if not call.step(kernel):
            rest.extend(batch.indices)
            continue
        # Code outside torch wrote to these: autograd must know, as it would after an in-place operation.
        torch.autograd.graph.increment_version([params[i] for i in batch.indices])
        if skipped is not None:
            skipped.extend(call.skipped())
    return sorted(rest)


def lamb_norms(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Sequence[QuantizedTensor]],
    table: Sequence[Sequence[Any]],
    rows: Sequence[int] | None = None,
) -> list[tuple[float, float] | None]:
    """The squared norms of each parameter and of LAMB's direction for it, before the learning rate.

    The sums are in float64, in an order that depends neither on threads nor on the instruction set. Blocks whose new
    states would not be finite are left out: the step leaves them alone.

    Args:
        params: parameters.
        grads: their gradients.
        states: the two states of :data:`~optimand.optim.formulas.LAMB`, for each parameter.
        table: rows of LAMB's scalars; the learning rate is not read.
        rows: for each parameter its row.

    Returns:
        For each parameter a pair, or None where the native library cannot serve.

    Example:
        >>> p = torch.tensor([3.0, 4.0])
        >>> m, v = (QuantizedTensor.zeros_like(p, name) for name in ("dynamic", "dynamic_unsigned"))
        >>> lamb_norms([p], [torch.zeros(2)], [[m], [v]], [(0.5, 1.0, 1.0, 1.0, 0.9, 0.1, 0.9, 0.1, 1.0)])
        [(25.0, 6.25)]
    """
    found: list[tuple[float, float] | None] = [None] * len(params)
    if native.level() == "none":
        return found
    for layout, batch in collect(params, grads, states)[0].items():
        call = Call(layout, batch, table, rows)
        norms = np.zeros((len(call.chunks[0]), 2))
        if call.run_native("norms", {"norms": norms.ctypes.data}):
            for k in (0, 1):
                sums = np.bincount(call.chunks[0], weights=norms[:, k], minlength=len(batch.indices))
                for i, total in zip(batch.indices, sums.tolist(), strict=True):
                    found[i] = (total, 0.0) if k == 0 else (found[i][0], total)  # type: ignore[index]
    return found


def quantize(x: Tensor, q: QuantizedTensor) -> bool:
    """Quantize ``x`` into ``q`` by the native library; False where it cannot, or not all values are fit.

    Example:
        >>> q = QuantizedTensor.zeros_like(torch.empty(4))
        >>> quantize(torch.tensor([1.0, float("nan"), 0.0, 0.0]), q)
        False
    """
    if native.level() == "none" or x.dtype not in DTYPES or not are_served([x], [q]):
        return False
    flat = q.flat(x.detach())
    batch = Batch([0], [q.numel], [[0], [flat.data_ptr()], *([t.data_ptr()] for t in q.tensors())], [])
    call = Call(Layout(torch.float32, x.dtype, (QUANTIZED(q),)), batch, [()])
    return call.run_native("quantize") and not call.skipped()


def dequantize(q: QuantizedTensor, out: Tensor) -> bool:
    """The values of ``q`` into ``out``, float32 of its memory order, by the native library; False where it cannot."""
    if native.level() == "none" or out.dtype != torch.float32 or not are_served([out], [q]):
        return False
    if out.stride() != q.stride:
        return False
    batch = Batch([0], [q.numel], [[out.data_ptr()], [0], *([t.data_ptr()] for t in q.tensors())], [])
    return Call(Layout(out.dtype, out.dtype, (QUANTIZED(q),)), batch, [()]).run_native("dequantize")


class Call:
    """The arguments of compiled code for one batch.

    Args:
        layout: what its tensors share.
        batch: the tensors.
        table: rows of scalars.
        rows: for each of the caller's parameters its row.
        maximize: whether to follow the gradients upwards.
        keys: for each of the caller's parameters its key, for stochastic rounding.
    """

    def __init__(
        self,
        layout: Layout,
        batch: Batch,
        table: Sequence[Sequence[Any]],
        rows: Sequence[int] | None = None,
        keys: Sequence[int] | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        self.layout, self.batch = layout, batch
        self.block = layout.states[0][1]
        self.one_block_size = len({block for _, block, _ in layout.states}) == 1
        self.stochastic = keys is not None and layout.param != torch.float32
        self.chunks = chunk_table(tuple(batch.numels))
        self.rows = np.array([0 if rows is None else rows[i] for i in batch.indices], np.int64)
        self.table = np.array([(-1.0 if maximize else 1.0, *row) for row in table], np.float64)
        self.keys = np.array([0 if keys is None else keys[i] for i in batch.indices], np.uint32)
        self.flags = np.zeros(len(batch.indices), np.uint8)
        self.lists = [np.array(pointers, np.int64) for pointers in batch.pointers]

    def skipped(self) -> list[int]:
        """The caller's indices of tensors of which a block was left as it was."""
        return [self.batch.indices[at] for at in np.flatnonzero(self.flags).tolist()]

    def step(self, kernel: Kernel) -> bool:
        """Run a step; False if there is no compiled code for it."""
        rule = _rules().get(kernel.update) if not kernel.functions else None
        fits = len(self.table[0]) == 1 + len(kernel.scalars)
        if rule is not None and fits and self.run_native("step", {"rule": rule}):
            return True
        forms = [(name, signed_scale) for name, _, signed_scale in self.layout.states]
        dtypes = DTYPES[self.layout.param], DTYPES[self.layout.grad]
        if not self.one_block_size:
            return False
        code = loops.compiled(kernel, dtypes, forms, self.block, self.stochastic)
        if code is None:
            return False
        addresses = list(map(_address, [*self.chunks, self.rows, self.table, self.keys, *self.lists, self.flags]))
        self._run_chunks(lambda begin, end: loops.run(code, addresses, forms, self.block, begin, end))
        return True

    def run_native(self, operation: str, values: dict[str, int] | None = None) -> bool:
        """Run an operation of the native library on all chunks; False if it cannot, and nothing has changed then."""
        library, level = native.library(), native.level()
        if library is None or level == "none" or not self.one_block_size:
            return False
        codes = tuple(DTYPES)
        job = native.make_job(
            {
                "param_dtype": codes.index(self.layout.param),
                "grad_dtype": codes.index(self.layout.grad),
                "stochastic": int(self.stochastic),
                "block": self.block,
                "width": self.table.shape[1],
                **dict(zip(("tensors", "offsets", "lengths"), map(_address, self.chunks), strict=True)),
                **{name: _address(getattr(self, name)) for name in ("rows", "table", "keys")},
                "skipped": _address(self.flags),
                "params": _address(self.lists[0]),
                "grads": _address(self.lists[1]),
                **(values or {}),
            },
            [
                {
                    "map": _address(tables_of(name)),
                    "signed_scale": int(signed_scale),
                    "root": int(MAPS[name].root),
                    "codes": _address(codes_of),
                    "scales": _address(scales_of),
                }
                for (name, _, signed_scale), codes_of, scales_of in zip(
                    self.layout.states, self.lists[2::2], self.lists[3::2], strict=True
                )
            ],
        )
        if not library.run(level, operation, job, 0, 0):
            return False
        self._run_chunks(lambda begin, end: library.run(level, operation, job, begin, end))
        return True

    def _run_chunks(self, call: Callable[[int, int], object]) -> None:
        run_pieces(call, len(self.chunks[0]), sum(self.batch.numels))


def _address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@functools.cache
def _rules() -> dict[Any, int]:
    """The number of each formula that the native library knows."""
    from optimand.optim import formulas
    from optimand.optim.lion import lion

    return {lion if name == "lion" else getattr(formulas, name): at for at, name in enumerate(native.RULES)}
