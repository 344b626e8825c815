"""Finite-sum monotone inclusions: saddle points, variational inequalities and matrix games from components.

Example:
    >>> from optimand.numerical.monotone import MatrixGame
    >>> found = MatrixGame([[2.0, 0.0], [0.0, 1.0]]).solve(tol=1e-6)
    >>> round(found.value, 5), found.y.round(4).tolist()
    (0.66667, [0.3333, 0.6667])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .cocoercive import CocoerciveHalpern as CocoerciveHalpern
    from .cocoercive import OneStepHalpern as OneStepHalpern
    from .constants import Constants as Constants
    from .constants import choose_method as choose_method
    from .constants import estimate_constants as estimate_constants
    from .extragradient import AnchoredExtragradient as AnchoredExtragradient
    from .extragradient import Extragradient as Extragradient
    from .extragradient import OptimisticWeights as OptimisticWeights
    from .extragradient import VarianceReducedExtragradient as VarianceReducedExtragradient
    from .games import MatrixGame as MatrixGame
    from .games import MatrixGameOperator as MatrixGameOperator
    from .halpern import InexactHalpern as InexactHalpern
    from .halpern import ResolventHalpern as ResolventHalpern
    from .minmax import MinMax as MinMax
    from .operators import AffineOperator as AffineOperator
    from .operators import FiniteSumOperator as FiniteSumOperator
    from .resolvent import VRForb as VRForb
    from .saddle import from_saddle as from_saddle
    from .saddle import pack as pack
    from .saddle import unpack as unpack
    from .solve import make_method as make_method
    from .solve import solve_inclusion as solve_inclusion

__getattr__, __dir__, __all__ = lazy_exports(__name__)
