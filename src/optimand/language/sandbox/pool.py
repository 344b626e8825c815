"""Workers in waiting."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from .inside import folders
from .results import SandboxError
from .worker import Worker


class Pool:
    """Workers in waiting, at most ``size``; with 0, one for each program."""

    def __init__(self, size: int, config: dict[str, Any]) -> None:
        self._size, self._config = size, config
        self._turn = threading.BoundedSemaphore(size) if size else None
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._owner = os.getpid()
        self.closed = False
        self._base = ""

    def _adapt(self) -> None:
        """In a fork of the process that made the pool: begin with nothing, and leave its workers to it."""
        if os.getpid() != self._owner:
            for worker in (*self._idle, *self._busy):
                worker.forget()
            closed = self.closed
            self.__init__(self._size, self._config)  # type: ignore[misc]
            self.closed = closed

    @contextlib.contextmanager
    def worker(self) -> Iterator[Worker]:
        """A worker for one program."""
        self._adapt()
        with self._turn or contextlib.nullcontext():
            worker = self._take()
            try:
                yield worker
            except BaseException:
                with self._lock:
                    self._busy.discard(worker)
                worker.close()
                raise
            with self._lock:
                self._busy.discard(worker)
                keep = bool(self._size) and worker.alive and not self.closed
                if keep:
                    self._idle.append(worker)
            if not keep:
                worker.close()

    def _take(self) -> Worker:
        while True:
            with self._lock:
                if self.closed:
                    raise SandboxError("the sandbox is closed")
                if not self._base:
                    self._base = tempfile.mkdtemp(prefix="optimand-sandbox-")
                worker = self._idle.pop() if self._idle else None
                base = self._base
            if worker is None:
                os.makedirs(base, 0o700, exist_ok=True)
                worker = Worker(base, self._config)
                if worker.hello["failures"]:
                    worker.close()
                    raise SandboxError(_not_preloaded(worker.hello["failures"]))
            with self._lock:
                if worker.alive and not self.closed:
                    self._busy.add(worker)
                    return worker
                closed = self.closed
            worker.close()
            if closed:  # after close() removed it
                folders.remove(base)

    def close(self) -> None:
        """End everything."""
        self._adapt()
        with self._lock:
            self.closed = True
            workers = [*self._idle, *self._busy]
            self._idle.clear()
            base = self._base
        for worker in workers:
            worker.close()
        if base:
            folders.remove(base)


def _not_preloaded(failures: Mapping[str, str]) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in failures.items())
    missing = [name for name, why in failures.items() if why.startswith("ModuleNotFoundError")]
    hint = f"; install with: python -m pip install {' '.join(missing)}" if missing else ""
    return f"preload: a worker cannot import {told}{hint}"
