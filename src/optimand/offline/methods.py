"""Catalog entries of the family ``offline``: the searches, each with the regularizers that the papers compare.

A search is written for all; an entry fixes its regularizer, so that ``ga`` against ``ga-ignite`` is the comparison of
IGNITE's paper. Surrogates are fitted for ``fit_steps`` minibatches whatever the number of rows, so that a run takes
seconds on every task; the published widths and epochs are the searches' preset ``paper`` (``offline.optimize``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Dimension, Float, Int

if TYPE_CHECKING:
    from .loop import Request

PAPER = "ignite-offline"

# The regularizers: the kind, what it does to surrogates, and its hyperparameters; the multiplier of IGNITE adapts, that
# of IGNITE-2 is fixed.
REGULARIZERS: dict[str, tuple[str, str, dict[str, float], dict[str, Dimension]]] = {
    "": ("", "", {}, {}),
    "ignite": (
        "adaptive",
        "regularized by IGNITE (multiplier adapts)",
        {"lam": 1e-3, "rho": 0.05, "eps": 0.1},
        {"rho": Float(0.01, 0.5, log=True), "eps": Float(0.01, 1.0, log=True)},
    ),
    "ignite-2": (
        "fixed",
        "regularized by IGNITE-2 (multiplier fixed)",
        {"lam": 1e-2, "rho": 0.2},
        {"lam": Float(1e-3, 1.0, log=True), "rho": Float(0.02, 1.0, log=True)},
    ),
    "sam": ("sam", "fitted with SAM", {"rho": 0.05}, {"rho": Float(0.005, 0.5, log=True)}),
    "gradient-norm": (
        "gradient-norm",
        "with a penalty on the loss's gradient",
        {"lam": 1e-3},
        {"lam": Float(1e-4, 1.0, log=True)},
    ),
    "boss": (
        "sensitivity",
        "regularized by their sensitivity (BOSS)",
        {"lam": 1e-2},
        {"lam": Float(1e-3, 1.0, log=True)},
    ),
    "weight-decay": ("weight-decay", "with weight decay", {"lam": 1e-4}, {"lam": Float(1e-6, 0.1, log=True)}),
}
BOTH = ("ignite", "ignite-2")
FIT: dict[str, Dimension] = {"fit_steps": Int(100, 4000, log=True), "lr": Float(1e-4, 1e-2, log=True)}
CLIMB: dict[str, Dimension] = {**FIT, "eta": Float(1e-3, 0.1, log=True), "steps": Int(20, 500, log=True)}
ENSEMBLE: dict[str, Any] = {"fit_steps": 500, "lr": 1e-3, "width": 128, "steps": 200, "eta": 0.01, "members": 3}
# Entry: the search, what it is, its defaults here, its ranges, and the regularizers that it comes with.
SEARCHES: dict[str, tuple[str, str, dict[str, Any], dict[str, Dimension], tuple[str, ...]]] = {
    "best-of-data": ("best-of-data", "The best offline designs", {}, {}, ()),
    "offline-random": ("random", "Designs drawn at random", {}, {}, ()),
    "ga": (
        "ga", "Gradient ascent on a network from the best offline designs",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 200, "eta": 0.01}, CLIMB, tuple(REGULARIZERS)[1:],
    ),
    "ens-mean": ("ens-mean", "Gradient ascent on the mean of three networks", ENSEMBLE, CLIMB, BOTH),
    "ens-min": ("ens-min", "Gradient ascent on the least of three networks", ENSEMBLE, CLIMB, BOTH),
    "coms": (
        "coms", "Conservative objective models: ascent on a network that distrusts what ascent finds",
        {"fit_steps": 300, "lr": 3e-4, "width": 256, "alpha": 0.1, "steps": 50},
        {**FIT, "alpha": Float(0.01, 10.0, log=True)}, BOTH,
    ),
    "cbas": (
        "cbas", "Conditioning by adaptive sampling with a variational autoencoder",
        {"fit_steps": 300, "lr": 1e-3, "iterations": 20}, FIT, BOTH,
    ),
    "bo-qei": (
        "bo-qei", "Bayesian optimization of networks by batch expected improvement",
        {"fit_steps": 300, "lr": 1e-3}, FIT, BOTH,
    ),
    "cma-es": (
        "cma-es", "CMA-ES on the mean of networks",
        {"fit_steps": 300, "lr": 1e-3, "sigma": 0.5, "steps": 40}, {**FIT, "sigma": Float(0.05, 2.0, log=True)}, BOTH,
    ),
    "reinforce": (
        "reinforce", "A distribution over designs moved by policy gradients of networks",
        {"fit_steps": 300, "lr": 1e-3, "search_lr": 0.01}, {**FIT, "search_lr": Float(1e-3, 0.3, log=True)}, BOTH,
    ),
    "mins": (
        "mins", "Model inversion networks: a conditional GAN from values to designs",
        {"fit_steps": 500, "lr": 1e-3}, FIT, BOTH,
    ),
    "offline-evolution": (
        "evolution", "A genetic algorithm on a network",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 50}, {**FIT, "steps": Int(5, 200, log=True)}, BOTH,
    ),
    "offline-local-search": (
        "local-search", "The best neighbours of the best offline designs on a network",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 32}, {**FIT, "steps": Int(1, 64, log=True)}, BOTH,
    ),
}  # fmt: skip
# Options of a regularizer among the hyperparameters of an entry.
_OPTIONS = ("lam", "rho", "eps")


def propose(request: Request, *, search: str, ignite: str = "", fit_steps: int = 0, **hyper: Any) -> Any:
    """Run a search.

    Args:
        request: data, number of designs and seed.
        search: name of the search.
        ignite: kind of the regularizer; empty for none.
        fit_steps: minibatches of the fit of each network, rounded to whole epochs; 0 for a search without.
        hyper: hyperparameters of the search, and ``lam``, ``rho`` and ``eps`` of the regularizer.
    """
    import torch

    from .searches import find_search

    options = {key: hyper.pop(key) for key in _OPTIONS if key in hyper and ignite}
    if ignite in ("adaptive", "fixed") and "rho" in options:
        options["r"] = options["rho"]  # as the authors set them: one radius for the penalty and for the difference
    found = find_search(search)
    if fit_steps:
        hyper["epochs"] = epochs_of(fit_steps, len(request.data), int(hyper.get("batch", 128)))
    with torch.random.fork_rng(devices=[]):
        regularizer = {"kind": ignite, **options} if ignite else None
        return found(request.data, q=request.q, seed=request.seed, ignite=regularizer, **hyper)


def epochs_of(steps: int, rows: int, batch: int) -> int:
    """Epochs that are about ``steps`` minibatches, at least 1.

    Example:
        >>> epochs_of(1000, 32_898, 128), epochs_of(1000, 500, 128)
        (4, 250)
    """
    return max(1, round(steps / -(-rows // batch)))


for _name, (_search, _summary, _defaults, _space, _kinds) in SEARCHES.items():
    for _kind in ("", *_kinds):
        _ignite, _what, _more, _ranges = REGULARIZERS[_kind]
        method(
            f"{_name}-{_kind}" if _kind else _name,
            family="offline",
            space={**_space, **_ranges},
            paper=PAPER if _kind.startswith("ignite") else None,
            summary=f"{_summary}, surrogates {_what}" if _kind else _summary,
            fixed={"search": _search, "ignite": _ignite},
            defaults={**_defaults, **_more},
            options={"ignite": _ignite, "surrogates": _defaults.get("members", 1) if _defaults else 0},
        )(propose)
