"""The fitting loop: determinism, reports, pairing of regularizers, noise, bad data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optimand.core.validation import OptimandError
from optimand.offline.ignite import SurrogateSharpness, make_regularizer
from optimand.offline.surrogates import GaussianMLP, Standardizer, fit, gaussian_nll, gradient_norm, rmse


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.randn(300, 3, generator=seeded(1))
Y = Standardizer.of(X.sum(dim=1).sin())(X.sum(dim=1).sin())


def network(**options: Any) -> GaussianMLP:
    return GaussianMLP(3, 16, generator=seeded(), **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def fitted(**options: Any) -> tuple[torch.Tensor, Any]:
    model = network()
    report = fit(model, X, Y, **{"epochs": 4, "batch": 32, "lr": 5e-3, "validation": 50, **options})
    return weights(model), report


def test_a_function_is_learned_and_the_report_says_how_well() -> None:
    model = network()
    report = fit(model, X, Y, epochs=40, batch=32, lr=1e-2, validation=50)
    assert report.val_rmse < 0.4
    assert report.steps == 40 * math.ceil(250 / 32)
    assert [record["epoch"] for record in report.history] == list(range(1, 41))
    errors = [record["val_rmse"] for record in report.history]
    assert report.best_val_rmse == min(errors)
    assert report.best_epoch == 1 + errors.index(min(errors))
    assert report.val_rmse == errors[-1]
    assert math.isnan(report.lam)
    assert report.seconds > 0


def test_the_norm_in_the_report_is_that_of_the_training_rows() -> None:
    model = network()
    report = fit(model, X, Y, epochs=1, batch=300, validation=0)
    assert math.isnan(report.val_rmse)
    assert report.best_epoch == 0
    assert report.gradient_norm == pytest.approx(gradient_norm(model, X), rel=1e-4)
    mean = torch.autograd.grad(model.mean(X).mean(), model.parameters(), allow_unused=True)
    by_hand = torch.cat([g.flatten() for g in mean if g is not None]).norm().item()
    assert gradient_norm(model, X) == pytest.approx(by_hand, rel=1e-6)


def test_equal_generators_give_equal_weights_whatever_torch_s_own_does() -> None:
    torch.manual_seed(1)
    one, _ = fitted(generator=seeded(3), noise=0.1)
    torch.manual_seed(2)
    two, _ = fitted(generator=seeded(3), noise=0.1)
    three, _ = fitted(generator=seeded(4), noise=0.1)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_a_penalty_of_nothing_changes_no_bit() -> None:
    base, _ = fitted()
    idle, _ = fitted(ignite=lambda model: SurrogateSharpness(model, lam=0.0, adaptive=False))
    assert torch.equal(base, idle)


def test_regularizers_meet_the_same_minibatches() -> None:
    seen: dict[Any, list[torch.Tensor]] = {}
    for kind in (None, "adaptive", "sam"):
        model = network()
        rows = seen[kind] = []
        model.register_forward_pre_hook(lambda m, given, rows=rows: rows.append(given[0]) if m.training else None)
        fit(model, X, Y, epochs=1, batch=32, ignite=kind, validation=50, noise=0.1)
    base = seen[None]
    assert len(base) == 8
    # with noise IGNITE makes three passes: noised rows, then clean ones twice; the report's passes are not counted
    assert all(torch.equal(a, b) for a, b in zip(base, seen["adaptive"][::3], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(base, seen["sam"][::2], strict=True))
    clean = seen["adaptive"][1::3]
    assert not any(torch.equal(a, b) for a, b in zip(base, clean, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(clean, seen["adaptive"][2::3], strict=True))


def test_ignite_lowers_the_norm_at_an_equal_fit() -> None:
    found = {}
    for kind in (None, "adaptive"):
        model = network()
        make = (lambda m: make_regularizer("adaptive", m, lam=1.0, eta=0.05)) if kind else None
        found[kind] = fit(model, X, Y, epochs=30, batch=32, lr=1e-2, validation=50, ignite=make)
    assert found["adaptive"].gradient_norm < 0.9 * found[None].gradient_norm
    assert found["adaptive"].val_rmse < found[None].val_rmse + 0.1
    assert found["adaptive"].lam > 0


def test_the_best_epoch_can_be_kept() -> None:
    model = network()
    report = fit(model, X, torch.randn(300, generator=seeded(5)), epochs=30, batch=16, lr=2e-2, keep="best")
    assert report.val_rmse == report.best_val_rmse < report.history[-1]["val_rmse"]


def test_other_losses_models_and_optimizers_serve() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    torch.manual_seed(0)
    report = fit(model, X, Y, epochs=2, loss="mse", ignite="adaptive")
    assert report.val_rmse > 0
    own = fit(network(), X, Y, epochs=1, loss=lambda out, y: (out[0] - y).abs().mean())
    assert own.train_loss > 0
    used = []

    def make(params: list[nn.Parameter]) -> torch.optim.Optimizer:
        used.append(len(params))
        return torch.optim.SGD(params, lr=1e-3)

    fit(network(), X, Y, epochs=1, optimizer=make)
    assert used == [8]
    with pytest.raises(TypeError, match=r"needs a model that gives \(mean, logstd\), got Tensor"):
        fit(model, X, Y, epochs=1)


def test_frozen_parameters_stay() -> None:
    model = network()
    model.body[0].weight.requires_grad_(False)
    before = model.body[0].weight.clone()
    fit(model, X, Y, epochs=1, ignite="adaptive")
    assert torch.equal(model.body[0].weight, before)


def test_numpy_rows_and_the_model_s_precision() -> None:
    model = network().double()
    fit(model, X.double().numpy(), Y.double().numpy(), epochs=1, validation=10)
    assert model.head.weight.dtype == torch.float64
    ints = GaussianMLP(2, 4, generator=seeded())
    fit(ints, np.arange(40).reshape(20, 2) % 4, np.linspace(-1, 1, 20), epochs=1)


def test_a_small_set_holds_out_a_fifth_at_most() -> None:
    report = fit(network(), X[:10], Y[:10], epochs=1, batch=1, validation=200)
    assert report.steps == 8


def test_evaluation_keeps_the_mode() -> None:
    model = network(dropout=0.5)
    model.train()
    assert rmse(model, X, Y) == rmse(model, X, Y)
    assert gradient_norm(model, X) == gradient_norm(model, X)
    assert model.training


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"y": torch.where(torch.arange(300) == 7, math.nan, Y)},
            OptimandError,
            "y has 1 values that are not finite.*row 7",
        ),
        ({"x": X / 0.0}, OptimandError, "x has 900 values that are not finite"),
        ({"y": Y[:5]}, ValueError, "equally many rows, got 300 and 5"),
        ({"x": X[:1], "y": Y[:1]}, OptimandError, "at least 2 rows, got 1"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"lr": 0.0}, ValueError, "lr must be in"),
        ({"noise": -1.0}, ValueError, "noise must be in"),
        ({"loss": "mae"}, ValueError, "loss must be one of"),
        ({"keep": "first"}, ValueError, "keep must be one of"),
        ({"validation": -1}, ValueError, "validation must be at least 0"),
        ({"ignite": "ignite"}, ValueError, "kind must be one of"),
        ({"ignite": lambda model: 3}, TypeError, "ignite must be a kind"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"x": X, "y": Y, "epochs": 1, **change}
    with pytest.raises(error, match=message):
        fit(network(), given.pop("x"), given.pop("y"), **given)


def test_divergence_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="the loss is"):
        fit(network(), X, Y, epochs=3, lr=1e30)
    with pytest.raises(FloatingPointError, match="norm of the prediction"):
        fit(network(), X, Y, epochs=3, lr=1e30, ignite="adaptive")


def test_standardization_goes_back_and_keeps_constants() -> None:
    rows = torch.tensor([[1.0, 0.1], [3.0, 0.1], [8.0, 0.1]])
    scaler = Standardizer.of(rows)
    there = scaler(rows)
    assert torch.allclose(there.mean(dim=0), torch.zeros(2), atol=1e-6)
    assert there[:, 0].std(unbiased=False).item() == pytest.approx(1.0)
    assert torch.allclose(scaler.back(there), rows)
    with pytest.raises(ValueError, match="at least one row"):
        Standardizer.of(torch.zeros(0, 2))
    with pytest.raises(OptimandError, match="values has 1 values that are not finite"):
        Standardizer.of([1.0, math.inf])


def test_the_likelihood_is_minimized() -> None:
    model = network()
    before = gaussian_nll(*model(X), Y).item()
    fit(model, X, Y, epochs=5, lr=1e-2)
    assert gaussian_nll(*model(X), Y).item() < before
