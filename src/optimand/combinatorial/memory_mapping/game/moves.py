"""What a game and its copies share: moves made, their limit, and the best complete trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimand.core.running import BudgetSpent

ENDLESS = 2**62

MovesSpent = BudgetSpent
"""The game's limit of moves is reached: whoever gave the limit ends the solver here."""


@dataclass
class MoveBudget:
    """What a game and its copies share."""

    limit: int = ENDLESS
    moves: int = 0
    time: float = float("inf")
    actions: NDArray[np.int8] | None = None

    @property
    def left(self) -> int:
        """Moves that may still be made."""
        return self.limit - self.moves

    def end(self) -> BudgetSpent:
        """What is raised where more moves are asked for."""
        return BudgetSpent(f"the game's limit of {self.limit} moves is reached")

    def keep(self, time: float, decisions: NDArray[np.int64]) -> None:
        """Keep a complete trajectory if it is the best."""
        if time < self.time:
            self.time, self.actions = float(time), decisions.astype(np.int8)
