"""Intervals, minimalloc's files, and the check of packings."""

from __future__ import annotations

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping.packing import Intervals, check_packing, read_minimalloc, write_minimalloc
from optimand.combinatorial.memory_mapping.packing.intervals import as_intervals
from optimand.core.validation import OptimandError


def test_the_load_bound_is_the_largest_sum_of_what_is_alive_at_once():
    rng = np.random.default_rng(0)
    lower = rng.integers(0, 40, 60)
    upper = lower + rng.integers(1, 15, 60)
    size = rng.integers(1, 30, 60)
    direct = max(int(size[(lower <= t) & (upper > t)].sum()) for t in range(60))
    assert Intervals(lower, upper, size).load_bound() == direct


def test_an_interval_that_ends_where_another_begins_may_share_its_addresses():
    assert check_packing(Intervals([0, 3], [3, 5], [4, 4]), [0, 0]) == 4


def test_files_keep_intervals_names_and_offsets(tmp_path):
    data = Intervals([0, 3, 1], [3, 9, 2], [4, 5, 6], ["a", "b", "c"])
    path = tmp_path / "some.csv"
    write_minimalloc(path, data, [0, 1, 2])
    assert path.read_text().splitlines()[:2] == ["id,lower,upper,size,offset", "a,0,3,4,0"]
    again = read_minimalloc(path)
    assert again.names == data.names
    for name in ("lower", "upper", "size"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_other_names_of_columns_are_understood(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text("buffer,start,end,size\nx,0,2,7\n")
    assert as_intervals(path).names == ("x",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,lower,size\na,0,1\n", "lacks \\['upper'\\]"),
        ("id,lower,upper,size\na,0,1,1\nb,0,x,1\n", "line 3: upper must be an integer, got 'x'"),
        ("id,lower,upper,size\na,3,3,1\n", "interval 'a' must end after its start"),
        ("id,lower,upper,size\na,0,3,0\n", "size of at least 1, got 0"),
    ],
)
def test_unfit_files_are_refused_with_the_line(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(OptimandError, match=said):
        read_minimalloc(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OptimandError, match=r"nowhere\.csv"):
        read_minimalloc(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("offsets", "capacity", "said"),
    [
        ([0, 3], None, "'0' and '1' overlap"),
        ([-1, 4], None, "negative offset -1"),
        ([0, 4], 7, "8 high, above the capacity 7"),
        ([0], None, "must be 2 integers"),
        ([0.5, 4], None, "integers"),
    ],
)
def test_the_check_names_what_is_wrong(offsets, capacity, said):
    with pytest.raises(OptimandError, match=said):
        check_packing(Intervals([0, 2], [3, 5], [4, 4]), offsets, capacity)


def test_unfit_arguments_are_refused():
    with pytest.raises(OptimandError, match="equally long"):
        Intervals([0], [1, 2], [1, 1])
    with pytest.raises(OptimandError, match=r"intervals\[0\] must be a triple"):
        as_intervals([(0, 1)])
    with pytest.raises(TypeError, match="intervals must be"):
        as_intervals(7)
