"""Processes that play episodes for a trainer; the same results whatever their number."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import weakref
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from .replay import Episode
from .search.board import Board
from .settings import Settings


class Workers:
    """N processes with a copy of the board each.

    Args:
        count: of processes, at least 1.
        board: the programs.
        settings: of the player.

    Attributes:
        processes: those that play.
    """

    def __init__(self, count: int, board: Board, settings: Settings) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "optimand.combinatorial.memory_mapping.muzero.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            )
            for _ in range(count)
        ]
        self._end = weakref.finalize(self, _end, self.processes)
        for process in self.processes:
            self._send(process, {"board": board, "settings": settings})

    def play(
        self, board: Board, net: Any, which: list[int], seeds: list[int], *, temperature: float
    ) -> list[Episode] | None:
        """What ``Player.play`` does, lanes spread over the processes; the board's moves and incumbents are updated.

        Raises:
            OptimandError: a process died.
        """
        parts = [part for part in np.array_split(np.arange(len(which)), len(self.processes)) if len(part)]
        # Each process may spend an equal share of what is left, so that all together stay within it.
        allowance = board.moves // len(parts)
        for process, part in zip(self.processes, parts, strict=False):
            request = {
                "net": net,
                "which": [which[i] for i in part],
                "seeds": [seeds[i] for i in part],
                "temperature": temperature,
                "moves": allowance,
                "guide": board.guide,
                "best_time": board.best_time.copy(),
            }
            self._send(process, request)
        episodes: list[Episode] = []
        complete = True
        for process in self.processes[: len(parts)]:
            answer = self._receive(process)
            np.subtract(board.moves, answer["spent"], out=board.moves)
            for g, (time, actions) in answer["better"].items():
                if time < board.best_time[g]:
                    board.best_time[g], board.best[g] = time, actions
            complete = complete and answer["episodes"] is not None
            episodes += answer["episodes"] or []
        return episodes if complete else None

    def close(self) -> None:
        """End the processes and wait for them."""
        self._end()

    def _send(self, process: subprocess.Popen, request: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            pickle.dump(request, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise OptimandError(f"a worker ended early (exit status {process.poll()})") from None

    def _receive(self, process: subprocess.Popen) -> dict[str, Any]:
        assert process.stdout is not None
        try:
            answer = pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise OptimandError(f"a worker ended early (exit status {process.wait()})") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
