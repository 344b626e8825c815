"""Equality constraints: AdaSketch-Newton (exact augmented Lagrangian, randomized iterative sketching) and its parts.

Example:
    >>> from optimand.numerical.constrained import minimize_equality
    >>> found = minimize_equality(lambda x: x[0] + x[1], [2.0, 0.5], constraints=lambda x: x @ x - 2, sketch="exact")
    >>> found.x.round(4).tolist()
    [-1.0, -1.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .autodiff import torch_problem as torch_problem
    from .interop import adasketch_newton as adasketch_newton
    from .minimize import minimize_equality as minimize_equality
    from .minimize import solve_problem as solve_problem
    from .nlp import EqualityProblem as EqualityProblem
    from .sketch import sketch_and_project as sketch_and_project

__getattr__, __dir__, __all__ = lazy_exports(__name__)
