"""What came of a program."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optimand.core.validation import OptimandError

from .inside import codec
from .isolation import Isolation

Status = Literal["ok", "parse_error", "forbidden", "run_error", "timeout", "memory", "output"]


class SandboxError(OptimandError):
    """The sandbox itself could not run a program: what was demanded is missing, or a worker cannot be started."""


@dataclass(frozen=True)
class RunResult:
    """What came of a program that was run.

    Attributes:
        status: ``ok``; ``parse_error`` (no Python, or more than 64 kB) and ``forbidden`` (see
            :func:`~optimand.language.sandbox.check_source`) without having run; ``run_error`` (an exception, another
            exit code than 0, a fatal signal); ``timeout`` (CPU or wall time); ``memory``; ``output`` (killed because
            it wrote far more than allowed).
        returncode: exit code, or minus the signal that ended it; None if it did not run.
        stdout: what it printed. If that was more than allowed, the beginning and the end, with a line between that
            says how much is left out.
        stderr: the same for errors; for programs that did not run, why.
        timed_out: whether a limit on time ended it.
        signal: the signal that ended it, or None.
        peak_mb: peak of its resident memory in MiB; that of a warm worker includes the imported packages.
        seconds: wall time from its start to its end.
        isolation: what it was kept from.
        truncated: whether part of its output was left out.
    """

    status: Status
    returncode: int | None
    stdout: str
    stderr: str
    timed_out: bool
    signal: int | None
    peak_mb: float
    seconds: float
    isolation: Isolation
    truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ran to its end with exit code 0."""
        return self.status == "ok"


@dataclass(frozen=True)
class CallResult:
    """What came of a function of a program.

    Attributes:
        status: as of :class:`RunResult`; ``run_error`` also where the value could not travel.
        value: what the function returned, or None.
        error_type: name of the exception's class, or "".
        error_message: its text, at most 2000 characters.
        line: line of the program, from 1, where it was raised or that is wrong; None if there is none.
        stdout: what was printed.
        seconds: wall time, running the program's own lines included.
        frames: line and function of the program's frames, outermost first, when an exception was raised.
        stderr: what was written to it, and the traceback.
    """

    status: Status
    value: Any
    error_type: str
    error_message: str
    line: int | None
    stdout: str
    seconds: float
    frames: tuple[tuple[int, str], ...] = ()
    stderr: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the function returned a value."""
        return self.status == "ok"


def call_result(header: Mapping[str, Any], out: str, err: str) -> CallResult:
    """The result of a call from what a worker tells and what the program wrote."""
    status, report, seconds = header["status"], header["report"], header["seconds"]
    kind, message, value, line = "", "", None, None
    frames: tuple[tuple[int, str], ...] = ()
    if status == "ok":
        try:
            value = codec.decode(report["value"])
        except (codec.CodecError, KeyError, TypeError) as error:
            status, kind = "run_error", "CodecError"
            message = f"what came back is no value: {error}" if "value" in report else (
                "the program ended before its function returned"
            )  # fmt: skip
    else:
        kind, message = str(report.get("error_type") or ""), str(report.get("error_message") or "")[:2000]
        with contextlib.suppress(TypeError, ValueError):
            frames = tuple((int(number), str(name)[:200]) for number, name in report.get("frames") or ())
        line = frames[-1][0] if frames else None
        if not message:
            other, message = _without_report(header, err)
            kind = kind or other
    return CallResult(status, value, kind, message, line, out, seconds, frames, err)


def _without_report(header: Mapping[str, Any], err: str) -> tuple[str, str]:
    """Name and message of the error where the program could not tell its own."""
    code, status = header["returncode"], header["status"]
    if status == "timeout":
        return "TimeoutError", "the program took longer than allowed"
    if status == "memory":
        return "MemoryError", "the program took more memory than allowed"
    if status == "output":
        return "OutputError", "the program wrote more than allowed"
    if header["answer_too_long"]:
        return "CodecError", "the value is too large"
    if code is not None and code < 0:
        return "Killed", f"the program was ended by signal {-code}"
    return "Ended", f"the program ended before its function returned: {err.strip()[-200:]}".rstrip(": ")
