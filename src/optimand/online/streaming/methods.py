"""Catalog entries of the family ``streaming-bandits``; ``explore`` multiplies all numbers of pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float

from .. import streaming

if TYPE_CHECKING:
    from ..engine.contracts import Spec

PAPER = "streaming-bandits"
EXPLORE = Float(0.05, 5.0, log=True)


@method("uniform-explore", family=PAPER, space={"explore": EXPLORE})
def uniform_explore(spec: Spec, *, explore: float = 1.0) -> Any:
    """Uniform exploration: (T/K)^(2/3) (ln T)^(1/3) pulls of each arm, one arm stored."""
    return streaming.UniformExplore(explore)


@method("naive-eps-best", family=PAPER, paper=PAPER, space={"explore": EXPLORE})
def naive_eps_best(spec: Spec, *, explore: float = 1.0) -> Any:
    """Naive search for an eps-best arm: ln K (T/K)^(2/3) pulls of each arm, one arm stored."""
    return streaming.NaiveEpsBest(explore)


@method("tower-log", family=PAPER, paper=PAPER, space={"explore": EXPLORE})
def tower_log(spec: Spec, *, explore: float = 1.0) -> Any:
    """Tower of ln K levels with a champion each."""
    return streaming.TowerEpsBest("log", explore)


@method("tower-loglog", family=PAPER, paper=PAPER, space={"explore": EXPLORE})
def tower_loglog(spec: Spec, *, explore: float = 1.0) -> Any:
    """Tower of ln ln K levels, the last with ln K times the pulls."""
    return streaming.TowerEpsBest("loglog", explore)


@method("tower-logstar", family=PAPER, paper=PAPER, space={"explore": EXPLORE})
def tower_logstar(spec: Spec, *, explore: float = 1.0) -> Any:
    """Tower of log* K levels, whose pulls grow as a tower of powers."""
    return streaming.TowerEpsBest("logstar", explore)


@method("tower-theory", family=PAPER, paper=PAPER, space={"explore": Float(1e-4, 1.0, log=True)})
def tower_theory(spec: Spec, *, explore: float = 1.0, delta: float = 0.1) -> Any:
    """Tower with the constants of the proofs, which explore some thousand times more."""
    return streaming.TowerEpsBest("theory", explore, delta)


@method("king", family=PAPER, paper=PAPER, space={"explore": EXPLORE, "fallback": Choice(None, "fractional")})
def king(spec: Spec, *, explore: float = 1.0, fallback: str | None = None) -> Any:
    """A king with a budget and challengers, one arm stored (two with fallback=fractional)."""
    return streaming.KingEpsBest(fallback, explore)


@method("anytime-loglog", family=PAPER, space={"arms": Choice(25, 50, 100, 200), "explore": EXPLORE})
def anytime_loglog(spec: Spec, *, arms: int = 50, first: int = 5000, explore: float = 1.0) -> Any:
    """The loglog tower in epochs of doubling budget, which is not told the number of trials; not in the paper."""
    return streaming.AnytimeEpsBest(streaming.TowerEpsBest("loglog", explore), arms, first)
