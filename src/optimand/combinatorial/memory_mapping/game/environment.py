"""The mallocGame (arXiv:2305.07440) as a Gymnasium environment, ``optimand/MallocGame-v0``.

The package :mod:`optimand.combinatorial.memory_mapping` registers that name when it is imported after Gymnasium;
otherwise its ``register_environment()`` does.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from . import observations
from .hardware import Hardware
from .program import MemoryProgram, tiny_program
from .simulator import Game, Snapshot

Observation = dict[str, NDArray[Any]]


class MallocGameEnv(gymnasium.Env[Any, Any]):
    """A program on a machine as an environment.

    Observations are dictionaries of ``references``, ``memory``, ``scalars`` and ``action_mask``, see
    :func:`.observations.observe`. ``info`` has ``action_mask`` (int8, as ``Discrete.sample`` takes it), ``time`` and
    ``position``; after the last step also ``speedup``.

    Args:
        program: what is mapped; the tiny program by default.
        hardware: the machine; the tiny one by default.
        normalize: rewards as shares of the all-slow time instead of seconds.
        illegal: ``error`` raises; ``penalty`` takes the nearest legal action (DROP where it is legal) and lowers the
            reward by ``penalty``, which the return then differs by from the time that was saved.
        penalty: share of the all-slow time.

    Raises:
        TypeError, ValueError: an argument is unfit.

    Example:
        >>> import gymnasium
        >>> from optimand.combinatorial.memory_mapping import Hardware, register_environment, tiny_program
        >>> register_environment()
        >>> env = gymnasium.make("optimand/MallocGame-v0", program=tiny_program(), hardware=Hardware.preset("tiny"))
        >>> observation, info = env.reset(seed=0)
        >>> info["action_mask"].tolist(), observation["memory"].shape
        ([1, 1, 0], (64, 64))
        >>> rewards = [env.step("DNC".index(a))[1] for a in "DDNDDNNNDNDND"]
        >>> round(sum(rewards), 9)
        17.6
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's form)

    def __init__(
        self,
        program: MemoryProgram | None = None,
        hardware: Hardware | None = None,
        *,
        normalize: bool = False,
        illegal: str = "error",
        penalty: float = 0.01,
        render_mode: str | None = None,
    ) -> None:
        program = tiny_program() if program is None else program
        hardware = Hardware.preset("tiny") if hardware is None else hardware
        self.game = Game(program, hardware)
        self.illegal = check_choice("illegal", illegal, ("error", "penalty"))
        self.penalty = check_number("penalty", penalty, low=0) * self.game.all_slow_time
        self.render_mode = check_choice("render_mode", render_mode, (None, "rgb_array"))
        self._unit = self.game.all_slow_time if normalize else 1.0
        self._started = False
        self.action_space = spaces.Discrete(3)
        rows = 2 * observations.WINDOW + 1
        self.observation_space = spaces.Dict(
            {
                "references": spaces.Box(-1.0, 2.0, (rows, observations.COLUMNS), np.float32),
                "memory": spaces.Box(0, 1, (observations.GRID, observations.GRID), np.int8),
                "scalars": spaces.Box(0.0, 2.0, (observations.SCALARS,), np.float32),
                "action_mask": spaces.Box(0, 1, (3,), np.int8),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; nothing in the game is random."""
        super().reset(seed=seed)
        self.game.reset()
        self._started = True
        return self._look()

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide a reference.

        Raises:
            OptimandError: there was no reset, or the episode is over.
            ValueError: the action is illegal (mode ``error``) or none of the three.
        """
        if not self._started or self.game.done:
            raise OptimandError("call reset before the first step and after the end of an episode")
        action = check_int("action", action, low=0, high=2)
        legal, lost = self.game.legal(), 0.0
        if self.illegal == "penalty" and not legal[action]:
            action, lost = int(np.flatnonzero(legal)[0]), self.penalty
        reward = (self.game.step(action) - lost) / self._unit
        observation, info = self._look()
        info["illegal"] = lost > 0
        return observation, float(reward), self.game.done, False, info

    def snapshot(self) -> Snapshot:
        """The state, bit for bit."""
        return self.game.snapshot()

    def restore(self, snapshot: Snapshot) -> tuple[Observation, dict[str, Any]]:
        """Return to a state; its observation and info."""
        self.game.restore(snapshot)
        self._started = True
        return self._look()

    def render(self) -> Any:
        """The observed part of the fast memory: instructions to the right, addresses upwards, free parts white."""
        if self.render_mode is None:
            return None
        memory = self._look()[0]["memory"]
        image = np.where(memory.T[::-1], np.uint8(70), np.uint8(255)).repeat(4, 0).repeat(4, 1)
        return np.stack([image] * 3, axis=-1)

    def _look(self) -> tuple[Observation, dict[str, Any]]:
        """The observation of the state, and what is told besides."""
        references, memory, scalars, mask = observations.make_room()
        game = self.game
        observations.observe(game.P, game.Q, game.S, game.F, references, memory, scalars, mask)
        info: dict[str, Any] = {"action_mask": mask.copy(), "time": game.time, "position": game.position}
        if game.done:
            info["speedup"] = game.all_slow_time / game.time
        return {"references": references, "memory": memory, "scalars": scalars, "action_mask": mask}, info
