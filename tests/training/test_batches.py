"""Mini-batches and windows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimand.training import TensorData, WindowData


def rows(n):
    x = torch.arange(n)
    return TensorData((x, 2 * x), (x, x), (x, x), chunk=7)


@given(st.integers(1, 40), st.integers(1, 50))
def test_an_epoch_meets_no_example_twice_and_leaves_out_less_than_a_batch(n, batch_size):
    sampler = rows(n).sampler(batch_size, torch.Generator().manual_seed(0))
    size = min(batch_size, n)
    epoch = torch.cat([sampler.next()[0] for _ in range(n // size)])
    assert len(epoch.unique()) == len(epoch) == n // size * size


def test_rows_stay_together_and_epochs_differ():
    sampler = rows(20).sampler(20, torch.Generator().manual_seed(0))
    (x, y), (later, _) = sampler.next(), sampler.next()
    assert torch.equal(y, 2 * x)
    assert not torch.equal(x, later)


@given(st.integers(0, 30), st.integers(0, 5))
def test_position_can_be_saved_and_restored(steps, more):
    def make(kind):
        generator = torch.Generator().manual_seed(4)
        return (rows(23) if kind == "rows" else text(100)).sampler(5, generator)

    for kind in ("rows", "text"):
        one = make(kind)
        for _ in range(steps):
            one.next()
        state = one.state_dict()
        other = make(kind)
        for _ in range(more):
            other.next()
        other.load_state_dict(state)
        for _ in range(9):
            for a, b in zip(one.next(), other.next(), strict=True):
                assert torch.equal(a, b)


def test_evaluation_batches_hold_each_row_once_in_order():
    parts = list(rows(20).batches("valid"))
    assert [len(p[0]) for p in parts] == [7, 7, 6]
    assert torch.equal(torch.cat([p[0] for p in parts]), torch.arange(20))


def text(n, **options):
    line = (torch.arange(n) % 256).to(torch.uint8)
    return WindowData(line, line, line, **{"context": 8, **options})


def test_targets_are_the_inputs_shifted_by_one_byte():
    x, y = text(200).sampler(16, torch.Generator().manual_seed(0)).next()
    assert x.shape == y.shape == (16, 8)
    assert x.dtype == torch.long
    assert torch.equal(y, (x + 1) % 256)


def test_windows_of_an_evaluation_are_spread_and_do_not_overlap():
    data = text(1000, evaluate=160, chunk=6)
    x = torch.cat([batch[0] for batch in data.batches("valid")])
    assert x.shape == (20, 8)
    starts = torch.linspace(0, 1000 - 1 - 8, 20, dtype=torch.float64).long()
    assert torch.equal(x[:, 0], starts % 256)
    assert (starts.diff() >= 8).all()
    assert sum(len(batch[0]) for batch in data.batches("test")) == 80  # four times as far


def test_windows_reach_the_first_and_the_last_place():
    sampler = text(10).sampler(400, torch.Generator().manual_seed(0))
    assert set(sampler.next()[0][:, 0].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TensorData([torch.ones(2)], (torch.ones(2),), (torch.ones(2),)), TypeError, "train must be a tuple"),
        (lambda: TensorData((torch.ones(2),), (torch.ones(0),), (torch.ones(2),)), ValueError, "valid must hold"),
        (lambda: TensorData((torch.ones(2), torch.ones(3)), (), ()), ValueError, r"got lengths \[2, 3\]"),
        (lambda: text(8), ValueError, "train must be longer than the context of 8 bytes, got 8"),
        (lambda: WindowData(*[torch.zeros(99)] * 3, context=8), TypeError, "train must be a uint8 tensor"),
        (lambda: rows(4).size("dev"), ValueError, "split must be one of"),
    ],
)
def test_bad_data_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
