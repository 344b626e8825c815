"""What methods with projected matrices share: seeded projections, norms, the growth limit, buffers, the base class."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from optimand.optim.badam import BAdam
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.frugal import FRUGAL
from optimand.optim.projection import (
    MatrixOptimizer,
    Place,
    Shard2d,
    adam_direction,
    as_matrix,
    channel_squares,
    generator_of,
    limit_growth,
    norm_ratio,
    read,
    shard_of,
    write,
)


class Sign(MatrixOptimizer):
    """The smallest method on the base: signSGD on matrices, with a count of what it was given."""

    def __init__(self, params: Any, **options: Any) -> None:
        defaults = {"lr": 0.5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "rank": 1}
        super().__init__(params, {**defaults, "state_dtype": torch.float32, "seed": 0, **options})

    def init_matrix(self, group, matrix, state, shard) -> None:
        state["sum"] = self.zeros(group, matrix.shape, matrix, "sum")
        state["scratch"] = torch.zeros(3)

    def update_matrix(self, group, matrix, grad, state, shard) -> None:
        write(state["sum"], read(state["sum"]).add_(grad))
        matrix.sub_(torch.sign(grad), alpha=group["lr"])

    def transient_states(self, group):
        return ("scratch",)


# Norms


def test_ratio_of_two_zero_norms_is_zero():
    assert norm_ratio(torch.zeros(2), torch.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (2, 200_000), (600, 600)])
@pytest.mark.parametrize("dim", [0, 1])
def test_channel_squares_are_squared_norms(shape, dim):
    x = torch.randn(shape, generator=generator_of(1))
    expected = (x.double() ** 2).sum(1 - dim, keepdim=True)
    torch.testing.assert_close(channel_squares(x, dim).double(), expected, rtol=1e-5, atol=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=8), st.floats(1.0, 2.0))
def test_growth_is_limited_and_zero_leaves_no_record(norms, gamma):
    record, previous = torch.zeros((), dtype=torch.float64), 0.0
    for norm in norms:
        limited = norm * limit_growth(torch.tensor(norm, dtype=torch.float64), record, gamma).item()
        assert limited <= norm
        assert record.item() == limited
        if previous > 0:
            assert limited <= gamma * (previous + 1e-8) * (1 + 1e-9)
        else:
            assert limited == norm
        if norm <= gamma * previous:
            assert limited == norm
        previous = limited


def test_a_norm_that_is_not_finite_limits_nothing_later():
    for bad in (math.nan, math.inf):
        record = torch.tensor(1.0)
        limit_growth(torch.tensor(bad), record, 1.01)
        limit_growth(torch.tensor(2.0), record, 1.01)
        assert record.item() == 2.0


# Moments


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_direction_is_adams(dtype):
    low, m, v = (torch.randn(5, 70, generator=generator_of(i)).to(dtype) for i in range(3))
    v = v * v
    expected_m, expected_v = 0.9 * m + 0.1 * low, 0.99 * v + 0.01 * low * low
    found = adam_direction(low, m, v, (0.9, 0.99), 1e-3)
    torch.testing.assert_close(m, expected_m)
    torch.testing.assert_close(v, expected_v)
    torch.testing.assert_close(found, expected_m / (expected_v.sqrt() + 1e-3))


def test_direction_with_moments_of_less_precision():
    low, g = torch.randn(64, generator=generator_of(1)), torch.randn(64, generator=generator_of(2))
    exact = [torch.zeros(64), torch.zeros(64)]
    half = [torch.zeros(64, dtype=torch.bfloat16), torch.zeros(64, dtype=torch.bfloat16)]
    coded = [QuantizedTensor.zeros_like(g, name) for name in ("dynamic", "dynamic_unsigned_sqrt")]
    for _ in range(2):
        results = [adam_direction(low, *pair, (0.9, 0.99), 1e-8) for pair in (exact, half, coded)]
    torch.testing.assert_close(results[1], results[0], rtol=2e-2, atol=0)
    large = low.abs() > 0.3 * low.abs().max()
    torch.testing.assert_close(results[2][large], results[0][large], rtol=5e-2, atol=0)


# The base class


def two(seed: int = 0) -> list[nn.Parameter]:
    return [nn.Parameter(torch.randn(s, generator=generator_of(seed, i))) for i, s in enumerate(((4, 3), (4,)))]


def give_grads(params: list[Any], step: int) -> None:
    for i, p in enumerate(params):
        p.grad = torch.randn(p.shape, generator=generator_of(step, i, 77)).to(p.dtype)


def test_matrices_have_their_own_rule_and_the_rest_is_adamw():
    params, twins = two(), two()
    optimizer = Sign(params, lr=0.5, weight_decay=0.1)
    reference = torch.optim.AdamW(twins[1:], lr=0.5, weight_decay=0.1)
    before = params[0].detach().clone()
    give_grads(params, 0)
    twins[1].grad = params[1].grad.clone()
    optimizer.step()
    reference.step()
    assert torch.equal(params[0].detach(), before - 0.5 * torch.sign(params[0].grad))
    torch.testing.assert_close(params[1].detach(), twins[1].detach())
    assert optimizer.state[params[0]]["step"] == 1


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0)])
def test_what_is_no_matrix_runs_adamw(shape):
    p = nn.Parameter(torch.ones(shape))
    optimizer = Sign([p])
    p.grad = torch.ones(shape)
    optimizer.step()
    assert "exp_avg" in optimizer.state[p]


def test_groups_without_the_key_run_adamw_where_another_has_it():
    a, b, c = (nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    optimizer = Sign([{"params": [a]}, {"params": [b], "rank": 1}])
    optimizer.add_param_group({"params": [c]})
    for p in (a, b, c):
        p.grad = torch.ones(2, 2)
    optimizer.step()
    assert ["sum" in optimizer.state[p] for p in (a, b, c)] == [False, True, False]
    everything = Sign([{"params": [a]}, {"params": [b], "lr": 0.1}])
    assert [group["rank"] for group in everything.param_groups] == [1, 1]
    nothing = Sign([a, b], rank=None)
    nothing.step()
    assert "sum" not in nothing.state[a]


def test_tensors_of_more_dimensions_are_matrices_of_their_first():
    kernel = nn.Parameter(torch.randn(4, 3, 2, 2))
    last = nn.Parameter(kernel.detach().clone(memory_format=torch.channels_last))
    optimizer = Sign([kernel, last])
    grad = torch.randn(4, 3, 2, 2)
    kernel.grad, last.grad = grad, grad.clone(memory_format=torch.channels_last)
    optimizer.step()
    assert optimizer.state[kernel]["sum"].shape == (4, 12)
    assert torch.equal(kernel, last)
    assert as_matrix(kernel).shape == (4, 12)
    assert as_matrix(torch.zeros(0, 3, 2)).shape == (0, 6)  # an empty shard


def test_places_are_positions_over_all_groups():
    a, b, c = (nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    optimizer = Sign([{"params": [a, b]}, {"params": [c]}])
    assert optimizer.place_of(c) == Place(2, 1, 0)
    assert optimizer.place_of(b) == Place(1, 0, 1)
    c.grad = torch.ones(2, 2)
    optimizer.step()
    assert optimizer.state[c]["index"] == 2


def test_state_dict_leaves_out_what_a_step_makes_again_and_loads_safely():
    params = [p.bfloat16() for p in two()]
    params = [nn.Parameter(p.detach()) for p in params]
    optimizer = Sign(params)
    give_grads(params, 0)
    optimizer.step()
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    assert "scratch" not in saved["state"][0]
    resumed = Sign([nn.Parameter(p.detach().clone()) for p in params])
    resumed.load_state_dict(saved)
    state = resumed.state[resumed.param_groups[0]["params"][0]]
    assert state["sum"].dtype == torch.float32
    assert state["step"] == 1
    assert torch.equal(state["sum"], optimizer.state[params[0]]["sum"])


def test_loading_a_state_of_other_groups_is_refused():
    optimizer = Sign(two())
    with pytest.raises(ValueError, match="group"):
        optimizer.load_state_dict(Sign([{"params": two()}, {"params": two(1)}]).state_dict())


def test_loading_a_state_of_another_optimizer_is_refused():
    params = two()
    other = torch.optim.AdamW(params)
    for p in params:
        p.grad = torch.ones_like(p)
    other.step()
    for optimizer, name in ((Sign(params), "index"), (FRUGAL(params), "refreshes"), (BAdam(params), "blocks")):
        with pytest.raises(
            ValueError, match=f"state_dict must be of {type(optimizer).__name__}, got one without '{name}'"
        ):
            optimizer.load_state_dict(other.state_dict())


def test_eight_bit_buffers_are_saved_and_loaded_as_codes():
    p = nn.Parameter(torch.randn(4, 80))
    optimizer = Sign([p], state_dtype="8bit")
    p.grad = torch.randn(4, 80)
    optimizer.step()
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = Sign([p], state_dtype="8bit")
    resumed.load_state_dict(saved)
    assert torch.equal(resumed.state[p]["sum"].dequantize(), optimizer.state[p]["sum"].dequantize())


def test_half_precision_matrices_are_updated_in_float32():
    p = nn.Parameter(torch.full((2, 2), 256.0, dtype=torch.bfloat16))
    seen = []

    class Look(Sign):
        def update_matrix(self, group, matrix, grad, state, shard) -> None:
            seen.append(matrix.dtype)
            matrix.add_(0.75)

    optimizer = Look([p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert seen == [torch.float32]
    assert (p == 256.0).all()  # 256.75 to the nearest
    rounded = Look([nn.Parameter(torch.full((64, 64), 256.0, dtype=torch.bfloat16))], stochastic_rounding=True)
    (q,) = rounded.param_groups[0]["params"]
    q.grad = torch.ones_like(q)
    rounded.step()
    assert set(q.unique().tolist()) == {256.0, 258.0}
    assert q.float().mean().item() == pytest.approx(256.75, abs=4 * math.sqrt(0.375 * 0.625 * 4 / 4096))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1.0),
        ("betas", (0.9, 1.0)),
        ("eps", -1e-3),
        ("weight_decay", -0.5),
        ("state_dtype", torch.int32),
        ("state_dtype", "4bit"),
        ("differentiable", True),
        ("capturable", True),
    ],
)
def test_bad_options_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Sign(two(), **{name: value})


def test_flat_parameters_of_fsdp1_are_refused():
    p = nn.Parameter(torch.ones(12))
    p._is_flat_param = True
    with pytest.raises(ValueError, match="fully_shard"):
        Sign([p])


def test_a_bare_tensor_is_refused_as_everywhere_in_torch():
    with pytest.raises(TypeError, match="iterable"):
        Sign(torch.ones(2, 2))


def test_sparse_gradients_of_matrices_are_refused():
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = Sign(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()


def test_a_whole_matrix_is_its_own_shard():
    shard = shard_of(torch.zeros(5, 2, 3))
    assert shard == Shard2d((5, 6))
    assert shard.whole
    x = torch.ones(2)
    shard.sum_over_all(x)
    assert x.tolist() == [1.0, 1.0]
    assert shard.wrap(x, 0) is x
    assert shard.full(x) is x
    assert shard.part(5, 0) == slice(0, 5)
