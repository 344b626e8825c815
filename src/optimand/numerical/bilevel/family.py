"""The family ``bilevel``: its methods build an object that steps on an instance of a bilevel problem."""

from __future__ import annotations

from typing import Any

from ...core.adoption import around_defaults, origin_of, read_hyperparameters
from ...core.catalog import Family, Method, add_family, first_line
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
    defaults = read_hyperparameters(name, obj, takes="instance", expected=_EXPECTED)
    method = Method(
        name=name,
        family="bilevel",
        build=obj,
        defaults=defaults,
        space=around_defaults(defaults, ("alpha", "sigma")),
        summary=first_line(obj),
        origin=origin_of(name, obj),
    )
    try:
        built = _one_step(method)
    except OptimandError:
        raise
    except Exception as error:  # whatever a user's code raises
        raise OptimandError(f"method {name!r} fails on a small problem: {type(error).__name__}: {error}") from error
    if not is_stepper(built):
        raise OptimandError(f"method {name!r} returns a {type(built).__name__}; {_EXPECTED}")
    return method


def _one_step(method: Method) -> Any:
    instance = bilevel_quadratic(n=2, m=4).instance()
    built = method.build(instance, **method.defaults)
    if is_stepper(built):
        built.step()
    return built


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
        takes="a function of the instance that returns an object with `step()`, `x` and `z`",
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
