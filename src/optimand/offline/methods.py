"""Catalog entries of the family ``offline``: the searches, each with the regularizers that the papers compare.

A search is written for all; an entry fixes its regularizer, so that ``ga`` against ``ga-ignite`` is the comparison of
IGNITE's paper. Surrogates are fitted for ``fit_steps`` minibatches whatever the number of rows, so that a run takes
seconds on every task; the published widths and epochs are the searches' preset ``paper`` (``offline.optimize``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Dimension, Float, Int

if TYPE_CHECKING:
    from .loop import Request

PAPER = "ignite-offline"

# Hyperparameters of the regularizers: IGNITE with the multiplier that adapts, IGNITE-2 with a fixed one.
REGULARIZERS: dict[str, tuple[str, dict[str, float], dict[str, Dimension]]] = {
    "": ("", {}, {}),
    "ignite": (
        "adaptive",
        {"lam": 1e-3, "rho": 0.05, "eps": 0.1},
        {"rho": Float(0.01, 0.5, log=True), "eps": Float(0.01, 1.0, log=True)},
    ),
    "ignite-2": (
        "fixed",
        {"lam": 1e-2, "rho": 0.2},
        {"lam": Float(1e-3, 1.0, log=True), "rho": Float(0.02, 1.0, log=True)},
    ),
    "sam": ("sam", {"rho": 0.05}, {"rho": Float(0.005, 0.5, log=True)}),
    "gradient-norm": ("gradient-norm", {"lam": 1e-3}, {"lam": Float(1e-4, 1.0, log=True)}),
    "boss": ("sensitivity", {"lam": 1e-2}, {"lam": Float(1e-3, 1.0, log=True)}),
    "weight-decay": ("weight-decay", {"lam": 1e-4}, {"lam": Float(1e-6, 0.1, log=True)}),
}
_WHAT = {
    "": "",
    "ignite": ", surrogates regularized by IGNITE (multiplier adapts)",
    "ignite-2": ", surrogates regularized by IGNITE-2 (multiplier fixed)",
    "sam": ", surrogates fitted with SAM",
    "gradient-norm": ", surrogates with a penalty on the loss's gradient",
    "boss": ", surrogates regularized by their sensitivity (BOSS)",
    "weight-decay": ", surrogates with weight decay",
}
FIT: dict[str, Dimension] = {"fit_steps": Int(100, 4000, log=True), "lr": Float(1e-4, 1e-2, log=True)}
# Entry: the search, what it is, its defaults here, its ranges, and the regularizers that it comes with.
SEARCHES: dict[str, tuple[str, str, dict[str, Any], dict[str, Dimension], tuple[str, ...]]] = {
    "best-of-data": ("best-of-data", "The best offline designs", {}, {}, ()),
    "offline-random": ("random", "Designs drawn at random", {}, {}, ()),
    "ga": (
        "ga", "Gradient ascent on a network from the best offline designs",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 200, "eta": 0.01},
        {**FIT, "eta": Float(1e-3, 0.1, log=True), "steps": Int(20, 500, log=True)},
        tuple(REGULARIZERS)[1:],
    ),
    "ens-mean": (
        "ens-mean", "Gradient ascent on the mean of three networks",
        {"fit_steps": 500, "lr": 1e-3, "width": 128, "steps": 200, "eta": 0.01, "members": 3},
        {**FIT, "eta": Float(1e-3, 0.1, log=True), "steps": Int(20, 500, log=True)},
        ("ignite", "ignite-2"),
    ),
    "ens-min": (
        "ens-min", "Gradient ascent on the least of three networks",
        {"fit_steps": 500, "lr": 1e-3, "width": 128, "steps": 200, "eta": 0.01, "members": 3},
        {**FIT, "eta": Float(1e-3, 0.1, log=True), "steps": Int(20, 500, log=True)},
        ("ignite", "ignite-2"),
    ),
    "coms": (
        "coms", "Conservative objective models: ascent on a network that distrusts what ascent finds",
        {"fit_steps": 300, "lr": 3e-4, "width": 256, "alpha": 0.1, "steps": 50},
        {**FIT, "alpha": Float(0.01, 10.0, log=True)},
        ("ignite", "ignite-2"),
    ),
    "cbas": (
        "cbas", "Conditioning by adaptive sampling with a variational autoencoder",
        {"fit_steps": 300, "lr": 1e-3, "iterations": 20}, {**FIT}, ("ignite", "ignite-2"),
    ),
    "bo-qei": (
        "bo-qei", "Bayesian optimization of networks by batch expected improvement",
        {"fit_steps": 300, "lr": 1e-3}, {**FIT}, ("ignite", "ignite-2"),
    ),
    "cma-es": (
        "cma-es", "CMA-ES on the mean of networks",
        {"fit_steps": 300, "lr": 1e-3, "sigma": 0.5, "steps": 40}, {**FIT, "sigma": Float(0.05, 2.0, log=True)},
        ("ignite", "ignite-2"),
    ),
    "reinforce": (
        "reinforce", "A distribution over designs moved by policy gradients of networks",
        {"fit_steps": 300, "lr": 1e-3, "search_lr": 0.01}, {**FIT, "search_lr": Float(1e-3, 0.3, log=True)},
        ("ignite", "ignite-2"),
    ),
    "mins": (
        "mins", "Model inversion networks: a conditional GAN from values to designs",
        {"fit_steps": 500, "lr": 1e-3}, {**FIT}, ("ignite", "ignite-2"),
    ),
    "offline-evolution": (
        "evolution", "A genetic algorithm on a network",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 50},
        {**FIT, "steps": Int(5, 200, log=True)}, ("ignite", "ignite-2"),
    ),
    "offline-local-search": (
        "local-search", "The best neighbours of the best offline designs on a network",
        {"fit_steps": 1000, "lr": 1e-3, "width": 256, "steps": 32},
        {**FIT, "steps": Int(1, 64, log=True)}, ("ignite", "ignite-2"),
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
        return found(
            request.data,
            q=request.q,
            seed=request.seed,
            ignite={"kind": ignite, **options} if ignite else None,
            **hyper,
        )


def epochs_of(steps: int, rows: int, batch: int) -> int:
    """Epochs that are about ``steps`` minibatches, at least 1.

    Example:
        >>> epochs_of(1000, 32_898, 128), epochs_of(1000, 500, 128)
        (4, 250)
    """
    return max(1, round(steps / -(-rows // batch)))


def _register(
    name: str, search: str, summary: str, defaults: Mapping[str, Any], space: Mapping[str, Dimension], kind: str
) -> None:
    ignite, more, ranges = REGULARIZERS[kind]
    method(
        f"{name}-{kind}" if kind else name,
        family="offline",
        space={**space, **ranges},
        paper=PAPER if kind.startswith("ignite") else None,
        summary=summary + _WHAT[kind],
        fixed={"search": search, "ignite": ignite},
        defaults={**defaults, **more},
        options={"ignite": ignite, "surrogates": defaults.get("members", 1) if defaults else 0},
    )(propose)


for _name, (_search, _summary, _defaults, _space, _kinds) in SEARCHES.items():
    for _kind in ("", *_kinds):
        _register(_name, _search, _summary, _defaults, _space, _kind)
