"""SOR against its definition, the counts that the paper's experiments rest on, and how it ends."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.numerical.limits import Status
from optimand.numerical.linear_systems import laplacian, optimal_omega, prepare, sor

GRID = laplacian(10)
SINE, ONES = np.sin(np.arange(1, 101)), np.ones(100)
BEST = 2 / (1 + np.sin(np.pi / 11))


def by_definition(
    A: np.ndarray, b: np.ndarray, x: np.ndarray, omega: float, rtol: float, cap: int = 10_000
) -> tuple[np.ndarray, int]:
    """x <- x + M^-1 r with dense matrices until ||r|| <= rtol ||r_0||, counted from 1."""
    split = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    first = np.linalg.norm(b - A @ x)
    k = 0
    while k < cap:
        k += 1
        x = x + np.linalg.solve(split, b - A @ x)
        if np.linalg.norm(b - A @ x) <= rtol * first:
            break
    return x, k


def definite(rng: np.random.Generator, n: int) -> np.ndarray:
    half = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4)
    return half @ half.T + 0.3 * np.eye(n)


def test_one_sweep_by_hand() -> None:
    A = [[4, -1, -6, 0], [-5, -4, 10, 8], [0, 9, 4, -2], [1, 0, -7, 5]]
    found = sor(A, (2, 21, -12, -6), omega=0.5, maxiter=1)
    assert found.x == pytest.approx([0.25, -2.78125, 1.62890625, 0.51523438], abs=5e-9)
    assert (found.nit, found.status, found.success) == (1, Status.ITERATIONS, False)


COUNTS = {
    "sine": (SINE, 0.0, {1: 131, 1.2: 90, 1.4: 58, 1.5: 43, BEST: 37, 1.6: 41, 1.7: 55, 1.8: 86, 1.9: 175, 1.95: 361}),
    "ones": (ONES, 0.0, {1: 223, 1.2: 145, 1.4: 88, 1.5: 62, BEST: 41, 1.6: 43, 1.7: 58, 1.8: 89, 1.9: 187, 1.95: 383}),
    "nearly singular": (ONES, -0.15, {1: 2927, 1.4: 1252, 1.8535941504: 147, 1.8: 293}),
    "dominant": (ONES, 0.45, {1: 64, 1.4: 25, 1.3279192323: 23, 1.8: 89}),
}


@pytest.mark.parametrize("case", COUNTS)
def test_counts_of_the_paper(case: str) -> None:
    b, shift, expected = COUNTS[case]
    matrix = prepare(GRID).shifted(shift)
    assert {omega: sor(matrix, b, omega=omega).nit for omega in expected} == expected


def test_the_best_omegas() -> None:
    for shift, omega in ((0.0, 1.5603879212747742), (-0.15, 1.8535941504), (0.45, 1.3279192323)):
        assert optimal_omega(prepare(GRID).shifted(shift)) == pytest.approx(omega, abs=1e-10)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 15), omega=st.floats(0.1, 1.9))
@settings(max_examples=60, deadline=None)
def test_iterates_are_those_of_the_definition(seed: int, n: int, omega: float) -> None:
    rng = np.random.default_rng(seed)
    A, b, x0 = definite(rng, n), rng.standard_normal(n), rng.standard_normal(n)
    steps = int(rng.integers(1, 20))
    x, _ = by_definition(A, b, x0, omega, 0.0, steps)
    found = sor(A, b, x0, omega=omega, rtol=0, maxiter=steps, callback=lambda x: False)
    last = sor(A, b, x0, omega=omega, rtol=0, atol=1e-300, maxiter=steps)
    if np.linalg.norm(b - A @ x) < np.linalg.norm(b - A @ x0):
        assert np.linalg.norm(b - A @ found.x) <= np.linalg.norm(b - A @ x) * (1 + 1e-9) + 1e-12
        assert last.x == pytest.approx(x, rel=1e-9, abs=1e-11)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 15), omega=st.floats(0.5, 1.8))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_the_definition(seed: int, n: int, omega: float) -> None:
    rng = np.random.default_rng(seed)
    A, b, x0 = definite(rng, n) + 2 * np.eye(n), rng.standard_normal(n), rng.standard_normal(n)
    _, expected = by_definition(A, b, x0, omega, 1e-6)
    found = sor(A, b, x0, omega=omega, rtol=1e-6)
    assert found.success
    assert abs(found.nit - expected) <= 1
    assert found.residual_norm <= 1e-6 * np.linalg.norm(b - A @ x0)


def test_unsymmetric_and_pyamg() -> None:
    """A convection-diffusion matrix, sweep by sweep against the peer."""
    relaxation = pytest.importorskip("pyamg.relaxation.relaxation")
    A = sp.csr_array(GRID + sp.diags_array([np.full(99, -0.3), np.full(99, 0.3)], offsets=[-1, 1]))
    x = np.zeros(100)
    for steps in range(1, 9):
        relaxation.sor(sp.csr_matrix(A), x, SINE, 1.3)
        assert sor(A, SINE, omega=1.3, rtol=0, atol=1e-300, maxiter=steps).x == pytest.approx(x, rel=1e-12)


def test_tolerance_is_relative_to_the_initial_residual() -> None:
    near = np.linalg.solve(GRID.toarray(), ONES) + 1e-6 * SINE
    found = sor(GRID, ONES, near, omega=1.5, rtol=1e-4)
    assert found.residual_norm <= 1e-4 * np.linalg.norm(ONES - GRID @ near)
    assert found.nit > 5
    assert sor(GRID, ONES, near, omega=1.5, rtol=0, atol=1e-4).nit == 1


def test_every_iterate_passes_the_callback() -> None:
    seen: list[np.ndarray] = []
    found = sor(GRID, SINE, omega=1.5, callback=lambda x: seen.append(x))
    assert len(seen) == found.nit == 43
    assert np.array_equal(seen[-1], found.x)
    assert seen[2] == pytest.approx(by_definition(GRID.toarray(), SINE, np.zeros(100), 1.5, 0.0, 3)[0])


def stop(x: np.ndarray) -> bool:
    raise StopIteration


@pytest.mark.parametrize("callback", [lambda x: True, stop])
def test_the_callback_may_stop(callback: object) -> None:
    found = sor(GRID, SINE, callback=callback)  # type: ignore[arg-type]
    assert (found.nit, found.status, found.success) == (1, Status.STOPPED, False)


def test_the_cap_returns_what_was_reached() -> None:
    found = sor(GRID, ONES, maxiter=50)
    assert (found.success, found.status, found.nit, found.cost) == (False, Status.ITERATIONS, 50, 50)
    assert found.residual_norm == pytest.approx(np.linalg.norm(ONES - GRID @ found.x))
    assert found.residual_norm < 0.5 * np.linalg.norm(ONES)


def test_an_indefinite_matrix_diverges_with_a_finite_cost() -> None:
    found = sor(prepare(GRID).shifted(-0.6), ONES, omega=1.3)
    assert (found.success, found.status, found.cost) == (False, Status.NOT_FINITE, 10_000)
    assert np.isfinite(found.x).all()
    assert found.residual_norm <= np.linalg.norm(ONES)
    slow = sor(prepare(GRID).shifted(-0.165), ONES, omega=1.3, maxiter=3000)
    assert (slow.success, slow.status, slow.cost) == (False, Status.ITERATIONS, 3000)
    assert slow.residual_norm <= np.linalg.norm(ONES)


def test_the_time_cap() -> None:
    found = sor(laplacian(200), np.ones(40_000), max_seconds=0.0)
    assert (found.success, found.status) == (False, Status.TIME)
    assert 1 <= found.nit < 10_000
    assert np.isfinite(found.residual_norm)


def test_tolerances_below_rounding_end() -> None:
    found = sor(GRID, ONES, omega=BEST, rtol=1e-30)
    assert found.status == Status.STALLED
    assert found.nit < 1000
    assert found.residual_norm < 1e-12
    assert sor(GRID, ONES, omega=BEST, rtol=0, maxiter=3000).status in (Status.STALLED, Status.ITERATIONS)


def test_zero_right_hand_side_and_exact_start() -> None:
    zero = sor(GRID, np.zeros(100))
    assert (zero.success, zero.nit, zero.x.any()) == (True, 1, False)
    exact = sor(np.diag([2.0, 4.0]), [2.0, 4.0], [1.0, 1.0], rtol=0)
    assert (exact.success, exact.nit, exact.x.tolist()) == (True, 1, [1, 1])


def test_one_unknown() -> None:
    found = sor([[4.0]], [2.0])
    assert (found.x.tolist(), found.nit, found.success) == ([0.5], 1, True)


@pytest.mark.parametrize("factor", [1e-200, 1e-160, 1e160, 1e200])
def test_sizes_whose_squares_leave_the_range(factor: float) -> None:
    found = sor(GRID, factor * SINE, omega=1.5)
    assert found.nit == 43
    assert found.x / factor == pytest.approx(sor(GRID, SINE, omega=1.5).x, rel=1e-12)
    assert found.residual_norm <= 1e-8 * factor * np.linalg.norm(SINE)


def test_a_solution_beyond_the_range_of_numbers_is_no_success() -> None:
    found = sor(1e-200 * np.eye(2), np.full(2, 1e200), callback=lambda x: None)
    assert (found.success, found.status) == (False, Status.NOT_FINITE)
    assert np.isfinite(found.x).all()
    assert found.residual_norm == pytest.approx(np.sqrt(2) * 1e200)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"omega": 0.0}, ValueError, r"omega must be in \(0, 2\), got 0"),
        ({"omega": 2.0}, ValueError, r"omega must be in \(0, 2\), got 2"),
        ({"omega": np.nan}, ValueError, "omega must be in"),
        ({"omega": "1"}, TypeError, "omega must be a number"),
        ({"b": np.ones(99)}, ValueError, r"b must have shape \(100,\), got \(99,\)"),
        ({"b": np.ones((100, 1))}, ValueError, "b must have shape"),
        ({"b": np.full(100, np.nan)}, ValueError, "b must be finite"),
        ({"b": np.full(100, 1j)}, TypeError, "b must hold real numbers"),
        ({"x0": np.ones(3)}, ValueError, "x0 must have shape"),
        ({"x0": np.full(100, np.inf)}, ValueError, "x0 must be finite"),
        ({"rtol": -1.0}, ValueError, "rtol must be in"),
        ({"rtol": np.inf}, ValueError, "rtol must be in"),
        ({"atol": np.nan}, ValueError, "atol must be in"),
        ({"maxiter": 0}, ValueError, "maxiter must be at least 1"),
        ({"maxiter": None}, TypeError, "maxiter must be an integer"),
        ({"max_seconds": -1.0}, ValueError, "max_seconds must be in"),
        ({"callback": 3}, TypeError, "callback must be a function"),
    ],
)
def test_refused(change: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sor(**{"A": GRID, "b": ONES, **change})


def test_zero_on_the_diagonal() -> None:
    with pytest.raises(ValueError, match=r"no zero on its diagonal, got A\[1, 1\] = 0"):
        sor([[1.0, 2.0], [3.0, 0.0]], [1.0, 1.0])


def test_the_start_is_not_changed() -> None:
    x0, b = SINE.copy(), ONES.copy()
    sor(GRID, b, x0)
    assert np.array_equal(x0, SINE)
    assert np.array_equal(b, ONES)
