"""Small problems of our own with known optima, and programs for them: what tests, claims and examples share."""

from __future__ import annotations

from ..execution import ModelingProblem
from ..formulations.formulation import Constraint, Formulation, Variable


def bakery() -> ModelingProblem:
    """Two products and one resource: 5 c + 4 v under 2 c + v <= 100 in whole numbers, best 400 at (0, 100)."""
    formulation = Formulation(
        (
            Variable("c", "number of chestnut cakes", "integer"),
            Variable("v", "number of vanilla cakes", "integer"),
        ),
        "maximize",
        "5*c + 4*v",
        (Constraint("2*c + v <= 100", "eggs"),),
    )
    text = (
        "A bakery makes chestnut cakes and vanilla cakes. A chestnut cake takes 2 eggs and earns $5; a vanilla cake "
        "takes one egg and earns $4. At most 100 eggs can be used. How many of each should it bake to earn the most?"
    )
    answers = {"The number of chestnut cakes": 0.0, "The number of vanilla cakes": 100.0, "The total earned": 400.0}
    asks = dict(zip(answers, ("c", "v", "objective"), strict=True))
    return ModelingProblem("own/bakery", text, "linear-notable", answers, formulation, asks)


def workshop() -> ModelingProblem:
    """A ratio objective: earnings for an hour of three goods, at least 10 of each; best 179/66 at (10, 10, 37)."""
    formulation = Formulation(
        tuple(Variable(name, f"number of {name} made", "integer", 10.0) for name in ("hooks", "hinges", "locks")),
        "maximize",
        "(5*hooks + 8*hinges + 11*locks) / (2*hooks + 3*hinges + 4*locks)",
        (
            Constraint("5*hooks + 7*hinges + 9*locks <= 500", "spending"),
            Constraint("2*hooks + 3*hinges + 4*locks <= 200", "hours"),
        ),
    )
    text = (
        "A smith makes hooks, hinges and locks, at least 10 of each. A hook earns $5, costs $5 to make and takes "
        "2 hours; a hinge earns $8, costs $7 and takes 3 hours; a lock earns $11, costs $9 and takes 4 hours. Spending "
        "is limited to $500 and work to 200 hours. Maximize what is earned for an hour of work."
    )
    answers = {"The earnings for an hour": 537 / 198}
    asks = {"The earnings for an hour": "objective"}
    return ModelingProblem("own/workshop", text, "nonlinear-notable", answers, formulation, asks)


def loss() -> ModelingProblem:
    """An objective that cannot be positive: keep a fire going with 2 to 5 logs; best -2."""
    formulation = Formulation((Variable("x", "number of logs burnt", "integer", 2, 5),), "maximize", "-x")
    answers = {"The number of logs burnt": 2.0}
    text = "A log costs 1 euro. A night takes between 2 and 5 logs. Maximize the gain, which is a loss."
    return ModelingProblem("own/loss", text, "linear-notable", answers, formulation, {next(iter(answers)): "x"})
