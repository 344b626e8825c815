"""Compiled loops: rewards, accounts, and all built-in learners for many repetitions, arrival by arrival.

An argument ``a`` is the accounts, ``row`` the record of repetition ``r`` in them.

Importing this module imports Numba. The learners here do what those in ``tower.py``, ``king.py`` and ``anytime.py`` do,
with the same pulls in the same order; tests compare them bit by bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..engine.streams import binomial_at, normal_at, start_of, uniform_at


@compiled
def batch_mean(start: Any, used: Any, n: Any, p: Any, gaussian: Any, sd: Any) -> Any:
    """Mean of ``n`` rewards of an arm that was pulled ``used`` times; ``start`` names its stream."""
    if gaussian:
        return (p * n + sd * math.sqrt(n) * normal_at(start, used)) / n
    return binomial_at(start, used, n, p) / n


@compiled
def charge(a: Any, row: Any, r: Any, arm: Any, n: Any) -> None:
    """``n`` trials of an arm pass: regret grows in a straight line, across the recording times on the way."""
    mean, began = a.means[r, arm], row.time
    grid, curves = a.grid, a.curves
    ends = began + n
    gap, gap_seen = row.best - mean, row.seen - mean
    i = row.place
    while i < len(grid) and grid[i] <= ends:
        passed = grid[i] - began
        curves[r, 0, i] = row.regret + passed * gap
        curves[r, 1, i] = row.regret_seen + passed * gap_seen
        i += 1
    row.place = i
    row.time = ends
    row.regret += n * gap
    row.regret_seen += n * gap_seen


@compiled
def draw(a: Any, row: Any, r: Any, arm: Any, used: Any, n: Any) -> Any:
    """Pull an arm ``n`` times: its mean reward, everything charged."""
    start = start_of(a.terms.key, row.rep, arm)
    mean = batch_mean(start, used, n, a.means[r, arm], a.terms.gaussian, a.terms.sd)
    charge(a, row, r, arm, n)
    return mean


@compiled
def arrive(a: Any, row: Any, r: Any) -> Any:
    """The next arm comes; its number."""
    arm = row.arrived
    row.arrived += 1
    row.live += 1
    row.peak = max(row.peak, row.live)
    row.seen = max(row.seen, a.means[r, arm])
    return arm


@compiled
def commit(a: Any, row: Any, r: Any, arm: Any) -> None:
    """All trials that are left go to ``arm``."""
    row.explored = row.time
    row.committed = arm
    charge(a, row, r, arm, a.terms.horizon - row.time)
    row.live = 0


@compiled
def _allowed(horizon: Any, row: Any, mine: Any, n: Any) -> Any:
    # A learner that knows the horizon has exactly as many trials left as there are; one that does not, finds out.
    n = min(n, mine.left)
    there = horizon - row.time
    if n > there:
        n = there
        mine.left = there
        mine.over = True
    mine.left -= n
    return n


@compiled
def _observe_in_tower(
    a: Any, row: Any, r: Any, by_level: Any, epoch: Any, tower: Any, champions: Any, arm: Any, used: Any
) -> None:
    if epoch.alone:
        own = champions[r, 0]
        own.arm, own.mean, own.used = arm, -np.inf, used
        tower.alive = 1
        return
    level, old = 0, -np.inf
    while True:
        n = _allowed(a.terms.horizon, row, tower, by_level[tower.epoch, level].pulls)
        if n > 0:
            mean = draw(a, row, r, arm, used, n)
            used += n
        else:
            mean = old
            if level == 0 and tower.alive > 0:
                row.live -= 1
                return
        own = champions[r, level]
        held = own.arm >= 0
        if not held or mean > own.mean:
            own.arm, own.mean, own.used = arm, mean, used
        if held:
            row.live -= 1
        else:
            tower.alive += 1
        own.count += 1
        if level == epoch.levels - 1 or own.count < by_level[tower.epoch, level].arms:
            return
        arm, old, used = own.arm, own.mean, own.used
        own.arm, own.count = -1, 0
        tower.alive -= 1
        level += 1


@compiled
def _choose_in_tower(a: Any, row: Any, r: Any, epoch: Any, tower: Any, champions: Any) -> None:
    """The play-off; the winner is left at level 0, alone."""
    best, chosen = -np.inf, -1
    for level in range(epoch.levels):
        own = champions[r, level]
        if own.arm < 0:
            continue
        mean = own.mean
        if tower.alive > 1:
            n = _allowed(a.terms.horizon, row, tower, epoch.final)
            if n > 0:
                mean = draw(a, row, r, own.arm, own.used, n)
                own.used += n
        if chosen < 0 or mean > best:
            best, chosen = mean, level
    row.live -= tower.alive - 1
    arm, used = champions[r, chosen].arm, champions[r, chosen].used
    for level in range(epoch.levels):
        champions[r, level].arm = -1
        champions[r, level].count = 0
    first = champions[r, 0]
    first.arm, first.used = arm, used
    tower.alive, tower.chosen = 1, True


@compiled
def _next_epoch(a: Any, row: Any, r: Any, by_level: Any, by_epoch: Any, tower: Any, champions: Any) -> None:
    # What is left of the epoch goes to its winner, who then is the first arm of the next one.
    first = champions[r, 0]
    arm, used = first.arm, first.used
    n = _allowed(a.terms.horizon, row, tower, tower.left)
    charge(a, row, r, arm, n)
    first.arm = -1
    tower.alive = 0
    tower.epoch += 1
    tower.left = by_epoch[tower.epoch].budget
    tower.got, tower.chosen = 0, False
    epoch = by_epoch[tower.epoch]
    _observe_in_tower(a, row, r, by_level, epoch, tower, champions, arm, used + n)


@compiled
def run_tower(a: Any, by_level: Any, by_epoch: Any, epochs: Any, towers: Any, champions: Any, target: Any) -> None:
    """Towers (one level for uniform and naive exploration, epochs for unknown horizons) up to the time ``target``."""
    K = a.means.shape[1]
    for r in range(len(a.rows)):
        row, tower = a.rows[r], towers[r]
        while row.committed < 0 and (row.time < target or target == a.terms.horizon):
            if row.arrived == K:
                if not tower.chosen:
                    _choose_in_tower(a, row, r, by_epoch[tower.epoch], tower, champions)
                commit(a, row, r, champions[r, 0].arm)
                break
            arm = arrive(a, row, r)
            if tower.got == by_epoch[tower.epoch].size and not tower.over:
                _next_epoch(a, row, r, by_level, by_epoch, tower, champions)
            if tower.over:
                row.live -= 1
                continue
            epoch = by_epoch[tower.epoch]
            _observe_in_tower(a, row, r, by_level, epoch, tower, champions, arm, 0)
            tower.got += 1
            if epochs and tower.got == epoch.size:
                _choose_in_tower(a, row, r, epoch, tower, champions)


@compiled
def _challenge(a: Any, row: Any, r: Any, plan: Any, rounds: Any, king: Any, arm: Any) -> Any:
    """A challenger plays the king; returns his own number of pulls."""
    used = 0
    if king.arm < 0:
        n = _allowed(a.terms.horizon, row, king, plan.first)
        king.estimate = draw(a, row, r, arm, 0, n)
        king.arm, king.budget = arm, plan.first
        return n
    king.budget += plan.income
    i = 0
    while True:
        if i == len(rounds) or king.budget < rounds[i]:
            n = _allowed(a.terms.horizon, row, king, plan.first)
            if n > 0:
                king.estimate = max(king.estimate, draw(a, row, r, arm, used, n))
            king.arm, king.budget = arm, plan.first
            return used + n
        n = _allowed(a.terms.horizon, row, king, rounds[i])
        if n == 0:
            return used
        mean = draw(a, row, r, arm, used, n)
        used += n
        king.budget -= rounds[i]
        if mean <= king.estimate - plan.margin:
            return used
        i += 1


@compiled
def run_king(a: Any, plan: Any, rounds: Any, kings: Any, target: Any) -> None:
    """The king with a budget, up to the time ``target``."""
    K = a.means.shape[1]
    for r in range(len(a.rows)):
        row, king = a.rows[r], kings[r]
        while row.committed < 0 and (row.time < target or target == a.terms.horizon):
            if row.arrived == K:
                fallen = plan.fractional and king.second >= 0 and king.spent > plan.most
                commit(a, row, r, king.second if fallen else king.arm)
                break
            arm = arrive(a, row, r)
            if K == 1:
                king.arm = arm
                continue
            used = 0
            if king.left > 0 and (not plan.fractional or king.spent <= plan.most):
                used = _challenge(a, row, r, plan, rounds, king, arm)
                king.spent += used
            if plan.fractional:
                coin = uniform_at(start_of(plan.key, row.rep, 0), arm)
                if arm == 0 or coin < plan.chance:
                    n = _allowed(a.terms.horizon, row, king, plan.fraction)
                    mean = draw(a, row, r, arm, used, n) if n > 0 else -np.inf
                    if king.second < 0 or mean > king.second_mean:
                        king.second, king.second_mean = arm, mean
            row.live = 2 if king.second >= 0 and king.second != king.arm else 1
