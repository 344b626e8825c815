"""Kappas one by one: rules at kinks, closed forms, errors, the registry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from optimand.optim import kappa as kappas
from optimand.optim.kappa import get_kappa


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "kwargs", "m", "expected"),
    [
        ("l1", {}, [0.0, -0.0, 2.0], [0.0, 0.0, 1.0]),
        ("dead_zone", {"e": 0.5}, [0.5, -0.5, 0.6], [0.0, 0.0, 1.0]),
        ("l2", {}, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ("lp", {"p": 1.5}, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ("linf", {}, [1.0, -2.0, 2.0], [0.0, -1.0, 0.0]),
        ("linf", {}, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ("top_k", {"k": 2}, [1.0, 3.0, -1.0], [1.0, 1.0, 0.0]),
        ("top_k", {"k": 2}, [-2.0, 2.0, 2.0], [-1.0, 1.0, 0.0]),
        ("top_k", {"k": 3}, [0.0, 2.0, 0.0], [0.0, 1.0, 0.0]),
        ("group_l2", {"index": [[0, 1], [2]]}, [0.0, 0.0, -3.0], [0.0, 0.0, -1.0]),
    ],
)
def test_subgradient_at_kinks_and_ties_is_the_stated_one(name, kwargs, m, expected):
    assert get_kappa(name, **kwargs).grad(vector(*m)).tolist() == expected


def test_ties_of_many_coordinates_take_the_lowest_flat_indices():
    m = torch.ones(50, 40)
    assert kappas.TopK(7).grad(m).flatten().nonzero().flatten().tolist() == list(range(7))
    assert kappas.LInf().grad(m).flatten().nonzero().flatten().tolist() == [0]


@pytest.mark.parametrize("kappa", [kappas.Nuclear(), kappas.Schatten(3.0)])
def test_zero_singular_values_are_left_out(kappa):
    rank_one = torch.outer(vector(1, 2, 3), vector(1, -1))
    u, _, vh = torch.linalg.svd(rank_one, full_matrices=False)
    torch.testing.assert_close(kappa.grad(rank_one), torch.outer(u[:, 0], vh[0]), rtol=0, atol=1e-14)
    assert not kappa.grad(torch.zeros(3, 2)).any()


def test_newton_schulz_is_near_the_polar_factor():
    m = torch.randn(30, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    approximate = kappas.Nuclear("newton_schulz").grad(m)
    sigma = torch.linalg.svdvals(approximate)
    assert 0.6 < float(sigma.min()) <= float(sigma.max()) < 1.25
    exact = kappas.Nuclear().grad(m)
    assert float((approximate * exact).sum() / (approximate.norm() * exact.norm())) > 0.97
    torch.testing.assert_close(kappas.Nuclear("newton_schulz").grad(m.T), approximate.T)


def test_convolution_kernels_count_as_matrices_of_filters():
    m = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for kappa in (kappas.Nuclear(), kappas.Schatten(1.5), kappas.GroupL2(0)):
        torch.testing.assert_close(kappa.grad(m), kappa.grad(m.view(6, 18)).view_as(m))


@pytest.mark.parametrize("p", [1.001, 1.2, 2.0, 5.0, 50.0])
@pytest.mark.parametrize("power", [-200, 0, 200])
def test_lp_survives_overflow_and_underflow_of_powers(p, power):
    m = vector(1, -2, 0, 0.5)
    kappa = kappas.Lp(p)
    torch.testing.assert_close(kappa.grad(m * 10.0**power), kappa.grad(m), rtol=1e-9, atol=1e-12)
    assert float(kappa.value(m * 10.0**power)) == pytest.approx(float(kappa.value(m)) * 10.0**power, rel=1e-12)


@pytest.mark.parametrize("q", [1.05, 1.5, 3.0, 20.0])
def test_projection_on_the_lq_ball_agrees_with_slsqp(q):
    x = np.array([2.0, -0.3, 5.0, 1e-3])
    found = minimize(
        lambda z: ((z - np.abs(x)) ** 2).sum(),
        np.full(4, 0.2),
        jac=lambda z: 2 * (z - np.abs(x)),
        bounds=[(0, None)] * 4,
        constraints={"type": "ineq", "fun": lambda z: 1 - (z**q).sum() ** (1 / q)},
        method="SLSQP",
        options={"ftol": 1e-16, "maxiter": 500},
    )
    ours = kappas.Lp(q / (q - 1)).project(torch.from_numpy(x)).numpy()
    assert np.abs(np.abs(ours) - found.x).max() < 1e-5
    assert ((ours - x) ** 2).sum() <= found.fun + 1e-9


@pytest.mark.parametrize("name", ["l1", "l2", "linf", "softmax", "nuclear"])
def test_distances_of_large_points_keep_their_digits(name):
    shape = (2, 2) if name == "nuclear" else (4,)
    x = torch.full(shape, 1e200, dtype=torch.float64)
    assert math.isfinite(float(get_kappa(name).dist_domain(x)))


def test_log_cosh_keeps_its_digits_near_zero_and_far_from_it():
    kappa = kappas.LogCosh(2.0)
    assert float(kappa.value(vector(1e-9))) == pytest.approx(1e-18, rel=1e-12)
    assert float(kappa.value(vector(1e6))) == pytest.approx(1e6 - math.log(2) / 2, rel=1e-14)


def test_huber_and_relativistic_do_not_overflow():
    assert float(kappas.Huber(0.5).value(vector(1e300))) == pytest.approx(1e300)
    assert float(kappas.Relativistic(0.5).value(vector(1e300))) == pytest.approx(1e300)


def test_l1_plus_quadratic_is_a_soft_box():
    kappa = kappas.Sum(["l1", "quadratic"])
    z = vector(1.5, -0.2, -3.0)
    assert float(kappa.conj(z)) == pytest.approx((0.25 + 4) / 2, abs=1e-14)
    assert not kappa.bounded


def test_l1_plus_l2_is_within_distance_one_of_the_box():
    kappa = kappas.Sum(["l1", "l2"])
    z = vector(3.0, -2.0, 0.1)
    expected = math.hypot(2, 1) - 1
    assert float(kappa.dist_domain(z)) == pytest.approx(expected, abs=1e-14)
    assert float(kappa.conj(z)) == math.inf
    assert float(kappa.conj(vector(1.5, -1.5, 0.1))) == 0.0


def test_minkowski_sum_of_l1_ball_and_simplex_is_projected_by_splitting():
    kappa = kappas.Sum(["linf", "softmax"])
    assert float(kappa.dist_domain(vector(1.0, 1.0))) <= 1e-10  # (0, 1) of the ball + (1, 0) of the simplex
    # The sum is {1 - 1 <= x1 + x2 <= 2, …}: its nearest point to (2, 2) is (1, 1).
    assert kappa.project(vector(2.0, 2.0)).tolist() == pytest.approx([1.0, 1.0], abs=1e-9)


def test_sum_of_three_sets_adds_their_radii():
    kappa = kappas.Sum(["l2", "l2", "linf"])
    assert float(kappa.dist_domain(vector(5.0, 0.0))) == pytest.approx(2.0, abs=1e-10)


def test_scaled_kappa_multiplies_updates_and_radius():
    kappa = kappas.Scaled("l2", 3.0)
    assert float(kappa.grad(vector(3, 4)).norm()) == pytest.approx(3.0)
    assert float(kappa.project(vector(30, 40), radius=2.0).norm()) == pytest.approx(6.0)


@pytest.mark.parametrize("matrix", ["l1", "l2", {"name": "group_l2"}, {"name": "group_l2", "dim": 1}, "nuclear"])
@pytest.mark.parametrize("shape", [(30, 20), (12, 5, 3, 3), (15,)])
def test_routed_updates_have_the_given_root_mean_square(matrix, shape):
    kappa = kappas.Routed(matrix, rms=0.3)
    m = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(kappa.grad(m).square().mean().sqrt()) == pytest.approx(0.3, rel=1e-6)


def test_routed_kappa_of_unknown_update_size_takes_no_rms():
    with pytest.raises(ValueError, match=r"rms must be None for kappa Huber\(e=1.0\)"):
        kappas.Routed("nuclear", "huber", rms=0.2)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("lp", {"p": 0.5}, "p must be in"),
        ("lp", {"p": 1.0}, "use 'l1'"),
        ("lp", {"p": math.inf}, "use 'linf'"),
        ("dead_zone", {"e": -1.0}, "e must be in"),
        ("huber", {"e": -1.0}, "e must be in"),
        ("huber", {"e": 0.0}, "e must be in"),
        ("relativistic", {"e": math.nan}, "e must be in"),
        ("log_cosh", {"a": 0.0}, "a must be in"),
        ("top_k", {"k": 0}, "k must be at least 1"),
        ("group_l2", {"index": [[0], [2]]}, r"missing \[1\]"),
        ("group_l2", {"index": [[0, 1], [1]]}, r"repeated \[1\]"),
        ("group_l2", {"index": [0, 2]}, "labels 0"),
        ("nuclear", {"method": "svdd"}, "did you mean 'svd'"),
        ("nuclear", {"steps": 0}, "steps must be at least 1"),
        ("schatten", {"p": 0.0}, "p must be in"),
        ("scaled", {"kappa": "l1", "s": 0.0}, "s must be in"),
        ("sum", {"kappas": ["l1"]}, "at least 2"),
        ("separable", {"kappas": ["l1"], "sizes": [1, 2]}, "1 for 2 blocks"),
        ("separable", {"kappas": ["l1"]}, "either index or sizes"),
        ("hubber", {}, "did you mean 'huber'"),
    ],
)
def test_bad_arguments_are_named(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        get_kappa(name, **kwargs)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "message"),
    [
        ("top_k", {"k": 5}, (4,), "k=5"),
        ("nuclear", {}, (4,), "use 'l1' or 'l2'"),
        ("schatten", {}, (4,), "needs a matrix"),
        ("group_l2", {"index": [[0, 1]]}, (4,), "2 labels"),
        ("group_l2", {"dim": 2}, (4, 2), r"dim must be in \[-2, 1\]"),
        ("separable", {"kappas": ["l1"], "sizes": [3]}, (4,), "cover 3 elements"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, kwargs, shape, message):
    kappa = get_kappa(name, **kwargs)
    for call in (kappa.value, kappa.grad, kappa.project, kappa.check):
        with pytest.raises(ValueError, match=message):
            call(torch.ones(shape))


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="floating-point"):
        kappas.L1().grad(torch.tensor([1, 2]))
    with pytest.raises(TypeError, match="kappa must be a name"):
        get_kappa(3)
    with pytest.raises(TypeError, match="'huber'"):
        get_kappa("huber", p=2)
    with pytest.raises(ValueError, match="radius"):
        kappas.L1().project(torch.ones(2), radius=0.0)


def test_names_are_found_whatever_their_case_and_hyphens():
    assert get_kappa("Top-K", k=3) == kappas.TopK(3)
    assert get_kappa("deadzone") == kappas.DeadZone()
    assert get_kappa("group") == kappas.GroupL2()


def test_a_kappa_of_ones_own_can_be_registered():
    class Cubic(kappas.Quadratic):
        name = "test_cubic"

    kappas.register_kappa(Cubic)
    assert isinstance(get_kappa("test-cubic"), Cubic)

    class L1Again(kappas.L1):
        name = "L-1"

    with pytest.raises(ValueError, match="must be new"):
        kappas.register_kappa(L1Again)


values = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(values, st.sampled_from(["l1", "l2", "linf", "softmax", "huber", "lp"]), st.floats(0.1, 10))
def test_projection_lands_in_the_set_and_keeps_order(x, name, radius):
    kappa = get_kappa(name)
    x = vector(*x)
    p = kappa.project(x, radius)
    assert float(kappa.dist_domain(p / radius)) <= 1e-12 * (1 + float(x.abs().max()))
    assert torch.equal(p[x.argsort()].sort().values, p[x.argsort()]) or name != "softmax"
    if name != "softmax":
        assert bool(((p == 0) | (p.sign() == x.sign())).all())


@settings(max_examples=60, deadline=None)
@given(values, st.integers(1, 7), st.floats(0.1, 10))
def test_top_k_projection_meets_both_constraints_with_equality_where_needed(x, k, radius):
    x = vector(*x)
    k = min(k, len(x))
    p = kappas.TopK(k).project(x, radius)
    assert float(p.abs().max()) <= radius * (1 + 1e-14)
    boxed = float(x.clamp(-radius, radius).abs().sum())
    assert float(p.abs().sum()) == pytest.approx(min(boxed, k * radius), rel=1e-11, abs=1e-11)
