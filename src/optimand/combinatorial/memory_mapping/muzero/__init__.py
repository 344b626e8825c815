"""mallocMuZero (arXiv:2305.07440): search and learning on the mallocGame.

``solvers`` has the generators that ``map_memory`` calls; :class:`Trainer` trains on one or many games, with
checkpoints; ``search`` has the batched trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .books import Best
    from .network import ModelNet, PolicyValueNet
    from .settings import Settings
    from .solvers import mcts, muzero, muzero_learned
    from .trainer import Round, Trainer

_HOMES = {
    "Best": "books",
    "ModelNet": "network",
    "PolicyValueNet": "network",
    "Round": "trainer",
    "Settings": "settings",
    "Trainer": "trainer",
    "mcts": "solvers",
    "muzero": "solvers",
    "muzero_learned": "solvers",
}

__all__ = [
    "Best",
    "ModelNet",
    "PolicyValueNet",
    "Round",
    "Settings",
    "Trainer",
    "mcts",
    "muzero",
    "muzero_learned",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)
