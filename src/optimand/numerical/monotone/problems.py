"""Problems of the family ``monotone``: matrix games, cocoercive sums, saddle points on real data, a market.

The budget counts passes: one pass is the work of one full evaluation of the operator, that is ``n`` evaluations of
components of a finite sum, and ``m n / (m + n)`` sampled pairs of row and column of an m x n game. So numbers compare
between problems of different size, and between methods that evaluate all components and those that sample. The metric
is the natural residual at unit step of the point that a method reports, over all blocks jointly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from . import generators
from .loop import Inclusion, run


@dataclass(frozen=True, kw_only=True)
class MonotoneProblem:
    """An inclusion ``0 in F(u) + G(u)`` to solve within a budget of passes.

    Attributes:
        name: what users type.
        make: draws an instance from a generator.
        summary: one line.
        budget: passes by default.
        target: residual that counts for time-to-target, or None.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.numerical.monotone.methods import extragradient
        >>> recorder = Recorder(200)
        >>> method = Method("eg", "monotone", extragradient, {"step": 0.9}, {})
        >>> matrix_game(kind="kuhn", size=3).run(method, {}, seed=SeedTree(0), budget=200, recorder=recorder)
        >>> recorder.last("test", "residual") < 0.1
        True
    """

    name: str
    make: Callable[[np.random.Generator], Inclusion]
    summary: str
    budget: int = 1000
    target: float | None = None

    family: ClassVar[str] = "monotone"
    unit: ClassVar[str] = "passes"
    metric: ClassVar[str] = "residual"
    direction: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        if self.target is not None:
            check_number("target", self.target)
        if not callable(self.make):
            raise TypeError(f"make must be a function of a generator, got {self.make!r:.60}")

    def instance(self, rng: np.random.Generator) -> Inclusion:
        """An instance drawn from ``rng``, its count at 0."""
        task = self.make(rng)
        if not isinstance(task, Inclusion):
            raise TypeError(f"make must return an Inclusion, got a {type(task).__name__}")
        return task

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.numerical.monotone.loop.run`."""
        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


def _pinned(instance: int | None, rng: np.random.Generator) -> np.random.Generator:
    return rng if instance is None else np.random.default_rng(instance)


def _game_task(A: Any) -> Inclusion:
    from .games import MatrixGameOperator

    op = MatrixGameOperator(A)
    return Inclusion(op, op.uniform)


def _check_instance(instance: int | None) -> str:
    if instance is None:
        return ""
    return f",instance={check_int('instance', instance, low=0)}"


@problem("matrix-game", family="monotone")
def matrix_game(
    kind: str = "burglar", size: int = 300, norm: float = 10.0, instance: int | None = None, budget: int = 1000
) -> MonotoneProblem:
    """A zero-sum game on simplices: uniform, signed, burglar, blotto or kuhn payoffs; start: uniform strategies.

    Args:
        kind: of :func:`~optimand.numerical.monotone.generators.payoff_matrix`.
        size: strategies (soldiers of ``blotto``, cards of ``kuhn``).
        norm: largest singular value, > 0.
        instance: seed of a fixed matrix; None to draw one from the run's seed.
        budget: passes.
    """
    check_choice("kind", kind, generators.GAMES)
    check_int("size", size, low=2, high=generators.LARGEST.get(kind))
    check_number("norm", norm, low=0, low_open=True)

    def make(rng: np.random.Generator) -> Inclusion:
        return _game_task(generators.payoff_matrix(kind, size, _pinned(instance, rng), norm=norm))

    return MonotoneProblem(
        name=f"matrix-game:kind={kind},size={size}{_check_instance(instance)}", make=make, budget=budget, target=1e-2,
        summary=f"zero-sum game, {kind} payoffs of size {size} scaled to norm {norm:g}, on simplices",
    )  # fmt: skip


@problem("sparse-game", family="monotone")
def sparse_game(
    size: int = 2000, nonzeros: int = 40_000, norm: float = 10.0, instance: int | None = None, budget: int = 300
) -> MonotoneProblem:
    """A zero-sum game with a random sparse payoff matrix.

    Args:
        size: strategies of each player.
        nonzeros: entries of the matrix, uniform on [0, 1] before scaling.
        norm: largest singular value, > 0.
        instance: seed of a fixed matrix; None to draw one from the run's seed.
        budget: passes.
    """
    check_int("size", size, low=2)
    check_int("nonzeros", nonzeros, low=1)
    check_number("norm", norm, low=0, low_open=True)

    def make(rng: np.random.Generator) -> Inclusion:
        return _game_task(generators.sparse_payoff(size, nonzeros, _pinned(instance, rng), norm=norm))

    return MonotoneProblem(
        name=f"sparse-game:size={size},nonzeros={nonzeros}{_check_instance(instance)}", make=make, budget=budget,
        summary=f"zero-sum game, {size} x {size} matrix with {nonzeros} nonzeros scaled to norm {norm:g}",
    )  # fmt: skip


@problem("cocoercive-sum", family="monotone")
def cocoercive_sum(
    kind: str = "random", n: int = 100, d: int = 20, box: float = 0.1, instance: int | None = None, budget: int = 500
) -> MonotoneProblem:
    """A finite sum of affine operators, cocoercive on average, over a box; start: its upper corner.

    Args:
        kind: ``random`` or ``wave`` (without random numbers).
        n: components.
        d: dimension.
        box: bound of each coordinate, > 0.
        instance: seed of fixed components; None to draw them from the run's seed.
        budget: passes.
    """
    check_choice("kind", kind, ("random", "wave"))
    check_int("n", n, low=1)
    check_int("d", d, low=1)
    check_number("box", box, low=0, low_open=True)

    def make(rng: np.random.Generator) -> Inclusion:
        from optimand.core.projections import Box

        from .operators import AffineOperator

        B, q = generators.wave_sum(n, d) if kind == "wave" else generators.random_sum(n, d, _pinned(instance, rng))
        return Inclusion(AffineOperator(B, q), np.full(d, box), Box(-box, box))

    return MonotoneProblem(
        name=f"cocoercive-sum:kind={kind},n={n},d={d}{_check_instance(instance)}", make=make, budget=budget,
        summary=f"mean of {n} affine operators in {d} dimensions, cocoercive on average, over a box",
    )  # fmt: skip


@problem("svm-saddle", family="monotone")
def svm_saddle(data: str = "breast_cancer", ridge: float = 0.01, budget: int = 300) -> MonotoneProblem:
    """The soft-margin SVM on real data as a saddle point between weights and dual variables.

    Args:
        data: ``breast_cancer`` or ``diabetes``.
        ridge: > 0.
        budget: passes.
    """
    check_choice("data", data, ("breast_cancer", "diabetes"))
    check_number("ridge", ridge, low=0, low_open=True)
    return MonotoneProblem(
        name=f"svm-saddle:data={data}", make=functools.partial(_saddle, "svm", data, ridge), budget=budget,
        summary=f"soft-margin SVM on {data}, weights against dual variables, ridge {ridge:g}",
    )  # fmt: skip


@problem("robust-least-squares", family="monotone")
def robust_least_squares(data: str = "diabetes", rho: float = 1.0, budget: int = 300) -> MonotoneProblem:
    """Least squares on real data under the worst bounded change of the data, as a bilinear saddle point.

    Args:
        data: ``diabetes`` or ``breast_cancer``.
        rho: bound of the change in the Frobenius norm, in units of the root of the sample size, > 0.
        budget: passes.
    """
    check_choice("data", data, ("breast_cancer", "diabetes"))
    check_number("rho", rho, low=0, low_open=True)
    return MonotoneProblem(
        name=f"robust-least-squares:data={data}", make=functools.partial(_saddle, "robust_least_squares", data, rho),
        budget=budget, summary=f"least squares on {data} under the worst change of the data, bound {rho:g}",
    )  # fmt: skip


def _saddle(kind: str, data: str, strength: float, rng: np.random.Generator) -> Inclusion:
    from . import saddles

    op = getattr(saddles, kind)(data, strength)
    return Inclusion(op, op.default_resolvent()(np.zeros(op.dim)))


@problem("fisher-market", family="monotone")
def fisher_market(buyers: int = 20, goods: int = 10, instance: int | None = None, budget: int = 300) -> MonotoneProblem:
    """Equilibrium of a market with linear utilities: allocations against prices; start: equal shares and prices.

    Args:
        buyers, goods: at least 1 each.
        instance: seed of a fixed market; None to draw one from the run's seed.
        budget: passes.
    """
    check_int("buyers", buyers, low=1)
    check_int("goods", goods, low=1)

    def make(rng: np.random.Generator) -> Inclusion:
        from .saddles import random_market

        op = random_market(buyers, goods, _pinned(instance, rng))
        return Inclusion(op, np.concatenate([np.full(buyers * goods, 1 / buyers), np.full(goods, 1 / goods)]))

    return MonotoneProblem(
        name=f"fisher-market:buyers={buyers},goods={goods}{_check_instance(instance)}", make=make, budget=budget,
        summary=f"Fisher market of {buyers} buyers and {goods} goods, allocations against prices",
    )  # fmt: skip
