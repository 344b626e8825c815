"""Searches along the gradient of a surrogate: ascent, ensembles, conservative models."""

import itertools
import math

import numpy as np
import pytest
import torch

from optimand.offline import optimize
from optimand.offline.searches import find_search
from optimand.offline.searches.coms import _ConservativeLoss
from optimand.offline.searches.parts.fitting import Predictor, check_ignite
from optimand.offline.searches.parts.space import Space
from optimand.offline.surrogates.mlp import GaussianMLP


def models(dim, n=3):
    return [GaussianMLP(dim, width=8, generator=torch.Generator().manual_seed(i)) for i in range(n)]


def test_a_predictor_is_the_mean_or_the_least_of_its_members(task):
    space = Space(task.data)
    three = models(space.dim)
    x = space.x[:50]
    each = torch.stack([model.mean(x) for model in three])
    assert torch.allclose(Predictor(space, three)(x), each.mean(dim=0))
    assert torch.equal(Predictor(space, three, "min")(x), each.amin(dim=0))
    assert np.allclose(Predictor(space, three[:1]).score(task.data.x[:50]), space.raw(each[0]), atol=1e-6)


def test_the_slope_of_a_predictor_is_its_derivative(task):
    space = Space(task.data)
    predictor = Predictor(space, [model.double() for model in models(space.dim)], "min")
    x = space.x[:10].double()
    value, slope = predictor.value_and_slope(x)
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change = (predictor(x + 1e-6 * towards) - predictor(x - 1e-6 * towards)) / 2e-6
    assert torch.allclose((slope * towards).sum(dim=1), change, atol=1e-6)
    assert torch.equal(value, predictor(x))


def test_the_probability_to_exceed_a_level_is_that_of_the_mixture(coordinate_task):
    space = Space(coordinate_task.data)
    three = models(space.dim)
    x = space.x[:1]
    level = 0.1
    drawn = []
    for i, model in enumerate(three):
        mean, log_spread = model(x)
        noise = torch.randn(200_000, generator=torch.Generator().manual_seed(i))
        drawn.append((mean + log_spread.exp() * noise > level).float().mean())
    assert float(Predictor(space, three).exceeds(x, level)) == pytest.approx(float(sum(drawn) / 3), abs=3e-3)


def test_ascent_moves_by_eta_times_the_root_of_the_dimension_along_the_slope(coordinate_task):
    task = coordinate_task
    fit = {"epochs": 3, "width": 16, "q": 6, "seed": 5}
    still = optimize(task, "ga", steps=0, **fit)
    moved = optimize(task, "ga", steps=1, eta=0.03, **fit)
    space = Space(task.data)
    assert np.allclose(np.sort(still.x, axis=0), np.sort(task.x[task.data.best(6)], axis=0), atol=1e-6)
    # All members of a job of this seed are the same, so the surrogate can be had from a search that looks on.
    seen = {}

    def look(job):
        seen["predictor"] = job.fit()
        return job.propose(job.space.random(job.q, job.numpy("x")), seen["predictor"].score)

    search = find_search("ga")
    type(search)("ga", search.table, look, True)(task.data, **fit)
    start = space.starts(6, np.random.default_rng(0))
    slope = seen["predictor"].value_and_slope(start)[1]
    expected = space.decode(space.project(start + 0.03 * math.sqrt(3) * slope))
    assert np.allclose(np.sort(moved.x, axis=0), np.sort(expected, axis=0), atol=1e-6)


def test_ascent_improves_on_the_data_where_the_surrogate_is_good(coordinate_task, sequence_task):
    for task in (coordinate_task, sequence_task):
        best = float(task.normalize(task.y).max())
        for method in ("ga", "ens-mean", "ens-min"):
            members = {} if method == "ga" else {"members": 2}
            found = optimize(task, method, q=16, epochs=10, batch=32, width=32, steps=60, eta=0.03, lr=3e-3, **members)
            assert task.score(found.x)[50] > best, (task.name, method)


def test_coordinates_stay_where_designs_are(coordinate_task):
    found = optimize(coordinate_task, "ga", q=8, eta=50.0, steps=20, epochs=2, width=8)
    assert np.abs(found.x).max() <= 1.0
    predicted = [r["predicted_best"] for r in found.history if r["stage"] == "search"]
    # What the history says of the last points is what the proposal says of its designs.
    assert max(found.fun_pred) == pytest.approx(predicted[-1], abs=1e-5)


def test_the_conservative_loss_has_the_two_parts_of_its_formula():
    model = GaussianMLP(2, width=4, generator=torch.Generator().manual_seed(0))
    x, y = torch.randn(6, 2), torch.randn(6)
    moved = x + 1
    loss = _ConservativeLoss(model, y, moved, alpha=0.7)
    total = loss(model(x))
    error = (model.mean(x) - y).square().mean()
    gain = model.mean(moved).mean() - model.mean(x).mean()
    assert total.item() == pytest.approx((error + 0.7 * gain).item(), abs=1e-6)
    assert (loss.error, loss.gain) == pytest.approx((error.item(), gain.item()), abs=1e-6)
    loss(model(x + 5))  # a regularizer asks again
    assert loss.error == pytest.approx(error.item(), abs=1e-6)


def test_the_multiplier_of_a_conservative_model_follows_its_limit(sequence_task):
    run = {"q": 8, "epochs": 6, "width": 32, "particle_steps": 3, "batch": 32, "alpha_lr": 0.05}
    tight = optimize(sequence_task, "coms", limit=0.0, **run)
    loose = optimize(sequence_task, "coms", limit=1e6, **run)

    def fits(found, name):
        return [r[name] for r in found.history if r["stage"] == "fit"]

    assert all(np.diff(fits(tight, "alpha")) > 0)
    assert all(np.diff(fits(loose, "alpha")) < 0)
    assert fits(tight, "gain")[-1] < fits(loose, "gain")[-1]


def test_a_conservative_model_promises_less_of_what_it_finds(sequence_task):
    run = {"q": 16, "epochs": 10, "width": 32, "particle_steps": 3, "batch": 32, "lr": 3e-3}
    bold = optimize(sequence_task, "coms", alpha=1e-6, alpha_lr=0.0, **run)
    shy = optimize(sequence_task, "coms", alpha=0.5, alpha_lr=0.0, **run)
    assert np.median(shy.fun_pred) < np.median(bold.fun_pred)


def test_what_ignite_may_be():
    assert check_ignite(None) == check_ignite("none") == (None, {})
    assert check_ignite({"eps": 0.3}) == ("adaptive", {"eps": 0.3})
    assert check_ignite("sam") == ("sam", {})


def test_ignite_flattens_the_surrogate(sequence_task):
    run = {"q": 4, "epochs": 20, "width": 32, "batch": 32, "steps": 1}
    plain = optimize(sequence_task, "ga", **run)
    flat = optimize(sequence_task, "ga", ignite={"kind": "fixed", "lam": 5.0}, **run)
    assert flat.reports[0].gradient_norm < 0.8 * plain.reports[0].gradient_norm
    assert flat.reports[0].val_rmse < 0.5


def test_members_with_mixed_activations_have_every_combination(sequence_task):
    models = []

    def look(job):
        models.extend(job.fit().models)
        return job.propose(job.space.random(job.q, job.numpy("x")), lambda d: np.zeros(len(d)))

    search = find_search("ens-mean")
    type(search)("ens-mean", search.table, look, True)(
        sequence_task.data, q=2, members=4, activations="mixed", epochs=1, width=4
    )
    found = {tuple(type(layer).__name__ for layer in list(model.body)[1::2]) for model in models}
    assert found == set(itertools.product(("LeakyReLU", "Cosine"), repeat=2))
