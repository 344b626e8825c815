"""Several objectives: which candidates no other beats, and how much of the space of scores they cover.

All objectives are maximized. The hypervolume of points above a reference is computed exactly by slicing along one
objective after the other, which suits the few dozen points of a pool.
"""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, ...]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether ``a`` is at least as good in all and better in one.

    Example:
        >>> dominates((1, 2), (1, 1)), dominates((1, 2), (2, 1)), dominates((1, 2), (1, 2))
        (True, False, False)
    """
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


def nondominated(points: Sequence[Sequence[float]]) -> list[int]:
    """The places of the points that no other dominates; of equal ones the first.

    Example:
        >>> nondominated([(1, 1), (2, 0), (1, 1), (0, 1)])
        [0, 1]
    """
    found: list[int] = []
    for i, point in enumerate(points):
        beaten = any(dominates(other, point) for other in points)
        if not beaten and not any(tuple(points[j]) == tuple(point) for j in found):
            found.append(i)
    return found


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume between the reference and the points, each of which covers the box down to it.

    Args:
        points: any number; parts below the reference count nothing.
        reference: a corner that is no better than what counts.

    Example:
        >>> hypervolume([(2, 1), (1, 2)], (0, 0))
        3.0
    """
    if any(len(point) != len(reference) for point in points):
        raise ValueError(f"points must have {len(reference)} objectives, as the reference has")
    above = [tuple(map(float, point)) for point in points if all(x > r for x, r in zip(point, reference, strict=True))]
    return _volume(above, tuple(map(float, reference)))


def _volume(points: list[Point], reference: Point) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return max(point[0] for point in points) - reference[0]
    total, below = 0.0, reference[-1]
    # Between two heights the slice is covered by the points at least as high as the upper one.
    for height in sorted({point[-1] for point in points}):
        inside = [point[:-1] for point in points if point[-1] >= height]
        total += (height - below) * _volume(inside, reference[:-1])
        below = height
    return total


def contributions(points: Sequence[Sequence[float]], reference: Sequence[float]) -> list[float]:
    """For each point, what the hypervolume loses without it.

    Example:
        >>> contributions([(2, 1), (1, 2)], (0, 0))
        [1.0, 1.0]
    """
    whole = hypervolume(points, reference)
    return [whole - hypervolume([*points[:i], *points[i + 1 :]], reference) for i in range(len(points))]
