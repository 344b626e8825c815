"""Where runs are executed: this machine's cores, or a Ray cluster."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from ..core.validation import OptimandError
from .runs import RunSpec, execute
from .store import Outcome

# Libraries read these once, when they are first imported, so they must stand before a worker's imports.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Executor(Protocol):
    """Runs what is submitted, ``jobs`` at a time."""

    jobs: int

    def submit(self, spec: RunSpec) -> None:
        """Queue a run."""

    def finished(self, timeout: float) -> list[tuple[RunSpec, Outcome | BaseException]]:
        """What has ended since the last call, waiting up to ``timeout`` seconds for something to end."""

    def close(self) -> None:
        """Stop everything that is still running."""


def available_cores() -> int:
    """The cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _start_worker(parent: int) -> None:
    """Tie a worker's life to its parent's: after ``kill -9`` of the parent no worker goes on."""
    sys.stdout = sys.stderr  # standard output is for the command's result, not for what users' code prints

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class LocalExecutor:
    """Worker processes on this machine.

    Args:
        folder: the study's folder.
        jobs: runs at a time.
        threads: threads of each run.
        checkpoint_every: seconds between two checkpoints of a run.

    A worker that dies (out of memory, say) takes its pool with it, and nobody knows which of the runs
    under way was the cause: each is tried once more, alone, and given up as failed if that dies too.
    """

    def __init__(self, folder: str, jobs: int, threads: int, checkpoint_every: float) -> None:
        self.jobs = jobs
        self._folder = folder
        self._threads = threads
        self._checkpoint_every = checkpoint_every
        self._futures: dict[Future[Outcome], RunSpec] = {}
        self._waiting: list[RunSpec] = []
        self._suspects: list[RunSpec] = []
        self._alone: str | None = None
        self._pool: Any = None

    def _start_pool(self) -> Any:
        from loky.process_executor import ProcessPoolExecutor

        return ProcessPoolExecutor(
            max_workers=self.jobs,
            env=dict.fromkeys(THREAD_VARIABLES, str(self._threads)),
            initializer=_start_worker,
            initargs=(os.getpid(),),
        )

    def submit(self, spec: RunSpec) -> None:
        self._waiting.append(spec)
        # Seed by seed, not method by method: a busy spell of the machine then slows all methods alike.
        self._waiting.sort(key=lambda s: (s.phase == "final", s.trial, s.seed))
        self._fill()

    def _fill(self) -> None:
        # The pool holds no more than it runs, so that a death of the pool touches only runs under way.
        if self._alone is not None:
            return
        if self._suspects:
            if not self._futures:
                self._alone = self._suspects[0].run
                self._start(self._suspects.pop(0))
            return
        while self._waiting and len(self._futures) < self.jobs:
            self._start(self._waiting.pop(0))

    def _start(self, spec: RunSpec) -> None:
        if self._pool is None:
            self._pool = self._start_pool()
        arguments = (execute, spec, self._folder, self._checkpoint_every)
        try:
            future = self._pool.submit(*arguments)
        except BrokenProcessPool:  # a worker died while it had nothing to do
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = self._start_pool()
            future = self._pool.submit(*arguments)
        self._futures[future] = spec

    def finished(self, timeout: float) -> list[tuple[RunSpec, Outcome | BaseException]]:
        done, _ = wait(self._futures, timeout=timeout, return_when=FIRST_COMPLETED)
        ended: list[tuple[RunSpec, Outcome | BaseException]] = []
        dead: list[tuple[RunSpec, BaseException]] = []
        for future in done:
            spec = self._futures.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                dead.append((spec, error))
            else:
                ended.append((spec, error or future.result()))
        if dead:
            dead += [(spec, dead[0][1]) for spec in self._futures.values()]
            self._futures.clear()
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = None
            if self._alone is not None:
                ended += dead
            else:
                self._suspects += [spec for spec, _ in dead]
        if not self._futures:
            self._alone = None
        self._fill()
        return ended

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = None


class RayExecutor:
    """A Ray cluster (``pip install 'optimand[ray]'``); the folder must be on a disk that all nodes share.

    ``RAY_ADDRESS`` names the cluster; without it Ray starts one on this machine.
    """

    def __init__(self, folder: str, jobs: int, threads: int, checkpoint_every: float) -> None:
        try:
            import ray
        except ImportError as error:
            raise OptimandError("executor 'ray' needs the package ray: pip install 'optimand[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        self.jobs = jobs
        environment = {"env_vars": dict.fromkeys(THREAD_VARIABLES, str(threads))}
        self._remote = ray.remote(num_cpus=threads, max_retries=1, runtime_env=environment)(execute)
        self._arguments = (folder, checkpoint_every)
        self._refs: dict[Any, RunSpec] = {}
        self._waiting: list[RunSpec] = []

    def submit(self, spec: RunSpec) -> None:
        self._waiting.append(spec)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._refs) < self.jobs:
            spec = self._waiting.pop(0)
            self._refs[self._remote.remote(spec, *self._arguments)] = spec

    def finished(self, timeout: float) -> list[tuple[RunSpec, Outcome | BaseException]]:
        done, _ = self._ray.wait(list(self._refs), num_returns=1, timeout=timeout)
        ended: list[tuple[RunSpec, Outcome | BaseException]] = []
        for ref in done:
            spec = self._refs.pop(ref)
            try:
                ended.append((spec, self._ray.get(ref)))
            except Exception as error:
                # Ray wraps what a task raised; a task whose process died twice raised nothing itself.
                cause = getattr(error, "cause", None)
                ended.append((spec, cause if isinstance(cause, Exception) else BrokenProcessPool(str(error))))
        self._fill()
        return ended

    def close(self) -> None:
        for ref in self._refs:
            self._ray.cancel(ref, force=True)
        self._ray.shutdown()


EXECUTORS: dict[str, Callable[[str, int, int, float], Executor]] = {"local": LocalExecutor, "ray": RayExecutor}
