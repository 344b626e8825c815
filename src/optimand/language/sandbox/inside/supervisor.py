"""One program, from its fork to its end: what it writes is read, its limits are watched, all it started is killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from . import folders, processes, program

_BEYOND = 16  # a stream that exceeds what is kept by this factor ends the program
_CHUNK = 1 << 16


class Stream:
    """A pipe's reading end; keeps the beginning and the end of what came, within a limit."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd, self.limit, self.total = fd, limit, 0
        self.head, self.tail = bytearray(), bytearray()
        self.open = True
        os.set_blocking(fd, False)

    def read(self) -> bool:
        """Take what is there; whether there may be more at once."""
        if not self.open:
            return False
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self.total += len(data)
        space = self.limit // 4 - len(self.head)
        if space > 0:
            self.head += data[:space]
            data = data[space:]
        self.tail += data
        keep = self.limit - self.limit // 4
        if len(self.tail) > 2 * keep + _CHUNK:
            del self.tail[:-keep]
        return True

    def close(self) -> None:
        if self.open:
            self.open = False
            os.close(self.fd)

    def content(self) -> tuple[bytes, int]:
        """What is kept, and how many bytes are left out between beginning and end."""
        keep = self.limit - self.limit // 4
        left_out = self.total - len(self.head) - min(len(self.tail), keep)
        tail = bytes(self.tail[-keep:]) if keep else b""
        if not left_out:
            return bytes(self.head) + tail, 0
        return bytes(self.head) + f"\n[... {left_out} bytes left out ...]\n".encode() + tail, left_out


def run(job: dict[str, Any], layers: list[str], caller: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Run a program in a fork of this process.

    Args:
        job: the program and its limits.
        layers: what is in force.
        caller: the socket to the caller; when it ends, so does the program.

    Returns:
        What came of it, and standard output, standard error and the program's answer.
    """
    own_tree = "process namespace" in layers
    folder = os.path.join(job["folder"], "program")
    folders.remove(folder)
    os.mkdir(folder, 0o700)
    job = {**job, "scratch": folder}
    pipes = [os.pipe() for _ in range(3)]
    stdin = _stdin(job["inputs"], folder)
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            program.main(job, layers, stdin, [writer for _, writer in pipes])
        finally:
            os._exit(70)
    os.close(stdin)
    for _, writer in pipes:
        os.close(writer)
    sizes = (job["output_bytes"], job["output_bytes"], job["answer_bytes"])
    streams = [Stream(reader, size) for (reader, _), size in zip(pipes, sizes, strict=True)]
    killed = _watch(pid, job, streams, caller, start, layers)
    processes.send_group(pid, signal.SIGKILL)
    _, code, used = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    clean = processes.kill_all(own_tree)
    for stream in streams:
        # what is in the pipe is at most its size; a survivor in it must not keep this process here
        for _ in range(64):
            if not stream.read():
                break
        stream.close()
    folders.remove(folder)
    (out, out_left), (err, err_left), (answer, answer_left) = (stream.content() for stream in streams)
    ready, _, rest = answer.partition(b"\n")
    report = _answer(rest if not answer_left else b"")
    returncode = os.waitstatus_to_exitcode(code)
    peak = used.ru_maxrss / (2**10 if os.uname().sysname != "Darwin" else 2**20)
    cpu = used.ru_utime + used.ru_stime
    header = {
        "status": _status(killed, returncode, report, peak, cpu, job),
        "returncode": returncode,
        "seconds": seconds,
        "peak_mb": peak,
        "truncated": bool(out_left or err_left),
        "answer_too_long": bool(answer_left),
        "report": report,
        "clean": clean,
    }
    if ready + b"\n" != program.READY and not answer_left and not killed:
        header |= {"status": "setup", "report": {"setup": ready.decode("utf-8", "replace") or "it ended early"}}
    if killed == "processes":
        err += f"\nended: more than {job['processes']} child processes\n".encode()
    elif killed == "output" and not (out_left or err_left or answer_left):
        err += b"\nended: the scratch folder is full\n"
    return header, [out, err]


def _stdin(inputs: str, folder: str) -> int:
    """A descriptor to read a text from, at its beginning."""
    data = inputs.encode("utf-8", "surrogatepass")
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("inputs")
    else:
        path = os.path.join(folder, "inputs")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(path)
    with open(fd, "wb", closefd=False) as writing:
        writing.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _watch(
    pid: int, job: dict[str, Any], streams: list[Stream], caller: socket.socket, start: float, layers: list[str]
) -> str:
    """Read and wait until the program has ended or must be killed; why it must, or ""."""
    poll = select.poll()
    by_fd = {stream.fd: stream for stream in streams}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    poll.register(caller, select.POLLIN)
    ended = -1
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            ended = os.pidfd_open(pid)
            poll.register(ended, select.POLLIN)
    clock = ~pid << 3 | 2 if os.path.isdir("/proc") else None  # the clock of another process's CPU time
    try:
        next_look = start + 0.02
        while True:
            now = time.monotonic()
            if now - start >= job["wall_s"]:
                return "timeout"
            if now >= next_look:
                why = _overdrawn(clock, job, layers)
                if why:
                    return why
                next_look = now + 0.05
            pause = 0.05 if ended >= 0 else 0.002
            for fd, _ in poll.poll(max(0.0, min(pause, job["wall_s"] - (now - start))) * 1000):
                if fd == caller.fileno():
                    return "closed"
                if fd not in by_fd:
                    return ""
                stream = by_fd[fd]
                stream.read()
                if not stream.open:
                    poll.unregister(fd)
                elif stream.total > _BEYOND * stream.limit:
                    return "output"
            if ended < 0 and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return ""
    finally:
        if ended >= 0:
            os.close(ended)


def _overdrawn(clock: int | None, job: dict[str, Any], layers: list[str]) -> str:
    """Whether it has used more CPU time than allowed, filled its folder, or started more processes."""
    if clock is not None:
        with contextlib.suppress(OSError, OverflowError):
            if time.clock_gettime(clock) > job["cpu_s"]:
                return "timeout"
    size, count = folders.usage(job["scratch"], job["scratch_files"])
    if size > job["scratch_mb"] * 2**20 or count > job["scratch_files"]:
        return "output"
    counted = job["processes"] > 0 or "seccomp" not in layers
    if counted and len(processes.descendants(os.getpid())) > job["processes"] + 1:
        return "processes"
    return ""


def _answer(data: bytes) -> dict[str, Any]:
    """The last line that the program's own process wrote, with what may be in it and no more.

    A program can forge it: it is its own answer, in which nothing is trusted.
    """
    try:
        found = json.loads(data.strip().rpartition(b"\n")[2] or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    texts = ("value", "error_type", "error_message")
    report: dict[str, Any] = {key: found[key] for key in texts if isinstance(found.get(key), str)}
    for key in texts[1:]:  # half characters could not be written by whoever reports them
        report[key] = report.get(key, "").encode("utf-8", "replace").decode()
    report["memory"] = found.get("memory") is True
    frames = found.get("frames")
    if isinstance(frames, list):
        pairs = [pair for pair in frames[:100] if isinstance(pair, list) and len(pair) == 2]
        report["frames"] = [(line, name) for line, name in pairs if isinstance(line, int) and isinstance(name, str)]
    return report


def _status(killed: str, returncode: int, report: dict[str, Any], peak: float, cpu: float, job: dict[str, Any]) -> str:
    if killed:
        return "run_error" if killed == "processes" else killed
    if returncode == -signal.SIGXCPU or (returncode == -signal.SIGKILL and cpu >= 0.95 * job["cpu_s"]):
        return "timeout"
    if report.get("memory") is True and returncode != 0:
        return "memory"
    if returncode in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGKILL) and (
        peak >= 0.8 * job["memory_mb"]
    ):
        return "memory"  # native code without the room that it asked for
    return "ok" if returncode == 0 else "run_error"
