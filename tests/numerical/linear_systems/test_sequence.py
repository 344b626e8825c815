"""Solving sequences: costs, contexts, failures, resume."""

import numpy as np
import pytest
import scipy.sparse as sp

from optimand.numerical.linear_systems import (
    BinnedBandit,
    ChebCB,
    FixedOmega,
    SequenceSolver,
    TsallisINF,
    cg,
    laplacian,
    sor,
    ssor_cg,
)
from optimand.numerical.linear_systems.systems import HeatEquation, ShiftedLaplacians

A = laplacian(10)
B = np.sin(np.arange(1.0, 101.0))


class Scripted:
    """Proposes what it was given and notes what it hears."""

    def __init__(self, *omegas):
        self.omegas, self.contexts, self.costs = list(omegas), [], []

    def ask(self, context=None):
        self.contexts.append(context)
        return self.omegas.pop(0)

    def tell(self, cost):
        self.costs.append(cost)


@pytest.mark.parametrize(("method", "solver"), [("sor", sor), ("ssor-cg", ssor_cg)])
def test_a_solve_is_the_solver_with_the_proposed_omega(method, solver):
    tuner = Scripted(1.4, 1.6)
    sequence = SequenceSolver(method, tuner=tuner)
    for omega in (1.4, 1.6):
        found, alone = sequence.solve(A, B), solver(A, B, omega=omega)
        assert found.success
        assert (found.omega, found.nit, found.cost) == (omega, alone.nit, alone.nit)
        np.testing.assert_array_equal(found.x, alone.x)
    assert tuner.costs == [solver(A, B, omega=omega).nit for omega in (1.4, 1.6)]
    assert (sequence.solves, sequence.iterations, sequence.failures) == (2, sum(tuner.costs), 0)
    assert sequence.seconds > 0


def test_plain_cg_has_no_omega():
    sequence = SequenceSolver("cg")
    found = sequence.solve(A, B)
    assert found.omega is None
    assert found.nit == cg(A, B).nit == 30
    with pytest.raises(ValueError, match="tuner must be None"):
        SequenceSolver("cg", tuner=FixedOmega(1.5))


def test_a_warm_start_and_the_tolerances_reach_the_solver():
    sequence = SequenceSolver("ssor-cg", tuner=Scripted(1.5, 1.5, 1.5), rtol=1e-3)
    rough = sequence.solve(A, B)
    assert rough.nit == ssor_cg(A, B, omega=1.5, rtol=1e-3).nit
    assert sequence.solve(A, B, rough.x).nit == 0
    assert SequenceSolver("ssor-cg", tuner=Scripted(1.5), rtol=0, atol=1e-2).solve(A, B).residual_norm <= 1e-2


def test_where_the_context_comes_from():
    tuner = Scripted(*[1.5] * 4)
    sequence = SequenceSolver("ssor-cg", tuner=tuner, base=A)
    sequence.solve(A, B)
    sequence.solve(A, B, context=0.7)
    shifted = sequence.from_shift(0.3)
    sequence.solve(shifted, B)
    sequence.solve(shifted, B, context=-1.0)
    assert tuner.contexts == [None, 0.7, 0.3, -1.0]


def test_a_shift_needs_no_new_matrix():
    sequence = SequenceSolver("ssor-cg", tuner=Scripted(1.5, 1.5), base=A)
    first, second = sequence.from_shift(0.25), sequence.from_shift(0.5)
    assert first.data is second.data
    found = sequence.solve(second, B)
    np.testing.assert_array_equal(found.x, ssor_cg(A + 0.5 * sp.eye_array(100), B, omega=1.5).x)
    with pytest.raises(ValueError, match="base=A"):
        SequenceSolver().from_shift(0.1)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"shift|c must"):
            sequence.from_shift(bad)


@pytest.mark.parametrize("method", ["sor", "ssor-cg"])
def test_a_solve_that_hits_the_cap_costs_the_cap(method):
    tuner = Scripted(1.0)
    found = SequenceSolver(method, tuner=tuner, maxiter=3).solve(A, B)
    assert not found.success
    assert np.isfinite(found.x).all()
    assert tuner.costs == [3]


def test_an_indefinite_matrix_costs_the_cap_and_never_nan():
    # eigenvalues of A start at 0.16: at shift -1 it is indefinite, and SOR diverges
    for method in ("sor", "ssor-cg"):
        tuner = TsallisINF(rng=0)
        sequence = SequenceSolver(method, tuner=tuner, base=A, maxiter=2000)
        found = sequence.solve(sequence.from_shift(-1.0), B)
        assert not found.success
        assert np.isfinite(found.x).all()
        assert (found.cost, sequence.failures, sequence.iterations) == (2000, 1, 2000)
        assert np.isfinite(tuner.probabilities()).all()
        assert sequence.solve(A, B).success


def test_seconds_as_the_cost():
    tuner = Scripted(1.5, 1.5)
    sequence = SequenceSolver("sor", tuner=tuner, cost="seconds")
    found = sequence.solve(A, B)
    assert found.cost == found.seconds == tuner.costs[0] > 0
    failing = SequenceSolver("sor", tuner=tuner, cost="seconds", maxiter=2)
    found = failing.solve(A, B)
    assert found.cost == pytest.approx(found.seconds)  # it did do maxiter iterations
    with pytest.raises(ValueError, match="least_cost=0"):
        SequenceSolver("sor", tuner=TsallisINF(rng=0), cost="seconds")
    default = SequenceSolver("sor", cost="seconds")
    for _ in range(30):
        default.solve(A, B)
    assert np.isfinite(default.tuner.probabilities()).all()


def test_a_broken_off_solve_leaves_the_tuner_usable():
    tuner = TsallisINF(rng=0)
    sequence = SequenceSolver("sor", tuner=tuner)
    with pytest.raises(ValueError, match="b must"):
        sequence.solve(A, np.full(100, np.nan))
    assert sequence.solve(A, B).success
    assert sequence.solves == 1


TUNERS = {
    "tsallis-inf": lambda seed: TsallisINF(rng=seed),
    "binned": lambda seed: BinnedBandit(context_bounds=(-0.15, 0.65), rng=seed),
    "cheb-cb": lambda seed: ChebCB(context_bounds=(-0.15, 0.65), rng=seed),
}


@pytest.mark.parametrize("name", TUNERS)
def test_a_resumed_sequence_has_the_same_omegas(name):
    def go(sequence, systems, count):
        omegas = []
        for _ in range(count):
            system = systems.next()
            omegas.append(sequence.solve(system.matrix, system.b, context=system.context).omega)
        return omegas

    systems = ShiftedLaplacians("low", rng=5)
    whole = go(SequenceSolver("sor", tuner=TUNERS[name](1)), systems, 1500)
    systems = ShiftedLaplacians("low", rng=5)
    first = SequenceSolver("sor", tuner=TUNERS[name](1))
    head = go(first, systems, 1000)
    second = SequenceSolver("sor", tuner=TUNERS[name](77))
    second.load_state_dict(first.state_dict())
    assert (second.solves, second.iterations) == (1000, first.iterations)
    assert head + go(second, systems, 500) == whole


def test_a_tuner_without_a_state_says_so():
    with pytest.raises(TypeError, match="Scripted has no state_dict"):
        SequenceSolver("sor", tuner=Scripted(1.5)).state_dict()
    plain = SequenceSolver("cg")
    plain.solve(A, B)
    other = SequenceSolver("cg")
    other.load_state_dict(plain.state_dict())
    assert other.solves == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"method": "gauss"}, "method"),
        ({"cost": "joules"}, "cost"),
        ({"tuner": TsallisINF([0.5, 2.0])}, "arms in"),
        ({"rtol": -1}, "rtol"),
        ({"maxiter": 0}, "maxiter"),
        ({"max_seconds": -1}, "max_seconds"),
    ],
)
def test_bad_arguments(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        SequenceSolver(**{"method": "sor", **options})


def test_bad_kinds_of_arguments():
    with pytest.raises(TypeError, match="ask"):
        SequenceSolver("sor", tuner=1.5)
    with pytest.raises(ValueError, match="omega"):
        SequenceSolver("sor", tuner=Scripted(2.5)).solve(A, B)


def test_the_time_cap_ends_a_solve():
    fine = laplacian(300)
    found = SequenceSolver("sor", tuner=FixedOmega(1.0), max_seconds=0.0).solve(fine, np.ones(90_000))
    assert not found.success
    assert found.cost == 10_000


def test_memory_does_not_grow_with_the_systems():
    heat = HeatEquation(10)
    tuner = ChebCB(context_bounds=heat.context_bounds, rng=0)
    sequence = SequenceSolver("ssor-cg", tuner=tuner)
    sizes = []
    for _ in range(200):
        system = heat.next()
        heat.solved(sequence.solve(system.matrix, system.b, system.x0, context=system.context).x)
        state = sequence.state_dict()["tuner"]
        sizes.append(sum(value.nbytes for value in state.values() if isinstance(value, np.ndarray)))
    assert max(sizes) == min(sizes) < 12_000


def test_every_shifted_matrix_brings_its_shift_as_context():
    tuner = Scripted(1.5, 1.5, 1.5)
    sequence = SequenceSolver("ssor-cg", tuner=tuner, base=A)
    first, second = sequence.from_shift(0.25), sequence.from_shift(0.5)
    for matrix in (second, first, A):
        sequence.solve(matrix, B)
    assert tuner.contexts == [0.5, 0.25, None]


def test_a_users_tuner_may_have_other_arms():
    tuner = Scripted(1.5)
    tuner.arms, tuner.least_cost = 20, 1.0
    assert SequenceSolver("ssor-cg", tuner=tuner, cost="seconds").solve(A, B).omega == 1.5


@pytest.mark.parametrize(("omega", "error"), [(None, TypeError), ("1.5", TypeError), (np.nan, ValueError)])
def test_what_a_tuner_proposes_is_checked(omega, error):
    with pytest.raises(error, match="what the tuner proposes"):
        SequenceSolver("ssor-cg", tuner=Scripted(omega)).solve(A, B)


def test_a_state_that_is_none_is_refused():
    solver = SequenceSolver(method="ssor-cg")
    with pytest.raises(ValueError, match="state must be what state_dict"):
        solver.load_state_dict({})
