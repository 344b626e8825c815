"""EXAdam: both versions of the paper, its switches, and the checkpoints that it accepts."""

from __future__ import annotations

import copy
import math

import pytest
import pytorch_optimizer
import torch
from torch import nn

from optimand.optim import EXAdam
from optimand.optim.exadam import step_factor, step_growth

# theta_0, three gradients, lr = 0.01, weight decay 0.1, other defaults: float64 trajectories computed independently
# with NumPy from the author's code.
THETA = [0.5, -0.25, 1.0, 0.0]
GRADS = ([0.3, -0.2, 0.0, 1e-3], [-0.1, 0.4, 0.0, -2e-3], [-0.5, -0.05, 0.0, 5e-3])
TRAJECTORIES = {
    "v2": (
        [0.339983468525484, -0.090244014391543, 0.999, -0.099645443766133],
        [0.368661283506850, -0.194443429063277, 0.998001, -0.021653848891947],
        [0.456001578714259, -0.186655582800021, 0.997002999, -0.106419497297636],
    ),
    "v1": (
        [0.388931565955738, -0.139188875793063, 0.999, -0.069068958402140],
        [0.4145390919641541, -0.2324806786639831, 0.998001, 7.819295405563e-4],
        [0.50531737672449, -0.224353179337255, 0.997002999, -0.087373971646554],
    ),
}
# Step of a constant gradient in units of lr, at t = 1, 2, 5, 10, 100, 1000, 10000.
TIMES = (1, 2, 5, 10, 100, 1000, 10000)
FACTORS = {
    "v2": (15.9524972637, 9.3014311185, 5.4448165679, 4.3445506051, 3.8095842959, 2.7353908495, 2.0000903467),
    "v1": (11.0574285012, 8.3329636420, 6.7649304482, 6.7145951806, 10.1111466292, 10.3970865301, 9.9040349257),
}
PATHS = ({"fused": True}, {"foreach": True}, {"foreach": False, "fused": False}, {"capturable": True})


def first_step(gradient: float, **options) -> float:
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    p.grad = torch.full_like(p, gradient)
    EXAdam([p], lr=1.0, **options).step()
    return -p.item()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_worked_example(version, path):
    p = nn.Parameter(torch.tensor(THETA, dtype=torch.float64))
    optimizer = EXAdam([p], lr=0.01, weight_decay=0.1, dynamic_lr=version == "v1", **path)
    for g, expected in zip(GRADS, TRAJECTORIES[version], strict=True):
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        torch.testing.assert_close(p.detach(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13)


def test_cross_factors_of_the_worked_example():
    m = v = 0.0
    for t, g in enumerate((g[3] for g in GRADS), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        d1 = 1 + v / (v + 1e-8) * 0.999**t
        d2 = 1 + m * m / (m * m + 1e-8) * 0.9**t
        if t == 1:
            assert (d1, d2) == pytest.approx((1.090818181818182, 1.45), rel=1e-13)
    assert (d1, d2) == pytest.approx((1.747714862261693, 1.686318751061176), rel=1e-13)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_constant_gradient_factor(version):
    for t, factor in zip(TIMES, FACTORS[version], strict=True):
        assert step_factor(t, dynamic_lr=version == "v1") == pytest.approx(factor, rel=1e-10)
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = EXAdam([p], lr=1.0, eps=0.0, dynamic_lr=version == "v1")
    for t in range(1, 1001):
        before = p.item()
        p.grad = torch.full_like(p, 2.5)
        optimizer.step()
        if t in TIMES:
            assert before - p.item() == pytest.approx(FACTORS[version][TIMES.index(t)], rel=1e-10)


def test_first_step_depends_on_the_scale_of_the_gradient():
    table = {
        1.0: 15.952421204352,
        1e-2: 15.263570115958,
        1e-3: 9.964544376613,
        1e-4: 10.961153397424,
        1e-5: 10.988626834426,
    }
    for gradient, step in table.items():
        assert first_step(gradient) == pytest.approx(step, rel=1e-10)
    for gradient in table:
        assert first_step(gradient, eps=0.0) == pytest.approx(15.95249726366905, rel=1e-12)


def test_switches_of_the_ablation():
    beta1, beta2 = 0.9, 0.999
    no_acceleration = (1 + beta2) / math.sqrt(1 + beta1)
    assert first_step(1e6, acceleration=False) == pytest.approx(no_acceleration, rel=1e-10)
    assert first_step(1e6, cross_moments=False) == pytest.approx(1 + 1 / (1 - beta1), rel=1e-10)
    assert first_step(1e6, cross_moments=False, acceleration=False) == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_without_both_components_it_is_adamw(path):
    generator = torch.Generator().manual_seed(0)
    ours = nn.Parameter(torch.randn(40, generator=generator, dtype=torch.float64))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = (
        EXAdam([ours], lr=1e-2, weight_decay=0.1, cross_moments=False, acceleration=False, **path),
        torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1),
    )
    for _ in range(100):
        ours.grad = torch.randn(40, generator=generator, dtype=torch.float64)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("path", PATHS[:3], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_pytorch_optimizer(path, dtype, tolerance):
    generator = torch.Generator().manual_seed(1)
    ours = nn.Parameter(torch.randn(20, generator=generator, dtype=dtype))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = (
        EXAdam([ours], lr=1e-3, weight_decay=0.01, **path),
        pytorch_optimizer.EXAdam([theirs], lr=1e-3, weight_decay=0.01),
    )
    for _ in range(200):
        ours.grad = torch.randn(20, generator=generator, dtype=dtype)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=tolerance, atol=tolerance)


def test_versions_differ_by_the_growing_step_alone():
    generator = torch.Generator().manual_seed(2)
    grads = torch.randn(30, 6, generator=generator, dtype=torch.float64)
    moves = {}
    for version in ("v1", "v2"):
        p = nn.Parameter(torch.zeros(6, dtype=torch.float64))
        optimizer = EXAdam([p], lr=1.0, dynamic_lr=version == "v1")
        moves[version] = []
        for g in grads:
            p.data.zero_()
            p.grad = g.clone()
            optimizer.step()
            moves[version].append(p.detach().clone())
    for t, (a, b) in enumerate(zip(moves["v1"], moves["v2"], strict=True), start=1):
        ratio = math.log(math.sqrt(2 * (t + 1)))
        torch.testing.assert_close(a, ratio * b, rtol=1e-12, atol=0)
        assert step_growth(t) == pytest.approx(ratio, rel=1e-14)


SWITCHES = ({}, {"dynamic_lr": True}, {"acceleration": False}, {"cross_moments": False})


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_matching_adams_step_moves_like_adam_under_a_constant_gradient(switches):
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = EXAdam([p], lr=0.5, match_adam_step=True, eps=0.0, **switches)
    for _ in range(20):
        before = p.item()
        p.grad = torch.full_like(p, -3.0)
        optimizer.step()
        assert p.item() - before == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_zero_gradients_move_nothing(path, eps):
    p = nn.Parameter(torch.tensor([1.0, -2.0, 0.0]))
    optimizer = EXAdam([p], eps=eps, **path)
    for _ in range(3):
        p.grad = torch.tensor([0.0, 0.0, 1.0])
        optimizer.step()
    assert p.tolist()[:2] == [1.0, -2.0]
    assert p[2] < 0


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_steps_are_counted_per_parameter(path):
    generator = torch.Generator().manual_seed(3)
    grads = [torch.randn(4, generator=generator, dtype=torch.float64) for _ in range(6)]
    often, seldom, alone = (nn.Parameter(torch.ones(4, dtype=torch.float64)) for _ in range(3))
    optimizer = EXAdam([often, seldom], **path)
    by_itself = EXAdam([alone], **path)
    for step, g in enumerate(grads):
        often.grad = g.clone()
        seldom.grad = g.clone() if step % 2 else None
        optimizer.step()
        if step % 2:
            alone.grad = g.clone()
            by_itself.step()
    assert optimizer.state[often]["step"].item() == 6
    assert optimizer.state[seldom]["step"].item() == 3
    assert torch.equal(seldom.detach(), alone.detach())


def trained(optimizer_class, **options):
    p = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64))
    optimizer = optimizer_class([p], **options)
    for step in range(5):
        p.grad = torch.sin(p.detach() * (step + 1))
        optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("adam", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"fused": True}], ids=str)
def test_adam_checkpoints_load_as_a_warm_start(adam, options):
    p, source = trained(adam, lr=3e-3, **options)
    optimizer = EXAdam([p])
    optimizer.load_state_dict(source.state_dict())
    state, old = optimizer.state[p], source.state[p]
    assert torch.equal(state["exp_avg"], old["exp_avg"])
    assert torch.equal(state["exp_avg_sq"], old["exp_avg_sq"])
    assert state["step"].item() == 5
    assert optimizer.param_groups[0]["lr"] == 3e-3
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert state["step"].item() == 6
    assert set(state) == {"step", "exp_avg", "exp_avg_sq"}


def test_checkpoints_of_pytorch_optimizer_continue_its_trajectory():
    p, source = trained(pytorch_optimizer.EXAdam, lr=3e-3)
    twin = nn.Parameter(p.detach().clone())
    optimizer = EXAdam([twin])
    optimizer.load_state_dict(copy.deepcopy(source.state_dict()))
    assert optimizer.state[twin]["step"].item() == 5
    for _ in range(10):
        p.grad, twin.grad = torch.cos(p.detach()), torch.cos(twin.detach())
        source.step()
        optimizer.step()
    torch.testing.assert_close(twin.detach(), p.detach(), rtol=0, atol=1e-14)


def test_checkpoints_of_the_authors_code_load():
    p, source = trained(EXAdam, lr=3e-3)
    saved = source.state_dict()
    entry = saved["state"][0]
    group = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "params": [0]}
    official = {
        "state": {0: {"step": 5, "m": entry["exp_avg"].clone(), "v": entry["exp_avg_sq"].clone()}},
        "param_groups": [group],
    }
    twin = nn.Parameter(p.detach().clone())
    optimizer = EXAdam([twin])
    optimizer.load_state_dict(official)
    for q, o in ((p, source), (twin, optimizer)):
        q.grad = torch.ones_like(q)
        o.step()
    assert torch.equal(twin.detach(), p.detach())


def test_foreign_weight_decay_is_refused():
    p, source = trained(pytorch_optimizer.EXAdam, weight_decay=0.1, weight_decouple=False)
    with pytest.raises(ValueError, match="decoupled"):
        EXAdam([p]).load_state_dict(source.state_dict())
    with pytest.raises(ValueError, match="decoupled"):
        EXAdam([p]).load_state_dict(trained(torch.optim.Adam, weight_decay=0.1)[1].state_dict())
    state = source.state_dict()
    state["param_groups"][0].update(weight_decouple=True, step=None)
    with pytest.raises(ValueError, match="step count"):
        EXAdam([p]).load_state_dict(state)


def test_moments_of_half_precision_parameters_are_float32():
    p = nn.Parameter(torch.ones(8, dtype=torch.float16))
    optimizer = EXAdam([p])
    p.grad = torch.full_like(p, 1e-4)  # its square underflows in float16
    optimizer.step()
    assert optimizer.state[p]["exp_avg_sq"].dtype == torch.float32
    assert (optimizer.state[p]["exp_avg_sq"] > 0).all()
    again = EXAdam([p])
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.state[p]["exp_avg_sq"], optimizer.state[p]["exp_avg_sq"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lr": -1.0}, "lr must be"), ({"eps": math.nan}, "nan")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EXAdam([nn.Parameter(torch.zeros(1))], **options)


def test_differentiable_step_passes_gradients_to_the_gradient():
    g = torch.tensor([0.5, -0.25], dtype=torch.float64, requires_grad=True)

    def stepped(g):
        p = torch.ones(2, dtype=torch.float64, requires_grad=True).clone()
        p.grad = g
        EXAdam([{"params": [p]}], lr=0.1, eps=0.1, differentiable=True).step()
        return p

    assert torch.autograd.gradcheck(stepped, (g,))
