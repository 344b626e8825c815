"""Landlock: a process gives up the file system but for some folders, and signals and sockets beyond its own kin."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from .linux import syscall

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_READ = 1 << 2 | 1 << 3  # read a file, list a folder
_WRITE = 1 << 1 | 1 << 14  # write a file, truncate it
_IN_FOLDER = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 13  # remove, make folders, files, links; move
_FILE_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_TCP = 1 << 0 | 1 << 1
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals


def version() -> int:
    """The kernel's version of Landlock; OSError where it has none."""
    return syscall(_CREATE, 0, 0, 1)


def handled(abi: int) -> int:
    """The rights on files that this version knows."""
    bits = 13 + (abi >= 2) + (abi >= 3)
    return (1 << bits) - 1 | (1 << 15 if abi >= 5 else 0)


def restrict(readable: Iterable[str], devices: Iterable[str], writable: str) -> None:
    """Keep this process and all it starts to these files; it cannot be undone.

    Args:
        readable: folders and files to read; those that are not there are passed over.
        devices: files to read and write.
        writable: the folder in which everything but running programs is allowed.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    abi = version()
    rights = handled(abi)
    attribute = struct.pack("=QQQ", rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = syscall(_CREATE, ctypes.create_string_buffer(attribute, 24), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & rights)
        for path in devices:
            _allow(ruleset, path, (_READ | _WRITE) & rights)
        _allow(ruleset, writable, (_READ | _WRITE | _IN_FOLDER) & rights)
        syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights if os.path.isdir(path) else rights & _FILE_ONLY, fd)
            syscall(_ADD, ruleset, 1, ctypes.create_string_buffer(rule, 12), 0)
        finally:
            os.close(fd)
