"""Keys stay out of everything that is written or shown: a holder that does not print, and redaction of texts."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "[redacted]"

_PATTERNS = re.compile(
    r"""
    (?P<scheme>\b(?i:bearer)\s+)(?=[^\s"']*\d)[A-Za-z0-9._~+/=-]{8,}
    | (?P<field>(?i:api[-_]?key|access[-_]?token|secret|password)["']?\s*[:=]\s*["']?)[A-Za-z0-9._~+/-]{16,}
    | (?P<header>(?i:authorization)["']?\s*[:=]\s*["']?(?:\w+\s+)?)[A-Za-z0-9._~+/=-]{8,}
    | (?P<user>https?://)[^\s/@"']+@
    | \bsk-(?:(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]{16,})
    | \b(?:gsk_|xai-|hf_|ghp_|gho_|github_pat_|r8_|pplx-|nvapi-|glpat-|xox[abprs]-)[A-Za-z0-9_-]{12,}
    | \bAIza[0-9A-Za-z_-]{30,}
    | \bAKIA[0-9A-Z]{16}\b
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}
    """,
    re.VERBOSE,
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|BEARER", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"AUTH|COOKIE", re.IGNORECASE)
_SHORTEST = 8  # values below are words such as "true", which would be cut out of ordinary text

_given: set[str] = set()
_lock = threading.Lock()


class Secret:
    """A key that neither ``repr`` nor ``str`` nor pickling gives away.

    A pickled secret is empty when it comes back, unless it names the environment variable to read it from again.

    Args:
        value: the key, or None for none.
        variable: the environment variable it came from.

    Example:
        >>> Secret("sk-0123456789")
        Secret([redacted])
    """

    __slots__ = ("_value", "variable")

    def __init__(self, value: str | None, variable: str = "") -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"api_key must be a string, got a {type(value).__name__}")
        self._value = value.strip() if value else None
        self.variable = variable
        if self._value is not None:
            if not self._value.isprintable() or not self._value.isascii():
                raise ValueError("api_key must be printable ASCII without line breaks")
            remember(self._value)

    def reveal(self) -> str | None:
        """The key itself."""
        return self._value

    def __bool__(self) -> bool:
        return self._value is not None

    def __repr__(self) -> str:
        return f"Secret({REDACTED})" if self else "Secret(None)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_environment, (self.variable,)


def _from_environment(variable: str) -> Secret:
    return Secret(os.environ.get(variable) if variable else None, variable)


def remember(value: str) -> None:
    """Have :func:`redact` remove ``value`` wherever it stands."""
    if len(value) >= _SHORTEST:
        with _lock:
            _given.add(value)


def names_secret(header: str) -> bool:
    """Whether a header of this name carries a key."""
    return bool(_SECRET_NAME.search(header) or _SECRET_HEADER.search(header))


def redact(text: str) -> str:
    """The text without keys: those given to a model, values of environment variables named like keys, known forms.

    Example:
        >>> redact("Authorization: Bearer abcdef123456, sk-proj-4bcdefgh")
        'Authorization: Bearer [redacted], [redacted]'
    """
    return _patterns_out(_values_out(text, _known()))


def redact_all(value: Any) -> Any:
    """:func:`redact` on every text of nested dicts, lists and tuples, keys of dicts included."""
    known = _known()

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            return _patterns_out(_values_out(part, known))
        if isinstance(part, Mapping):
            return {walk(key): walk(entry) for key, entry in part.items()}
        if isinstance(part, list | tuple):
            return [walk(entry) for entry in part]
        return part

    return walk(value)


def _known() -> list[str]:
    with _lock:
        values = set(_given)
    values |= {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST}
    return sorted(values, key=len, reverse=True)  # a key that contains another goes first


def _values_out(text: str, known: Iterable[str]) -> str:
    for value in known:
        if value in text:
            text = text.replace(value, REDACTED)
    return text


def _patterns_out(text: str) -> str:
    def replacement(found: re.Match[str]) -> str:
        kept = next((found.group(name) for name in ("scheme", "field", "header", "user") if found.group(name)), "")
        return kept + REDACTED + ("@" if found.group("user") else "")

    return _PATTERNS.sub(replacement, text)
