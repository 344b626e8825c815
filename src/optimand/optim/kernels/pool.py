"""Threads for kernels: compiled code releases the interpreter lock, so several threads can run it at once.

Where torch's own thread team can be reached (OpenMP), it does the work: after each of torch's operations the team's
threads wait actively for a while, and other threads would have to share the cores with them.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import torch

# Below this many elements a thread, handing work over costs more than it saves.
MIN_ELEMENTS_PER_THREAD = 1 << 15
# Pieces for each thread: a thread that is held up leaves its later pieces to the others.
PIECES_PER_THREAD = 4
# An OpenMP team does not survive a fork: waiting for it in the child would never end.
LOADED_IN = os.getpid()


def run_pieces(call: Callable[[int, int], object], chunks: int, elements: int) -> None:
    """Call ``call(begin, end)`` over all of ``range(chunks)``, on up to ``torch.get_num_threads()`` threads.

    Args:
        call: works on the chunks ``begin`` to ``end - 1``; may run in several threads at once.
        chunks: number of chunks.
        elements: number of elements in all of them, which decides how many threads are worth it.
    """
    threads = min(torch.get_num_threads(), elements // MIN_ELEMENTS_PER_THREAD, chunks)
    if threads <= 1:
        call(0, chunks)
        return
    pieces = min(chunks, threads * PIECES_PER_THREAD)
    bounds = [chunks * piece // pieces for piece in range(pieces + 1)]
    ticket = count()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while (piece := next(ticket)) < pieces:
                call(bounds[piece], bounds[piece + 1])
        except BaseException as error:  # raised again below, in the caller's thread
            errors.append(error)

    team = _openmp() if os.getpid() == LOADED_IN else None
    if team is not None:
        team(work, threads)
    else:
        _run_in_pool(work, threads)
    if errors:
        raise errors[0]


def _run_in_pool(work: Callable[[], None], threads: int) -> None:
    try:
        pool = _executor(os.getpid(), torch.get_num_threads())
        others = [pool.submit(work) for _ in range(threads - 1)]
    except RuntimeError:  # the interpreter is shutting down: no new threads
        others = []
    work()
    for other in others:
        other.result()


@functools.lru_cache(maxsize=1)
def _executor(pid: int, threads: int) -> ThreadPoolExecutor:
    """The pool of this process; keyed by process id because threads do not survive a fork."""
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="optimand-kernel")


@functools.cache
def _openmp() -> Callable[[Callable[[], None], int], None] | None:
    """Runs a function in every thread of the OpenMP team that torch has loaded; None where there is none."""
    if "OpenMP" not in torch.__config__.parallel_info():
        return None
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    parallel.argtypes = [prototype, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None

    def run(work: Callable[[], None], threads: int) -> None:
        parallel(prototype(lambda _: work()), None, threads, 0)

    return run
