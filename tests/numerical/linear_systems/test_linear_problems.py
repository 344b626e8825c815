"""The sequences of systems: their definitions, their reference totals, and that they can be resumed."""

import math
import pickle

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

from optimand.numerical.linear_systems import FixedOmega, SequenceSolver, laplacian
from optimand.numerical.linear_systems.systems import (
    DigitsSmoothing,
    HeatEquation,
    ShiftedLaplacians,
    bump,
    diffusion,
    fewest,
)


def total_iterations(heat, steps, solver):
    for _ in range(steps):
        system = heat.next()
        heat.solved(solver.solve(system.matrix, system.b, system.x0).x)
    return solver.iterations


# Totals over the first `steps` steps; they do not depend on random numbers.
HEAT = [
    (25, 5000, None, 85422), (25, 5000, 1.0, 32800), (25, 5000, 1.3, 29802), (25, 5000, 1.5, 32296),
    (25, 5000, 1.75, 44898), (25, 5000, 1.95, 63050), (100, 1000, 1.75, 12686),
]  # fmt: skip


@pytest.mark.parametrize(("nx", "steps", "omega", "expected"), HEAT)
def test_the_totals_of_plain_cg_and_of_fixed_omegas(nx, steps, omega, expected):
    if omega is None:
        solver = SequenceSolver("cg")
    else:
        solver = SequenceSolver("ssor-cg", tuner=FixedOmega(omega))
    heat = HeatEquation(nx)
    assert total_iterations(heat, steps, solver) == pytest.approx(expected, rel=1e-3)
    assert heat.u.sum() == pytest.approx({25: 15.5157, 100: 248.887}[nx], rel=1e-5)


def test_a_time_step_is_that_of_crank_nicolson():
    heat = HeatEquation(12)
    for _ in range(3):
        system = heat.next()
        t, dt, h = (heat.step + 0.5) * 1e-3, 1e-3, 1 / 12
        kappa = max(0.1 * math.sin(2 * math.pi * t), -10 * math.sin(2 * math.pi * t))
        assert system.context == pytest.approx(kappa, rel=1e-12)
        x, y = np.meshgrid(np.arange(1, 12) * h, np.arange(1, 12) * h, indexing="ij")
        source = 32 * bump(x, y, (0.5 + math.cos(16 * math.pi * t) / 4, 0.5 + math.sin(16 * math.pi * t) / 4), 1 / 8)
        lap = -laplacian(11).toarray() / h**2
        eye = np.eye(121)
        left = eye - kappa * dt / 2 * lap
        right = (eye + kappa * dt / 2 * lap) @ heat.u + dt * source.ravel()
        new = np.linalg.solve(left, right)
        np.testing.assert_allclose(spsolve(system.matrix.to_csr().tocsc(), system.b), new, rtol=1e-10, atol=1e-13)
        assert system.x0 is heat.u
        heat.solved(new)


def test_the_first_coordinate_is_the_row():
    heat = HeatEquation(40)
    system = heat.next()
    heat.solved(np.zeros(39 * 39))
    source = (heat.next().b).reshape(39, 39)  # of nothing but the source, near (3/4, 1/2)
    row, column = np.unravel_index(source.argmax(), source.shape)
    assert ((row + 1) / 40, (column + 1) / 40) == pytest.approx((0.75, 0.5), abs=0.03)
    assert system.x0.shape == (39 * 39,)


def test_the_bump_and_the_diffusion():
    x = np.array([0.5, 0.6, 0.75, 0.9])
    values = bump(x, np.full(4, 0.5), (0.5, 0.5), 0.25)
    np.testing.assert_allclose(values, [1, math.exp(1 - 1 / (1 - 0.16)), 0, 0])
    assert diffusion(0.25) == pytest.approx(0.1)
    assert diffusion(0.75) == pytest.approx(10)
    assert HeatEquation(5).context_bounds == pytest.approx((3.14159e-4, 9.99995), rel=1e-5)


def test_the_laplacian():
    matrix = laplacian(3).toarray()
    assert matrix.diagonal().tolist() == [4] * 9
    assert (matrix == matrix.T).all()
    assert matrix[0].tolist() == [4, -1, 0, -1, 0, 0, 0, 0, 0]
    assert (laplacian(1).toarray() == 4).all()
    assert np.linalg.eigvalsh(laplacian(10).toarray())[0] == pytest.approx(4 - 4 * math.cos(math.pi / 11))
    with pytest.raises(ValueError, match="side"):
        laplacian(0)


@pytest.mark.parametrize(("variance", "mean", "deviation"), [("high", 0.0, 0.1500), ("low", 0.0, 0.0866)])
def test_the_shifts_and_right_hand_sides(variance, mean, deviation):
    systems = ShiftedLaplacians(variance, rng=0)
    drawn = [systems.next() for _ in range(3000)]
    shifts = np.array([system.context for system in drawn])
    assert shifts.min() >= -0.15
    assert shifts.max() <= 0.45
    assert shifts.mean() == pytest.approx(mean, abs=0.01)
    assert shifts.std() == pytest.approx(deviation, rel=0.05)
    norms = np.array([system.b @ system.b for system in drawn])
    assert norms.max() <= 100
    assert norms.mean() == pytest.approx(88.8, abs=1.0)  # of a chi-squared variable given that it is at most 100
    assert drawn[0].matrix.diagonal[0] == pytest.approx(4 + shifts[0])
    assert all(not system.x0.any() for system in drawn)
    assert systems.context_bounds == (-0.15, 0.65)


def test_shifts_keep_finer_grids_definite():
    for side in (4, 10, 25):
        systems = ShiftedLaplacians("high", side=side, rng=0)
        least = systems.context_bounds[0]
        assert np.linalg.eigvalsh(laplacian(side).toarray())[0] + least > 0
        system = systems.next()
        assert 1 < systems.best_omega(system, lambda omega: 0) < 2


def test_the_oracle_of_the_laplacians():
    systems = ShiftedLaplacians("high", rng=0)
    for shift, omega in ((-0.15, 1.8535941504), (0.45, 1.3279192323)):
        system = systems.next()
        moved = type(system)(system.matrix, system.b, system.x0, shift)
        assert systems.best_omega(moved, lambda omega: 0) == pytest.approx(omega, abs=1e-9)


def test_the_oracle_of_few_tries():
    for best in (1.0, 1.13, 1.5, 1.62, 1.88, 1.95):
        tried = []

        def count(omega, best=best, tried=tried):
            tried.append(omega)
            return round(1000 + 1e5 * (omega - best) ** 2)

        found = fewest(count)
        assert len(tried) == len(set(tried)) == 12
        assert abs(found - best) < 0.02


@pytest.mark.parametrize(
    "make",
    [
        lambda: ShiftedLaplacians("low", rng=3),
        lambda: HeatEquation(8),
        lambda: DigitsSmoothing(rng=3),
    ],
)
def test_a_sequence_is_the_same_again_and_after_a_resume(make):
    first, second = make(), make()
    for _ in range(5):
        one, two = first.next(), second.next()
        np.testing.assert_array_equal(one.b, two.b)
        assert one.context == two.context
        first.solved(np.full_like(one.b, 0.1))
        second.solved(np.full_like(one.b, 0.1))
    third = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(third.next().b, second.next().b)


def test_smoothing_removes_noise_and_keeps_the_mean():
    systems = DigitsSmoothing(rng=0)
    solver = SequenceSolver("ssor-cg", tuner=FixedOmega(1.5))
    for _ in range(4):
        system = systems.next()
        found = solver.solve(system.matrix, system.b)
        assert found.success
        noisy = system.b / 10**system.context
        assert found.x.mean() == pytest.approx(noisy.mean(), rel=1e-5)
        assert found.x.std() < noisy.std()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ShiftedLaplacians("medium"),
        lambda: ShiftedLaplacians(side=1),
        lambda: HeatEquation(2),
        lambda: HeatEquation(10, dt=0.0),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match="must be"):
        make()
