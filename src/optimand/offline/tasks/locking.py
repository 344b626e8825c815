"""Locks of oracles: of one task, or of all tasks of the process.

While the run loop lets a method propose, no task of the process evaluates and none can be made, since another one of
the same name would have the oracle and the hidden rows. This is against mistakes: a method that computes the oracle by
itself (folds the RNA, reads the table) cannot be kept from it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from optimand.core.validation import OptimandError


class OracleLocked(OptimandError):  # noqa: N818 (says what the oracle is)
    """The oracle was asked while a method runs."""


class Locks:
    """How many blocks at present refuse an oracle; blocks may be nested, and held by several threads."""

    _guard = threading.Lock()

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Refuse inside the block."""
        with self._guard:
            self.count += 1
        try:
            yield
        finally:
            with self._guard:
                self.count -= 1


EVERYWHERE = Locks()


def oracles_locked() -> contextlib.AbstractContextManager[None]:
    """Refuse every oracle of this process inside the block, in all threads, and the making of tasks.

    Example:
        >>> from optimand import offline
        >>> with oracles_locked():
        ...     offline.make("synthetic")
        Traceback (most recent call last):
        optimand.offline.tasks.locking.OracleLocked: no task can be made while a method runs: it may have hidden rows
    """
    return EVERYWHERE.held()
