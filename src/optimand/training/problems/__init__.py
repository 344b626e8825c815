"""The training problems of the library; importing this package registers them, and loads no data."""

from __future__ import annotations

from . import images, tables, text

__all__ = ["images", "tables", "text"]
