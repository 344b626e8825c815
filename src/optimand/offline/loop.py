"""The run loop of the family ``offline``: data in, designs out, and the oracle locked in between.

A method proposes once. What it proposes is checked and saved, so that a resumed run does not fit again; then the
oracle is released and every design is judged. The budget is the number of designs, and a position ``k`` stands for the
first ``k`` designs in the method's own order of preference. ``test`` holds the true scores, ``valid`` those that a
judge gives who has only the offline data (:mod:`.judging`), so that tuning stays offline; on ``train`` stands what the
method itself predicts for its designs, which shows how far it deceives itself, and what the fits of its surrogates
reported.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.contracts import Method
from optimand.core.pictures import Values
from optimand.core.recorder import Diverged, Recorder
from optimand.core.running import resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

from .tasks.base import Designs, OfflineData, Task
from .tasks.locking import oracles_locked

if TYPE_CHECKING:
    from .judging import Judge
    from .problems import OfflineProblem

PERCENTILES = {"best": 100.0, "p80": 80.0, "median": 50.0}
# What is recorded of a surrogate's fit, where its report has it.
REPORTED = ("gradient_norm", "val_rmse", "best_epoch", "lam")


@dataclass(frozen=True)
class Request:
    """What a method is asked for.

    Attributes:
        data: all that it may know.
        q: how many designs to propose, preferred ones first.
        seed: of everything random in it.
    """

    data: OfflineData
    q: int
    seed: int


@dataclass
class Offer:
    """What a method proposed.

    Attributes:
        x: checked designs, shape ``(q, L)`` or ``(q, d)``.
        predicted: the method's own predictions, shape ``(q,)``, where it makes any.
        facts: numbers of the surrogates' fits.
    """

    x: Designs
    predicted: NDArray[np.float64] | None
    facts: dict[str, float]


def check_offer(name: str, made: Any, request: Request) -> Offer:
    """The designs of a method's answer: an array of ``q`` designs, or an object with ``x`` (and ``predicted``).

    Raises:
        Diverged: designs that are not finite.
        OptimandError: anything else that is no ``q`` designs of the task's kind.
    """
    designs = np.asarray(getattr(made, "x", made))
    if designs.dtype.kind == "f" and not np.isfinite(designs).all():
        raise Diverged(0, f"{int((~np.isfinite(designs)).sum())} entries of the designs are not finite")
    try:
        x = request.data.check(designs, "designs")
    except (TypeError, ValueError) as error:
        raise OptimandError(f"method {name!r} proposed what is no batch of designs: {error}") from error
    if len(x) != request.q:
        raise OptimandError(f"method {name!r} must propose q={request.q} designs, got {len(x)}")
    predicted = getattr(made, "predicted", None)
    if predicted is not None:
        predicted = np.asarray(predicted, dtype=np.float64)
        if predicted.shape != (len(x),) or not np.isfinite(predicted).all():
            raise OptimandError(f"method {name!r} must predict {len(x)} finite values, got shape {predicted.shape}")
    facts: dict[str, float] = {}
    reports = [report for report in getattr(made, "reports", None) or [] if hasattr(report, "gradient_norm")]
    for key in REPORTED if reports else ():
        values = [float(getattr(report, key, math.nan)) for report in reports]
        if all(map(math.isfinite, values)):
            facts[key] = float(np.mean(values))
    return Offer(x, predicted, facts)


def positions(q: int) -> list[int]:
    """1, 2, 4, 8 and so on up to ``q``, and ``q``.

    Example:
        >>> positions(10)
        [1, 2, 4, 8, 10]
    """
    return sorted({min(2**i, q) for i in range(q.bit_length() + 1)})


@functools.lru_cache(maxsize=4)
def judge_of(task: Task) -> Judge:
    """The judge of a task's data; made once a process."""
    from .judging import Judge

    return Judge(task.data)


def run(
    problem: OfflineProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Let ``method`` propose ``budget`` designs for the task of ``problem``, then judge them.

    Args:
        problem: has the task.
        method: its ``build(request, **hyper)`` gives an array of designs, or an object with ``x``.
        hyper: hyperparameters.
        seed: the run's branch; the method's seed is ``seed.child("method")``.
        budget: designs.
        recorder: takes ``median``, ``p80`` and ``best`` of the scores on all splits.

    Raises:
        Diverged: the designs are not finite.
        OptimandError: the method proposes something that is no batch of designs, or asks for the oracle.
    """
    task = problem.task
    request = Request(task.data, budget, seed.child("method").integer() % 2**31)
    resumed = resume(recorder, None)
    if resumed is None:
        with oracles_locked():
            with recorder.timed():
                made = method.build(request, **{**method.defaults, **hyper})
            # Still locked: the attributes of what was made may be properties, which compute when they are read.
            offer = check_offer(method.name, made, request)
        save(recorder, offer, now=True)
    else:
        offer = resumed[0]
    recorder.progress(budget / 2)
    before = task.evaluations
    truth = task.normalize(task.evaluate(offer.x))
    guess = task.normalize(judge_of(task)(offer.x))
    for k in positions(budget):
        recorder.record(k, "test", **_percentiles(truth[:k]))
        recorder.record(k, "valid", **_percentiles(guess[:k]))
        if offer.predicted is not None:
            recorder.record(k, "train", **_percentiles(task.normalize(offer.predicted[:k])))
    recorder.record(budget, "test", distinct=len(np.unique(offer.x, axis=0)))
    if offer.facts:
        recorder.record(budget, "train", **offer.facts)
    recorder.picture("scores", Values("true scores of the designs", "normalized score", truth.tolist()))
    recorder.cost(seconds_per_unit=recorder.seconds / budget, oracle_calls=task.evaluations - before)
    recorder.progress(budget)


def _percentiles(scores: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(np.percentile(scores, p)) for name, p in PERCENTILES.items()}
