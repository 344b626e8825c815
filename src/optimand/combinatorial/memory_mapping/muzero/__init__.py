"""mallocMuZero (arXiv:2305.07440): search and learning on the mallocGame.

``solvers`` has the generators that ``map_memory`` calls; :class:`Trainer` trains on one or many games, with
checkpoints; ``search`` has the batched trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .incumbents import Best as Best
    from .network import ModelNet as ModelNet
    from .network import PolicyValueNet as PolicyValueNet
    from .settings import Settings as Settings
    from .solvers import mcts as mcts
    from .solvers import muzero as muzero
    from .solvers import muzero_learned as muzero_learned
    from .trainer import Round as Round
    from .trainer import Trainer as Trainer


__getattr__, __dir__, __all__ = lazy_exports(__name__)
