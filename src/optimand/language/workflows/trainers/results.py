"""What training gives back: the best values, the scores, and a table of the steps."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimand.core.recorder import write_atomically


@dataclass(frozen=True)
class TrainingResult:
    """What training has found.

    Attributes:
        best: the best values by parameter name; the parameters have them when ``train`` returns.
        best_score: their mean score, on the validation set if there is one; None where they were not measured.
        scores: the best score after each step, None where there was none yet.
        history: a row for each step; see :meth:`table`.
        steps: steps made, those before a resumption included.
        evaluations: executions of the workflow.
        stopped: why training ended before its last step; empty if it did not.
        front: of several objectives, the values that no others beat in all: mappings with ``values`` and ``scores``.

    Example:
        >>> TrainingResult(best={"x0": 2}, best_score=0.5, history=({"step": 1, "best_score": 0.5},)).scores
        (0.5,)
    """

    best: Mapping[str, Any]
    best_score: float | None
    history: tuple[Mapping[str, Any], ...] = ()
    steps: int = 0
    evaluations: int = 0
    stopped: str = ""
    front: tuple[Mapping[str, Any], ...] = ()

    @property
    def scores(self) -> tuple[float | None, ...]:
        """The best score after each step."""
        return tuple(row.get("best_score") for row in self.history)

    def table(self) -> list[dict[str, Any]]:
        """The history as flat rows: the values' columns are ``values.<name>``, what is no number or text is JSON."""
        rows = []
        for row in self.history:
            flat: dict[str, Any] = {}
            for key, value in row.items():
                if isinstance(value, Mapping):
                    flat.update({f"{key}.{name}": _cell(item) for name, item in value.items()})
                else:
                    flat[key] = _cell(value)
            rows.append(flat)
        return rows

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`table`; a cell is empty where a row has no such column."""
        import io

        rows = self.table()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.getvalue().encode("utf-8"))

    def __str__(self) -> str:
        score = "not measured" if self.best_score is None else f"{self.best_score:.6g}"
        text = f"{self.steps} steps, {self.evaluations} evaluations, best score {score}"
        return f"{text}; stopped: {self.stopped}" if self.stopped else text


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
