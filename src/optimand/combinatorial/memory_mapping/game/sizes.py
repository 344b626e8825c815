"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from optimand.core.validation import OptimandError

_UNITS = {"": 1, "b": 1, "kib": 2**10, "k": 2**10, "mib": 2**20, "m": 2**20, "gib": 2**30, "g": 2**30}


def read_bytes(text: str | float) -> int:
    """A number of bytes as people write it.

    Raises:
        OptimandError: it is none.

    Example:
        >>> read_bytes("1.5MiB"), read_bytes("64k"), read_bytes(12)
        (1572864, 65536, 12)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    if not found or found[2].lower() not in _UNITS:
        raise OptimandError(f"capacity must be a number of bytes such as 65536, 512KiB or 1.5MiB, got {text!r}")
    return round(float(found[1]) * _UNITS[found[2].lower()])


def shown_bytes(size: int) -> str:
    """Bytes as people write them.

    Example:
        >>> shown_bytes(1572864), shown_bytes(65536), shown_bytes(1000)
        ('1.5MiB', '64KiB', '1000')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor and size * 4 % factor == 0:
            return f"{size / factor:g}{unit}"
    return str(size)
