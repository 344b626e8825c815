"""Problems of the family ``bandits`` whose arms have features: rewards linear in few of them up to an error."""

from __future__ import annotations

import functools

import numpy as np

from optimand.core.catalog import problem
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from ..bandits.problems import BanditProblem

LINEAR = ("linucb", "lin-ts", "phased-elimination", "sparse-net-commit", "ucb1")
ERRORS = ("uniform", "aimed", "sign", "none")


@functools.lru_cache(maxsize=4)
def _directions(arms: int, d: int) -> np.ndarray:
    # The features belong to the problem: they are the same on both splits and for all seeds.
    rows = SeedTree(0).child("misspecified-bandit", arms, d).numpy().standard_normal((arms, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@problem("misspecified-bandit", family="bandits")
def misspecified_bandit(
    arms: int = 500, d: int = 20, s: int = 2, eps: float = 0.1, error: str = "uniform", noise: float = 0.3,
    reps: int = 50, budget: int = 5_000,
) -> BanditProblem:  # fmt: skip
    """Arms are directions, means linear in s of d coordinates up to an error, with normal noise.

    Args:
        arms: at least 2.
        d: features.
        s: those that matter, drawn for each repetition with the direction of the parameter, whose length is 1.
        eps: bound of the error, >= 0.
        error: ``uniform``, ``aimed`` (at least squares on a G-optimal design), ``sign`` (against the linear part) or
            ``none``.
        noise: standard deviation of the rewards, >= 0.
        reps: repetitions on each split.
        budget: pulls.
    """
    check_int("arms", arms, low=2)
    check_int("d", d, low=1)
    check_int("s", s, low=1, high=d)
    check_number("eps", eps, low=0)
    check_choice("error", error, ERRORS)
    check_number("noise", noise, low=0)

    def make(split: str, budget: int) -> object:
        from .environment import MisspecifiedLinearEnvironment

        return MisspecifiedLinearEnvironment(_directions(arms, d), eps=eps, error=error, noise=noise, sparsity=s)

    return BanditProblem(
        name=f"misspecified-bandit:arms={arms},d={d},s={s},eps={eps:g},error={error}", reps=reps, budget=budget,
        make=make, methods=LINEAR,  # type: ignore[arg-type]
        summary=f"{arms} directions in {d} dimensions, {s} matter, {error} error up to {eps:g}, noise {noise:g}; "
        f"{reps} repetitions",
    )  # fmt: skip


@problem("diabetes-bandit", family="bandits")
def diabetes_bandit(
    eps: float = 0.1, s: int = 2, noise: float = 0.3, reps: int = 50, budget: int = 5_000
) -> BanditProblem:
    """Arms are patients: means are the progression of diabetes as far as s measurements explain it, up to eps.

    Args:
        eps: bound of the error, > 0: what the linear fit leaves, clipped.
        s: measurements out of 10, drawn for each repetition, the parameter scaled to length 1.
        noise: standard deviation of the rewards, >= 0.
        reps: repetitions on each split.
        budget: pulls.
    """
    check_number("eps", eps, low=0, low_open=True)
    check_int("s", s, low=1, high=10)
    check_number("noise", noise, low=0)

    def make(split: str, budget: int) -> object:
        from .real_data import PatientsBandit

        return PatientsBandit(eps=eps, sparsity=s, noise=noise)

    return BanditProblem(
        name=f"diabetes-bandit:eps={eps:g},s={s}", reps=reps, budget=budget, methods=LINEAR,
        make=make,  # type: ignore[arg-type]
        summary=f"442 patients with 10 measurements, {s} explain the means up to {eps:g}, noise {noise:g}; "
        f"{reps} repetitions",
    )  # fmt: skip
