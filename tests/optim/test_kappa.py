"""Every kappa: subgradient, conjugate, domain and projection belong to one and the same convex function."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from optimand.optim.kappa import get_kappa

KAPPAS = [
    ("l1", {}, (4,)),
    ("lp", {"p": 1.5}, (4,)),
    ("lp", {"p": 3.0}, (4,)),
    ("lp", {"p": 1.01}, (4,)),
    ("lp", {"p": 12.0}, (4,)),
    ("l2", {}, (4,)),
    ("linf", {}, (4,)),
    ("dead_zone", {"e": 0.5}, (4,)),
    ("top_k", {"k": 2}, (4,)),
    ("huber", {"e": 0.5}, (4,)),
    ("relativistic", {"e": 0.5}, (4,)),
    ("log_cosh", {"a": 2.0}, (4,)),
    ("softmax", {}, (4,)),
    ("group_l2", {"index": [[0, 3], [2], [1]]}, (4,)),
    ("group_l2", {"dim": 1}, (2, 2)),
    ("nuclear", {}, (2, 2)),
    ("schatten", {"p": 3.0}, (2, 2)),
    ("schatten", {"p": 1.5}, (3, 2)),
    ("quadratic", {}, (4,)),
    ("scaled", {"kappa": {"name": "dead_zone", "e": 0.5}, "s": 2.5}, (4,)),
    ("scaled", {"kappa": "softmax", "s": 0.5}, (4,)),
    ("sum", {"kappas": ["l1", "quadratic"]}, (4,)),
    ("sum", {"kappas": ["l1", "l2"]}, (4,)),
    ("sum", {"kappas": ["l2", {"name": "scaled", "kappa": "quadratic", "s": 0.5}, "linf"]}, (4,)),
    ("sum", {"kappas": [{"name": "huber", "e": 0.5}, {"name": "relativistic", "e": 0.3}]}, (4,)),
    ("separable", {"kappas": ["softmax", {"name": "huber", "e": 0.5}], "sizes": [3, 1]}, (4,)),
    ("routed", {"matrix": "nuclear", "vector": "huber"}, (2, 2)),
    ("routed", {"matrix": "nuclear", "vector": "l1", "rms": 0.3}, (4,)),
]
IDS = ["-".join([name, *(str(v).replace(" ", "") for v in kw.values())])[:60] for name, kw, _ in KAPPAS]
every_kappa = pytest.mark.parametrize(("name", "kwargs", "shape"), KAPPAS, ids=IDS)


def draw(shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inside(kappa, shape, seed, share=0.8):
    """A point inside the domain of K*: a convex combination of two subgradients, drawn towards a third."""
    a, b, c = (kappa.grad(draw(shape, 100 * seed + i)) for i in range(3))
    return share * (0.6 * a + 0.4 * b) + (1 - share) * c


@every_kappa
def test_fenchel_young_is_an_equality_at_the_subgradient(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for seed in range(20):
        m = draw(shape, seed, scale=10.0 ** (seed % 4 - 2))
        d = kappa.grad(m)
        gap = kappa.conj(d) + kappa.value(m) - (m * d).sum()
        assert abs(float(gap)) <= 1e-10 * max(1, float(kappa.value(m)))


@every_kappa
def test_subgradient_inequality_holds_at_random_points_kinks_and_ties(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    tied = torch.tensor([1.0, -1.0, 1.0, 1.0, 0.5, -1.0][: math.prod(shape)], dtype=torch.float64).view(shape)
    kinks = [torch.zeros(shape, dtype=torch.float64), tied, 0.5 * tied, 0.0 * tied + 0.5, tied.round() * (tied > 0)]
    points = [*kinks, *(draw(shape, seed) for seed in range(20))]
    for m in points:
        d = kappa.grad(m)
        for n in points:
            assert kappa.value(n) >= kappa.value(m) + ((n - m) * d).sum() - 1e-12


@every_kappa
def test_subgradient_is_the_autograd_gradient_where_smooth(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for seed in range(5):
        m = draw(shape, seed).requires_grad_()
        (expected,) = torch.autograd.grad(kappa.value(m), m)
        torch.testing.assert_close(kappa.grad(m.detach()), expected, rtol=1e-10, atol=1e-12)


@every_kappa
def test_conjugate_equals_the_numerical_supremum_inside_the_domain(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for seed in range(3):
        z = inside(kappa, shape, seed)
        conj = float(kappa.conj(z))

        def loss(flat, z=z):
            m = torch.from_numpy(flat).view(shape).requires_grad_()
            value = kappa.value(m) - (z * m).sum()
            (slope,) = torch.autograd.grad(value, m)
            return float(value.detach()), slope.flatten().numpy()

        zero = np.zeros(z.numel())
        # Any start gives a lower bound of the supremum; the claimed maximizer is one of them, for the kinks.
        starts = [zero + 1e-9, kappa.conj_grad(z).numpy().ravel(), z.numpy().ravel(), draw(shape, 7).numpy().ravel()]
        values = [-loss(start)[0] for start in (zero, *starts)]
        for start in starts:
            found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 40})
            values.append(-found.fun)
        assert max(values) <= conj + 1e-9
        assert max(values) >= conj - 1e-6


@every_kappa
def test_conjugate_is_infinite_outside_a_bounded_domain_and_finite_everywhere_else(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    far = 10 * draw(shape, 1).sign() + draw(shape, 2)
    assert math.isinf(float(kappa.conj(far))) == kappa.bounded
    assert kappa.in_domain(far) != kappa.bounded
    assert (float(kappa.dist_domain(far)) > 1) == kappa.bounded
    assert bool(kappa.conj_grad(far).isnan().all()) == kappa.bounded


@every_kappa
def test_biconjugate_is_the_kappa(name, kwargs, shape):
    """K(m) = max over z of <z, m> - K*(z): never above, and reached at the subgradient."""
    kappa = get_kappa(name, **kwargs)
    points = [inside(kappa, shape, seed) for seed in range(6)]
    for seed in range(6):
        m = draw(shape, seed)
        supports = [float((z * m).sum() - kappa.conj(z)) for z in [*points, kappa.grad(m)]]
        assert max(supports) == pytest.approx(float(kappa.value(m)), abs=1e-10)


@every_kappa
def test_subgradient_of_the_conjugate_inverts_the_subgradient(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for seed in range(5):
        z = inside(kappa, shape, seed)
        w = kappa.conj_grad(z)
        assert float(kappa.value(w) + kappa.conj(z)) == pytest.approx(float((w * z).sum()), abs=1e-6)


@every_kappa
def test_projection_is_the_nearest_point_of_the_scaled_domain(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for seed, radius in enumerate([0.25, 1.0, 3.0]):
        x = draw(shape, seed, scale=5.0)
        p = kappa.project(x, radius)
        assert float(kappa.dist_domain(p / radius)) <= 1e-10
        if not kappa.bounded:
            assert torch.equal(p, x)
        for other in range(20):
            y = radius * kappa.grad(draw(shape, 50 + other, scale=3.0)) if kappa.bounded else p
            # The variational inequality that marks the projection on a convex set.
            assert float(((x - p) * (y - p)).sum()) <= 1e-8
        torch.testing.assert_close(kappa.project(p, radius), p, rtol=0, atol=1e-9)
        distance = float(kappa.dist_domain(x / radius)) * radius
        assert distance == pytest.approx(float((x - p).norm()), abs=1e-9)


@every_kappa
def test_a_point_inside_is_its_own_projection(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    z = inside(kappa, shape, seed=3, share=0.9)
    torch.testing.assert_close(kappa.project(z), z, rtol=0, atol=1e-12)
    assert float(kappa.dist_domain(z)) <= 1e-12
    assert kappa.in_domain(z)


@every_kappa
def test_config_rebuilds_the_kappa_from_plain_values(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    again = get_kappa(kappa.config())
    assert again == kappa
    m = draw(shape, 0)
    assert torch.equal(again.grad(m), kappa.grad(m))


@every_kappa
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_comes_back_in_its_own_dtype_from_wider_arithmetic(name, kwargs, shape, dtype):
    kappa = get_kappa(name, **kwargs)
    m = draw(shape, 0).to(dtype)
    assert kappa.grad(m).dtype == kappa.project(m).dtype == dtype
    assert kappa.value(m).dtype == torch.float32
    torch.testing.assert_close(kappa.grad(m).double(), kappa.grad(m.double()), rtol=1e-2, atol=1e-2)


@every_kappa
def test_magnitudes_near_the_ends_of_float32_give_finite_subgradients(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    for size in (1e-30, 1e30):
        m = draw(shape, 0).float() * size
        d = kappa.grad(m)
        assert torch.isfinite(d).all()
        if kappa.is_norm and name != "nuclear":
            torch.testing.assert_close(d, kappa.grad(draw(shape, 0).float()), rtol=1e-3, atol=1e-4)


@every_kappa
def test_empty_tensors_pass_through(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    empty = torch.empty((0, *shape[1:]))
    assert kappa.grad(empty).shape == empty.shape
    assert float(kappa.value(empty)) == float(kappa.dist_domain(empty)) == 0.0
