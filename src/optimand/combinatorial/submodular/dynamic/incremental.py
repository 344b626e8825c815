"""Greedy's path, repaired where an update changes it: the default engine.

It holds exactly what lazy greedy would choose if it were run again, up to ties, and asks only for what changed:

* Greedy's path is the sequence of its prefixes G_0, G_1, …, G_k and of the gains g_1 >= g_2 >= … with which the
  elements joined. An element that is not on the path can leave without any change to it. An element that comes changes
  it at the first d where its gain over G_d is above g_{d+1}; as its last known gain bounds it, gains are only asked for
  where that bound is above g_{d+1}. Most elements are never worth as much as the k-th gain and cost one call, f({e}).
* Where the path breaks at depth d, greedy goes on from G_d. The gain of an element over any G_j with j <= d that is
  still on the path bounds its gain there, so all such gains are kept, and forgotten as soon as their prefix breaks.
  (Gains over prefixes that have broken bound nothing: the new prefix is not a superset of the old one.)

The value is at least 1 - 1/e of the optimum whatever the order of updates, also against one who sees the solution. If
elements come and go in random order, each breaks the path with probability about k/n, so that the expected calls do not
grow with n. An order that breaks it every time, such as deleting the first element of the solution again and again, or
elements that come in ascending order of their worth, costs a run of lazy greedy for each update that is asked about.
This is no method of arXiv 2305.15192, whose guarantee is on the cost of every (oblivious) order; its engines are
``buckets`` and ``permutation``.

With ``slack`` the path breaks only where an element would join with more than (1 + slack) times the gain of the one
on it: each choice is within 1 + slack of the best, which gives 1 - exp(-1 / (1 + slack)) of the optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..maximizers.lazy import lazy_from
from .engine import Engine
from .greedy import Rows


class IncrementalGreedy(Engine):
    """Greedy's path, repaired.

    Args:
        slack: >= 0, see above.
    """

    def __init__(self, *args: Any, slack: float = 0.0) -> None:
        super().__init__(*args)
        self.slack = slack
        self.rows = Rows()
        self.path: list[int] = []
        self.gains: list[float] = []
        self.place: dict[int, int] = {}  # id -> where it stands on the path
        self.log_ids, self.log_depths = np.empty(256, dtype=np.int64), np.empty(256, dtype=np.int64)
        self.log_gains = np.empty(256)  # gains over the prefixes of the path of depth 1 and more
        self.logged = 0
        self.states: dict[int, Any] = {0: self.oracle.empty}
        self.stride = -(-self.k // 64)  # of the states that are kept
        self.waiting: dict[int, float] = {}  # came since the last repair and may change the path
        self.broken: int | None = None  # the path holds up to this depth
        self.least = 0.0  # what is worth no more cannot change the path
        self.repairs = 0

    def insert(self, i: int, single: float) -> None:
        self.rows.append(i, single)
        if single > self.least:
            self.waiting[i] = single

    def delete(self, i: int, single: float) -> None:
        self.rows.remove(i)
        self.waiting.pop(i, None)
        at = self.place.get(i)
        if at is not None:
            self.broken = at if self.broken is None else min(at, self.broken)

    def settle(self) -> None:
        """Repair the path."""
        depth = len(self.path) if self.broken is None else self.broken
        whole = self.broken is None
        for i, single in self.waiting.items():
            found = self.breaks_at(i, single, depth)
            if found < depth or (found == depth and depth == len(self.path) < self.k):
                depth, whole = found, False
        self.waiting.clear()
        if not whole:
            self.broken = depth  # also if a gain is an error: the next query must not take the rest for a path
            self.repair(depth)
        self.broken = None

    def breaks_at(self, i: int, bound: float, depth: int) -> int:
        """The first d <= ``depth`` at which ``i`` is worth more than what stands there; ``depth`` + 1 if none.

        At the end of a path of fewer than k elements anything above 0 is worth more.
        """
        for d in range(depth + 1):
            if d < len(self.path):
                if d == depth:
                    break  # greedy goes on from here anyway
                bar = (1 + self.slack) * self.gains[d]
            elif d < self.k:
                bar = 0.0
            else:
                break
            if bound > bar:
                if d:
                    bound = self.oracle.gain(self.state_at(d), i)
                    self.log([i], [d], [bound])
                if bound > bar:
                    return d
        return depth + 1

    def state_at(self, d: int) -> Any:
        """G_d; adding elements whose gains are known costs no calls."""
        if d in self.states:
            return self.states[d]
        low = max(j for j in self.states if j <= d)
        state = self.states[low].copy()
        for j in range(low, d):
            self.oracle.f.add(state, self.path[j], self.gains[j])
            if (j + 1) % self.stride == 0:
                self.states[j + 1] = state
                state = state.copy()
        return state

    def log(self, ids: Any, depths: Any, gains: Any) -> None:
        """Keep gains; entries of dead elements are dropped when room runs out."""
        n, more = self.logged, len(ids)
        if n + more > len(self.log_ids):
            live = self.rows.at[self.log_ids[:n]] >= 0
            kept = self.log_ids[:n][live], self.log_depths[:n][live], self.log_gains[:n][live]
            n, room = len(kept[0]), max(256, 2 * (len(kept[0]) + more))
            self.log_ids, self.log_depths = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
            self.log_gains = np.empty(room)
            self.log_ids[:n], self.log_depths[:n], self.log_gains[:n] = kept
        self.log_ids[n : n + more], self.log_depths[n : n + more], self.log_gains[n : n + more] = ids, depths, gains
        self.logged = n + more

    def repair(self, depth: int) -> None:
        """Run greedy from G_depth on."""
        self.repairs += 1
        for i in self.path[depth:]:
            del self.place[i]
        del self.path[depth:], self.gains[depth:]
        self.states = {d: state for d, state in self.states.items() if d <= depth}
        n, rows_of = self.rows.n, self.rows.at[self.log_ids[: self.logged]]
        ids, bounds, exact = self.rows.ids[:n], self.rows.singles[:n].copy(), np.full(n, depth == 0)
        # What was asked over prefixes that still hold bounds the gains; the rest of the log is dropped.
        holds = (self.log_depths[: self.logged] <= depth) & (rows_of >= 0)
        self.logged = count = int(holds.sum())
        for log in (self.log_ids, self.log_depths, self.log_gains):
            log[:count] = log[: len(holds)][holds]
        rows_of = rows_of[holds]
        np.minimum.at(bounds, rows_of, self.log_gains[:count])
        exact[rows_of[self.log_depths[:count] == depth]] = True
        bounds[self.rows.at[self.path]] = -np.inf
        left = min(self.k - depth, n)
        chosen, gains, (rows, depths, found) = lazy_from(self.oracle.f, self.path, self.gains, ids, bounds, exact, left)
        self.oracle.calls += len(rows)
        self.log(ids[rows], depths + depth, found)
        for i, g in zip(ids[chosen].tolist(), gains.tolist(), strict=True):
            self.extend(i, g)
        self.least = min(self.gains) if len(self.path) == self.k else 0.0

    def extend(self, i: int, gain: float) -> None:
        """Append an element to the path."""
        self.place[i] = len(self.path)
        self.path.append(i)
        self.gains.append(gain)

    def value(self) -> float:
        self.settle()
        return sum(self.gains)

    def solution(self) -> list[int]:
        self.settle()
        return list(self.path)

    def stats(self) -> dict[str, Any]:
        return {"repairs": self.repairs}

    def state(self) -> dict[str, Any]:
        n = self.logged
        return {
            "rows": self.rows.ids[: self.rows.n].tolist(),
            "path": list(self.path),
            "gains": list(self.gains),
            "log": [self.log_ids[:n].tolist(), self.log_depths[:n].tolist(), self.log_gains[:n].tolist()],
            "waiting": list(self.waiting),
            "broken": self.broken,
            "repairs": self.repairs,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.rows = Rows()
        for i in state["rows"]:
            self.rows.append(i, self.singles[i])
        self.path, self.gains = list(state["path"]), list(state["gains"])
        self.place = {i: d for d, i in enumerate(self.path)}
        self.logged = 0
        # Elements of the log that are dead when the log is full are dropped: their ids need a row number, though.
        top = max([*state["log"][0], *self.path, -1])
        if top >= len(self.rows.at):
            self.rows.at = np.concatenate([self.rows.at, np.full(top + 1 - len(self.rows.at), -1, dtype=np.int64)])
        self.log(*state["log"])
        self.waiting = {i: self.singles[i] for i in state["waiting"]}
        self.broken, self.repairs = state["broken"], state["repairs"]
        self.least = min(self.gains) if len(self.path) == self.k else 0.0
