"""A worker as the caller sees it: a process at the other end of a socket."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .inside import folders, frames
from .isolation import Isolation
from .results import SandboxError

_HERE = Path(__file__).parent
_START = """import sys
sys.path.insert(0, sys.argv[2])
from inside import keeper
sys.path.pop(0)
keeper.main(int(sys.argv[1]))
"""
_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
_GRACE = 15.0


class WorkerDied(Exception):  # noqa: N818 (what happened)
    """The worker ended, or did not answer in time."""


class Worker:
    """A running keeper with its supervisor.

    Args:
        base: folder in which the worker's own is made.
        config: what the keeper is told: packages to import, layers to leave out, size of the scratch folder.
    """

    def __init__(self, base: str, config: dict[str, Any]) -> None:
        self.token = secrets.token_hex(16)
        self.folder = os.path.join(base, self.token[:12])
        os.mkdir(self.folder, 0o700)
        self._sock, theirs = socket.socketpair()
        environment = {
            **{f"{name}_NUM_THREADS": "1" for name in _LIBRARIES}, "VECLIB_MAXIMUM_THREADS": "1",
            "LANG": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONHASHSEED": "0", "PATH": "", "OPTIMAND_SANDBOX": self.token,
        }  # fmt: skip
        try:
            # -s and -P are what -I is with an environment that is ours; -I would also drop the seed of hashes
            with open(os.path.join(base, f"{self.token[:12]}.log"), "wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-s", "-P", "-c", _START, str(theirs.fileno()), str(_HERE)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=environment,
                    cwd=base,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            self._sock.close()
            folders.remove(self.folder)
            raise
        finally:
            theirs.close()
        try:
            self._sock.settimeout(60.0)
            frames.send(self._sock, {**config, "folder": self.folder})
            self.hello, _ = frames.receive(self._sock)
        except BaseException as error:
            self.close()
            told = self._log(base)
            if isinstance(error, OSError):
                raise SandboxError(f"the sandbox's process did not start: {told or error}") from None
            raise
        self._log(base)
        self.isolation = Isolation.of(self.hello)

    def _log(self, base: str) -> str:
        """What the process wrote about its own failure; the file goes."""
        path = Path(base, f"{self.token[:12]}.log")
        text = ""
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")[-500:].strip()
            path.unlink()
        return text

    @property
    def alive(self) -> bool:
        """Whether it can take another program."""
        return self._process.poll() is None and self._sock.fileno() >= 0

    def run(self, job: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Run a program; WorkerDied where no answer comes."""
        self._sock.settimeout(job["wall_s"] + _GRACE)
        try:
            frames.send(self._sock, job)
            answer = frames.receive(self._sock)
        except (OSError, ValueError) as error:
            raise WorkerDied(str(error)) from None
        if not answer[0]["clean"]:
            self.close()
        return answer

    def close(self) -> None:
        """End it with all below it, and remove its folder."""
        with contextlib.suppress(OSError):  # closing alone would not wake a thread that reads
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()  # its supervisor sees this, kills what runs and ends
        graceful = True
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            graceful = False
        if not graceful or self._process.returncode != 0:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._sweep()
        folders.remove(self.folder)

    def forget(self) -> None:
        """In a fork of the caller: drop what belongs to the caller, leaving the worker alone."""
        self._sock.close()
        self._process.returncode = 0

    def _sweep(self) -> None:
        """Kill what a program left behind after it had killed its keepers: found by the mark in its environment."""
        mark = f"OPTIMAND_SANDBOX={self.token}".encode()
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            found = False
            with contextlib.suppress(OSError):
                for name in os.listdir("/proc"):
                    if name.isdigit():
                        with contextlib.suppress(OSError):
                            if mark in Path("/proc", name, "environ").read_bytes():
                                os.kill(int(name), signal.SIGKILL)
                                found = True
            if not found:
                return
            time.sleep(0.005)
