"""Problems with equality constraints: published collections, logistic regression on real data, control of a PDE."""

from .collection import entry, equality_problem, names
from .formulas import Formula
from .logistic import constrained_logistic, logistic_on_sphere
from .pde import poisson_control
from .registered import equality, equality_set, logistic_sphere, poisson

__all__ = [
    "Formula",
    "constrained_logistic",
    "entry",
    "equality",
    "equality_problem",
    "equality_set",
    "logistic_on_sphere",
    "logistic_sphere",
    "names",
    "poisson",
    "poisson_control",
]
