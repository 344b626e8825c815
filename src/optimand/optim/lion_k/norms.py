"""Fused steps for the l2 norm of tensors and of the rows of a matrix.

A row needs its norm before its update, but stays in the cache in between, so rows cost one pass over memory like an
element-wise kappa. The norm of a whole tensor takes a pass of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..kernels import Kernel, compiler
from ..kernels.compiler import Variant, load_expression
from ..kernels.gather import collect
from ..kernels.kernel import chunk_table, run_compiled
from .kernels import KERNELS, SCALARS

# A sum in this many lanes vectorizes without reordering it; the lanes lie in ``table``.
LANES = 32
DEPTH = 4
BLOCK = LANES * DEPTH
# Room for scalars ahead of the lanes, a cache line so that these do not straddle two.
HEAD = 8
# Rows too short for that have a few sums at once, because a single one waits for its own last addition.
FEW = 8


def mix(exp_avg, g, beta1, one_minus_beta1):  # type: ignore[no-untyped-def]
    """The look-ahead whose norm is wanted."""
    return (beta1 * exp_avg + one_minus_beta1 * g,)


MIX = Kernel(mix)


def row_source(variant: Variant) -> str:
    """The driver of the update with the norm of each chunk, which is one row, ahead of its update.

    The front of ``table`` holds the lanes of each call, at ``begin * LANES``.
    """
    _, g, m = variant.dtypes
    source = compiler.driver_source(1, len(SCALARS), variant)
    loop = "        for i in range(start, stop):\n"
    element = f"a2 * {load_expression('s0', m)} + a3 * (factor * {load_expression('g', g)})"
    lines = [
        f"        if stop - start < {BLOCK}:",
        *("    " + line for line in _few_lines(element)),
        "        else:",
        f"            lanes = begin * {LANES}",
        *("    " + line for line in _lane_lines(element)),
        "        norm = total ** 0.5",
        *_rescue_lines(element, variant),
        "        a6 = arithmetic(norm if norm > 0 else 1.0)",
    ]
    return source.replace(loop, "\n".join(lines) + "\n" + loop, 1)


def norm_source(variant: Variant) -> str:
    """A driver that writes the norm of each chunk into ``table``.

    ``table`` holds three scalars, from ``HEAD`` on the lanes of each call, and behind these the norms; the number
    of chunks is ``rows[0]``.
    """
    m, g = variant.dtypes
    element = f"a2 * {load_expression('s0', m)} + a3 * (factor * {load_expression('g', g)})"
    lines = [
        "def driver(begin, end, tensors, offsets, lengths, rows, table, keys, m_list, g_list):",
        "    factor = arithmetic(table[0])",
        "    a2 = arithmetic(table[1])",
        "    a3 = arithmetic(table[2])",
        f"    lanes = {HEAD} + begin * {LANES}",
        "    for chunk in range(begin, end):",
        "        tensor = tensors[chunk]",
        "        start = offsets[chunk]",
        "        stop = start + lengths[chunk]",
        "        s0 = m_list[tensor]",
        "        g = g_list[tensor]",
        *_lane_lines(element),
        "        norm = total ** 0.5",
        *_rescue_lines(element, variant),
        f"        table[{HEAD} + rows[0] * {LANES} + chunk] = norm",
    ]
    return "\n".join(lines) + "\n"


def _lane_lines(element: str) -> list[str]:
    """Lines that set ``total`` to the sum of squares of ``element`` over ``range(start, stop)``.

    Each lane adds up ``DEPTH`` squares in the precision of the arithmetic, and those sums in float64.
    """
    depth = range(DEPTH)
    return [
        f"        for lane in range({LANES}):",
        "            table[lanes + lane] = 0.0",
        f"        even = start + (stop - start) // {BLOCK} * {BLOCK}",
        f"        for j in range(start, even, {BLOCK}):",
        f"            for lane in range({LANES}):",
        *(
            line
            for k in depth
            for line in (f"                i = j + lane + {k * LANES}", f"                c{k} = {element}")
        ),
        f"                table[lanes + lane] += float64({' + '.join(f'c{k} * c{k}' for k in depth)})",
        "        total = 0.0",
        f"        for lane in range({LANES}):",
        "            total += table[lanes + lane]",
        "        for i in range(even, stop):",
        f"            c = float64({element})",
        "            total += c * c",
    ]


def _few_lines(element: str) -> list[str]:
    """The same for short ranges."""

    def add(lane: int, indent: str) -> list[str]:
        return [f"{indent}c = float64({element})", f"{indent}t{lane} += c * c"]

    return [
        f"        {' = '.join(f't{lane}' for lane in range(FEW))} = 0.0",
        f"        even = start + (stop - start) // {FEW} * {FEW}",
        f"        for j in range(start, even, {FEW}):",
        *(line for lane in range(FEW) for line in [f"            i = j + {lane}", *add(lane, " " * 12)]),
        "        for i in range(even, stop):",
        *add(0, " " * 12),
        f"        total = {' + '.join(f't{lane}' for lane in range(FEW))}",
    ]


def _rescue_lines(element: str, variant: Variant) -> list[str]:
    """Lines that take ``norm`` again with a scale where squares may have left the range of the arithmetic."""
    low = 1e-140 if variant.arithmetic == "float64" else 1e-15
    return [
        f"        if not (norm > {low} and norm < {1 / low}):",
        "            largest = 0.0",
        "            for i in range(start, stop):",
        f"                largest = max(largest, abs(float64({element})))",
        "            total = 0.0",
        "            if largest > 0.0:",
        "                for i in range(start, stop):",
        f"                    c = float64({element}) / largest",
        "                    total += c * c",
        "            norm = largest * total ** 0.5",
    ]


@functools.cache
def _code(kind: str, variant: Variant) -> Any | None:
    """The compiled driver, or None where there is no compiler or it fails."""
    if kind == "rows":
        return KERNELS["quotient"].load(row_source(variant), variant)
    return MIX.load(norm_source(variant), variant)


def tensor_norms(
    exp_avgs: Sequence[Tensor], grads: Sequence[Tensor], beta1: float, maximize: bool
) -> tuple[list[float], list[int]]:
    """2-norms of ``beta1 * exp_avg + (1 - beta1) * grad`` and the indices of tensors that no kernel could read."""
    norms = [0.0] * len(grads)
    batches, rest = collect(exp_avgs, grads, [], False)
    for variant, batch in batches.items():
        call = _code("norms", variant)
        chunks = chunk_table(tuple(batch.numels))
        tensors = chunks[0]
        if call is None:
            rest.extend(batch.indices)
        if call is None or not len(tensors):
            continue
        table = np.empty(HEAD + len(tensors) * (1 + LANES))
        table[:3] = (-1.0 if maximize else 1.0, beta1, 1 - beta1)
        run_compiled(call, batch, chunks, np.array([len(tensors)]), table, None)
        parts = table[HEAD + len(tensors) * LANES :]
        scale = np.where(parts > 0, parts, 1.0)
        first = np.flatnonzero(np.r_[True, tensors[1:] != tensors[:-1]])
        largest = np.maximum.reduceat(scale, first)
        counts = np.diff(np.r_[first, len(tensors)])
        squares = np.add.reduceat((parts / np.repeat(largest, counts)) ** 2, first)
        for at, norm in zip(tensors[first], largest * np.sqrt(squares), strict=True):
            norms[batch.indices[at]] = float(norm)
    return norms, rest


def launch_rows(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    table: Sequence[Sequence[float]],
    *,
    maximize: bool = False,
    keys: Sequence[int] | None = None,
) -> list[int]:
    """One step with the l2 norm of every row (slice along the first dimension); returns the indices left undone.

    Args:
        params: parameters, contiguous.
        grads: their gradients.
        exp_avgs: their averages of gradients.
        table: for each parameter its row of scalars.
        maximize: whether the gradients' signs are turned.
        keys: for each parameter a 32-bit number for stochastic rounding.
    """
    batches, rest = collect(params, grads, [exp_avgs], keys is not None)
    for variant, batch in batches.items():
        call = _code("rows", variant)
        if call is None:
            rest.extend(batch.indices)
            continue
        shapes = tuple((params[i].shape[0] if params[i].dim() else 1, params[i].numel()) for i in batch.indices)
        chunks = _row_table(shapes)
        tensors, _, lengths = chunks
        if not len(tensors):
            continue
        width = len(SCALARS) + 1
        # Lanes for every call that can be made; pages that no call touches cost nothing.
        front = len(tensors) * LANES // width + 1 if int(lengths.max()) >= BLOCK else 0
        scalars = np.empty((front + len(batch.indices), width))
        scalars[front:] = [(-1.0 if maximize else 1.0, *table[i]) for i in batch.indices]
        row = np.arange(front, front + len(batch.indices), dtype=np.int64)
        run_compiled(call, batch, chunks, row, scalars, keys)
    return rest


@functools.lru_cache(maxsize=64)
def _row_table(shapes: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of tensors with (rows, elements): its tensor, its offset and its length."""
    rows = np.array([r if n else 0 for r, n in shapes], dtype=np.int64)
    length = np.array([n // max(r, 1) for r, n in shapes], dtype=np.int64)
    tensors = np.repeat(np.arange(len(rows)), rows)
    within = np.arange(len(tensors)) - np.repeat(np.cumsum(rows) - rows, rows)
    return tensors.astype(np.int64), within * length[tensors], length[tensors]
