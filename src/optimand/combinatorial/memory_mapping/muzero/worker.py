"""A process that plays episodes: requests come pickled on its standard input, answers go to its standard output.

It ends when the input ends, and within half a second of its parent's death even in the middle of a search. Interrupts
from the keyboard are left to the parent. Run as ``python -m``, so that no user's script is imported again.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from typing import Any, BinaryIO


def watch_parent(parent: int) -> None:
    """End this process when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until the input ends: first a board with settings, then batches of episodes."""
    from .selfplay import Player

    player: Player | None = None
    while True:
        try:
            request = pickle.load(source)
        except EOFError:
            return
        try:
            if "board" in request:
                player = Player(request["board"], request["settings"])
                continue
            assert player is not None
            answer: Any = _play(player, request)
        except Exception as error:  # the parent raises it
            answer = error
        pickle.dump(answer, target, protocol=pickle.HIGHEST_PROTOCOL)
        target.flush()


def _play(player: Any, request: dict[str, Any]) -> dict[str, Any]:
    board = player.board
    board.moves[:], board.guide[:], board.best_time[:] = request["moves"], request["guide"], request["best_time"]
    episodes = player.play(request["net"], request["which"], request["seeds"], temperature=request["temperature"])
    better = board.best_time < request["best_time"]
    return {
        "episodes": episodes,
        "spent": request["moves"] - board.moves,
        "better": {int(g): (float(board.best_time[g]), board.best[g].copy()) for g in better.nonzero()[0]},
    }


def main() -> None:
    """Serve on standard input and output; whatever prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch_parent, args=(os.getppid(),), daemon=True).start()
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, target)
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    main()
