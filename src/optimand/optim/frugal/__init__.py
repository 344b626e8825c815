"""FRUGAL: states for a small subspace of each weight matrix, a rule without states for the rest (arXiv 2411.07837)."""

from __future__ import annotations

from .optimizer import FRUGAL

__all__ = ["FRUGAL"]
