"""Rates and bounds: the paper's numbers on the grid of 100 points, and that bounds bound what is measured."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.numerical.linear_systems import laplacian, optimal_omega, prepare, sor, ssor_cg
from optimand.numerical.linear_systems import theory as t

GRID = laplacian(10)
SINE = np.sin(np.arange(1, 101))


def definite(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    half = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4)
    return half @ half.T + np.eye(n)


def test_jacobi_radius_and_best_omega() -> None:
    assert t.jacobi_radius(GRID) == pytest.approx(0.9594929736, abs=1e-10)
    assert t.jacobi_radius(GRID) == pytest.approx(math.cos(math.pi / 11))
    assert optimal_omega(GRID) == pytest.approx(1.5603879212747742, abs=1e-12)
    assert optimal_omega(math.cos(math.pi / 11)) == pytest.approx(2 / (1 + math.sin(math.pi / 11)))


@pytest.mark.parametrize("shift", [-0.15, 0.0, 0.45, 5.0])
def test_laplacians_need_no_matrix(shift: float) -> None:
    matrix = prepare(laplacian(6)).shifted(shift)
    assert t.laplacian_jacobi_radius(6, shift) == pytest.approx(t.jacobi_radius(matrix))


def test_jacobi_radius_of_an_unsymmetric_matrix() -> None:
    assert t.jacobi_radius([[2.0, 1.0], [-4.0, 2.0]]) == pytest.approx(1.0)


@given(side=st.integers(2, 7), omega=st.floats(0.2, 1.95))
@settings(max_examples=30, deadline=None)
def test_radius_from_youngs_formula(side: int, omega: float) -> None:
    """The closed form is the largest eigenvalue, up to what a defective one lets a dense solver find."""
    A = laplacian(side).toarray()
    split = np.tril(A, -1) + np.diag(np.diag(A)) / omega
    largest = np.abs(np.linalg.eigvals(np.eye(len(A)) - A @ np.linalg.inv(split))).max()
    assert t.sor_radius(A, omega) == pytest.approx(largest, abs=1e-5)


def test_radius_beyond_the_best_omega() -> None:
    best = optimal_omega(GRID)
    assert [t.sor_radius(GRID, omega) for omega in (best + 1e-9, 1.7, 1.9)] == pytest.approx([best - 1, 0.7, 0.9])
    assert t.sor_radius(GRID, best) == pytest.approx(best - 1, abs=1e-6)


def test_radius_without_consistent_ordering() -> None:
    A = definite(0, 7)
    assert not t.is_consistently_ordered(A)
    split = np.tril(A, -1) + np.diag(np.diag(A)) / 1.3
    assert t.sor_radius(A, 1.3) == pytest.approx(np.abs(np.linalg.eigvals(np.eye(7) - A @ np.linalg.inv(split))).max())


def test_consistent_ordering() -> None:
    cycle = np.eye(5) * 3 - np.roll(np.eye(5), 1, 0) - np.roll(np.eye(5), -1, 0)
    assert not t.is_consistently_ordered(cycle)
    assert t.is_consistently_ordered(GRID)
    assert t.is_consistently_ordered(sp.block_diag([laplacian(2), laplacian(3)]))


def test_surrogate_of_the_paper() -> None:
    """tau is attained at the best omega, and the surrogate is above every count."""
    best = optimal_omega(GRID)
    omegas = [*np.arange(1.0, 2.0, 0.01), best]
    counts = [sor(GRID, SINE, omega=omega).nit for omega in omegas]
    tau = t.near_asymptotic_tau(GRID, omegas, counts)
    assert tau == pytest.approx(0.19118, abs=1e-4)
    assert tau == pytest.approx(t.near_asymptotic_tau(GRID, [best], counts[-1:]))
    bounds = np.array([t.near_asymptotic_bound(GRID, omega, tau) for omega in omegas])
    gaps = bounds - counts
    assert gaps.argmin() == len(omegas) - 1
    assert gaps.min() == pytest.approx(5.92, abs=0.01)
    listed = [t.near_asymptotic_bound(GRID, omega, tau) for omega in (1.0, 1.4, 1.6, 1.8)]
    assert listed == pytest.approx([278.62, 108.86, 48.13, 105.39], abs=0.05)


def test_ssor_bound_of_the_paper() -> None:
    omegas = (1.0, 1.4, 1.6, 1.8, 1.9)
    bounds = [t.ssor_cg_bound(GRID, omega) for omega in omegas]
    assert bounds == pytest.approx([27.82, 21.03, 20.25, 24.48, 33.59], abs=0.005)
    counts = [ssor_cg(GRID, SINE, omega=omega).nit for omega in omegas]
    assert counts == [14, 12, 13, 16, 18]
    assert (np.array(bounds) >= counts).all()


@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), omega=st.floats(0.83, 1.9))
@settings(max_examples=40, deadline=None)
def test_ssor_bound_bounds(seed: int, n: int, omega: float) -> None:
    A = definite(seed, n)
    b = np.random.default_rng(seed).standard_normal(n)
    assert ssor_cg(A, b, omega=omega).nit <= t.ssor_cg_bound(A, omega)


def test_no_convergence_is_infinite() -> None:
    indefinite = prepare(laplacian(3)).shifted(-1.5)
    assert t.near_asymptotic_bound(indefinite, 1.0, 0.1) == math.inf
    assert t.near_asymptotic_bound(np.eye(3), 1.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t.jacobi_radius(laplacian(23)), "at most 500 rows, because this works on dense matrices, got 529"),
        (lambda: optimal_omega(1.0), r"beta must be in \[0, 1\)"),
        (lambda: optimal_omega(prepare(laplacian(3)).shifted(-2)), r"beta must be in \[0, 1\)"),
        (lambda: t.sor_radius(GRID, 2.0), "omega must be in"),
        (lambda: t.ssor_cg_bound(-np.eye(2), 1.0), "A must be symmetric positive definite"),
        (lambda: t.near_asymptotic_bound(GRID, 1.0, 0.1, 1.5), "tol must be in"),
        (lambda: t.near_asymptotic_bound(GRID, 1.0, 1.0), "tau must be in"),
        (lambda: t.near_asymptotic_tau(GRID, [1.0], [0]), "counts must be at least 1"),
        (lambda: t.laplacian_jacobi_radius(3, -4.0), "shift must be in"),
        (lambda: t.jacobi_radius([[0.0, 1.0], [1.0, 0.0]]), "no zero on its diagonal"),
    ],
)
def test_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
