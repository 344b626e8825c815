"""A root folder of its own: of the file system only what may be read is mounted, and that read-only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from . import linux

_RECURSIVE, _READ_ONLY, _NO_SETUID = 0x8000, 1, 2
_MOUNT_SETATTR, _PIVOT_ROOT = 442, {"x86_64": 155, "aarch64": 41}


def enter(folder: str, readable: Iterable[str], devices: Iterable[str], size_mb: int, files: int) -> bool:
    """Change this process's root; whether ``/proc`` could be mounted anew.

    On failure all is as before. The old root is gone afterwards, for good.

    Args:
        folder: the only place to write, at the same path within, in memory.
        readable: folders and files that are there; missing ones are passed over.
        devices: device files that are there.
        size_mb: size of the folder in MiB.
        files: most files in it.

    Raises:
        OSError: the system refuses.
    """
    number = _PIVOT_ROOT.get(linux.machine())
    if number is None:
        raise OSError(f"no number of pivot_root for {linux.machine()}")
    linux.mount_tmpfs(folder, 1, 10_000)
    try:
        os.mkdir(f"{folder}/proc")
        proc = True
        try:
            linux.mount_proc(f"{folder}/proc")
        except OSError:
            proc = False
        for path in _outermost(readable):
            if not (path.startswith("/proc/") and proc) and not path.startswith("/proc/self"):
                _bind(path, folder, _READ_ONLY | _NO_SETUID)
        for path in devices:
            _bind(path, folder, _NO_SETUID)
        os.makedirs(folder + folder)
        linux.mount_tmpfs(folder + folder, size_mb, files)
        os.chdir(folder)
        dot = ctypes.create_string_buffer(b".")
        linux.syscall(number, dot, dot)
    except BaseException:
        os.chdir("/")
        linux.unmount(folder)
        raise
    linux.unmount(".")  # the old root, which lies over the new one
    os.chdir("/")
    linux.remount_read_only("/")
    return proc


def _outermost(paths: Iterable[str]) -> list[str]:
    """Those that are there and not within another."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths if os.path.isabs(path)}):
        if os.path.exists(path) and not any(path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept


def _bind(path: str, root: str, attributes: int) -> None:
    """Make a file or folder appear below the root that is being built."""
    target = root + path
    if not os.path.exists(path):
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    linux.bind(os.path.realpath(path), target)
    words = ctypes.create_string_buffer(struct.pack("=QQQQ", attributes, 0, 0, 0), 32)
    name = ctypes.create_string_buffer(target.encode())
    linux.syscall(_MOUNT_SETATTR, -100, name, _RECURSIVE, words, 32)
