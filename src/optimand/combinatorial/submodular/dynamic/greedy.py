"""Lazy greedy (Minoux 1978) run again on the live elements, with the gains of single elements kept.

It is the baseline that a dynamic method has to beat.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..maximizers.lazy import lazy_greedy
from .engine import Engine


class Rows:
    """Live ids with a number each, dense: what leaves is replaced by the last.

    Attributes:
        n: how many.
        ids, singles: arrays of which the first ``n`` entries count.
        at: by id, its number, or -1.
    """

    def __init__(self) -> None:
        self.n = 0
        self.ids = np.empty(16, dtype=np.int64)
        self.singles = np.empty(16)
        self.at = np.full(16, -1, dtype=np.int64)

    def append(self, i: int, single: float) -> None:
        """``i`` comes."""
        n = self.n
        if n == len(self.ids):
            self.ids, self.singles = np.resize(self.ids, 2 * n), np.resize(self.singles, 2 * n)
        if i >= len(self.at):
            more = np.full(max(2 * len(self.at), i + 1) - len(self.at), -1, dtype=np.int64)
            self.at = np.concatenate([self.at, more])
        self.ids[n], self.singles[n], self.at[i] = i, single, n
        self.n = n + 1

    def remove(self, i: int) -> None:
        """``i`` goes."""
        self.n -= 1
        last, at = self.n, self.at[i]
        moved = self.ids[last]
        self.ids[at], self.singles[at], self.at[moved] = moved, self.singles[last], at
        self.at[i] = -1


class RerunGreedy(Engine):
    """Lazy greedy from the start at the first query after an update."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.rows = Rows()
        self.answer: tuple[list[int], float] | None = ([], 0.0)
        self.runs = 0

    def insert(self, i: int, single: float) -> None:
        self.rows.append(i, single)
        self.answer = None

    def delete(self, i: int, single: float) -> None:
        self.rows.remove(i)
        self.answer = None

    def ask(self) -> tuple[list[int], float]:
        """The solution and its value."""
        if self.answer is None:
            n = self.rows.n
            ids, gains, calls = lazy_greedy(self.oracle.f, self.rows.ids[:n], self.k, self.rows.singles[:n])
            self.oracle.calls += calls
            self.runs += 1
            self.answer = ids.tolist(), float(gains.sum())
        return self.answer

    def value(self) -> float:
        return self.ask()[1]

    def solution(self) -> list[int]:
        return list(self.ask()[0])

    def stats(self) -> dict[str, Any]:
        return {"runs": self.runs}

    def state(self) -> dict[str, Any]:
        answer = None if self.answer is None else [list(self.answer[0]), self.answer[1]]
        rows = self.rows.ids[: self.rows.n].tolist()
        return {"rows": rows, "answer": answer, "runs": self.runs}

    def load(self, state: dict[str, Any]) -> None:
        self.rows = Rows()
        for i in state["rows"]:
            self.rows.append(i, self.singles[i])
        self.answer = None if state["answer"] is None else (list(state["answer"][0]), state["answer"][1])
        self.runs = state["runs"]
