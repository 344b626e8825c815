"""Real data with fixed splits: from installed packages and generators first, then from ``$OPTIMAND_DATA``.

Nothing is downloaded. Where a set is not on this machine, :func:`load` says what to install or to set.
"""

from __future__ import annotations

from .containers import Split, TableData, TextData
from .registry import available, load, names

__all__ = ["Split", "TableData", "TextData", "available", "load", "names"]
