"""Programs for the memory-mapping game: traced PyTorch graphs, compiled JAX modules, CSV files, recorded ones.

Example:
    >>> from optimand.combinatorial.memory_mapping.programs import recorded
    >>> program = recorded("transformer")
    >>> len(program.instructions), len(program.buffers), program.references
    (52, 77, 140)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .files import read_program as read_program
    from .files import write_program as write_program
    from .hlo import from_hlo_text as from_hlo_text
    from .library import RECORDED as RECORDED
    from .library import hardware_of as hardware_of
    from .library import recorded as recorded
    from .torch_graph import from_torch_export as from_torch_export


__getattr__, __dir__, __all__ = lazy_exports(__name__)
