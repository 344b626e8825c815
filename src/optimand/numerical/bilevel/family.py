"""The family ``bilevel``: its methods build an object that steps on an instance of a bilevel problem."""

from __future__ import annotations

from typing import Any

from ...core import adoption
from ...core.catalog import Family, Method, add_family
from ...core.validation import OptimandError
from .loop import is_stepper
from .problems import bilevel_quadratic

_EXPECTED = (
    "expected a class or function build(instance, **hyper) that returns an object with step(), x and z, "
    "where instance has oracle, x0, y0, project_x, project_y and rng"
)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's class or function into a method.

    Args:
        name: what the method is to be called.
        obj: ``build(instance, **hyper)``; the object that it returns takes steps by ``step()`` and shows the upper
            variable as ``x`` and the lower solution as ``z``. Every hyperparameter needs a default; ``alpha`` and
            ``sigma`` are tuned from a thirtieth to thirty times theirs.

    Raises:
        OptimandError: ``obj`` is something else, or takes no step on a small problem.

    Example:
        >>> class Still:
        ...     def __init__(self, instance, alpha=0.1):
        ...         self.x, self.z = instance.x0, instance.y0
        ...     def step(self):
        ...         pass
        >>> adopt("still", Still).defaults
        {'alpha': 0.1}
    """

    def trial(method: Method) -> None:
        built = method.build(bilevel_quadratic(n=2, m=4).instance(), **method.defaults)
        if not is_stepper(built):
            raise OptimandError(f"method {name!r} returns a {type(built).__name__}; {_EXPECTED}")
        built.step()

    return adoption.adopt(
        name,
        obj,
        family="bilevel",
        takes="instance",
        expected=_EXPECTED,
        on="a small problem",
        trial=trial,
        tuned=("alpha", "sigma"),
    )


def describe(method: Method) -> dict[str, str]:
    """Facts about a method, from one step on a small quadratic program after its start.

    Returns:
        ``gradient calls per step``.

    Raises:
        Exception: whatever the method raises, such as ValueError for a hyperparameter out of range.
    """
    instance = bilevel_quadratic(n=2, m=4).instance()
    stepper = method.build(instance, **method.defaults)
    stepper.step()
    before = instance.oracle.counter.total
    stepper.step()
    return {"gradient calls per step": f"{instance.oracle.counter.total - before:g}"}


add_family(
    Family(
        name="bilevel",
        guide="bilevel.md",
        summary="minimize over the solutions of another problem: hyperparameters, data cleaning, leaders and followers",
        adopt=adopt,
        describe=describe,
        methods=(
            "bilevel-penalty", "bilevel-penalty-single", "bilevel-penalty-storm", "bilevel-implicit",
            "bilevel-unrolled", "no-cleaning",
        ),
    )
)  # fmt: skip
