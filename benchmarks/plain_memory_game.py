"""The mallocGame in plain Python: what the compiled one is compared with, in speed here and step by step in the tests.

It shares no code and no data structure with the package's kernels: residencies are dictionaries that are sorted when
an address is looked for, alias groups are taken back by restoring a deep copy, and sums are made afresh.
"""

from __future__ import annotations

import copy
from typing import Any

DROP, NOCOPY, COPY = 0, 1, 2
REL = 1e-12


class PlainGame:
    """A game with ``legal()``, ``step(action)``, ``done``, ``time`` and ``position``, as the compiled one."""

    def __init__(self, program: Any, hardware: Any) -> None:
        self.capacity = hardware.capacity
        self.buffers = program.buffers
        self.compute = [i.compute for i in program.instructions]
        self.uses_of = [[*i.outputs, *i.inputs] for i in program.instructions]
        self.refs = [
            (t, b, b in i.outputs) for t, i in enumerate(program.instructions) for b in (*i.outputs, *i.inputs)
        ]
        self.times_of: list[list[int]] = [[] for _ in program.buffers]
        for t, b, _ in self.refs:
            self.times_of[b].append(t)
        self.rank = [self.times_of[b].index(t) for t, b, _ in self.refs]
        self.slow = [b.size / hardware.slow_bw for b in program.buffers]
        self.fast = [b.size / hardware.fast_bw for b in program.buffers]
        self.need = [b.size / hardware.copy_bw for b in program.buffers]
        self.group_of = {b: g for g, members in enumerate(program.aliases) for b in members}
        self.doomed: set[int] = set()
        self.backups = 0
        self.all_slow = [
            max(c, sum(self.slow[b] for b in used)) for c, used in zip(self.compute, self.uses_of, strict=True)
        ]
        self.reset()

    def reset(self) -> None:
        self.doomed, self.backups = set(), 0
        self.state: dict[str, Any] = {
            "k": 0,
            "served": {},  # (instruction, buffer) -> action
            "stays": [],  # of every residency: who, from, to, at
            "here": {},  # buffer -> its current stay's number
            "used": [0.0] * len(self.compute),
            "seconds": list(self.all_slow),
            "group": {},  # group -> None for slow, else its address
        }
        self.saved: dict[int, dict[str, Any]] = {}
        self._prepare()

    @property
    def position(self) -> int:
        return int(self.state["k"])

    @property
    def done(self) -> bool:
        return self.position == len(self.refs)

    @property
    def time(self) -> float:
        return float(sum(self.state["seconds"]))

    def legal(self) -> list[bool]:
        return [not self.forced and not self.done, self.option == NOCOPY, self.option == COPY]

    def step(self, action: int) -> float:
        if self.done or not self.legal()[action]:
            raise ValueError(f"illegal action {action}")
        before, s = self.time, self.state
        t, b, is_output = self.refs[s["k"]]
        group = self.group_of.get(b)
        opens = group is not None and self.rank[s["k"]] == 0
        if opens and group not in s["group"] and group not in self.saved:
            self.saved[group] = copy.deepcopy(s)
        s["served"][t, b] = action
        if action == DROP:
            stay = s["here"].pop(b, None)
            if stay is not None and s["stays"][stay]["to"] >= t:
                s["stays"][stay]["to"] = self.times_of[b][self.rank[s["k"]] - 1]
            if opens and group not in s["group"]:
                s["group"][group] = None
        else:
            if action == COPY or is_output:
                self._stay(t, b, is_output, group if opens else None)
            self._count(t)
            if not is_output and not self.buffers[b].param:
                self._count(self.times_of[b][0])
        s["k"] += 1
        self._prepare()
        return before - self.time

    def _stay(self, t: int, b: int, is_output: bool, deciding: int | None) -> None:
        s = self.state
        start, at = t, s["group"].get(deciding) if deciding is not None else None
        if not is_output:
            plan = self._plan(t, b)
            assert plan is not None
            for j, seconds in plan.items():
                s["used"][j] += seconds
            start = min(plan)
        low, end = None, t
        for later in self.times_of[b][self.rank[s["k"]] :]:
            found = self._room(b, start, later, is_output, at)
            if found is None:
                break
            low, end = found, later
        s["here"][b] = len(s["stays"])
        s["stays"].append({"who": b, "from": start, "to": end, "at": low, "defined": is_output})
        if deciding is not None:
            s["group"][deciding] = low

    def _count(self, t: int) -> None:
        """Seconds of an instruction from its references' actions."""
        s, total = self.state, 0.0
        for b in self.uses_of[t]:
            if s["served"].get((t, b), DROP) == DROP:
                total += self.slow[b]
                continue
            total += self.fast[b]
            if not self.buffers[b].param and t == self.times_of[b][0]:
                later = [s["served"].get((j, b)) for j in self.times_of[b][1:]]
                if self.buffers[b].live_out or any(a != NOCOPY for a in later):
                    total += self.slow[b]
        s["seconds"][t] = max(self.compute[t], total)

    def _plan(self, t: int, b: int) -> dict[int, float] | None:
        """Copy seconds by instruction for a prefetch of ``b`` before ``t``."""
        rank = self.times_of[b].index(t)
        stop = self.times_of[b][rank - 1] if rank else -1
        need, plan = self.need[b], {}
        for j in range(t - 1, stop, -1):
            left = self.all_slow[j] - self.state["used"][j]
            if left <= REL * self.all_slow[j]:
                continue
            plan[j] = min(left, need)
            need -= left
            if need <= REL * self.need[b]:
                return plan
        return None

    def _room(self, b: int, start: int, end: int, defined: bool, at: int | None) -> int | None:
        size = self.buffers[b].size
        busy = sorted(
            (stay["at"], stay["at"] + self.buffers[stay["who"]].size)
            for stay in self.state["stays"]
            if stay["from"] <= end and start <= stay["to"] and not self._in_place(b, start, end, defined, stay)
        )
        for low in [0, *(high for _, high in busy)] if at is None else [at]:
            if low + size <= self.capacity and all(high <= low or low + size <= other for other, high in busy):
                if at is not None:
                    return low
                return min(
                    x
                    for x in [0, *(high for _, high in busy)]
                    if x + size <= self.capacity and all(high <= x or x + size <= other for other, high in busy)
                )
        return None

    def _in_place(self, b: int, start: int, end: int, defined: bool, stay: dict[str, Any]) -> bool:
        if b not in self.group_of or self.group_of[b] != self.group_of.get(stay["who"]):
            return False
        return (defined and stay["to"] == start) or (stay["defined"] and stay["from"] == end)

    def _prepare(self) -> None:
        self.forced, self.option = False, 0
        while not self.done:
            s = self.state
            t, b, is_output = self.refs[s["k"]]
            group = self.group_of.get(b)
            if group in self.doomed:
                return
            bound = group is not None and self.rank[s["k"]] == 0 and group in s["group"]
            if bound and s["group"][group] is None:
                return
            self.option = self._option(t, b, is_output, s["group"][group] if bound else None)
            if not bound:
                return
            if self.option:
                self.forced = True
                return
            self.doomed.add(group)  # type: ignore[arg-type]
            self.backups += 1
            self.state = self.saved.pop(group)  # type: ignore[arg-type]
            self.saved = {g: kept for g, kept in self.saved.items() if kept["k"] < self.state["k"]}

    def _option(self, t: int, b: int, is_output: bool, at: int | None) -> int:
        if is_output:
            return NOCOPY if self._room(b, t, t, True, at) is not None else DROP
        stay = self.state["here"].get(b)
        if stay is not None and self.state["stays"][stay]["to"] >= t:
            return NOCOPY
        plan = self._plan(t, b)
        if plan is None or self._room(b, min(plan), t, False, at) is None:
            return DROP
        return COPY
