"""Killing a program with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from .linux import LINUX


def descendants(root: int) -> list[int]:
    """All processes below one, from ``/proc``; those that left its group or session too, not the dead ones."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def send_group(pid: int, number: int) -> None:
    """A signal to a process group that may be gone, or not be one yet."""
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
    send(pid, number)


def reap() -> bool:
    """Collect children that have ended; whether any is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def kill_all(own_tree: bool, seconds: float = 5.0) -> bool:
    """Kill and collect everything below this process; whether it is all gone.

    Args:
        own_tree: this process is the first of a process namespace, so that one call reaches all.
        seconds: how long to try.
    """
    end = time.monotonic() + seconds
    while reap():
        if own_tree and os.getpid() == 1:
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
        elif LINUX:
            # stopped first: what forks while it is being killed would get away
            below = descendants(os.getpid())
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in below:
                    send(pid, number)
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True
