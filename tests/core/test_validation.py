import math

import numpy as np
import pytest

from optimand.core.validation import UnknownNameError, check_choice, check_int, check_number, suggest


def test_check_number_returns_the_value_as_float():
    assert check_number("lr", 1, low=0) == 1.0
    assert isinstance(check_number("lr", np.float32(0.5)), float)


@pytest.mark.parametrize(
    ("value", "kwargs"),
    [
        (-1.0, {"low": 0}),
        (0.0, {"low": 0, "low_open": True}),
        (1.0, {"high": 1, "high_open": True}),
        (math.nan, {}),
    ],
)
def test_check_number_refuses_values_outside_the_range_and_says_which(value, kwargs):
    with pytest.raises(ValueError, match=r"lr must be in .*got " + str(value).replace(".", r"\.")):
        check_number("lr", value, **kwargs)


@pytest.mark.parametrize("value", ["0.1", None, True, [1]])
def test_check_number_refuses_other_types_and_names_them(value):
    with pytest.raises(TypeError, match="lr must be a number, got"):
        check_number("lr", value)


def test_bounds_are_shown_open_or_closed():
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1"):
        check_number("beta1", 1.0, low=0, high=1, high_open=True)


def test_check_int_takes_integers_only():
    assert check_int("seeds", np.int64(3), low=1) == 3
    with pytest.raises(TypeError, match=r"seeds must be an integer, got 3\.0"):
        check_int("seeds", 3.0)
    with pytest.raises(TypeError, match="got True"):
        check_int("seeds", True)
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        check_int("seeds", 0, low=1)
    with pytest.raises(ValueError, match=r"in \[1, 5\], got 9"):
        check_int("seeds", 9, low=1, high=5)


def test_check_choice_names_the_nearest():
    assert check_choice("tuner", "qmc", ["qmc", "random"]) == "qmc"
    with pytest.raises(ValueError, match=r"got 'qcm'; did you mean 'qmc'\?"):
        check_choice("tuner", "qcm", ["qmc", "random"])


def test_suggest_is_silent_when_nothing_is_near():
    assert suggest("zzzz", ["lion", "adamw"]) == ""
    assert suggest("loin", ["lion", "adamw"]) == "; did you mean 'lion'?"


def test_unknown_name_prints_without_the_quotes_of_key_error():
    assert str(UnknownNameError("unknown method 'x'")) == "unknown method 'x'"
