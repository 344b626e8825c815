"""minimize_lionk behaves as a solver of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from optimand.optim import minimize_lionk

B = np.array([2.0, 0.3, -5.0])


def f(x):
    return 0.5 * ((x - B) ** 2).sum()


def grad(x):
    return x - B


def test_result_has_scipys_fields_and_ours():
    found = minimize_lionk(f, np.zeros(3), jac=grad, maxiter=2000, lr=0.02)
    assert found.fun == pytest.approx(f(found.x))
    assert found.objective == found.fun  # K* is 0 on the box
    assert found.jac == pytest.approx(grad(found.x))
    assert found.constraint_violation <= 1e-15
    assert (found.nit, found.njev, found.status) == (2000, 2001, 1)
    assert not found.success
    assert "maxiter=2000" in found.message


def test_success_means_a_small_kkt_score():
    found = minimize_lionk(f, np.zeros(3), jac=grad, kappa="relativistic", kappa_kwargs={"e": 0.5}, tol=1e-6)
    assert found.success
    assert found.status == 0
    assert 0 <= found.kkt_score <= 1e-6
    assert found.nit < 20000
    assert "at most tol" in found.message


def test_it_serves_as_a_method_of_scipy_minimize():
    options = {"kappa": "l2", "maxiter": 4000, "lr": 0.02}
    found = minimize(f, np.zeros(3), jac=grad, method=minimize_lionk, options=options)
    assert found.x == pytest.approx(B / np.linalg.norm(B), abs=1e-4)
    pair = minimize(lambda x: (f(x), grad(x)), np.zeros(3), jac=True, method=minimize_lionk, options=options)
    assert pair.x == pytest.approx(found.x, abs=1e-12)
    assert pair.fun == pytest.approx(found.fun)


def test_matrices_that_scipy_flattens_have_their_shape_for_the_kappa():
    target = np.array([[2.0, 0.0], [0.0, 0.3]])
    options = {"kappa": "nuclear", "shape": (2, 2), "maxiter": 2000, "lr": 0.02}
    found = minimize(
        lambda x: 0.5 * ((x - target.ravel()) ** 2).sum(), np.zeros(4), jac=lambda x: x - target.ravel(),
        method=minimize_lionk, options=options,
    )  # fmt: skip
    assert found.x == pytest.approx([1, 0, 0, 0.3], abs=1e-3)


def test_arguments_reach_fun_and_jac_and_a_missing_jac_is_estimated():
    def shifted(x, shift):
        return 0.5 * ((x - shift) ** 2).sum()

    exact = minimize_lionk(shifted, np.zeros(2), (np.array([3.0, 0.5]),), lambda x, s: x - s, maxiter=800, lr=0.03)
    rough = minimize_lionk(shifted, np.zeros(2), (np.array([3.0, 0.5]),), maxiter=800, lr=0.03)
    assert rough.x == pytest.approx(exact.x, abs=1e-2)
    assert rough.nfev > 3 * rough.nit
    assert exact.x == pytest.approx([1, 0.5], abs=1e-2)


def test_without_decay_it_finds_an_unconstrained_minimum():
    found = minimize_lionk(
        rosen, [0.5, 0.5], jac=rosen_der, kappa="quadratic", lam=0.0, lr=0.01, betas=(0.9, 0.9), schedule="constant",
        maxiter=20000, tol=1e-10,
    )  # fmt: skip
    assert found.success
    assert found.x == pytest.approx([1, 1], abs=1e-3)
    assert found.constraint_violation == 0


def test_callbacks_see_iterates_and_may_stop():
    seen = []

    def callback(x):
        seen.append(x)
        return len(seen) == 7

    found = minimize_lionk(f, np.zeros(3), jac=grad, callback=callback)
    assert (found.nit, found.status, found.success) == (7, 3, False)
    assert seen[-1] == pytest.approx(found.x)

    def stop(x):
        raise StopIteration

    assert minimize_lionk(f, np.zeros(3), jac=grad, callback=stop).nit == 1


def test_a_gradient_that_is_not_finite_ends_the_run_with_its_step():
    found = minimize_lionk(f, np.zeros(3), jac=lambda x: x - B if x[0] < 0.05 else np.full(3, np.nan))
    assert found.status == 2
    assert not found.success
    assert f"after {found.nit} steps" in found.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": [(0, 1)] * 3}, "bounds and constraints"),
        ({"constraints": [{"type": "eq"}]}, "bounds and constraints"),
        ({"lam": -1.0}, "lam"),
        ({"lr": 1.5}, "lr must be in"),
        ({"maxiter": 0}, "maxiter"),
        ({"schedule": "cosine"}, "schedule"),
        ({"decay": "none"}, "decay"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\]"),
        ({"kappa": "nuclear"}, "needs a matrix"),
        ({"jac": lambda x: np.zeros(2)}, "jac must return"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        minimize_lionk(f, np.zeros(3), **{"jac": grad, **options})
