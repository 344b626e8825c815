"""LionK as an optimizer: equality with Lion and of its paths, groups, checkpoints, diagnostics, errors, presets."""

from __future__ import annotations

import copy
import io
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from optimand.core import catalog
from optimand.optim import Lion, LionK
from optimand.optim import kappa as kappas
from optimand.optim.lion_k import lion_k_nuclear, lion_k_update
from optimand.optim.lion_k.norms import launch_rows, tensor_norms

SHAPES = [(17, 9), (3, 4, 3, 3), (33,), (), (1, 5), (0, 4)]
EVERY = [
    ("l1", {}),
    ("lp", {"p": 1.5}),
    ("l2", {}),
    ("linf", {}),
    ("dead_zone", {"e": 0.1}),
    ("top_k", {"k": 1}),
    ("huber", {"e": 0.1}),
    ("relativistic", {"e": 0.1}),
    ("log_cosh", {"a": 3.0}),
    ("softmax", {}),
    ("group_l2", {}),
    ("quadratic", {}),
    ("scaled", {"kappa": "l2", "s": 3.0}),
    ("scaled", {"kappa": {"name": "group_l2"}, "s": 0.5}),
    ("scaled", {"kappa": {"name": "log_cosh"}, "s": 0.5}),
    ("sum", {"kappas": ["l1", "quadratic"]}),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(EVERY)]


def make(shapes=SHAPES, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in shapes]


def drive(optimizer, params, steps=10, seed=1, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = (scale * torch.randn(p.shape, generator=generator, dtype=torch.float64)).to(p.dtype)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("path", [{"fused": True}, {"foreach": True}, {"foreach": False, "fused": False}])
def test_l1_equals_lion_bit_for_bit(dtype, path):
    ours, theirs = make(dtype=dtype), make(dtype=dtype)
    lion_k = LionK(ours, lr=0.01, weight_decay=0.3, kappa="l1", **path)
    lion = Lion(theirs, lr=0.01, weight_decay=0.3, **path)
    drive(lion_k, ours, steps=50)
    drive(lion, theirs, steps=50)
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)
        assert torch.equal(lion_k.state[p]["exp_avg"], lion.state[q]["exp_avg"])


@pytest.mark.parametrize(("name", "kwargs"), EVERY, ids=IDS)
@pytest.mark.parametrize("decay", ["explicit", "implicit"])
@pytest.mark.parametrize("path", [{}, {"foreach": True}, {"foreach": False, "fused": False}])
def test_every_path_follows_the_plain_update(name, kwargs, decay, path):
    shapes = [s for s in SHAPES if s != (0, 4)] if name == "top_k" else SHAPES
    params = make(shapes)
    kappa = kappas.get_kappa(name, **kwargs)
    expected = [(p.detach().clone(), torch.zeros_like(p)) for p in params]
    optimizer = LionK(params, lr=0.01, weight_decay=0.5, kappa=kappa, decay=decay, **path)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        for i, p in enumerate(params):
            p.grad = 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
            expected[i] = lion_k_update(
                *expected[i], p.grad, kappa.grad, lr=0.01, weight_decay=0.5, implicit=decay == "implicit"
            )
        optimizer.step()
    for p, (x, m) in zip(params, expected, strict=True):
        torch.testing.assert_close(p.detach(), x, rtol=0, atol=1e-13)
        torch.testing.assert_close(optimizer.state[p]["exp_avg"], -m, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "kwargs"), [*EVERY, ("nuclear", {}), ("nuclear", {"method": "newton_schulz"})])
def test_paths_agree_in_float32(name, kwargs):
    shapes = [(6, 300) if name != "nuclear" else (6, 9), (3, 4, 3, 3)]
    results = []
    for path in ({}, {"foreach": True}, {"foreach": False, "fused": False}):
        params = make(shapes, torch.float32)
        drive(LionK(params, lr=0.01, weight_decay=0.5, kappa=name, kappa_kwargs=kwargs, **path), params, steps=20)
        results.append(params)
    for other in results[1:]:
        for p, q in zip(results[0], other, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kwargs", [{"kappa": "l2"}, {"kappa": "group_l2"}])
def test_compiled_norms_survive_vanishing_and_huge_momenta(kwargs):
    for scale in (0.0, 1e-200, 1e200):
        params, plain = make([(4, 300), (6,)]), make([(4, 300), (6,)])
        fused = LionK(params, lr=0.01, **kwargs)
        drive(fused, params, steps=2, scale=scale)
        drive(LionK(plain, lr=0.01, fused=False, **kwargs), plain, steps=2, scale=scale)
        for p, q in zip(params, plain, strict=True):
            assert torch.isfinite(p).all()
            torch.testing.assert_close(p, q, rtol=0, atol=1e-14)


def test_norm_kernels_serve_what_they_say():
    """The compiled norms are really taken (nothing is left to the tensor path) and equal torch's."""
    grads = [torch.randn(s, generator=torch.Generator().manual_seed(3)) for s in ((70000,), (5, 7), ())]
    averages = [torch.randn(g.shape, generator=torch.Generator().manual_seed(4)) for g in grads]
    norms, rest = tensor_norms(averages, grads, 0.9, maximize=True)
    assert rest == []
    for norm, g, m in zip(norms, grads, averages, strict=True):
        assert norm == pytest.approx(float((0.9 * m.double() - 0.1 * g.double()).norm()), rel=1e-6)
    table = [(0.1, 1.0, 0.9, 0.1, 0.99, 0.01, 1.0)] * 3
    params = [torch.zeros_like(g) for g in grads]
    assert launch_rows(params, grads, averages, table) == []
    assert float(params[0].abs().max()) == pytest.approx(0.1)  # rows of a vector are its entries
    assert params[1].norm(dim=1).tolist() == pytest.approx([0.1] * 5)


def test_quadratic_without_decay_is_undamped_momentum():
    beta, lr = 0.9, 0.1
    params = make([(5,)])
    x, m = params[0].detach().clone(), torch.zeros(5, dtype=torch.float64)
    optimizer = LionK(params, lr=lr, betas=(beta, beta), kappa="quadratic")
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        g = torch.randn(5, generator=generator, dtype=torch.float64)
        params[0].grad = g.clone()
        optimizer.step()
        m = beta * m - (1 - beta) * g
        x = x + lr * m
    torch.testing.assert_close(params[0].detach(), x, rtol=0, atol=1e-12)


def test_groups_have_kappas_of_their_own():
    a, b = make([(4, 3), (5,)])
    optimizer = LionK(
        [{"params": [a], "kappa": "nuclear"}, {"params": [b], "kappa": "huber", "kappa_kwargs": {"e": 0.2}}], lr=0.1
    )
    assert optimizer.param_groups[0]["kappa"] == kappas.Nuclear()
    assert optimizer.param_groups[1]["kappa"] == kappas.Huber(0.2)
    before = a.detach().clone()
    drive(optimizer, [a, b], steps=1)
    assert torch.linalg.svdvals((a.detach() - before) / 0.1).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("name", "kwargs"), [*EVERY, ("nuclear", {})])
def test_checkpoint_resumes_bit_for_bit_and_loads_with_weights_only(name, kwargs):
    shapes = [(4, 3), (6, 2)]
    params = make(shapes)
    optimizer = LionK(params, lr=0.01, weight_decay=0.1, kappa=name, kappa_kwargs=kwargs)
    drive(optimizer, params, steps=5)
    buffer = io.BytesIO()
    torch.save({"model": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = [nn.Parameter(p.clone()) for p in saved["model"]]
    other = LionK(resumed, lr=1.0, kappa="l1")
    other.load_state_dict(saved["optimizer"])
    assert other.param_groups[0]["kappa"] == optimizer.param_groups[0]["kappa"]
    drive(optimizer, params, steps=5, seed=9)
    drive(other, resumed, steps=5, seed=9)
    for p, q in zip(params, resumed, strict=True):
        assert torch.equal(p, q)


def test_checkpoint_of_a_callable_names_what_is_missing():
    def cube_root(c):
        return c.sign() * c.abs() ** (1 / 3)

    params = make([(3,)])
    optimizer = LionK(params, lr=0.01, kappa=cube_root, weight_decay=0.1)
    drive(optimizer, params)
    saved = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"callable kappa '.*cube_root'.*before loading"):
        LionK(make([(3,)]), kappa="l1").load_state_dict(saved)
    again = make([(3,)])
    same = LionK(again, kappa=cube_root)
    same.load_state_dict(saved)
    assert torch.equal(same.state[again[0]]["exp_avg"], optimizer.state[params[0]]["exp_avg"])
    with pytest.raises(NotImplementedError, match="cube_root"):
        optimizer.objective(0.0)


def test_checkpoint_of_an_unregistered_kappa_names_what_is_missing():
    class Own(kappas.L1):
        name = "own"

    saved = LionK(make([(3,)]), kappa=Own()).state_dict()
    with pytest.raises(ValueError, match=r"unregistered kappa '.*Own.*register_kappa"):
        LionK(make([(3,)]), kappa="l1").load_state_dict(saved)
    LionK(make([(3,)]), kappa=Own()).load_state_dict(saved)


def test_callable_that_changes_the_shape_is_refused():
    params = make([(3,)])
    with pytest.raises(ValueError, match="must keep the shape"):
        drive(LionK(params, kappa=lambda c: c.sum()), params)


def test_checkpoint_of_lion_continues_as_lion_k():
    params = make([(3, 2)])
    lion = Lion(params, lr=0.01, weight_decay=0.1)
    drive(lion, params, steps=3)
    ours = copy.deepcopy(params)
    optimizer = LionK(ours, kappa="l1")
    optimizer.load_state_dict(lion.state_dict())
    drive(lion, params, steps=3, seed=5)
    drive(optimizer, ours, steps=3, seed=5)
    assert torch.equal(params[0], ours[0])


def test_deepcopy_keeps_the_kappa_and_the_course():
    params = make([(3, 2)])
    optimizer = LionK(params, lr=0.01, kappa="l2")
    drive(optimizer, params)
    twins = copy.deepcopy((params, optimizer))
    drive(optimizer, params, seed=7)
    drive(twins[1], twins[0], seed=7)
    assert torch.equal(params[0], twins[0][0])


def test_maximize_ascends():
    up, down = make([(4, 3)]), make([(4, 3)])
    drive(LionK(up, lr=0.01, kappa="l2", maximize=True), up, scale=-0.3)
    drive(LionK(down, lr=0.01, kappa="l2"), down)
    torch.testing.assert_close(up[0], down[0], rtol=0, atol=1e-15)


def test_softmax_moves_against_the_gradient_although_it_is_not_odd():
    params = [nn.Parameter(torch.zeros(3, dtype=torch.float64))]
    optimizer = LionK(params, lr=0.1, betas=(0.0, 0.0), kappa="softmax")
    params[0].grad = torch.tensor([-5.0, 0.0, 5.0], dtype=torch.float64)
    optimizer.step()
    assert int(params[0].argmax()) == 0
    assert float(params[0].detach().sum()) == pytest.approx(0.1)


@pytest.mark.parametrize("kappa", ["l2", "group_l2", "linf"])
def test_stochastic_rounding_moves_bfloat16_on_average(kappa):
    steps = 400
    params = [nn.Parameter(torch.ones(64, 8, dtype=torch.bfloat16))]
    optimizer = LionK(params, lr=1e-3, betas=(0.0, 0.0), kappa=kappa, stochastic_rounding=True)
    for _ in range(steps):
        params[0].grad = torch.ones_like(params[0])
        optimizer.step()
    # Steps rounded to the nearest would change nothing: 1e-3 is below half a unit of bfloat16 at 1.
    shift = 1 - float(params[0].detach().float().mean())
    entries = {"l2": 1 / math.sqrt(512), "group_l2": 1 / math.sqrt(8), "linf": 1 / 512}[kappa]
    assert shift == pytest.approx(steps * 1e-3 * entries, rel=0.35)


def test_non_contiguous_parameters_take_the_same_steps():
    base = make([(6, 4)])[0].detach()
    for kappa in ("l2", "group_l2", "huber"):
        plain, turned = nn.Parameter(base.clone()), nn.Parameter(base.t().contiguous().t())
        drive(LionK([plain], lr=0.1, kappa=kappa), [plain])
        drive(LionK([turned], lr=0.1, kappa=kappa), [turned])
        torch.testing.assert_close(plain, turned, rtol=0, atol=1e-14)


def test_nan_gradients_poison_and_do_not_raise():
    for kappa in ("nuclear", "schatten", "l2", "group_l2"):
        params = make([(3, 2)])
        params[0].grad = torch.full((3, 2), math.nan, dtype=torch.float64)
        LionK(params, lr=0.1, kappa=kappa).step()
        assert params[0].isnan().all()


def test_diagnostics_are_those_of_the_theory():
    lam, lr = 2.0, 0.1
    p = nn.Parameter(torch.tensor([0.3, -0.4], dtype=torch.float64))
    optimizer = LionK([p], lr=lr, weight_decay=lam, kappa="relativistic", kappa_kwargs={"e": 0.5}, decay="implicit")
    kappa = kappas.Relativistic(0.5)
    p.grad = torch.tensor([1.0, -2.0], dtype=torch.float64)
    optimizer.step()
    x, m, g = p.detach(), -optimizer.state[p]["exp_avg"], p.grad
    objective = 7.0 + float(kappa.conj(lam * x)) / lam
    assert optimizer.objective(torch.tensor(7.0)) == pytest.approx(objective)
    c = lr * 0.9 / (lr * lam * 0.1 + 0.01)
    gap = float(kappa.conj(lam * x) + kappa.value(m) - lam * (x @ m))
    assert optimizer.lyapunov(7.0) == pytest.approx(objective + c * gap)
    assert optimizer.kkt_score() == pytest.approx(float(kappa.value(-g) + kappa.conj(lam * x) + lam * (x @ g)))
    assert optimizer.constraint_violation() == 0.0
    with torch.no_grad():
        p.fill_(1.0)
    assert optimizer.constraint_violation() == pytest.approx(math.hypot(0.5, 0.5))
    assert optimizer.objective(7.0) == math.inf


def test_diagnostics_of_half_precision_are_taken_in_float32():
    p = nn.Parameter(torch.full((1000,), 0.1, dtype=torch.bfloat16))
    optimizer = LionK([p], lr=0.1, weight_decay=1.0, kappa="l2")
    value = float(p.detach().double().norm()) - 1
    assert optimizer.constraint_violation() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_at_the_edge_of_the_set_does_not_make_the_objective_infinite(dtype):
    p = nn.Parameter(torch.linspace(-0.5, 0.5, 101).to(dtype))
    optimizer = LionK([p], lr=0.003, weight_decay=1.7, kappa="l1")
    for _ in range(1500):
        p.grad = -torch.ones_like(p)
        optimizer.step()
    assert float(p.detach().max()) == pytest.approx(1 / 1.7, rel=0.2)
    assert optimizer.objective(1.0) == 1.0
    assert math.isfinite(optimizer.lyapunov(1.0))


def test_diagnostics_without_decay_or_gradients_say_so():
    p = nn.Parameter(torch.ones(2))
    optimizer = LionK([p], lr=0.1)
    with pytest.raises(ValueError, match="radius of the constraint set is infinite"):
        optimizer.constraint_violation()
    with pytest.raises(ValueError, match=r"backward\(\)"):
        optimizer.kkt_score()
    assert optimizer.objective(2.5) == 2.5
    p.grad = torch.tensor([math.nan, 1.0])
    with pytest.raises(ValueError, match="must be finite"):
        optimizer.kkt_score()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kappa": "hubber"}, ValueError, "did you mean 'huber'"),
        ({"kappa": "huber", "kappa_kwargs": {"e": -1}}, ValueError, "e must be in"),
        ({"kappa": "lp", "kappa_kwargs": {"p": 0.5}}, ValueError, "p must be in"),
        ({"kappa": "top_k", "kappa_kwargs": {"k": 100}}, ValueError, "parameter 0 of group 0: k must be at most"),
        ({"kappa": "group_l2", "kappa_kwargs": {"index": [0, 1]}}, ValueError, "2 labels"),
        ({"kappa": "nuclear"}, ValueError, r"parameter 1 of group 0: .*needs a matrix.*'l1' or 'l2'"),
        ({"kappa": 3}, TypeError, "kappa must be a name"),
        ({"kappa": torch.sign, "kappa_kwargs": {"e": 1}}, TypeError, "kappa_kwargs must be empty"),
        ({"lr": -1.0}, ValueError, "lr must be in"),
        ({"lr": math.nan}, ValueError, "lr must be in"),
        ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be in"),
        ({"decay": "both"}, ValueError, "decay must be one of"),
        ({"momentum_dtype": torch.int8}, ValueError, "momentum_dtype"),
        ({"fused": True, "foreach": True}, ValueError, "foreach and fused"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        LionK(make([(4, 3), (5,)]), **options)


def test_parameters_are_named_by_their_names_where_they_have_some():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="bias of group 0"):
        LionK(model.named_parameters(), kappa="nuclear")


def test_a_refused_group_leaves_the_optimizer_as_it_was():
    optimizer = LionK(make([(4, 3)]), kappa="nuclear")
    with pytest.raises(ValueError, match="parameter 0 of group 1"):
        optimizer.add_param_group({"params": make([(5,)])})
    assert len(optimizer.param_groups) == 1


def test_steps_that_turn_signs_are_warned_of():
    with pytest.warns(UserWarning, match=r"lr \* weight_decay is 2"):
        LionK(make([(3,)]), lr=1.0, weight_decay=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LionK(make([(3,)]), lr=1.0, weight_decay=2.0, decay="implicit")


@pytest.mark.parametrize("name", ["lion-k", "lion-k-nuclear", "lion-k-group", "lion-k-l2", "lion-k-huber"])
def test_presets_train_a_whole_network(name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(),
        nn.LayerNorm(12), nn.Linear(12, 3),
    )  # fmt: skip
    data = torch.randn(120, 16)
    labels = (data @ torch.randn(16, 3)).argmax(1)
    optimizer = catalog.methods("training")[name].build(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_nuclear_preset_routes_by_shape_and_keeps_its_radius():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 4))
    lam, rms, lr = 5.0, 0.2, 0.02
    optimizer = lion_k_nuclear(model.parameters(), lr=lr, weight_decay=lam, rms=rms, method="svd")
    kinds = {tuple(p.shape): g["kappa"].resolve(p) for g in optimizer.param_groups for p in g["params"]}
    assert kinds[(20, 8)] == kappas.Scaled(kappas.Nuclear(), rms * math.sqrt(20))
    assert kinds[(20,)] == kappas.Scaled(kappas.L1(), rms)
    x = torch.randn(64, 8)
    start = optimizer.constraint_violation()
    for t in range(1, 150):
        optimizer.zero_grad()
        (model(x) - 100.0).square().mean().backward()
        optimizer.step()
        assert optimizer.constraint_violation() <= start * (1 - lr * lam) ** t + 1e-5
    for layer in (model[0], model[2]):
        radius = rms * math.sqrt(max(layer.weight.shape)) / lam
        assert float(torch.linalg.svdvals(layer.weight.detach()).max()) <= radius * (1 + 1e-4)


def test_fused_log_cosh_of_float32_is_tanh_to_a_few_units_in_the_last_place():
    c = torch.cat([torch.linspace(-12, 12, 4001), torch.logspace(-30, 0, 200)])
    p = nn.Parameter(torch.zeros_like(c))
    p.grad = -c
    LionK([p], lr=1.0, betas=(0.0, 0.0), kappa="log_cosh").step()
    expected = torch.tanh(c.double())
    assert float(((p.detach().double() - expected).abs() / expected.abs().clamp_min(1e-300)).nan_to_num().max()) < 5e-7
    assert np.isfinite(p.detach().numpy()).all()
