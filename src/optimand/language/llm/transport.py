"""One JSON request over HTTP with the standard library: a deadline, no redirect that takes the key elsewhere."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .secrets import Secret

_BIGGEST = 64 * 2**20  # bytes of a reply; more is no chat completion


@dataclass(frozen=True)
class Reply:
    """What the server said.

    Attributes:
        status: the HTTP status.
        body: the text.
        headers: with names in lower case.
    """

    status: int
    body: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json.loads(self.body)

    def wait(self) -> float | None:
        """Seconds after which the server wants to be asked again, if it says so."""
        try:
            if "retry-after-ms" in self.headers:
                return max(0.0, float(self.headers["retry-after-ms"]) / 1000)
            value = self.headers.get("retry-after", "")
            if value.strip().replace(".", "", 1).isdigit():
                return float(value)
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()) if value else None
        except (ValueError, TypeError):
            return None


class Unreachable(Exception):  # noqa: N818 (what happened)
    """No reply came; ``permanent`` where trying again cannot help, ``slow`` where time ran out."""

    def __init__(self, message: str, *, permanent: bool = False, slow: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.slow = slow


class _Watch:
    """Ends the connections of a request at its deadline: a socket's own time limit starts anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self._copies: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def connect(self, *args: Any, **options: Any) -> socket.socket:
        """:func:`socket.create_connection`, with a copy kept: the original may be wrapped for TLS, or closed early."""
        found = socket.create_connection(*args, **options)
        with self._lock:
            self._copies.append(found.dup())
        return found

    def _end(self) -> None:
        with self._lock:
            for copy in self._copies:
                with contextlib.suppress(OSError):
                    copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        with self._lock:
            for copy in self._copies:
                copy.close()
            self._copies.clear()


class _Watched(urllib.request.AbstractHTTPHandler):
    watch: _Watch

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        def make(*args: Any, **more: Any) -> Any:
            connection = http_class(*args, **more)
            connection._create_connection = self.watch.connect
            return connection

        return super().do_open(make, req, **options)


class _Http(_Watched, urllib.request.HTTPHandler):
    pass


class _Https(_Watched, urllib.request.HTTPSHandler):
    pass


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


def request_json(
    url: str, payload: Any, *, key: Secret, timeout: float, headers: Mapping[str, str] | None = None, redirects: int = 3
) -> Reply:
    """POST ``payload`` as JSON, or GET without one. Proxies are those of the environment.

    A redirect is followed within the same scheme, host and port; one that leads elsewhere comes back as the reply.

    Raises:
        Unreachable: no reply within ``timeout`` seconds, or no connection.
    """
    deadline = time.monotonic() + timeout
    for _ in range(redirects + 1):
        reply = _once(url, payload, key, deadline, headers or {})
        if reply.status not in (301, 302, 303, 307, 308):
            return reply
        target = urllib.parse.urljoin(url, reply.headers.get("location", ""))
        if _origin(target) != _origin(url):
            return reply
        url = target
    return reply


def _once(url: str, payload: Any, key: Secret, deadline: float, headers: Mapping[str, str]) -> Reply:
    data = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, data=data, method="GET" if data is None else "POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("Accept", "application/json")
    request.add_header("User-Agent", "optimand")
    for name, value in headers.items():
        request.add_header(name, value)
    if key:
        # An unredirected header is dropped by urllib too, should a redirect ever be followed there.
        request.add_unredirected_header("Authorization", f"Bearer {key.reveal()}")
    watch = _Watch(_left(deadline))
    handlers = _Http(), _Https()
    for handler in handlers:
        handler.watch = watch
    opener = urllib.request.build_opener(_NoRedirect, *handlers)
    try:
        with opener.open(request, timeout=_left(deadline)) as response:
            return Reply(response.status, _body(response, deadline), _lower(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, _body(error, deadline), _lower(error.headers))
    except urllib.error.URLError as error:
        raise _unreachable(error.reason, deadline) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error, deadline) from None
    finally:
        watch.close()


def _body(response: Any, deadline: float) -> str:
    """Read until the end; what ends at the deadline was cut off."""
    parts: list[bytes] = []
    size = 0
    while True:
        part = response.read1(2**16) if hasattr(response, "read1") else response.read(2**16)
        _left(deadline)
        if not part:
            if getattr(response, "length", None):
                raise http.client.IncompleteRead(b"".join(parts))
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)
        size += len(part)
        if size > _BIGGEST:
            raise Unreachable(f"the reply is larger than {_BIGGEST >> 20} MiB", permanent=True)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _unreachable(reason: Any, deadline: float) -> Unreachable:
    if isinstance(reason, TimeoutError | socket.timeout) or time.monotonic() >= deadline:
        return Unreachable("timed out", slow=True)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unreachable(f"the server's certificate is not trusted ({reason.verify_message})", permanent=True)
    return Unreachable(str(reason) or type(reason).__name__)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
