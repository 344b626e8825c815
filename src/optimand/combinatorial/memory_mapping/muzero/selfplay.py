"""Playing episodes with search, several side by side, each with a random stream of its own.

An episode depends on its seed, the network and the board, and not on what is played beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

from ..game import arrays as ix
from ..game.episodes import play
from ..game.kernels import reset
from .features import DYNAMIC, write_features
from .replay import Episode
from .search.board import Board, begin, blank_states, decide, is_over, keep_best, saved
from .search.exact import ExactSearch
from .search.learned import ModelNets, ModelSearch
from .search.trees import make_rule
from .settings import Settings


@compiled(error_model="numpy")
def observe_all(board: Board, which: NDArray, ints: NDArray, floats: NDArray, x: NDArray) -> None:
    """Features of states that are decisions."""
    for r in range(which.shape[0]):
        g = which[r]
        write_features(board.p[g], board.q[g], ints[r], floats[r], board.table[g], board.later[g], x[r])


@compiled(error_model="numpy")
def decide_all(
    board: Board, which: NDArray, ints: NDArray, floats: NDArray, actions: NDArray, rewards: NDArray
) -> bool:
    """Play a decision in each state; False where the moves ran out."""
    for r in range(which.shape[0]):
        g = which[r]
        before = saved(board.q[g], floats[r])
        if not decide(board.p[g], board.q[g], ints[r], floats[r], actions[r], board.moves[g : g + 1]):
            return False
        rewards[r] = saved(board.q[g], floats[r]) - before
        if is_over(board.p[g], ints[r]):
            keep_best(board, g, ints[r], floats[r])
    return True


@dataclass
class _Lane:
    """An episode that is being played."""

    program: int
    rng: np.random.Generator
    decisions: list[tuple[NDArray, int, NDArray, float]] = field(default_factory=list)  # as in an Episode

    def episode(self, features: int) -> Episode:
        count = len(self.decisions)
        x, actions, policies, rewards = zip(*self.decisions, strict=True) if count else ((), (), (), ())
        return Episode(
            np.array(x, np.float32).reshape(count, features),
            np.array(actions, np.int8),
            np.array(policies, np.float32).reshape(count, 2),
            np.array(rewards, np.float32),
        )


@dataclass
class Play:
    """Episodes that are being played side by side: all that their continuation needs, and can be pickled."""

    lanes: list[_Lane]
    ints: NDArray[np.int64]  # (lanes, …), states
    floats: NDArray[np.float64]
    playouts: NDArray[np.uint64]  # (lanes,), states of the playouts' generators
    temperature: float
    explore: bool


class Player:
    """Plays episodes on a board.

    Args:
        board: the programs; its best trajectories and remaining moves are updated.
        settings: of search and exploration.
    """

    def __init__(self, board: Board, settings: Settings) -> None:
        self.board, self.settings = board, settings
        rule = make_rule(settings.root, settings.simulations)
        self.exact = ExactSearch(rule, settings.simulations, blend=1.0 if settings.model == "none" else settings.blend)
        self.learned = ModelSearch(rule, settings.simulations)
        self.features = board.table.shape[2] + DYNAMIC

    def start(self, which: list[int], seeds: list[int], *, temperature: float = 1.0, explore: bool = True) -> Play:
        """Begin one episode for each entry of ``which``; the forced moves before the first decisions are counted.

        Args:
            which: the program of each episode.
            seeds: of each episode.
            temperature: of the actions; with Gumbel roots, of the noise.
            explore: False plays what the search proposes, without noise.
        """
        board = self.board
        lanes = [_Lane(g, np.random.default_rng(seed)) for g, seed in zip(which, seeds, strict=True)]
        playouts = np.array([lane.rng.integers(2**63) for lane in lanes], np.uint64)
        ints, floats = blank_states(board, len(lanes))
        for r, lane in enumerate(lanes):
            begin(board, lane.program, ints[r], floats[r])
            if is_over(board.p[lane.program], ints[r]):
                keep_best(board, lane.program, ints[r], floats[r])
        return Play(lanes, ints, floats, playouts, temperature, explore)

    def episodes(self, playing: Play) -> list[Episode]:
        """What was played."""
        return [lane.episode(self.features) for lane in playing.lanes]

    def alive(self, playing: Play) -> list[int]:
        """The episodes that go on."""
        p = self.board.p
        return [r for r, lane in enumerate(playing.lanes) if not is_over(p[lane.program], playing.ints[r])]

    def advance(self, net: Any, playing: Play) -> bool:
        """Search and decide once in each episode that goes on; False where the moves of a program ran out.

        Args:
            net: packed, or None.
            playing: episodes, one at least that goes on.
        """
        board, settings, lanes = self.board, self.settings, playing.lanes
        gumbel_root = settings.root == "gumbel"
        alive = self.alive(playing)
        index = np.array(alive, np.int64)
        programs = np.array([lanes[r].program for r in alive], np.int64)
        s, f, u = playing.ints[index], playing.floats[index], playing.playouts[index]
        x = np.zeros((len(alive), self.features), np.float32)
        observe_all(board, programs, s, f, x)
        gumbel, noise = np.zeros((len(alive), 2)), None
        if playing.explore and gumbel_root:
            gumbel = playing.temperature * np.array([lanes[r].rng.gumbel(size=2) for r in alive])
        elif playing.explore:
            noise = np.array([lanes[r].rng.dirichlet((settings.noise, settings.noise)) for r in alive])
        options: dict[str, Any] = {"gumbel": gumbel, "noise": noise, "share": settings.noise_share}
        if isinstance(net, ModelNets):
            outcome = self.learned.run(net, x, **options)
        else:
            found = self.exact.run(board, programs, s, f, net, u, **options)
            if found is None:
                return False
            outcome = found
        actions = outcome.actions
        if playing.explore and not gumbel_root:
            draws = np.array([lanes[r].rng.random() for r in alive])
            actions = (draws < sharpened(outcome.policies, playing.temperature)).astype(np.int64)
        rewards = np.zeros(len(alive))
        if not decide_all(board, programs, s, f, actions, rewards):
            return False
        playing.ints[index], playing.floats[index], playing.playouts[index] = s, f, u
        for j, r in enumerate(alive):
            lanes[r].decisions.append((x[j], int(actions[j]), outcome.policies[j], rewards[j]))
        return True


def sharpened(policies: NDArray, temperature: float) -> NDArray:
    """The probability of the fast action in proportion to policy ** (1 / temperature)."""
    logs = np.log(np.maximum(policies, 1e-12)) / temperature
    return 1.0 / (1.0 + np.exp(np.clip(logs[:, 0] - logs[:, 1], -700.0, 700.0)))


def actions_of(board: Board, g: int, fast: NDArray) -> NDArray[np.int8]:
    """The decisions that an action string comes to; no moves are counted."""
    P, Q = board.p[g], board.q[g]
    (S,), (F,) = blank_states(board, 1)
    reset(P, Q, S, F)
    play(P, Q, S, F, np.asarray(fast, np.bool_), 2**62)
    return S[ix.DECISIONS : ix.DECISIONS + int(P[ix.R])].astype(np.int8)


def episode_of(board: Board, g: int, fast: NDArray) -> tuple[float, NDArray[np.int8], Episode] | None:
    """Time, decisions and episode of an action string, its actions as the policy; None where the moves ran out."""
    lane = _Lane(g, np.random.default_rng(0))
    features = board.table.shape[2] + DYNAMIC
    which = np.array([g], np.int64)
    ints, floats = blank_states(board, 1)
    begin(board, g, ints[0], floats[0])
    held_time, held = board.best_time[g], board.best[g].copy()  # the string is not the agent's
    rewards = np.zeros(1)
    while not is_over(board.p[g], ints[0]):
        x = np.zeros((1, features), np.float32)
        observe_all(board, which, ints, floats, x)
        action = int(fast[ints[0, ix.POSITION]])
        if not decide_all(board, which, ints, floats, np.array([action]), rewards):
            return None
        lane.decisions.append((x[0], action, np.eye(2)[action], float(rewards[0])))
    board.best_time[g], board.best[g] = held_time, held
    actions = ints[0, ix.DECISIONS : ix.DECISIONS + int(board.p[g, ix.R])].astype(np.int8)
    return float(floats[0, ix.TIME]), actions, lane.episode(features)
