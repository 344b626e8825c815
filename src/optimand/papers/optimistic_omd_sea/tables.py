"""The runs behind the claims: tables of regret of several learners in the reference environments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.online import convex, engine

Array = np.ndarray

# Reference values of expected static regret after 4000 rounds in 10 dimensions, mean of 100 runs: curvature, kind and
# noise, then OGD, AdaGrad-norm, optimistic FTRL, and optimistic mirror descent for convex and strongly convex losses.
STATIC: dict[tuple[float, str, float], tuple[float | None, ...]] = {
    (1.0, "iid", 0.0): (0.136, 0.444, 0.220, 0.214, 0.398),
    (1.0, "iid", 0.1): (0.485, 4.743, 1.786, 3.855, 0.515),
    (1.0, "iid", 0.5): (5.516, 22.6, 8.361, 22.5, 2.557),
    (1.0, "alternating", 0.0): (21.96, 43.9, 32.4, 87.8, 10.4),
    (0.0, "alternating", 0.0): (56.5, 44.6, 28.4, 65.8, None),
}
# Dynamic regret on segments: number of segments and noise, then OGD, optimistic mirror descent, the pool.
DYNAMIC: dict[tuple[int, float], tuple[float, float, float]] = {
    (1, 0.0): (0.14, 0.21, 1.01),
    (10, 0.0): (37.1, 4.2, 18.9),
    (10, 0.5): (79.0, 41.6, 43.4),
    (100, 0.0): (278.0, 53.2, 179.0),
    (100, 0.5): (368.0, 204.0, 227.0),
}
SULFUR = {"best fixed": 14.555, "OGD": 14.046, "optimistic FTRL": 7.475, "C1": 7.408, "AdaGrad-norm": 4.091}


def static_learners(strongly: bool) -> dict[str, Any]:
    """The learners of the static table; the last only for strongly convex losses."""
    found = {
        "OGD": convex.OGD(),
        "AdaGrad-norm": convex.AdaGradNorm(),
        "OFTRL": convex.OptimisticFTRL(),
        "C1": convex.OptimisticOMD(),
    }
    return {**found, "C2": convex.OptimisticOMD(curvature="strongly_convex")} if strongly else found


def static_environment(curvature: float, kind: str, sigma: float, d: int = 10) -> Any:
    """The environment of a row of the static table, with the bound of the gradients that the table has."""
    return convex.SEAEnvironment(kind, d=d, curvature=curvature, sigma=sigma, G=curvature + 0.55 + 3 * sigma)


def static_row(row: tuple[float, str, float], reps: int = 100, horizon: int = 4000, seed: int = 0) -> Any:
    """Regret curves of a row of the static table."""
    return engine.simulate(
        static_learners(row[0] > 0), static_environment(*row), horizon, reps=reps, seed=seed, points=50
    )


def dynamic_row(row: tuple[int, float], reps: int = 100, horizon: int = 4000, seed: int = 0) -> Any:
    """Dynamic regret curves of a row of the table on segments."""
    env = convex.SEAEnvironment("segments", segments=row[0], sigma=row[1], G=1.5 + 3 * row[1])
    learners = {"OGD": convex.OGD(), "C1": convex.OptimisticOMD(), "C4": convex.DynamicOMD()}
    return engine.simulate(learners, env, horizon, reps=reps, seed=seed, comparator="dynamic", points=50)


def apart(value: float, sem: float, reference: float, ours: int = 100, theirs: int = 100) -> float:
    """How far a mean is from a reference, in units of what is allowed: 5 % or three standard errors.

    Both are means of runs, so the standard error is that of their difference; 0.0005 is for the reference's rounding.

    Example:
        >>> apart(1.04, 0.0, 1.0) < 1 < apart(1.06, 0.0, 1.0), apart(2.0, 1.0, 1.0) < 1
        (True, True)
    """
    noise = 0.0 if math.isnan(sem) else sem * math.sqrt(1 + ours / theirs)
    return abs(value - reference) / max(0.05 * abs(reference), 3 * noise, 5e-4)


def sulfur_run(root: Any = None) -> tuple[dict[str, float], float]:
    """Total half squared losses over the whole sulfur series, and that of the best fixed model.

    One pass in time order over all 10 081 rows, on the unit ball: ``D = 2``, ``L`` the largest squared norm of a row,
    ``G = R (R + 1)`` with ``R`` that norm. The test split of the problem ``sulfur-recovery`` is half of these rows.

    Args:
        root: folder of the data; by default ``$OPTIMAND_DATA``.

    Raises:
        OptimandError: the data are not there.
    """
    from optimand.online.convex.datasets import sulfur_recovery

    x, y = sulfur_recovery(root)
    learners: Mapping[str, Any] = {
        "OGD": convex.OGD(), "optimistic FTRL": convex.OptimisticFTRL(), "C1": convex.OptimisticOMD(),
        "AdaGrad-norm": convex.AdaGradNorm(), "C4": convex.DynamicOMD(),
        "C1, delta = 0": convex.OptimisticOMD(delta=0.0),
    }  # fmt: skip
    env = convex.StreamEnvironment(x, y)
    curves = engine.simulate(learners, env, len(y), reps=1, comparator="loss", points=2)
    regret = engine.simulate({"OGD": learners["OGD"]}, env, len(y), reps=1, comparator="realised", points=2)
    found = {name: float(curves.mean(name)[-1]) for name in curves.names}
    return found, found["OGD"] - float(regret.mean("OGD")[-1])


def gradient_sequences(kind: str, rounds: int, reps: int, d: int, draws: Any) -> Array:
    """Gradients of norm at most 1, whatever is played, shape ``(rounds, R, d)``.

    Args:
        kind: ``iid`` directions, ``alternating`` signs of one, ``sparse`` (nine of ten are 0), ``bursts`` of one
            direction, of random strength.
        rounds, reps, d: shape.
        draws: of ``reps`` repetitions.
    """
    z = np.swapaxes(draws.normal(rounds, d), 0, 1)
    z = z / np.linalg.norm(z, axis=2, keepdims=True)
    u = draws.uniform(rounds).T[:, :, None]
    if kind == "iid":
        return z * u
    if kind == "alternating":
        return z[:1] * np.where(np.arange(rounds) % 2, 1.0, -1.0)[:, None, None]
    if kind == "sparse":
        return z * (u < 0.1)
    assert kind == "bursts"
    block = np.arange(rounds) // 20
    return z[block * 20] * np.round(u[block * 20])


def path_bound_ratio(gradients: Array, delta: float) -> Array:
    """Ratio of the regret of ``C1`` on linear losses to its path-wise bound, by repetition, on the unit ball.

    The bound is ``(D/2) sqrt(delta + 4 G^2 + V_T) + 2 D sqrt(V_T)``, for the comparator that is best for the sums, at
    every round of the path; returned is the largest ratio.
    """

    _, reps, d = gradients.shape
    learner = convex.OptimisticOMD(convex.Ball(1.0), G=1.0, D=2.0, delta=delta)
    learner.begin(d, reps)
    paid, total, worst = np.zeros(reps), np.zeros((reps, d)), np.full(reps, -np.inf)
    for g in gradients:
        paid = paid + (learner.predict() * g).sum(axis=1)
        learner.update(g)
        total = total + g
        regret = paid + np.linalg.norm(total, axis=1)
        bound = np.sqrt(delta + 4 + learner.V) + 4 * np.sqrt(learner.V)
        worst = np.maximum(worst, regret / bound)
    return worst


def newton_beta(sigma: float) -> float:
    """The beta that the analysis prescribes on least squares with the noise ``sigma``."""
    G = 1.5 + 3 * sigma
    return 0.5 * min(1 / (8 * G), 1 / G**2)


def newton_bound_ratio(d: int, sigma: float, rounds: int = 2000, reps: int = 20, seed: int = 0) -> Array:
    """Ratio of the realised regret of ``C3`` on least squares to its path-wise bound, by repetition.

    On the unit ball, from 0 and for ``beta`` as prescribed, regret to every point is at most
    ``(1 + beta G^2 / 2) / 2 + (12 d / beta) log(1 + beta V / (8 d))``: on exp-concave losses the gradients fall short
    of the losses by ``(beta/2) <g_t, x_t - u>^2``, and ``H_t`` is at least ``I + (beta/8) sum_{s<=t} v_s v_s^T`` with
    ``v_s = g_s - g_{s-1}``. Returned is the largest ratio over twenty times.
    """
    from optimand.papers.optimistic_omd_sea.random_design import RandomDesign

    env, learner = RandomDesign(d, sigma), convex.OptimisticOMD(curvature="exp_concave")
    draws = engine.Draws(SeedTree(seed), np.arange(reps))
    env.reset(draws, rounds)
    learner.reset(env.spec(), draws.child("learner"))
    beta, G = newton_beta(sigma), env.spec().facts["G"]
    V, last, worst = np.zeros(reps), np.zeros((reps, d)), np.full(reps, -np.inf)
    for t in range(1, rounds + 1):
        feedback = env.step(learner.act())
        learner.update(feedback)
        V = V + ((feedback.gradient - last) ** 2).sum(axis=1)
        last = feedback.gradient
        if t % max(1, rounds // 20) == 0:
            bound = 0.5 * (1 + beta * G**2 / 2) + 12 * d / beta * np.log1p(beta * V / (8 * d))
            worst = np.maximum(worst, env.regret("realised") / bound)
    return worst
