"""The page of a study: one self-contained HTML file, built from the stored results alone."""

from __future__ import annotations

from .page import write_claims_page, write_page

__all__ = ["write_claims_page", "write_page"]
