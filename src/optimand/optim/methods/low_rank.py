"""Methods that treat the matrices inside a network in a way of their own, to save the memory of states."""

from __future__ import annotations

from typing import Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Dimension, Float

from ..apollo import APOLLO, APOLLOMini
from ..badam import BAdam
from ..fira import Fira
from ..frugal import FRUGAL
from ..galore import GaLore

_LR: dict[str, Dimension] = {"lr": Float(3e-4, 3e-2, log=True)}
_GAP: dict[str, Dimension] = {"lr": Float(1e-4, 1e-2, log=True), "update_gap": Choice(50, 200)}
_TURN: dict[str, Dimension] = {"lr": Float(1e-4, 1e-1, log=True), "switch_every": Choice(20, 50, 100)}
# A rank of None is a quarter of the network's width, as in the papers' tables; smaller matrices take what they have.
_QUARTER: dict[str, Any] = {"rank": None, "oversize": "clamp"}
_DESCENDING: dict[str, Any] = {"block_order": "descending"}  # as in the authors' scripts


def _register(name: str, build: Any, space: dict[str, Dimension], summary: str, *, routing: str, **facts: Any) -> None:
    options = {"routing": routing}
    method(name, family="training", space=space, summary=summary, options=options, **facts)(build)


_register(
    "apollo", APOLLO, _LR, "The gradient times one scale per channel, from moments in a random subspace",
    routing="apollo", paper="apollo", defaults=_QUARTER,
)  # fmt: skip
_register(
    "apollo-svd", APOLLO, _LR, "APOLLO with the subspace of the leading singular vectors",
    routing="apollo", paper="apollo", defaults=_QUARTER, fixed={"proj": "svd"},
)  # fmt: skip
_register(
    "apollo-mini", APOLLOMini, _LR, "The gradient times one scale per matrix, from moments of rank 1",
    routing="apollo-mini", paper="apollo",
)  # fmt: skip
_register(
    "frugal", FRUGAL, _GAP, "AdamW on a random quarter of the columns, the sign of the gradient on the rest",
    routing="frugal", paper="frugal",
)  # fmt: skip
_register(
    "frugal-block", FRUGAL, _GAP, "AdamW on a quarter of the matrices, the sign of the gradient on the rest",
    routing="frugal", paper="frugal", defaults=_DESCENDING, fixed={"subspace": "block"},
)  # fmt: skip
_register(
    "galore", GaLore, _LR, "Adam in the subspace of the leading singular vectors (arXiv 2403.03507)",
    routing="galore", defaults=_QUARTER,
)  # fmt: skip
_register(
    "fira", Fira, _LR, "GaLore plus the rest of the gradient, scaled alike (arXiv 2410.01623)",
    routing="fira", defaults=_QUARTER,
)  # fmt: skip
_register(
    "badam", BAdam, _TURN, "Adam on one layer at a time (arXiv 2404.02827)",
    routing="badam",
)  # fmt: skip
