"""System calls that the standard library lacks: namespaces, mounts, capabilities, prctl."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys

LINUX = sys.platform.startswith("linux")

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
_PDEATHSIG, _DUMPABLE, _CAPBSET_DROP, _NO_NEW_PRIVS, _SUBREAPER, _CAP_AMBIENT = 1, 4, 24, 38, 36, 47

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object) -> int:
    """A function of the C library; OSError with its error number where it fails."""
    result = getattr(libc, name)(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(number: int, *args: object) -> int:
    """A system call by number."""
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return call("syscall", ctypes.c_long(number), *words)


def prctl(option: int, value: int = 0, third: object = 0) -> int:
    words = (ctypes.c_ulong(value), third if not isinstance(third, int) else ctypes.c_ulong(third))
    return call("prctl", ctypes.c_int(option), *words, ctypes.c_ulong(0), ctypes.c_ulong(0))


def machine() -> str:
    """The processor's name, as the tables of system calls use it."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())


def die_with_parent() -> None:
    prctl(_PDEATHSIG, 9)


def adopt_orphans() -> None:
    prctl(_SUBREAPER, 1)


def set_dumpable(value: bool) -> None:
    prctl(_DUMPABLE, int(value))


def no_new_privileges() -> None:
    prctl(_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability for good."""
    for capability in range(64):
        try:
            prctl(_CAPBSET_DROP, capability)
        except OSError:  # past the last one, or none of these may be dropped
            break
    with contextlib.suppress(OSError):  # kernels before 4.3 have none
        prctl(_CAP_AMBIENT, 4)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _unshare(flags: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", ctypes.c_int(flags))
    if flags & CLONE_NEWUSER:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def mount_proc(target: str = "/proc") -> None:
    _mount("proc", target, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def mount_tmpfs(target: str, size_mb: int, files: int) -> None:
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
           f"size={size_mb}m,nr_inodes={files},mode=700")  # fmt: skip


def bind(source: str, target: str) -> None:
    """Make a folder, with what is mounted in it, or a file appear at another place."""
    _mount(source, target, None, _MS_BIND | _MS_REC)


def remount_read_only(target: str) -> None:
    _mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def unmount(target: str) -> None:
    call("umount2", target.encode(), ctypes.c_int(2))  # MNT_DETACH


def private_mounts() -> None:
    """Mounts of this process, from here on, are seen by it and its children alone."""
    call("unshare", ctypes.c_int(CLONE_NEWNS))
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def enter_namespaces() -> str | None:
    """Namespaces of its own for what this process forks next; returns why not, or None.

    A child tries first, because a process that got only half of them could not go back.
    """
    flags = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    why = ""
    for extra in (CLONE_NEWUSER, 0) if os.geteuid() == 0 else (CLONE_NEWUSER,):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _unshare(flags | extra)
                private_mounts()
                os.write(writer, b"+")
            except BaseException as error:
                os.write(writer, str(error).encode()[:200])
            finally:
                os._exit(0)
        os.close(writer)
        answer = os.read(reader, 256).decode()
        os.close(reader)
        os.waitpid(pid, 0)
        if answer == "+":
            _unshare(flags | extra)
            return None
        why = why or answer
    return why or "refused"
