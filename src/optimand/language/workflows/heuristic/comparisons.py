"""What a trainer's comparisons tell a search by directions: which points were evaluated, and which lie too far.

A trainer evaluates proposals and goes to the best; the others are never seen with feedback. Two things still follow.
No point needs to be proposed again that was compared. And a point in the direction asked for that scored worse than
where the search is lies beyond the target, as if its feedback had asked for the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .brackets import Point, Seen, bracket

Place = tuple[Point, tuple[int, ...]]


class Comparisons:
    """Scores of compared points, and the moves that led to them.

    Example:
        >>> told = Comparisons()
        >>> told.moved(((1.0,), ()), ((4.0,), ()), 1, 0.5)
        >>> told.tell(((4.0,), ()), 0.25)
        >>> [(seen.point, seen.direction) for seen in told.beyond([], ())]
        [((4.0,), -1)]
    """

    def __init__(self) -> None:
        self._scores: dict[Place, float] = {}
        self._moves: dict[Place, tuple[Point, int, float | None]] = {}

    def tell(self, place: Place, score: float) -> None:
        """A point was worth ``score``, more is better."""
        self._scores[place] = score

    def moved(self, here: Place, there: Place, direction: int, score: float | None) -> None:
        """``there`` was proposed at ``here``, where feedback asked for ``direction`` and said this score, or none."""
        self._moves[there] = here[0], direction, score

    def forget(self) -> None:
        """Moves tell nothing any more: the target has changed."""
        self._moves.clear()

    def points(self, options: tuple[int, ...]) -> set[Point]:
        """The points that were compared with these options."""
        return {point for point, chosen in self._scores if chosen == options}

    def beyond(self, seen: Sequence[Seen], options: tuple[int, ...]) -> list[Seen]:
        """The points that scored worse than where they were proposed, as if feedback asked for the way back."""
        known = {s.point for s in seen}
        found = []
        for (point, chosen), (start, direction, score) in self._moves.items():
            worth = self._scores.get((point, chosen))
            before = self._scores.get((start, chosen), score)
            if chosen != options or point in known or worth is None or before is None:
                continue
            if worth < before:
                found.append(Seen(point, -direction, options=options))
        return found

    def state_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "scores": [[*map(list, place), score] for place, score in self._scores.items()],
            "moves": [[*map(list, place), list(start), *rest] for place, (start, *rest) in self._moves.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._scores = {(tuple(point), tuple(options)): score for point, options, score in state.get("scores", [])}
        self._moves = {
            (tuple(point), tuple(options)): (tuple(start), direction, score)
            for point, options, start, direction, score in state.get("moves", [])
        }


def leads_ahead(
    seen: Sequence[Seen], ranges: Sequence[Any], signs: Sequence[int | None], here: Point, there: Point
) -> bool:
    """Whether a move goes the way that was asked for: into a bracket, or as the signs of influence say."""
    if bracket(seen, ranges) is not None:
        return True
    moved = [(b - a, sign) for a, b, sign in zip(here, there, signs, strict=True) if a != b]
    return bool(moved) and all(sign and change * sign * seen[-1].direction > 0 for change, sign in moved)
