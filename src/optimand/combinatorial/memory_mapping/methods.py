"""Catalog entries of the family ``memory-mapping``: functions of a game and random numbers that return an iterator.

The game of one run has a limit of moves; a solver goes on until it is reached, or until it has nothing more to try.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float, Int

if TYPE_CHECKING:
    from .loop import Task

PAPER = "malloc-muzero"


def _solver(name: str, task: Task, **options: Any) -> Iterator[Any]:
    from .heuristics import get_solver

    found: Iterator[Any] = get_solver(name)(task.game, task.rng, **options)
    return found


@method("xla-like", family="memory-mapping")
def xla_like(task: Task) -> Iterator[Any]:
    """XLA's heuristic: buffers by benefit over the root of their size, whole lifetimes first, then prefetches."""
    return _solver("xla", task)


@method("memory-greedy", family="memory-mapping")
def memory_greedy(task: Task) -> Iterator[Any]:
    """Fast memory whenever it is legal, in program order."""
    return _solver("greedy", task)


@method("first-fit", family="memory-mapping")
def first_fit(task: Task) -> Iterator[Any]:
    """Whole lifetimes at the lowest free address, in program order."""
    return _solver("first-fit", task)


@method("best-fit", family="memory-mapping")
def best_fit(task: Task) -> Iterator[Any]:
    """Whole lifetimes in the tightest gap, the largest buffers first."""
    return _solver("best-fit", task)


@method("random-mapping", family="memory-mapping")
def random_mapping(task: Task) -> Iterator[Any]:
    """The best of uniformly random episodes."""
    return _solver("random", task)


@method("noisy-greedy", family="memory-mapping", space={"noise": Float(0.01, 0.5, log=True)})
def noisy_greedy(task: Task, *, noise: float = 0.1) -> Iterator[Any]:
    """The best of greedy episodes with some random decisions."""
    return _solver("noisy-greedy", task, noise=noise)


@method("memory-beam", family="memory-mapping", space={"width": Choice(32, 128, 512)})
def memory_beam(task: Task, *, width: int = 128) -> Iterator[Any]:
    """Beam search on the time so far, its width doubled while moves last."""
    return _solver("beam", task, width=width)


@method("memory-evolution", family="memory-mapping", space={"buffer_probability": Float(0.05, 0.8)})
def memory_evolution(task: Task, *, buffer_probability: float = 0.3) -> Iterator[Any]:
    """A (1+1) evolution of strings of fast and slow, from XLA's heuristic and from all fast."""
    return _solver("evolution", task, buffer_probability=buffer_probability)


@method("memory-portfolio", family="memory-mapping")
def memory_portfolio(task: Task) -> Iterator[Any]:
    """All heuristics in turn, then evolution from the best of them."""
    return _solver("portfolio", task)


@method("cp-sat", family="memory-mapping")
def cp_sat(task: Task, *, effort: float = 20.0) -> Iterator[Any]:
    """Constraint programming (OR-tools), within a deterministic effort, and a short evolution: few moves."""
    return _solver("cp-sat", task, seconds=math.inf, effort=effort)


@method(
    "memory-mcts",
    family="memory-mapping",
    paper=PAPER,
    space={"simulations": Int(8, 64, log=True), "temperature": Float(0.1, 1.0, log=True)},
)
def memory_mcts(task: Task, *, simulations: int = 32, temperature: float = 1.0) -> Any:
    """Tree search on the game itself, its leaves valued by random playouts; nothing is learned."""
    from .muzero import mcts

    return mcts(task.game, task.rng, simulations=simulations, temperature=temperature)


@method(
    "malloc-muzero",
    family="memory-mapping",
    paper=PAPER,
    space={"simulations": Int(8, 64, log=True), "lr": Float(3e-4, 3e-3, log=True)},
)
def malloc_muzero(task: Task, *, simulations: int = 16, lr: float = 1e-3, local_share: float = 0.5) -> Any:
    """Tree search on the game itself with a network that it trains: demonstrations, self-play, local search."""
    from .muzero import muzero

    return muzero(task.game, task.rng, simulations=simulations, lr=lr, local_share=local_share)


@method(
    "malloc-muzero-learned",
    family="memory-mapping",
    paper=PAPER,
    space={"simulations": Int(8, 64, log=True), "lr": Float(3e-4, 3e-3, log=True)},
)
def malloc_muzero_learned(task: Task, *, simulations: int = 16, lr: float = 1e-3, local_share: float = 0.5) -> Any:
    """MuZero as its family defines it: the tree steps a learned model of the game."""
    from .muzero import muzero_learned

    return muzero_learned(task.game, task.rng, simulations=simulations, lr=lr, local_share=local_share)
