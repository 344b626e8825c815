"""Differentiable surrogates of an unknown function: perceptrons, ensembles of them, and the loop that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .ensembles import Ensemble, fit_ensemble
    from .fitting import FitReport, fit, gradient_norm, rmse
    from .mlp import GaussianMLP, gaussian_nll, make_activation
    from .scaling import Standardizer

_HOMES = {
    "Ensemble": "ensembles",
    "FitReport": "fitting",
    "GaussianMLP": "mlp",
    "Standardizer": "scaling",
    "fit": "fitting",
    "fit_ensemble": "ensembles",
    "gaussian_nll": "mlp",
    "gradient_norm": "fitting",
    "make_activation": "mlp",
    "rmse": "fitting",
}

__all__ = [
    "Ensemble",
    "FitReport",
    "GaussianMLP",
    "Standardizer",
    "fit",
    "fit_ensemble",
    "gaussian_nll",
    "gradient_norm",
    "make_activation",
    "rmse",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
