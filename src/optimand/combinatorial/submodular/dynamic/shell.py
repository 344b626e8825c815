"""The shell of guesses: one run per guess (1+eps)^p of the optimum, the best run answers.

The run for the guess OPT_p = (1+eps)^p works with the threshold tau_p = OPT_p / (2k) and sees the elements with
tau_p <= f({e}) <= OPT_p. For the p with OPT <= OPT_p < (1+eps) OPT nothing is kept out that could matter: k chosen
elements are worth k tau_p >= OPT/2, and if fewer are chosen, OPT <= f(S) + k tau_p.

Literally every such run is kept up to date, and asks for every gain when it needs it. Calls are saved unless the engine
is to be ``literal``: f({e}) is asked for once per insertion, other gains are kept until the set that they are
conditioned on changes, and a run sleeps while it cannot be that of the right p:

* OPT_p is below a value that is known to be reached;
* a lower run that is awake proves OPT <= OPT_p: it chose fewer than k elements worth at most OPT_p / 2 (elements that
  died since it conditioned on them included), so that no set is worth more than OPT_p / 2 + k tau_p = OPT_p;
* OPT_p / (1+eps) is at least the sum of the k largest singletons.

A sleeping run keeps its state and a list of what it missed. When a bound moves so that it may be the right one, it
catches up, or is built from the live elements if it missed much. So the guarantee is that of all runs. A few runs below
the lowest that may be the right one stay awake, as their thresholds are often the better ones in practice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .engine import Engine, Largest

_TINY = 1e-12
SPARE = 1  # runs that stay awake below the lowest that may be the right one
_MISSED_SHARE = 0.5  # of a run's elements: beyond this it is built again


class Run(Engine):
    """The engine of one guess: chooses live elements whose gain is at least ``tau``.

    Attributes:
        guess: OPT_p.
        tau: OPT_p / (2k).
    """

    def __init__(self, shell: Guesses, guess: float) -> None:
        super().__init__(shell.oracle, shell.k, shell.eps, shell.rng, shell.singles)
        self.log, self.literal = shell.log, shell.literal
        self.guess, self.tau = guess, guess / (2 * shell.k)
        self.missed: dict[int, bool] = {}  # while asleep: id -> whether it came (or left)
        self.awake = True
        self._value: float | None = 0.0

    def delete(self, i: int, single: float) -> None:
        at = self.discard(i)
        if at is not None:
            self.construct(at)

    def discard(self, i: int) -> int | None:
        """Forget a dead element; the first level that has to be built again, if any."""
        raise NotImplementedError

    def construct(self, at: int) -> None:
        """Build the level ``at`` and what follows."""
        raise NotImplementedError

    def build(self, ids: list[int], singles: list[float]) -> None:
        """Start from these elements."""
        raise NotImplementedError

    def qualified(self, given: Any, ids: list[int]) -> dict[int, float]:
        """Those whose gain is at least tau, by one vectorised evaluation."""
        gains = self.oracle.gains(given, ids)
        return {i: g for i, g in zip(ids, gains, strict=True) if g >= self.tau}

    def known_value(self) -> float | None:
        """The value of the solution if it follows from gains already asked for."""
        return None

    def proves(self) -> bool:
        """Whether the optimum cannot be above the guess."""
        raise NotImplementedError

    def size(self) -> int:
        """Elements that the run knows."""
        raise NotImplementedError

    def value(self) -> float:
        """f of the solution, asked for only if it changed."""
        if self._value is None:
            known = self.known_value()
            self._value = self.oracle.value(self.solution()) if known is None else known
        return self._value

    def changed(self) -> None:
        """The solution changed."""
        self._value = None


class Guesses(Engine):
    """Runs for all guesses.

    Args:
        make: builds the run of a guess.
        literal: whether what saves calls is left out.
        fixed: the largest singleton that will ever come, known in advance: runs for the guesses
            ``fixed (1+eps)^j <= k fixed (1+eps)`` alone, each seeing every element that reaches its threshold, all
            always awake (the form of the official code of Lattanzi et al.).
    """

    def __init__(
        self, *args: Any, make: Callable[[Guesses, float], Run], literal: bool = False, fixed: float | None = None
    ) -> None:
        super().__init__(*args)
        self.make, self.literal, self.fixed = make, literal, fixed
        self.runs: dict[int, Run] = {}
        self.log = math.log1p(self.eps)
        self.largest = Largest(self.k, self.singles)
        if fixed is not None:
            last = math.floor(math.log(self.k * (1 + self.eps)) / self.log + 1e-9)
            self.runs = {j: make(self, self.guess(j)) for j in range(last + 1)}

    def guess(self, p: int) -> float:
        """OPT_p."""
        return (1.0 if self.fixed is None else self.fixed) * math.exp(p * self.log)

    def up(self, x: float) -> int:
        """The smallest p with OPT_p >= x."""
        return math.ceil(math.log(x) / self.log - _TINY)

    def range_of(self, single: float) -> range:
        """The p of the runs that an element with this f({e}) joins."""
        if self.fixed is not None:
            return range(
                min(len(self.runs), math.floor(math.log(2 * self.k * single / self.fixed) / self.log + 1e-9) + 1)
            )
        return range(self.up(single), math.floor(math.log(2 * self.k * single) / self.log + _TINY) + 1)

    def insert(self, i: int, single: float) -> None:
        if single <= 0.0:
            return
        self.largest.add(single)
        for p in self.range_of(single):
            run = self.runs.get(p)
            if run is None:
                if not self.literal:
                    continue
                run = self.runs[p] = self.make(self, self.guess(p))
            if run.awake:
                run.insert(i, single)
            elif not run.missed.pop(i, True):
                pass  # it left and came back while the run slept: nothing is missed
            else:
                run.missed[i] = True
        self.settle()

    def delete(self, i: int, single: float) -> None:
        if single <= 0.0:
            return
        self.largest.remove(single)
        for p in self.range_of(single):
            run = self.runs.get(p)
            if run is None:
                continue
            if run.awake:
                run.delete(i, single)
                if not run.size() and self.fixed is None:
                    del self.runs[p]
            elif run.missed.pop(i, False):
                pass  # it came and left while the run slept
            else:
                run.missed[i] = False
        self.settle()

    def settle(self) -> None:
        """Wake the runs that may be the right one, send the others to sleep."""
        if self.literal or self.fixed is not None:
            return
        if not self.largest.buffer:
            self.runs.clear()
            return
        reached = max(self.largest.top, max((run.value() for run in self.runs.values() if run.awake), default=0.0))
        lowest = self.up(reached)  # for which the guess may be right
        p = low = lowest - SPARE
        last = self.up(self.largest.total)
        while True:
            run = self.runs.get(p)
            if run is None or not run.awake:
                run = self.wake(p, run)
            if p >= last or (p >= lowest and run.proves()):
                break
            p += 1
        for q, run in list(self.runs.items()):
            if not low <= q <= p:
                run.awake = False
                if len(run.missed) > _MISSED_SHARE * max(16, run.size()):
                    del self.runs[q]

    def wake(self, p: int, run: Run | None) -> Run:
        """Bring the run of ``p`` up to date: by what it missed, or from the live elements."""
        if run is None:
            run = self.runs[p] = self.make(self, self.guess(p))
            ids = [i for i, single in self.singles.items() if single > 0.0 and p in self.range_of(single)]
            run.build(ids, [self.singles[i] for i in ids])
            return run
        missed, run.missed, run.awake = run.missed, {}, True
        broken = [run.discard(i) for i, came in missed.items() if not came]
        levels = [at for at in broken if at is not None]
        if levels:
            run.construct(min(levels))
        for i, came in missed.items():
            if came:
                run.insert(i, self.singles[i])
        return run

    def best(self) -> Run | None:
        """The awake run of the largest value; the lowest guess on ties."""
        found, most = None, 0.0
        for p in sorted(self.runs):
            run = self.runs[p]
            if run.awake and run.value() > most:
                found, most = run, run.value()
        return found

    def value(self) -> float:
        run = self.best()
        return 0.0 if run is None else run.value()

    def solution(self) -> list[int]:
        run = self.best()
        return [] if run is None else run.solution()

    def stats(self) -> dict[str, Any]:
        return {"runs": len(self.runs), "awake": sum(run.awake for run in self.runs.values())}

    def state(self) -> dict[str, Any]:
        runs = [
            {
                "p": p,
                "awake": run.awake,
                "missed": [[i, came] for i, came in run.missed.items()],
                "value": run._value,
                "run": run.state(),
            }
            for p, run in self.runs.items()
        ]
        return {"runs": runs}

    def load(self, state: dict[str, Any]) -> None:
        self.runs = {}
        for saved in state["runs"]:
            run = self.runs[saved["p"]] = self.make(self, self.guess(saved["p"]))
            run.load(saved["run"])
            run.awake, run._value = saved["awake"], saved["value"]
            run.missed = dict(saved["missed"])
        self.largest.refill()
