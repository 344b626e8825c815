"""Small landscapes with known optima, as sequences and as coordinates, whose oracles count what they are asked."""

import numpy as np
import pytest
import torch

from optimand.offline.tasks.base import OfflineData, Task

# Position-wise gains of four classes: the best sequence is 3 2 1 0 3.
GAINS = np.array([[0.0, 1, 2, 3], [0, 1, 3, 2], [0, 3, 1, 2], [3, 0, 1, 2], [0, 1, 2, 3]]) / 15


def sequences(rows=400, seed=0):
    """The poorer three quarters of random sequences of five positions, valued by the sum of gains."""
    x = np.random.default_rng(seed).integers(0, 4, (rows, 5))
    y = GAINS[np.arange(5), x].sum(axis=1)
    kept = y <= np.quantile(y, 0.75)
    data = OfflineData(x[kept], y[kept], True, num_classes=4, name="sequences")
    return Task(data, lambda d: GAINS[np.arange(5), d].sum(axis=1), y_min=0.0, y_max=1.0)


def bowl(x):
    return -((x - 0.5) ** 2).sum(axis=1)


def coordinates(rows=400, seed=0, dim=3):
    """The poorer three quarters of random points in [-1, 1]^dim, valued by a bowl with its top at 0.5."""
    x = np.random.default_rng(seed).uniform(-1, 1, (rows, dim))
    y = bowl(x)
    kept = y <= np.quantile(y, 0.75)
    return Task(OfflineData(x[kept], y[kept], False, bounds=(-1, 1), name="coordinates"), bowl, y_max=0.0)


@pytest.fixture
def sequence_task():
    return sequences()


@pytest.fixture
def coordinate_task():
    return coordinates()


@pytest.fixture(params=["sequences", "coordinates"])
def task(request):
    return {"sequences": sequences, "coordinates": coordinates}[request.param]()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FIT = {"epochs": 2, "width": 8}
SMALLEST = {"raw_samples": 2, "mc_samples": 4, "restarts": 1, "maxiter": 2}
# Settings of every search that end in a fraction of a second.
QUICK = {
    "ga": {**FIT, "steps": 5},
    "ens-mean": {**FIT, "steps": 5, "members": 2},
    "ens-min": {**FIT, "steps": 5, "members": 2},
    "coms": {**FIT, "particle_steps": 2, "steps": 5},
    "cbas": {**FIT, "members": 2, "offline_epochs": 1, "online_epochs": 1, "iterations": 2, "samples": 32},
    "bo-qei": {**FIT, "members": 2, "rows": 12, "iterations": 1, "batch_size": 2, **SMALLEST},
    "cma-es": {**FIT, "members": 2, "steps": 4, "runs": 3},
    "reinforce": {**FIT, "members": 2, "steps": 4, "samples": 32},
    "mins": {**FIT, "gan_epochs": 1, "gan_width": 16, "latent": 4, "pool": 2},
    "local-search": {**FIT, "steps": 3},
    "evolution": {**FIT, "steps": 3, "population": 32},
    "random": {},
    "best-of-data": {},
}


@pytest.fixture(params=list(QUICK))
def quick(request):
    """The name of a search and its quick settings."""
    return request.param, QUICK[request.param]
