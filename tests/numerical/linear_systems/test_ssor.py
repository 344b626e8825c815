"""SSOR and conjugate gradients with it: the definition, Eisenstat's form of it, SciPy's, and how they end."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.numerical.limits import Status
from optimand.numerical.linear_systems import cg, laplacian, prepare, ssor_cg, ssor_preconditioner

GRID = laplacian(10)
SINE, ONES = np.sin(np.arange(1, 101)), np.ones(100)
OMEGAS = (1.0, 1.4, 1.6, 1.8, 1.9)


def weight_matrix(A: np.ndarray, omega: float) -> np.ndarray:
    """W of the definition."""
    D = np.diag(np.diag(A))
    forward, backward = D / omega + np.tril(A, -1), D / omega + np.triu(A, 1)
    return backward @ np.linalg.inv(D) @ forward * omega / (2 - omega)


def by_definition(
    A: np.ndarray, b: np.ndarray, x: np.ndarray, W: np.ndarray, rtol: float, cap: int = 10_000
) -> tuple[np.ndarray, int]:
    """Preconditioned conjugate gradients with dense matrices; the recursive residual is tested against b."""
    r = b - A @ x
    z = np.linalg.solve(W, r)
    p, k = z, 0
    while np.linalg.norm(r) > rtol * np.linalg.norm(b) and k < cap:
        q = A @ p
        length = (r @ z) / (p @ q)
        x, new = x + length * p, r - length * q
        y = np.linalg.solve(W, new)
        p = y + (new @ y) / (r @ z) * p
        r, z, k = new, y, k + 1
    return x, k


def definite(rng: np.random.Generator, n: int) -> np.ndarray:
    half = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4)
    return half @ half.T + np.eye(n)


@pytest.mark.parametrize(
    ("b", "plain", "expected", "forward_first"),
    [(SINE, 30, [14, 12, 13, 16, 18], [15, 12, 13, 16, 18]), (ONES, 15, [13, 13, 13, 15, 16], [13, 13, 13, 15, 16])],
)
def test_counts_of_the_paper(b: np.ndarray, plain: int, expected: list[int], forward_first: list[int]) -> None:
    assert cg(GRID, b).nit == plain
    assert [ssor_cg(GRID, b, omega=omega).nit for omega in OMEGAS] == expected
    # On the reversed matrix the forward solve comes first.
    reversed_grid = sp.csr_array(GRID)[::-1][:, ::-1]
    assert [ssor_cg(reversed_grid, b[::-1].copy(), omega=omega).nit for omega in OMEGAS] == forward_first


@given(seed=st.integers(0, 10**6), n=st.integers(1, 14), omega=st.floats(0.2, 1.9), warm=st.booleans())
@settings(max_examples=80, deadline=None)
def test_iterates_are_those_of_the_definition(seed: int, n: int, omega: float, warm: bool) -> None:
    rng = np.random.default_rng(seed)
    A, b, x0 = definite(rng, n), rng.standard_normal(n), rng.standard_normal(n) * warm
    steps = int(rng.integers(0, min(n, 5)))
    x, taken = by_definition(A, b, x0, weight_matrix(A, omega), 1e-13, steps)
    found = ssor_cg(sp.csr_array(A), b, x0, omega=omega, rtol=1e-13, maxiter=steps)
    assert found.nit == taken
    assert found.x == pytest.approx(x, rel=1e-7, abs=1e-8)
    assert found.residual_norm == pytest.approx(np.linalg.norm(b - A @ found.x), abs=1e-12)


@pytest.mark.parametrize("side", [7, 25])
def test_fused_counts_are_those_of_the_preconditioner_applied(side: int) -> None:
    """A grid with random conductances, cold and warm: the tested residual is the true system's in both forms."""
    rng = np.random.default_rng(side)
    scales = sp.diags_array(np.exp(rng.standard_normal(side * side)))
    A = sp.csr_array(scales @ laplacian(side) @ scales)
    b = rng.standard_normal(side * side)
    for x0 in (None, np.ones(side * side)):
        for omega in (0.5, 1.0, 1.5, 1.9):
            seen: list[int] = []
            one, M = ssor_cg(A, b, x0, omega=omega), ssor_preconditioner(A, omega)
            x, _ = sla.cg(A, b, x0, M=M, rtol=1e-8, atol=0.0, callback=lambda _, seen=seen: seen.append(1))
            assert one.success
            assert abs(one.nit - len(seen)) <= (one.nit > 50)
            assert one.residual_norm == pytest.approx(np.linalg.norm(b - A @ x), rel=0.02)
            assert one.residual_norm <= 1.0001e-8 * np.linalg.norm(b)


def test_preconditioner_is_the_inverse_of_w() -> None:
    A = definite(np.random.default_rng(0), 8)
    operator = ssor_preconditioner(A, 1.3)
    inverse = np.linalg.inv(weight_matrix(A, 1.3))
    assert operator @ np.eye(8) == pytest.approx(inverse)
    assert operator.T @ np.ones(8) == pytest.approx(inverse @ np.ones(8))
    assert operator.shape == (8, 8)
    assert operator.dtype == np.float64


@pytest.mark.parametrize("omega", OMEGAS)
def test_in_scipys_solver(omega: float) -> None:
    """SciPy with the preconditioner takes as many iterations as our loop."""
    seen: list[int] = []
    operator = ssor_preconditioner(GRID, omega)
    x, info = sla.cg(GRID, SINE, M=operator, rtol=1e-8, atol=0.0, callback=lambda _: seen.append(1))
    own = ssor_cg(GRID, SINE, omega=omega)
    assert (info, len(seen)) == (0, own.nit)
    assert own.x == pytest.approx(x, abs=1e-7)


def test_shifted_and_prepared() -> None:
    base = prepare(GRID)
    for shift in (-0.15, 0.0, 3.0):
        whole = sp.csr_array(GRID + shift * sp.eye_array(100))
        found = ssor_cg(base.shifted(shift), SINE, omega=1.5)
        assert found.nit == ssor_cg(whole, SINE, omega=1.5).nit
        assert whole @ found.x == pytest.approx(SINE, abs=1e-6)
        assert cg(base.shifted(shift), SINE).nit == cg(whole, SINE).nit
        applied = ssor_preconditioner(base.shifted(shift), 1.5) @ SINE
        assert applied == pytest.approx(ssor_preconditioner(whole, 1.5) @ SINE)


def test_warm_starts_are_measured_against_b() -> None:
    near = np.linalg.solve(GRID.toarray(), ONES)
    found = ssor_cg(GRID, ONES, near, omega=1.4)
    assert (found.nit, found.success, found.cost) == (0, True, 0)
    assert np.array_equal(found.x, near)
    far = ssor_cg(GRID, ONES, near + 1e-3 * SINE, omega=1.4)
    assert 0 < far.nit < ssor_cg(GRID, ONES, omega=1.4).nit


def test_every_iterate_passes_the_callback() -> None:
    seen: list[np.ndarray] = []
    found = ssor_cg(GRID, SINE, omega=1.6, callback=lambda x: seen.append(x))
    assert len(seen) == found.nit == 13
    assert np.array_equal(seen[-1], found.x)
    third = by_definition(GRID.toarray(), SINE, np.zeros(100), weight_matrix(GRID.toarray(), 1.6), 0.0, 3)[0]
    assert seen[2] == pytest.approx(third, abs=1e-10)
    stopped = ssor_cg(GRID, SINE, omega=1.6, callback=lambda x: True)
    assert (stopped.nit, stopped.status, stopped.success) == (1, Status.STOPPED, False)


SOLVERS = {
    "cg": cg,
    "ssor-cg": lambda A, b, x0=None, **options: ssor_cg(A, b, x0, omega=1.3, **options),
}


@pytest.mark.parametrize("name", SOLVERS)
class TestEnds:
    def test_zero_right_hand_side(self, name: str) -> None:
        found = SOLVERS[name](GRID, np.zeros(100))
        assert (found.success, found.nit, found.x.any()) == (True, 0, False)

    def test_one_unknown(self, name: str) -> None:
        found = SOLVERS[name]([[4.0]], [2.0])
        assert (found.x.tolist(), found.nit, found.success) == ([0.5], 1, True)

    def test_diagonal(self, name: str) -> None:
        found = SOLVERS[name](np.diag([1.0, 2.0, 4.0]), [1.0, 2.0, 4.0])
        assert found.x == pytest.approx([1, 1, 1])

    def test_cap(self, name: str) -> None:
        found = SOLVERS[name](GRID, SINE, maxiter=5)
        assert (found.success, found.status, found.nit, found.cost) == (False, Status.ITERATIONS, 5, 5)
        assert found.residual_norm == pytest.approx(np.linalg.norm(SINE - GRID @ found.x))
        none = SOLVERS[name](GRID, SINE, ONES, maxiter=0)
        assert (none.status, none.nit, none.x.tolist()) == (Status.ITERATIONS, 0, ONES.tolist())

    def test_calls_of_the_loop_go_on(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Results do not depend on how the steps are spread over calls of the compiled loop."""
        whole = SOLVERS[name](GRID, SINE)
        monkeypatch.setattr("optimand.numerical.linear_systems.solving.STEPS_PER_CALL", 3)
        parts = SOLVERS[name](GRID, SINE)
        assert parts.nit == whole.nit
        assert np.array_equal(parts.x, whole.x)

    def test_time_cap(self, name: str) -> None:
        found = SOLVERS[name](laplacian(100), np.ones(10_000), max_seconds=0.0)
        assert (found.success, found.status) == (False, Status.TIME)

    def test_indefinite(self, name: str) -> None:
        found = SOLVERS[name](prepare(GRID).shifted(-1.0), ONES)
        assert (found.success, found.status, found.cost) == (False, Status.UNBOUNDED, 10_000)
        assert np.isfinite(found.x).all()
        assert np.isfinite(found.residual_norm)

    def test_singular(self, name: str) -> None:
        """Neumann conditions: with a consistent right-hand side there is a solution, without there is none."""
        path = np.diag([1.0, 2.0, 2.0, 1.0]) - np.eye(4, k=1) - np.eye(4, k=-1)
        good = SOLVERS[name](path, [1.0, -1.0, 1.0, -1.0])
        assert good.success
        assert path @ good.x == pytest.approx([1, -1, 1, -1], abs=1e-6)
        bad = SOLVERS[name](path, [1.0, 1.0, 1.0, 1.0], maxiter=200)
        assert not bad.success
        assert np.isfinite(bad.x).all()
        if bad.status == Status.STALLED:
            assert bad.residual_norm <= 2

    def test_below_rounding(self, name: str) -> None:
        found = SOLVERS[name](GRID, ONES, rtol=0.0, maxiter=2000)
        assert np.isfinite(found.x).all()
        assert found.residual_norm < 1e-11

    @pytest.mark.parametrize("rtol", [1e-13, 1e-15, 1e-17])
    def test_success_is_never_claimed_for_a_residual_above_the_tolerance(self, name: str, rtol: float) -> None:
        n = 40
        beam = sp.diags_array([np.ones(n - 2), np.full(n - 1, -4.0), np.full(n, 6.0)], offsets=[-2, -1, 0])
        A = sp.csr_array(beam + sp.triu(beam.T, 1))  # condition number 1e5
        found = SOLVERS[name](A, np.ones(n), rtol=rtol, maxiter=3000)
        assert found.residual_norm == pytest.approx(np.linalg.norm(1 - A @ found.x), rel=0.2)
        assert found.success == (found.residual_norm <= 2 * rtol * np.sqrt(n))
        assert found.status in (Status.CONVERGED, Status.STALLED)

    @pytest.mark.parametrize("factor", [1e-200, 1e-160, 1e160, 1e200])
    def test_sizes_whose_squares_leave_the_range(self, name: str, factor: float) -> None:
        found, plain = SOLVERS[name](GRID, factor * SINE), SOLVERS[name](GRID, SINE)
        assert found.nit == plain.nit
        assert found.x / factor == pytest.approx(plain.x, rel=1e-9)

    def test_a_solution_beyond_the_range_of_numbers_is_no_success(self, name: str) -> None:
        found = SOLVERS[name](1e-200 * np.eye(2), np.full(2, 1e200))
        assert (found.success, found.status) == (False, Status.NOT_FINITE)
        assert np.isfinite(found.x).all()

    @pytest.mark.parametrize("factor", [1e-200, 1e200])
    def test_extreme_matrices_end_with_finite_numbers(self, name: str, factor: float) -> None:
        found = SOLVERS[name](factor * GRID, SINE, maxiter=500)
        assert np.isfinite(found.x).all()
        assert found.residual_norm <= (1e-7 if found.success else 1) * np.linalg.norm(SINE)

    def test_starts_are_not_changed(self, name: str) -> None:
        x0, b = SINE.copy(), ONES.copy()
        SOLVERS[name](GRID, b, x0)
        assert np.array_equal(x0, SINE)
        assert np.array_equal(b, ONES)

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"A": [[1.0, 2.0], [3.0, 4.0]]}, ValueError, "A must be symmetric"),
            ({"A": [[1.0, 2.0], [2.0, -4.0]]}, ValueError, r"positive diagonal, got A\[1, 1\] = -4"),
            ({"A": [[1.0, 2.0], [2.0, 0.0]]}, ValueError, "positive diagonal"),
            ({"b": [1.0]}, ValueError, "b must have shape"),
            ({"b": [1.0, np.nan]}, ValueError, "b must be finite"),
            ({"x0": [1.0]}, ValueError, "x0 must have shape"),
            ({"rtol": np.nan}, ValueError, "rtol must be in"),
            ({"maxiter": -1}, ValueError, "maxiter must be at least 0"),
        ],
    )
    def test_refused(self, name: str, change: dict, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            SOLVERS[name](**{"A": np.eye(2), "b": np.ones(2), **change})


@pytest.mark.parametrize("omega", [0.0, 2.0, -1.0, np.nan, np.inf])
def test_omega_out_of_range(omega: float) -> None:
    with pytest.raises(ValueError, match=r"omega must be in \(0, 2\)"):
        ssor_cg(GRID, ONES, omega=omega)
    with pytest.raises(ValueError, match=r"omega must be in \(0, 2\)"):
        ssor_preconditioner(GRID, omega)


def test_a_complex_vector_is_not_cut_to_its_real_part() -> None:
    with pytest.raises(TypeError, match="r must be real"):
        ssor_preconditioner(GRID, 1.0) @ (1j * ONES)


def test_solves_of_one_matrix_in_several_threads() -> None:
    """The first to come prepares what they share."""
    from concurrent.futures import ThreadPoolExecutor

    omegas = [1 + k / 20 for k in range(16)] * 2
    alone = [ssor_cg(laplacian(40), np.ones(1600), omega=omega).x for omega in omegas[:16]] * 2
    shared = prepare(laplacian(40))
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda omega: ssor_cg(shared, np.ones(1600), omega=omega).x, omegas)
        for one, other in zip(alone, together, strict=True):
            assert np.array_equal(one, other)


def test_unsymmetric_matrix_has_no_preconditioner() -> None:
    with pytest.raises(ValueError, match="A must be symmetric"):
        ssor_preconditioner([[1.0, 2.0], [3.0, 4.0]], 1.0)


def test_no_dense_matrix_is_made() -> None:
    """Memory of a solve: some vectors and a second copy of the entries, nothing of size n^2."""
    import tracemalloc

    side = 120
    A, b = laplacian(side), np.ones(side * side)
    ssor_cg(laplacian(5), np.ones(25), omega=1.5)
    tracemalloc.start()
    ssor_cg(A, b, omega=1.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 8 * side * side + 3 * 12 * A.nnz
