"""Where compiled code and drawn pictures are kept between processes, checkouts and installations."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """``$OPTIMAND_CACHE``, ``$XDG_CACHE_HOME/optimand`` or ``~/.cache/optimand``, and below it ``kind``."""
    named = os.environ.get("OPTIMAND_CACHE")
    if named:
        return Path(named) / kind
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "optimand" / kind
