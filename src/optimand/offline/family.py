"""The family ``offline``: designs proposed from a fixed data set, judged by an oracle that no method may ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.recorder import Diverged
from optimand.core.validation import OptimandError

_EXPECTED = "expected a function propose(data, q, seed) of offline data (x, y, encode, decode) that returns q designs"


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's function into a method.

    Args:
        name: what the method is to be called.
        obj: a function ``propose(data, q, seed, **hyper)`` of :class:`~optimand.offline.OfflineData` that returns
            ``q`` designs, or an object with ``x`` and perhaps ``predicted``. Hyperparameters and defaults are read from
            its signature; ``lr``, ``eta``, ``step`` and ``lam`` are tuned from a tenth to ten times a positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small task.

    Example:
        >>> def copy_best(data, q, seed, noise=0.0):
        ...     return data.x[np.resize(data.best(q), q)]
        >>> adopt("copy-best", copy_best).defaults
        {'noise': 0.0}
    """
    from .loop import check_offer
    from .tasks.locking import oracles_locked

    def build(request: Any, **hyper: Any) -> Any:
        return obj(request.data, q=request.q, seed=request.seed, **hyper)

    def trial(method: Method) -> None:
        # One of each kind: a method may be meant for sequences alone, or for vectors alone.
        faults: list[OptimandError] = []
        for request in _rehearsals():
            try:
                with oracles_locked(), adoption.tried_on(name, f"a small task ({request.data.name})", _EXPECTED):
                    check_offer(name, build(request, **method.defaults), request)
                return
            except Diverged as fault:
                faults.append(OptimandError(f"method {name!r}: {fault.reason}; {_EXPECTED}"))
            except OptimandError as fault:
                faults.append(fault)
        raise faults[0]

    return adoption.adopt(
        name,
        obj,
        family="offline",
        takes="data",
        expected=_EXPECTED,
        on="a small task",
        trial=trial,
        build=build,
        given=("q", "seed", "data"),
        tuned=("lr", "eta", "step", "lam"),
        factor=10,
    )


def _rehearsals() -> list[Any]:
    from .loop import Request
    from .tasks.base import OfflineData

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (40, 6))
    points = rng.random((40, 3))
    return [
        Request(OfflineData(codes, (codes == 2).sum(axis=1), True, 4, name="sequences"), 4, 0),
        Request(OfflineData(points, -((points - 0.5) ** 2).sum(axis=1), False, bounds=(0, 1), name="vectors"), 4, 0),
    ]


def describe(method: Method) -> dict[str, str]:
    """What a method works with: the regularizer of its surrogates, and whether it predicts its designs' values."""
    facts = {}
    if "ignite" in method.options:
        facts["regularizer"] = str(method.options["ignite"] or "none")
    if "surrogates" in method.options:
        facts["surrogates"] = str(method.options["surrogates"])
    return facts


add_family(
    Family(
        name="offline",
        guide="offline.md",
        summary="propose designs from a fixed data set alone; compared by the oracle's scores of the whole batch",
        adopt=adopt,
        describe=describe,
        methods=("best-of-data", "offline-random", "ga", "ga-ignite", "offline-evolution"),
    )
)
