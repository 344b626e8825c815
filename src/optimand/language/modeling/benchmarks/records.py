"""Records of graded attempts on disk: a line of JSON each, so that a kill loses no more than one attempt."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError

from ..execution import ModelingProblem


@dataclass(frozen=True)
class Record:
    """One graded attempt, as it is kept on disk.

    Attributes:
        problem: the problem's identity.
        type: its type.
        sample: number of the try, from 0.
        status: of the program.
        correct: what the grader said.
        reason: why not.
        calls, tokens: of the solver's model and of reading the output.
        read_calls: those of reading the output alone.
        seconds: wall time of the programs.
    """

    problem: str
    type: str
    sample: int
    status: str
    correct: bool
    reason: str = ""
    calls: int = 0
    tokens: int = 0
    read_calls: int = 0
    cost: float = 0.0
    seconds: float = 0.0


def identity(name: str, problems: list[ModelingProblem], grading: str, samples: int) -> dict[str, Any]:
    """What tells one evaluation from another."""
    text = json.dumps([[p.id, p.question, dict(p.answers)] for p in problems], sort_keys=True)
    return {
        "solver": name,
        "grading": grading,
        "samples": samples,
        "problems": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


class Store:
    """Records in memory and, with a path, on disk: a first line that says of what, then a line for each record."""

    def __init__(self, path: str | os.PathLike[str] | None, identity: dict[str, Any]) -> None:
        self.records: dict[tuple[str, int], Record] = {}
        self._file: Any = None
        if path is None:
            return
        place = Path(path)
        whole = self._read(place, identity) if place.is_file() else 0
        place.parent.mkdir(parents=True, exist_ok=True)
        self._file = place.open("r+b" if whole else "wb")
        # What a kill left of a line is cut away before more is written.
        self._file.seek(whole)
        self._file.truncate()
        if not whole:
            self._write(identity)

    def _read(self, place: Path, identity: dict[str, Any]) -> int:
        whole = 0
        for number, line in enumerate(place.read_bytes().splitlines(keepends=True)):
            if not line.endswith(b"\n"):
                break
            try:
                data = json.loads(line)
                if number == 0:
                    if data != identity:
                        raise OptimandError(
                            f"{str(place)!r} is of another evaluation, {data}, and this one is {identity}: name another"
                        )
                else:
                    record = Record(**data)
                    self.records[record.problem, record.sample] = record
            except (ValueError, TypeError):
                if number == 0:
                    raise OptimandError(f"{str(place)!r} holds no records of an evaluation") from None
                break
            whole += len(line)
        return whole

    def _write(self, data: dict[str, Any]) -> None:
        self._file.write(json.dumps(data, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def add(self, record: Record) -> None:
        """Keep a record."""
        self.records[record.problem, record.sample] = record
        if self._file is not None:
            self._write(asdict(record))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
