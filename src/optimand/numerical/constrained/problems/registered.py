"""The catalog's problems of the family ``constrained``."""

from __future__ import annotations

from functools import partial

from optimand.core.catalog import problem
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int

from ..nlp import EqualityProblem
from ..problem import ConstrainedProblem
from . import collection, logistic, pde
from .formulas import Formula


@problem("equality", family="constrained")
def equality(name: str = "hs77") -> ConstrainedProblem:
    """A problem of Hock-Schittkowski, Boggs-Tolle or CUTEst, by name.

    Args:
        name: such as ``hs6``, ``bt9`` or ``helixne``.
    """
    found = collection.entry(name)
    equations = len(found.c) if isinstance(found, Formula) else found.n
    variables = len(found.x0) if isinstance(found, Formula) else found.n
    return ConstrainedProblem(
        name=f"equality:name={found.name.lower()}",
        summary=f"{found.name}: {variables} variables, {equations} equations",
        make=partial(_named, (found.name,)),
        budget=300,
    )


@problem("equality-set", family="constrained")
def equality_set(which: str = "cutest") -> ConstrainedProblem:
    """A set of small problems, each from its standard start: the share that is not solved.

    Args:
        which: ``reference`` (20 problems), ``cutest`` (45 of the 47 of AdaSketch-Newton's paper) or ``extra``.
    """
    members = collection.names(which)
    return ConstrainedProblem(
        name=f"equality-set:which={which}",
        summary=f"{len(members)} problems of 2 to 100 variables; oracle calls are counted on each",
        make=partial(_named, members),
        budget=1000,
        metric="unsolved",
        target=0.05,
        max_seconds=20.0,
    )


@problem("logistic-sphere", family="constrained", needs="data=mushrooms: files in $OPTIMAND_DATA")
def logistic_sphere(data: str = "breast-cancer") -> ConstrainedProblem:
    """Logistic regression on real data with 10 random linear equations and a sphere.

    Args:
        data: ``breast-cancer``, ``digits`` or ``mushrooms``.
    """
    check_choice("data", data, logistic.DATA)
    if data == "mushrooms":
        logistic.mushroom_files()  # says now what is missing, rather than in every run
    return ConstrainedProblem(
        name=f"logistic-sphere:data={data}",
        summary=f"logistic regression on {data}, 10 random linear equations and ‖w‖ = 1, drawn by the seed",
        make=partial(_logistic, data),
        budget=500,
    )


@problem("poisson-control", family="constrained")
def poisson(n: int = 3) -> ConstrainedProblem:
    """Control of a Poisson equation on an n x n grid: a sparse quadratic program.

    Args:
        n: interior points in each direction.
    """
    check_int("n", n, low=1)
    return ConstrainedProblem(
        name=f"poisson-control:n={n}",
        summary=f"{2 * n * n} variables, {n * n} sparse linear equations, quadratic objective",
        make=partial(_poisson, n),
        budget=500,
    )


# Functions at the top, so that problems can be sent to workers.


def _named(members: tuple[str, ...], seed: SeedTree) -> list[EqualityProblem]:
    return [collection.equality_problem(name) for name in members]  # the standard starts: nothing is drawn


def _logistic(data: str, seed: SeedTree) -> list[EqualityProblem]:
    return [logistic.constrained_logistic(data, seed.child("data").integer())]


def _poisson(n: int, seed: SeedTree) -> list[EqualityProblem]:
    return [pde.poisson_control(n)]
