"""The penalty method for PyTorch: the same numbers as on arrays, modules, state, memory and errors."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from optimand.core.projections import Box
from optimand.numerical.bilevel import (
    DoubleLoop,
    Level,
    LevelOracle,
    PenaltyBilevel,
    PenaltyWarning,
    SingleLoop,
    bilevel_minimize,
)

F64 = torch.float64
TARGET = torch.tensor([1.0, -2.0], dtype=F64)


def pair(x=3.0, z=(0.0, 0.0), dtype=F64):
    return (
        torch.tensor([x], dtype=dtype, requires_grad=True),
        torch.tensor(z, dtype=dtype, requires_grad=True),
    )


def f(xs, ys, batch=None):
    return 0.5 * (ys[0] - TARGET.to(ys[0])).square().sum() + xs[0].square().sum() / 4


def g(xs, ys, batch=None):
    scale = 1.0 if batch is None else batch
    return 0.5 * scale * (ys[0].sum() - xs[0]).square().sum() + 0.05 * ys[0].square().sum()


def oracle():
    target = TARGET.numpy()
    scaled = {
        "x": lambda x, y, s: (s or 1.0) * -(y.sum() - x),
        "y": lambda x, y, s: (s or 1.0) * (y.sum() - x) * np.ones(2) + 0.1 * y,
    }
    return LevelOracle(
        Level(lambda x, y, s: 0.0, lambda x, y, s: x / 2, lambda x, y, s: y - target),
        Level(lambda x, y, s: 0.0, scaled["x"], scaled["y"]), (1,), (2,), stochastic=True,
    )  # fmt: skip


class Pairs:
    """The same sequence of samples for both forms."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def torch(self):
        return float(1 + 0.3 * self.rng.random())

    def numpy(self, rng):
        from optimand.numerical.bilevel import PairedBatch

        return PairedBatch(None, self.torch())


@pytest.mark.parametrize("kind", ["one", "three", "prox", "storm", "storm boxed", "schedules"])
def test_the_same_numbers_as_on_arrays(kind):
    x, z = pair()
    options, arrays = {"upper_lr": 0.2, "lower_lr": 0.2, "sigma": 0.3}, {"alpha": 0.2, "gamma": 0.2, "sigma": 0.3}
    if kind == "schedules":
        options.update(sigma=lambda k: k**-0.5, upper_lr=lambda k: 0.1 / k)
        arrays.update(sigma=lambda k: k**-0.5, alpha=lambda k: 0.1 / k)
    if kind == "prox":
        options.update(inner_steps=2, rho=2.0, beta=0.5)
        arrays.update(rho=2.0, beta=0.5)
    if kind == "storm boxed":
        options.update(prox_upper=Box(-2.0, 2.8), prox_lower=Box(-1.0, 1.5))
    sampler, twin = Pairs(), Pairs()
    if kind.startswith("storm"):
        options.update(momentum="storm", eta=0.3)
        boxes = (Box(-2.0, 2.8), Box(-1.0, 1.5)) if kind == "storm boxed" else (None, None)
        other = SingleLoop(oracle(), [3.0], np.zeros(2), *boxes, eta=0.3, sample=twin.numpy, **arrays)
        with torch.no_grad():  # the array form projects its start
            x.clamp_(-2.0, 2.8) if kind == "storm boxed" else None
    else:
        steps = {"three": 3, "prox": 2}.get(kind, 1)
        options.update(inner_steps=steps)
        other = DoubleLoop(oracle(), [3.0], np.zeros(2), inner_steps=steps, sample=twin.numpy, **arrays)
    solver = PenaltyBilevel(x, z, **options)
    for _ in range(25):
        solver.step(f, g, sampler.torch)
        other.step()
    np.testing.assert_allclose(x.detach().numpy(), other.x, atol=1e-12)
    np.testing.assert_allclose(z.detach().numpy(), other.z, atol=1e-12)
    np.testing.assert_allclose(solver.y[0].detach().numpy(), other.y, atol=1e-12)


def test_a_module_on_the_lower_level_has_the_hypergradient_of_finite_differences():
    torch.manual_seed(0)
    inputs, valid_inputs = torch.randn(14, 2, dtype=F64), torch.randn(10, 2, dtype=F64)
    labels, valid_labels = (torch.sin(2 * a[:, :1]) + a[:, 1:] for a in (inputs, valid_inputs))
    noisy = labels + 0.7 * torch.randn(14, 1, dtype=F64)
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).to(F64)
    weights = torch.full((14,), 0.5, dtype=F64, requires_grad=True)

    def train(xs, ys, batch):
        penalty = sum(p.square().sum() for p in ys)
        return (xs[0] * (net(inputs) - noisy).square().mean(1)).mean() + 0.05 * penalty

    def valid(xs, ys, batch):
        return (net(valid_inputs) - valid_labels).square().mean()

    # A minimum near the start, from which every solve begins.
    solver = PenaltyBilevel(weights, net, sigma=1e-2, lower_lr=0.3, inner_steps=1000, upper_lr=1e-300)
    report = solver.step(valid, train)
    assert max(report.gap_y, report.gap_z) <= 1e-5
    (found,) = solver.hypergradient(valid, train)
    start = copy.deepcopy(net.state_dict())

    def resolved(point):
        net.load_state_dict(start)
        optimizer = torch.optim.LBFGS(
            net.parameters(), max_iter=60, tolerance_grad=1e-11, tolerance_change=1e-16, line_search_fn="strong_wolfe"
        )

        def closure():
            optimizer.zero_grad()
            loss = train([point], list(net.parameters()), None)
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            return valid([point], None, None).item()

    numeric = torch.zeros(14, dtype=F64)
    for i in range(14):
        e = torch.zeros(14, dtype=F64)
        e[i] = 1e-3
        base = weights.detach()
        numeric[i] = (resolved(base + e) - resolved(base - e)) / 2e-3
    assert found.norm().item() == pytest.approx(numeric.norm().item(), rel=0.1)
    cosine = functional.cosine_similarity(found, numeric, dim=0).item()
    assert cosine >= 0.99


@pytest.mark.parametrize("how", ["plain", "storm", "automatic", "optimizers"])
def test_resuming_is_exact(how, tmp_path):
    def make(x, z):
        options = {"upper_lr": 0.05, "lower_lr": 0.1, "sigma": lambda k: 0.5 * k**-0.2}
        if how == "storm":
            options["momentum"] = "storm"
        if how == "automatic":
            options["lower_lr"] = "auto"
        if how == "optimizers":
            options["upper_optimizer"] = lambda ps: torch.optim.Adam(ps, lr=0.05)
            options["lower_optimizer"] = lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.5)
        return PenaltyBilevel(x, z, **options)

    def go(solver, batches):
        for batch in batches:
            solver.step(f, g, batch)

    batches = [1 + 0.1 * math.sin(i) for i in range(12)]
    x1, z1 = pair()
    go(make(x1, z1), batches)
    x2, z2 = pair()
    first = make(x2, z2)
    go(first, batches[:5])
    torch.save({"x": x2.detach(), "z": z2.detach(), "solver": first.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert saved["solver"]["k"] == 5
    assert saved["solver"]["sigma"] == pytest.approx(0.5 * 5**-0.2)
    x3, z3 = (saved[key].clone().requires_grad_() for key in "xz")
    second = make(x3, z3)
    second.load_state_dict(saved["solver"])
    go(second, batches[5:])
    assert torch.equal(x1, x3)
    assert torch.equal(z1, z3)
    with pytest.raises(ValueError, match="state must be of lower parameters"):
        make(*pair(z=(0.0, 0.0, 0.0))).load_state_dict(saved["solver"])


@pytest.mark.parametrize("momentum", [None, "storm"])
def test_automatic_lower_steps_follow_the_curvature(momentum):
    x, z = pair()
    solver = PenaltyBilevel(x, z, sigma=1.0, lower_lr="auto", upper_lr=1e-3, momentum=momentum)
    solver.step(f, g)
    # The curvature of f is 1, that of g 2.1.
    assert solver._curvature.value == pytest.approx(0.8 / 3.1, rel=1e-3)
    with pytest.raises(ValueError, match="lower_lr must not be 'auto'"):
        PenaltyBilevel(x, z, lower_lr="auto", lower_optimizer=torch.optim.Adam)


def held(solver):
    tensors = {id(t): t for t in solver.y}
    for part in solver._estimates or ():
        tensors.update({id(t): t for t in part})
    for part in solver._previous.values():
        tensors.update({id(t): t for t in part} if isinstance(part, list) else {})
    return sum(t.numel() for t in tensors.values())


@pytest.mark.parametrize(("momentum", "copies"), [(None, 1), ("storm", 3)])
def test_extra_state_is_one_copy_of_y_and_two_for_momentum(momentum, copies):
    x = torch.zeros(1, requires_grad=True)
    z = torch.zeros(1000, requires_grad=True)
    solver = PenaltyBilevel(x, z, momentum=momentum, lower_lr=0.1)
    for _ in range(3):
        solver.step(lambda xs, ys, b: (ys[0] - 1).square().mean(), lambda xs, ys, b: (ys[0] - xs[0]).square().mean())
    assert copies * 1000 <= held(solver) <= copies * 1000 + 2


def test_dropout_masks_agree_at_y_and_z():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 1)).to(F64)
    x = torch.ones(1, dtype=F64, requires_grad=True)
    inputs = torch.randn(8, 3, dtype=F64)
    solver = PenaltyBilevel(x, net, lower_lr=1e-12, upper_lr=1e-12)

    def lower(xs, ys, batch):
        return (xs[0] * net(inputs).square()).mean()

    # y equals z, so with equal masks the two lower gradients cancel.
    assert abs(solver.hypergradient(lambda xs, ys, b: 0 * xs[0].sum(), lower)[0].item()) == 0
    with_mask, again = lower([x], None, None).item(), lower([x], None, None).item()
    assert with_mask != again


def test_closures_may_use_the_parameters_they_are_given():
    net = nn.Linear(2, 1).to(F64)
    x = torch.zeros(1, dtype=F64, requires_grad=True)
    inputs = torch.eye(2, dtype=F64)

    def by_module(xs, ys, batch):
        return (net(inputs) - xs[0]).square().mean() + 0.1 * sum(p.square().sum() for p in net.parameters())

    def by_arguments(xs, ys, batch):
        return (functional.linear(inputs, *ys) - xs[0]).square().mean() + 0.1 * sum(p.square().sum() for p in ys)

    def upper(xs, ys, batch):
        return (net(inputs) - 1).square().mean()

    solver = PenaltyBilevel(x, net, sigma=0.2, inner_steps=5, lower_lr=0.2, upper_lr=0.5)
    for _ in range(5):
        solver.step(upper, by_module)
    a, b = (solver.hypergradient(upper, closure)[0] for closure in (by_module, by_arguments))
    assert torch.equal(a, b)
    assert a.abs().item() > 0


def test_the_hypergradient_moves_nothing():
    x, z = pair()
    solver = PenaltyBilevel(x, z, lower_lr=0.2)
    solver.step(f, g)
    before = [t.detach().clone() for t in (x, z, solver.y[0])]
    solver.hypergradient(f, g)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, z, solver.y[0]), strict=True))
    assert solver.k == 1
    assert x.grad is None
    assert z.grad is None


def test_z_gets_no_gradient_of_the_upper_level():
    x, z = pair()
    solver = PenaltyBilevel(x, z, sigma=1.0, lower_lr=0.2, upper_lr=1e-12, inner_steps=200)
    for _ in range(5):
        solver.step(f, g)
    exact = torch.linalg.solve(
        torch.ones(2, 2, dtype=F64) + 0.1 * torch.eye(2, dtype=F64), 3 * torch.ones(2, dtype=F64)
    )
    assert torch.allclose(z, exact, atol=1e-6)


def network(norm=True):
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.BatchNorm1d(4) if norm else nn.Identity(), nn.Tanh(), nn.Linear(4, 1)]
    net, inputs = nn.Sequential(*layers).to(F64), torch.randn(16, 3, dtype=F64)
    weights = torch.full((16,), 0.5, dtype=F64, requires_grad=True)

    def train(xs, ys, batch=None):
        return (xs[0] * (net(inputs) - inputs[:, :1]).square().squeeze()).mean()

    def valid(xs, ys, batch=None):
        return (net(inputs + 3.0) - 1).square().mean()

    return net, weights, inputs, valid, train


@pytest.mark.parametrize("options", [{"inner_steps": 2}, {"momentum": "storm"}, {"lower_lr": "auto"}])
def test_buffers_of_a_module_follow_z_only(options):
    net, weights, inputs, valid, train = network()
    solver = PenaltyBilevel(weights, net, **options)
    fresh = {name: value.clone() for name, value in net[1].named_buffers()}
    solver.hypergradient(valid, train)
    assert all(torch.equal(fresh[name], value) for name, value in net[1].named_buffers())
    mean = net[0](inputs).mean(0).detach()
    for step in range(1, 13):
        solver.step(valid, train)
        assert net[1].num_batches_tracked == step * solver.inner_steps
        if step == 1 and solver.inner_steps == 1:
            assert torch.allclose(net[1].running_mean, 0.1 * mean)


def test_frozen_and_named_parameters():
    net, weights, _, valid, train = network(norm=False)
    net[0].weight.requires_grad_(False)
    frozen = net[0].weight.clone()
    first, second = (
        PenaltyBilevel(weights, net),
        PenaltyBilevel({"w": weights}.items(), list(net.named_parameters())[1:]),
    )
    assert [id(p) for p in first.z] == [id(p) for p in second.z]
    first.step(valid, train)
    assert torch.equal(net[0].weight, frozen)
    with pytest.raises(TypeError, match="options go to upper_optimizer"):
        PenaltyBilevel([{"params": [weights], "lr": 0.1}], net)


def test_optimizers_change_neither_estimates_nor_gradients_of_the_user():
    def run(foreach):
        net, weights, _, valid, train = network(norm=False)
        weights.grad = torch.ones_like(weights)
        solver = PenaltyBilevel(
            weights, net, momentum="storm",
            upper_optimizer=lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, foreach=foreach),
        )  # fmt: skip
        for _ in range(5):
            solver.step(valid, train)
        assert torch.equal(weights.grad, torch.ones_like(weights))
        return weights.detach()

    # With foreach, momentum is added to the gradient in place.
    assert torch.allclose(run(False), run(True), atol=1e-14, rtol=0)


def test_schedulers_take_the_optimizers():
    x, z = pair()
    solver = PenaltyBilevel(x, z, upper_optimizer=lambda ps: torch.optim.SGD(ps, lr=1.0))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(solver.upper_optimizer, 0.5)
    for _ in range(3):
        solver.step(f, g)
        scheduler.step()
    before = x.item()
    slope = solver.step(f, g).hypergrad_norm
    assert abs(x.item() - before) == pytest.approx(slope / 8)


def test_state_of_a_solver_of_another_kind_is_refused():
    plain, storm = (PenaltyBilevel(*pair(), momentum=m, lower_lr=0.1) for m in (None, "storm"))
    storm.step(f, g)
    with pytest.raises(ValueError, match="without momentum"):
        plain.load_state_dict(storm.state_dict())
    other = PenaltyBilevel(*pair(), upper_optimizer=torch.optim.Adam)
    with pytest.raises(ValueError, match="same optimizers"):
        other.load_state_dict(plain.state_dict())
    assert plain.k == other.k == 0


def test_a_lower_loss_of_other_tensors_is_told():
    x, z = pair()
    other = z.detach().clone().requires_grad_()
    for loss in (lambda xs, ys, b: (other.sum() - xs[0]).square().sum(), lambda xs, ys, b: g(xs, [ys[0].detach()])):
        with pytest.raises(ValueError, match="lower_loss does not depend on lower_params"):
            PenaltyBilevel(x, z).step(f, loss)
    assert z.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("momentum", [None, "storm"])
def test_an_upper_loss_that_is_detached_is_an_error(momentum):
    x, z = pair()
    other = z.detach().clone().requires_grad_()
    for loss in (lambda xs, ys, b: f(xs, ys).detach(), lambda xs, ys, b: f([other], [other])):
        solver = PenaltyBilevel(x, z, momentum=momentum)
        with pytest.raises(ValueError, match="upper_loss must depend on upper_params or lower_params"):
            solver.step(loss, g)
        with pytest.raises(ValueError, match="upper_loss must depend"):
            solver.hypergradient(loss, g)
    assert (x.item(), z.tolist()) == (3.0, [0.0, 0.0])
    PenaltyBilevel(x, z, momentum=momentum).step(lambda xs, ys, b: 0 * ys[0].sum(), g)


def test_functions_of_tensors_that_are_detached_are_an_error():
    def upper(x, y):
        return (y - 1).square().sum() + x.square().sum()

    def lower(x, y):
        return (y - x).square().sum()

    start = torch.ones(1, dtype=F64), torch.zeros(2, dtype=F64)
    for levels, text in [
        ((lambda x, y: upper(x.detach(), y.detach()), lower), "f must depend on x or y"),
        ((upper, lambda x, y: lower(x, y.detach())), "g must depend on y"),
    ]:
        with pytest.raises(ValueError, match=text):
            bilevel_minimize(*levels, *start)
    with pytest.raises(TypeError, match="f must return a scalar tensor, got float"):
        bilevel_minimize(lambda x, y: float(upper(x, y)), lower, *start)
    assert bilevel_minimize(upper, lower, *start).success


def test_an_error_in_a_step_leaves_the_parameters_where_it_began():
    x, z = pair()
    solver = PenaltyBilevel(x, z, inner_steps=400, lower_lr=50.0, upper_lr=0.1)
    with pytest.raises(FloatingPointError):
        solver.step(f, g)
    assert (x.item(), z.tolist(), solver.y[0].tolist()) == (3.0, [0.0, 0.0], [0.0, 0.0])


def test_automatic_lower_steps_where_the_lower_objective_is_flat():
    x, z = torch.ones(1, dtype=F64, requires_grad=True), torch.zeros(100, dtype=F64, requires_grad=True)
    curvature = torch.full((100,), 0.01, dtype=F64)
    curvature[0] = 1.0
    solver = PenaltyBilevel(x, z, sigma=1.0, lower_lr="auto", prox_lower=Box(-1, 1))
    drawn = []

    def draw():
        drawn.append(1)

    for _ in range(10):
        solver.step(
            lambda xs, ys, b: 0.5 * (curvature * ys[0].square()).sum() + xs[0].square().sum(),
            lambda xs, ys, b: xs[0].sum() * ys[0].mean(), draw,
        )  # fmt: skip
    assert solver._curvature.value == pytest.approx(0.8, rel=1e-6)
    # One look at the curvature in ten steps, and two batches a step.
    assert len(drawn) == 21


def test_short_numbers_and_small_penalties_are_told():
    x, z = pair(dtype=torch.float32)
    solver = PenaltyBilevel(x, z, sigma=1e-4, lower_lr=0.1)
    with pytest.warns(PenaltyWarning, match="below 0.001"):
        solver.step(f, g)
    solver.step(f, g)  # once is enough
    mixed = PenaltyBilevel(x.detach().double().requires_grad_(), z, sigma=1e-4, lower_lr=0.1)
    with pytest.warns(PenaltyWarning, match="float32 loses"):
        mixed.step(f, g)


def test_an_upper_variable_without_influence_is_told():
    x, z = pair()
    solver = PenaltyBilevel(x, z, lower_lr=0.1)
    for _ in range(4):
        solver.step(f, lambda xs, ys, b: g(xs, ys) * 1.0)
    multiplied = PenaltyBilevel(x, z, lower_lr=0.1)

    def idle(xs, ys, batch):
        return (ys[0] - 1).square().sum() + 0 * xs[0].sum()

    for _ in range(4):
        multiplied.step(idle, idle)
    with pytest.warns(PenaltyWarning, match="neither f nor g depends"):
        multiplied.step(idle, idle)
    solver = PenaltyBilevel(x, z, lower_lr=0.1)
    with pytest.warns(PenaltyWarning, match="neither f nor g depends"):
        solver.step(lambda xs, ys, b: ys[0].square().sum(), lambda xs, ys, b: ys[0].square().sum())


@pytest.mark.parametrize("which", ["f", "g"])
def test_a_loss_that_is_not_finite_raises_and_moves_nothing(which):
    x, z = pair()
    solver = PenaltyBilevel(x, z)

    def broken(xs, ys, batch):
        return ys[0].sum() * math.nan

    with pytest.raises(
        FloatingPointError, match=("upper" if which == "f" else "lower") + "_loss returned nan at step 1"
    ):
        solver.step(broken if which == "f" else f, broken if which == "g" else g)
    assert x.item() == 3.0
    assert z.tolist() == [0.0, 0.0]
    assert solver.k == 0


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"sigma": 0.0}, ValueError, "sigma"),
        ({"inner_steps": 0}, ValueError, "inner_steps"),
        ({"momentum": "adam"}, ValueError, "momentum"),
        ({"momentum": "storm", "inner_steps": 2}, ValueError, "single loop"),
        ({"rho": -1.0}, ValueError, "rho"),
        ({"beta": 0.0}, ValueError, "beta"),
        ({"eta": 2.0}, ValueError, "eta"),
        ({"upper_lr": -1.0}, ValueError, "upper_lr"),
        ({"lower_lr": "automatic"}, TypeError, "lower_lr"),
        ({"lower_optimizer": 3}, TypeError, "lower_optimizer"),
        ({"upper_optimizer": lambda ps: ps}, TypeError, "upper_optimizer must return"),
        ({"upper_optimizer": torch.optim.LBFGS}, TypeError, "without a closure, got LBFGS"),
        ({"lower_optimizer": lambda ps: torch.optim.SGD(pair()[:1], lr=0.1)}, ValueError, "optimizer of the tensors"),
        ({"prox_lower": [None, None]}, ValueError, "prox_lower must have one entry"),
        ({"prox_upper": 3.0}, TypeError, "prox_upper"),
        ({"upper_params": 3.0}, TypeError, "upper_params"),
        ({"upper_params": []}, ValueError, "upper_params"),
        ({"upper_params": [3.0]}, TypeError, "upper_params"),
        ({"lower_params": torch.zeros(2)}, ValueError, "requires_grad"),
    ],
)
def test_bad_arguments_are_named(changes, error, text):
    x, z = pair()
    with pytest.raises(error, match=text):
        PenaltyBilevel(**{"upper_params": x, "lower_params": z, **changes})


def test_parameters_are_not_shared_or_repeated():
    x, z = pair()
    with pytest.raises(ValueError, match="share"):
        PenaltyBilevel(x, [z, x])
    with pytest.raises(ValueError, match="once"):
        PenaltyBilevel(x, [z, z])


def test_wrong_results_of_closures_and_projections_are_named():
    x, z = pair()
    with pytest.raises(TypeError, match="upper_loss must return a scalar tensor"):
        PenaltyBilevel(x, z).step(lambda xs, ys, b: 1.0, g)
    with pytest.raises(TypeError, match="lower_loss must return a scalar tensor, got a tensor of shape"):
        PenaltyBilevel(x, z).step(f, lambda xs, ys, b: ys[0])
    with pytest.raises(ValueError, match="prox_lower must return an array of shape"):
        PenaltyBilevel(x, z, prox_lower=lambda v: v[:1]).step(f, g)
