"""Packing of intervals below a height: orders with first fit and best fit, a search, CP-SAT.

The search takes turns between two neighbourhoods: local search over orders (:mod:`.kernels`) and backtracking on
skylines towards a target between the bound and the best height (:mod:`.skyline`). The first makes steady progress from
any start; the second reaches heights near the bound on instances that are full for most of the time.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from optimand.core.validation import check_choice, check_int, check_number

from .intervals import Intervals, as_intervals
from .kernels import place, search_orders
from .skyline import EXHAUSTED, FOUND, search_skyline

METHODS = ("auto", "first-fit", "best-fit", "orders", "local", "skyline", "cp-sat")

_SKYLINE_MOST = 3000  # intervals; the stack of the backtracking is quadratic


@dataclass
class _Run:
    """The state of one call: data, the best packing, and when to stop."""

    intervals: Intervals
    goal: int  # the height at which to stop
    bound: int
    ends: float  # on time.monotonic
    limit: float  # placements
    lower: NDArray[np.int64] = field(init=False)  # writable copies: the kernels are compiled for these alone
    upper: NDArray[np.int64] = field(init=False)
    size: NDArray[np.int64] = field(init=False)
    best: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    height: int = 2**62
    placements: int = 0

    def __post_init__(self) -> None:
        self.lower, self.upper, self.size = (
            np.array(values) for values in (self.intervals.lower, self.intervals.upper, self.intervals.size)
        )

    def keep(self, offsets: NDArray[np.int64], height: int) -> None:
        if height < self.height:
            self.height, self.best = int(height), offsets.copy()

    @property
    def over(self) -> bool:
        return self.height <= self.goal or self.placements >= self.limit or time.monotonic() >= self.ends


def orders_of(intervals: Intervals) -> dict[str, NDArray[np.int64]]:
    """Orders of placement by name: by one or more of size, duration, area, start, and the load that is met.

    Example:
        >>> orders_of(Intervals([0, 0], [1, 9], [5, 1]))["duration"].tolist()
        [1, 0]
    """
    first, last, _ = intervals.sections()
    loads = intervals.loads()
    size, width = intervals.size.astype(float), (intervals.upper - intervals.lower).astype(float)
    met = np.array([loads[a:b].max() for a, b in zip(first, last, strict=True)], dtype=float)
    area, lower, upper = size * width, intervals.lower.astype(float), intervals.upper.astype(float)
    keys: dict[str, tuple[NDArray[np.float64], ...]] = {  # np.lexsort: the last key counts most
        "size": (-width, -size),
        "area": (-size, -area),
        "duration": (-size, -width),
        "start": (-size, lower),
        "start, longest": (-width, lower),
        "end": (-size, -upper),
        "load, size": (-width, -size, -met),
        "load, duration": (-size, -width, -met),
        "load, area": (-width, -area, -met),
        "size x load": (-width, -size * met),
        "width, load, area": (-area, -met, -width),
        "root of duration": (-size * np.sqrt(width),),
        "power of duration": (-size * width**0.2,),
    }
    return {name: np.lexsort(key) for name, key in keys.items()}


def pack(
    intervals: Any,
    capacity: int | None = None,
    *,
    method: str = "auto",
    seconds: float = 1.0,
    placements: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> OptimizeResult:
    """Give every interval an offset so that those alive at once do not share addresses, at little height.

    Args:
        intervals: :class:`Intervals`, a path of a file in minimalloc's format, or triples (lower, upper, size), upper
            exclusive.
        capacity: a height that suffices: the search stops there. None asks for the least height.
        method: ``"first-fit"`` and ``"best-fit"`` by falling size; ``"orders"``, the best of both over all orders;
            ``"local"``, local search over orders from there; ``"skyline"``, backtracking; ``"auto"``, both in turn;
            ``"cp-sat"``, the constraint solver of OR-tools.
        seconds: wall time of the searches and of CP-SAT, above 0.
        placements: stop a search after so many intervals were placed; with ``seconds=math.inf`` the result is then a
            function of the seed.
        seed: of the searches.
        workers: threads of CP-SAT.

    Returns:
        OptimizeResult with ``x`` (offsets), ``fun`` (height), ``bound`` (no packing is lower), ``success`` (the height
        is at most the capacity), ``status`` (``"optimal"``, ``"feasible"``, ``"infeasible"``, which is proven, or
        ``"unknown"``: nothing at most the capacity was found), ``message``, ``nfev`` (intervals placed).

    Raises:
        OptimandError: unfit intervals, or OR-tools is missing for ``"cp-sat"``.
        TypeError, ValueError: an unknown method, numbers out of range.

    References:
        Moffitt, MiniMalloc, ASPLOS 2023; Maas et al., TelaMalloc, ASPLOS 2023.

    Example:
        >>> pack([(0, 2, 3), (1, 3, 2), (2, 4, 3)], method="first-fit").x.tolist()
        [0, 3, 0]
    """
    data = as_intervals(intervals)
    top = None if capacity is None else check_int("capacity", capacity, low=0)
    check_choice("method", method, METHODS)
    seconds = check_number("seconds", seconds, low=0, low_open=True)
    limit = math.inf if placements is None else check_int("placements", placements, low=1)
    seed, workers = check_int("seed", seed, low=0, high=2**32 - 1), check_int("workers", workers, low=1)
    bound = data.load_bound()
    goal = bound if top is None else max(top, bound)
    if method != "cp-sat":
        _compile()
    run = _Run(data, goal, bound, time.monotonic() + seconds, limit)
    orders = orders_of(data)
    if not len(data):
        return _result(run, top, proven=0)
    if method in ("first-fit", "best-fit"):
        _decode(run, orders["size"], best_fit=method == "best-fit")
        return _result(run, top)
    if method == "cp-sat":
        offsets, proven = _pack_cp_sat(data, top, seconds, seed, workers)
        if offsets is not None:
            run.keep(offsets, int((offsets + data.size).max()))
        return _result(run, top, proven=proven)
    sorted_orders = _best_orders(run, orders)
    if method == "orders" or (top is not None and top < bound):  # nothing can be found below the bound
        return _result(run, top)
    turns: list[Callable[[float], bool]] = []
    if method in ("local", "auto"):
        turns.append(_Local(run, sorted_orders[0], seed))
    if method in ("skyline", "auto") and len(data) <= _SKYLINE_MOST:
        turns += [_Skyline(run, orders[name], seed + i) for i, name in enumerate(_SKYLINE_ORDERS)]
    return _result(run, top, proven=_take_turns(run, turns))


@functools.cache
def _compile() -> None:
    """Compile, or load, the kernels before a clock runs."""
    run = _Run(Intervals([0, 0, 1], [2, 1, 2], [2, 1, 2]), 0, 0, math.inf, 1)
    order = np.arange(3)
    _decode(run, order, best_fit=False)
    search_orders(order, run.lower, run.upper, run.size, 0, 1, 0, 0.0, np.zeros(3, np.int64))
    run.placements = 0
    _Skyline(run, order, 0)(1.0)


_SKYLINE_ORDERS = ("load, duration", "load, area", "width, load, area")


def _take_turns(run: _Run, turns: list[Callable[[float], bool]]) -> int | None:
    """Let each search place the same number of intervals in turn, more each round; a proven bound, if one comes."""
    share = 40.0 * len(run.intervals)
    while not run.over and turns:
        for turn in turns:
            if turn(share):
                return run.height if isinstance(turn, _Local) else run.bound
            if run.over:
                break
        share *= 1.5
    return None


def _decode(run: _Run, order: NDArray[np.int64], *, best_fit: bool) -> int:
    offsets, placed = np.zeros(len(order), np.int64), np.zeros(len(order), np.int64)
    height, _ = place(order, 0, run.lower, run.upper, run.size, offsets, placed, run.goal, math.inf, best_fit)
    run.placements += len(order)
    run.keep(offsets, height)
    return int(height)


def _best_orders(run: _Run, orders: dict[str, NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """All orders, best first, after trying each with first fit and best fit."""
    heights = {name: _decode(run, order, best_fit=False) for name, order in orders.items()}
    for order in orders.values():
        if not run.over:
            _decode(run, order, best_fit=True)
    return [orders[name] for name in sorted(orders, key=lambda name: heights[name])]


class _Local:
    """Local search over orders in slices."""

    def __init__(self, run: _Run, order: NDArray[np.int64], seed: int) -> None:
        self.run, self.order, self.seeds = run, order.copy(), np.random.default_rng([seed, 1])

    def __call__(self, share: float) -> bool:
        run, count = self.run, len(self.order)
        tries, before = 200, run.placements
        while run.placements - before < share and not run.over:
            offsets = np.zeros(count, np.int64)
            seed = int(self.seeds.integers(2**31))
            height, _ = search_orders(self.order, run.lower, run.upper, run.size, run.bound, tries, seed, 0.0, offsets)
            run.keep(offsets, height)
            run.placements += tries * max(1, count // 2)  # a decode starts at the place that changed
        return False


class _Skyline:
    """Restarts of the backtracking, its target between the bound and the best height of the run."""

    def __init__(self, run: _Run, order: NDArray[np.int64], seed: int) -> None:
        self.run, self.rng = run, np.random.default_rng([seed, 2])
        self.first, self.last, _ = run.intervals.sections()
        self.load = run.intervals.loads()
        self.rank = np.empty(len(order))
        self.rank[order] = np.arange(len(order))
        self.weight = np.zeros(len(order))
        self.part, self.restarts = 0.5, 0

    def __call__(self, share: float) -> bool:
        run = self.run
        before, count = run.placements, len(run.intervals)
        while run.placements - before < share and not run.over:
            target = min(run.height - 1, run.goal + int((run.height - run.goal) * self.part))
            offsets = np.zeros(count, np.int64)
            nodes = count + (2000 if self.restarts % 2 else 300)
            status, used = search_skyline(
                self.rank, self.first, self.last, run.size, self.load, target, nodes, self.weight, offsets
            )
            run.placements += max(1, used)
            if status == FOUND:
                run.keep(offsets, int((offsets + run.size).max()))
                self.part = max(0.25, self.part - 0.1)
                continue
            if status == EXHAUSTED:
                run.bound = target + 1
                if target >= run.goal:
                    run.goal = run.bound
                return run.height <= run.bound or run.goal > target
            self.restarts += 1
            self.part = min(0.98, self.part + 0.002)
            self._learn()
        return False

    def _learn(self) -> None:
        """Move the intervals that were left at dead ends forward, by a random share of their weight."""
        most = float(self.weight.max())
        if most > 0:
            self.rank -= 0.1 * len(self.rank) * self.rng.random(len(self.rank)) * self.weight / most
            self.rank = np.argsort(np.argsort(self.rank, kind="stable"), kind="stable").astype(float)
            self.weight *= 0.5


def _pack_cp_sat(
    intervals: Intervals, capacity: int | None, seconds: float, seed: int, workers: int
) -> tuple[NDArray[np.int64] | None, int]:
    """OR-tools' CP-SAT: one rectangle per interval, time fixed, NoOverlap2D; feasibility below a capacity, else height.

    Returns:
        The offsets, None where none were found, and a proven lower bound of the height.
    """
    from ..heuristics.cp_sat import or_tools

    cp_model, solver = or_tools(seconds, workers, seed)
    bound = intervals.load_bound()
    unit = int(np.gcd.reduce(intervals.size))  # some lowest packing has offsets that are multiples of it
    sizes = (intervals.size // unit).tolist()
    if capacity is not None and capacity < bound:
        return None, bound
    ceiling = sum(sizes) if capacity is None else capacity // unit
    model = cp_model.CpModel()
    height = model.new_int_var(bound // unit, ceiling, "height")
    across, upward, offsets = [], [], []
    for i, size in enumerate(sizes):
        offset = model.new_int_var(0, ceiling - size, f"offset {i}")
        low, high = int(intervals.lower[i]), int(intervals.upper[i])
        across.append(model.new_fixed_size_interval_var(low, high - low, f"time {i}"))
        upward.append(model.new_fixed_size_interval_var(offset, size, f"addresses {i}"))
        model.add(offset + size <= height)
        offsets.append(offset)
    model.add_no_overlap_2d(across, upward)
    model.add_cumulative(across, sizes, height)
    if capacity is None:
        model.minimize(height)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, unit * (ceiling + 1) if capacity is not None else bound
    proven = max(bound, unit * int(np.ceil(solver.best_objective_bound - 1e-6))) if capacity is None else bound
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, proven
    return np.array([solver.value(offset) * unit for offset in offsets], dtype=np.int64), proven


def _result(run: _Run, capacity: int | None, proven: int | None = None) -> OptimizeResult:
    """The result; ``proven`` is a bound that a search or the solver proved."""
    bound = max(run.bound, 0 if proven is None else proven)
    found = len(run.best) == len(run.intervals)
    height = 0 if not len(run.intervals) else run.height if found else None
    success = height is not None and (capacity is None or height <= capacity)
    if success:
        status = "optimal" if height == bound else "feasible"
        message = f"height {height}, no packing is lower than {bound}"
    elif capacity is not None and bound > capacity:
        status, message = "infeasible", f"no packing is lower than {bound}, above the capacity {capacity}"
    else:
        status, message = "unknown", "no packing at most the capacity was found within the limits"
    return OptimizeResult(  # type: ignore[call-arg]
        x=run.best if height is not None else None,
        fun=height if height is not None else math.inf,
        bound=bound,
        success=success,
        status=status,
        message=message,
        nfev=run.placements,
    )
