"""Propose designs for a task: one function for all searches, during which the task's oracle is locked.

A search sees the offline rows alone. Were it to reach the oracle all the same, the oracle would refuse.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

    from .searches.parts.settings import Progress
    from .tasks.base import OfflineData, Task


class Records(list[dict[str, Any]]):
    """A list of records that is printed as their number: a result with hundreds of them could not be read."""

    def __repr__(self) -> str:
        return f"[{len(self)} records]"


def optimize(
    task: Task | OfflineData, method: str = "ga", *, ignite: Any = None, q: int = 128, seed: int = 0,
    unique: bool = False, preset: str = "small", progress: Progress | None = None, **hyper: Any,
) -> OptimizeResult:  # fmt: skip
    """Propose ``q`` designs from offline data.

    Args:
        task: a task, whose oracle is locked meanwhile, or offline data without one.
        method: name of a search: ``ga``, ``ens-mean``, ``ens-min``, ``coms``, ``cbas``, ``bo-qei``, ``cma-es``,
            ``reinforce``, ``mins``, ``local-search``, ``evolution``, ``random`` or ``best-of-data``.
        ignite: regularizer of the surrogates' fit: None, ``"adaptive"`` (IGNITE), ``"fixed"`` (IGNITE-2), ``"sam"``,
            ``"gradient-norm"``, ``"sensitivity"`` (BOSS), ``"weight-decay"``, or a mapping with ``kind`` and its
            options. Searches that fit nothing refuse one.
        q: designs to propose, at least 1.
        seed: a non-negative integer; equal seeds give equal designs.
        unique: whether no design may occur twice; those that would are replaced by their best neighbours.
        preset: ``"small"``, seconds on one core, or ``"paper"``, the published widths and epochs.
        progress: called as ``progress(stage, done, total)`` after every epoch and step.
        **hyper: hyperparameters of the search that replace the preset's.

    Returns:
        OptimizeResult with ``x`` (the designs, preferred ones first), ``fun_pred`` (predictions of them, in the units
        of the data), ``history``, ``reports`` (of the surrogates' fits), ``distinct``, ``method``, ``success`` and
        ``message``.

    Raises:
        TypeError, ValueError: an argument that is none of these, named; with ``unique``, ``q`` is more than there are
            designs.
        UnknownNameError: no such method.
        OptimandError: a package is missing, or a fit diverged.

    Reference:
        Dao et al., Incorporating Surrogate Gradient Norm to Improve Offline Optimization Techniques, arXiv 2503.04242.

    Example:
        >>> from optimand import offline
        >>> task = offline.make("synthetic:dim=4")
        >>> found = offline.optimize(task, "ga", ignite="adaptive", q=8, epochs=2, width=32)
        >>> found.x.shape, found.fun_pred.shape, task.evaluations
        ((8, 4), (8,), 0)
    """
    from scipy.optimize import OptimizeResult

    from .searches import find_search
    from .tasks.base import OfflineData, Task

    if not isinstance(task, Task | OfflineData):
        raise TypeError(f"task must be a Task or OfflineData, got {task!r:.60} ({type(task).__name__})")
    search = find_search(method)
    with task.locked() if isinstance(task, Task) else contextlib.nullcontext():
        data = task.data if isinstance(task, Task) else task
        made = search(data, q=q, seed=seed, ignite=ignite, unique=unique, preset=preset, progress=progress, **hyper)
    return OptimizeResult(  # type: ignore[call-arg]
        x=made.x,
        fun_pred=made.predicted,
        history=Records(made.history),
        reports=made.reports,
        distinct=made.distinct,
        method=method,
        success=True,
        message=f"{len(made.x)} designs, {made.distinct} of them different",
    )
