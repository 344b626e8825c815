"""Which tensors kernels take, and that nothing is written through a stale or foreign address."""

from __future__ import annotations

import torch

from optimand.optim.kernels import Kernel
from optimand.optim.kernels.gather import Memo, collect, is_dense


def ema(p, g, m, lr, beta, one_minus_beta):
    m = beta * m + one_minus_beta * g
    return p - lr * m, m


EMA = Kernel(ema, states=("m",))
ROW = (0.125, 0.9, 1 - 0.9)


def random(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_tensors_that_no_kernel_reads_are_left_over():
    class Sub(torch.Tensor):
        pass

    good = torch.ones(3)
    params = [
        good,
        torch.ones(3).as_subclass(Sub),
        torch.ones(3, dtype=torch.complex64),
        torch.ones(6)[::2],
        torch.ones(3),
        torch.ones(3, device="meta"),
    ]
    grads = [torch.ones_like(p) for p in params]
    states = [torch.zeros_like(p) for p in params]
    states[4] = torch.zeros(2)  # a state of the wrong size must not be written through its address
    assert EMA.launch(params, grads, [states], [ROW]) == [1, 2, 3, 4, 5]
    assert not torch.equal(good, torch.ones(3))
    assert torch.equal(params[4], torch.ones(3))


def test_a_gradient_of_another_layout_is_read_in_the_parameters_order():
    p = random((4, 6), 0).t().contiguous().t()
    g, m = random((4, 6), 1), torch.zeros_like(p)
    expected = p - 0.125 * (0.9 * m + (1 - 0.9) * g)
    assert EMA.launch([p], [g], [[m]], [ROW]) == []
    torch.testing.assert_close(p, expected)
    assert p.stride() == (1, 4)


def test_dense_layouts_are_recognized():
    assert is_dense(torch.empty(2, 3, 4).permute(2, 0, 1))
    assert is_dense(torch.empty(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
    assert not is_dense(torch.empty(4)[::2])
    assert not is_dense(torch.empty(1).expand(3))
    # strides whose span equals the number of elements, and yet elements overlap
    assert not is_dense(torch.empty(8).as_strided((2, 2, 2), (1, 1, 5)))


def test_mixed_lists_are_sorted_by_dtype():
    params = [torch.ones(2), torch.ones(3, dtype=torch.float64), torch.ones(4)]
    batches, rest = collect(params, [p.clone() for p in params], [], False)
    assert rest == []
    assert {v.dtypes[0]: b.indices for v, b in batches.items()} == {"float32": [0, 2], "float64": [1]}


def test_a_memo_is_used_only_while_nothing_but_the_gradients_changed():
    def lists():
        params = [torch.ones(4, 4), torch.ones(3)]
        return params, [torch.ones_like(p) for p in params], [torch.zeros_like(p) for p in params]

    params, grads, states = lists()
    memo = Memo()
    collect(params, grads, [states], False, memo)

    def served(params=params, grads=grads, states=states, stochastic=False):
        batch = memo.batch([params, grads, states], stochastic)
        if batch is None:
            return False
        fresh, rest = collect(params, grads, [states], stochastic)
        assert rest == []
        (plain,) = fresh.values()
        assert (batch.pointers, batch.numels, batch.indices) == (plain.pointers, plain.numels, plain.indices)
        return True

    assert served()
    assert served(grads=[g.clone() for g in grads])
    assert not served(params=[p.clone() for p in params])
    assert not served(states=[s.clone() for s in states])
    assert not served(grads=[g.double() for g in grads])
    assert not served(grads=[grads[0].t().contiguous().t(), grads[1]])
    assert not served(grads=[grads[0][:2], grads[1]])
    assert not served(stochastic=True)
    assert not served(params[:1], grads[:1], states[:1])
    params[0].data = params[0].data.t()  # the same object at the same address
    assert memo.batch([params, grads, states], False) is None
