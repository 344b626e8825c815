"""The optimizer for torch: the iterates of the learner on arrays, groups, checkpoints, and refusals."""

from __future__ import annotations

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch

import optimand.online
from optimand.online.convex import Ball, OptimisticOMD, OptimisticSGD, Unconstrained


def regression(dtype=torch.float64):
    rng = np.random.default_rng(0)
    A, y = rng.normal(size=(60, 20, 5)), rng.normal(size=(60, 20))
    return torch.tensor(A, dtype=dtype), torch.tensor(y, dtype=dtype)


def blocks(dtype=torch.float64, start=0.0):
    return [torch.nn.Parameter(torch.full(shape, start, dtype=dtype)) for shape in ((1, 2), (3,))]


def vector(params):
    return torch.cat([p.detach().flatten() for p in params])


def run(optimizer, params, rounds, dtype=torch.float64):
    A, y = regression(dtype)
    points = []
    for t in rounds:
        points.append(vector(params).double().numpy().copy())
        optimizer.zero_grad()
        w = torch.cat([p.flatten() for p in params])
        (0.5 * ((A[t % 60] @ w - y[t % 60]) ** 2).mean()).backward()
        optimizer.step()
    return np.array(points)


def learner_points(learner, T, scale=1.0):
    A, y = (part.numpy() for part in regression())
    learner.begin(5)
    points = []
    for t in range(T):
        x = learner.predict()
        points.append(x)
        learner.update(scale * (A[t % 60].T @ (A[t % 60] @ x - y[t % 60])) / 20)
    return np.array(points)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("radius", [None, 0.1])
def test_iterates_are_those_of_the_learner(dtype, tolerance, radius):
    domain = Unconstrained() if radius is None else Ball(radius)
    expected = learner_points(OptimisticOMD(domain, D=0.8, G=3.0), 120)
    params = blocks(dtype)
    optimizer = OptimisticSGD(params, D=0.8, G=3.0, radius=radius)
    found = run(optimizer, params, range(120), dtype)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    if radius is not None:
        assert np.linalg.norm(found, axis=1).max() == pytest.approx(radius, abs=1e-6)


def test_the_room_exports_it_lazily():
    assert optimand.online.OptimisticSGD is OptimisticSGD


def test_a_fixed_step_is_the_optimistic_gradient_method():
    params = blocks()
    found = run(OptimisticSGD(params, lr=0.1), params, range(30))
    A, y = (part.numpy() for part in regression())
    hat, last = np.zeros(5), np.zeros(5)
    for t in range(30):
        x = hat - 0.1 * last
        np.testing.assert_allclose(found[t], x, atol=1e-13)
        last = A[t].T @ (A[t] @ x - y[t]) / 20
        hat = hat - 0.1 * last


def test_without_a_bound_the_longest_gradient_so_far_serves():
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = OptimisticSGD([p], D=2.0)
    hat, V, longest, last = 0.0, 0.0, 0.0, 0.0
    for g in (0.0, 1.0, -3.0, 2.0, 0.5):
        longest = max(longest, abs(g))
        if longest:
            hat -= 2 / math.sqrt(5 * longest**2 + V) * g
        V += (g - last) ** 2
        p.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        expected = hat - (2 / math.sqrt(5 * longest**2 + V) * g if longest else 0.0)
        assert p.item() == pytest.approx(expected, abs=1e-14)
        last = g
    group = optimizer.param_groups[0]
    assert (group["longest"], group["step"], group["V"]) == (3.0, 5, pytest.approx(V))


def test_the_first_step_does_not_depend_on_the_scale_of_the_loss():
    ends = []
    for scale in (1e-6, 1.0, 1e6):
        params = blocks()
        optimizer = OptimisticSGD(params, D=1.0)
        for p in params:
            p.grad = torch.full_like(p, scale)
        optimizer.step()
        ends.append(vector(params))
    torch.testing.assert_close(ends[0], ends[1])
    torch.testing.assert_close(ends[2], ends[1])
    assert ends[0].norm().item() <= 2 / math.sqrt(5) + 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_checkpoints_go_on_bit_for_bit(dtype):
    params = blocks(dtype)
    optimizer = OptimisticSGD(params, radius=0.5)
    run(optimizer, params, range(25), dtype)
    buffer = io.BytesIO()
    torch.save({"params": params, "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    others = [torch.nn.Parameter(p.detach().clone()) for p in saved["params"]]
    resumed = OptimisticSGD(others, D=99.0)
    resumed.load_state_dict(saved["optimizer"])
    copied, copied_params = copy.deepcopy((optimizer, params))
    pickled, pickled_params = pickle.loads(pickle.dumps((optimizer, params)))
    expected = run(optimizer, params, range(25, 60), dtype)
    for other, mine in ((resumed, others), (copied, copied_params), (pickled, pickled_params)):
        np.testing.assert_array_equal(run(other, mine, range(25, 60), dtype), expected)
    if dtype == torch.bfloat16:
        assert all(resumed.state[p]["xhat"].dtype == torch.float32 for p in others)


def test_small_steps_of_half_precision_add_up():
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = OptimisticSGD([p], lr=1e-4)
    for _ in range(200):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert p.item() == pytest.approx(0.98, abs=0.005)


def test_the_sum_of_errors_is_kept_in_double_precision():
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = OptimisticSGD([p], G=1e5, D=1e-3)
    for t in range(300):
        p.grad = torch.tensor([1e4 if t == 0 else 1e4 + 0.5 * (t % 2)])
        optimizer.step()
    # In single precision 1e8 + 0.25 is 1e8.
    assert optimizer.param_groups[0]["V"] == 1e8 + 299 * 0.25


def test_maximizing_is_minimizing_the_negative():
    ends = []
    for sign in (1, -1):
        params = blocks(start=0.3)
        optimizer = OptimisticSGD(params, D=0.7, maximize=sign < 0)
        for t in range(5):
            for p in params:
                p.grad = sign * torch.linspace(-1, t, p.numel(), dtype=torch.float64).reshape(p.shape)
            before = [p.grad.clone() for p in params]
            optimizer.step()
            assert all(torch.equal(p.grad, b) for p, b in zip(params, before, strict=True))
        ends.append(vector(params))
    assert torch.equal(*ends)


def test_groups_are_vectors_of_their_own():
    a, b = (torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2))
    optimizer = OptimisticSGD([{"params": [a], "D": 1.0}, {"params": [b], "D": 3.0}])
    a.grad, b.grad = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([100.0, 0.0], dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(3 * a.detach(), b.detach())
    assert [group["V"] for group in optimizer.param_groups] == [1.0, 1e4]


def test_parameters_without_gradient_are_left_out():
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = OptimisticSGD([a, b])
    a.grad = torch.ones(2)
    optimizer.step()
    assert b.tolist() == [1, 1]
    assert b not in optimizer.state
    a.grad = None
    before = a.detach().clone()
    optimizer.step()
    assert torch.equal(a, before)
    assert optimizer.param_groups[0]["step"] == 1


def test_complex_parameters_are_pairs_of_reals():
    z = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    x = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    optimizers = [OptimisticSGD([p], radius=0.3, D=2.0) for p in (z, x)]
    for t in range(6):
        z.grad = torch.tensor([1.0 + t * 1j, -2.0j], dtype=torch.complex128)
        x.grad = torch.view_as_real(z.grad).clone()
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(torch.view_as_real(z.detach()), x.detach(), rtol=0, atol=1e-14)


def test_a_closure_is_called_and_its_loss_returned():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = OptimisticSGD([p])

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert p.item() < 1


def test_a_convex_problem_is_solved_without_a_learning_rate():
    params = blocks()
    run(OptimisticSGD(params, D=2.0), params, range(1500))
    A, y = regression()
    best = torch.linalg.lstsq(A.reshape(-1, 5), y.reshape(-1)).solution
    assert (vector(params) - best).norm() < 0.1


def test_long_gradients_warn_once_and_are_counted():
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = OptimisticSGD([p], G=1.0)
    p.grad = torch.tensor([5.0])
    with pytest.warns(RuntimeWarning, match="norm 5 is longer than G = 1"):
        optimizer.step()
    optimizer.step()
    assert optimizer.param_groups[0]["exceeded"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"D": 0.0}, r"D must be in \(0, inf\), got 0.0"),
        ({"G": -1.0}, "G must be in"),
        ({"lr": -0.1}, "lr must be in"),
        ({"delta": -1.0}, "delta must be in"),
        ({"radius": 0.0}, "radius must be in"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimisticSGD(blocks(), **options)
    with pytest.raises(ValueError, match=message):
        OptimisticSGD(blocks()).add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], **options})


def test_sparse_gradients_are_refused():
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        OptimisticSGD(table.parameters()).step()


def test_it_is_a_method_for_networks():
    import optimand.online.convex.training_methods
    from optimand.core import catalog

    entry = catalog.methods("training")["optimistic-sgd"]
    assert entry.paper == "optimistic-omd-sea"
    params = blocks()
    optimizer = entry.build(params, **entry.defaults)
    assert type(optimizer) is OptimisticSGD
    assert optimand.online.convex.training_methods.__doc__
    run(optimizer, params, range(3))
