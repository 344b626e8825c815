"""The recorder: a run writes its records, costs, pictures and checkpoints here, and nowhere else."""

from __future__ import annotations

import math
import os
import pickle
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pictures import Picture, to_plain

# Raised when what run loops or methods keep of a run changes: a run interrupted under another one starts afresh.
CHECKPOINT_FORMAT = 2


class Diverged(Exception):  # noqa: N818 (an outcome, not an error)
    """A run's objective is no longer finite, or has blown up.

    Args:
        at: position in the budget's unit.
        reason: what was seen, e.g. ``training loss is nan``.
    """

    def __init__(self, at: float, reason: str) -> None:
        super().__init__(f"diverged at {at:g}: {reason}")
        self.at = at
        self.reason = reason


@dataclass(frozen=True)
class Record:
    """One number of a run's stream."""

    at: float
    seconds: float
    split: str
    metric: str
    value: float


class Recorder:
    """Takes the records, costs, pictures and checkpoints of one run.

    Args:
        budget: how much of the problem's unit the run may use.
        checkpoint: file for checkpoints; None to keep none.
        checkpoint_every: seconds between two checkpoints.
        progress: called with the share of the budget used, in [0, 1].

    The stopwatch counts only what runs inside ``with recorder.timed():``, so that evaluation and
    recording are not charged to the method.
    """

    def __init__(
        self,
        budget: int,
        *,
        checkpoint: Path | None = None,
        checkpoint_every: float = 30.0,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.budget = budget
        self.records: list[Record] = []
        self.costs: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self.pictures: dict[str, dict[str, Any]] = {}
        self._seconds = 0.0
        self._running_since: float | None = None
        self._checkpoint = checkpoint
        self._every = checkpoint_every
        self._saved_at = time.monotonic()
        self._progress = progress

    @property
    def seconds(self) -> float:
        """Seconds spent inside ``timed()`` so far, resumed parts included."""
        running = 0.0 if self._running_since is None else time.perf_counter() - self._running_since
        return self._seconds + running

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Charge the block's time to the method."""
        self._running_since = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - self._running_since
            self._running_since = None

    def record(self, at: float, split: str, **metrics: float) -> None:
        """Write the values of ``metrics`` on ``split`` (train, valid, test) at position ``at``."""
        seconds = self.seconds
        self.records += [Record(float(at), seconds, split, name, float(value)) for name, value in metrics.items()]

    def record_undivided(self, at: float, **metrics: float) -> None:
        """Write the same values on ``valid`` and ``test``: of problems without anything held out."""
        for split in ("valid", "test"):
            self.record(at, split, **metrics)

    def last(self, split: str, metric: str) -> float:
        """The latest value of ``metric`` on ``split``, NaN if there is none."""
        return next((r.value for r in reversed(self.records) if r.split == split and r.metric == metric), math.nan)

    def cost(self, **values: float) -> None:
        """Write what the run cost, e.g. ``state_bytes=…``; a later value replaces an earlier one."""
        self.costs.update({name: float(value) for name, value in values.items()})

    def note(self, **texts: str) -> None:
        """Write facts on the run that are no numbers, e.g. ``device="cpu"``."""
        self.notes.update(texts)

    def picture(self, name: str, picture: Picture) -> None:
        """Keep a picture with the run; a later one of the same name replaces an earlier one."""
        self.pictures[name] = to_plain(picture)

    def progress(self, at: float) -> None:
        """Tell how much of the budget is used; cheap enough for every step."""
        if self._progress is not None:
            self._progress(min(1.0, at / self.budget))

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next :meth:`save`."""
        return self._checkpoint is not None and time.monotonic() - self._saved_at >= self._every

    def postpone_checkpoint(self) -> None:
        """Let a checkpoint be due later, of a run that cannot save its state now."""
        self._saved_at = time.monotonic()

    def save(self, state: bytes) -> None:
        """Store the run's state with everything recorded so far; atomic, so a kill leaves the old or the new one."""
        if self._checkpoint is None:
            return
        kept = (self.records, self.costs, self.notes, self.pictures, self.seconds, state)
        content = pickle.dumps((CHECKPOINT_FORMAT, *kept))
        write_atomically(self._checkpoint, content)
        self._saved_at = time.monotonic()

    def restore(self) -> bytes | None:
        """The state of the last checkpoint, with the recorder set back to it; None to start afresh."""
        if self._checkpoint is None or not self._checkpoint.exists():
            return None
        try:
            kept_under, *kept = pickle.loads(self._checkpoint.read_bytes())
            if kept_under != CHECKPOINT_FORMAT:
                raise ValueError(f"a checkpoint of format {CHECKPOINT_FORMAT} was expected")
            records, costs, notes, pictures, seconds, state = kept
        except Exception:  # whatever a damaged pickle raises: starting afresh gives the same run, only later
            self._checkpoint.unlink(missing_ok=True)
            return None
        self.records, self.costs, self.notes, self.pictures = records, costs, notes, pictures
        self._seconds = seconds
        return state

    def clear_checkpoint(self) -> None:
        """Remove the checkpoint of a finished run."""
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)


def log_positions(budget: int, count: int) -> list[int]:
    """Where a run records: about ``count`` whole positions from 1 to ``budget``, evenly spaced on a log scale.

    Example:
        >>> log_positions(4, 40), log_positions(1000, 4)
        ([1, 2, 3, 4], [1, 10, 100, 1000])
    """
    return sorted({round(budget ** (i / (count - 1))) for i in range(count)} | {budget})


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader, or a crash, meets the old file or the new one, never a part."""
    # mkstemp would make a file that only its owner may read.
    name = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with name.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
