"""A worker's two outer processes.

The *keeper* is what the caller starts. It leaves for namespaces of its own where it may, forks the *supervisor* as
the first process in them, and waits; when the supervisor is gone, or the caller, it kills what is left and removes the
worker's folder. The supervisor imports the packages that are to be warm, then forks one process per program.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from . import folders, frames, landlock, linux, processes, root, seccomp, supervisor

_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_FILES = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/localtime",
    "/usr/share/zoneinfo", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self", "/proc/sys/vm",
    "/proc/sys/kernel/osrelease", "/sys/devices/system/cpu", "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
)  # fmt: skip


def main(fd: int) -> None:
    """Run a worker that is told what to do over a socket."""
    caller = os.getppid()
    sock = socket.socket(fileno=fd)
    config, _ = frames.receive(sock)
    off, layers, missing = set(config["without"]), [], {}
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    if not linux.LINUX:
        names = ("process namespace", "network namespace", "private root", "landlock", "seccomp")
        missing = dict.fromkeys(names, f"{sys.platform} has none")
    else:
        linux.adopt_orphans()
        why = "switched off" if "namespaces" in off else linux.enter_namespaces()
        if why is None:
            layers += ["process namespace", "network namespace"]
        else:
            missing.update(dict.fromkeys(("process namespace", "network namespace", "private root"), why))
    first = os.fork()
    if first == 0:
        try:
            _supervise(sock, config, layers, missing)
        except (frames.Closed, OSError):
            pass
        finally:
            processes.kill_all("process namespace" in layers)
            os._exit(0)
    sock.close()
    _wait(first, caller)
    processes.kill_all(False)
    folders.remove(config["folder"])
    if os.getppid() != caller:
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(config["folder"]))


def _wait(pid: int, caller: int) -> None:
    """Until the supervisor has ended; it is given two seconds after the caller's end."""
    poll = select.poll()
    watched = False
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            poll.register(os.pidfd_open(pid), select.POLLIN)
            watched = True
    orphaned_at: float | None = None
    while True:
        poll.poll(500 if watched else 50)
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        if os.getppid() != caller:
            orphaned_at = orphaned_at or time.monotonic()
            if time.monotonic() > orphaned_at + 2:
                processes.send(pid, signal.SIGKILL)


def _supervise(sock: socket.socket, config: dict[str, Any], layers: list[str], missing: dict[str, str]) -> None:
    off, folder = set(config["without"]), config["folder"]
    own_tree = "process namespace" in layers
    if linux.LINUX:
        linux.die_with_parent()
        linux.adopt_orphans()
        for name, why in _trial(off, folder).items():
            if why:
                missing[name] = why
            else:
                layers.append(name)
    else:
        missing["memory limit"] = f"{sys.platform} does not keep it"
    layers.append("limits")
    failures = _preload(config["preload"])
    config["readable"] = readable()
    if own_tree:
        _mounts(config, layers, missing)
    if linux.LINUX:
        linux.set_dumpable(False)  # no program may trace this process or look into it
    frames.send(sock, {"layers": layers, "missing": missing, "failures": failures})
    while True:
        job, _ = frames.receive(sock)
        header, blobs = supervisor.run({**config, **job}, layers, sock)
        frames.send(sock, header, *blobs)
        if not header["clean"]:  # something could not be killed: end with this namespace
            return


def _mounts(config: dict[str, Any], layers: list[str], missing: dict[str, str]) -> None:
    """A root of its own, or else at least ``/proc`` and the scratch folder, both as far as they are granted."""
    folder, size, files = config["folder"], config["scratch_mb"], config["scratch_files"]
    linux.private_mounts()  # not before: the keeper must see the processes of its own numbers in /proc
    try:
        if "root" in config["without"]:
            raise OSError("switched off")
        if root.enter(folder, config["readable"], landlock.DEVICES, size, files):
            layers.append("private /proc")
        layers += ["private root", "scratch in memory"]
        return
    except OSError as error:
        missing["private root"] = str(error)
    for name, mount in (
        ("private /proc", linux.mount_proc),
        ("scratch in memory", lambda: linux.mount_tmpfs(folder, size, files)),
    ):
        try:
            mount()
            layers.append(name)
        except OSError as error:
            missing[name] = str(error)


def _trial(off: set[str], folder: str) -> dict[str, str]:
    """Put Landlock and the filter of system calls in force in a child: why not, or "", for each."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            linux.no_new_privileges()
            for name in ("landlock", "seccomp"):
                why = "switched off" if name in off else _try(name, folder)
                os.write(writer, f"{name}={why[:200]}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as file:
        answers = dict(line.rstrip("\n").split("=", 1) for line in file)
    os.waitpid(pid, 0)
    return {name: answers.get(name, "the trial of it ended early") for name in ("landlock", "seccomp")}


def _try(name: str, folder: str) -> str:
    try:
        if name == "landlock":
            landlock.restrict([], [], folder)
            with contextlib.suppress(PermissionError):
                os.listdir("/")
                return "it has no effect"
            return ""
        why = seccomp.supported()
        if why is None:
            seccomp.install(os.getpid(), forks=False)
            with contextlib.suppress(PermissionError):
                socket.socket(socket.AF_UNIX).close()
                return "it has no effect"
    except OSError as error:
        return str(error)
    return why or ""


def _preload(names: list[str]) -> dict[str, str]:
    """Import packages; what failed, with why."""
    failures = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            failures[name] = f"{type(error).__name__}: {error!s:.200}"
    return failures


def readable() -> list[str]:
    """What a program may read: the interpreter, its packages, the system's libraries, and little else."""
    home = os.path.realpath(os.path.expanduser("~"))
    found = []
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        if os.path.realpath(prefix) not in ("/", "/usr", "/usr/local", home):
            found.append(prefix)
    for path in {*sys.path, os.path.dirname(os.__file__)}:
        real = os.path.realpath(path)
        if path and real != "/" and os.path.commonpath([real, home]) != real:
            found.append(path)
    return [*found, *_SYSTEM, *_FILES]
