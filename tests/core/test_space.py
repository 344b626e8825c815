import pytest

from optimand.core.space import Choice, Float, Int


@pytest.mark.parametrize("kind", [Float, Int])
def test_a_range_must_not_be_empty(kind):
    with pytest.raises(ValueError, match="low must be below high, got low=2, high=1"):
        kind(2, 1)


@pytest.mark.parametrize("kind", [Float, Int])
def test_a_log_range_must_be_positive(kind):
    with pytest.raises(ValueError, match="low must be positive on a log scale, got 0"):
        kind(0, 1, log=True)


def test_a_choice_needs_options():
    with pytest.raises(ValueError, match="at least one value"):
        Choice()


def test_ranges_read_well():
    assert str(Float(1e-4, 1.0, log=True)) == "0.0001 … 1 (log)"
    assert str(Int(1, 8)) == "1 … 8"
    assert str(Choice("a", None)) == "a | None"
