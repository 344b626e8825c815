"""The space of a search: encodings, neighbours, starts, and sets in which no design occurs twice."""

import numpy as np
import pytest
import torch

from optimand.offline.searches.parts import space as module
from optimand.offline.searches.parts.settings import SURROGATE, real, resolve
from optimand.offline.searches.parts.space import Space
from optimand.offline.tasks.base import OfflineData


@pytest.fixture
def letters(sequence_task):
    return Space(sequence_task.data)


@pytest.fixture
def points(coordinate_task):
    return Space(coordinate_task.data)


def test_rows_survive_the_way_into_the_space_and_back(task):
    space = Space(task.data)
    assert np.allclose(space.decode(space.x), task.data.x, atol=1e-6)
    assert np.allclose(space.raw(space.y), task.data.y, atol=1e-6)
    assert space.x.dtype == torch.float32
    assert abs(float(space.y.mean())) < 1e-6
    assert float(space.y.std(correction=0)) == pytest.approx(1.0, abs=1e-5)


def test_the_neighbours_of_a_sequence_are_all_that_differ_in_one_place(letters):
    designs = np.array([[0, 1, 2, 3, 0], [3, 3, 3, 3, 3]])
    found = letters.neighbours(designs, np.random.default_rng(0))
    assert found.shape == (2 * 5 * 3, 5)
    for design, near in zip(designs, found.reshape(2, 15, 5), strict=True):
        assert ((near != design).sum(axis=1) == 1).all()
        assert len(np.unique(near, axis=0)) == 15
    assert found.min() >= 0
    assert found.max() <= 3


def test_of_very_many_neighbours_a_part_is_drawn_as_many_of_each_design(monkeypatch):
    data = OfflineData(np.random.default_rng(0).integers(0, 5, (4, 1500)), np.arange(4.0), True, num_classes=5)
    space = Space(data)
    most = 400
    monkeypatch.setattr(module, "MOST_NEIGHBOURS", most)
    found = space.neighbours(data.x, np.random.default_rng(1))
    each = most // 4
    assert found.shape == (4 * each, 1500)
    grouped = found.reshape(4, each, 1500)
    assert ((grouped != data.x[:, None]).sum(axis=2) == 1).all()
    assert len(np.unique(grouped[0], axis=0)) == each


def test_the_neighbours_of_a_point_are_as_far_as_asked_and_within_the_bounds(points):
    centre = np.zeros((200, 3))
    near = points.neighbours(centre, np.random.default_rng(0), reach=0.1, per=20)
    assert near.std(axis=0) == pytest.approx(0.1 * points.spread, rel=0.05)
    assert np.abs(points.neighbours(centre + 1, np.random.default_rng(0), reach=3.0)).max() <= 1
    far = points.neighbours(np.zeros((2, 3)), np.random.default_rng(0), reach=np.array([0.0, 0.5]), per=50)
    assert not far[:50].any()
    assert far[50:].any()


def test_starts_are_the_best_rows_and_then_noise_around_them(task):
    space = Space(task.data)
    n = len(task.data)
    starts = space.starts(n + 7, np.random.default_rng(0))
    assert np.array_equal(starts[:n].numpy(), space.x[torch.from_numpy(task.data.best(n))].numpy())
    distance = (starts[n:] - starts[:7]).norm(dim=1)
    assert (distance > 0).all()
    assert (distance < 2).all()


def test_points_are_projected_onto_the_box_and_sequences_are_left_alone(letters, points):
    z = torch.full((2, 3), 50.0)
    assert np.allclose(points.decode(points.project(z)), 1.0)
    assert points.project(z).max() < 3
    wild = torch.full((2, letters.dim), 50.0)
    assert letters.project(wild) is wild


def test_a_set_is_completed_by_the_neighbours_that_score_best(letters):
    start = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    found = letters.complete(start, 4, np.random.default_rng(0), lambda d: d[:, 1] - 10.0 * (d.sum(axis=1) > d[:, 1]))
    assert found.tolist() == [[0, 0, 0, 0, 0], [0, 3, 0, 0, 0], [0, 2, 0, 0, 0], [0, 1, 0, 0, 0]]


def test_a_set_of_points_at_a_corner_is_completed_too(points):
    found = points.complete(np.ones((5, 3)), 40, np.random.default_rng(0), lambda d: d.sum(axis=1))
    assert len(np.unique(found, axis=0)) == 40
    assert np.abs(found).max() <= 1


def test_bounds_that_leave_one_point_leave_one_design():
    space = Space(OfflineData([[1.0, 2.0], [1.0, 2.0]], [0.0, 1.0], False))
    assert space.distinct == 1
    with pytest.raises(
        ValueError, match="q must be at most the number of distinct designs, 1, when unique=True, got 2"
    ):
        space.check_unique(2)


def test_settings_come_from_the_preset_and_from_the_caller():
    assert resolve(SURROGATE, "paper", {}).width == 2048
    assert resolve(SURROGATE, "paper", {"width": 7}).width == 7
    table = {"limit": real(None, 2.0)}
    assert resolve(table, "small", {}).limit is None
    assert resolve(table, "small", {"limit": None}).limit is None
    assert resolve(table, "small", {"limit": 3}).limit == 3.0
    with pytest.raises(TypeError, match="limit must be a number"):
        resolve(table, "small", {"limit": "3"})
