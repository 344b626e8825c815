"""MinMax: closed forms, projections, finite sums, exact resume, and errors that say what is wrong."""

import io
import math
import warnings

import numpy as np
import pytest
import torch

from optimand.core.projections import Box, L2Ball, Simplex
from optimand.numerical.monotone.minmax import MinMax

SUM = {"vr-halpern", "vr-halpern-inexact"}


def parameter(*values):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_extragradient_on_the_plane_is_the_known_linear_map():
    x, y = parameter(1.0), parameter(0.0)
    optimizer = MinMax([x], [y], lr=0.5)
    u = np.array([1.0, 0.0])
    J = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for _ in range(7):
        optimizer.step(lambda: (x * y).sum())
        u = (np.eye(2) - 0.5 * J + 0.25 * J @ J) @ u
        assert np.allclose([x.item(), y.item()], u, atol=1e-14)


def test_anchored_extragradient_follows_its_recursion_and_bound():
    x, y = parameter(1.0), parameter(0.0)
    lr = 0.5
    optimizer = MinMax([x], [y], lr=lr, method="eag")
    J = np.array([[0.0, 1.0], [-1.0, 0.0]])
    u = anchor = np.array([1.0, 0.0])
    for k in range(100):
        optimizer.step(lambda: (x * y).sum())
        base = u + (anchor - u) / (k + 2)
        u = base - lr * J @ (base - lr * J @ u)
        assert np.allclose([x.item(), y.item()], u, atol=1e-13)
    # last iterate, O(1/k), with room for the constant
    assert np.linalg.norm(J @ u) <= 4.0 / 100


def test_halpern_follows_its_recursion_on_a_cocoercive_operator():
    x, y = parameter(0.3, -0.2), parameter(0.5)
    optimizer = MinMax([x], [y], lr=0.25, method="halpern", project=(Box(-0.4, 0.4), Box(-0.4, 0.6)))
    anchor = u = np.array([0.3, -0.2, 0.5])
    M = np.array([[1.0, 0, 0.5], [0, 2.0, 0], [-0.5, 0, 1.0]])
    low, high = np.array([-0.4, -0.4, -0.4]), np.array([0.4, 0.4, 0.6])
    for k in range(50):
        optimizer.step(lambda: 0.5 * x[0] ** 2 + x[1] ** 2 + 0.5 * x[0] * y[0] - 0.5 * (y**2).sum() + 0.1 * x.sum())
        weight = 2 / (k + 4)
        u = np.clip(weight * anchor + (1 - weight) * u - 0.25 * (M @ u + [0.1, 0.1, 0.0]), low, high)
        assert np.allclose([*x.tolist(), *y.tolist()], u, atol=1e-13)


def quadratic(n=16, d=3, seed=0):
    """Strongly convex-concave finite sum with its saddle point, as the solution of a linear system."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    A, p, q = 0.3 * draw(n, d, d), draw(n, d), draw(n, d)

    def loss(x, y, index):
        coupling = torch.einsum("i,nij,j->n", x, A[index], y)
        return (coupling + 0.5 * (x @ x) - 0.5 * (y @ y) + p[index] @ x + q[index] @ y).mean()

    mean = A.mean(0)
    system = torch.cat([torch.cat([torch.eye(d), mean], 1), torch.cat([-mean.T, torch.eye(d)], 1)]).double()
    solution = torch.linalg.solve(system, torch.cat([-p.mean(0), q.mean(0)]))
    return loss, solution


@pytest.mark.parametrize(
    ("method", "lr", "steps", "within"),
    [("eg", 0.5, 80, 1e-8), ("eag", 0.5, 200, 1e-2), ("halpern", 0.5, 200, 2e-2), ("vr-halpern", 0.4, 250, 2e-2),
     ("vr-halpern-inexact", 0.4, 4, 2e-2)],
)  # fmt: skip
def test_saddle_point_of_a_quadratic(method, lr, steps, within):
    loss, solution = quadratic()
    x, y = parameter(0.0, 0.0, 0.0), parameter(0.0, 0.0, 0.0)
    everything = torch.arange(16)
    options = {"n": 16, "seed": 3, "resolvent": 8.0} if method in SUM else {}
    optimizer = MinMax([x], [y], lr=lr, method=method, **options)
    closure = (lambda index: loss(x, y, index)) if method in SUM else (lambda: loss(x, y, everything))
    for _ in range(steps):
        optimizer.step(closure)
    assert (torch.cat([x, y]).detach() - solution).norm().item() < within
    assert optimizer.residual(closure) < 3 * within


@pytest.mark.parametrize("method", ["eg", "eag", "vr-halpern-inexact"])
def test_matrix_game_on_simplices(method):
    # rock, paper, scissors where one win counts double: A x = 0 gives (1, 2, 1)/4
    A = torch.tensor([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]], dtype=torch.float64)
    x, y = parameter(1.0, 0.0, 0.0), parameter(1.0, 0.0, 0.0)
    if method == "vr-halpern-inexact":
        # n = 3 summands: the rows
        options, lr, steps = {"n": 3, "seed": 0, "resolvent": 10.0}, 1 / float(3**0.5 * A.norm()), 8
        closure = lambda index: 3 * (y[index] * (A[index] @ x)).mean()  # noqa: E731
    else:
        options, lr, steps = {}, 0.3, 300
        closure = lambda: y @ A @ x  # noqa: E731
    optimizer = MinMax([x], [y], lr=lr, method=method, project=Simplex(), **options)
    for _ in range(steps):
        optimizer.step(closure)
    expected = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    assert (x - expected).norm().item() < 0.02
    assert (y - expected).norm().item() < 0.02
    assert abs(y.sum().item() - 1) < 1e-12


def test_adversarially_robust_logistic_regression():
    """min over weights, max over a bounded shift of each class's center: robust accuracy beats the plain fit's."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.ones(40), -torch.ones(40)]).double()
    # a strong but easily shifted feature, a weak one that the adversary cannot reach
    x = torch.stack([0.6 * labels, 0.5 * labels], 1) + 0.3 * torch.randn(80, 2, generator=generator).double()
    reach = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def attacked(w, shift):
        # linear in the shift for given weights after the logistic loss is written with its conjugate variable
        return torch.nn.functional.softplus(-labels * (x @ w) + (reach * shift * w).sum()).mean() + 0.01 * w @ w

    def worst(w):
        """Of one weight vector, or of many in rows."""
        margins = -labels * (w @ x.T) + (reach * w).abs().sum(-1, keepdim=True)
        return torch.nn.functional.softplus(margins).mean(-1) + 0.01 * (w * w).sum(-1)

    w, p = parameter(0.0, 0.0), torch.nn.Parameter(torch.full((80, 2), 0.5, dtype=torch.float64))

    # the worst of the shifts +reach and -reach of every example: a mixture p_i of the two, linear in p
    def closure():
        margins = torch.stack([-labels * (x @ w) + (s * reach * w).sum() for s in (1.0, -1.0)], 1)
        return (p * torch.nn.functional.softplus(margins)).sum(1).mean() + 0.01 * w @ w

    optimizer = MinMax([w], [{"params": [p], "lr": 20.0, "project": Simplex()}], lr=0.5, method="eg")
    for _ in range(600):
        optimizer.step(closure)
    # the smallest worst case, by a grid that is fine near its minimum
    grid = torch.cartesian_prod(torch.linspace(-1, 4, 201), torch.linspace(-1, 6, 281)).double()
    best = worst(grid).min().item()
    plain = parameter(0.0, 0.0)
    fit = torch.optim.LBFGS([plain], max_iter=100)

    def fitting():
        fit.zero_grad()
        loss = attacked(plain, torch.zeros(2, dtype=torch.float64))
        loss.backward()
        return loss

    fit.step(fitting)
    assert worst(w).item() < best + 1e-3
    assert worst(w).item() < worst(plain).item() - 0.05


@pytest.mark.parametrize("method", ["eg", "eag", "halpern", "vr-halpern", "vr-halpern-inexact"])
def test_a_resumed_run_is_the_same_run(method):
    loss, _ = quadratic()

    def make():
        x, y = parameter(1.0, 0.0, 0.0), parameter(0.0, -1.0, 0.0)
        options = {"n": 16, "seed": 5, "inner": 0.02} if method in SUM else {}
        optimizer = MinMax([x], [y], lr=0.1, method=method, **options)
        closure = (lambda index: loss(x, y, index)) if method in SUM else (lambda: loss(x, y, torch.arange(16)))
        return x, y, optimizer, closure

    x, y, optimizer, closure = make()
    for _ in range(5):
        optimizer.step(closure)
    buffer = io.BytesIO()
    torch.save({"x": x.detach(), "y": y.detach(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    x2, y2, optimizer2, closure2 = make()
    with torch.no_grad():
        x2.copy_(saved["x"])
        y2.copy_(saved["y"])
    optimizer2.load_state_dict(saved["optimizer"])
    for _ in range(5):
        optimizer.step(closure)
        optimizer2.step(closure2)
    assert torch.equal(x, x2)
    assert torch.equal(y, y2)


def test_the_finite_sum_estimate_is_exact_when_all_summands_agree():
    """Then the change on any batch is the change of the whole sum, so both methods walk the same path."""

    def path(method, **options):
        x, y = parameter(1.0), parameter(-1.0)
        optimizer = MinMax([x], [y], lr=0.2, method=method, **options)
        smooth = lambda: (0.5 * x**2 + 0.3 * x * y - 0.5 * y**2).sum()  # noqa: E731
        closure = (lambda index: smooth()) if options else smooth
        for _ in range(40):
            optimizer.step(closure)
        return x.item(), y.item()

    assert path("vr-halpern", n=50) == pytest.approx(path("halpern"), abs=1e-13)


def test_batches_of_the_closure_have_the_stated_sizes():
    sizes = []
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1, method="vr-halpern", n=30, batch=4, seed=1)

    def closure(index):
        assert int(index.min()) >= 0
        assert int(index.max()) < 30
        sizes.append(len(index))
        return (0.5 * x**2 - 0.5 * y**2).sum()

    for _ in range(60):
        optimizer.step(closure)
    assert sizes[0] == 30
    assert set(sizes) == {4, 30}
    assert sizes.count(4) % 2 == 0
    assert sizes.count(30) + sizes.count(4) // 2 == 60


def test_a_closure_may_call_backward_itself():
    def run(own):
        x, y = parameter(1.0), parameter(1.0)
        optimizer = MinMax([x], [y], lr=0.3)

        def closure():
            loss = (x * y).sum()
            if own:
                optimizer.zero_grad()
                loss.backward()
            return loss

        for _ in range(5):
            value = optimizer.step(closure)
        return float(value), x.item(), y.item()

    assert run(True) == run(False)


def test_groups_have_their_own_step_sizes_and_sets():
    x, free, y = parameter(3.0, 4.0), parameter(5.0), parameter(0.0)
    optimizer = MinMax([{"params": [x], "project": L2Ball(1.0)}, {"params": [free], "lr": 0.01}], [y], lr=0.5)
    optimizer.step(lambda: 0 * x.sum() + free.sum() + 0 * y.sum())
    assert x.norm().item() == pytest.approx(1.0)
    assert free.item() == pytest.approx(4.99)
    # functions have no place in a checkpoint
    assert "project" not in optimizer.state_dict()["param_groups"][0]


def test_a_parameter_that_the_loss_does_not_use_stays():
    x, unused, y = parameter(1.0), parameter(2.0), parameter(0.0)
    optimizer = MinMax([x, unused], [y], lr=0.1)
    optimizer.step(lambda: (x * y).sum())
    assert unused.item() == 2.0


def test_restart_moves_the_anchor():
    x, y = parameter(1.0), parameter(0.0)
    optimizer = MinMax([x], [y], lr=0.5, method="eag")
    for _ in range(10):
        optimizer.step(lambda: (x * y).sum())
    here = x.item()
    optimizer.restart()
    optimizer.step(lambda: (x * y).sum())
    assert float(optimizer.state[x]["anchor"]) == here


def test_halpern_warns_on_a_bilinear_loss_and_not_on_a_cocoercive_one():
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1, method="halpern")
    optimizer.step(lambda: (x * y).sum())
    with pytest.warns(RuntimeWarning, match="not cocoercive"):
        optimizer.step(lambda: (x * y).sum())
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.5, method="halpern")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(200):
            optimizer.step(lambda: (0.5 * x**2 + 0.5 * x * y - 0.5 * y**2).sum())


@pytest.mark.parametrize(("method", "good"), [("eg", 3), ("eag", 3), ("vr-halpern", 1)])
def test_a_loss_that_is_not_finite_leaves_the_parameters_where_they_were(method, good):
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1, method=method, **({"n": 4} if method in SUM else {}))
    calls = []

    def closure(*index):
        calls.append(1)
        return (x * y).sum() * (math.nan if len(calls) > good else 1.0)

    optimizer.step(closure)
    before = x.item(), y.item()
    # the extragradient methods meet it at their half step
    with pytest.raises(FloatingPointError, match="not finite in step 1"):
        optimizer.step(closure)
    assert (x.item(), y.item()) == before


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda x, y: MinMax([x], [y], lr=0.0), ValueError, "lr must be in"),
        (lambda x, y: MinMax([x], [y], lr=math.nan), ValueError, "lr must be in"),
        (lambda x, y: MinMax([x], [y], lr="0.1"), TypeError, "lr must be a number"),
        (lambda x, y: MinMax([x], [y], 0.1, method="vr-halper"), ValueError, "did you mean 'vr-halpern'"),
        (lambda x, y: MinMax([x], [y], 0.1, method="vr-halpern"), ValueError, "n must be the number of summands"),
        (lambda x, y: MinMax([x], [y], 0.1, n=5), ValueError, "n and batch are for"),
        (lambda x, y: MinMax([x], [y], 0.1, method="vr-halpern", n=5, batch=6), ValueError, "batch must be in"),
        (lambda x, y: MinMax([], [y], 0.1), ValueError, "min_params must not be empty"),
        (lambda x, y: MinMax(x, [y], 0.1), TypeError, "min_params must be a module or an iterable"),
        (lambda x, y: MinMax([x], [x], 0.1), ValueError, "some parameters appear in more than one"),
        (lambda x, y: MinMax([x], [y], 0.1, project=3), TypeError, "a set must have"),
        (lambda x, y: MinMax([{"params": [x], "maximize": True}], [y], 0.1), ValueError, "maximize=True"),
        (lambda x, y: MinMax([x], [y], 0.1, seed=-1), ValueError, "seed must be"),
        (lambda x, y: MinMax([x], [y], 0.1).step(), TypeError, "needs a closure"),
        (lambda x, y: MinMax([x], [y], 0.1).step(lambda: 3.0), TypeError, "scalar tensor"),
        (lambda x, y: MinMax([x], [y], 0.1).step(lambda: x * torch.ones(2)), TypeError, "scalar tensor"),
        (lambda x, y: MinMax([x], [y], 0.1).step(lambda: (x * y).sum().detach()), ValueError, "got a detached one"),
        (lambda x, y: MinMax([x], [y], 0.1).load_state_dict({"state": {}}), ValueError, "must come from MinMax"),
    ],
)
def test_errors_name_the_argument(make, error, text):
    with pytest.raises(error, match=text):
        make(parameter(1.0), parameter(1.0))


def test_float32_and_a_schedule_of_the_step_size():
    x, y = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = MinMax([x], [y], lr=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.998)
    for _ in range(100):
        optimizer.step(lambda: (x * y).sum())
        schedule.step()
    assert x.dtype == torch.float32
    assert x.norm().item() < 1e-3
