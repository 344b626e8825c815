"""Bilevel problems by penalties: first-order methods with constraints on both levels, and baselines.

    min over x in X of f(x, y)  subject to  y in argmin { g(x, y) : y in Y }

Names load when they are first used; only :class:`PenaltyBilevel` needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .diagnostics import PenaltyWarning as PenaltyWarning
    from .diagnostics import diagnose as diagnose
    from .diagnostics import penalty_growth as penalty_growth
    from .double_loop import DoubleLoop as DoubleLoop
    from .implicit import implicit_hypergradient as implicit_hypergradient
    from .implicit import limit_hypergradient as limit_hypergradient
    from .implicit import unrolled_hypergradient as unrolled_hypergradient
    from .minimize import bilevel_minimize as bilevel_minimize
    from .minimize import check_gradients as check_gradients
    from .oracle import Level as Level
    from .oracle import LevelOracle as LevelOracle
    from .oracle import PairedBatch as PairedBatch
    from .oracle import PairedOracle as PairedOracle
    from .oracle import index_sampler as index_sampler
    from .penalty import hypergradient as hypergradient
    from .penalty import lower_step as lower_step
    from .penalty import penalty_value as penalty_value
    from .penalty import solve_lower as solve_lower
    from .schedules import Annealing as Annealing
    from .schedules import Constant as Constant
    from .single_loop import SingleLoop as SingleLoop
    from .torch_penalty import PenaltyBilevel as PenaltyBilevel

__getattr__, __dir__, __all__ = lazy_exports(__name__)
