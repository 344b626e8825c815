"""The family ``linear-systems``: its methods choose omega for each system of a sequence."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.validation import OptimandError

_EXPECTED = "expected a class, or a function, of the arms that gives an object with ask(context) and tell(cost)"
_GIVEN = ("context_bounds", "rng")  # which a user's class takes if it has such parameters


def build_adopted(obj: Any, setting: Any, **hyper: Any) -> Any:
    """Make a user's tuner from a :class:`~optimand.numerical.linear_systems.loop.Setting`."""
    given = {name: getattr(setting, name) for name in _GIVEN if name in inspect.signature(obj).parameters}
    return obj(setting.arms, **given, **hyper)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's tuner class or factory into a method.

    Args:
        name: what the method is to be called.
        obj: called as ``obj(arms, **hyper)`` with the grid of omegas, and with ``context_bounds=(low, high)`` and
            ``rng=generator`` if it has such parameters; gives an object with ``ask(context) -> omega`` and
            ``tell(iterations)``. Where it can be pickled, its runs can be resumed.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or cannot be built.

    Example:
        >>> class Random:
        ...     def __init__(self, arms, rng, least=1.0):
        ...         self.arms, self.rng = arms[arms >= least], rng
        ...     def ask(self, context):
        ...         return self.rng.choice(self.arms)
        ...     def tell(self, cost):
        ...         pass
        >>> adopt("random", Random).defaults
        {'least': 1.0}
    """

    def trial(method: Method) -> None:
        built = method.build(_setting(), **method.defaults)
        for needed in ("ask", "tell"):
            if not callable(getattr(built, needed, None)):
                raise OptimandError(f"method {name!r} gives a {type(built).__name__} without {needed}(); {_EXPECTED}")

    return adoption.adopt(
        name,
        obj,
        family="linear-systems",
        takes="arms",
        expected=_EXPECTED,
        on="the default arms",
        trial=trial,
        build=functools.partial(build_adopted, obj),
        given=_GIVEN,
    )


def _setting() -> Any:
    from .loop import Setting
    from .tuners.base import DEFAULT_ARMS

    return Setting(DEFAULT_ARMS, (0.0, 1.0), np.random.default_rng(0), lambda: 1.5)


def describe(method: Method) -> dict[str, str]:
    """Facts about a method: what it sees and the size of its state after 100 rounds.

    Raises:
        Exception: whatever the method raises when it is built, asked or told.
    """
    tuner = method.build(_setting(), **method.defaults)
    if tuner is None:
        return {"tunes": "nothing: conjugate gradients without a preconditioner"}
    for context in np.linspace(0, 1, 100):
        tuner.ask(float(context))
        tuner.tell(10.0)
    facts = {"tunes": "omega of SOR or of SSOR-preconditioned CG"}
    if hasattr(tuner, "state_dict"):
        state = tuner.state_dict()
        facts["state bytes"] = str(sum(v.nbytes for v in state.values() if isinstance(v, np.ndarray)))
    return facts


add_family(
    Family(
        name="linear-systems",
        guide="linear-systems.md",
        summary="solve sequences of sparse linear systems: choose the relaxation parameter of SOR and SSOR-CG",
        adopt=adopt,
        describe=describe,
        methods=("omega-tsallis-inf", "omega-tsallis-inf-cb", "omega-cheb-cb", "omega-fixed", "omega-optimal"),
    )
)
