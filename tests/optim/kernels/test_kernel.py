"""Kernels: compiled loops, blocks and single tensors give the same bits; the cache serves other processes."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.optim.kernels import (
    Kernel,
    absolute,
    clamp,
    exp,
    like,
    log,
    maximum,
    minimum,
    ratio,
    sign,
    sqrt,
    tanh,
    where,
)
from optimand.optim.kernels.blocks import update_in_blocks
from optimand.optim.kernels.compiler import FormulaError, Variant, driver_source, load
from optimand.optim.kernels.gather import Memo
from optimand.optim.kernels.kernel import CHUNK, chunk_table
from optimand.optim.kernels.pool import run_pieces
from optimand.optim.kernels.steps import StepCounter


def ema(p, g, m, lr, beta, one_minus_beta):
    m = beta * m + one_minus_beta * g
    return p - lr * m, m


def everything(p, g, m, a):
    x = sign(g) * sqrt(absolute(g)) + where(g > a, like(g, 0.5), m)
    y = clamp(minimum(maximum(x, a), like(p, 2)), like(p, -1), like(p, 1)) + ratio(g * g, absolute(m) + a, a)
    return p - y, m + x


def transcendental(p, g, a):
    return (p - a * (exp(-g * g) + tanh(g) + log(absolute(g) + like(g, 1))),)


def lifting(p, g, lr):
    return (p - 0.5 * lr * g,)


def outer(p, g, lr):
    return (p - lr * inner(g),)  # noqa: F821


def cube(x):
    return x * x * x


def double(x):
    return x + x


EMA = Kernel(ema, states=("m",))
EVERYTHING = Kernel(everything, states=("m",))
ROW = (0.125, 0.9, 1 - 0.9)


def random(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize(
    "dtypes",
    [
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        ("float32", "float32", "bfloat16"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("float16", "float16", "float32"),
        ("bfloat16", "float32", "float64"),
    ],
    ids="-".join,
)
def test_compiled_code_equals_tensor_operations_bit_for_bit(dtypes):
    p, g, m = (random(1000, seed, getattr(torch, dtype)) for seed, dtype in enumerate(dtypes))
    if p.dtype == torch.float16:
        p[:300] *= 1e-5  # subnormals
        g[:300] *= 1e-6
    q, n = p.clone(), m.clone()
    assert EMA.launch([p], [g], [[m]], [ROW]) == []
    EMA.apply(q, g, [n], ROW)
    assert torch.equal(p, q)
    assert torch.equal(m, n)


def test_no_multiply_add_is_contracted():
    p, g, m = random(4096, 0), random(4096, 1), random(4096, 2)
    expected_m = np.float32(0.9) * m.numpy() + np.float32(1 - 0.9) * g.numpy()
    expected_p = p.numpy() - np.float32(0.125) * expected_m
    EMA.launch([p], [g], [[m]], [ROW])
    assert np.array_equal(m.numpy(), expected_m)
    assert np.array_equal(p.numpy(), expected_p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_functions_agree_with_torch(dtype):
    p, g, m = random(5000, 0, dtype), random(5000, 1, dtype), random(5000, 2, dtype)
    g[::7] = 0.0
    m[::5] = 0.0
    q, n = p.clone(), m.clone()
    for a in (0.0, 0.3):
        assert EVERYTHING.launch([p], [g], [[m]], [(a,)]) == []
        EVERYTHING.apply(q, g, [n], (a,))
    assert torch.equal(p, q)
    assert torch.equal(m, n)
    kernel = Kernel(transcendental)
    assert kernel.launch([p], [g], [], [(0.1,)]) == []
    kernel.apply(q, g, [], (0.1,))
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (1, 1)])
def test_tensors_of_few_elements_are_no_exception(shape):
    p, g, m = (random(shape, seed) for seed in range(3))
    q, n = p.clone(), m.clone()
    assert EVERYTHING.launch([p], [g], [[m]], [(0.5,)]) == []
    EVERYTHING.apply(q, g, [n], (0.5,))
    assert torch.equal(p, q)
    assert torch.equal(m, n)


def test_nan_passes_through():
    g = torch.tensor([float("nan"), 1.0])
    for compiled in (True, False):
        p, m = torch.zeros(2), torch.ones(2)
        if compiled:
            assert EVERYTHING.launch([p], [g], [[m]], [(0.1,)]) == []
        else:
            EVERYTHING.apply(p, g, [m], (0.1,))
        assert p.isnan().tolist() == [True, False]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3 * CHUNK), min_size=1, max_size=6))
def test_chunks_cover_every_element_once(numels):
    tensors, offsets, lengths = chunk_table(tuple(numels))
    covered = [np.zeros(n, int) for n in numels]
    for tensor, offset, length in zip(tensors, offsets, lengths, strict=True):
        assert 0 < length <= CHUNK
        covered[tensor][offset : offset + length] += 1
    assert all((c == 1).all() for c in covered)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=8), st.booleans(), st.data())
def test_launch_and_blocks_agree_on_any_list_of_tensors(numels, maximize, data):
    rows = [data.draw(st.integers(0, 1)) for _ in numels]
    table = [ROW, (0.5, 0.25, 0.75)]
    lists = []
    for kind in ("launch", "blocks"):
        p, g, m = ([random(n, k * 100 + i) for i, n in enumerate(numels)] for k in range(3))
        if kind == "launch":
            assert EMA.launch(p, g, [m], table, rows, maximize=maximize) == []
        else:
            update_in_blocks(EMA, p, g, [m], table, rows, range(len(p)), maximize=maximize)
        lists.append(p + m)
    assert all(torch.equal(a, b) for a, b in zip(*lists, strict=True))


def test_large_tensors_are_cut_into_blocks_with_the_same_bits():
    results = []
    for kind in ("launch", "blocks", "strided"):
        p, g, m = (random((600, 451), seed) for seed in range(3))
        if kind == "launch":
            EMA.launch([p], [g], [[m]], [ROW])
        else:
            if kind == "strided":
                p = p.t().contiguous().t()
            update_in_blocks(EMA, [p], [g], [[m]], [ROW], [0], [0])
        results.append((p, m))
    for p, m in results[1:]:
        assert torch.equal(p, results[0][0])
        assert torch.equal(m, results[0][1])


def test_functions_are_parameters_of_a_formula():
    g = torch.tensor([2.0, -1.0])
    for function, expected in ((cube, [-8.0, 1.0]), (double, [-4.0, 2.0])):
        kernel = Kernel(outer, functions={"inner": function})
        p, q = torch.zeros(2), torch.zeros(2)
        assert kernel.launch([p], [g], [], [(1.0,)]) == []
        kernel.apply(q, g, [], (1.0,))
        assert p.tolist() == q.tolist() == expected


def test_a_literal_that_lifts_the_precision_is_refused():
    variant = Variant(("float32", "float32"))
    with pytest.raises(FormulaError, match=r"like\(x, value\)"):
        load(lifting, {}, driver_source(0, 1, variant), variant)
    kernel = Kernel(lifting)
    with pytest.warns(RuntimeWarning, match="tensor operations serve"):
        assert kernel.launch([torch.ones(1)], [torch.ones(1)], [], [(1.0,)]) == [0]
    # a second launch does not try again
    assert kernel.launch([torch.ones(1)], [torch.ones(1)], [], [(1.0,)]) == [0]


def test_the_states_must_be_the_formulas_arguments():
    with pytest.raises(ValueError, match="exp_avg"):
        Kernel(ema, states=("exp_avg",))


def test_launch_tells_autograd_that_it_wrote():
    p = torch.ones(3)
    version = p._version
    EMA.launch([p], [torch.ones(3)], [[torch.zeros(3)]], [ROW])
    assert p._version > version


def test_results_do_not_depend_on_threads_or_pieces():
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 4):
            torch.set_num_threads(n)
            p, g, m = (random(300_001, seed, torch.bfloat16) for seed in range(3))
            EMA.launch([p], [g], [[m]], [ROW], keys=[7])
            results.append(p)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_pieces_cover_the_range_once_and_errors_surface():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen: list[int] = []
        run_pieces(lambda begin, end: seen.extend(range(begin, end)), 101, 1 << 22)
        assert sorted(seen) == list(range(101))

        def fail(begin, end):
            raise KeyError(begin)

        with pytest.raises(KeyError):
            run_pieces(fail, 101, 1 << 22)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_are_started_anew_after_a_fork():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        p, g, m = (random(200_000, seed) for seed in range(3))
        EMA.launch([p], [g], [[m]], [ROW])
        before = p.numpy().copy()
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a thread that is waited for in vain
            EMA.launch([p], [g], [[m]], [ROW])
            # NumPy compares, because torch's own threads do not survive a fork
            os._exit(0 if (p.numpy() != before).all() else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(threads)


def test_a_memo_keeps_nothing_alive():
    memo = Memo()
    p, g, m = (random(100, seed) for seed in range(3))
    assert EMA.launch([p], [g], [[m]], [ROW], memo=memo) == []
    gone = [weakref.ref(t) for t in (p, m)]
    assert memo.lists == [gone[:1], gone[1:]]
    del p, m
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_kernels_copy_and_pickle():
    assert copy.deepcopy(EMA) is EMA
    twin = pickle.loads(pickle.dumps(EMA))
    assert (twin.update, twin.states, twin.scalars) == (EMA.update, EMA.states, EMA.scalars)


def test_step_counter_counts_where_code_is_compiled_and_where_not():
    counter = StepCounter()
    for compiled in (True, False):
        steps = [torch.tensor(float(k)) for k in range(5)]
        assert counter.advance(steps, compiled=compiled) == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert [s.item() for s in steps] == [1.0, 2.0, 3.0, 4.0, 5.0]
    double = [torch.tensor(1.0, dtype=torch.float64)]
    assert counter.advance(double) == [2.0]


def test_a_driver_names_every_tensor_and_scalar():
    source = driver_source(2, 3, Variant(("bfloat16", "float32", "float32", "float64"), stochastic=True))
    assert "noise(key, i)" in source
    assert source.count("arithmetic(table[row") == 4
