"""Sequences of linear systems: SOR, conjugate gradients with SSOR, and tuners of their parameter omega.

Example:
    >>> import numpy as np
    >>> from optimand.numerical.linear_systems import laplacian, ssor_cg
    >>> found = ssor_cg(laplacian(10), np.ones(100), omega=1.4)
    >>> found.success, found.nit
    (True, 13)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import theory as theory
    from .matrices import PreparedMatrix as PreparedMatrix
    from .matrices import prepare as prepare
    from .sequence import SequenceSolver as SequenceSolver
    from .sor import sor as sor
    from .ssor import cg as cg
    from .ssor import ssor_cg as ssor_cg
    from .ssor import ssor_preconditioner as ssor_preconditioner
    from .systems import laplacian as laplacian
    from .theory import optimal_omega as optimal_omega
    from .tuners import BinnedBandit as BinnedBandit
    from .tuners import ChebCB as ChebCB
    from .tuners import FixedOmega as FixedOmega
    from .tuners import OmegaTuner as OmegaTuner
    from .tuners import TsallisINF as TsallisINF

__getattr__, __dir__, __all__ = lazy_exports(__name__)
# At once, because the module imported later would take the function's name in this package.
sor = __getattr__("sor")
