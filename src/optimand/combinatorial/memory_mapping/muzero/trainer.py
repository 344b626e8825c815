"""The agent on one or several games: rounds of self-play and training, with help from outside."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int

from ..game.simulator import Game
from .features import DYNAMIC
from .improving import Outside
from .incumbents import Best, Incumbents
from .replay import Episode, Replay
from .search.board import make_board
from .selfplay import Play, Player
from .settings import Settings

# Attributes that a state holds as they are.
_KEPT = ("seed", "turn", "begun", "waiting", "searched", "playing")


@dataclass(frozen=True)
class Round:
    """What a round did: its number, the mean return of the episodes, the mean loss, and the best times per game."""

    turn: int
    mean_return: float
    loss: float
    times: tuple[float, ...]


class Trainer:
    """mallocMuZero on games.

    Args:
        games: one game, or several; they keep the best trajectories and count all moves, those of the local search
            included.
        seed: of everything random.
        settings: see :class:`Settings`; further settings by name change them.

    Raises:
        TypeError, ValueError, OptimandError: bad settings.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program
        >>> game = Game(tiny_program(), Hardware.preset("tiny"))
        >>> trainer = Trainer(game, seed=0, model="none", root="puct", local_share=0, demonstrations=False)
        >>> for _ in range(3):
        ...     report = trainer.round()
        >>> round(50 - trainer.best[0].times["agent"], 9)
        17.6
    """

    def __init__(
        self, games: Game | Sequence[Game], seed: int = 0, settings: Settings | None = None, **changes: Any
    ) -> None:
        self.games = _as_games(games)
        self.settings = Settings.of(settings, **changes)
        self.seed = check_int("seed", seed, low=0)
        self.board = make_board([(game.P, game.Q) for game in self.games], position=self.settings.position)
        self.features = self.board.table.shape[2] + DYNAMIC
        self.player = Player(self.board, self.settings)
        self.replay = Replay(self.settings.replay, self.features)
        self.learner = self._make_learner()
        self.rng = np.random.default_rng([self.seed, 0])
        self.turn = 0
        self.begun = False
        self.waiting: list[tuple[int, NDArray[np.bool_]]] | None = None  # demonstrations; None before the first
        self.searched = 0  # moves of searches that the local search may still match
        self.incumbents = Incumbents(self.games, self.board)
        self.outside = Outside(self.incumbents, self.replay, self.settings)
        self.playing: Play | None = None  # the episodes of a round that has not ended
        self._packed: Any = None  # the network of this round as the searches want it

    @property
    def best(self) -> list[Best]:
        """For each game, who found what."""
        return self.incumbents.best

    def rounds(self, count: int | None = None) -> Iterator[Round]:
        """Rounds until ``count`` were made, or without end; MovesSpent ends them where a game has a limit."""
        made = 0
        while count is None or made < count:
            yield self.round()
            made += 1

    def round(self) -> Round:
        """Play, learn and improve once; finishes a round that was begun.

        Raises:
            MovesSpent: a game's limit is reached; what was found until then is kept.
        """
        while True:
            report = self.step()
            if report is not None:
                return report

    def step(self) -> Round | None:
        """A unit of a round: a demonstration, or a decision in each lane; the last one learns and ends the round.

        Between units, ``state_dict`` holds what was played so far.

        Returns:
            The report of a round that ended, else None.

        Raises:
            MovesSpent: a game's limit is reached; what was found until then is kept.
        """
        if not self.begun:
            self._begin()
            return None
        lanes, turn = self.settings.lanes, self.turn
        which = [(turn * lanes + lane) % len(self.games) for lane in range(lanes)]  # the games in turn
        self.incumbents.open()
        if self.playing is None:
            seeds = [_seed(self.seed, 1, turn, lane) for lane in range(lanes)]
            self.playing = self.player.start(which, seeds, temperature=self.settings.temperature_at(turn))
        complete = not self.player.alive(self.playing) or self.player.advance(self._net(), self.playing)
        self.searched += self.incumbents.close(complete)
        if self.player.alive(self.playing):
            return None
        episodes, self.playing = self.player.episodes(self.playing), None
        return self._finish(which, episodes)

    def _finish(self, which: list[int], episodes: list[Episode]) -> Round:
        """Learn from a round's episodes and improve the best strings."""
        for episode in episodes:
            self.replay.add(episode)
        loss = float("nan")
        if self.learner:
            loss = self.learner.update(self.settings.updates * len(which), self.rng)
        self._packed = None
        self.turn += 1
        if self.settings.local_share:
            moves, self.searched = self.settings.local_share * self.searched, 0
            self.outside.climb(sorted(set(which)), moves, self.rng)
        self.outside.steer(self.settings.guide_rate)
        returns = [float(episode.rewards.sum()) for episode in episodes]
        return Round(self.turn - 1, float(np.mean(returns)), loss, tuple(best.time for best in self.best))

    def evaluate(self, games: Game | Sequence[Game] | None = None) -> list[float]:
        """The return of one episode of each game without noise, relative to the all-slow time.

        Args:
            games: those of the training, or others that the network was not trained on; only for a network that is
                not told the position do they make sense.

        Raises:
            MovesSpent: a game's limit is reached.
        """
        incumbents = self.incumbents
        if games is not None:
            others = _as_games(games)
            board = make_board([(game.P, game.Q) for game in others], position=self.settings.position)
            incumbents = Incumbents(others, board)
        player = Player(incumbents.board, self.settings)
        incumbents.open()
        net, count = self.learner.packed() if self.learner else None, len(incumbents.games)
        playing = player.start(list(range(count)), [_seed(self.seed, 2, g, 0) for g in range(count)], explore=False)
        complete = True
        while complete and player.alive(playing):
            complete = player.advance(net, playing)
        incumbents.close(complete)
        return [float(episode.rewards.sum()) for episode in player.episodes(playing)]

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that a continuation needs; it can be pickled or given to ``torch.save``."""
        return {
            **{name: copy.deepcopy(getattr(self, name)) for name in _KEPT},
            "settings": asdict(self.settings),
            "rng": copy.deepcopy(self.rng.bit_generator.state),
            "guide": self.board.guide.copy(),
            "best": copy.deepcopy(self.best),
            "replay": self.replay.state_dict(),
            "learner": copy.deepcopy(self.learner.state_dict()) if self.learner else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another trainer of the same games, seed and settings was.

        Raises:
            OptimandError: the settings differ.
        """
        mine, theirs = asdict(self.settings), dict(state["settings"])
        different = [name for name in mine if mine[name] != theirs.get(name)]
        if different or len(state["best"]) != len(self.best):
            what = ", ".join(different) or "the number of games"
            raise OptimandError(f"the state is of a trainer with other settings: {what}")
        kept = {"waiting": None, **state}  # the only one that an older state may lack
        vars(self).update({name: copy.deepcopy(kept[name]) for name in _KEPT})
        self._packed = None
        self.rng.bit_generator.state = copy.deepcopy(state["rng"])
        self.board.guide[:] = state["guide"]
        self.replay.load_state_dict(state["replay"])
        if self.learner:
            self.learner.load_state_dict(copy.deepcopy(state["learner"]))
        self.incumbents.load(state["best"])

    # --- inside ----------------------------------------------------------------------------------------------------

    def _make_learner(self) -> Any:
        if self.settings.model == "none":
            return None
        from .training import Learner, make_net

        net = make_net(self.features, self.settings, _seed(self.seed, 3, 0, 0) % 2**31)
        return Learner(net, self.replay, self.settings)

    def _net(self) -> Any:
        """The network as the searches want it; packed once between two trainings."""
        if self._packed is None and self.learner:
            self._packed = self.learner.packed()
        return self._packed

    def _begin(self) -> None:
        """A demonstration, and after the last one the first training on them."""
        if self.waiting is None:
            self.waiting = self.outside.strings(self.rng) if self.settings.demonstrations else []
        if self.waiting:
            self.outside.show(*self.waiting[0], source="demonstrations")
            del self.waiting[0]
        if self.waiting:
            return
        self.begun = True
        if not self.settings.demonstrations:
            return
        self.outside.steer(1.0)
        if self.learner:
            self.learner.update(self.settings.warmup, self.rng)


def _as_games(games: Game | Sequence[Game]) -> list[Game]:
    found = [games] if isinstance(games, Game) else list(games)
    if not found or not all(isinstance(game, Game) for game in found):
        raise TypeError(f"games must be a Game or a sequence of at least one, got {games!r}")
    return found


def _seed(*path: int) -> int:
    """A seed that is a function of integers."""
    return int(np.random.SeedSequence(path).generate_state(1, np.uint64)[0])
