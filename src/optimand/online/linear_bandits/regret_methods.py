"""Catalog entries of the family ``bandits`` that learn from features; arms without any get unit vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float

if TYPE_CHECKING:
    from ..bandits.family import BanditTask

PAPER = "sparse-misspecified-bandits"
ERROR = Float(0.0, 0.5)


@method("linucb", family="bandits", space={"regularisation": Float(0.01, 10.0, log=True), "misspecification": ERROR})
def linucb(
    task: BanditTask, *, confidence: float = 0.01, regularisation: float = 1.0, misspecification: float = 0.0
) -> Any:
    """LinUCB: the largest upper confidence bound of a linear model, wider by misspecification √t."""
    from .linucb import LinUCB

    return LinUCB(confidence=confidence, regularisation=regularisation, misspecification=misspecification)


@method("lin-ts", family="bandits", space={"scale": Float(0.1, 5.0, log=True)})
def lin_ts(task: BanditTask, *, scale: float = 1.0, regularisation: float = 1.0) -> Any:
    """Linear Thompson sampling: the best arm of a linear model drawn from the posterior."""
    from .linucb import LinTS

    return LinTS(scale=scale, regularisation=regularisation)


@method("phased-elimination", family="bandits", space={"misspecification": ERROR})
def phased_elimination(task: BanditTask, *, misspecification: float = 0.0) -> Any:
    """Phased elimination on G-optimal designs; O(eps √d) a pull under an error eps that it need not know."""
    from .phased import PhasedElimination

    return PhasedElimination(misspecification=misspecification)


@method(
    "sparse-net-commit",
    family="bandits",
    paper=PAPER,
    space={"eps": Float(0.05, 0.5, log=True), "share": Float(0.05, 0.8, log=True), "cover": Choice(False, True)},
)
def sparse_net_commit(
    task: BanditTask, *, s: int = 2, eps: float = 0.1, share: float = 0.3, cover: bool = False
) -> Any:
    """Pull the greedy arms of all s-sparse models up to eps (or centres of a cover), then the best arm for good."""
    from .commit import SparseNetCommit

    return SparseNetCommit(s=s, eps=eps, share=share, method="cover" if cover else "net")
