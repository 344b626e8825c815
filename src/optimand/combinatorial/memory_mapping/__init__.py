"""Which buffers of a program lie in fast memory, where and when: the mallocGame and those who play it.

Example:
    >>> from optimand.combinatorial.memory_mapping import Hardware, brute_force, tiny_program
    >>> round(50 - brute_force(tiny_program(), Hardware.preset("tiny", capacity=16)).time, 9)
    36.6
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .game.drawing import picture, plot
    from .game.enumeration import Optimum, brute_force
    from .game.environment import MallocGameEnv
    from .game.hardware import Hardware
    from .game.layouts import Copy, Layout, Residency
    from .game.program import Buffer, Instruction, MemoryProgram, tiny_program
    from .game.simulator import COPY, DROP, NOCOPY, Game, MovesSpent, Snapshot
    from .game.validation import InvalidLayout, Validation, validate
    from .mapping import map_memory
    from .packing.intervals import Intervals, read_minimalloc
    from .packing.solve import pack
    from .programs.files import read_program, write_program
    from .programs.hlo import from_hlo_text
    from .programs.library import RECORDED, hardware_of, recorded
    from .programs.torch_graph import from_torch_export

ENVIRONMENT = "optimand/MallocGame-v0"

_HOMES = {
    "COPY": "game.simulator",
    "DROP": "game.simulator",
    "NOCOPY": "game.simulator",
    "RECORDED": "programs.library",
    "Buffer": "game.program",
    "Copy": "game.layouts",
    "Game": "game.simulator",
    "Hardware": "game.hardware",
    "Instruction": "game.program",
    "Intervals": "packing.intervals",
    "InvalidLayout": "game.validation",
    "Layout": "game.layouts",
    "MallocGameEnv": "game.environment",
    "MemoryProgram": "game.program",
    "MovesSpent": "game.simulator",
    "Optimum": "game.enumeration",
    "Residency": "game.layouts",
    "Snapshot": "game.simulator",
    "Validation": "game.validation",
    "brute_force": "game.enumeration",
    "from_hlo_text": "programs.hlo",
    "from_torch_export": "programs.torch_graph",
    "hardware_of": "programs.library",
    "map_memory": "mapping",
    "pack": "packing.solve",
    "picture": "game.drawing",
    "plot": "game.drawing",
    "read_minimalloc": "packing.intervals",
    "read_program": "programs.files",
    "recorded": "programs.library",
    "tiny_program": "game.program",
    "validate": "game.validation",
    "write_program": "programs.files",
}

__all__ = [
    "COPY",
    "DROP",
    "ENVIRONMENT",
    "NOCOPY",
    "RECORDED",
    "Buffer",
    "Copy",
    "Game",
    "Hardware",
    "Instruction",
    "Intervals",
    "InvalidLayout",
    "Layout",
    "MallocGameEnv",
    "MemoryProgram",
    "MovesSpent",
    "Optimum",
    "Residency",
    "Snapshot",
    "Validation",
    "brute_force",
    "from_hlo_text",
    "from_torch_export",
    "hardware_of",
    "map_memory",
    "pack",
    "picture",
    "plot",
    "read_minimalloc",
    "read_program",
    "recorded",
    "register_environment",
    "tiny_program",
    "validate",
    "write_program",
]


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


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__


if "gymnasium" in sys.modules:
    register_environment()
