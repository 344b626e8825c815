"""Steps on quantized states where there is no native library: a loop around the formula, compiled by Numba.

The loop does what ``kernels/native/engine.inc`` does, an element at a time, with the same tables.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from optimand.optim.kernels import Kernel
from optimand.optim.kernels.compiler import Variant, load_expression, store_expression

from .encoding import SHIFT, tables_of
from .maps import MAPS, Map

# A state as the loop sees it: the name of its map, and whether its scales have signs.
StateForm = tuple[str, bool]

_KNOWN: weakref.WeakKeyDictionary[Kernel, dict[Any, Any]] = weakref.WeakKeyDictionary()


def compiled(
    kernel: Kernel, dtypes: tuple[str, str], states: Sequence[StateForm], block: int, stochastic: bool
) -> Any | None:
    """The compiled loop of a formula, or None where it cannot be had (``kernel.failure`` may tell why).

    Args:
        kernel: the formula.
        dtypes: of the parameters and of the gradients.
        states: the form of each state.
        block: values that share a scale.
        stochastic: whether the parameters are rounded stochastically.
    """
    known = _KNOWN.setdefault(kernel, {})
    key = (dtypes, tuple(states), block, stochastic)
    if key not in known:
        variant = Variant(
            (*dtypes, *("uint8", "float32", "float32") * len(states), "float32", "uint8", "uint8"), stochastic
        )
        source = driver_source(kernel, dtypes, states, block, stochastic)
        known[key] = kernel.load(source, variant, 1 + len(states))
    return known[key]


@functools.cache
def numbers(name: str) -> np.ndarray:
    """The tables of a map that the loop reads: its values, then its midpoints."""
    record = tables_of(name)
    return np.concatenate([record["table"], record["middle"]])


def driver_source(
    kernel: Kernel, dtypes: tuple[str, str], states: Sequence[StateForm], block: int, stochastic: bool
) -> str:
    """Source of the loop: ``driver`` with the arguments of :func:`~optimand.optim.kernels.compiler.driver_source`.

    The lists are those of the parameters and gradients; for each state its codes, its scales and its map's
    :func:`numbers`; memory for one block's numbers and for its codes; and a flag for each tensor, set where a block
    is left as it was.
    """
    maps = [MAPS[name] for name, _ in states]
    each = range(len(states))
    lists = [
        "p_list",
        "g_list",
        *(f"{kind}{k}_list" for k in each for kind in "ckn"),
        "room_list",
        "spare_list",
        "flags_list",
    ]
    scalars = len(kernel.scalars)
    values = [
        load_expression("p", dtypes[0], "first + j"),
        f"factor * {load_expression('g', dtypes[1], 'first + j')}",
        *(f"room[{(k + 1) * block} + j]" for k in each),
        *(f"a{k}" for k in range(scalars)),
    ]
    stored = store_expression("room[i - first]", dtypes[0], "float32", stochastic)
    lines = [
        f"def driver(begin, end, tensors, offsets, lengths, rows, table, keys, {', '.join(lists)}):",
        "    room, spare = room_list[0], spare_list[0]",
        "    flags = flags_list[0]",
        *(f"    n{k} = n{k}_list[0]" for k in each),
        "    for chunk in range(begin, end):",
        "        tensor = tensors[chunk]",
        "        p, g = p_list[tensor], g_list[tensor]",
        *(f"        c{k}, k{k} = c{k}_list[tensor], k{k}_list[tensor]" for k in each),
        f"        row = rows[tensor] * {scalars + 1}",
        "        factor = arithmetic(table[row])",
        *(f"        a{k} = arithmetic(table[row + {k + 1}])" for k in range(scalars)),
        *(["        key = keys[tensor]"] if stochastic else []),
        "        stop = offsets[chunk] + lengths[chunk]",
        f"        for first in range(offsets[chunk], stop, {block}):",
        f"            last = min(first + {block}, stop)",
        f"            at = first // {block}",
        *(f"            scale{k}, most{k}, high{k} = k{k}[at], int32(0), int32(-1)" for k in each),
        # Loops of their own where the tables are read: the others are left to the compiler's vectorizer.
        *(line for k, m in zip(each, maps, strict=True) for line in _decoding(k, m, block)),
        "            for j in range(last - first):",
        f"                result = formula({', '.join(values)})",
        "                room[j] = result[0]",
        *(line for k, m in zip(each, maps, strict=True) for line in _keeping(k, m, block)),
        f"            if {' or '.join(f'most{k} >= 0x7F800000' for k in each)}:",
        "                flags[tensor] = uint8(1)",
        "                continue",
        "            for i in range(first, last):",
        f"                p[i] = {stored}",
        *(
            line
            for k, (m, (_, signed_scale)) in enumerate(zip(maps, states, strict=True))
            for line in _encoding(k, m, signed_scale, block)
        ),
    ]
    return "\n".join(lines) + "\n"


def _decoding(k: int, m: Map, block: int) -> list[str]:
    code = f"c{k}[i]" if m.bits == 8 else f"(c{k}[i >> 1] >> (4 * (i & 1))) & 15"
    lines = [
        "for i in range(first, last):",
        f"    x = n{k}[{code}] * scale{k}",
        f"    room[{(k + 1) * block} + i - first] = {'x * x' if m.root else 'x'}",
    ]
    return [f"            {line}" for line in lines]


def _keeping(k: int, m: Map, block: int) -> list[str]:
    value = f"result[{k + 1}]"
    lines = [
        f"x{k} = float32({f'math.sqrt({value})' if m.root else value})",
        f"room[{(k + 1) * block} + j] = x{k}",
        f"bits{k} = float32(x{k}).view(int32)",
        f"most{k} = max(most{k}, int32(bits{k} & 0x7FFFFFFF))",
        *([f"high{k} = max(high{k}, bits{k})"] if m.signed else []),
    ]
    return [f"                {line}" for line in lines]


def _encoding(k: int, m: Map, signed_scale: bool, block: int) -> list[str]:
    """Encode in runs of 64: without branches, then, where one of them is uncertain, by division and search."""
    codes = f"c{k}" if m.bits == 8 else "spare"
    at = "i" if m.bits == 8 else "i - first"
    turns = int(m.signed and signed_scale)
    lines = [
        f"scale = int32(most{k}).view(float32)",
        f"plain = most{k} >= 0x00800000 and most{k} <= 0x7E800000",
        "inverse = float32(1.0) / scale if plain else float32(0.0)",
        "turned = int32(0)",
        *([f"if 0 < most{k} and high{k} < most{k}:", "    turned = int32(-1)", "    scale = -scale"] * turns),
        f"k{k}[at] = scale",
        f"if most{k} == 0:",
        "    scale = float32(1.0)",
        "for start in range(first, last, 64):",
        "    stop64 = min(start + 64, last)",
        "    unsure = int32(0)",
        "    for i in range(start, stop64):",
        f"        x = room[{(k + 1) * block} + i - first]",
        *(f"        {line}" for line in _code_of_x(m)),
        f"        {codes}[{at}] = uint8(code)",
        "    if not plain or unsure != 0:",
        "        for i in range(start, stop64):",
        f"            x = room[{(k + 1) * block} + i - first]",
        "            y = x / scale",
        f"            code = int64({codes}[{at}])",
        f"            while code > 0 and y <= n{k}[256 + code - 1]:",
        "                code -= 1",
        f"            while y > n{k}[256 + code]:",
        "                code += 1",
        f"            {codes}[{at}] = uint8(code)",
    ]
    if m.bits == 4:
        lines += [
            "if (last - first) & 1:",
            "    spare[last - first] = uint8(0)",
            "for j in range((last - first + 1) >> 1):",
            f"    c{k}[(first >> 1) + j] = uint8(spare[2 * j] | (spare[2 * j + 1] << 4))",
        ]
    return [f"            {line}" for line in lines]


def _code_of_x(m: Map) -> list[str]:
    """``code`` of ``x``, and whether it is ``unsure``, as in :mod:`encoding`; the line is found by comparisons."""
    record = tables_of(m.name)
    slopes, offsets, caps = (record[f"coarse_{name}"].tolist() for name in ("slope", "offset", "cap"))
    bounds = [bound for bound in record["coarse_bound"].tolist() if bound < float("inf")]
    lines = [
        f"y = abs(x) * inverse + float32({SHIFT!r})",
        f"slope, offset, cap = float32({slopes[0]!r}), float32({offsets[0]!r}), int32({caps[0]})",
    ]
    for line, bound in enumerate(bounds, 1):
        lines += [
            f"above = y > float32({bound!r})",
            f"slope = float32({slopes[line]!r}) if above else slope",
            f"offset = float32({offsets[line]!r}) if above else offset",
            f"cap = int32({caps[line]}) if above else cap",
        ]
    lines += [
        "t = y * slope + offset",
        f"top = y * float32({float(record['top_slope'])!r}) + float32({float(record['top_offset'])!r})",
        "t = int32(top if top > t else t)",
        f"unsure = int32(unsure | int32((t & {int(record['uncertain'])}) == 0))",
        "code = int32(int32(t if t < cap else cap) >> 16)",
    ]
    if m.signed:
        lines += [
            "below = int32(int32(float32(x).view(int32) ^ turned) >> 31)",  # no branch: signs are as good as random
            f"code = int32(int32(int32(code ^ below) - below) + {m.zero})",
            "code = int32(0) if code < 0 else code",
        ]
    return lines


def run(code: Any, addresses: Sequence[int], states: Sequence[StateForm], block: int, begin: int, end: int) -> None:
    """Run the loop on the chunks from ``begin`` to ``end - 1``.

    Args:
        code: the compiled loop.
        addresses: of the chunks' tensors, offsets and lengths, of the rows, the table and the keys; of the lists of
            parameters and gradients; and for each state of its lists of codes and of scales; last, of the flags.
        states: the form of each state.
        block: values that share a scale.
        begin: the first chunk.
        end: the chunk after the last.
    """
    room, spare = np.empty((1 + len(states)) * block, np.float32), np.empty(block + 1, np.uint8)
    tables = [np.array([numbers(name).ctypes.data], np.int64) for name, _ in states]
    of_states = [
        address for k, table in enumerate(tables) for address in (*addresses[8 + 2 * k : 10 + 2 * k], table.ctypes.data)
    ]
    last = [np.array([address], np.int64) for address in (room.ctypes.data, spare.ctypes.data, addresses[-1])]
    code(begin, end, *addresses[:8], *of_states, *(array.ctypes.data for array in last))
