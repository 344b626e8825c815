"""Finite-sum monotone inclusions: saddle points, variational inequalities and matrix games from components.

Example:
    >>> from optimand.numerical.monotone import MatrixGame
    >>> found = MatrixGame([[2.0, 0.0], [0.0, 1.0]]).solve(tol=1e-6)
    >>> round(found.value, 5), found.y.round(4).tolist()
    (0.66667, [0.3333, 0.6667])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .cocoercive import CocoerciveHalpern, OneStepHalpern
    from .constants import Constants, choose_method, estimate_constants
    from .extragradient import (
        AnchoredExtragradient,
        Extragradient,
        OptimisticWeights,
        VarianceReducedExtragradient,
    )
    from .games import MatrixGame, MatrixGameOperator
    from .halpern import InexactHalpern, ResolventHalpern
    from .minmax import MinMax
    from .operators import AffineOperator, FiniteSumOperator
    from .resolvent import VRForb
    from .saddle import from_saddle, pack, unpack
    from .solve import make_method, solve_inclusion

_HOMES = {
    "AffineOperator": "operators",
    "AnchoredExtragradient": "extragradient",
    "CocoerciveHalpern": "cocoercive",
    "Constants": "constants",
    "Extragradient": "extragradient",
    "FiniteSumOperator": "operators",
    "InexactHalpern": "halpern",
    "MatrixGame": "games",
    "MatrixGameOperator": "games",
    "MinMax": "minmax",
    "OneStepHalpern": "cocoercive",
    "OptimisticWeights": "extragradient",
    "ResolventHalpern": "halpern",
    "VRForb": "resolvent",
    "VarianceReducedExtragradient": "extragradient",
    "choose_method": "constants",
    "estimate_constants": "constants",
    "from_saddle": "saddle",
    "make_method": "solve",
    "pack": "saddle",
    "solve_inclusion": "solve",
    "unpack": "saddle",
}

__all__ = [
    "AffineOperator",
    "AnchoredExtragradient",
    "CocoerciveHalpern",
    "Constants",
    "Extragradient",
    "FiniteSumOperator",
    "InexactHalpern",
    "MatrixGame",
    "MatrixGameOperator",
    "MinMax",
    "OneStepHalpern",
    "OptimisticWeights",
    "ResolventHalpern",
    "VRForb",
    "VarianceReducedExtragradient",
    "choose_method",
    "estimate_constants",
    "from_saddle",
    "make_method",
    "pack",
    "solve_inclusion",
    "unpack",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
