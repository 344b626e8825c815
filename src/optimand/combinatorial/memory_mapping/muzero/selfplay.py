"""Playing episodes with search, several side by side, each with a random stream of its own.

An episode depends on its seed, the network and the board, and not on what is played beside it, so that lanes can be
spread over processes without changing a result.
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
from ..game.observations import GRID, write_grid
from .features import DYNAMIC, write_features
from .replay import Episode, Replay
from .search.board import Board, begin, blank_states, decide, is_over, keep_best, saved
from .search.exact import ExactSearch
from .search.learned import ModelNets, ModelSearch, Outcome
from .search.rules import make_rule
from .settings import Settings


@compiled(error_model="numpy")
def observe_all(board: Board, which: NDArray, ints: NDArray, floats: NDArray, x: NDArray, grids: NDArray) -> None:
    """Features, and grids where there is room for them, of states that are decisions."""
    for r in range(which.shape[0]):
        g = which[r]
        write_features(board.p[g], board.q[g], ints[r], floats[r], board.table[g], board.later[g], x[r])
        if grids.shape[0] > 0:
            write_grid(board.p[g], ints[r], grids[r])


@compiled(error_model="numpy")
def decide_all(
    board: Board, which: NDArray, ints: NDArray, floats: NDArray, actions: NDArray, rewards: NDArray
) -> bool:
    """Play a decision in each state; False where the moves ran out."""
    for r in range(which.shape[0]):
        g = which[r]
        before = saved(board.q[g], ints[r], floats[r])
        if not decide(board.p[g], board.q[g], ints[r], floats[r], actions[r], board.moves[g : g + 1]):
            return False
        rewards[r] = saved(board.q[g], ints[r], floats[r]) - before
        if is_over(board.p[g], ints[r]):
            keep_best(board, g, ints[r], floats[r])
    return True


@dataclass
class _Lane:
    """An episode that is being played."""

    program: int
    rng: np.random.Generator
    features: list[NDArray] = field(default_factory=list)
    grids: list[NDArray] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    policies: list[NDArray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    roots: list[float] = field(default_factory=list)

    def add(
        self, x: NDArray, action: int, policy: NDArray, reward: float, root: float | None = None, *, grids: NDArray
    ) -> None:
        """Note a decision; ``grids`` holds its grid or nothing."""
        self.features.append(x)
        self.actions.append(action)
        self.policies.append(policy)
        self.rewards.append(reward)
        self.roots += [] if root is None else [root]
        self.grids += list(grids)

    def episode(self, features: int) -> Episode:
        count = len(self.actions)
        return Episode(
            self.program,
            np.array(self.features, np.float32).reshape(count, features),
            np.array(self.actions, np.int8),
            np.array(self.policies, np.float32).reshape(count, 2),
            np.array(self.rewards, np.float32),
            np.array(self.roots, np.float32) if self.roots else np.zeros(count, np.float32),
            np.packbits(np.array(self.grids, np.uint8).reshape(count, -1), axis=1) if self.grids else None,
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
        rule = make_rule(settings.root, settings.simulations, scale_by=settings.scale_by)
        blend = 1.0 if settings.model == "none" else settings.blend
        self.exact = ExactSearch(rule, settings.simulations, blend=blend, grid=settings.grid)
        self.learned = ModelSearch(rule, settings.simulations)
        self.features = board.table.shape[2] + DYNAMIC

    def search(
        self,
        net: Any,
        which: NDArray[np.int64],
        ints: NDArray,
        floats: NDArray,
        x: NDArray,
        playouts: NDArray[np.uint64],
        gumbel: NDArray,
        noise: NDArray | None,
    ) -> Outcome | None:
        """Search from states; None where the moves ran out."""
        if isinstance(net, ModelNets):
            legal = np.ones((len(which), 2), np.bool_)
            return self.learned.run(net, x, legal, gumbel, noise=noise, share=self.settings.noise_share)
        share = self.settings.noise_share if noise is not None else 0.0
        return self.exact.run(self.board, which, ints, floats, net, playouts, gumbel=gumbel, noise=noise, share=share)

    def play(
        self, net: Any, which: list[int], seeds: list[int], *, temperature: float = 1.0, explore: bool = True
    ) -> list[Episode] | None:
        """Play one episode for each entry of ``which``, side by side.

        Args:
            net: a packed network, an evaluator, or None.
            which: the program of each episode.
            seeds: of each episode.
            temperature: of the actions; with Gumbel roots, of the noise.
            explore: False plays what the search proposes, without noise.

        Returns:
            The episodes, or None where the moves of a program ran out.
        """
        playing = self.start(which, seeds, temperature=temperature, explore=explore)
        while not self.over(playing):
            if not self.advance(net, playing):
                return None
        return self.episodes(playing)

    def start(self, which: list[int], seeds: list[int], *, temperature: float = 1.0, explore: bool = True) -> Play:
        """Begin the episodes of :meth:`play`; the forced moves before the first decisions are counted."""
        board = self.board
        lanes = [_Lane(g, np.random.default_rng(seed)) for g, seed in zip(which, seeds, strict=True)]
        playouts = np.array([lane.rng.integers(2**63) for lane in lanes], np.uint64)
        ints, floats = blank_states(board, len(lanes))
        for r, lane in enumerate(lanes):
            begin(board, lane.program, ints[r], floats[r])
            if is_over(board.p[lane.program], ints[r]):
                keep_best(board, lane.program, ints[r], floats[r])
        return Play(lanes, ints, floats, playouts, temperature, explore)

    def over(self, playing: Play) -> bool:
        """Whether all episodes have ended."""
        return not self._alive(playing)

    def episodes(self, playing: Play) -> list[Episode]:
        """What was played."""
        return [lane.episode(self.features) for lane in playing.lanes]

    def _alive(self, playing: Play) -> list[int]:
        p = self.board.p
        return [r for r, lane in enumerate(playing.lanes) if not is_over(p[lane.program], playing.ints[r])]

    def advance(self, net: Any, playing: Play) -> bool:
        """Search and decide once in each episode that goes on; False where the moves of a program ran out."""
        board, settings, lanes = self.board, self.settings, playing.lanes
        gumbel_root = settings.root == "gumbel"
        alive = self._alive(playing)
        index = np.array(alive, np.int64)
        programs = np.array([lanes[r].program for r in alive], np.int64)
        s, f, u = playing.ints[index], playing.floats[index], playing.playouts[index]
        x = np.zeros((len(alive), self.features), np.float32)
        grids = np.zeros((len(alive) if settings.grid else 0, GRID, GRID), np.uint8)
        observe_all(board, programs, s, f, x, grids)
        gumbel, noise = np.zeros((len(alive), 2)), None
        if playing.explore and gumbel_root:
            gumbel = playing.temperature * np.array([lanes[r].rng.gumbel(size=2) for r in alive])
        elif playing.explore:
            noise = np.array([lanes[r].rng.dirichlet((settings.noise, settings.noise)) for r in alive])
        outcome = self.search(net, programs, s, f, x, u, gumbel, noise)
        if outcome is None:
            return False
        actions = outcome.actions
        if playing.explore and not gumbel_root:
            draws = np.array([lanes[r].rng.random() for r in alive])
            actions = (draws < sharpened(outcome.policies, playing.temperature)).astype(np.int64)
        rewards = np.zeros(len(alive))
        if not decide_all(board, programs, s, f, actions, rewards):
            return False
        playing.ints[index], playing.floats[index], playing.playouts[index] = s, f, u
        for j, r in enumerate(alive):
            lanes[r].add(
                x[j], int(actions[j]), outcome.policies[j], rewards[j], outcome.values[j], grids=grids[j : j + 1]
            )
        return True

    def reanalyse(self, net: Any, replay: Replay, at: NDArray[np.int64], rng: np.random.Generator) -> bool:
        """Search stored decisions again and replace their policies and root values; False where the moves ran out.

        Decisions whose episode has lost its beginning are left as they are: the game cannot be brought to them.
        """
        board, arrays = self.board, replay.arrays
        ints, floats = blank_states(board, len(at))
        usable = np.ones(len(at), np.bool_)
        for row, index in enumerate(at if self.settings.model == "exact" else ()):
            actions, g = replay.prefix(int(index)), int(arrays["programs"][index])
            if actions is None:
                usable[row] = False
                continue
            begin(board, g, ints[row], floats[row])
            for action in actions:
                if not decide(board.p[g], board.q[g], ints[row], floats[row], int(action), board.moves[g : g + 1]):
                    return False
        at, ints, floats = at[usable], ints[usable], floats[usable]
        if not len(at):
            return True
        which = arrays["programs"][at].astype(np.int64)
        playouts = rng.integers(2**63, size=len(at)).astype(np.uint64)
        outcome = self.search(net, which, ints, floats, arrays["features"][at], playouts, np.zeros((len(at), 2)), None)
        if outcome is not None:
            arrays["policies"][at], arrays["roots"][at] = outcome.policies, outcome.values
        return outcome is not None


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


def episode_of(
    board: Board, g: int, fast: NDArray, *, grid: bool = False
) -> tuple[float, NDArray[np.int8], Episode] | None:
    """Time, decisions and episode of an action string, its actions as the policy; None where the moves ran out."""
    lane = _Lane(g, np.random.default_rng(0))
    which = np.array([g], np.int64)
    ints, floats = blank_states(board, 1)
    begin(board, g, ints[0], floats[0])
    held_time, held = board.best_time[g], board.best[g].copy()  # the string is not the agent's
    rewards = np.zeros(1)
    while ints[0, ix.POSITION] < board.p[g, ix.R]:
        x = np.zeros((1, board.table.shape[2] + DYNAMIC), np.float32)
        grids = np.zeros((int(grid), GRID, GRID), np.uint8)
        observe_all(board, which, ints, floats, x, grids)
        action = int(fast[ints[0, ix.POSITION]])
        if not decide_all(board, which, ints, floats, np.array([action]), rewards):
            return None
        lane.add(x[0], action, np.eye(2)[action], float(rewards[0]), grids=grids)
    board.best_time[g], board.best[g] = held_time, held
    episode = lane.episode(board.table.shape[2] + DYNAMIC)
    episode.roots = episode.returns
    time = float("inf") if ints[0, ix.FAILED] else float(floats[0, ix.TIME])
    return time, ints[0, ix.DECISIONS : ix.DECISIONS + int(board.p[g, ix.R])].astype(np.int8), episode
