"""Generators, saddle points on real data, the market, and torch losses as operators: against closed forms and peers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from optimand.core.projections import Box, Free, Simplex
from optimand.numerical.monotone import FiniteSumOperator, MatrixGame, make_method, solve_inclusion
from optimand.numerical.monotone import generators as make
from optimand.numerical.monotone.problems import (
    cocoercive_sum,
    fisher_market,
    matrix_game,
    robust_least_squares,
    sparse_game,
    svm_saddle,
)
from optimand.numerical.monotone.saddle import from_saddle, pack, unpack
from optimand.numerical.monotone.saddles import BilinearOperator, FisherMarket, random_market, svm
from optimand.numerical.monotone.saddles import robust_least_squares as rls

PROBLEMS = [matrix_game, sparse_game, cocoercive_sum, svm_saddle, robust_least_squares, fisher_market]


def test_kuhn_poker_has_its_known_value():
    assert MatrixGame(make.kuhn()).solve_exactly()[2] == pytest.approx(-1 / 18, abs=1e-9)


def test_blotto_is_fair():
    A = make.blotto(6)
    assert np.array_equal(A, -A.T)
    assert MatrixGame(A).solve_exactly()[2] == pytest.approx(0.0, abs=1e-9)


def test_burglar_follows_its_formula_and_draws_nothing_but_the_wealth():
    A = make.payoff_matrix("burglar", 7, 5, norm=None)
    w = np.abs(np.random.default_rng(5).standard_normal(7))
    for i, j in itertools.product(range(7), repeat=2):
        assert A[i, j] == pytest.approx(w[i] * (1 - np.exp(-0.8 * abs(i - j))))


@pytest.mark.parametrize(("kind", "ratio"), [("uniform", 1.153), ("burglar", 1.002), ("signed", 8.63)])
def test_ratio_of_the_constants_of_the_games(kind, ratio):
    A = make.payoff_matrix(kind, 300, 0)
    assert np.linalg.norm(A, 2) == pytest.approx(10)
    assert np.linalg.norm(A) / 10 == pytest.approx(ratio, rel=1e-3)


def test_sparse_games_are_scaled_by_their_norm():
    A = make.sparse_payoff(60, 400, 3)
    assert np.linalg.norm(A.toarray(), 2) == pytest.approx(10, rel=1e-6)
    assert A.nnz <= 400


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: make.payoff_matrix("poker", 3), ValueError, "kind must be one of"),
        (lambda: make.payoff_matrix("kuhn", 6), ValueError, "size must be in"),
        (lambda: make.payoff_matrix("uniform", 1), ValueError, "size must be"),
        (lambda: make.payoff_matrix("uniform", 3, norm=0.0), ValueError, "norm must be"),
        (lambda: make.sparse_payoff(5, 0), ValueError, "nonzeros must be"),
        (lambda: make.standardized("iris"), ValueError, "name must be one of"),
        (lambda: matrix_game(kind="chess"), ValueError, "kind must be one of"),
        (lambda: matrix_game(instance=-1), ValueError, "instance must be"),
        (lambda: matrix_game(size="big"), TypeError, "size must be an integer"),
        (lambda: cocoercive_sum(box=0), ValueError, "box must be"),
        (lambda: svm_saddle(ridge=0), ValueError, "ridge must be"),
        (lambda: robust_least_squares(data="digits"), ValueError, "data must be one of"),
        (lambda: fisher_market(buyers=0), ValueError, "buyers must be"),
        (lambda: matrix_game(budget=0), ValueError, "budget must be"),
        (lambda: BilinearOperator(np.eye(2), np.ones(3), 0.0, Free(), Free()), ValueError, "b must have shape"),
        (lambda: BilinearOperator(np.eye(2), np.ones(2), -1.0, Free(), Free()), ValueError, "ridge must be"),
        (lambda: FisherMarket(np.eye(2), np.ones(3)), ValueError, "must be \\(buyers, goods\\)"),
        (lambda: FisherMarket(np.zeros((2, 2)), np.ones(2)), ValueError, "not all 0"),
        (lambda: FisherMarket(np.eye(2), np.array([1.0, 0.0])), ValueError, "budgets must be"),
    ],
)
def test_bad_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("factory", PROBLEMS, ids=lambda f: f.__name__)
def test_an_instance_is_the_same_for_all_methods_of_a_seed(factory):
    problem = factory()
    first, second = (problem.instance(np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.op.value(first.u0), second.op.value(second.u0))
    assert first.op.calls == 0
    # the start is feasible
    assert np.allclose(first.project(first.u0), first.u0, atol=1e-12)
    assert first.residual(first.u0) > 1e-3


@pytest.mark.parametrize("factory", [matrix_game, sparse_game, cocoercive_sum, fisher_market], ids=lambda f: f.__name__)
def test_instances_change_with_the_seed_unless_they_are_pinned(factory):
    free, pinned = factory(), factory(instance=0)
    values = [p.instance(np.random.default_rng(s)) for p in (free, pinned) for s in (1, 2)]
    drawn = [task.op.value(task.u0) for task in values]
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[2], drawn[3])
    assert "instance=0" in pinned.name


def test_a_pinned_game_is_that_of_the_references():
    task = matrix_game(kind="uniform", size=300, instance=0).instance(np.random.default_rng(9))
    A = np.random.default_rng(0).random((300, 300))
    assert np.allclose(task.op.A, A * (10 / np.linalg.norm(A, 2)))


def random_points(op, seed):
    rng = np.random.default_rng(seed)
    return [0.5 * rng.random(op.dim) for _ in range(2)]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_operators_are_monotone_and_within_their_constants(seed):
    for op in (svm(), rls(), random_market(6, 4, seed)):
        u, v = random_points(op, seed)
        change, move = op.value(u) - op.value(v), u - v
        assert change @ move >= -1e-9
        assert np.linalg.norm(change) <= op.L * np.linalg.norm(move) * (1 + 1e-9)


def test_the_mean_over_all_components_is_the_operator():
    rng = np.random.default_rng(0)
    market = random_market(6, 4, 0)
    u, v = random_points(market, 1)
    everyone = np.arange(market.n)
    assert np.allclose(market.batch(u, everyone), market.value(u), atol=1e-12)
    spread = np.mean([np.sum((market.batch(u, [i]) - market.batch(v, [i])) ** 2) for i in everyone])
    assert spread <= market.L_mean**2 * np.sum((u - v) ** 2)

    op = BilinearOperator(rng.standard_normal((3, 4)), rng.standard_normal(3), 0.3, Free(), Box(0, 1))
    u, v = random_points(op, 2)
    mean, spread = np.zeros(op.dim), 0.0
    for i, j in itertools.product(range(3), range(4)):
        odds = (op.A[i] ** 2).sum() * (op.A[:, j] ** 2).sum() / (op.A**2).sum() ** 2
        mean += odds * op.batch(u, [4 * i + j])
        spread += odds * np.sum((op.batch(u, [4 * i + j]) - op.batch(v, [4 * i + j])) ** 2)
    assert np.allclose(mean, op.value(u), atol=1e-12)
    assert spread <= op.L_mean**2 * np.sum((u - v) ** 2)


def test_the_svm_is_that_of_liblinear():
    from sklearn.svm import LinearSVC

    op = svm(ridge=0.05)
    found = solve_inclusion(op, np.zeros(op.dim), method="eg", tol=1e-5, maxiter=20_000)
    x, y = make.standardized("breast_cancer")
    peer = LinearSVC(loss="hinge", C=1 / (len(y) * 0.05), max_iter=1_000_000, tol=1e-8, random_state=0).fit(x, y)

    def objective(w):
        return np.maximum(op.shape[0] ** 0.5 * (op.A @ w - op.b), 0).mean() + 0.5 * op.ridge * w @ w

    best = objective(np.append(peer.coef_[0], peer.intercept_[0]))
    assert objective(found.x[:31]) == pytest.approx(best, rel=1e-4)


def test_robust_least_squares_is_the_regularized_norm():
    op = rls(rho=0.5)
    found = solve_inclusion(op, np.zeros(op.dim), method="eg", tol=1e-8, maxiter=20_000)
    x, t = make.standardized("diabetes")
    n = len(t)

    def objective(w):
        return np.linalg.norm(x @ w - t) / n**0.5 + 0.5 * np.linalg.norm(w)

    best = minimize(objective, np.full(10, 0.01), method="BFGS", options={"gtol": 1e-9}).fun
    assert objective(found.x[:10]) == pytest.approx(best, abs=1e-6)


def test_a_market_reaches_its_equilibrium():
    market = random_market(5, 3, 1)
    u0 = np.concatenate([np.full(15, 0.2), np.full(3, 1 / 3)])
    found = solve_inclusion(market, u0, method="eg", tol=1e-7, maxiter=100_000)
    x, p = found.x[:15].reshape(5, 3), found.x[15:]
    assert found.success
    assert p.sum() == pytest.approx(1, abs=1e-4)
    assert x.sum(0) == pytest.approx(np.ones(3), abs=1e-4)
    assert x @ p == pytest.approx(market.budgets, abs=1e-4)
    # money goes where a unit of it buys most
    rates = market.values / p
    bought = x > 1e-3
    assert np.all(rates[bought] >= (rates.max(1, keepdims=True) * np.ones_like(x))[bought] * (1 - 1e-3))


def test_the_market_is_the_gradient_of_its_lagrangian():
    market = random_market(4, 3, 0)
    rng = np.random.default_rng(0)
    u = np.concatenate([0.2 + 0.3 * rng.random(12), rng.random(3)])

    def lagrangian(u):
        x, p = u[:12].reshape(4, 3), u[12:]
        return -market.budgets @ np.log((market.values * x).sum(1)) + p @ (x.sum(0) - 1)

    slopes = np.array([(lagrangian(u + h) - lagrangian(u - h)) / 2e-6 for h in 1e-6 * np.eye(15)])
    slopes[12:] *= -1
    assert np.allclose(market.value(u), slopes, atol=1e-7)


def test_a_torch_loss_is_the_operator_of_its_game():
    A = np.random.default_rng(0).random((4, 3))
    payoff = torch.from_numpy(A)
    x, y = torch.zeros(3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    op = from_saddle(lambda x, y, index: 4 * (y[index] * (payoff[index] @ x)).mean(), x, y, n=4)
    game = FiniteSumOperator.from_matrix_game(A)
    u = np.random.default_rng(1).random(7)
    assert np.allclose(op.full(u), game.full(u), atol=1e-14)
    assert op.calls == 4
    each = [op.batch(u, [i]) for i in range(4)]
    assert np.allclose(np.mean(each, axis=0), op.full(u), atol=1e-14)


@pytest.mark.parametrize("method", ["eg", "vr-halpern-inexact"])
def test_a_torch_loss_is_solved(method):
    """A group-robust least squares: the worst of two groups, against the solution by hand."""
    target = torch.tensor([0.0, 0.0, 3.0, 3.0], dtype=torch.float64)
    group = torch.tensor([0, 0, 1, 1])
    x, y = torch.zeros(1, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)

    def loss(x, y, index):
        return (2 * y[group[index]] * (x - target[index]) ** 2).mean()

    op = from_saddle(loss, x, y, n=4)

    def project(u):
        return np.concatenate([np.clip(u[:1], -1.0, 4.0), Simplex()(u[1:])])

    found = solve_inclusion(op, np.array([0.0, 0.5, 0.5]), project, method, tol=1e-2, maxiter=3000, rng=0)
    middle, weights = unpack(found.x, x, y)
    assert found.success
    assert middle.item() == pytest.approx(1.5, abs=1e-2)
    assert weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-2)


def test_a_constant_part_of_a_torch_loss_is_zero_and_errors_say_why():
    one = torch.zeros(1, dtype=torch.float64)
    op = from_saddle(lambda x, y, index: (x**2).sum(), one, one, n=2)
    assert op.full(np.array([1.0, 5.0])).tolist() == [2.0, 0.0]
    assert from_saddle(lambda x, y, i: torch.tensor(1.0), one, one, n=2).full(np.zeros(2)).tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match="must return a scalar tensor"):
        from_saddle(lambda x, y, index: 3.0, one, one, n=2).full(np.zeros(2))
    with pytest.raises(TypeError, match="loss must be a function"):
        from_saddle(3, one, one, n=2)
    with pytest.raises(ValueError, match="n must be"):
        from_saddle(lambda x, y, i: x.sum(), one, one, n=0)
    with pytest.raises(TypeError, match=r"floating point numbers, got one of torch.int64"):
        from_saddle(lambda x, y, i: x.sum(), one.long(), one, n=1)
    with pytest.raises(TypeError, match="x must be a tensor"):
        from_saddle(lambda x, y, i: x.sum(), 3.0, one, n=1)
    with pytest.raises(ValueError, match="u must have shape"):
        unpack(np.zeros(3), one, one)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_of_a_torch_loss_do_not_depend_on_the_callers_mode(mode):
    one = torch.zeros(1, dtype=torch.float64)
    op = from_saddle(lambda x, y, index: (x * y).sum(), one, one, n=2)
    with mode():
        assert op.full(np.array([2.0, 3.0])).tolist() == [3.0, -2.0]


def test_a_module_is_trained_through_its_functional_form():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1).double()
    names, start = zip(*model.named_parameters(), strict=True)
    data, shift = torch.randn(30, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    labels = (data[:, 0] > 0).double()

    def loss(x, y, index):
        out = torch.func.functional_call(model, dict(zip(names, x, strict=True)), (data[index] + y,)).squeeze(1)
        fit = torch.nn.functional.binary_cross_entropy_with_logits(out, labels[index])
        return fit + 0.05 * sum(p.square().sum() for p in x) - 0.5 * y.square().sum()

    op = from_saddle(loss, list(start), shift, n=30)
    u0 = pack(list(start), shift)
    assert np.allclose(op.batch(u0, np.arange(30)), op.full(u0), atol=1e-14)
    found = solve_inclusion(op, u0, tol=1e-4, maxiter=2000)
    weights, worst = unpack(found.x, list(start), shift)
    assert found.success
    assert [w.shape for w in weights] == [p.shape for p in start]
    assert worst[0] < 0  # against the class that the weights find by the first feature


def test_packing_keeps_shapes_and_dtypes():
    x = [torch.randn(2, 3), torch.randn(4, dtype=torch.float64)]
    y = torch.randn(2)
    back, other = unpack(pack(x, y), x, y)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(back, x, strict=True))
    assert torch.equal(other, y)


def test_methods_accept_the_operators_of_the_problems():
    for factory in PROBLEMS:
        task = factory().instance(np.random.default_rng(0))
        solver = make_method("vr-halpern-inexact", task.op, task.u0, task.resolvent, rng=0)
        start = task.residual(task.u0)
        while task.op.passes < 40:
            solver.step()
        assert task.residual(solver.u) < start
