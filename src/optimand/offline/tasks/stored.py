"""Data sets that take long to compute, kept in the user's cache folder.

The folder is ``offline`` in ``$OPTIMAND_CACHE``, else in ``$XDG_CACHE_HOME/optimand``, else in ``~/.cache/optimand``.
A file is named by a digest of all that its content depends on. Where the folder cannot be written, every process
computes its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from optimand.core.caching import cache_folder
from optimand.core.recorder import write_atomically

Arrays = Mapping[str, NDArray[Any]]


def stored(kind: str, facts: Mapping[str, Any], compute: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
    """What ``compute`` returns, from the cache if a process has computed it before.

    Args:
        kind: begin of the file's name.
        facts: what the arrays depend on, versions of libraries included; plain values.
        compute: gives the arrays by name.
    """
    text = json.dumps(facts, sort_keys=True)
    path = cache_folder("offline") / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    found = _read(path)
    if found is None:
        with _only_one(path):
            # Another process may have made it while this one waited.
            found = _read(path)
            if found is None:
                found = dict(compute())
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **found)  # type: ignore[arg-type]
                with contextlib.suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(path, buffer.getvalue())
    return found


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    from filelock import FileLock

    lock = None
    with contextlib.suppress(OSError):  # a folder that cannot be written: work without a lock
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        lock.acquire()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, BadZipFile):  # not there, or damaged: it is computed again
        return None
