"""Searches that compare designs: local search, evolution, CMA-ES, policy gradients, Bayesian optimization, floors."""

import itertools

import numpy as np
import pytest
import torch

from optimand.offline import optimize
from optimand.offline.searches.cma_es import _Archive
from optimand.offline.searches.parts.search import Job, Search
from optimand.offline.searches.parts.settings import no_progress
from optimand.offline.searches.parts.space import Space
from optimand.offline.searches.populations import LOCAL, local_search
from optimand.offline.searches.reinforce import _sample
from optimand.offline.tasks.base import OfflineData

GOOD = {"epochs": 10, "batch": 32, "width": 32, "lr": 3e-3}


def surrogate_of(search, data, **arguments):
    """The predictor that ``search`` fits under these arguments: equal seeds fit equal surrogates."""
    seen = {}

    def look(job):
        seen["predictor"] = job.fit()
        return job.propose(job.space.random(job.q, job.numpy("x")), seen["predictor"].score)

    Search("look", search.table, look, True)(data, **arguments)
    return seen["predictor"]


def test_a_local_search_ends_where_no_neighbour_is_predicted_to_be_better(sequence_task):
    arguments = {"q": 10, "seed": 3, "epochs": 5, "batch": 32, "width": 32}
    found = optimize(sequence_task, "local-search", **arguments)
    predictor = surrogate_of(local_search, sequence_task.data, **arguments)
    assert np.allclose(predictor.score(found.x), found.fun_pred)
    for design, value in zip(found.x, found.fun_pred, strict=True):
        near = predictor.space.neighbours(design[None], np.random.default_rng(0))
        assert predictor.score(near).max() <= value + 1e-6
    assert set(LOCAL) >= set(arguments) - {"q", "seed"}


def test_a_local_search_of_coordinates_climbs_a_bowl(coordinate_task):
    found = optimize(coordinate_task, "local-search", q=8, steps=20, **GOOD)
    means = [r["predicted_mean"] for r in found.history if r["stage"] == "search"]
    assert (np.diff(means) >= 0).all()
    assert coordinate_task.score(found.x)[50] > float(coordinate_task.normalize(coordinate_task.y).max())


def test_evolution_finds_the_best_sequences_of_its_surrogate(sequence_task):
    arguments = {"q": 10, "seed": 1, "epochs": 5, "batch": 32, "width": 32}
    found = optimize(sequence_task, "evolution", population=64, steps=30, **arguments)
    predictor = surrogate_of(local_search, sequence_task.data, **arguments)
    everything = np.array(list(itertools.product(range(4), repeat=5)))
    best = np.sort(predictor.score(everything))[::-1][:10]
    assert found.fun_pred[0] == pytest.approx(best[0])
    assert found.fun_pred.mean() > best.mean() - 0.05
    assert found.distinct == 10


def test_evolution_of_coordinates_climbs_a_bowl(coordinate_task):
    found = optimize(coordinate_task, "evolution", q=8, steps=20, population=64, **GOOD)
    assert coordinate_task.score(found.x)[50] > float(coordinate_task.normalize(coordinate_task.y).max())


@pytest.mark.parametrize("full_up_to", [0, 200])
def test_cma_es_climbs_a_bowl_with_full_and_diagonal_covariance(coordinate_task, full_up_to):
    fit = {**GOOD, "members": 2, "depth": 2}
    found = optimize(coordinate_task, "cma-es", q=8, runs=2, steps=15, full_up_to=full_up_to, **fit)
    assert coordinate_task.score(found.x)[50] > float(coordinate_task.normalize(coordinate_task.y).max())


def test_an_archive_gives_its_best_different_designs_first(sequence_task):
    job = Job("x", Space(sequence_task.data), None, 3, 0, None, False, no_progress)
    designs = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2]])
    archive = _Archive(3)
    z = job.space.encode(designs).numpy()
    archive.add(z[:2], np.array([3.0, 2.5]))
    archive.add(z[2:], np.array([1.0, 2.0]))
    assert archive.designs(job).tolist() == designs[[0, 3, 2]].tolist()
    few = _Archive(3)
    few.add(z[:2], np.array([1.0, 2.0]))
    assert few.designs(job).tolist() == designs[[0, 0, 0]].tolist()


def test_policy_gradients_find_the_best_class_of_every_position(sequence_task):
    found = optimize(sequence_task, "reinforce", q=16, steps=100, search_lr=0.1, members=2, **GOOD)
    assert sequence_task.score(found.x)[50] > 0.9
    means = [r["predicted_mean"] for r in found.history if r["stage"] == "search"]
    assert means[-1] > means[0]


def test_the_probabilities_of_policy_gradients_are_those_of_the_laws(task):
    job = Job("x", Space(task.data), None, 3, 0, None, False, no_progress)
    space, generator = job.space, torch.Generator().manual_seed(0)
    if space.is_discrete:
        logits = torch.randn(5, 4, generator=generator)
        z, log_probability = _sample(job, [logits], 500, generator)
        law = torch.distributions.Categorical(logits=logits)
        drawn = torch.from_numpy(space.decode(z))
        expected = law.log_prob(drawn).sum(dim=1)
        shares = torch.nn.functional.one_hot(drawn, 4).float().mean(dim=0)
        assert torch.allclose(shares, logits.softmax(dim=1), atol=0.08)
    else:
        mean, log_spread = torch.randn(3, generator=generator), torch.randn(3, generator=generator)
        z, log_probability = _sample(job, [mean, log_spread], 500, generator)
        law = torch.distributions.Normal(mean, log_spread.exp())
        # A constant has no gradient, so it is left out.
        expected = law.log_prob(z).sum(dim=1) + 1.5 * np.log(2 * np.pi)
    assert torch.allclose(log_probability, expected, atol=1e-4)


@pytest.mark.parametrize("acquisition", ["ei", "log-ei"])
def test_bayesian_optimization_proposes_the_best_of_what_it_saw(coordinate_task, acquisition):
    small = {"rows": 24, "iterations": 3, "batch_size": 3, "restarts": 1, "raw_samples": 8, "mc_samples": 16}
    found = optimize(coordinate_task, "bo-qei", q=6, acquisition=acquisition, maxiter=15, members=2, **small, **GOOD)
    start = coordinate_task.score(coordinate_task.x[coordinate_task.data.best(6)])
    assert coordinate_task.score(found.x)[100] > start[100]
    assert len([r for r in found.history if r["stage"] == "search"]) == 3


def test_the_best_of_the_data_are_its_best_rows_with_their_values(task):
    found = optimize(task, "best-of-data", q=9)
    rows = task.data.best(9)
    assert np.array_equal(found.x, task.x[rows])
    assert np.array_equal(found.fun_pred, task.y[rows])


def test_random_designs_are_uniform(task):
    found = optimize(task, "random", q=4000, seed=1)
    assert found.fun_pred == pytest.approx(np.full(4000, task.data.y_mean))
    if task.data.is_discrete:
        shares = np.stack([(found.x == k).mean(axis=0) for k in range(4)])
        assert shares == pytest.approx(0.25, abs=0.03)
    else:
        assert np.quantile(found.x, [0.25, 0.5, 0.75], axis=0) == pytest.approx(
            np.repeat([[-0.5], [0.0], [0.5]], 3, axis=1), abs=0.06
        )


def test_thousands_of_coordinates_are_searched_without_a_full_matrix():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 3000))
    data = OfflineData(x, x.sum(axis=1), False, bounds=(-1, 1))
    for method, hyper in (("cma-es", {"members": 1, "runs": 2, "steps": 2}), ("evolution", {"steps": 2})):
        assert optimize(data, method, q=4, epochs=1, width=8, **hyper).x.shape == (4, 3000)
