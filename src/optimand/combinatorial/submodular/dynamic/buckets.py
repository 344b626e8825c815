"""Engine A: levels of buckets and uniform samples, rebuilt when a constant share of them has changed.

Banihashem, Biabani, Goudarzi, Hajiaghayi, Jabbarzade, Monemizadeh: "Dynamic Constrained Submodular Optimization with
Polylogarithmic Update Time", ICML 2023 (arXiv 2305.15192). A level holds the elements whose gain over the samples of
the levels before is at least tau, sorted into buckets of gains that differ by a factor 1 + eps, and a uniform sample of
its largest bucket, as large as leaves the gain of a further element of the bucket in place with probability 1 - eps.

This is a reconstruction from the structure of that line of work; its constants are ours. Deleted members of a sample
stay in the set that later levels are conditioned on until the level is built again.

A level is built again when it has grown by a constant factor, or when more than eps of its bucket have been deleted.
What saves calls is left out of a ``literal`` run:

* A sampled element joins only if its gain is still at least the threshold, and its gain is kept, so that the value of a
  sample needs no call.
* A series of trials ends when its outcome is certain.
* A level samples the highest bucket that holds at least a third of its fair share of the level, not the largest one;
  building a level still costs at most three times as much per element of its bucket.
* Deletions rebuild a level only if more than eps of its sample has gone as well: until then either no more than eps of
  the bucket is gone, which is eps of the sample in expectation, or no more than eps of the sample itself, so that what
  the sample has lost keeps its bound.
"""

from __future__ import annotations

import math
from typing import Any

from .shell import Guesses, Run


class Level:
    """One level.

    Attributes:
        given: G_{i-1}, all samples before, as a state; ``count`` its size, ``worth`` the sum of its gains.
        pool: R_i: gain over ``given`` of each live element that qualified, in order of arrival.
        base: |R_i| when the level was built.
        bucket: A_i; ``removed`` how many were deleted from it since.
        sample: S_i with the gains at which they joined.
    """

    __slots__ = ("base", "bucket", "count", "given", "pool", "removed", "sample", "worth")

    def __init__(self, given: Any, count: int, worth: float, pool: dict[int, float]) -> None:
        self.given, self.count, self.worth, self.pool = given, count, worth, pool
        self.base = self.removed = 0
        self.bucket: set[int] = set()
        self.sample: dict[int, float] = {}


class BucketRun(Run):
    """The levels of one guess."""

    def __init__(self, shell: Guesses, guess: float, trials: int, growth: float) -> None:
        super().__init__(shell, guess)
        self.trials, self.growth = trials, growth
        self.highest = math.floor(math.log(2 * self.k) / self.log + 1e-9) + 1
        self.levels = [Level(self.oracle.empty, 0, 0.0, {})]

    def insert(self, i: int, single: float) -> None:
        for at, level in enumerate(self.levels):
            if level.count >= self.k:
                return
            g = single if at == 0 and not self.literal else self.oracle.gain(level.given, i)
            if g < self.tau:
                return
            level.pool[i] = g
            if i in level.sample:
                self.changed()  # a deleted member came back
            if len(level.pool) >= max(level.base + 1, math.ceil(self.growth * level.base)):
                self.construct(at)
                return

    def discard(self, i: int) -> int | None:
        broken = None
        for at, level in enumerate(self.levels):
            if level.pool.pop(i, None) is None:
                break
            if i in level.sample:
                self.changed()
            if i in level.bucket:
                level.removed += 1
                if broken is None and level.removed > self.eps * len(level.bucket) and self.outworn(level):
                    broken = at
        return broken

    def outworn(self, level: Level) -> bool:
        """Whether the sample of a level has lost too much, where that is looked at."""
        gone = sum(i not in level.pool for i in level.sample)
        return self.literal or gone > self.eps * len(level.sample)

    def build(self, ids: list[int], singles: list[float]) -> None:
        self.levels = [Level(self.oracle.empty, 0, 0.0, dict(zip(ids, singles, strict=True)))]
        self.construct(0)

    def construct(self, at: int) -> None:
        """Build the level ``at`` from its pool, and all after it."""
        self.changed()
        del self.levels[at + 1 :]
        level = self.levels[at]
        if self.literal:
            level.pool = self.qualified(level.given, list(level.pool))
        while True:
            level.base, level.removed, level.bucket, level.sample = len(level.pool), 0, set(), {}
            if not level.pool or level.count >= self.k:
                return
            bucket, theta = self.choose_bucket(level.pool)
            m = self.sample_count(level, bucket, theta, self.k - level.count)
            drawn = [bucket[j] for j in self.rng.permutation(len(bucket))[:m].tolist()]
            level.bucket = set(bucket)
            given, level.sample = self.joined(level, drawn)
            out = set(drawn)
            pool = self.qualified(given, [i for i in level.pool if i not in out])
            level = Level(given, level.count + len(level.sample), level.worth + sum(level.sample.values()), pool)
            self.levels.append(level)

    def joined(self, level: Level, drawn: list[int]) -> tuple[Any, dict[int, float]]:
        """``level.given`` with the sample, and those that joined with their gains."""
        if self.literal:
            return self.oracle.grown(level.given, drawn), dict.fromkeys(drawn, 0.0)
        given = level.given.copy()
        joined: dict[int, float] = {}
        for i in drawn:
            g = level.pool[i] if not joined else self.oracle.gain(given, i)
            if g >= self.tau:
                self.oracle.f.add(given, i, g)
                joined[i] = g
        return given, joined

    def choose_bucket(self, pool: dict[int, float]) -> tuple[list[int], float]:
        """The elements of the bucket to sample (the higher one on ties) and the least gain that it stands for."""
        buckets: dict[int, list[int]] = {}
        log = self.log
        for i, g in pool.items():
            # a gain of exactly tau (1+eps)^b falls into bucket b in spite of rounding
            b = min(max(math.floor(math.log(g / self.tau) / log + 1e-12), 0), self.highest)
            buckets.setdefault(b, []).append(i)
        if self.literal:
            b = max(buckets, key=lambda b: (len(buckets[b]), b))
        else:
            b = max(b for b, ids in buckets.items() if 3 * (self.highest + 1) * len(ids) >= len(pool))
        return buckets[b], self.tau * math.exp(b * log)

    def sample_count(self, level: Level, bucket: list[int], theta: float, room: int) -> int:
        """The largest size that passes: doubled while it does, then bisected."""
        most = min(room, len(bucket))
        good, bad, m = 1, most + 1, 2
        while m <= most:
            if not self.passes(level, bucket, theta * (1 - 1e-12), m):
                bad = m
                break
            good, m = m, most + 1 if m == most else min(2 * m, most)
        while bad - good > 1:
            m = (good + bad) // 2
            if self.passes(level, bucket, theta * (1 - 1e-12), m):
                good = m
            else:
                bad = m
        return good

    def passes(self, level: Level, bucket: list[int], theta: float, m: int) -> bool:
        """Whether a further element keeps its gain after m - 1 others in a share 1 - eps of the trials."""
        need = math.ceil((1 - self.eps) * self.trials - 1e-9)
        hits = 0
        for done in range(self.trials):
            if not self.literal and (hits >= need or hits + self.trials - done < need):
                break
            order = self.rng.permutation(len(bucket))[:m].tolist()
            given = self.oracle.grown(level.given, [bucket[j] for j in order[:-1]])
            hits += self.oracle.gain(given, bucket[order[-1]]) >= theta
        return hits >= need

    def solution(self) -> list[int]:
        return [i for level in self.levels for i in level.sample if i in level.pool]

    def known_value(self) -> float | None:
        if self.literal or any(i not in level.pool for level in self.levels for i in level.sample):
            return None
        return self.levels[-1].worth

    def proves(self) -> bool:
        last = self.levels[-1]
        return not self.literal and last.count < self.k and last.worth <= self.guess / 2

    def size(self) -> int:
        return len(self.levels[0].pool)

    def state(self) -> dict[str, Any]:
        return {
            "levels": [
                {
                    "pool": [[i, g] for i, g in level.pool.items()],
                    "base": level.base,
                    "removed": level.removed,
                    "bucket": sorted(level.bucket),
                    "sample": [[i, g] for i, g in level.sample.items()],
                }
                for level in self.levels
            ]
        }

    def load(self, state: dict[str, Any]) -> None:
        self.levels = []
        given, count, worth = self.oracle.empty, 0, 0.0
        for saved in state["levels"]:
            level = Level(given, count, worth, dict(saved["pool"]))
            level.base, level.removed, level.bucket = saved["base"], saved["removed"], set(saved["bucket"])
            level.sample = dict(saved["sample"])
            self.levels.append(level)
            if level.sample:
                given = self.oracle.grown(given, list(level.sample), list(level.sample.values()))
                count, worth = count + len(level.sample), worth + sum(level.sample.values())
