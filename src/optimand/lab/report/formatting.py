"""Numbers as a person reads them: significant digits, units of time and memory, names of costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..statistics import Interval
from ..verdicts import format_interval, singular

DASH = "–"

COST_TITLES: Mapping[str, str] = {
    "seconds_per_unit": "time per {unit}",
    "optimizer_seconds_per_unit": "optimizer's time per {unit}",
    "parameter_bytes": "memory of the parameters",
    "state_bytes": "optimizer state",
    "state_bytes_per_parameter": "optimizer state per parameter",
    "peak_bytes": "peak memory",
    "peak_memory": "peak memory",
    "peak_memory_bytes": "peak memory",
    "parameters": "parameters",
    "oracle_calls": "oracle calls",
}


def number(value: Any) -> str:
    """A number to four significant digits; anything else as text, None and NaN as a dash."""
    if value is None:
        return DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    return f"{value:.4g}".replace("-", "−") if abs(value) >= 1e-3 else _scientific(value, 3)


def _scientific(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def interval(value: Interval) -> str:
    """A mean ± half its interval, in scientific notation where plain decimals would be unreadable."""
    if math.isnan(value.mean):
        return DASH
    width = value.half_width
    if width <= 1e-9 * abs(value.mean):  # rounding, not spread
        return number(value.mean)
    size = max(abs(value.mean), 0.0 if math.isnan(width) else width)
    if 1e-3 <= size < 1e6 and not (0 < width < 1e-7):
        return unbroken(format_interval(value).replace("-", "−"))
    if math.isnan(width) or width == 0:
        return number(value.mean)
    if not math.isfinite(width):
        return f"{_scientific(value.mean, 3)} ± ∞"
    return unbroken(f"{_scientific(value.mean, 4)} ± {_scientific(width, 2)}")


def signed_interval(value: Interval) -> str:
    """A difference with its sign and half its interval."""
    text = interval(value)
    return text if text == DASH or text.startswith("−") or value.mean == 0 else f"+{text}"


def seconds(value: float | None) -> str:
    """A duration with a unit that fits its size."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞"
    for factor, unit in ((1e-12, "ps"), (1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
        if value < factor * 1e3:
            return f"{value / factor:.3g} {unit}"
    if value < 100:
        return f"{value:.3g} s"
    if value < 6000:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"


def size(value: float | None) -> str:
    """A number of bytes with a decimal prefix that fits."""
    if value is None or not math.isfinite(value):
        return DASH
    if abs(value) < 1e3:
        return f"{value:.3g} B"
    for factor, unit in ((1e3, "kB"), (1e6, "MB"), (1e9, "GB")):
        if abs(value) < factor * 999.5:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e12:.3g} TB"


def cost(name: str, value: float | None) -> str:
    """A measured cost in its own unit."""
    if "bytes" in name or "memory" in name:
        return size(value)
    if "seconds" in name:
        return seconds(value)
    return number(value)


def axis_unit(name: str, largest: float) -> tuple[float, str]:
    """What to divide a cost by for an axis, and the unit this gives (empty where there is none)."""
    if "bytes" in name or "memory" in name:
        units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")]
    elif "seconds" in name:
        units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps")]
    else:
        return 1.0, ""
    return next((pair for pair in units if largest >= pair[0]), units[-1])


def unbroken(text: str) -> str:
    """The text with every ``±`` kept on one line with its numbers."""
    return text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def moment(text: str) -> str:
    """An ISO time without its seconds; anything else as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def cost_title(name: str, unit: str) -> str:
    """What a measured cost is called in headings."""
    return COST_TITLES.get(name, name.replace("_", " ")).format(unit=singular(unit))


def settings(hyper: Mapping[str, Any]) -> str:
    """Hyperparameters in one line."""
    return ", ".join(f"{name}={'None' if value is None else number(value)}" for name, value in sorted(hyper.items()))


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 seed``, ``3 seeds``."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"
