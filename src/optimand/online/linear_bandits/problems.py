"""Problems of the family ``best-action``: actions with features, rewards linear in few of them up to an error.

The budget counts queries. The metric is the suboptimality ``(max r - r(chosen))/eps`` of the action that a search would
return, averaged over several bandits that share the features and differ in parameter and error; the bandits of the
splits ``valid`` and ``test`` are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from optimand.core.catalog import problem
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from .generators import aimed_errors, gaussian_actions, rademacher_actions, random_theta
from .instances import ERRORS, MisspecifiedLinearBandit
from .loop import run
from .lower_bounds import needle_bandit, packing_features
from .queries import repeats_needed

Draw = Callable[[SeedTree], MisspecifiedLinearBandit]

# What can run where supports are too many to enumerate.
NOT_ENUMERATING = ("omp", "lasso", "g-optimal", "random-queries")


@dataclass(frozen=True, kw_only=True)
class ActionProblem:
    """Bandits to search within a budget of queries.

    Attributes:
        name: what users type.
        prepare: draws features from a branch of the tree of seeds and returns ``draw(branch)``, which makes a bandit
            with these features.
        s: nonzero entries of the parameter.
        radius: bound of its norm.
        summary: one line.
        budget: queries by default.
        instances: bandits on each split.
        target: suboptimality that counts for time-to-target, or None.
        methods: compared by default; none for those of the family.

    Example:
        >>> from optimand.core.catalog import Method
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.online.linear_bandits.methods import sparse_net
        >>> recorder = Recorder(200)
        >>> method = Method("net", "best-action", sparse_net, {}, {})
        >>> problem = sparse_actions(d=5, N=300, instances=3)
        >>> problem.run(method, {}, seed=SeedTree(0), budget=200, recorder=recorder)
        >>> recorder.last("test", "suboptimality") < 1
        True
    """

    name: str
    prepare: Callable[[SeedTree], Draw]
    s: int
    radius: float = 1.0
    summary: str
    budget: int
    instances: int = 20
    target: float | None = 2.0
    methods: tuple[str, ...] = ()

    family: ClassVar[str] = "best-action"
    unit: ClassVar[str] = "queries"
    metric: ClassVar[str] = "suboptimality"
    direction: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        check_int("instances", self.instances, low=1)
        check_int("s", self.s, low=1)
        check_number("radius", self.radius, low=0, low_open=True)
        if self.target is not None:
            check_number("target", self.target, low=0)
        if not callable(self.prepare):
            raise TypeError(f"prepare must be a function of a branch of seeds, got {self.prepare!r:.60}")

    run = run


def _budget(budget: int | None, N: int, most: int, noise: float = 0.0, eps: float = 1.0) -> int:
    if budget is not None:
        return check_int("budget", budget, low=1)
    return min(N, most) * repeats_needed(noise, eps, 0.05, min(N, most))


def _check(eps: float, noise: float, **sizes: int) -> None:
    check_number("eps", eps, low=0, low_open=True)
    check_number("noise", noise, low=0)
    for name, value in sizes.items():
        check_int(name, value, low=1)
    if "d" in sizes and sizes["s"] > sizes["d"]:
        raise ValueError(f"s must be at most d = {sizes['d']}, got {sizes['s']}")


@problem("sparse-actions", family="best-action")
def sparse_actions(
    d: int = 20, N: int = 20_000, s: int = 2, eps: float = 0.1, error: str = "uniform", noise: float = 0.0,
    instances: int = 20, budget: int | None = None,
) -> ActionProblem:  # fmt: skip
    """Random directions, a sparse parameter on the unit sphere.

    Args:
        d: features of an action.
        N: actions.
        s: nonzero entries of the parameter.
        eps: bound of the error, > 0.
        error: ``uniform``, ``sign`` or ``aimed``.
        noise: standard deviation of the noise of an answer.
        instances: bandits on each split.
        budget: queries; by default 2000, or as many as there are actions, with noise each so often that its mean is
            within eps.
    """
    _check(eps, noise, d=d, N=N, s=s)
    check_choice("error", error, ERRORS)
    name = f"sparse-actions:d={d},N={N},s={s},eps={eps:g},error={error}"
    return _directions(name, d, N, s, eps, error, noise, instances, _budget(budget, N, 2000, noise, eps))


@problem("aimed-actions", family="best-action")
def aimed_actions(
    d: int = 60, N: int = 4000, s: int = 2, eps: float = 0.1, instances: int = 20, budget: int | None = None
) -> ActionProblem:
    """Random directions of length 0.9, errors aimed at least squares: it is fooled by about √d eps.

    Args:
        d: features of an action.
        N: actions.
        s: nonzero entries of the parameter.
        eps: bound of the error, > 0.
        instances: bandits on each split.
        budget: queries; by default 3000, or as many as there are actions.
    """
    _check(eps, 0.0, d=d, N=N, s=s)
    name = f"aimed-actions:d={d},N={N},s={s},eps={eps:g}"
    return _directions(name, d, N, s, eps, "aimed", 0.0, instances, _budget(budget, N, 3000), length=0.9)


def _directions(
    name: str, d: int, N: int, s: int, eps: float, error: str, noise: float, instances: int, budget: int,
    length: float = 1.0,
) -> ActionProblem:  # fmt: skip
    def prepare(tree: SeedTree) -> Draw:
        Phi = gaussian_actions(N, d, tree.numpy(), norm=length)
        chosen = aimed_errors(Phi, eps) if error == "aimed" else error
        return lambda branch: MisspecifiedLinearBandit(
            Phi, random_theta(d, s, branch.child("theta").numpy()), eps, chosen, noise=noise, seed=branch
        )

    return ActionProblem(
        name=f"{name},noise={noise:g}" if noise else name, prepare=prepare, s=s, budget=budget,
        instances=instances, summary=f"{N} directions in {d} dimensions, {s} matter, {error} error up to {eps:g}",
    )  # fmt: skip


@problem("good-features", family="best-action")
def good_features(
    d: int = 200, N: int = 3000, s: int = 10, eps: float = 0.05, noise: float = 0.0, instances: int = 20,
    budget: int | None = None,
) -> ActionProblem:  # fmt: skip
    """Features of random signs, which sparse regression likes; coefficients of 0.3 to 1 in absolute value.

    Supports are too many, and rows too long, for the methods that enumerate; the methods compared by default do not.
    With few nonzero entries many actions are nearly as good as the best one, and asking at random finds them.

    Args:
        d: features of an action.
        N: actions.
        s: nonzero entries of the parameter.
        eps: bound of the error, > 0.
        noise: standard deviation of the noise of an answer.
        instances: bandits on each split.
        budget: queries; by default 250, or as many as there are actions, with noise each so often that its mean is
            within eps.
    """
    _check(eps, noise, d=d, N=N, s=s)

    def prepare(tree: SeedTree) -> Draw:
        Phi = rademacher_actions(N, d, tree.numpy())

        def draw(branch: SeedTree) -> MisspecifiedLinearBandit:
            theta = random_theta(d, s, branch.child("theta").numpy(), magnitudes=(0.3, 1.0))
            return MisspecifiedLinearBandit(Phi, theta, eps, noise=noise, seed=branch)

        return draw

    return ActionProblem(
        name=f"good-features:d={d},N={N},s={s},eps={eps:g}" + (f",noise={noise:g}" if noise else ""),
        prepare=prepare, s=s, radius=s**0.5,
        budget=_budget(budget, N, 250, noise, eps), instances=instances, methods=NOT_ENUMERATING,
        summary=f"{N} rows of random signs in {d} dimensions, {s} matter, error up to {eps:g}",
    )  # fmt: skip


@problem("packing-actions", family="best-action")
def packing_actions(
    q: int = 7, s: int = 6, k: int = 3, instances: int = 20, budget: int | None = None
) -> ActionProblem:
    """A needle among polynomials: no search can do better than to ask for half of the actions in the mean.

    Args:
        q: a prime, at least ``s``.
        s: points at which polynomials are evaluated.
        k: their coefficients, in [2, s].
        instances: bandits on each split.
        budget: queries; by default half of the actions.
    """
    for name, value in {"q": q, "s": s, "k": k}.items():
        check_int(name, value, low=2)

    def prepare(tree: SeedTree) -> Draw:
        Phi = packing_features(q, s, k)
        return lambda branch: needle_bandit(Phi, None, (k - 1) / s, seed=branch)

    return ActionProblem(
        name=f"packing-actions:q={q},s={s},k={k}", prepare=prepare, s=s, budget=_budget(budget, q**k, q**k // 2),
        instances=instances, methods=NOT_ENUMERATING,
        summary=f"one of {q**k} polynomials is good, {s}-sparse rows with products <= {k - 1}/{s}",
    )  # fmt: skip


@problem("diabetes-actions", family="best-action")
def diabetes_actions(eps: float = 0.1, s: int = 2, instances: int = 20, budget: int | None = None) -> ActionProblem:
    """Find a patient of high progression of diabetes, as far as two measurements explain it.

    Args:
        eps: bound of the error, > 0.
        s: measurements, drawn at random for each bandit.
        instances: bandits on each split.
        budget: queries; 120 by default.
    """
    return _real("diabetes", 442, eps, s, instances, _budget(budget, 442, 120))


@problem("digits-actions", family="best-action")
def digits_actions(eps: float = 0.1, s: int = 2, instances: int = 20, budget: int | None = None) -> ActionProblem:
    """Find an image of a digit by querying, as far as two pixels tell it.

    Args:
        eps: bound of the error, > 0.
        s: pixels, drawn at random for each bandit.
        instances: bandits on each split.
        budget: queries; 300 by default.
    """
    return _real("digits", 1797, eps, s, instances, _budget(budget, 1797, 300))


def _real(data: str, N: int, eps: float, s: int, instances: int, budget: int) -> ActionProblem:
    _check(eps, 0.0, s=s)

    def prepare(tree: SeedTree) -> Draw:
        from .real_data import real_bandit

        return lambda branch: real_bandit(data, eps, s, branch.child("outcome").numpy())

    return ActionProblem(
        name=f"{data}-actions:eps={eps:g},s={s}", prepare=prepare, s=s, budget=budget, instances=instances,
        summary=f"{N} rows of {data}, an outcome that {s} of their features explain up to {eps:g}",
    )  # fmt: skip
