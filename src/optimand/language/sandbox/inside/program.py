"""The program's own process: it gives up what it must not have, then runs the program."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import fcntl
import io
import json
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
import types
from typing import Any

from . import codec, landlock, linux, seccomp

READY = b"ready\n"  # the first thing in the answer, written before the program runs
FILENAME = "<program>"
_MESSAGE = 2000


def main(job: dict[str, Any], layers: list[str], stdin: int, writers: list[int]) -> None:
    """Isolate this process, run the job's program, and end with its exit code; never returns.

    Args:
        job: the program and its limits.
        layers: what is to be in force; if any of it fails, the program is not run.
        stdin: descriptor of its standard input.
        writers: descriptors of its standard output, standard error and answer.
    """
    os.setsid()
    answer = _descriptors(stdin, writers)
    try:
        _environment(job)
        isolate(job, layers)
    except BaseException as error:
        os.write(answer, f"{type(error).__name__}: {error}"[:500].encode())
        os._exit(71)
    os.write(answer, READY)
    end = os._exit
    flush = linux.libc.fflush
    dumps, write = json.dumps, os.write
    code, report = 1, dict[str, Any]()
    try:
        code, report = _call(job) if job["function"] is not None else _script(job)
    except MemoryError:
        report = {"memory": True}
    except BaseException as error:  # a hostile exception class, a full stack
        report = {"error_type": type(error).__name__[:100], "error_message": "the program's end could not be told"}
    code = _finish(code)
    with contextlib.suppress(BaseException):
        flush(None)  # native code, such as SCIP, prints through C's buffers
    with contextlib.suppress(BaseException):
        data = b"\n" + dumps(report).encode()
        while data:
            data = data[write(answer, data) :]
    end(code)


def _descriptors(stdin: int, writers: list[int]) -> int:
    """Keep the three standard ones and that of the answer, 3; close all else."""
    out, err, answer = writers
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (stdin, out, err, answer)]
    for i, fd in enumerate(high):
        os.dup2(fd, i, inheritable=i < 3)
    os.closerange(4, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536))
    return 3


def _environment(job: dict[str, Any]) -> None:
    scratch = job["scratch"]
    os.chdir(scratch)
    os.umask(0o077)
    os.environ.update({"HOME": scratch, "TMPDIR": scratch})
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # in a fork of a warm worker the random numbers would be those of every other program
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def isolate(job: dict[str, Any], layers: list[str]) -> None:
    """Put every layer in force for this process; OSError where one cannot be."""
    limits(job, layers)
    if linux.LINUX:
        linux.no_new_privileges()
        if "landlock" in layers:
            landlock.restrict(job["readable"], landlock.DEVICES, job["scratch"])
        linux.drop_capabilities()
        linux.set_dumpable("process namespace" not in layers)
        linux.die_with_parent()
        if "seccomp" in layers:
            seccomp.install(os.getpid(), forks=job["processes"] > 0)


def limits(job: dict[str, Any], layers: list[str]) -> None:
    """Limits of the system on this process."""
    cpu = max(1, -int(-job["cpu_s"] // 1))
    wanted = {
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_FSIZE": (int(job["file_mb"] * 2**20),) * 2,
        "RLIMIT_NOFILE": (job["open_files"],) * 2,
        "RLIMIT_AS": (job["memory_mb"] * 2**20,) * 2,
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
        "RLIMIT_NPROC": (_process_limit(job, layers),) * 2,
    }
    for name, pair in wanted.items():
        number = getattr(resource, name, None)
        if number is None or pair[0] < 0:
            continue
        _, hard = resource.getrlimit(number)
        if hard != resource.RLIM_INFINITY:
            pair = (min(pair[0], hard), min(pair[1], hard))
        try:
            resource.setrlimit(number, pair)
        except (OSError, ValueError):
            if name in ("RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE"):
                raise


def _process_limit(job: dict[str, Any], layers: list[str]) -> int:
    """Processes and threads that the user may have, or -1 for no such limit.

    The filter of system calls forbids forks alone and leaves threads; without it, this limit must count what runs
    already: in the caller's user, or in the namespace, where it is only this.
    """
    threads = 64
    if "process namespace" in layers or not linux.LINUX:
        return job["processes"] + (threads if linux.LINUX else 1)
    mine = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    mine += len(os.listdir(f"/proc/{name}/task"))
    return mine + job["processes"] + (threads if "seccomp" in layers else 8)


def _module(code: str, name: str) -> types.ModuleType:
    """The program's module, in the place of the one that started this process."""
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    if name == "__main__":
        sys.argv = [FILENAME]
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(keepends=True), FILENAME)
    for fd, stream in enumerate(("stdin", "stdout", "stderr")):
        raw = open(fd, "rb" if fd == 0 else "wb", buffering=-1 if fd < 2 else 0, closefd=False)  # noqa: SIM115
        encoded = io.TextIOWrapper(raw, "utf-8", "replace" if fd == 0 else "backslashreplace", write_through=fd == 2)
        setattr(sys, stream, encoded)
        setattr(sys, f"__{stream}__", encoded)
    sys.dont_write_bytecode = True
    return module


def _script(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run a program as Python runs a file: exit code and what there is to report."""
    module = _module(job["code"], "__main__")
    try:
        exec(compile(job["code"], FILENAME, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return (stop.code or 0) & 0xFF, {}
        _complain(str(stop.code))
        return 1, {}
    except BaseException as error:
        memory = isinstance(error, MemoryError)
        _traceback(error)
        return 1, {"memory": memory}
    return 0, {}


def _call(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run a program's lines, then call its function: exit code and value or error."""
    try:
        module = _module(job["code"], "program")
        args, kwargs = codec.decode(job["arguments"])
        exec(compile(job["code"], FILENAME, "exec", dont_inherit=True), module.__dict__)
        function = module.__dict__.get(job["function"])
        if not callable(function):
            raise NameError(f"the program defines no function {job['function']!r}")
        value = function(*args, **kwargs)
        if isinstance(value, types.CoroutineType):
            import asyncio

            value = asyncio.run(value)
    except BaseException as error:
        return 1, _told(error)
    try:
        return 0, {"value": codec.encode(value, max_bytes=job["answer_bytes"] // 2)}
    except MemoryError as error:
        return 1, _told(error)
    except BaseException as error:
        return 1, {"error_type": "CodecError", "error_message": _text(error), "frames": []}


def _told(error: BaseException) -> dict[str, Any]:
    """An exception as data: class, message, and the program's own frames."""
    frames = [
        (entry.tb_lineno, entry.tb_frame.f_code.co_name)
        for entry in _entries(error)
        if entry.tb_frame.f_code.co_filename == FILENAME
    ]
    if isinstance(error, SyntaxError) and error.filename == FILENAME and isinstance(error.lineno, int):
        frames.append((error.lineno, "<module>"))
    memory = isinstance(error, MemoryError)
    _traceback(error)
    return {
        "error_type": type(error).__name__[:100],
        "error_message": _text(error),
        "frames": [*frames[:20], *frames[max(20, len(frames) - 20) :]],
        "memory": memory,
    }


def _entries(error: BaseException) -> list[types.TracebackType]:
    entries, entry = [], error.__traceback__
    while entry is not None:
        entries.append(entry)
        entry = entry.tb_next
    return entries


def _text(error: BaseException) -> str:
    """Its message, cut, and text that can be written; a message that itself fails is named so."""
    try:
        return str(error)[:_MESSAGE].encode("utf-8", "backslashreplace").decode()
    except BaseException as other:
        return f"(its message raised {type(other).__name__[:100]})"


def _traceback(error: BaseException) -> None:
    """What Python would print, without this module's frames."""
    entry = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename != FILENAME:
        entry = entry.tb_next
    try:
        limit = 20
        text = "".join(traceback.format_exception(type(error), error, entry, limit=-limit))
    except BaseException:
        text = f"{type(error).__name__}: {_text(error)}\n"
    _complain(text if len(text) < 100_000 else text[:50_000] + "\n[...]\n" + text[-1000:])


def _complain(text: str) -> None:
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    with contextlib.suppress(BaseException):
        os.write(2, (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))


def _finish(code: int) -> int:
    """What the interpreter does at its end: threads, exit functions, buffers."""
    for step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with contextlib.suppress(BaseException):
            step()
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        return code
    except BaseException:
        return code or 120
    return code
