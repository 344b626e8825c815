"""VR-FoRB: the page's rates, its reference in plain Python, the lag of one iteration, the certificate."""

import numpy as np
import pytest
import scipy.sparse as sp

from optimand.core.projections import Product, Simplex
from optimand.numerical.monotone import FiniteSumOperator, MatrixGameOperator, VRForb


@pytest.fixture(scope="module")
def signed_game():
    """The 100 x 100 game of the acceptance numbers, with its resolvent at the uniform point to 1e-14."""
    op = MatrixGameOperator(np.random.default_rng(0).uniform(-1, 1, (100, 100)))
    u = np.full(200, 0.01)
    eta = np.sqrt(50) / op.L_mean
    solver = VRForb(op, rng=123)
    solver.begin(u, eta)
    while not solver.bound < 1e-14:
        solver.advance(1000)
    return op, u, eta, solver.w


def errors(signed_game, c, steps, solver=VRForb, seeds=20):
    op, u, eta, solution = signed_game
    found = []
    for seed in range(seeds):
        run = solver(op, rng=seed, c=c)
        run.begin(u, eta)
        run.run(steps)
        found.append(np.linalg.norm(run.z - solution))
    return np.array(found)


@pytest.mark.parametrize(
    ("c", "steps", "median", "largest"),
    [(0.5, 1000, 1e-2, 1e-2), (0.5, 4000, 2e-7, 2e-7), (1.0, 2000, 2e-7, 3e-6)],
)
def test_linear_rate(signed_game, c, steps, median, largest):
    found = errors(signed_game, c, steps)
    assert np.median(found) <= median
    assert found.max() <= largest


class StaleSnapshots(VRForb):
    """A known wrong variant: the old snapshot is kept until the next renewal."""

    def advance(self, limit):
        stale = self.lagged
        length = min(limit, self._left)
        for _ in range(length):
            self.lagged = stale
            self._compiled_block(1)
        self.steps += length
        self._left -= length
        if self._left:
            self.lagged = stale
            return False
        self.lagged, self.w = self.w, self.z.copy()
        self.at_w = self.op.full(self.w)
        self._left = self._draw_length()
        return True


def test_stale_snapshots_are_told_apart(signed_game):
    assert np.median(errors(signed_game, 1.0, 2000, StaleSnapshots, seeds=5)) >= 1e-6


def plain(A, u, eta, c, p, rng, steps):
    """Algorithm 3 on a game, as it is written, drawing as the blocks do: block lengths, then rows and columns."""
    op = MatrixGameOperator(A)
    m, n = A.shape
    J = Product((n, Simplex()), (m, Simplex()))
    tau = c * np.sqrt(p) / (op.L_mean + 1 / eta)

    def field(v):
        return op.value(v) + (v - u) / eta

    def component(i, j, v):
        return np.concatenate([A[i] * v[n + i] * op.per_row[i], -A[:, j] * v[j] * op.per_column[j]]) + (v - u) / eta

    z = w = before = u
    at_w, left, done = field(w), rng.geometric(p), 0
    while done < steps:
        rows, columns = op.draw(rng, min(left, steps - done))
        for i, j in zip(rows, columns, strict=True):
            new = J((1 - p) * z + p * w - tau * (at_w + component(i, j, z) - component(i, j, before)))
            before, z, left, done = w, new, left - 1, done + 1
        if not left:
            w, at_w, left = z, field(z), rng.geometric(p)
    return z


@pytest.mark.parametrize("kind", ["dense", "sparse", "general"])
def test_blocks_do_what_the_algorithm_says(kind):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((7, 5)) * (rng.random((7, 5)) < 0.7)
    A[2] = 0  # a row of zeros is never drawn
    u = np.concatenate([np.full(5, 0.2), np.full(7, 1 / 7)])
    op = MatrixGameOperator(sp.csc_matrix(A) if kind == "sparse" else A)
    resolvent = op.default_resolvent() if kind == "general" else None  # given explicitly: no compiled block
    run = VRForb(op, resolvent, rng=0, p=0.25, c=0.7)
    assert run.compiled == (kind != "general")
    run.begin(u, 1.5)
    run.run(60)
    assert run.z == pytest.approx(plain(A, u, 1.5, 0.7, 0.25, np.random.default_rng(0), 60), abs=1e-12)


def test_the_certificate_holds_at_every_renewal(signed_game):
    op, u, eta, solution = signed_game
    run = VRForb(op, rng=1)
    run.begin(u, eta)
    assert run.bound == np.inf
    renewals = 0
    while run.steps < 1500:
        if run.advance(1500):
            renewals += 1
            assert np.linalg.norm(run.w - solution) <= run.bound
    assert renewals > 10
    assert run.bound < 1e-3


def test_the_element_lies_in_the_normal_cone(signed_game):
    op, u, eta, _ = signed_game
    run = VRForb(op, rng=1)
    run.begin(u, eta)
    run.run(300)
    g, z = run.element, run.z
    for part in (slice(None, 100), slice(100, None)):
        # <g, v - z> <= 0 for all v of the simplex
        assert g[part].max() <= g[part] @ z[part] + 1e-12


def test_calls_are_a_pass_for_a_renewal_and_one_for_a_step():
    op = MatrixGameOperator(np.ones((30, 20)))
    run = VRForb(op, rng=0)
    run.begin(np.concatenate([np.full(20, 0.05), np.full(30, 1 / 30)]), 1.0)
    assert op.calls == pytest.approx(12.0)
    renewals = 0
    while run.steps < 100:
        renewals += run.advance(100 - run.steps)
    assert op.calls == pytest.approx(12.0 * (1 + renewals) + 100)


def test_general_calls_are_two_components_a_step():
    op = FiniteSumOperator.from_affine(np.stack([np.eye(2), 2 * np.eye(2)]), np.ones((2, 2)))
    run = VRForb(op, rng=0)
    run.begin(np.zeros(2), 1.0)
    renewals = 0
    while run.steps < 50:
        renewals += run.advance(50 - run.steps)
    assert op.calls == 2 * (1 + renewals) + 2 * 50


def test_doubling_finds_a_step_that_converges():
    rng = np.random.default_rng(0)
    S = rng.standard_normal((10, 4, 4))
    op = FiniteSumOperator.from_affine(10 * (S - S.transpose(0, 2, 1)), rng.standard_normal((10, 4)))
    true = op.L_mean
    run = VRForb(op, rng=0, backtrack=True)
    run.L = 0.05 * true
    run.begin(np.zeros(4), 1.0)
    run.run(3000)
    assert 0.05 * true < run.L <= 2 * true
    exact = np.linalg.solve(np.eye(4) + op.B_mean, op.q_mean)
    assert run.z == pytest.approx(exact, abs=1e-6)


def test_the_state_resumes_exactly():
    op = MatrixGameOperator(np.random.default_rng(0).random((12, 9)))
    u = np.concatenate([np.full(9, 1 / 9), np.full(12, 1 / 12)])
    runs = [VRForb(op, rng=seed) for seed in (4, 5)]
    runs[0].begin(u, 2.0)
    runs[0].run(37)
    runs[1].load_state_dict(runs[0].state_dict())
    for run in runs:
        run.run(50)
    assert np.array_equal(runs[0].z, runs[1].z)
    assert runs[0].bound == runs[1].bound
