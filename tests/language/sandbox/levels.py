"""Levels of isolation to test at, and what finds processes that a program left."""

import contextlib
import os
from pathlib import Path

from optimand.language.sandbox import SandboxedPython

# what is left out: nothing, one layer, everything but limits
LEVELS = {
    "full": (),
    "no-namespaces": ("namespaces",),
    "no-root": ("root",),
    "no-landlock": ("landlock",),
    "no-root-no-landlock": ("root", "landlock"),
    "no-seccomp": ("seccomp",),
    "limits-only": ("namespaces", "landlock", "seccomp"),
}
_FURTHER = {"filter-only": ("namespaces", "landlock")}  # what other layers would refuse too


def marked(token: str) -> set[int]:
    """Processes whose first environment holds a worker's mark."""
    mark = f"OPTIMAND_SANDBOX={token}".encode()
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in Path("/proc", name, "environ").read_bytes():
                        found.add(int(name))
    return found


def sandbox(level: str, **options) -> SandboxedPython:
    """One without the check of the source, so that attacks meet the layers below."""
    limits = {"cpu_s": 5, "wall_s": 10, "memory_mb": 192, "output_kb": 64, "workers": 1}
    return SandboxedPython(**{**limits, **options}, _check=False, _without={**LEVELS, **_FURTHER}[level])


@contextlib.contextmanager
def hurried(python: SandboxedPython, cpu_s: float = 0.15, wall_s: float = 0.25):
    """The same sandbox with short limits on time, for programs that never end; others get time on a busy machine."""
    usual = dict(python._limits)
    python._limits.update(cpu_s=cpu_s, wall_s=wall_s)
    try:
        yield
    finally:
        python._limits.update(usual)


@contextlib.contextmanager
def leaving_nothing(python: SandboxedPython):
    """Afterwards only the worker itself is there, and its folder is empty; or it is gone with all it had."""
    if not python._pool._idle:
        assert python.run("print(1)").stdout == "1\n"
    worker = python._pool._idle[0]
    yield worker
    if python._pool._idle and python._pool._idle[0] is worker:
        assert len(marked(worker.token)) <= 2  # keeper and supervisor
        assert [name for _, _, names in os.walk(worker.folder) for name in names] == []
    else:
        assert marked(worker.token) == set()
        assert not os.path.exists(worker.folder)
    assert python.run("import os; print(os.listdir('.'))").stdout == "[]\n"
