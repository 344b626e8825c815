"""Offline data, encodings, scores and the lock of the oracle."""

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.offline import OfflineData, OracleLocked, Task, percentile_scores
from optimand.offline.tasks.arrays import task_from_arrays
from optimand.offline.tasks.base import worst_part
from optimand.offline.tasks.encoding import from_logits, ints_to_text, text_to_ints, to_logits


def sequences(n=50, length=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, classes, (n, length))
    return OfflineData(x, (x == 1).sum(axis=1), True, classes)


def vectors(n=30, d=3, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 2, (n, d))
    return OfflineData(x, x.sum(axis=1), False, bounds=(-1, 2))


def test_logits_are_log_ratios_of_the_smoothed_one_hot_vector():
    got = to_logits(np.array([[0, 3]]), 4).reshape(2, 3)
    high, low = np.log(0.7), np.log(0.1)
    np.testing.assert_allclose(got[0], [low - high] * 3)
    np.testing.assert_allclose(got[1], [0, 0, high - low])


@pytest.mark.parametrize("classes", [2, 4, 20])
def test_designs_come_back_from_logits_and_from_model_space(classes):
    data = sequences(classes=classes)
    assert (from_logits(to_logits(data.x, classes), data.length, classes) == data.x).all()
    assert (data.decode(data.encode(data.x)) == data.x).all()
    assert data.encode(data.x).dtype == np.float32
    assert data.encode(data.x).shape == (50, 6 * (classes - 1))


def test_model_space_is_standardised_by_the_offline_rows():
    for data in (sequences(), vectors()):
        z = data.encode(data.x)
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-5)


def test_constant_columns_do_not_divide_by_zero():
    x = np.zeros((5, 3), dtype=int)
    x[:, 1] = [0, 1, 0, 1, 0]
    data = OfflineData(x, np.arange(5.0), True, 3)
    assert np.isfinite(data.encode(x)).all()
    assert (data.decode(data.encode(x)) == x).all()


def test_decoding_clips_to_the_bounds():
    data = vectors()
    found = data.decode(np.full((1, 3), 1e6))
    np.testing.assert_array_equal(found, [[2, 2, 2]])
    np.testing.assert_allclose(data.decode(data.encode(data.x)), data.x, atol=1e-6)


def test_best_rows_come_in_order_and_ties_by_position():
    data = OfflineData([[0], [1], [2], [1]], [1.0, 3.0, 2.0, 3.0], True, 3)
    assert data.best(3).tolist() == [1, 3, 2]
    assert len(data.best(10)) == 4


def test_data_cannot_be_written_to_and_is_a_copy():
    x = np.zeros((2, 2), dtype=int)
    data = OfflineData(x, [0.0, 1.0], True, 2)
    x[:] = 1
    assert data.x.sum() == 0
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x": [0, 1], "y": [0.0, 1.0], "is_discrete": True, "num_classes": 2}, r"x must be designs in rows.*\(2,\)"),
        ({"x": [[0], [1]], "y": [0.0], "is_discrete": True, "num_classes": 2}, r"y must have shape \(2,\)"),
        (
            {"x": [[0], [1]], "y": [0.0, np.nan], "is_discrete": True, "num_classes": 2},
            r"y must be finite, got nan at 1",
        ),
        (
            {"x": [[0], [2]], "y": [0.0, 1.0], "is_discrete": True, "num_classes": 2},
            r"x must be in \[0, 2\), got 2 at row 1",
        ),
        ({"x": [[0], [1]], "y": [0.0, 1.0], "is_discrete": True}, "num_classes must be given"),
        ({"x": [[0.0], [1.0]], "y": [0.0, 1.0], "is_discrete": False, "num_classes": 2}, "num_classes must be None"),
        ({"x": [[0.0], [np.inf]], "y": [0.0, 1.0], "is_discrete": False}, r"x must be finite, got inf at \(1, 0\)"),
        ({"x": [[0.0], [1.0]], "y": [0.0, 1.0], "is_discrete": False, "bounds": (1, 0)}, "low <= high"),
        ({"x": [[0.0], [3.0]], "y": [0.0, 1.0], "is_discrete": False, "bounds": (0, 1)}, r"got 3 at row 1.*\[0, 1\]"),
    ],
)
def test_bad_data_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        OfflineData(**arguments)


def test_reals_are_no_discrete_designs():
    with pytest.raises(TypeError, match="integers in"):
        OfflineData([[0.5], [1.0]], [0.0, 1.0], True, 2)
    with pytest.raises(ValueError, match="z must be finite"):
        sequences().decode(np.full((1, 18), np.nan))


def test_the_oracle_counts_and_refuses_while_locked():
    calls = []

    def oracle(designs):
        calls.append(len(designs))
        return designs[:, 0]

    task = Task(vectors(), oracle, y_min=0, y_max=10)
    with pytest.raises(OracleLocked, match="locked while a method runs"), task.locked():
        task.evaluate([[1.0, 1, 1]])
    with task.locked():
        with task.locked():
            pass
        with pytest.raises(OracleLocked):
            task.score([[1.0, 1, 1]])
    assert task.evaluations == 0
    assert calls == []
    assert task.score([[1.0, 1, 1], [2.0, 1, 1]])[100] == pytest.approx(0.2)
    assert task.evaluations == 2


def test_the_lock_opens_again_after_an_error():
    task = Task(vectors(), lambda d: d[:, 0])
    with pytest.raises(RuntimeError), task.locked():
        raise RuntimeError
    assert task.evaluate([[1.0, 1, 1]]) == 1


@pytest.mark.parametrize(("oracle", "text"), [(lambda d: [np.nan], "gave nan for design 0"), (lambda d: 1.0, "shape")])
def test_an_oracle_that_gives_no_values_is_named(oracle, text):
    with pytest.raises(OptimandError, match=text):
        Task(vectors(), oracle).evaluate([[1.0, 1, 1]])


def test_the_scale_of_scores_must_be_one():
    with pytest.raises(ValueError, match="y_max must be larger"):
        Task(vectors(), lambda d: d[:, 0], y_min=1, y_max=1)
    with pytest.raises(TypeError, match="oracle must be a function"):
        Task(vectors(), 3)


def test_percentiles_interpolate():
    assert percentile_scores([0, 1, 2, 3], (100, 80, 50, 0)) == {100: 3, 80: pytest.approx(2.4), 50: 1.5, 0: 0}
    with pytest.raises(ValueError, match="at least one"):
        percentile_scores([])
    with pytest.raises(ValueError, match="percentiles must be in"):
        percentile_scores([1.0], (101,))


def test_the_worst_half_keeps_ties_and_grows_where_it_says_nothing():
    assert worst_part(np.array([1.0, 2, 2, 3])).sum() == 3
    y = np.repeat([0.0, 1.0, 2.0], [80, 10, 10])
    assert worst_part(y).sum() == 90
    with pytest.raises(ValueError, match="different values"):
        worst_part(np.zeros(10))


def test_texts_become_integers_and_back():
    assert ints_to_text(text_to_ints(["GATTACA"], "ACGT"), "ACGT") == ["GATTACA"]
    with pytest.raises(ValueError, match="'X' at position 1"):
        text_to_ints(["AX"], "ACGT")
    with pytest.raises(ValueError, match="one length"):
        text_to_ints(["A", "AC"], "ACGT")


def test_a_task_of_arrays_takes_texts_reals_and_no_oracle():
    task = task_from_arrays(["AC", "CC"], [0.0, 1.0], alphabet="AC")
    assert task.data.num_classes == 2
    with pytest.raises(OptimandError, match="has no oracle"):
        task.score([[0, 0]])
    real = task_from_arrays([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], lambda d: d[:, 0], y_max=2.0)
    assert real.score([[1.0, 1.0]]) == {100: 0.5, 80: 0.5, 50: 0.5}
    with pytest.raises(ValueError, match="2 different letters"):
        task_from_arrays(["AA"], [0.0], alphabet="AA")
