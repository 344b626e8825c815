"""Compiled steps on quantized states: every instruction set, Numba's loops and torch operations give the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from optimand.optim import formulas
from optimand.optim.blockwise import QuantizedKernel, QuantizedTensor, fused
from optimand.optim.formulas import ADAM, LAMB
from optimand.optim.kernels import Kernel, native
from optimand.optim.kernels.gather import Memo
from optimand.optim.lion import Lion

# "none" is Numba: everything else comes from the library.
PATHS = (*native.available(), "none")
NON_NEGATIVE = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"}
RATES = (0.9, 0.1, 0.99, 0.01)
SCALARS: dict[str, tuple[float, ...]] = {
    "adam": (0.01, 0.999, 0.01, *RATES, 1e-8),
    "amsgrad": (0.01, 0.999, 0.01, *RATES, 1e-8),
    "sgd": (0.01, 1.0, 0.999, 0.01, 0.9, 1.0, 1.0, 0.9),
    "rmsprop": (0.01, 0.99, 0.01, 0.01, 1e-8),
    "rmsprop_momentum": (0.01, 0.99, 0.01, 0.01, 1e-8, 0.9),
    "adagrad": (0.01, 0.01, 1e-10),
    "ademamix": (0.999, 0.01, 0.05, *RATES, 0.9999, 0.0001, 1e-8),
    "lamb": (0.01, 0.01, 1.2, 1.3, *RATES, 1e-6),
    "lion": (0.999, 0.01, *RATES),
}
needs_library = pytest.mark.skipif(not native.available(), reason="the native library has not been built")


def kernel_named(name: str) -> Kernel:
    return Lion.kernel if name == "lion" else getattr(formulas, name.upper())


def draw(n: int, seed: int) -> Tensor:
    """Numbers of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator) * 10.0 ** (4 * torch.rand(n, generator=generator) - 3)


def steps(name: str, path: str, **options: Any) -> tuple[Tensor, list[QuantizedTensor], list[int]]:
    """A few steps of one tensor on one path ("torch" for torch operations); one gradient has a NaN in it."""
    n, block, bits = options.get("n", 1000), options.get("block", 64), options.get("bits", 8)
    second = "linear4_unsigned" if bits == 4 else options.get("second", "dynamic_unsigned_sqrt")
    first = "dynamic4" if bits == 4 else "dynamic"
    kernel = kernel_named(name)
    p = draw(n, 0).to(options.get("dtype", torch.float32))
    states = [
        QuantizedTensor.zeros_like(p, second if s in NON_NEGATIVE else first, block, options.get("signed_scale", True))
        for s in kernel.states
    ]
    skipped: list[int] = []
    for step in range(1, 5):
        g = draw(n, step).to(options.get("grad_dtype", p.dtype))
        if step == 3 and n > block:
            g[block] = float("nan")
        key = options.get("key")
        arguments: dict[str, Any] = {
            "maximize": step == 2,
            "keys": None if key is None else [key + step],
            "skipped": skipped,
        }
        lists: tuple[Any, ...] = ([p], [g], [[q] for q in states], [SCALARS[name]])
        if path == "torch":
            QuantizedKernel(kernel).launch(*lists, **arguments, fused=False)
        else:
            with native.using(path):
                assert fused.launch(kernel, *lists, **arguments) == []
    return p, states, skipped


def bits_of(x: Tensor) -> Tensor:
    return x.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[x.element_size()])


def assert_same(a: tuple[Tensor, list[QuantizedTensor], list[int]], b: Any) -> None:
    assert torch.equal(bits_of(a[0]), bits_of(b[0]))
    for x, y in zip(a[1], b[1], strict=True):
        assert torch.equal(x.codes, y.codes)
        assert torch.equal(bits_of(x.scale), bits_of(y.scale))
    assert a[2] == b[2]


@needs_library
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"second": "dynamic_unsigned"},
        {"second": "dynamic_unsigned", "signed_scale": False},
        {"bits": 4, "n": 777, "block": 128},
        {"dtype": torch.bfloat16, "key": 9},
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()) or "usual",
)
@pytest.mark.parametrize("name", SCALARS)
def test_the_librarys_rules_are_the_formulas(name: str, options: dict[str, Any]) -> None:
    expected = steps(name, "torch", **options)
    assert expected[2] == [0]
    for level in native.available():
        assert_same(steps(name, level, **options), expected)


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad_dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("key", [None, 123456789])
def test_all_dtypes_and_roundings(dtype: torch.dtype, grad_dtype: torch.dtype, key: int | None) -> None:
    options = {"dtype": dtype, "grad_dtype": grad_dtype, "key": key}
    for level in native.available():
        assert_same(steps("adam", level, **options), steps("adam", "torch", **options))


@needs_library
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 255, 257, 4097])
def test_short_last_blocks(n: int, bits: int) -> None:
    for level in native.available():
        for block in (64, 256, 4096):
            options = {"n": n, "bits": bits, "block": block}
            assert_same(steps("adam", level, **options), steps("adam", "torch", **options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam", {}),
        ("adam", {"bits": 4, "n": 777, "block": 128}),
        ("rmsprop_momentum", {"second": "dynamic_unsigned", "dtype": torch.float16}),
        ("lion", {"dtype": torch.bfloat16, "key": 9, "signed_scale": False}),
    ],
)
def test_numbas_loops_are_the_formulas(name: str, options: dict[str, Any]) -> None:
    assert_same(steps(name, "none", **options), steps(name, "torch", **options))


@pytest.mark.parametrize("path", PATHS)
def test_threads_change_nothing(path: str) -> None:
    results = []
    threads = torch.get_num_threads()
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(steps("adam", path, n=200_001, block=64))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert_same(other, results[0])


@pytest.mark.parametrize("path", PATHS)
def test_a_step_that_would_not_be_finite_leaves_its_block_alone(path: str) -> None:
    for bad in (float("nan"), float("inf"), 1e30):  # the last one's square is too large
        p, g = torch.ones(256), torch.full((256,), 0.5)
        states = [QuantizedTensor.zeros_like(p, name, 64) for name in ("dynamic", "dynamic_unsigned_sqrt")]
        g[70] = bad
        skipped: list[int] = []
        with native.using(path):
            fused.launch(ADAM, [p], [g], [[q] for q in states], [SCALARS["adam"]], skipped=skipped)
        assert skipped == [0]
        assert (p == 1.0).view(4, 64).all(dim=1).tolist() == [False, True, False, False]
        for q in states:
            assert (q.scale == 0.0).tolist() == [False, True, False, False]
            assert (q.codes[64:128] == q.spec.zero).all()


@pytest.mark.parametrize("path", PATHS)
def test_lists_of_tensors_of_all_sorts(path: str) -> None:
    maps = ("dynamic", "dynamic_unsigned_sqrt")
    table = [SCALARS["adam"], tuple(2.0 * x for x in SCALARS["adam"])]
    results = []
    for way in (path, "torch"):
        params = [draw(96, k).view(8, 12) for k in range(4)]
        params.append(draw(96, 4).view(8, 12).t())
        params.append(draw(96, 5).view(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
        params.append(torch.empty(0, 3))
        params.append(draw(96, 6).bfloat16())
        params.append(draw(192, 7)[::2])  # gaps in its memory
        params.append(draw(96, 8).double())
        grads = [draw(p.numel(), 10 + k).view(p.shape).to(p.dtype) for k, p in enumerate(params)]
        states = [[QuantizedTensor.zeros_like(p, name, 64) for p in params] for name in maps]
        rows = [k % 2 for k in range(len(params))]
        options: dict[str, Any] = {"maximize": True}
        if way == "torch":
            QuantizedKernel(ADAM).launch(params, grads, states, table, rows, **options, fused=False)
        else:
            with native.using(path):
                rest = fused.launch(ADAM, params, grads, states, table, rows, **options)
            assert rest == [8, 9]
            params = params[:8]
        results.append((params[:8], [q for qs in states for q in qs[:8]]))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(a, b)
    for x, y in zip(results[0][1], results[1][1], strict=True):
        assert torch.equal(x.codes, y.codes)
        assert torch.equal(x.scale, y.scale)


def test_blocks_of_different_sizes_are_left_to_torch() -> None:
    p = torch.ones(300)
    states = [[QuantizedTensor.zeros_like(p, "dynamic", 64)], [QuantizedTensor.zeros_like(p, "dynamic_unsigned", 128)]]
    assert fused.launch(ADAM, [p], [p.clone()], states, [SCALARS["adam"]]) == [0]
    assert torch.equal(p, torch.ones(300))


def test_without_any_compiler_torch_serves() -> None:
    kernel = Kernel(ADAM.update, states=ADAM.states)
    kernel.failure = ImportError("no compiler")
    p = torch.ones(300)
    states = [[QuantizedTensor.zeros_like(p, name)] for name in ("dynamic", "dynamic_unsigned_sqrt")]
    with native.using("none"):
        assert fused.launch(kernel, [p], [p.clone()], states, [SCALARS["adam"]]) == [0]
        QuantizedKernel(kernel).launch([p], [p.clone()], states, [SCALARS["adam"]])
    assert (p != 1.0).all()


def test_known_tensors_are_looked_at_again_when_they_change() -> None:
    p = torch.nn.Parameter(torch.ones(128))
    m, g, memo = QuantizedTensor.zeros_like(p), torch.ones(128), Memo()
    with torch.no_grad():
        for _ in range(2):
            version = p._version
            assert fused.launch(Lion.kernel, [p], [g], [[m]], [SCALARS["lion"]], memo=memo) == []
            assert p._version > version
        p.data = torch.full((128,), 5.0)
        assert fused.launch(Lion.kernel, [p], [g.bfloat16()], [[m]], [SCALARS["lion"]], memo=memo) == []
        assert torch.equal(p, torch.full((128,), 5.0) * 0.999 - 0.01)
        p.data = torch.full((256,), 5.0)[::2]
        assert fused.launch(Lion.kernel, [p], [g], [[m]], [SCALARS["lion"]], memo=memo) == [0]


@needs_library
def test_norms_of_lamb() -> None:
    maps = ("dynamic", "dynamic_unsigned_sqrt")
    p = [draw(5000, 0), draw(70_001, 1), draw(300, 2).bfloat16()]
    g = [draw(x.numel(), 3 + k).to(x.dtype) for k, x in enumerate(p)]
    states = [[QuantizedTensor.zeros_like(x, name) for x in p] for name in maps]
    QuantizedKernel(LAMB).launch(p, g, states, [SCALARS["lamb"]])
    g[0][3] = float("nan")
    found = []
    threads = torch.get_num_threads()
    try:
        for n, level in enumerate(native.available(), 1):
            torch.set_num_threads(n)
            with native.using(level):
                found.append(fused.lamb_norms(p, g, states, [SCALARS["lamb"]]))
    finally:
        torch.set_num_threads(threads)
    assert all(other == found[0] for other in found)
    with native.using("none"):
        assert fused.lamb_norms(p, g, states, [SCALARS["lamb"]]) == [None] * 3
    decay, _, *others = SCALARS["lamb"]
    for k in range(3):
        moments = (qs[k].dequantize() for qs in states)
        x = p[k].float()
        # From 0 with a learning rate of -1 and no decay, the formula gives the direction without the decay.
        direction = LAMB.on_tensors(torch.zeros_like(x), g[k].float(), *moments, 0.0, -1.0, *others)[0]
        direction = direction + decay * x
        if k == 0:
            x, direction = x[256:], direction[256:]  # the block with the NaN does not count
        expected = (x.double().square().sum().item(), direction.double().square().sum().item())
        assert found[0][k] == pytest.approx(expected, rel=1e-6)
