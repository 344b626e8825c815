"""Ensembles: how members are combined, and that each has its own regularizer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from optimand.offline.ignite import SurrogateSharpness, make_regularizer
from optimand.offline.surrogates import Ensemble, GaussianMLP, fit, fit_ensemble


class Constant(nn.Module):
    """The same number for every row, with a standard deviation."""

    def __init__(self, value: float, std: float) -> None:
        super().__init__()
        self.value, self.std = value, torch.tensor(std)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(x),), self.value), self.std.log().expand(len(x))


X = torch.randn(120, 3, generator=torch.Generator().manual_seed(1))
Y = X.sum(dim=1).sin()


def members(count: int) -> Ensemble:
    return Ensemble(GaussianMLP(3, 8, generator=torch.Generator().manual_seed(i)) for i in range(count))


def test_predictions_are_combined_as_asked() -> None:
    ensemble = Ensemble([Constant(1.0, 0.5), Constant(4.0, 1.0)])
    x = torch.zeros(3, 1)
    for how, expected in (("mean", 2.5), ("min", 1.0), ("max", 4.0)):
        assert ensemble.predict(x, how).tolist() == [expected] * 3
    assert ensemble.predict(x, "all").shape == (2, 3)
    assert len(ensemble) == 2


def test_members_are_fitted_apart_with_their_own_multipliers() -> None:
    ensemble = members(3)
    made: list[SurrogateSharpness] = []

    def make(model: nn.Module) -> SurrogateSharpness:
        made.append(make_regularizer("adaptive", model))  # type: ignore[arg-type]
        return made[-1]

    reports = fit_ensemble(ensemble, X, Y, epochs=2, batch=16, ignite=make)
    assert [m.model for m in made] == list(ensemble.members)
    assert len({m.lam for m in made}) == len({r.lam for r in reports}) == 3
    assert len({m.norm for m in made}) == 3
    assert len({r.val_rmse for r in reports}) == 3


def test_one_member_is_what_a_single_fit_gives() -> None:
    ensemble = members(1)
    generator = torch.Generator().manual_seed(5)
    fit_ensemble(ensemble, X, Y, epochs=2, generator=generator, ignite="fixed")
    alone = members(1).members[0]
    seed = int(torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(5)))
    fit(alone, X, Y, epochs=2, generator=torch.Generator().manual_seed(seed), ignite="fixed")
    assert all(torch.equal(p, q) for p, q in zip(ensemble.members[0].parameters(), alone.parameters(), strict=True))


def test_a_bootstrap_draws_rows_with_replacement() -> None:
    drawn, whole = members(1), members(1)
    rows: list[Tensor] = []
    drawn.members[0].register_forward_pre_hook(lambda m, given: rows.append(given[0]) if m.training else None)
    fit_ensemble(drawn, X, Y, epochs=1, bootstrap=True, validation=0)
    fit_ensemble(whole, X, Y, epochs=1, validation=0)
    seen = torch.cat(rows)
    assert len(seen) == 120
    assert 50 < len(torch.unique(seen, dim=0)) < 100  # 63 % of 120 are expected
    assert not torch.equal(drawn.members[0].head.weight, whole.members[0].head.weight)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="at least one surrogate"):
        Ensemble([])
    ensemble = members(2)
    with pytest.raises(ValueError, match="how must be one of"):
        ensemble.predict(X, "median")
    with pytest.raises(TypeError, match="each member needs its own"):
        fit_ensemble(ensemble, X, Y, ignite=SurrogateSharpness(ensemble.members[0]))
