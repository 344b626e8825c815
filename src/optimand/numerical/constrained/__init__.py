"""Equality constraints: AdaSketch-Newton (exact augmented Lagrangian, randomized iterative sketching) and its parts.

Example:
    >>> from optimand.numerical.constrained import minimize_equality
    >>> found = minimize_equality(lambda x: x[0] + x[1], [2.0, 0.5], constraints=lambda x: x @ x - 2, sketch="exact")
    >>> found.x.round(4).tolist()
    [-1.0, -1.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .autodiff import torch_problem
    from .interop import adasketch_newton
    from .merit import exact_augmented_lagrangian
    from .minimize import minimize_equality, solve_problem
    from .nlp import EqualityProblem
    from .sketch import sketch_and_project

_HOMES = {
    "EqualityProblem": "nlp",
    "adasketch_newton": "interop",
    "exact_augmented_lagrangian": "merit",
    "minimize_equality": "minimize",
    "sketch_and_project": "sketch",
    "solve_problem": "minimize",
    "torch_problem": "autodiff",
}

__all__ = [
    "EqualityProblem",
    "adasketch_newton",
    "exact_augmented_lagrangian",
    "minimize_equality",
    "sketch_and_project",
    "solve_problem",
    "torch_problem",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
