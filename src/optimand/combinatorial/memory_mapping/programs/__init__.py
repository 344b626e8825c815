"""Programs for the memory-mapping game: traced PyTorch graphs, compiled JAX modules, CSV files, recorded ones.

Example:
    >>> from optimand.combinatorial.memory_mapping.programs import recorded
    >>> program = recorded("transformer")
    >>> len(program.instructions), len(program.buffers), program.references
    (52, 77, 140)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .files import read_program, write_program
    from .hlo import from_hlo_text
    from .library import RECORDED, hardware_of, recorded
    from .torch_graph import from_torch_export

_HOMES = {
    "RECORDED": "library",
    "from_hlo_text": "hlo",
    "from_torch_export": "torch_graph",
    "hardware_of": "library",
    "read_program": "files",
    "recorded": "library",
    "write_program": "files",
}

__all__ = [
    "RECORDED",
    "from_hlo_text",
    "from_torch_export",
    "hardware_of",
    "read_program",
    "recorded",
    "write_program",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
