"""Online learning: bandits, streams of arms, misspecified linear models and online convex optimization, one engine.

Each room loads when it is first used::

    from optimand.online import BernoulliBandit, UCB1, simulate
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import bandits as bandits
    from . import convex as convex
    from . import engine as engine
    from . import linear_bandits as linear_bandits
    from . import streaming as streaming
    from .bandits import KLUCB as KLUCB
    from .bandits import MOSS as MOSS
    from .bandits import UCB1 as UCB1
    from .bandits import AdversarialBandit as AdversarialBandit
    from .bandits import BernoulliBandit as BernoulliBandit
    from .bandits import EpsilonGreedy as EpsilonGreedy
    from .bandits import Exp3 as Exp3
    from .bandits import ExploreThenCommit as ExploreThenCommit
    from .bandits import GaussianBandit as GaussianBandit
    from .bandits import SuccessiveElimination as SuccessiveElimination
    from .bandits import TableBandit as TableBandit
    from .bandits import ThompsonSampling as ThompsonSampling
    from .bandits import UniformRandom as UniformRandom
    from .convex import OGD as OGD
    from .convex import ONS as ONS
    from .convex import AdaGradNorm as AdaGradNorm
    from .convex import Ball as Ball
    from .convex import Box as Box
    from .convex import DynamicOMD as DynamicOMD
    from .convex import OptimisticFTRL as OptimisticFTRL
    from .convex import OptimisticOMD as OptimisticOMD
    from .convex import OptimisticSGD as OptimisticSGD
    from .convex import SEAEnvironment as SEAEnvironment
    from .convex import Simplex as Simplex
    from .convex import StronglyConvexOGD as StronglyConvexOGD
    from .convex import Unconstrained as Unconstrained
    from .engine import DelayedFeedback as DelayedFeedback
    from .engine import DoublingTrick as DoublingTrick
    from .engine import Draws as Draws
    from .engine import Environment as Environment
    from .engine import Feedback as Feedback
    from .engine import GymEnvironment as GymEnvironment
    from .engine import Learner as Learner
    from .engine import PerRepetition as PerRepetition
    from .engine import RegretCurves as RegretCurves
    from .engine import Restart as Restart
    from .engine import Spec as Spec
    from .engine import as_gym as as_gym
    from .engine import simulate as simulate
    from .engine import sweep as sweep
    from .linear_bandits import LinTS as LinTS
    from .linear_bandits import LinUCB as LinUCB
    from .linear_bandits import MisspecifiedLinearBandit as MisspecifiedLinearBandit
    from .linear_bandits import MisspecifiedLinearEnvironment as MisspecifiedLinearEnvironment
    from .linear_bandits import PhasedElimination as PhasedElimination
    from .linear_bandits import SparseNetCommit as SparseNetCommit
    from .linear_bandits import g_optimal_design as g_optimal_design
    from .linear_bandits import gdesign_search as gdesign_search
    from .linear_bandits import jl_instance as jl_instance
    from .linear_bandits import packing_instance as packing_instance
    from .linear_bandits import sparse_net_search as sparse_net_search
    from .linear_bandits import sparse_regression_search as sparse_regression_search
    from .linear_bandits import trust_linear_model as trust_linear_model
    from .streaming import AnytimeEpsBest as AnytimeEpsBest
    from .streaming import ArmDiscardedError as ArmDiscardedError
    from .streaming import BudgetExceededError as BudgetExceededError
    from .streaming import KingEpsBest as KingEpsBest
    from .streaming import NaiveEpsBest as NaiveEpsBest
    from .streaming import StreamingBandit as StreamingBandit
    from .streaming import TowerEpsBest as TowerEpsBest
    from .streaming import UniformExplore as UniformExplore
    from .streaming import clear_cut as clear_cut
    from .streaming import hard_instance as hard_instance
    from .streaming import mix_in as mix_in
    from .streaming import run_streaming as run_streaming

__getattr__, __dir__, __all__ = lazy_exports(__name__)
