"""Solvers of the memory-mapping game that do not learn: the compiler's heuristic, greedy and random ones, searches.

A solver is a generator function ``solve(game, rng, **hyper)``: it plays on ``game``, which keeps the best trajectory
and counts moves, and yields after each unit of work. It ends when it has nothing more to try, or with
:class:`~optimand.combinatorial.memory_mapping.MovesSpent` when the game's limit is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_exports
from optimand.core.validation import check_choice

if TYPE_CHECKING:
    from .cp_sat import relax as relax
    from .xla_like import buffer_priorities as buffer_priorities
    from .xla_like import xla_mapping as xla_mapping

# The solvers by name: module and function.
SOLVERS: dict[str, tuple[str, str]] = {
    "xla": ("xla_like", "solve"),
    "greedy": ("playouts", "greedy"),
    "random": ("playouts", "random"),
    "noisy-greedy": ("playouts", "noisy_greedy"),
    "beam": ("beam", "solve"),
    "evolution": ("evolution", "solve"),
    "first-fit": ("playouts", "first_fit"),
    "best-fit": ("playouts", "best_fit"),
    "cp-sat": ("cp_sat", "solve"),
    "portfolio": ("portfolio", "solve"),
}


def get_solver(name: str) -> Any:
    """The generator function of a solver.

    Args:
        name: a key of ``SOLVERS``.

    Raises:
        ValueError: no solver of that name.
    """
    import importlib

    module, function = SOLVERS[check_choice("name", name, SOLVERS)]
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)


__getattr__, __dir__, __all__ = lazy_exports(__name__)
