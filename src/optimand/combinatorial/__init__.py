"""Choosing from finitely many: sets worth most together, and what of a program lies in fast memory."""
