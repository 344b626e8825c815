"""The sharpness penalty against closed forms, Hessian-vector products and what it must leave alone."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from tests.offline.ignite.small_surrogates import batch, grads, network, nll_of
from torch import Tensor, nn

from optimand.core.validation import OptimandError
from optimand.offline.ignite import SurrogateSharpness, make_regularizer
from optimand.offline.surrogates import gaussian_nll


class Formula(nn.Module):
    """A prediction that is a formula of named float64 numbers."""

    def __init__(self, formula: Any, **values: float) -> None:
        super().__init__()
        self.formula = formula
        for name, value in values.items():
            setattr(self, name, nn.Parameter(torch.tensor(value, dtype=torch.float64)))

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(self, x)


def tanh_model() -> tuple[Formula, Tensor]:
    model = Formula(lambda m, x: m.a * torch.tanh(m.b * x), a=0.5, b=1.2)
    return model, torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)


@pytest.mark.parametrize("r", [0.01, 0.05, 1.0, 7.0])
def test_a_quadratic_gets_its_exact_gradient_for_every_step_length(r: float) -> None:
    model = Formula(lambda m, x: m.w**2 * x, w=2.0)
    penalty = SurrogateSharpness(model, lam=1e-3, rho=0.05, r=r, eps=0.1, eta=1e-3)
    penalty.add_grad_(torch.tensor([2.0, 4.0], dtype=torch.float64))
    assert penalty.norm == 12.0
    assert model.w.grad.item() == pytest.approx(1e-3 * 0.05 * 6, rel=1e-10)
    assert penalty.lam == pytest.approx(1.5e-3, rel=1e-14)


def test_a_tanh_matches_the_computed_numbers() -> None:
    model, x = tanh_model()
    assert model(x).mean().item() == pytest.approx(0.08769815, abs=1e-8)
    first = torch.autograd.grad(model(x).mean(), [model.a, model.b])
    assert [g.item() for g in first] == pytest.approx([0.1753963, 0.02783937], abs=1e-7)
    penalty = SurrogateSharpness(model, lam=1.0, rho=0.05, r=0.05, adaptive=False)
    penalty.add_grad_(x)
    assert penalty.norm == pytest.approx(0.17759193, abs=1e-8)
    assert [model.a.grad.item() / 0.05, model.b.grad.item() / 0.05] == pytest.approx([0.00868343, 0.04873629], abs=1e-8)


def exact_term(model: nn.Module, x: Tensor) -> list[Tensor]:
    """H g1 / n by differentiating twice."""
    params = list(model.parameters())
    first = torch.autograd.grad(model(x).mean(), params, create_graph=True)
    norm = torch.sqrt(sum(g.square().sum() for g in first))
    return list(torch.autograd.grad(norm, params))


def test_the_exact_product_of_the_tanh_is_the_computed_one() -> None:
    model, x = tanh_model()
    assert [g.item() for g in exact_term(model, x)] == pytest.approx([0.00872822, 0.04923214], abs=1e-8)


def test_the_error_of_the_difference_falls_with_its_length() -> None:
    errors = []
    for r in (0.08, 0.04, 0.02, 0.01):
        model, x = tanh_model()
        SurrogateSharpness(model, lam=1.0, rho=1.0, r=r, adaptive=False).add_grad_(x)
        exact = exact_term(model, x)
        errors.append(math.hypot(*(p.grad.item() - e.item() for p, e in zip(model.parameters(), exact, strict=True))))
    ratios = [a / b for a, b in itertools.pairwise(errors)]
    assert all(1.8 < ratio < 2.2 for ratio in ratios)


def test_a_step_up_the_gradient_gains_its_length_times_the_norm() -> None:
    model, x = tanh_model()
    before = model(x).mean().item()
    first = torch.autograd.grad(model(x).mean(), [model.a, model.b])
    norm = math.hypot(*(g.item() for g in first))
    for r in (1e-2, 1e-3, 1e-4):
        moved = Formula(model.formula, a=0.5 + r * first[0].item() / norm, b=1.2 + r * first[1].item() / norm)
        assert abs(moved(x).mean().item() - before - r * norm) < r * r


@pytest.mark.parametrize("r", [0.05, 2.0])
def test_a_linear_model_gets_nothing(r: float) -> None:
    model = nn.Linear(3, 1, dtype=torch.float64)
    x, _ = batch()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    SurrogateSharpness(model, lam=1.0, rho=0.5, r=r).add_grad_(x)
    assert all((p.grad - 1).abs().max() < 1e-12 for p in model.parameters())


def test_the_multiplier_rests_where_the_constraint_is_met() -> None:
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    penalty = SurrogateSharpness(model, lam=0.7, rho=0.05, eps=0.1, eta=1e-3)
    penalty.add_grad_(torch.tensor([[2.0]], dtype=torch.float64))
    assert penalty.norm == 2.0
    assert penalty.lam == pytest.approx(0.7, abs=1e-15)


def test_the_multiplier_is_projected_unless_asked_not_to_be() -> None:
    for project, expected in ((True, 0.0), (False, 1e-4 - 1e-2 * 0.1)):
        model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        penalty = SurrogateSharpness(model, lam=1e-4, rho=0.0, eta=1e-2, project=project)
        penalty.add_grad_(torch.ones(1, 1, dtype=torch.float64))
        assert penalty.lam == pytest.approx(expected, abs=1e-15)


def test_a_fixed_multiplier_stays_and_the_penalty_lowers_the_norm() -> None:
    norms = {}
    for kind in (None, "fixed"):
        model = network()
        penalty = make_regularizer(kind, model, **({} if kind is None else {"lam": 20.0}))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        x, y = batch(64)
        for _ in range(60):
            optimizer.zero_grad()
            if penalty is None:
                gaussian_nll(*model(x), y).backward()
            else:
                penalty.backward(x, nll_of(y))
            optimizer.step()
        probe = SurrogateSharpness(model)
        probe.add_grad_(x)
        norms[kind] = probe.norm
        if penalty is not None:
            assert penalty.lam == 20.0
    assert norms["fixed"] < 0.8 * norms[None]


def test_a_flat_prediction_leaves_the_gradient_alone() -> None:
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    model.weight.grad = torch.ones_like(model.weight)
    penalty = SurrogateSharpness(model, lam=5.0, eta=1.0, eps=0.1)
    penalty.add_grad_(torch.zeros(4, 1, dtype=torch.float64))
    assert penalty.norm == 0.0
    assert torch.equal(model.weight.grad, torch.ones_like(model.weight))
    assert penalty.lam == 4.9


def test_predictions_that_cancel_count_with_their_signs() -> None:
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    penalty = SurrogateSharpness(model)
    penalty.add_grad_(torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
    assert penalty.norm == 0.0


def test_a_scale_multiplies_the_term_alone() -> None:
    found = []
    for scale in (1.0, 256.0):
        model = network()
        penalty = SurrogateSharpness(model, lam=0.5)
        penalty.add_grad_(batch()[0], scale=scale)
        found.append((grads(model), penalty.lam))
    assert found[0][1] == found[1][1]
    assert all(torch.allclose(256 * a, b) for a, b in zip(found[0][0], found[1][0], strict=True))


def test_half_precision_gradients_get_the_difference_at_once() -> None:
    x = batch()[0]
    exact, half = network(), network().to(torch.bfloat16)
    with torch.no_grad():
        for p, q in zip(exact.parameters(), half.parameters(), strict=True):
            p.copy_(q)
    for model in (exact, half):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        SurrogateSharpness(model, lam=1.0, rho=1.0, r=1.0).add_grad_(x.to(next(model.parameters()).dtype))
    a = torch.cat([g.flatten() for g in grads(exact)])
    b = torch.cat([g.flatten().double() for g in grads(half)])
    assert (a - b).norm() < 0.2 * a.norm()


def test_a_state_continues_the_multiplier() -> None:
    x, _ = batch()
    straight, first = SurrogateSharpness(network(), lam=0.1), SurrogateSharpness(network(), lam=0.1)
    for _ in range(4):
        straight.add_grad_(x)
    for _ in range(2):
        first.add_grad_(x)
    second = SurrogateSharpness(network())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        second.add_grad_(x)
    assert second.state_dict() == straight.state_dict()
    with pytest.raises(ValueError, match="lacks norm, steps"):
        second.load_state_dict({"lam": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 0.0}, r"r must be in \(0"),
        ({"r": -1.0}, r"r must be in \(0"),
        ({"rho": -0.1}, r"rho must be in \[0"),
        ({"eps": -0.1}, r"eps must be in \[0"),
        ({"eta": math.nan}, r"eta must be in \[0"),
        ({"lam": -1.0}, r"lam must be in \[0"),
        ({"rho": math.inf}, "rho must be in"),
    ],
)
def test_numbers_out_of_range_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SurrogateSharpness(nn.Linear(1, 1), **options)


def test_a_negative_multiplier_is_allowed_without_projection() -> None:
    assert SurrogateSharpness(nn.Linear(1, 1), lam=-0.5, project=False).lam == -0.5


def test_wrong_kinds_of_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got str"):
        SurrogateSharpness("model")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="predict must be callable"):
        SurrogateSharpness(nn.Linear(1, 1), predict=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'adaptive'"):
        make_regularizer("adaptve", nn.Linear(1, 1))
    with pytest.raises(TypeError, match="predict must return a tensor, got float"):
        SurrogateSharpness(nn.Linear(1, 1), predict=lambda x: 1.0).add_grad_(None)  # type: ignore[arg-type,return-value]


def test_a_prediction_without_gradient_path_is_an_error() -> None:
    model = network()
    x, _ = batch()
    with pytest.raises(OptimandError, match="no gradient path"):
        SurrogateSharpness(model, predict=lambda x: model.mean(x).detach()).add_grad_(x)
    elsewhere = torch.ones(1, requires_grad=True)
    with pytest.raises(OptimandError, match="no gradient path"):
        SurrogateSharpness(model, predict=lambda x: elsewhere * 2).add_grad_(x)
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(OptimandError, match="no parameter that requires a gradient"):
        SurrogateSharpness(model).add_grad_(x)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_an_error_and_moves_nothing(bad: float) -> None:
    model = network()
    penalty = SurrogateSharpness(model, lam=0.2)
    x, _ = batch()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(FloatingPointError, match="norm of the prediction's gradient is"):
        penalty.add_grad_(x * bad)
    assert penalty.lam == 0.2
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_a_penalty_is_printed_with_its_state():
    assert repr(SurrogateSharpness(nn.Linear(1, 1))) == "SurrogateSharpness(lam=0.001, norm=nan, steps=0)"
