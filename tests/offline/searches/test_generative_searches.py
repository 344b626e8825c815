"""Searches with generative networks: likelihoods, weights, penalties, and what conditioning does."""

import itertools

import numpy as np
import pytest
import torch

from optimand.offline import optimize
from optimand.offline.searches.cbas import sample_weights
from optimand.offline.searches.mins import row_weights
from optimand.offline.searches.parts.networks import VAE, Critic, Generator, perceptron, relaxed
from optimand.offline.searches.parts.space import Space
from optimand.offline.tasks.base import OfflineData

FIT = {"epochs": 6, "batch": 32, "width": 32, "lr": 3e-3}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def triples():
    """The 27 sequences of three positions and three classes."""
    x = np.array(list(itertools.product(range(3), repeat=3)))
    return Space(OfflineData(x, x.sum(axis=1), True, num_classes=3))


def test_the_likelihoods_of_all_sequences_sum_to_one(triples):
    vae = VAE(triples, 2, 8, seeded())
    everything = torch.from_numpy(triples.designs.copy())
    for z in torch.randn(4, 2, generator=seeded(1)):
        total = vae.log_likelihood(everything, z.expand(27, 2)).exp().sum()
        assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_sequences_are_drawn_as_often_as_their_likelihood_says(triples):
    vae = VAE(triples, 2, 8, seeded())
    torch.nn.init.zeros_(vae.decoder[0].weight)  # so that a design says nothing of its latent point
    bias = vae.decoder[-1].bias
    with torch.no_grad():
        bias.copy_(torch.randn(bias.shape, generator=seeded(2)))
    x, z = vae.sample(30_000, seeded(3))
    codes = (x * torch.tensor([9, 3, 1])).sum(dim=1)
    shares = torch.bincount(codes, minlength=27) / len(codes)
    law = vae.log_likelihood(torch.from_numpy(triples.designs.copy()), z[:1].expand(27, 2)).exp()
    assert torch.allclose(shares, law, atol=0.01)


def test_the_likelihood_of_points_is_that_of_a_normal_law(coordinate_task):
    space = Space(coordinate_task.data)
    vae = VAE(space, 2, 8, seeded())
    z = torch.randn(5, 2, generator=seeded(1))
    mean, log_spread = vae.decoder(z).chunk(2, dim=1)
    law = torch.distributions.Normal(mean, log_spread.clamp(np.log(0.1), 1.0).exp())
    assert torch.allclose(vae.log_likelihood(space.x[:5], z), law.log_prob(space.x[:5]).sum(dim=1), atol=1e-5)


def test_the_evidence_bound_is_below_the_evidence_and_weights_choose_rows(triples):
    vae = VAE(triples, 1, 8, seeded())
    x = torch.from_numpy(triples.designs[:1].copy())
    grid = torch.linspace(-8, 8, 4001)[:, None]
    likelihood = vae.log_likelihood(x.expand(4001, 3), grid).exp()
    evidence = torch.trapezoid(likelihood * torch.exp(-0.5 * grid[:, 0] ** 2) / np.sqrt(2 * np.pi), grid[:, 0]).log()
    bounds = [-vae.loss(x.repeat(500, 1), torch.ones(500), 1.0, seeded(i)).item() for i in range(5)]
    assert np.mean(bounds) < evidence.item()
    two = torch.from_numpy(triples.designs[:2].copy())
    first = vae.loss(two, torch.tensor([1.0, 0.0]), 0.0, seeded(9))
    other = two.clone()
    other[1] = 2
    assert first.item() == pytest.approx(vae.loss(other, torch.tensor([1.0, 0.0]), 0.0, seeded(9)).item())


def test_conditioning_moves_samples_up_and_its_level_never_falls(sequence_task):
    fast = {"offline_epochs": 10, "online_epochs": 4, "samples": 96, "iterations": 6, "vae_lr": 5e-3, "members": 2}
    found = optimize(sequence_task, "cbas", q=32, seed=0, **fast, **FIT)
    steps = [r for r in found.history if r["stage"] == "search"]
    assert (np.diff([r["gamma"] for r in steps]) >= 0).all()
    assert steps[-1]["predicted_mean"] > steps[0]["predicted_mean"] + 0.1
    assert all(1 <= r["effective"] <= 96 for r in steps)
    losses = [r["loss"] for r in found.history if r["stage"] == "vae"]
    assert losses[-1] < losses[0]
    assert sequence_task.score(found.x)[50] > float(np.median(sequence_task.normalize(sequence_task.y)))


def test_samples_weigh_by_how_much_likelier_the_first_model_finds_them_times_their_promise():
    class Law:
        def __init__(self, *likelihoods):
            self.found = torch.tensor(likelihoods).log()

        def log_likelihood(self, x, z):
            return self.found

    prior, model, promise = Law(0.5, 0.25, 0.2), Law(0.25, 0.5, 0.2), torch.tensor([1.0, 0.5, 0.8])
    # 0.5/0.25 * 1 = 2, 0.25/0.5 * 0.5 = 0.25, 1 * 0.8: over the greatest 1, 0.125 and 0.4
    weights = sample_weights(prior, model, torch.zeros(3), torch.zeros(3), promise, 1.0)
    assert weights.tolist() == pytest.approx([1.0, 0.125, 0.4])
    softer = sample_weights(prior, model, torch.zeros(3), torch.zeros(3), promise, 0.2)
    assert softer.tolist() == pytest.approx([1.0, 0.125**0.2, 0.4**0.2])


def test_the_first_model_is_the_one_that_stays(sequence_task, monkeypatch):
    seen = []

    def spy(prior, model, *rest):
        seen.append([torch.nn.utils.parameters_to_vector(vae.parameters()).detach().clone() for vae in (prior, model)])
        return sample_weights(prior, model, *rest)

    monkeypatch.setattr("optimand.offline.searches.cbas.sample_weights", spy)
    fast = {"offline_epochs": 1, "online_epochs": 1, "samples": 32, "iterations": 2, "members": 2}
    optimize(sequence_task, "cbas", q=4, seed=0, **fast, **FIT)
    (prior, model), (later_prior, later_model) = seen
    assert torch.equal(prior, model)  # it starts as its copy
    assert torch.equal(prior, later_prior)
    assert not torch.equal(model, later_model)


def test_conditioning_on_points_moves_samples_up(coordinate_task):
    fast = {"offline_epochs": 10, "online_epochs": 4, "samples": 128, "iterations": 6, "vae_lr": 5e-3, "members": 2}
    found = optimize(coordinate_task, "cbas", q=32, seed=0, **fast, **FIT)
    steps = [r["predicted_mean"] for r in found.history if r["stage"] == "search"]
    assert steps[-1] > steps[0]


def test_rows_are_weighted_by_frequency_and_height():
    y = np.array([0.0, 0.0, 0.0, 1.0])
    mass = np.array([np.exp(-0.5) * 0.75 / 0.751, 0.25 / 0.251])
    mass /= mass.sum()
    assert row_weights(y, bins=2, tau=1.0) == pytest.approx([mass[0] / 0.75] * 3 + [mass[1] / 0.25], rel=1e-6)
    many = row_weights(np.random.default_rng(0).standard_normal(5000))
    assert many.min() >= 0
    assert many.max() <= 5
    assert row_weights(np.ones(4)).tolist() == [1.0] * 4


def test_the_penalty_of_a_linear_critic_is_known(coordinate_task):
    space = Space(coordinate_task.data)
    critic = Critic(space, 4, seeded())
    critic.body = perceptron([4, 1], seeded())
    with torch.no_grad():
        critic.body[0].weight.copy_(torch.tensor([[3.0, 0.0, 4.0, 9.0]]))
    real, fake, y = torch.randn(6, 3), torch.randn(6, 3), torch.randn(6)
    assert torch.allclose(critic.penalty(real, fake, y, seeded()), torch.full((6,), 16.0), atol=1e-4)


def test_relaxed_samples_are_laws_and_their_corners_those_of_the_logits():
    logits = torch.tensor([0.0, 1.0, 2.0])
    found = relaxed(logits.expand(20_000, 3), 0.7, seeded())
    assert torch.allclose(found.sum(dim=1), torch.ones(20_000), atol=1e-5)
    shares = torch.bincount(found.argmax(dim=1), minlength=3) / 20_000
    assert torch.allclose(shares, logits.softmax(dim=0), atol=0.015)


def test_the_inverse_map_gives_better_designs_when_asked_for_better_values(sequence_task):
    run = {"q": 64, "gan_epochs": 40, "gan_width": 32, "latent": 4, "gan_lr": 3e-3, "batch": 64, "critic_steps": 2}
    fit = {"epochs": 1, "width": 8, "pool": 1}
    found = optimize(sequence_task, "mins", **run, **fit)
    # The same networks with the values turned round: their best is the task's worst.
    turned = OfflineData(sequence_task.x, -sequence_task.y, True, num_classes=4)
    worst = optimize(turned, "mins", **run, **fit)
    assert sequence_task.score(found.x)[50] > sequence_task.score(worst.x)[50] + 0.1
    temperatures = [r["temperature"] for r in found.history if r["stage"] == "gan"]
    assert temperatures[0] == 5.0
    assert temperatures[-1] == 1.0


def test_a_pool_lets_the_surrogate_choose(coordinate_task):
    run = {"q": 8, "gan_epochs": 1, "gan_width": 8, "latent": 2, **FIT}
    one = optimize(coordinate_task, "mins", pool=1, **run)
    many = optimize(coordinate_task, "mins", pool=16, **run)
    assert many.fun_pred.mean() > one.fun_pred.mean()


def test_generated_points_have_the_shape_of_the_space(task):
    space = Space(task.data)
    out = Generator(space, 3, 8, seeded())(torch.zeros(7), 1.0, seeded())
    assert out.shape == ((7, 20) if space.is_discrete else (7, 3))
