"""Differentiable surrogates of an unknown function: perceptrons, ensembles of them, and the loop that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .ensembles import Ensemble as Ensemble
    from .ensembles import fit_ensemble as fit_ensemble
    from .fitting import FitReport as FitReport
    from .fitting import Standardizer as Standardizer
    from .fitting import fit as fit
    from .fitting import gradient_norm as gradient_norm
    from .fitting import rmse as rmse
    from .mlp import GaussianMLP as GaussianMLP
    from .mlp import gaussian_nll as gaussian_nll
    from .mlp import make_activation as make_activation


__getattr__, __dir__, __all__ = lazy_exports(__name__)
