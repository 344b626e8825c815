"""Streams of data: order of the rows, regret against brute force, and the reference numbers of the sulfur series."""

import os

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.convex import OGD, Ball, Box, OptimisticOMD, Unconstrained, comparators, datasets, losses
from optimand.online.convex.streams import StreamEnvironment
from optimand.online.engine import Draws, simulate
from optimand.papers.optimistic_omd_sea import tables
from optimand.papers.optimistic_omd_sea.random_design import RandomDesign

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (60, 3))
Y = np.clip(X @ [0.5, -0.4, 0.2] + 0.1 * RNG.normal(size=60), -1, 1)
SIGNS = np.where(Y > 0, 1.0, -1.0)


def run(env, rounds, reps=2):
    env.reset(Draws(SeedTree(0), np.arange(reps)), rounds)
    x, rows, total = np.full((reps, env.d), 0.1), [], np.zeros(reps)
    for _ in range(rounds):
        feedback = env.step(x)
        rows.append(env._chunk_rows[env._at - 1])
        total += feedback.loss.value(x)
        np.testing.assert_allclose(feedback.gradient, feedback.loss.gradient(x))
    return np.array(rows), total


def test_orders():
    rows, _ = run(StreamEnvironment(X, Y), 60)
    np.testing.assert_array_equal(rows[:, 0], np.arange(60))
    rows, _ = run(StreamEnvironment(X, Y, order="random"), 60)
    assert sorted(rows[:, 1]) == list(range(60))
    assert not np.array_equal(rows[:, 0], rows[:, 1])
    rows, _ = run(StreamEnvironment(X, Y, order="reshuffled"), 150)
    assert sorted(rows[60:120, 0]) == list(range(60))
    assert not np.array_equal(rows[:60], rows[60:120])


def test_labels_shift_as_the_mixture_says():
    classes = np.repeat([0, 1, 2], [30, 20, 10])
    env = StreamEnvironment(X, SIGNS, loss="hinge", order="label-shift", classes=classes, how="linear")
    rows, _ = run(env, 100, reps=300)
    labels = classes[rows]
    assert (labels[:10] == 0).mean() > 0.8
    assert (labels[-10:] == 2).mean() > 0.8
    assert np.bincount(rows[labels == 2], minlength=60)[50:].min() > 0


@pytest.mark.parametrize("name", losses.LINEAR_MODELS)
def test_the_total_loss_is_that_of_the_rounds(name):
    env = StreamEnvironment(X, SIGNS, loss=name, order="random")
    _, total = run(env, 50)
    np.testing.assert_allclose(env.regret("loss"), total)
    np.testing.assert_allclose(env.extras()["loss"], total)


@pytest.mark.parametrize(
    "domain", [Ball(1.0), Ball(0.3), Box(-0.2, 0.4), Ball(0.4, center=[0.1, 0.2, 0.0]), Unconstrained()], ids=repr
)
@pytest.mark.parametrize("name", ["squared", "logistic"])
def test_the_best_fixed_model_is_that_of_slsqp(domain, name):
    loss = losses.linear_model_loss(name, X, SIGNS if name == "logistic" else Y)
    counts = RNG.integers(0, 3, (2, 60)).astype(float)
    if isinstance(domain, Ball):
        limits = {"constraints": {"type": "ineq", "fun": lambda x: domain.radius**2 - ((x - domain.center) ** 2).sum()}}
    elif isinstance(domain, Box):
        limits = {"bounds": [(-0.2, 0.4)] * 3}
    else:
        limits = {}
    points, values = comparators.best_model(domain, loss, counts)
    for r in range(2):

        def total(x, weights=counts[r]):
            return weights @ loss.scalar_value(X @ x)

        found = minimize(total, np.full(3, 0.1), method="SLSQP", options={"ftol": 1e-13, "maxiter": 500}, **limits)
        assert values[r] == pytest.approx(total(points[r]))
        assert values[r] <= found.fun + 1e-6
        assert domain.contains(points[r], 1e-8)


@pytest.mark.parametrize("name", ["absolute", "quantile", "hinge"])
def test_losses_with_kinks_come_near_the_linear_program(name):
    targets = SIGNS if name == "hinge" else Y
    loss = losses.linear_model_loss(name, X, targets, 0.3)
    _, value = comparators.best_model(Box(-1.0, 1.0), loss, np.ones((1, 60)))
    # variables: x in the box, and slacks above each piece of the loss
    pieces = {"absolute": (1.0, -1.0), "quantile": (0.3, -0.7)}
    if name == "hinge":
        A, b = [np.hstack([-targets[:, None] * X, -np.eye(60)])], [-np.ones(60)]
        low = 0.0
    else:
        A = [np.hstack([-s * X, -np.eye(60)]) for s in pieces[name]]
        b = [-s * targets for s in pieces[name]]
        low = None
    exact = linprog(
        np.r_[np.zeros(3), np.ones(60)], np.vstack(A), np.concatenate(b), bounds=[(-1, 1)] * 3 + [(low, None)] * 60
    ).fun
    assert exact - 1e-9 <= value[0] <= exact * (1 + 1e-3)


def test_regret_is_the_loss_less_the_best():
    env = StreamEnvironment(X, Y, order="random")
    rows, total = run(env, 40)
    for r in range(2):
        best = np.linalg.lstsq(X[rows[:, r]], Y[rows[:, r]], rcond=None)[0]
        assert np.linalg.norm(best) < 1
        least = 0.5 * ((X[rows[:, r]] @ best - Y[rows[:, r]]) ** 2).sum()
        assert env.regret("realised")[r] == pytest.approx(total[r] - least, abs=1e-9)


def test_facts_bound_what_comes():
    for name in losses.LINEAR_MODELS:
        env = StreamEnvironment(X, SIGNS, loss=name, domain=Ball(2.0))
        run(env, 1)
        facts = env.spec().facts
        points = 2.0 * np.eye(3)
        for x in (*points, *-points):
            loss = losses.linear_model_loss(name, X, SIGNS)
            gradient = loss.gradient(np.tile(x, (60, 1)))
            assert np.linalg.norm(gradient, axis=1).max() <= facts["G"] + 1e-12
        assert ("L" in facts) == (name in ("squared", "logistic"))
        assert ("alpha" in facts) == (name in ("squared", "logistic"))


def test_random_design_knows_its_expectation():
    env = RandomDesign(d=3, sigma=0.2)
    curves = simulate([OGD()], env, 300, reps=300)
    drawn = simulate([OGD()], env, 300, reps=300, comparator="realised")
    assert 0 < curves.mean("OGD")[-1] < drawn.mean("OGD")[-1]
    # the realised comparator is better by about d/2 times the variance
    gap = drawn.of("OGD")[:, -1] - curves.of("OGD")[:, -1]
    assert gap.mean() == pytest.approx(1.5 * 0.04, abs=4 * gap.std() / 300**0.5)


@pytest.mark.parametrize("make", [lambda: StreamEnvironment(X, Y, order="reshuffled"), lambda: RandomDesign(3)])
def test_results_do_not_depend_on_blocks(make):
    whole, one = (simulate([OptimisticOMD()], make(), 130, reps=3, block=b, points=5) for b in (3, 1))
    np.testing.assert_array_equal(whole.of("OptimisticOMD"), one.of("OptimisticOMD"))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: StreamEnvironment(X[0], Y), ValueError, r"features must have shape \(n, d\)"),
        (lambda: StreamEnvironment(X, Y[:5]), ValueError, r"targets must have shape \(60,\)"),
        (lambda: StreamEnvironment(X * np.nan, Y), ValueError, "must be finite"),
        (lambda: StreamEnvironment(X, Y, loss="hinge"), ValueError, "targets must be -1 and 1"),
        (lambda: StreamEnvironment(X, Y, order="shuffled"), ValueError, "did you mean 'reshuffled'"),
        (lambda: StreamEnvironment(X, Y, order="label-shift"), ValueError, "needs classes"),
        (lambda: StreamEnvironment(X, Y, order="label-shift", classes=np.full(60, 2)), ValueError, "without gaps"),
        (lambda: run(StreamEnvironment(X, Y), 61), OptimandError, "60 rows for 61 rounds"),
        (lambda: RandomDesign(d=0), ValueError, "d must be at least 1"),
    ],
)
def test_bad_arguments_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_packaged_data_have_bounded_rows():
    x, y = datasets.diabetes()
    assert x.shape == (442, 11)
    assert np.abs(y).max() == 1
    pixels, signs, classes = datasets.digits()
    assert pixels.shape == (1797, 65)
    assert ((signs > 0) == (classes >= 5)).all()
    for rows in (x, pixels):
        assert np.linalg.norm(rows, axis=1).max() == pytest.approx(1)


def test_data_that_are_not_there_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA"):
        datasets.sulfur_recovery()
    with pytest.raises(OptimandError, match="is not there"):
        datasets.sulfur_recovery(tmp_path)
    folder = tmp_path / "optimistic-omd-sea"
    folder.mkdir()
    (folder / "SRU_1.mat").write_bytes(b"nothing")
    with pytest.raises(OptimandError, match="no file of the sulfur"):
        datasets.sulfur_recovery(tmp_path)


def test_the_sulfur_series_gives_the_reference_numbers():
    root = os.environ.get("OPTIMAND_DATA")
    if not root or not os.path.exists(os.path.join(root, "optimistic-omd-sea", "SRU_1.mat")):
        pytest.skip("needs $OPTIMAND_DATA/optimistic-omd-sea/SRU_1.mat")
    totals, best = tables.sulfur_run()
    for name, value in tables.SULFUR.items():
        assert {**totals, "best fixed": best}[name] == pytest.approx(value, abs=1e-3), name
