"""The training problems of the library; importing this package registers them, and loads no data."""

from __future__ import annotations

from . import images, llama, tables, text

__all__ = ["images", "llama", "tables", "text"]
