"""Which buffers of a program lie in fast memory, where and when: the mallocGame and those who play it.

Example:
    >>> from optimand.combinatorial.memory_mapping import Hardware, brute_force, tiny_program
    >>> round(50 - brute_force(tiny_program(), Hardware.preset("tiny", capacity=16)).time, 9)
    36.6
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .game.arrays import COPY as COPY
    from .game.arrays import DROP as DROP
    from .game.arrays import NOCOPY as NOCOPY
    from .game.drawing import picture as picture
    from .game.drawing import plot as plot
    from .game.environment import MallocGameEnv as MallocGameEnv
    from .game.episodes import Optimum as Optimum
    from .game.episodes import brute_force as brute_force
    from .game.hardware import Hardware as Hardware
    from .game.layouts import Copy as Copy
    from .game.layouts import Layout as Layout
    from .game.layouts import Residency as Residency
    from .game.program import Buffer as Buffer
    from .game.program import Instruction as Instruction
    from .game.program import MemoryProgram as MemoryProgram
    from .game.program import tiny_program as tiny_program
    from .game.simulator import Game as Game
    from .game.simulator import MovesSpent as MovesSpent
    from .game.simulator import Snapshot as Snapshot
    from .game.validation import InvalidLayout as InvalidLayout
    from .game.validation import Validation as Validation
    from .game.validation import validate as validate
    from .mapping import map_memory as map_memory
    from .packing.intervals import Intervals as Intervals
    from .packing.intervals import read_minimalloc as read_minimalloc
    from .packing.solve import pack as pack
    from .programs.files import read_program as read_program
    from .programs.files import write_program as write_program
    from .programs.hlo import from_hlo_text as from_hlo_text
    from .programs.library import RECORDED as RECORDED
    from .programs.library import hardware_of as hardware_of
    from .programs.library import recorded as recorded
    from .programs.torch_graph import from_torch_export as from_torch_export

ENVIRONMENT = "optimand/MallocGame-v0"


def register_environment() -> None:
    """Make ``optimand/MallocGame-v0`` known to Gymnasium; done already if that was imported before this package."""
    import gymnasium

    if ENVIRONMENT not in gymnasium.registry:
        # Without wrappers, so that what is made has snapshot and restore; it checks actions and their order itself.
        gymnasium.register(
            ENVIRONMENT,
            entry_point=f"{__name__}.game.environment:MallocGameEnv",
            order_enforce=False,
            disable_env_checker=True,
        )


__getattr__, __dir__, __all__ = lazy_exports(__name__)


if "gymnasium" in sys.modules:
    register_environment()
