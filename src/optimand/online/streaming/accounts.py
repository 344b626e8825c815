"""The accounts of a block of repetitions: what was pulled, what it cost, how many arms are alive.

Plain streams and compiled loops write the same arrays with the same functions, so both count alike to the last bit.
Regret is linear in time within a batch, so it is written at the recording times that a batch passes: memory does not
depend on the number of trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
COMPARATORS = ("best-arm", "best-arrived")
# Trials of a stream that is opened without a horizon.
ENDLESS = 2**62
# One record for each repetition: compiled loops reach its fields without counting references to arrays.
ROW = np.dtype(
    [
        ("rep", np.int64), ("best", np.float64), ("time", np.int64), ("regret", np.float64),
        ("regret_seen", np.float64), ("place", np.int64), ("arrived", np.int64), ("seen", np.float64),
        ("live", np.int64), ("peak", np.int64), ("explored", np.int64), ("committed", np.int64),
    ]
)  # fmt: skip


class Terms(NamedTuple):
    """What holds for all repetitions.

    Attributes:
        key: of the rewards, for :mod:`optimand.online.engine.streams`.
        horizon: trials.
        gaussian: whether rewards are normal; else they are Bernoulli.
        sd: of normal rewards.
    """

    key: Any
    horizon: int
    gaussian: bool
    sd: float


class Accounts(NamedTuple):
    """Accounts of ``R`` repetitions of a stream of ``K`` arms.

    Attributes:
        terms: what holds for all repetitions.
        means: true means, shape ``(R, K)``, in the order of arrival.
        grid: recording times ``(G,)``.
        curves: regret at those times, shape ``(R, 2, G)``, by comparator.
        rows: for each repetition its number, the best mean; trials used, regret so far against both comparators, how
            many recording times are passed; arms that have arrived and the best mean among them, arms alive and their
            peak; trials used before the commitment, and the arm committed to (-1 before it).
    """

    terms: Terms
    means: Array
    grid: Array
    curves: Array
    rows: Array


def open_accounts(means: Array, reps: Array, terms: Terms, grid: Array) -> Accounts:
    """Accounts before the first arm."""
    rows = np.zeros(len(reps), ROW)
    rows["rep"], rows["best"] = reps, means.max(axis=1)
    rows["seen"], rows["explored"], rows["committed"] = -np.inf, -1, -1
    curves = np.full((len(reps), len(COMPARATORS), len(grid)), np.nan)
    # Always a copy: loops are compiled for arrays that can be written, and a sampler may keep what it returned.
    return Accounts(terms, np.array(means, dtype=np.float64, order="C"), np.array(grid, dtype=np.int64), curves, rows)


def copy_rows(accounts: Accounts, chosen: Any = slice(None)) -> dict[str, Array]:
    """Copies of what changes, for the rows chosen."""
    return {"curves": accounts.curves[chosen].copy(), "rows": accounts.rows[chosen].copy()}


def restore_rows(accounts: Accounts, state: Mapping[str, Array], chosen: Any = slice(None)) -> None:
    """Put back what :func:`copy_rows` took."""
    accounts.curves[chosen], accounts.rows[chosen] = state["curves"], state["rows"]


def counts(accounts: Accounts) -> dict[str, Array]:
    """What the environment tells besides regret, each of shape ``(R,)``; gaps are NaN before the commitment."""
    rows = accounts.rows
    done = rows["committed"] >= 0
    explored = np.where(done, rows["explored"], rows["time"])
    gap = np.full(len(rows), np.nan)
    gap[done] = rows["best"][done] - accounts.means[np.flatnonzero(done), rows["committed"][done]]
    return {
        "explored_pulls": explored.astype(float),
        "explored_share": explored / accounts.terms.horizon,
        "peak_arms": rows["peak"].astype(float),
        "committed_gap": gap,
    }
