"""Nets cover what they say, with no more points than the volume bound, and counts are told beforehand."""

import math

import numpy as np
import pytest

from optimand.online.linear_bandits.nets import ball_net, count_net, sphere_net


def farthest(points, net):
    return np.sqrt(((points[:, None, :] - net[None]) ** 2).sum(-1)).min(1).max()


def sphere(s, count, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, s))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_line_has_both_signs():
    assert sphere_net(1, 0.01).tolist() == [[1.0], [-1.0]]


@pytest.mark.parametrize(("eps", "count"), [(0.1, 32), (1.0, 3), (math.sqrt(2), 2), (2.5, 1), (0.5, 7)])
def test_the_circle_is_divided_evenly_from_angle_0(eps, count):
    net = sphere_net(2, eps)
    assert len(net) == count
    assert net[0].tolist() == [1.0, 0.0]
    angles = np.linspace(0, 2 * np.pi, 20_001)
    gap = farthest(np.column_stack([np.cos(angles), np.sin(angles)]), net)
    assert gap <= eps + 1e-9
    # one angle fewer would leave something out
    if count > 1:
        assert 2 * math.sin(math.pi / (2 * (count - 1))) > eps * (1 - 1e-6)


@pytest.mark.parametrize(("s", "eps"), [(3, 0.2), (3, 0.7), (3, 1.5), (4, 0.5), (5, 1.0), (3, 2.0), (3, 0.1)])
def test_higher_spheres_are_covered(s, eps):
    net = sphere_net(s, eps)
    assert np.allclose(np.linalg.norm(net, axis=1), 1)
    assert farthest(sphere(s, 1500), net) <= eps
    assert len(net) == count_net(s, eps)


def test_the_net_of_the_sphere_is_within_the_volume_bound():
    for s in (1, 2, 3, 4):
        for eps in (0.1, 0.3, 1.0):
            assert len(sphere_net(s, eps)) <= (1 + 2 / eps) ** s


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("eps", [0.15, 0.37, 0.8, 1.0, 1.3])
def test_balls_are_covered_with_all_their_shells(s, eps):
    net = ball_net(s, eps)
    rng = np.random.default_rng(1)
    points = sphere(s, 600) * rng.random((600, 1)) ** (1 / s)
    assert farthest(np.vstack([points, sphere(s, 200), np.zeros((1, s))]), net) <= eps * (1 + 1e-9)
    assert np.linalg.norm(net, axis=1).max() <= 1
    assert len(net) == count_net(s, eps, ball=True)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sphere_net(0, 0.1), ValueError, "s must be"),
        (lambda: sphere_net(2, 0.0), ValueError, "eps must be"),
        (lambda: ball_net(1.5, 0.1), TypeError, "s must be an integer"),
        (lambda: ball_net(2, -1.0), ValueError, "eps must be"),
    ],
)
def test_bad_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
