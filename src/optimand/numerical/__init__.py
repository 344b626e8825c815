"""Numerical solvers: sequences of linear systems, equality constraints, bilevel problems, monotone inclusions.

Each room loads when it is first used::

    from optimand.numerical import ssor_cg, minimize_equality, bilevel_minimize, MatrixGame
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import bilevel as bilevel
    from . import constrained as constrained
    from . import linear_systems as linear_systems
    from . import monotone as monotone
    from .bilevel import PenaltyBilevel as PenaltyBilevel
    from .bilevel import bilevel_minimize as bilevel_minimize
    from .constrained import EqualityProblem as EqualityProblem
    from .constrained import adasketch_newton as adasketch_newton
    from .constrained import minimize_equality as minimize_equality
    from .constrained import sketch_and_project as sketch_and_project
    from .constrained import solve_problem as solve_problem
    from .constrained import torch_problem as torch_problem
    from .linear_systems import BinnedBandit as BinnedBandit
    from .linear_systems import ChebCB as ChebCB
    from .linear_systems import FixedOmega as FixedOmega
    from .linear_systems import OmegaTuner as OmegaTuner
    from .linear_systems import PreparedMatrix as PreparedMatrix
    from .linear_systems import SequenceSolver as SequenceSolver
    from .linear_systems import TsallisINF as TsallisINF
    from .linear_systems import cg as cg
    from .linear_systems import laplacian as laplacian
    from .linear_systems import optimal_omega as optimal_omega
    from .linear_systems import prepare as prepare
    from .linear_systems import sor as sor
    from .linear_systems import ssor_cg as ssor_cg
    from .linear_systems import ssor_preconditioner as ssor_preconditioner
    from .monotone import FiniteSumOperator as FiniteSumOperator
    from .monotone import MatrixGame as MatrixGame
    from .monotone import MinMax as MinMax
    from .monotone import estimate_constants as estimate_constants
    from .monotone import from_saddle as from_saddle
    from .monotone import solve_inclusion as solve_inclusion

__getattr__, __dir__, __all__ = lazy_exports(__name__)
