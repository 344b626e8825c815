"""Packing by OR-tools' CP-SAT: one rectangle per interval, time fixed, NoOverlap2D, the height minimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError

from .intervals import Intervals


def pack_cp_sat(
    intervals: Intervals, capacity: int | None = None, *, seconds: float = 60.0, seed: int = 0, workers: int = 1
) -> tuple[NDArray[np.int64] | None, int]:
    """Pack with the constraint solver.

    Args:
        capacity: ask for feasibility below this height; None minimises the height.
        seconds: limit of wall time.
        workers: threads.

    Returns:
        The offsets, None where none were found, and a proven lower bound of the height.

    Raises:
        OptimandError: OR-tools is not installed.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise OptimandError("method 'cp-sat' needs OR-tools: python -m pip install ortools") from None
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
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = min(seconds, 1e9)
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed % 2**31
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, unit * (ceiling + 1) if capacity is not None else bound
    proven = max(bound, unit * int(np.ceil(solver.best_objective_bound - 1e-6))) if capacity is None else bound
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, proven
    return np.array([solver.value(offset) * unit for offset in offsets], dtype=np.int64), proven
