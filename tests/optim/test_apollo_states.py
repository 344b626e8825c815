"""APOLLO and APOLLO-Mini as optimizers: memory, resuming, groups, bad input, the conformance suite."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from typing import Any

import pytest
import torch
from tests.optim import conformance_interface, conformance_numerics
from tests.optim.conformance import CHECKS, Subject
from torch import Tensor, nn

from optimand.core.contracts import Method
from optimand.core.space import Float
from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.memory import state_bytes
from optimand.optim.projection import generator_of, shard_of


def train(optimizer: Any, params: list[Any], begin: int, end: int) -> None:
    for step in range(begin, end):
        for i, p in enumerate(params):
            p.grad = torch.randn(p.shape, generator=generator_of(step, i)).to(p.dtype)
        optimizer.step()


# Memory


def nbytes(state: dict[str, Any]) -> int:
    return sum(x.numel() * x.element_size() for x in state.values() if isinstance(x, Tensor))


def test_state_takes_the_bytes_of_the_paper():
    w = nn.Parameter(torch.zeros(1024, 2752))
    w.grad = torch.ones_like(w)
    for optimizer, least in ((APOLLO([w], rank=256), 8 * 256 * 2752), (APOLLOMini([w]), 8 * 2752)):
        optimizer.step()
        assert least <= nbytes(optimizer.state[w]) <= least + 64
        assert state_bytes(optimizer) == nbytes(optimizer.state[w])
    cached = APOLLO([w], rank=256, cache_projection=True)
    cached.step()
    assert 0 <= nbytes(cached.state[w]) - 8 * 256 * 2752 - 4 * 256 * 1024 <= 64
    low = APOLLO([w], rank=256, state_dtype="8bit")
    low.step()
    assert state_bytes(low) <= 2 * 256 * 2752 * (1 + 4 / 256) + 64


def llama_60m() -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    width, inner = 512, 1376
    shapes = ([(width, width)] * 4 + [(inner, width)] * 2 + [(width, inner)]) * 8
    rest = [(32000, width)] * 2 + [(width,)] * 17
    made = [[nn.Parameter(torch.empty(s)) for s in group] for group in (shapes, rest)]
    return made[0], made[1]


def test_state_bytes_of_a_llama_of_60_million_parameters():
    matrices, rest = llama_60m()
    assert sum(p.numel() for p in matrices) == 25_296_896
    assert sum(p.numel() for p in rest) == 32_768_000 + 8_704
    everywhere = 8 * sum(p.numel() for p in rest)
    found = {}
    for name, group in (("apollo", {"rank": 128}), ("mini", {"rank": 1, "scale_type": "tensor"})):
        optimizer = APOLLO([{"params": matrices, **group}, {"params": rest}])
        total = everywhere
        for p in matrices:
            state: dict[str, Any] = {}
            optimizer.init_matrix(optimizer.param_groups[0], p, state, shard_of(p))
            total += nbytes(state)
        found[name] = total
    assert found["apollo"] == pytest.approx(312_807_872, rel=1e-4)
    assert found["mini"] == pytest.approx(262_609_344, rel=1e-4)


# States and resuming


@pytest.mark.parametrize(
    "options",
    [{}, {"cache_projection": True}, {"proj": "svd"}, {"state_dtype": "8bit"}, {"stochastic_rounding": True}],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resuming_across_a_refresh_is_bitwise(dtype, options):
    def fresh() -> list[nn.Parameter]:
        return [nn.Parameter(torch.randn(s, generator=generator_of(3)).to(dtype)) for s in ((8, 20), (20, 8), (5,))]

    straight = fresh()
    train(APOLLO(straight, rank=4, update_proj_gap=5, **options), straight, 0, 14)
    half = fresh()
    optimizer = APOLLO(half, rank=4, update_proj_gap=5, **options)
    train(optimizer, half, 0, 7)
    buffer = io.BytesIO()
    torch.save({"params": [p.detach() for p in half], "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = [nn.Parameter(p) for p in saved["params"]]
    optimizer = APOLLO(resumed, rank=1, seed=99)
    optimizer.load_state_dict(saved["optimizer"])
    train(optimizer, resumed, 7, 14)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))
    if "state_dtype" not in options:
        assert optimizer.state[resumed[0]]["exp_avg"].dtype == torch.float32


def test_second_moments_of_bf16_weights_do_not_freeze():
    w = nn.Parameter(torch.zeros(4, 6, dtype=torch.bfloat16))
    optimizer = APOLLO([w], rank=4)
    values = []
    for _ in range(30):
        w.grad = torch.ones_like(w)
        optimizer.step()
        values.append(optimizer.state[w]["exp_avg_sq"].sum().item())
    steady = [b / a for a, b in itertools.pairwise(values)]
    assert min(steady) > 1.01


def test_eight_bit_moments_stay_near_float32():
    results = []
    for dtype in (torch.float32, "8bit"):
        w = nn.Parameter(torch.zeros(16, 300))
        train(APOLLO([w], rank=8, lr=0.01, state_dtype=dtype), [w], 0, 20)
        results.append(w.detach())
    assert (results[0] - results[1]).norm() < 0.02 * results[0].norm()


def test_step_leaves_the_global_generator_alone():
    params = [nn.Parameter(torch.zeros(s, dtype=torch.bfloat16)) for s in ((8, 12), (12,))]
    options: tuple[dict[str, Any], ...] = ({"stochastic_rounding": True}, {"proj": "svd"}, {"state_dtype": "8bit"})
    optimizers = [APOLLOMini(params), *(APOLLO(params, rank=3, **option) for option in options)]
    for p in params:
        p.grad = torch.ones_like(p)
    before = torch.get_rng_state()
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)


# Groups and errors


def test_configurations_of_apollo_torch_carry_over():
    matrix, embedding, norm = (nn.Parameter(torch.zeros(s)) for s in ((8, 12), (20, 8), (8,)))
    keys = {
        "rank": 4,
        "proj": "random",
        "scale_type": "channel",
        "update_proj_gap": 200,
        "scale": 4,
        "proj_type": "std",
    }
    optimizer = APOLLO([{"params": [embedding, norm]}, {"params": [matrix], **keys, "lr": 0.02}], lr=0.01)
    train(optimizer, [matrix, embedding, norm], 0, 1)
    assert optimizer.state[matrix]["exp_avg"].shape == (4, 12)
    assert optimizer.state[embedding]["exp_avg"].shape == (20, 8)
    reference = nn.Parameter(torch.zeros(20, 8))
    reference.grad = embedding.grad
    torch.optim.AdamW([reference], lr=0.01, eps=1e-6, weight_decay=0.0).step()
    torch.testing.assert_close(embedding, reference)


def test_ranks_beyond_the_smaller_side():
    w = nn.Parameter(torch.zeros(3, 5))
    with pytest.warns(UserWarning, match="rank"):
        APOLLO([w])
    optimizer = APOLLO([w], oversize="clamp")
    w.grad = torch.ones(3, 5)
    optimizer.step()
    assert optimizer.state[w]["exp_avg"].shape == (3, 5)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("rank", 0, ValueError),
        ("rank", 2.5, TypeError),
        ("scale", 0.0, ValueError),
        ("scale", -1.0, ValueError),
        ("scale", math.nan, ValueError),
        ("scale_type", "row", ValueError),
        ("update_proj_gap", 0, ValueError),
        ("proj", "dct", ValueError),
        ("proj_type", "full", ValueError),
        ("norm_growth", 0.9, ValueError),
        ("state_dtype", torch.int8, ValueError),
        ("seed", "a", TypeError),
        ("oversize", "ignore", ValueError),
    ],
)
def test_bad_options_are_refused_by_name_and_value(name, value, error):
    w = nn.Parameter(torch.zeros(4, 4))
    with pytest.raises(error, match=name):
        APOLLO([w], **{"rank": 2, name: value})
    with pytest.raises(error, match=name):
        APOLLO([{"params": [w], "rank": 2, name: value}])


# The conformance suite, on projected matrices


def subject(name: str, build: Any, **defaults: Any) -> Subject:
    space = {"lr": Float(1e-4, 1e-1, log=True)}
    return Subject(Method(name, "training", build, defaults, space, origin="optimand.optim.apollo"))


SUBJECTS = (
    subject("apollo", APOLLO, rank=2, oversize="clamp"),
    subject("apollo-mini", APOLLOMini, scale=4.0),
    subject("apollo-svd", APOLLO, rank=2, oversize="clamp", proj="svd"),
    subject("apollo-8bit", APOLLO, rank=2, oversize="clamp", state_dtype="8bit"),
)
# A matrix's projection depends on its place among the parameters, so that alone it has another one.
EXCEPTIONS = {"dtypes_may_mix_in_a_group": {"apollo", "apollo-mini", "apollo-8bit"}}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_conforms(subject: Subject, check: Any) -> None:
    assert check.__module__ in (conformance_interface.__name__, conformance_numerics.__name__)
    if subject.name in EXCEPTIONS.get(check.__name__, ()):
        pytest.skip("a matrix has another projection in another place")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(subject)
