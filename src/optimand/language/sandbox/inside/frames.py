"""Messages over a socket: a JSON header and blobs, each with its length before it."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_FRAME = 1 << 30


class Closed(ConnectionError):  # noqa: N818 (what happened)
    """The other side is gone."""


def send(sock: socket.socket, header: dict[str, Any], *blobs: bytes) -> None:
    """Write a message."""
    parts = [json.dumps({**header, "blobs": len(blobs)}).encode(), *blobs]
    for part in parts:
        sock.sendall(struct.pack("!Q", len(part)))
        sock.sendall(part)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Read a message; Closed where there is no other side."""
    header = json.loads(_frame(sock))
    return header, [_frame(sock) for _ in range(header["blobs"])]


def _frame(sock: socket.socket) -> bytes:
    (size,) = struct.unpack("!Q", _exactly(sock, 8))
    if size > MAX_FRAME:
        raise Closed(f"a message of {size} bytes")
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            raise Closed("the connection ended")
        data += part
    return bytes(data)
