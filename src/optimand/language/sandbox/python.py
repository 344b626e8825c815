"""Run generated Python under limits, apart from the caller's process, network and files."""

from __future__ import annotations

import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from optimand.core.validation import check_choice, check_int, check_number

from .checks import DEFAULT_IMPORTS, ForbiddenCode, check_tree, parse
from .inside import codec
from .isolation import Isolation
from .pool import Pool
from .results import CallResult, RunResult, SandboxError, call_result
from .worker import WorkerDied

Require = Literal["any", "limits", "files", "namespaces"]
_LAYERS = ("namespaces", "root", "landlock", "seccomp")
_SCRATCH_FILES = 1000


class SandboxedPython:
    """Runs programs that nobody has read.

    Each program gets a process of its own with an empty environment, a scratch folder as working and home folder,
    limits on time, memory, files and output; and, as far as the system allows, no network, its own process tree and no
    file but the interpreter's. :attr:`isolation` says what it had; ``require`` demands it.

    Args:
        cpu_s: CPU seconds.
        wall_s: wall seconds.
        memory_mb: MiB of address space, the interpreter and its packages included.
        output_kb: KiB kept of standard output and of standard error, and most of a returned value; a program that
            writes 16 times as much is ended.
        file_mb: MiB of one file; all of the scratch folder together has 16 times as much, in at most 1000 files.
        processes: child processes that a program may start; where the system cannot count them, about.
        allow_imports: what a program may import, see :func:`~optimand.language.sandbox.check_source`.
        preload: packages that a worker imports once, for all its programs.
        workers: keep this many workers for programs to come, so that they start in milliseconds; as many run in
            parallel, and others wait. With 0, each program has a worker of its own, and any number run in parallel.
        require: refuse to start with less than ``limits``, ``files`` (and limits), or ``namespaces`` (all of it).

    Raises:
        SandboxError: the system gives less than ``require``, or a package of ``preload`` cannot be imported.

    Example:
        >>> with SandboxedPython(wall_s=10) as python:
        ...     python.run("print(6 * 7)").stdout
        ...     python.call("def twice(x): return 2 * x", "twice", (21,)).value
        '42\\n'
        42
    """

    def __init__(
        self,
        *,
        cpu_s: float = 10.0,
        wall_s: float = 20.0,
        memory_mb: int = 1024,
        output_kb: int = 1024,
        file_mb: float = 1,
        processes: int = 0,
        allow_imports: Collection[str] = DEFAULT_IMPORTS,
        preload: Sequence[str] = (),
        workers: int = 0,
        require: Require = "any",
        _without: Collection[str] = (),
        _check: bool = True,
    ) -> None:
        if os.name != "posix":
            raise SandboxError("the sandbox needs a Unix system")
        for name, texts in (("allow_imports", allow_imports), ("preload", preload)):
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise TypeError(f"{name} must be several names of modules, got {texts!r}")
        self._limits = {
            "cpu_s": check_number("cpu_s", cpu_s, low=0, low_open=True, high=1e6),
            "wall_s": check_number("wall_s", wall_s, low=0, low_open=True, high=1e6),
            "memory_mb": check_int("memory_mb", memory_mb, low=64),
            "output_bytes": check_int("output_kb", output_kb, low=1, high=2**16) * 1024,
            "answer_bytes": 2 * output_kb * 1024 + 2**16,
            "file_mb": check_number("file_mb", file_mb, low=0, high=2**20),
            "processes": check_int("processes", processes, low=0, high=1000),
            "open_files": 64,
            "scratch_mb": max(1, int(16 * file_mb)),
            "scratch_files": _SCRATCH_FILES,
        }
        self._config = {
            **self._limits,
            "preload": list(preload),
            "without": [check_choice("_without", name, _LAYERS) for name in _without],
        }
        self._allowed, self._check = frozenset(allow_imports), _check
        self._pool = Pool(check_int("workers", workers, low=0, high=256), self._config)
        self._isolation: Isolation | None = None
        check_choice("require", require, ("any", "limits", "files", "namespaces"))
        self._close = weakref.finalize(self, self._pool.close)
        if require != "any":
            lacking = self.isolation.lacks(require)
            if lacking:
                has = self.isolation
                self.close()
                raise SandboxError(
                    f"require={require!r} asks for more than this system gives, which is {has}. "
                    f"Missing: {'; '.join(lacking)}. Ask for less, or run where the kernel allows it"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers and remove all files; programs that are running end too."""
        self._close()

    @property
    def isolation(self) -> Isolation:
        """What programs are kept from here; starts a worker if none has been."""
        if self._isolation is None:
            with self._pool.worker() as worker:
                self._isolation = worker.isolation
        return self._isolation

    def run(self, code: str, *, inputs: str = "") -> RunResult:
        """Run a program as Python runs a file.

        Args:
            code: the program, at most 64 kB.
            inputs: what it reads from standard input.

        Returns:
            What came of it; a program's failure is a result, not an exception.

        Raises:
            SandboxError: the sandbox itself failed.
        """
        if not isinstance(inputs, str):
            raise TypeError(f"inputs must be a text, got {type(inputs).__name__}")
        refused = self._refuse(code)
        if refused is not None:
            status, _, why, _ = refused
            return RunResult(status, None, "", why, False, None, 0.0, 0.0, self.isolation)
        header, blobs = self._execute({"code": code, "inputs": inputs, "function": None})
        out, err = (blob.decode("utf-8", "replace") for blob in blobs)
        returncode = header["returncode"]
        return RunResult(
            status=header["status"],
            returncode=returncode,
            stdout=out,
            stderr=err,
            timed_out=header["status"] == "timeout",
            signal=-returncode if returncode is not None and returncode < 0 else None,
            peak_mb=header["peak_mb"],
            seconds=header["seconds"],
            isolation=header["isolation"],
            truncated=header["truncated"],
        )

    def call(
        self, code: str, function: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> CallResult:
        """Run a program's lines, then call one of its functions.

        Args:
            code: the program; its ``__name__`` is not ``__main__``.
            function: name of the function; one that is ``async`` is run to its end.
            args: positional arguments: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, NumPy
                arrays and scalars, and what is built of them.
            kwargs: arguments by name.

        Returns:
            The value, which must be of the same types and take no more than ``output_kb``; or the error, with the
            program's line.

        Raises:
            ValueError: an argument cannot travel.
            SandboxError: the sandbox itself failed.
        """
        if not isinstance(function, str) or not function.isidentifier():
            raise ValueError(f"function must be the name of a function, got {function!r}")
        try:
            arguments = codec.encode((tuple(args), dict(kwargs or {})))
        except codec.CodecError as error:
            raise ValueError(f"args and kwargs cannot be given to a program: {error}") from None
        refused = self._refuse(code)
        if refused is not None:
            status, kind, why, line = refused
            return CallResult(status, None, kind, why, line, "", 0.0)
        header, blobs = self._execute({"code": code, "inputs": "", "function": function, "arguments": arguments})
        return call_result(header, *(blob.decode("utf-8", "replace") for blob in blobs))

    def _refuse(self, code: str) -> tuple[Literal["parse_error", "forbidden"], str, str, int | None] | None:
        """Why a program is not run at all: status, name of the error, message and line."""
        try:
            tree = parse(code)
        except SyntaxError as error:
            kind = type(error).__name__
            return "parse_error", kind, f"{kind}: {error}"[:2000], error.lineno
        if self._check:
            try:
                check_tree(tree, self._allowed)
            except ForbiddenCode as error:
                return "forbidden", "ForbiddenCode", str(error), error.line
        return None

    def _execute(self, job: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        with self._pool.worker() as worker:
            try:
                header, blobs = worker.run({**self._limits, **job})
            except WorkerDied as error:
                worker.close()
                if self._pool.closed:
                    raise SandboxError("the sandbox was closed while the program was running") from None
                if worker.isolation.processes:  # no program can do this
                    raise SandboxError(f"the sandbox's own process ended: {error}") from None
                header = {"status": "run_error", "returncode": None, "report": {}, "peak_mb": 0.0, "seconds": 0.0}
                header |= {"truncated": False, "answer_too_long": False}
                blobs = [b"", b"the sandbox's own process ended while the program was running"]
            if header["status"] == "setup":
                why = header["report"]["setup"]
                raise SandboxError(f"the program was not run, because its isolation failed: {why}")
            return {**header, "isolation": worker.isolation}, blobs
