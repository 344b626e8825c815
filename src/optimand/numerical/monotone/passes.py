"""Passes that a method needs to a residual: the cost measure of the paper's comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import InclusionMethod

# The paper's Algorithm 2 on games as in the literature: a fixed number of inner steps from u_k, residual of v_k.
FIXED_INNER = {"inner": "fixed", "start": "anchor", "report": "outer"}


def passes_to(solver: InclusionMethod, targets: Sequence[float], *, every: int = 1, most: float = 1e6) -> list[float]:
    """Passes until the natural residual is at or below each target.

    Args:
        solver: a fresh method; it is run.
        targets: falling residuals.
        every: steps between two looks at the residual, which are not charged.
        most: passes after which to give up.

    Returns:
        Passes for each target, infinite where it was not reached.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator, make_method
        >>> game = FiniteSumOperator.from_matrix_game([[2.0, 0.0], [0.0, 1.0]])
        >>> passes_to(make_method("eg", game, np.full(4, 0.5)), [0.1, 0.0], most=50)[1]
        inf
    """
    found: list[float] = []
    while len(found) < len(targets) and solver.calls < most * solver.op.full_cost:
        for _ in range(every):
            solver.step()
        residual = solver.natural_residual()
        while len(found) < len(targets) and residual <= targets[len(found)]:
            found.append(solver.calls / solver.op.full_cost)
    return found + [math.inf] * (len(targets) - len(found))


def on_game(name: str, A: Any, rng: Any = None, **options: Any) -> InclusionMethod:
    """A method on the matrix game of ``A`` from uniform strategies.

    Example:
        >>> import numpy as np
        >>> on_game("eg", np.eye(2)).u.tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    from .games import MatrixGameOperator
    from .solve import make_method

    op = MatrixGameOperator(A)
    return make_method(name, op, op.uniform, rng=rng, **options)
