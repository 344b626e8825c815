"""Layouts as pictures: for the page of a study, and with Matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.pictures import MOST, Rectangles
from optimand.core.validation import OptimandError

from .layouts import Layout, Residency
from .program import MemoryProgram

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

GROUPS = ("output", "copy", "live out")
_COLORS = {"output": "#4c78a8", "copy": "#f58518", "live out": "#54a24b"}


def picture(layout: Layout | OptimizeResult, program: MemoryProgram | None = None) -> Rectangles:
    """A layout for :meth:`Recorder.picture`: instructions to the right, addresses upwards.

    Args:
        layout: with at least one residency, or a result of ``map_memory``; of more than a picture can hold, the largest
            areas are shown.
        program: for what kinds of buffers they are.

    Raises:
        TypeError: no layout, or no program.
        OptimandError: nothing lies in fast memory.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program
        >>> game = Game(tiny_program(), Hardware.preset("tiny"))
        >>> time = game.play([True] * 13)
        >>> picture(game.layout(), game.program).rectangles[0]
        (0.0, 4.0, 0.0, 4.0, 'A', 'output')
    """
    layout = _checked("picture", layout, program)
    if not layout.residencies:
        raise OptimandError("nothing lies in fast memory; there is no layout to draw")
    kept = sorted(layout.residencies, key=lambda r: -r.size * (r.end - r.start + 1))[:MOST]
    kept.sort(key=lambda r: (r.start, r.offset))
    unit, name = _unit(layout)
    rectangles = [
        (
            float(r.start), float(r.end + 1), r.offset / unit, (r.offset + r.size) / unit,
            r.name or f"buffer {r.buffer}", _kind(r, program),
        )
        for r in kept
    ]  # fmt: skip
    title = f"Fast memory of {layout.program or 'the program'}"
    if layout.all_slow_time:
        title += f", {layout.speedup:.3f} times as fast as without"
    limit = layout.capacity / unit if layout.capacity else None
    return Rectangles(title, "instruction", f"address ({name})", rectangles, limit)


def plot(
    layout: Layout | OptimizeResult, program: MemoryProgram | None = None, ax: Any = None, labels: bool | None = None
) -> Any:
    """Draw a layout with Matplotlib.

    Args:
        layout: what is drawn; it may be empty; or a result of ``map_memory``.
        program: for what kinds of buffers they are.
        ax: where; a figure of its own by default.
        labels: names in the rectangles; by default if there are at most 40.

    Returns:
        The axes.

    Raises:
        TypeError: no layout, or no program.
        OptimandError: Matplotlib is not installed.
    """
    layout = _checked("plot", layout, program)
    try:
        from matplotlib import pyplot
        from matplotlib.patches import Patch, Rectangle
    except ImportError as error:
        raise OptimandError("plot needs Matplotlib: python -m pip install matplotlib") from error
    if ax is None:
        _, ax = pyplot.subplots(figsize=(10, 5), layout="constrained")
    unit, name = _unit(layout)
    shown = set()
    for r in layout.residencies:
        kind = _kind(r, program)
        shown.add(kind)
        box = (r.start, r.offset / unit)
        width, height = r.end - r.start + 1, r.size / unit
        ax.add_patch(Rectangle(box, width, height, facecolor=_COLORS[kind], edgecolor="white", linewidth=0.6))
        if labels or (labels is None and len(layout.residencies) <= 40):
            text = r.name or str(r.buffer)
            ax.text(box[0] + width / 2, box[1] + height / 2, text, ha="center", va="center", fontsize=8, clip_on=True)
    last = max((r.end for r in layout.residencies), default=0)
    if layout.actions is not None and program is not None:
        last = len(program.instructions) - 1
    top = max(layout.peak, layout.capacity or 0) / unit
    if layout.capacity:
        ax.axhline(layout.capacity / unit, color="#333333", linewidth=1, linestyle="--")
    ax.set(xlim=(0, last + 1), ylim=(0, top * 1.03 or 1), xlabel="instruction", ylabel=f"address ({name})")
    if layout.all_slow_time:
        ax.set_title(f"{layout.program or 'program'}: {layout.speedup:.3f} times as fast as without fast memory")
    if shown:
        handles = [Patch(color=_COLORS[kind], label=kind) for kind in GROUPS if kind in shown]
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return ax


def _checked(function: str, given: Any, program: Any) -> Layout:
    """The layout that was given, or that of a result; TypeError where it is none."""
    layout = getattr(given, "x", given)
    if isinstance(given, MemoryProgram):
        raise TypeError(f"layout must be a Layout, got a MemoryProgram: call {function}(layout, program)")
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout or a result of map_memory, got {given!r} ({type(given).__name__})")
    if program is not None and not isinstance(program, MemoryProgram):
        raise TypeError(f"program must be a MemoryProgram, got {program!r} ({type(program).__name__})")
    return layout


def _kind(r: Residency, program: MemoryProgram | None) -> str:
    if program is None:
        return "output"
    if program.definition[r.buffer] != r.start:
        return "copy"
    return "live out" if program.buffers[r.buffer].live_out else "output"


def _unit(layout: Layout) -> tuple[float, str]:
    top = max(layout.peak, layout.capacity or 0)
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if top >= 2 * unit:
            return float(unit), name
    return 1.0, "bytes"
