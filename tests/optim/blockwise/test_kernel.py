"""Formulas on quantized states: against whole tensors in full precision, on every path, with bad gradients."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from optimand.optim.blockwise import QuantizedKernel, QuantizedTensor
from optimand.optim.blockwise import kernel as kernel_module
from optimand.optim.formulas import ADAM, SGD, adam_scalars
from optimand.optim.kernels.rounding import noise_tensor, round_stochastic_tensor
from optimand.training.memory import peak_allocation

MAPS = ("dynamic", "dynamic_unsigned_sqrt")


def scalars(step: int) -> tuple[float, ...]:
    return adam_scalars(1e-2, (0.9, 0.999), 1e-8, 0.1, step)


def draw(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def zeros_like(p: Tensor, block: int = 256, maps: tuple[str, ...] = MAPS) -> list[QuantizedTensor]:
    return [QuantizedTensor.zeros_like(p, name, block) for name in maps]


def reference(p: Tensor, g: Tensor, states: list[QuantizedTensor], row: tuple[float, ...]) -> Tensor:
    """One step on whole tensors; returns the new parameter in full precision and updates the states."""
    new, *moments = ADAM.on_tensors(p.float(), g.float(), *(q.dequantize() for q in states), *row)
    for q, x in zip(states, moments, strict=True):
        q.copy_(x)
    return new


def assert_same_states(a: list[QuantizedTensor], b: list[QuantizedTensor]) -> None:
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x.codes, y.codes)
        assert torch.equal(x.scale, y.scale)


def run(
    kernel: QuantizedKernel,
    p: Tensor,
    steps: int = 4,
    block: int = 64,
    maps: tuple[str, ...] = MAPS,
    **options: Any,
) -> tuple[Tensor, list[QuantizedTensor]]:
    p = p.clone(memory_format=torch.preserve_format)
    states = zeros_like(p, block, maps)
    for step in range(1, steps + 1):
        g = draw(tuple(p.shape), step).to(p.dtype)
        kernel.launch([p], [g], [[q] for q in states], [scalars(step)], **options)
    return p, states


@pytest.mark.parametrize("maps", [MAPS, ("dynamic4", "linear4_unsigned")])
@pytest.mark.parametrize("shape", [(), (7,), (64,), (100, 301), (0,)])
def test_pieces_equal_whole_tensors(shape: tuple[int, ...], maps: tuple[str, str]) -> None:
    kernel = QuantizedKernel(ADAM)
    p, states = run(kernel, draw(shape, 0), maps=maps, fused=False)
    q, twins = draw(shape, 0), zeros_like(p, 64, maps)
    for step in range(1, 5):
        q = reference(q, draw(shape, step), twins, scalars(step))
    assert torch.equal(p, q)
    assert_same_states(states, twins)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_compiled_code_equals_the_torch_operations(dtype: torch.dtype) -> None:
    kernel = QuantizedKernel(ADAM)
    results = [run(kernel, draw((50, 333), 0).to(dtype), block=256, fused=fused) for fused in (True, False)]
    assert torch.equal(results[0][0], results[1][0])
    assert_same_states(results[0][1], results[1][1])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_traced_path_equals_the_torch_operations(backend: str) -> None:
    plain = run(QuantizedKernel(ADAM), draw((40, 333), 0), fused=False)
    kernel = QuantizedKernel(ADAM, compile=backend)
    traced = run(kernel, draw((40, 333), 0), fused=False)
    assert kernel.compile == backend  # it did not fall back
    torch._dynamo.reset()
    # torch's own vectorised square root may be off by one unit in the last place
    torch.testing.assert_close(traced[0], plain[0], rtol=1e-6, atol=1e-6)
    for a, b in zip(traced[1], plain[1], strict=True):
        torch.testing.assert_close(a.scale, b.scale, rtol=1e-6, atol=0)
        assert (a.codes != b.codes).sum() <= 1


def test_a_compiler_that_fails_leaves_the_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Tensor:
            raise RuntimeError("no such target")

        return call

    monkeypatch.setattr(kernel_module.torch, "compile", broken)
    kernel = QuantizedKernel(ADAM, compile=True)
    p, states = run(kernel, draw((700,), 0), fused=False)
    plain = run(QuantizedKernel(ADAM), draw((700,), 0), fused=False)
    assert torch.equal(p, plain[0])
    assert_same_states(states, plain[1])
    assert kernel.compile is False


@pytest.mark.parametrize("fused", [True, False])
def test_memory_order_of_the_parameter_does_not_matter(fused: bool) -> None:
    kernel = QuantizedKernel(ADAM)
    flat, states = run(kernel, draw((30, 20), 0).t().contiguous(), fused=fused)
    p = draw((30, 20), 0).t().contiguous().t()
    twins = zeros_like(p, 64)
    for step in range(1, 5):
        g = draw((20, 30), step).t()
        g = g if step % 2 else g.contiguous()  # the gradient may have another order
        kernel.launch([p], [g], [[q] for q in twins], [scalars(step)], fused=fused)
    assert torch.equal(p.t(), flat)
    assert_same_states(states, twins)


@pytest.mark.parametrize("fused", [True, False])
def test_a_parameter_with_gaps_in_its_memory(fused: bool) -> None:
    kernel = QuantizedKernel(ADAM)
    p = torch.zeros(1000)
    view = p[::2]
    view.copy_(draw((500,), 0))
    twins = zeros_like(view, 64)
    for step in range(1, 5):
        kernel.launch([view], [draw((500,), step)], [[q] for q in twins], [scalars(step)], fused=fused)
    flat, states = run(kernel, draw((500,), 0), fused=fused)
    assert torch.equal(view, flat)
    assert (p[1::2] == 0).all()
    assert_same_states(states, twins)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_a_bad_gradient_leaves_its_block_alone(bad: float, fused: bool) -> None:
    kernel = QuantizedKernel(ADAM)
    p, states = run(kernel, draw((700,), 0), fused=fused)
    good = p.clone(), [q.clone() for q in states]
    g = draw((700,), 9)
    kernel.launch([good[0]], [g], [[q] for q in good[1]], [scalars(5)], fused=fused)
    before, old = p.clone(), [q.clone() for q in states]
    g[130] = bad  # the third block of 64; 1e30 squared is infinite
    g[699] = bad  # the last, short one
    skipped: list[int] = []
    other, other_states = run(kernel, draw((70,), 0), fused=fused)
    lists = [[a, b] for a, b in zip(other_states, states, strict=True)]
    kernel.launch([other, p], [draw((70,), 9), g], lists, [scalars(5)], skipped=skipped, fused=fused)
    assert skipped == [1]
    kept = torch.zeros(700, dtype=torch.bool)
    kept[128:192] = True
    kept[640:] = True
    assert torch.equal(p[kept], before[kept])
    assert torch.equal(p[~kept], good[0][~kept])
    for q, was, would in zip(states, old, good[1], strict=True):
        assert torch.equal(q.codes, torch.where(kept, was.codes, would.codes))
        assert torch.equal(q.scale, torch.where(kept[::64], was.scale, would.scale))


@pytest.mark.parametrize("fused", [True, False])
def test_maximizing_follows_the_gradient(fused: bool) -> None:
    p, g = torch.zeros(70), draw((70,), 1)
    row = (0.0, 1.0, 1.0, 0.5, 0.9, 1.0, 0.0, 1.0)
    QuantizedKernel(SGD).launch([p], [g], [zeros_like(p, 64)[:1]], [row], maximize=True, fused=fused)
    assert torch.equal(p, 0.5 * g)


@pytest.mark.parametrize("fused", [True, False])
def test_each_parameter_has_its_row(fused: bool) -> None:
    kernel = QuantizedKernel(SGD)
    table = [(0.0, 1.0, 1.0, lr, 0.9, 1.0, 0.0, 1.0) for lr in (0.5, 2.0)]
    params = [torch.zeros(70) for _ in range(3)]
    states = [[zeros_like(p, 64)[0] for p in params]]
    kernel.launch(params, [torch.ones(70)] * 3, states, table, [1, 0, 1], fused=fused)
    assert [p[0].item() for p in params] == [-2.0, -0.5, -2.0]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stochastic_rounding_uses_the_element_number_in_the_whole_tensor(dtype: torch.dtype, fused: bool) -> None:
    kernel = QuantizedKernel(ADAM)
    start = draw((20_000,), 0).to(dtype)
    p, states = start.clone(), zeros_like(start)
    twins = zeros_like(start)
    for step in range(1, 3):
        g = draw((20_000,), step).to(dtype)
        wanted = reference(p, g, twins, scalars(step))
        kernel.launch([p], [g], [[q] for q in states], [scalars(step)], keys=[12345 + step], fused=fused)
        noise = noise_tensor(12345 + step, p.shape, p.device)
        assert torch.equal(p, round_stochastic_tensor(wanted, dtype, noise))
    assert_same_states(states, twins)


def test_autograd_sees_that_a_parameter_changed() -> None:
    p = torch.nn.Parameter(draw((100,), 0))
    kernel = QuantizedKernel(SGD)
    loss = (p**2).sum()
    row = (0.0, 1.0, 1.0, 0.5, 0.9, 1.0, 0.0, 1.0)
    kernel.launch([p], [torch.ones(100)], [zeros_like(p)[:1]], [row])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_step_needs_little_memory() -> None:
    n = 1 << 20
    kernel = QuantizedKernel(ADAM)
    p, g = torch.zeros(n), torch.ones(n)
    states = zeros_like(p)
    peak = peak_allocation(lambda: kernel.launch([p], [g], [[q] for q in states], [scalars(1)], fused=False))
    assert 0 < peak <= (1 << 20) + 0.02 * p.nbytes


def test_kernels_pickle() -> None:
    kernel = pickle.loads(pickle.dumps(QuantizedKernel(ADAM, "eager")))
    assert (kernel.kernel.states, kernel.compile) == (ADAM.states, "eager")
