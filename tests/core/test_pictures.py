"""Pictures of runs: what they refuse, and that they survive a store."""

import json
import math

import pytest

from optimand.core.pictures import MOST, Rectangles, Values, from_plain, to_plain
from optimand.core.validation import OptimandError

BOX = (0, 2, 0, 64, "a", "output")


@pytest.mark.parametrize(
    "picture",
    [Rectangles("layout", "step", "address", [BOX], limit=128), Values("scores", "score", [0.25, 1])],
)
def test_a_picture_comes_back_from_json_as_it_was(picture):
    plain = json.loads(json.dumps(to_plain(picture)))
    assert to_plain(from_plain(plain)) == to_plain(picture)
    assert type(from_plain(plain)) is type(picture)


@pytest.mark.parametrize("box", [(2, 2, 0, 1, "a", "b"), (0, 1, 3, 2, "a", "b"), (0, math.inf, 0, 1, "a", "b")])
def test_a_rectangle_without_area_is_refused_with_its_place(box):
    with pytest.raises(OptimandError, match=r"rectangles\[1\] must have finite sides"):
        Rectangles("layout", "step", "address", [BOX, box])


def test_values_must_be_finite_and_neither_none_nor_too_many():
    with pytest.raises(OptimandError, match=r"values\[1\] must be finite, got nan"):
        Values("scores", "score", [0.0, math.nan])
    with pytest.raises(OptimandError, match="between 1 and"):
        Values("scores", "score", [])
    with pytest.raises(OptimandError, match=f"got {MOST + 1}"):
        Values("scores", "score", [0.0] * (MOST + 1))


def test_what_is_no_picture_is_refused():
    with pytest.raises(OptimandError, match="must be one of rectangles, values, got 'film'"):
        from_plain({"kind": "film"})
    with pytest.raises(OptimandError, match="'values' is damaged"):
        from_plain({"kind": "values", "title": "scores"})
