"""Sequences of linear systems: SOR, conjugate gradients with SSOR, and tuners of their parameter omega.

Example:
    >>> import numpy as np
    >>> from optimand.numerical.linear_systems import laplacian, ssor_cg
    >>> found = ssor_cg(laplacian(10), np.ones(100), omega=1.4)
    >>> found.success, found.nit
    (True, 13)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

# At once, because a module imported later would take the function's name in this package.
from .sor import sor

if TYPE_CHECKING:
    from . import theory
    from .matrices import PreparedMatrix, prepare
    from .sequence import SequenceSolver
    from .ssor import cg, ssor_cg, ssor_preconditioner
    from .systems import laplacian
    from .theory import optimal_omega
    from .tuners import BinnedBandit, ChebCB, FixedOmega, OmegaTuner, TsallisINF

_HOMES = {
    "BinnedBandit": "tuners",
    "ChebCB": "tuners",
    "FixedOmega": "tuners",
    "OmegaTuner": "tuners",
    "PreparedMatrix": "matrices",
    "SequenceSolver": "sequence",
    "TsallisINF": "tuners",
    "cg": "ssor",
    "laplacian": "systems",
    "optimal_omega": "theory",
    "prepare": "matrices",
    "ssor_cg": "ssor",
    "ssor_preconditioner": "ssor",
}

__all__ = [
    "BinnedBandit",
    "ChebCB",
    "FixedOmega",
    "OmegaTuner",
    "PreparedMatrix",
    "SequenceSolver",
    "TsallisINF",
    "cg",
    "laplacian",
    "optimal_omega",
    "prepare",
    "sor",
    "ssor_cg",
    "ssor_preconditioner",
    "theory",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES, modules=("theory",))


def __dir__() -> list[str]:
    return __all__
