"""Batched tree search: array trees, compiled inference, search with the exact game and with a learned model."""
