"""Pictures that a run leaves beside its numbers: data alone, drawn by whoever shows the run.

A picture is kept with the run in the store, as plain values, so that a page can be made again from the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .validation import OptimandError

MOST = 4000  # rectangles or values of one picture


@dataclass(frozen=True)
class Rectangles:
    """Rectangles in a plane, such as what lies where in a memory, and when.

    Attributes:
        title: heading.
        x_title, y_title: what the axes are, with units.
        rectangles: for each one ``(x0, x1, y0, y1, label, group)`` with x0 < x1 and y0 < y1; groups share a color.
        limit: a height that nothing may exceed, drawn as a line; None for none.

    Raises:
        OptimandError: too many, empty or non-finite rectangles.

    Example:
        >>> Rectangles("layout", "step", "address", [(0, 2, 0, 64, "a", "output")], limit=128).limit
        128
    """

    title: str
    x_title: str
    y_title: str
    rectangles: Sequence[tuple[float, float, float, float, str, str]]
    limit: float | None = None

    def __post_init__(self) -> None:
        _check_length("rectangles", self.rectangles)
        for i, (x0, x1, y0, y1, *_) in enumerate(self.rectangles):
            if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, x1, y0, y1)))):
                raise OptimandError(
                    f"rectangles[{i}] must have finite sides x0 < x1, y0 < y1, got {(x0, x1, y0, y1)!r}"
                )


@dataclass(frozen=True)
class Values:
    """Single values of one run, whose distribution is to be seen, such as the scores of proposed designs.

    Attributes:
        title: heading.
        value_title: what the values are, with units.
        values: finite numbers.

    Raises:
        OptimandError: too many or non-finite values.

    Example:
        >>> Values("scores", "normalized score", [0.1, 0.4]).values
        [0.1, 0.4]
    """

    title: str
    value_title: str
    values: Sequence[float]

    def __post_init__(self) -> None:
        _check_length("values", self.values)
        for i, value in enumerate(self.values):
            if not math.isfinite(value):
                raise OptimandError(f"values[{i}] must be finite, got {value!r}")


Picture = Rectangles | Values
_KINDS = {"rectangles": Rectangles, "values": Values}


def to_plain(picture: Picture) -> dict[str, Any]:
    """The picture in values that JSON knows.

    Example:
        >>> to_plain(Values("scores", "score", [1.0]))
        {'kind': 'values', 'title': 'scores', 'value_title': 'score', 'values': [1.0]}
    """
    kind = next(name for name, cls in _KINDS.items() if isinstance(picture, cls))
    plain = asdict(picture)
    if isinstance(picture, Values):
        plain["values"] = [float(value) for value in picture.values]
    else:
        plain["rectangles"] = [
            [*map(float, sides), str(label), str(group)] for *sides, label, group in picture.rectangles
        ]
        plain["limit"] = None if picture.limit is None else float(picture.limit)
    return {"kind": kind, **plain}


def from_plain(plain: Mapping[str, Any]) -> Picture:
    """The picture that :func:`to_plain` gave; OptimandError where it is none."""
    rest = dict(plain)
    kind = rest.pop("kind", None)
    if kind not in _KINDS:
        raise OptimandError(f"kind of a picture must be one of {', '.join(_KINDS)}, got {kind!r}")
    try:
        picture: Picture = _KINDS[kind](**rest)
    except (TypeError, ValueError) as error:
        raise OptimandError(f"a picture of kind {kind!r} is damaged: {error}") from error
    return picture


def _check_length(name: str, found: Sequence[Any]) -> None:
    if not 1 <= len(found) <= MOST:
        raise OptimandError(f"{name} of a picture must be between 1 and {MOST}, got {len(found)}")
