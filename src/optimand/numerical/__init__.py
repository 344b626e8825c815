"""Numerical solvers: sequences of linear systems, equality constraints, bilevel problems, monotone inclusions.

Each room loads when it is first used::

    from optimand.numerical import ssor_cg, minimize_equality, bilevel_minimize, MatrixGame
"""

from __future__ import annotations

from typing import Any

from optimand.core.lazy import lazy_attribute

_ROOMS = ("bilevel", "constrained", "linear_systems", "monotone")
_NAMES = {
    "linear_systems": (
        "BinnedBandit", "ChebCB", "FixedOmega", "OmegaTuner", "PreparedMatrix", "SequenceSolver", "TsallisINF", "cg",
        "laplacian", "optimal_omega", "prepare", "sor", "ssor_cg", "ssor_preconditioner",
    ),
    "constrained": (
        "EqualityProblem", "adasketch_newton", "exact_augmented_lagrangian", "minimize_equality", "sketch_and_project",
        "solve_problem", "torch_problem",
    ),
    "bilevel": ("PenaltyBilevel", "bilevel_minimize"),
    "monotone": ("FiniteSumOperator", "MatrixGame", "MinMax", "estimate_constants", "from_saddle", "solve_inclusion"),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}

__all__ = [*_ROOMS, *_ROOM_OF]  # noqa: PLE0604 (names of a table)


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _ROOM_OF, modules=_ROOMS)


def __dir__() -> list[str]:
    return sorted(__all__)
