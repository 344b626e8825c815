"""All trajectories of a small program, for the optimum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int

from .hardware import Hardware
from .program import MemoryProgram


class Optimum(NamedTuple):
    """What an enumeration found.

    Attributes:
        time: least seconds.
        actions: a trajectory that has them.
        leaves: complete trajectories.
    """

    time: float
    actions: NDArray[np.int8]
    leaves: int


def brute_force(program: MemoryProgram, hardware: Hardware, *, max_leaves: int = 20_000_000) -> Optimum:
    """The best of all trajectories of the game.

    Args:
        program: small; trajectories grow exponentially with its references.
        hardware: the two memories.
        max_leaves: most trajectories, about 5 to 10 million a minute.

    Raises:
        OptimandError: there are more trajectories.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Hardware, tiny_program
        >>> found = brute_force(tiny_program(), Hardware.preset("tiny"))
        >>> round(50 - found.time, 9), found.leaves
        (17.6, 114)
    """
    from . import arrays, episodes

    check_int("max_leaves", max_leaves, low=1)
    p, q = arrays.pack_program(program, hardware)
    best = np.zeros(program.references, np.int64)
    time, leaves = episodes.enumerate_all(p, q, best, max_leaves)
    if leaves < 0:
        raise OptimandError(
            f"a program of {program.references} references has more than max_leaves={max_leaves} trajectories; "
            "enumerate a smaller one, or search"
        )
    return Optimum(float(time), best.astype(np.int8), int(leaves))
