"""The family's problems: hyper-cleaning of digits, tuned ridge penalties, and quadratic programs with known answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ...core.catalog import problem, signature_defaults
from ...core.contracts import Method
from ...core.projections import Box
from ...core.recorder import Recorder
from ...core.seeds import SeedTree
from ...core.validation import check_choice, check_int, check_number
from .implicit import limit_hypergradient
from .loop import Instance, Metrics
from .oracle import index_sampler

Array = Any
SPLITS = ("fixed", "by-seed")
BOUND = 0.3  # of the boxed lower variables, so that about half of them end on it


@dataclass(frozen=True, kw_only=True)
class BilevelProblem:
    """A bilevel problem; the budget counts evaluations of gradients of f and g on all data.

    A batch counts its share of the data, a product with a second derivative two, and the value of a function one.

    Attributes:
        name: what users type.
        make: from the branch of the seed for data to an :class:`Instance`.
        summary: one line.
        metric: what ranks methods, of the lower solution z.
        budget: gradient calls of a run by default.
        target: value of the metric on the validation split that counts for time-to-target. The upper level fits the
            validation data: a target on them says how fast that goes, nothing of new data.
    """

    name: str
    make: Callable[[SeedTree], Instance]
    summary: str
    metric: str
    budget: int
    target: float | None = None

    family: ClassVar[str] = "bilevel"
    unit: ClassVar[str] = "gradient calls"
    direction: ClassVar[Literal["min", "max"]] = "min"

    def instance(self, seed: int = 0) -> Instance:
        """The instance of a seed, for use without the lab."""
        return self.make(SeedTree(seed).child("data"))

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run a method once; see :func:`optimand.numerical.bilevel.loop.run`."""
        from .loop import run

        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


def _check_splits(split_seed: int, splits: str) -> None:
    check_int("split_seed", split_seed, low=0)
    check_choice("splits", splits, SPLITS)
    if split_seed and splits != "fixed":
        raise ValueError(f"split_seed belongs to splits='fixed', got split_seed={split_seed} with splits={splits!r}")


def _spec(name: str, factory: Callable[..., Any], **given: Any) -> str:
    """A problem's name with the parameters that are not at their defaults, as typed."""
    defaults = signature_defaults(factory, skip=0)
    changed = {k: v for k, v in given.items() if v != defaults[k]}
    return name + (":" + ",".join(f"{k}={v}" for k, v in changed.items()) if changed else "")


# Functions at the top, so that problems can be sent to workers.
def _digits(split_seed: int, splits: str, lam: float, seed: SeedTree) -> Instance:
    from .cleaning import HyperCleaning, accuracy, area_under_curve, cross_entropy, digits_data

    if splits == "fixed":
        data = digits_data(split_seed)
    else:
        data = digits_data(None, tuple(int(w) for w in seed.sequence().generate_state(4)))

    def evaluate(u: Array, w: Array) -> Metrics:
        # The validation data are the upper level's: what is recorded on them is what methods minimize.
        held_out = (("valid", data.valid_x, data.valid_t), ("test", data.test_x, data.test_t))
        found = {s: {"error": 1 - accuracy(w, x, t), "cross_entropy": cross_entropy(w, x, t)} for s, x, t in held_out}
        return {**found, "train": {"auc": area_under_curve(u, ~data.corrupt)}}

    n, m = len(data.train_t), len(data.valid_t)
    return Instance(
        oracle=HyperCleaning(data, lam),
        x0=np.full(n, 0.5),
        y0=np.zeros((data.classes, data.train_x.shape[1])),
        evaluate=evaluate,
        upper_unit=20.0,
        neutral=np.ones(n),
        project_x=Box(0.0, 1.0),
        sampler=lambda batch: index_sampler(m, n, batch),
    )


@problem("digits-hyper-cleaning", family="bilevel")
def digits_hyper_cleaning(*, split_seed: int = 0, splits: str = "by-seed", lam: float = 1e-3) -> BilevelProblem:
    """Digits, each training label wrong with probability 0.4: learn weights of the examples on 200 clean ones.

    Softmax regression on 800 digits of scikit-learn; the 200 clean ones are the validation data, which the upper level
    fits, so that only the 797 for test are new to the model.

    Args:
        split_seed: seed of the fixed split and its wrong labels (45 % at 0), at least 0.
        splits: ``by-seed`` for another split with each of a study's seeds, or ``fixed`` for one, on which methods
            without batches give the same number with every seed.
        lam: weight of the penalty on the model, > 0.

    Example:
        >>> digits_hyper_cleaning().instance().x0.shape
        (800,)
    """
    _check_splits(split_seed, splits)
    check_number("lam", lam, low=0, low_open=True)
    return BilevelProblem(
        name=_spec("digits-hyper-cleaning", digits_hyper_cleaning, split_seed=split_seed, splits=splits, lam=lam),
        make=functools.partial(_digits, split_seed, splits, lam),
        summary="digits 8x8 (UCI), 40 % of 800 labels wrong, weights of examples fitted to 200 clean ones (the "
        "validation data); 797 for test",
        metric="error",
        budget=18_900,
    )


def _diabetes(split_seed: int, splits: str, seed: SeedTree) -> Instance:
    from .quadratic import TunedRidge, diabetes_data

    rng = np.random.default_rng(split_seed) if splits == "fixed" else seed.numpy()
    oracle = TunedRidge(diabetes_data(rng))

    def evaluate(x: Array, w: Array) -> Metrics:
        return {split: {"mse": oracle.error(split, w)} for split in ("valid", "test")}

    n, m = len(oracle.data.train_t), len(oracle.data.valid_t)
    return Instance(
        oracle=oracle,
        x0=np.full(11, -2.0),
        y0=np.zeros(oracle.data.train_x.shape[1]),
        evaluate=evaluate,
        upper_unit=5.0,
        neutral=np.full(11, -2.0),
        project_x=Box(-6.0, 3.0),
        sampler=lambda batch: index_sampler(m, n, batch),
    )


@problem("diabetes-ridge", family="bilevel")
def diabetes_ridge(*, split_seed: int = 0, splits: str = "by-seed") -> BilevelProblem:
    """Ridge regression on diabetes data with products of features: eleven penalties fitted to validation data.

    scikit-learn's 442 patients, 221 for training, 110 for validation, which the upper level fits, 111 for test; targets
    are standardized.

    Args:
        split_seed: seed of the fixed split, at least 0.
        splits: ``by-seed`` for another split with each of a study's seeds, or ``fixed`` for one, on which methods
            without batches give the same number with every seed.

    Example:
        >>> diabetes_ridge().instance().y0.shape
        (64,)
    """
    _check_splits(split_seed, splits)
    return BilevelProblem(
        name=_spec("diabetes-ridge", diabetes_ridge, split_seed=split_seed, splits=splits),
        make=functools.partial(_diabetes, split_seed, splits),
        summary="ridge regression, diabetes: 221 patients with 64 features, 11 penalties fitted to 110 others (the "
        "validation data); 111 for test",
        metric="mse",
        budget=60_000,
    )


def _quadratic(case: str, n: int, m: int, seed: SeedTree) -> Instance:
    from .quadratic import QuadraticPrograms

    rng = seed.numpy()
    basis = np.linalg.qr(rng.normal(size=(m, m)))[0]
    spectrum = np.geomspace(0.3, 1.0, m)
    if case == "many":
        spectrum[: m // 2] = 0.0
    A = (basis * spectrum) @ basis.T
    B = (basis * (spectrum > 0)) @ rng.normal(size=(m, n)) / np.sqrt(m)
    target, c = rng.normal(size=m), 0.1
    box = Box(-BOUND, BOUND) if case == "box" else None

    def free(y: Array) -> Array:
        return (np.abs(y) < BOUND - 1e-12).astype(float)

    inverse = np.linalg.pinv(A, hermitian=True)
    kernel = np.eye(m) - inverse @ A

    def best(x: Array, z: Array) -> Array:
        """The lower solution that is best for f."""
        if box is not None:
            return _boxed_minimizer(A, B @ x, z)
        return inverse @ (B @ x) + kernel @ target

    def psi(x: Array, y: Array) -> float:
        return 0.5 * float(((y - target) ** 2).sum() + c * (x**2).sum())

    solution = inverse @ B
    answer = np.linalg.solve(solution.T @ solution + c * np.eye(n), solution.T @ (target - kernel @ target))
    least = psi(answer, solution @ answer + kernel @ target)

    def evaluate(x: Array, z: Array) -> Metrics:
        # There are no data to hold out: both splits get the same numbers.
        y = best(x, z)
        value = psi(x, y)
        border = None if box is None else np.eye(m)[free(y) == 0]
        slope = limit_hypergradient(c * x, y - target, A, -B.T, border)
        found = {"psi": value, "stationarity": max(float(np.linalg.norm(slope)), 1e-16)}
        if box is None:
            found["gap"] = max(value - least, 1e-16)
        return {"valid": found, "test": found}

    curvature = float(np.linalg.norm(solution, 2)) ** 2 + c
    return Instance(
        oracle=QuadraticPrograms(A, B, target, c),
        x0=np.zeros(n),
        y0=np.zeros(m),
        evaluate=evaluate,
        upper_unit=1 / curvature,
        neutral=np.zeros(n),
        project_y=box,
        free=free if box is not None else None,
    )


def _boxed_minimizer(A: Array, b: Array, start: Array) -> Array:
    """The minimizer of ``yᵀ A y / 2 - bᵀ y`` over the box, by projected gradient steps and solves on the free part."""
    y = np.clip(start, -BOUND, BOUND)
    step = 1 / np.linalg.norm(A, 2)
    for _ in range(500):
        y = np.clip(y - step * (A @ y - b), -BOUND, BOUND)
        free = np.abs(y) < BOUND
        trial = y.copy()
        if free.any():
            trial[free] = np.linalg.solve(A[np.ix_(free, free)], b[free] - A[np.ix_(free, ~free)] @ y[~free])
        trial = np.clip(trial, -BOUND, BOUND)
        slope = A @ trial - b
        if np.abs(trial - np.clip(trial - slope, -BOUND, BOUND)).max() < 1e-12:
            return trial
    return y


@problem("bilevel-quadratic", family="bilevel")
def bilevel_quadratic(*, case: str = "unique", n: int = 5, m: int = 20) -> BilevelProblem:
    """Quadratic programs whose hyper-objective is known: one lower solution, many, or a box around them.

    Ranked by the gap between the hyper-objective psi(x) and its minimum, both computed exactly; in the box, where psi
    is not convex and its minimum not known, by psi itself. The norm of its gradient is recorded too.

    Args:
        case: ``unique``, ``many`` or ``box``.
        n, m: numbers of upper and of lower variables, at least 1 and 2.

    Example:
        >>> problem = bilevel_quadratic(case="many")
        >>> problem.name, problem.instance().y0.shape
        ('bilevel-quadratic:case=many', (20,))
    """
    check_choice("case", case, ("unique", "many", "box"))
    check_int("n", n, low=1)
    check_int("m", m, low=2)
    what = {"unique": "one lower solution", "many": "many lower solutions", "box": "lower variables in a box"}[case]
    return BilevelProblem(
        name=_spec("bilevel-quadratic", bilevel_quadratic, case=case, n=n, m=m),
        make=functools.partial(_quadratic, case, n, m),
        summary=f"random quadratic program over another, {n} upper and {m} lower variables, {what}",
        metric="psi" if case == "box" else "gap",
        budget=20_000,
        target=None if case == "box" else 0.05,
    )
