"""Fast exact rounding to the nearest code, without a search: the tables behind compiled code.

Between two kinks a dynamic map is linear, so the code of ``y = |x| / scale`` is the whole part of ``t = slope * y +
offset``, with a slope and an offset that depend only on the binary exponent of ``y`` and on the side of the one kink
that an octave may hold. Compiled code works ``t`` out in fixed point (16 bits of fraction) from ``x * (1 / scale)``.
Where its rounding errors could matter, ``t`` is next to a whole number; just there, in 1 of 4000 cases, the division
and the midpoints of the reference decide. The codes are therefore those of the reference, bit for bit.
"""

from __future__ import annotations

import functools

import numpy as np

from .maps import MAPS

# Added to y, so that it is never below the least octave of the tables.
SHIFT = 2.0**-24
# What is added to t in fixed point: below 2 * MARGIN, the fraction is too close to a whole number to be trusted.
MARGIN = 8
# The relative distance beyond a kink at which its octave changes over to the next line.
BEYOND = 5e-7

# One map's tables in the memory order that the C++ struct Map has. The first tables are indexed by the low 5 bits of
# a float32's exponent, the "coarse" ones (8 lanes) by the number of kinks below; then come the plain numbers.
LAYOUT = np.dtype(
    [
        ("table", np.float32, 256),
        ("middle", np.float32, 256),
        ("bump", np.uint32, 32),
        ("slope", np.float32, 32),
        ("offset", np.float32, 32),
        ("cap", np.int32, 32),
        ("planes", np.uint8, (4, 256)),
        ("coarse_bound", np.float32, 8),
        ("coarse_slope", np.float32, 8),
        ("coarse_offset", np.float32, 8),
        ("coarse_cap", np.int32, 8),
        ("coarse_first", np.uint8, 16),
        ("top_slope", np.float32),
        ("top_offset", np.float32),
        ("bits", np.int32),
        ("signed", np.int32),
        ("floor", np.int32),
        ("zero", np.int32),
        ("last", np.int32),
        ("uncertain", np.int32),
        ("upper_half", np.uint32),
        ("one", np.int32),
        ("middle_codes", np.uint32),
        ("below_codes", np.uint32),
        ("signs", np.uint32),
        ("shift", np.float32),
    ]
)


@functools.cache
def tables_of(name: str) -> np.ndarray:
    """The tables of the map ``name``: a 0-d record of :data:`LAYOUT`.

    Example:
        >>> int(tables_of("dynamic")["zero"]), float(tables_of("dynamic")["middle"][254])
        (127, 0.9964...)
    """
    m = MAPS[name]
    values, middles = m.table().numpy(), m.midpoints().numpy()
    out = np.zeros((), LAYOUT)
    out["table"][: len(values)] = values
    out["middle"] = np.inf
    out["middle"][: len(middles)] = middles
    padded = np.zeros(256, np.float32)
    padded[: len(values)] = values
    out["planes"] = padded.view(np.uint8).reshape(256, 4).T
    out["bits"], out["signed"] = m.bits, m.signed
    out["zero"], out["last"] = m.zero, len(values) - 1
    out["uncertain"], out["upper_half"], out["one"] = 0x10000 - 2 * MARGIN, 0xFFFF0000, 1 << 16
    out["middle_codes"], out["below_codes"] = m.zero * 0x01010101, max(m.zero - 1, 0) * 0x01010101
    out["signs"] = 0x80808080
    out["shift"] = SHIFT
    lines, top = _linear_lines() if name == "linear4_unsigned" else _dynamic_lines(m.signed, m.bits, middles)
    _fill(out, lines, top)
    return out


# A line: up to which y it holds, its slope, its offset, and the largest code that it may give.
Line = tuple[float, float, float, int]


def _linear_lines() -> tuple[list[Line], tuple[float, float]]:
    """Values k / 16 from k = 1 on; the code is k - 1."""
    return [(1.0 / 16.0, 0.0, 0.5, 0), (np.inf, 16.0, -0.5, 15)], (0.0, -1.0)


def _dynamic_lines(signed: bool, bits: int, middles: np.ndarray) -> tuple[list[Line], tuple[float, float]]:
    """The lines of the codes (of their distance from the zero's, for a signed map), and the line of the largest."""
    decades = bits - 1
    # "Magnitudes" q hold n to 2 n - 1 in a decade of n values; the code is q - shift, and ends[q] is q's upper end.
    shift = 0 if signed else 1
    zero = 2 ** (bits - 1) - 1 if signed else 0
    ends = [float(x) for x in middles[zero:]]
    lines: list[Line] = []
    for i in range(decades):
        n = 2**i * (1 if signed else 2)
        power = 10.0 ** (i - decades + 1)
        slope, offset = n / (0.9 * power), 8.0 / 9.0 * n - shift
        if i == 0:  # the zero ends where this line is 1
            lines.append((ends[0], slope, 1.0 - slope * ends[0], 0))
        lines.append((ends[2 * n - 1 - shift], slope, offset, 2 * n - 1 - shift))
    last = 2 ** (bits - 1) if signed else 2**bits - 1
    start = lines.pop()
    # The largest value's line is the whole number at its lower end, and begins shortly before.
    top_slope = start[1] / 4.0
    top = (top_slope, last - top_slope * start[0])
    lines.append((start[0] * (1.0 - 4.0 * BEYOND), *start[1:]))
    lines.append((np.inf, *top, last))
    return lines, (start[1] * 3.0, last - start[1] * 3.0 * start[0])


def _fill(out: np.ndarray, lines: list[Line], top: tuple[float, float]) -> None:
    """Write the lines into the tables by octave and by kink."""

    def fixed(slope: float, offset: float) -> tuple[float, float]:
        return 65536.0 * slope, 65536.0 * (offset - slope * SHIFT) + MARGIN

    bounds = [np.float32((y + SHIFT) * (1.0 + BEYOND)) for y, *_ in lines]
    for exponent in range(103, 128):  # of y + SHIFT, from 2^-24 to 1
        low = np.ldexp(1.0, exponent - 127)
        at = sum(bool(bound <= low) for bound in bounds)
        k = exponent & 31
        out["slope"][k], out["offset"][k] = fixed(*lines[at][1:3])
        out["cap"][k] = (lines[at][3] << 16) + 0x8000
        if bounds[at] < 2.0 * low:
            # Adding this to the bits of y carries into the exponent from the bound on.
            out["bump"][k] = (1 << 23) - (int(bounds[at].view(np.uint32)) & 0x7FFFFF)
        out["coarse_first"][exponent >> 1 & 15] = min(
            sum(bool(bound <= np.ldexp(1.0, (exponent & ~1) - 127)) for bound in bounds), 7
        )
    has_top = top[0] > 0.0
    coarse = lines[:-1] if has_top else lines
    for k in range(8):
        at = min(k, len(coarse) - 1)
        out["coarse_slope"][k], out["coarse_offset"][k] = fixed(*coarse[at][1:3])
        out["coarse_cap"][k] = (
            (lines[-1][3] << 16) + 0x8000 if at == len(coarse) - 1 else (coarse[at][3] << 16) + 0x8000
        )
        out["coarse_bound"][k] = np.inf if at == len(coarse) - 1 else bounds[at]
    out["top_slope"], out["top_offset"] = fixed(*top)
