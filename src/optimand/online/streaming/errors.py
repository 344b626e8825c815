"""What a stream of arms refuses: pulls of arms that are gone, more pulls or arms than there may be."""

from __future__ import annotations

from optimand.core.validation import OptimandError


class ArmDiscardedError(OptimandError):
    """An arm is pulled, kept or played that was released: single pass means that it does not come back."""


class BudgetExceededError(OptimandError):
    """More trials are asked for than are left.

    Args:
        asked: pulls that were asked for.
        left: trials that are left.
    """

    def __init__(self, asked: int, left: int) -> None:
        super().__init__(asked, left)
        self.asked, self.left = asked, left

    def __str__(self) -> str:
        return f"asked for {self.asked} pulls, {self.left} trials are left"


class MemoryExceededError(OptimandError):
    """More arms are alive at once than the environment allows."""


class StreamLengthError(OptimandError):
    """A stream has more or fewer arms than the learner was told."""
