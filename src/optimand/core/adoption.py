"""Turning a user's bare object into a method: what its signature says, and what is wrong with it.

Each family says in its ``adopt`` what an object may be and tries it out; reading the signature is the same for all.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from .contracts import Method
from .space import Dimension, Float, Int
from .validation import OptimandError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_hyperparameters(
    name: str, obj: Any, *, takes: str, expected: str, given: Collection[str] = (), leading: int = 1
) -> dict[str, Any]:
    """The hyperparameters of a user's class or function, with their defaults.

    Args:
        name: what the method is to be called; errors begin with it.
        obj: the object.
        takes: what its first parameters are, for the error if there are none, such as ``instance``.
        expected: the end of errors, ``expected a class that …``.
        given: parameters that the family fills in by name; they are no hyperparameters.
        leading: how many positional parameters come first that are no hyperparameters.

    Raises:
        OptimandError: ``obj`` cannot be called, its signature cannot be read, it takes too few positional parameters,
            or a hyperparameter has no default.

    Example:
        >>> def solve(task, step=0.1, *, momentum=0.9): ...
        >>> read_hyperparameters("mine", solve, takes="task", expected="expected a function of a task")
        {'step': 0.1, 'momentum': 0.9}
    """
    if not callable(obj):
        raise OptimandError(f"method {name!r} is {obj!r:.80} ({type(obj).__name__}); {expected}")
    try:
        parameters = list(inspect.signature(obj).parameters.values())
    except (TypeError, ValueError) as error:
        raise OptimandError(f"method {name!r}: the signature of {obj!r:.80} cannot be read ({error})") from error
    first = parameters[:leading]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in first)
    if not takes_any and sum(p.kind in _POSITIONAL for p in first) < leading:
        raise OptimandError(f"method {name!r} takes no {takes}; {expected}")
    own = [p for p in parameters[leading:] if p.kind not in _VARIADIC and p.name not in given]
    required = [p.name for p in own if p.default is p.empty]
    if required:
        settings = ", ".join(f"{key}=…" for key in required)
        raise OptimandError(
            f"method {name!r} has no default for {', '.join(required)}: give it one in its signature (such as "
            f"{settings}); {expected}"
        )
    return {p.name: p.default for p in own}


def adopt(
    name: str,
    obj: Any,
    *,
    family: str,
    takes: str,
    expected: str,
    on: str,
    trial: Callable[[Method], Any],
    build: Callable[..., Any] | None = None,
    given: Collection[str] = (),
    leading: int = 1,
    tuned: Collection[str] = (),
    factor: float = 30.0,
    counts: Collection[str] = (),
) -> Method:
    """Turn a user's class or function into a method of a family, after trying it on something small.

    Args:
        name: what the method is to be called.
        obj: the object.
        family: the family's name.
        takes, expected, given, leading: see :func:`read_hyperparameters`.
        on: what it is tried on, such as ``a small bandit``.
        trial: tries it; whatever it raises becomes an OptimandError.
        build: the method's factory; ``obj`` itself by default.
        tuned, factor, counts: see :func:`around_defaults`.

    Raises:
        OptimandError: ``obj`` does not fit, or does not work.
    """
    defaults = read_hyperparameters(name, obj, takes=takes, expected=expected, given=given, leading=leading)
    method = Method(
        name=name,
        family=family,
        build=build or obj,
        defaults=defaults,
        space=around_defaults(defaults, tuned, factor=factor, counts=counts),
        summary=(inspect.getdoc(obj) or "").strip().split("\n")[0],
        origin=origin_of(name, obj),
    )
    with tried_on(name, on, expected):
        trial(method)
    return method


def origin_of(name: str, obj: Any) -> str:
    """Where an object comes from, ``module:name``."""
    return f"{getattr(obj, '__module__', '')}:{getattr(obj, '__qualname__', name)}"


def around_defaults(
    defaults: Mapping[str, Any], keys: Collection[str], factor: float = 30.0, counts: Collection[str] = ()
) -> dict[str, Dimension]:
    """Ranges to tune over: from the default divided by ``factor`` to its product with it, on a log scale.


    Args:
        defaults: hyperparameters with their defaults.
        keys: which of them to tune, where they are positive numbers.
        factor: > 1.
        counts: which of ``keys`` take whole numbers only, from 1 on.

    Example:
        >>> str(around_defaults({"lr": 0.1, "name": "x"}, ("lr", "name", "beta"))["lr"])
        '0.00333333 … 3 (log)'
        >>> str(around_defaults({"n": 200}, ("n",), factor=10, counts=("n",))["n"])
        '20 … 2000 (log)'
    """
    return {
        key: Int(max(1, int(value / factor)), int(value * factor), log=True)
        if key in counts
        else Float(value / factor, value * factor, log=True)
        for key, value in defaults.items()
        if key in keys and isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    }


@contextlib.contextmanager
def tried_on(name: str, what: str, expected: str) -> Iterator[None]:
    """Runs a user's method on something small; whatever its code raises becomes an OptimandError that says so.

    Args:
        name: the method's name.
        what: what it is tried on, such as ``a small bandit``.
        expected: the end of the error, ``expected a class that …``.

    Raises:
        OptimandError: the block raised an exception; its own OptimandErrors pass as they are.

    Example:
        >>> with tried_on("mine", "a small game", "expected a class"):
        ...     int("x1")
        Traceback (most recent call last):
        optimand.core.validation.OptimandError: method 'mine' does not work on a small game: ValueError: invalid ...
    """
    try:
        yield
    except OptimandError:
        raise
    except Exception as error:  # whatever a user's code raises
        text = f"{type(error).__name__}: {error}"
        raise OptimandError(f"method {name!r} does not work on {what}: {text}; {expected}") from error
