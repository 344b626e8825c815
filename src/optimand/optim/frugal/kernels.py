"""Compiled steps on some columns or rows of matrices: one pass over a matrix, with states for a part of it only.

For columns a row at a time is worked on while it is in the cache: the chosen entries and their gradients are copied
out, the whole row takes the step without states, the copies take the one with states (contiguous, so vectorized), and
go back. Every element is computed by the formulas' operations in their order, so results equal those of separate
torch operations bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..kernels import Kernel
from ..kernels.compiler import Variant, load_expression, store_expression
from ..kernels.elementwise import is_eager
from ..kernels.gather import NAMES, are_plain
from ..kernels.kernel import CHUNK
from ..kernels.pool import run_pieces

# The step without states of gradient x, as text: the driver has one formula, that with states.
FREE = {
    "sign_sgd": "p[i] * decay - (lr if x > 0 else (-lr if x < 0 else zero))",
    "sgd": "p[i] * decay - lr * x",
    "none": "p[i] * decay",
}


@dataclass
class Job:
    """A matrix of which some columns or rows have states.

    Attributes:
        param: the matrix, contiguous.
        grad: its gradient, contiguous.
        states: of the chosen part, contiguous.
        index: the chosen columns or rows, ascending.
        full: scalars of the rule with states.
        free: scalars of the rule without: what decay multiplies by, and the learning rate.
        key: 32-bit number for stochastic rounding, or None.
    """

    param: Tensor
    grad: Tensor
    states: list[Tensor]
    index: Tensor
    full: Sequence[float]
    free: Sequence[float]
    key: int | None = None

    @property
    def variant(self) -> Variant:
        """The dtypes, those of the two columns of scratch memory last."""
        dtypes = tuple(NAMES[t.dtype] for t in (self.param, self.grad, *self.states))
        work = "float64" if "float64" in dtypes else "float32"
        return Variant((*dtypes, work, work), self.key is not None)


class SubsetKernel:
    """A rule with states for some columns (or rows) of matrices and one without for the others.

    Args:
        kernel: the rule with states.
        free: name of the rule without: ``sign_sgd``, ``sgd`` or ``none``.
        dim: 1 for columns, 0 for rows.

    Example:
        >>> from optimand.optim.frugal.rules import STATE_FULL
        >>> kernel = SubsetKernel(STATE_FULL["sgdm"], "sign_sgd", 1)
        >>> p, g, m = torch.ones(2, 3), torch.full((2, 3), 0.25), torch.zeros(2, 1)
        >>> job = Job(p, g, [m], torch.tensor([1]), (0.0, 1.0, 1.0, 1.0, 0.9, 1.0, 0.0, 1.0), (1.0, 0.5))
        >>> kernel.launch([job], False)
        []
        >>> p
        tensor([[0.5000, 0.7500, 0.5000],
                [0.5000, 0.7500, 0.5000]])
    """

    def __init__(self, kernel: Kernel, free: str, dim: int) -> None:
        self.kernel, self.free, self.dim = kernel, free, dim
        self._compiled: dict[Variant, Any] = {}

    def launch(self, jobs: Sequence[Job], maximize: bool) -> list[int]:
        """Update what compiled code can serve, in place; returns the numbers of the jobs that are left."""
        if not is_eager():
            return list(range(len(jobs)))
        buckets: dict[Variant, list[int]] = {}
        rest = []
        for i, job in enumerate(jobs):
            if all(map(_is_plain, (job.param, job.grad, *job.states))) and job.param.numel() < 1 << 32:
                buckets.setdefault(job.variant, []).append(i)
            else:
                rest.append(i)
        for variant, members in buckets.items():
            call = self._call(variant)
            if call is None:
                rest.extend(members)
            else:
                self._run(call, variant, [jobs[i] for i in members], -1.0 if maximize else 1.0)
        return sorted(rest)

    def _call(self, variant: Variant) -> Any | None:
        if variant not in self._compiled:
            source = (columns_source if self.dim else rows_source)(self.kernel, self.free, variant)
            self._compiled[variant] = self.kernel.load(source, variant, 1 + len(self.kernel.states))
        return self._compiled[variant]

    def _run(self, call: Any, variant: Variant, jobs: list[Job], sign: float) -> None:
        table, words = [], []
        used = 0
        for job in jobs:
            rows, columns = job.param.shape
            place = job.index.numpy().astype(np.uint32)
            if self.dim == 0:  # the row's place among the chosen ones, from 1
                slots = np.zeros(rows, np.uint32)
                slots[place] = np.arange(1, len(place) + 1, dtype=np.uint32)
                place = slots
            table.append((sign, *job.full, *job.free, columns, len(job.index), used + 1))
            words += [np.array([job.key or 0], np.uint32), place]
            used += 1 + len(place)
        tensors, begins, lengths = _chunks([(job.param.shape[0], job.param.shape[1]) for job in jobs])
        widest = max(len(job.index) for job in jobs) if self.dim else 1
        scratch = np.empty((2, len(tensors), widest), variant.arithmetic)
        lists = [[t.data_ptr() for t in ts] for ts in zip(*((j.param, j.grad, *j.states) for j in jobs), strict=True)]
        lists += [[row.ctypes.data for row in part] for part in scratch]
        arrays = [tensors, begins, lengths, np.arange(len(jobs)), np.array(table, np.float64), np.concatenate(words)]
        arrays += [np.array(pointers, np.int64) for pointers in lists]
        addresses = [a.ctypes.data for a in arrays]
        run_pieces(lambda begin, end: call(begin, end, *addresses), len(tensors), sum(j.param.numel() for j in jobs))
        # Code outside torch wrote to these: autograd must know, as it would after an in-place operation.
        torch.autograd.graph.increment_version([t for job in jobs for t in (job.param, *job.states)])


def _is_plain(t: Tensor) -> bool:
    return are_plain([t], [t.numel()]) and t.dtype in NAMES


def _chunks(shapes: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut matrices into runs of whole rows: for each run its matrix, its first row and its number of rows."""
    runs = [
        (i, begin, min(height, rows - begin))
        for i, (rows, columns) in enumerate(shapes)
        for height in (max(1, CHUNK // max(columns, 1)),)
        for begin in range(0, rows, height)
    ]
    tensors, begins, lengths = np.array(runs, np.int64).reshape(-1, 3).T.copy()
    return tensors, begins, lengths


def _head(kernel: Kernel, variant: Variant) -> tuple[list[str], str]:
    """The lines down to the loop over a chunk's rows, and the call of the formula with its scalars left open."""
    states = [f"s{k}" for k in range(len(kernel.states))]
    names = ["p", "g", *states]
    width = len(kernel.scalars) + 6
    after = 1 + len(kernel.scalars)
    scalars = ", ".join(f"a{k}" for k in range(len(kernel.scalars)))
    lists = ", ".join(f"{name}_list" for name in (*names, "x", "y"))
    lines = [
        f"def driver(begin, end, tensors, offsets, lengths, rows, table, keys, {lists}):",
        "    zero = arithmetic(0)",
        "    for chunk in range(begin, end):",
        "        tensor = tensors[chunk]",
        f"        row = rows[tensor] * {width}",
        "        factor = arithmetic(table[row])",
        *(f"        a{k} = arithmetic(table[row + {k + 1}])" for k in range(len(kernel.scalars))),
        f"        decay = arithmetic(table[row + {after}])",
        f"        lr = arithmetic(table[row + {after + 1}])",
        f"        n = int(table[row + {after + 2}])",
        f"        k = int(table[row + {after + 3}])",
        f"        at = int(table[row + {after + 4}])",
        *(["        key = keys[at - 1]"] if variant.stochastic else []),
        *(f"        {name} = {name}_list[tensor]" for name in names),
        "        for r in range(offsets[chunk], offsets[chunk] + lengths[chunk]):",
    ]
    return lines, f"result = formula({{}}, {scalars})"


def _free_line(free: str, variant: Variant, indent: str) -> list[str]:
    dtype = variant.dtypes[0]
    value = FREE[free].replace("p[i]", load_expression("p", dtype))
    return [
        f"{indent}x = factor * {load_expression('g', variant.dtypes[1])}",
        f"{indent}p[i] = {store_expression(value, dtype, variant.arithmetic, variant.stochastic)}",
    ]


def _stored_states(kernel: Kernel, variant: Variant) -> list[str]:
    dtypes = variant.dtypes[2 : 2 + len(kernel.states)]
    return [store_expression(f"result[{s + 1}]", dtype, variant.arithmetic) for s, dtype in enumerate(dtypes)]


def columns_source(kernel: Kernel, free: str, variant: Variant) -> str:
    """Source of the loop for chosen columns; ``keys`` holds them, after each matrix's key for rounding."""
    states = len(kernel.states)
    lines, call = _head(kernel, variant)
    lines[-1:-1] = ["        w = x_list[chunk]", "        h = y_list[chunk]"]
    loads = [load_expression(f"s{s}", variant.dtypes[2 + s]) for s in range(states)]
    store = store_expression("w[j]", variant.dtypes[0], variant.arithmetic, variant.stochastic)
    lines += [
        "            o = r * n",
        "            q = r * k",
        "            for j in range(k):",
        "                i = o + keys[at + j]",
        f"                w[j] = {load_expression('p', variant.dtypes[0])}",
        f"                h[j] = factor * {load_expression('g', variant.dtypes[1])}",
        "            for i in range(o, o + n):",
        *_free_line(free, variant, " " * 16),
        "            for j in range(k):",
        "                i = q + j",
        f"                {call.format(', '.join(['w[j]', 'h[j]', *loads]))}",
        "                w[j] = result[0]",
        *(f"                s{s}[i] = {stored}" for s, stored in enumerate(_stored_states(kernel, variant))),
        "            for j in range(k):",
        "                i = o + keys[at + j]",
        f"                p[i] = {store}",
    ]
    return "\n".join(lines) + "\n"


def rows_source(kernel: Kernel, free: str, variant: Variant) -> str:
    """Source of the loop for chosen rows; ``keys`` holds for every row its place among them from 1, or 0."""
    states = len(kernel.states)
    lines, call = _head(kernel, variant)
    loaded = [load_expression(name, variant.dtypes[at]) for at, name in enumerate(("p", "g"))]
    loads = [load_expression(f"s{s}", variant.dtypes[2 + s], "i + q") for s in range(states)]
    store = store_expression("result[0]", variant.dtypes[0], variant.arithmetic, variant.stochastic)
    lines += [
        "            o = r * n",
        "            slot = keys[at + r]",
        "            if slot == 0:",
        "                for i in range(o, o + n):",
        *_free_line(free, variant, " " * 20),
        "            else:",
        "                q = (int(slot) - 1) * n - o",
        "                for i in range(o, o + n):",
        f"                    {call.format(', '.join([loaded[0], f'factor * {loaded[1]}', *loads]))}",
        f"                    p[i] = {store}",
        *(f"                    s{s}[i + q] = {stored}" for s, stored in enumerate(_stored_states(kernel, variant))),
    ]
    return "\n".join(lines) + "\n"
