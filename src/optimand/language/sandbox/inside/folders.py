"""Emptying folders that a program may have filled with anything, without recursion and without following links."""

from __future__ import annotations

import contextlib
import os
import stat
import time


def remove(folder: str, keep: bool = False) -> None:
    """Remove a folder and all in it, whatever its depth and modes; what cannot be removed is left.

    Nested folders are moved to the top first, so that neither recursion nor long paths arise.

    Args:
        folder: an absolute path.
        keep: only empty it.
    """
    with contextlib.suppress(OSError):
        _empty(folder)
    if not keep:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _empty(top: str) -> None:
    with contextlib.suppress(OSError):
        os.chmod(top, 0o700)
    waiting, moved = [top], 0
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
                    continue
                with contextlib.suppress(OSError):
                    os.chmod(entry.path, 0o700)
                if folder == top:
                    waiting.append(entry.path)
                    continue
                moved += 1
                name = os.path.join(top, f".{time.monotonic_ns()}-{moved}")
                with contextlib.suppress(OSError):
                    os.rename(entry.path, name)
                    waiting.append(name)
        if folder != top:
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def usage(top: str, max_files: int) -> tuple[int, int]:
    """Bytes on disk and number of files below a folder; stops counting beyond ``max_files``.

    A folder that cannot be looked into, because its path is too long or its mode forbids it, counts as too many files:
    a program could hide any number there.
    """
    size = count = 0
    waiting = [top]
    while waiting and count <= max_files:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
            continue
        except OSError:
            return size, max_files + 1
        with entries:
            for entry in entries:
                count += 1
                if count > max_files:
                    break
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:
                    return size, max_files + 1
                size += found.st_blocks * 512
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(entry.path)
    return size, count
