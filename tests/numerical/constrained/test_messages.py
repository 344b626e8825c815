"""What a user is told: detached functions, wrong derivatives, dependent gradients, infeasible constraints."""

import re

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from optimand.numerical.constrained import minimize_equality
from optimand.numerical.constrained.kkt import assemble
from optimand.numerical.limits import Status


def far(x):
    return ((x - 3) ** 2).sum()


def sphere(x):
    return x @ x - 1


@pytest.mark.parametrize(
    ("objective", "constraint", "text"),
    [
        (lambda x: float(far(x)), sphere, "fun must return a tensor that depends on x .* got a float"),
        (lambda x: far(x).item(), sphere, r"return 0 \* x.sum\(\)"),
        (lambda x: far(x.detach()), sphere, "fun must return .* got a detached tensor"),
        (lambda x: 0.0, sphere, "for a constant objective return"),
        (far, lambda x: sphere(x.detach()), "constraints must return .* got a detached tensor"),
        (far, [sphere, lambda x: float(x[0]) - 1], "constraints must return .* got a float"),
    ],
)
def test_what_torch_cannot_differentiate_is_named(objective, constraint, text):
    with pytest.raises(ValueError, match=text):
        minimize_equality(objective, torch.tensor([1.0, 0, 0]), constraints=constraint, sketch="exact")


def test_a_constant_objective_of_tensors_is_no_error():
    found = minimize_equality(lambda x: 0 * x.sum(), torch.tensor([2.0, 1, 0]), constraints=sphere, sketch="exact")
    assert found.success


@pytest.mark.parametrize(
    ("derivatives", "text"),
    [
        ({"jac": lambda x: -2 * (x - 3)}, "along the last step jac gives .* by differences of fun"),
        ({"constraints": (sphere, lambda x: -2 * x)}, "jac of the constraints gives"),
        (
            {
                "hess": lambda x: -2 * np.eye(3),
                "constraints": (sphere, lambda x: 2 * x, lambda x, v: -200 * v * np.eye(3)),
            },
            "hess gives",
        ),
    ],
)
def test_a_solve_that_stalls_says_which_derivative_is_wrong(derivatives, text):
    arguments = {"jac": lambda x: 2 * (x - 3), "constraints": sphere, **derivatives}
    found = minimize_equality(far, [1.0, 0, 0], sketch="exact", **arguments)
    assert found.status == Status.STALLED
    assert "check the derivatives: " in found.message
    assert re.search(text, found.message)


@pytest.mark.parametrize("scale", [1e2, 1.0, 1e-2, 1e-3])
def test_the_units_of_a_constraint_do_not_make_it_singular(scale):
    found = minimize_equality(far, [1.0, 0, 0], constraints=lambda x: scale * (x @ x - 1), sketch="exact", maxiter=100)
    assert found.success
    np.testing.assert_allclose(found.x, 1 / np.sqrt(3), atol=1e-4)


@pytest.mark.parametrize("form", ["dense", "sparse", "large", "operator"])
def test_the_relative_test_of_the_jacobian_in_every_form(form):
    n = 600 if form == "large" else 5
    m = 100 if form == "operator" else 3
    n = max(n, m + 2)
    rows = np.random.default_rng(0).normal(size=(m, n)) * (
        1.0 if form == "operator" else np.array([[1e-6], [1.0], [1e4]])
    )
    dependent = rows.copy()
    dependent[-1] = 1e-3 * dependent[0]
    options = {"singular_tol": None, "curvature_tol": 1e-6, "xi_B": 0.1, "rng": np.random.default_rng(0)}
    for matrix, singular in ((rows, False), (dependent, True)):
        H, G = np.eye(n), matrix
        if form in ("sparse", "large"):
            H, G = csr_array(H), csr_array(G)
        elif form == "operator":
            H, G = aslinearoperator(H), aslinearoperator(1e-5 * G)
        found = assemble(H, G, **options)
        assert (found.A is None) == singular
        assert singular or found.gram_min > 0


@pytest.mark.parametrize("sketch", ["exact", "gaussian", "kaczmarz", "minres"])
def test_a_start_with_dependent_gradients_is_left_and_that_is_said(sketch):
    found = minimize_equality(
        lambda x: (x[0] - 3) ** 2 + x[1] ** 2 + x[2] ** 4, [1.0, 1, 1], sketch=sketch, rng=0,
        constraints=[NonlinearConstraint(lambda x: x @ x, 1, 1), LinearConstraint([[1, 1, 1]], 0.5, 0.5)],
    )  # fmt: skip
    assert found.success
    assert found.nit <= 10
    assert "regularized at 1 iteration" in found.message
    assert found.history["regularized"].tolist() == [1.0] + [0.0] * (found.nit - 1)


def test_a_singular_stop_names_its_options():
    start, options = [1.0, 0, 0], {"sketch": "exact", "singular": "stop"}
    scaled = minimize_equality(far, start, constraints=lambda x: 1e-2 * sphere(x), singular_tol=1e-2, **options)
    assert scaled.status == Status.SINGULAR
    for text in ("< singular_tol = 0.01", "singular='regularize'", "a smaller singular_tol"):
        assert text in scaled.message
    assert "infeasible" not in scaled.message
    twice = minimize_equality(far, start, constraints=lambda x: np.array([x.sum() - 1, x.sum() - 2]), **options)
    assert "scaled to length 1, they have λmin(G Gᵀ) < 1e-08" in twice.message
    assert "the constraints may be infeasible" in twice.message


@pytest.mark.parametrize(
    "constraint",
    [lambda x: x @ x + 1, lambda x: np.array([x.sum() - 1, x.sum() - 2]), lambda x: np.array([x @ x - 1, x.sum() - 5])],
)
def test_infeasible_constraints_are_suspected(constraint):
    found = minimize_equality(far, [1.0, 0, 0], constraints=constraint, sketch="exact", maxiter=500)
    assert not found.success
    assert "the constraints may be infeasible or badly scaled" in found.message
