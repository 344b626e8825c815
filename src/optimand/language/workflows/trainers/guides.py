"""Guides: functions that judge what a workflow answered, with a score and feedback.

A guide gets the query, the workflow's answer as a plain value, and what is known about the query, and returns a score,
of which more is better, and feedback that an optimizer can use (arXiv 2406.16218 and the trainers of the maintained
fork of its implementation). What a guide returns is checked, and what it raises is not swallowed: training stops with
an error that names the sample.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from optimand.core.validation import OptimandError, check_number, suggest
from optimand.language.llm.base import ChatError

from .samples import Sample


class Guide(Protocol):
    """Judges an answer: ``guide(query, response, info) -> (score, feedback)``.

    The score is a number, more is better; None where there is none; a mapping of numbers by name where there are
    several objectives (:class:`ParetoSearch <optimand.language.workflows.trainers.pareto_search.ParetoSearch>`).
    """

    def __call__(self, query: Any, response: Any, info: Any) -> tuple[Any, Any]: ...


class GuideError(OptimandError):
    """A guide raised an exception, or returned something that is no score and feedback."""


class SampleError(OptimandError):
    """A workflow raised, on a sample, what is no :class:`ExecutionError`."""


def check_guide(guide: Any) -> None:
    """Raise unless an object can be called as a guide is.

    Raises:
        TypeError: it is no function, or takes other arguments, as what makes a guide does.
    """
    if not callable(guide):
        raise TypeError(f"guide must be a function, got {guide!r:.60} ({type(guide).__name__})")
    try:
        signature = inspect.signature(guide)
    except (TypeError, ValueError):  # of a function that is not written in Python
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        name = getattr(guide, "__name__", type(guide).__name__)
        made = f": it makes a guide, so call it, guide={name}()" if guide in (exact_match, numeric_tolerance) else ""
        made = made or (f": it makes a guide, so call it, {name}(...)" if guide in (function_tests, weighted) else "")
        raise TypeError(
            f"guide must take (query, response, info), got {name}{signature}{made or f' ({error})'}"
        ) from None


@dataclass(frozen=True)
class Judgement:
    """What a guide said, checked.

    Attributes:
        score: None where there is none, or where there are several.
        objectives: several scores by name; None where there is one.
        feedback: as the guide gave it.
    """

    score: float | None
    feedback: Any
    objectives: Mapping[str, float] | None = None


def judge(guide: Guide, sample: Sample, response: Any) -> Judgement:
    """Ask a guide and check what it returns.

    Raises:
        GuideError: the guide raised, or returned something else than a score and feedback.
        ChatError: a model that the guide asks could not be asked, or its budget is spent.
    """
    try:
        returned: Any = guide(sample.query, response, sample.info)
    except ChatError:
        raise
    except Exception as error:
        raise GuideError(f"the guide raised on {sample}: {type(error).__name__}: {error}") from error
    if hasattr(returned, "close") and hasattr(returned, "__await__"):
        returned.close()
        raise GuideError(f"the guide returned a coroutine on {sample}: a guide must be a plain function")
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise GuideError(
            f"the guide must return (score, feedback), got {returned!r:.80} ({type(returned).__name__}) on {sample}"
        )
    score, feedback = returned
    if score is None:
        return Judgement(None, feedback)
    if isinstance(score, Mapping):
        if not score:
            raise GuideError(f"the guide returned an empty mapping of scores on {sample}")
        return Judgement(None, feedback, {str(name): _finite(value, sample, name) for name, value in score.items()})
    return Judgement(_finite(score, sample), feedback)


def _finite(score: Any, sample: Sample, name: Any = None) -> float:
    number: float | None = None
    if isinstance(score, bool | int | float | np.number | np.bool_) or (
        isinstance(score, np.ndarray) and score.shape == () and score.dtype.kind in "biuf"
    ):
        number = float(score)
    if number is None or not math.isfinite(number):
        of = "" if name is None else f" of {name!r}"
        raise GuideError(
            f"the guide's score{of} must be a finite number, got {score!r:.60} ({type(score).__name__}) on {sample}"
        )
    return number


def exact_match(*, key: str | None = None, strip: bool = True, case: bool = True, reveal: bool = True) -> Guide:
    """A guide that wants the answer to equal what is expected.

    Args:
        key: the entry of ``info`` that holds what is expected; None where ``info`` is it.
        strip: texts may differ in white space at their ends.
        case: letters' case counts.
        reveal: the feedback says what was expected.

    Returns:
        A guide whose score is 1 or 0.

    Example:
        >>> exact_match(case=False)("2 + 2?", " Four", "four")
        (1.0, 'correct')
        >>> exact_match()("2 + 2?", "five", "four")
        (0.0, "wrong: 'four' was expected, not 'five'")
    """

    def normal(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        value = value.strip() if strip else value
        return value if case else value.casefold()

    def guide(query: Any, response: Any, info: Any) -> tuple[float, str]:
        wanted = expected(info, key)
        same = isinstance(wanted, bool) == isinstance(response, bool)
        if same and _equal(normal(response), normal(wanted)):
            return 1.0, "correct"
        shown = f"{wanted!r:.200} was expected, not {response!r:.200}" if reveal else f"got {response!r:.200}"
        return 0.0, f"wrong: {shown}"

    return guide


def numeric_tolerance(
    *,
    key: str | None = None,
    absolute: float = 0.0,
    relative: float = 0.0,
    scale: float = 1.0,
    direction: bool = True,
    reveal: bool = True,
) -> Guide:
    """A guide that wants a number near the expected one and says in which direction it lies.

    Args:
        key: the entry of ``info`` that holds what is expected; None where ``info`` is it.
        absolute, relative: the answer is right where it differs by at most ``absolute + relative * |expected|``.
        scale: a wrong answer that is off by this much scores 1/2, in general ``1 / (1 + error / scale)``; > 0.
        direction: the feedback says whether the output should be larger or smaller. Over many samples these words
            contradict each other, and an optimizer that reads no language does better without them.
        reveal: the feedback says what was expected.

    Returns:
        A guide whose score is in [0, 1]; an answer that is no number, nor a text of one, scores 0.

    Example:
        >>> numeric_tolerance(absolute=0.1)("", 2.05, 2)
        (1.0, 'correct')
        >>> numeric_tolerance(reveal=False)("", "3", 2)
        (0.5, 'The output should be smaller.')
    """
    check_number("absolute", absolute, low=0.0)
    check_number("relative", relative, low=0.0)
    check_number("scale", scale, low=0.0, low_open=True)

    def guide(query: Any, response: Any, info: Any) -> tuple[float, str]:
        wanted = check_number("info", expected(info, key))
        try:
            number = float(response)
        except (TypeError, ValueError, OverflowError):
            return 0.0, f"A number is needed, got {response!r:.100}."
        error = abs(number - wanted)
        if math.isnan(error) or math.isinf(number):
            return 0.0, f"A finite number is needed, got {number!r}."
        if error <= absolute + relative * abs(wanted):
            return 1.0, "correct"
        told = []
        if direction:
            told.append(f"The output should be {'larger' if number < wanted else 'smaller'}.")
        if reveal:
            told.append(f"It is {number:.10g}, {wanted:.10g} was expected.")
        return 1.0 / (1.0 + error / scale), " ".join(told)

    return guide


def function_tests(
    *, function: str | None = None, tests: Sequence[Any] | None = None, sandbox: Any = None, shown: int = 3
) -> Guide:
    """A guide that runs a function on tests; the score is the share that it passes.

    Args:
        function: its name; None where ``info["function"]`` says it.
        tests: pairs of arguments, a tuple, and the expected value; None where they are in ``info["tests"]``.
        sandbox: where an answer that is source text runs; one is shared where None. An answer that is a function of
            this process is called here.
        shown: how many failed tests the feedback shows, >= 1.

    Returns:
        A guide; values count as equal where Python says so, and floats within 1e-9 of their size.
    """

    def guide(query: Any, response: Any, info: Any) -> tuple[float, str]:
        cases = expected(info, "tests") if tests is None else tests
        if not cases:
            raise ValueError("there are no tests")
        faults = []
        for args, wanted in cases:
            if callable(response):
                fault = _called_here(response, args, wanted)
            else:
                name = expected(info, "function") if function is None else function
                fault = _called_there(response, name, args, wanted, sandbox)
            if fault:
                faults.append(fault)
        if not faults:
            return 1.0, "correct: all tests passed"
        listed = "; ".join(faults[:shown]) + ("; ..." if len(faults) > shown else "")
        return 1.0 - len(faults) / len(cases), f"{len(faults)} of {len(cases)} tests failed: {listed}"

    return guide


def _called_here(function: Callable[..., Any], args: Any, wanted: Any) -> str:
    try:
        value = function(*args)
    except Exception as error:  # what the function under test raises is what is to be told
        return f"{_listed(args)} raised {type(error).__name__}: {error}"
    return _difference(value, args, wanted)


def _called_there(source: Any, name: str, args: Any, wanted: Any, sandbox: Any) -> str:
    from ..tracing.running import shared_sandbox

    if not isinstance(source, str):
        return f"source text or a function is needed, got {source!r:.60} ({type(source).__name__})"
    result = (shared_sandbox() if sandbox is None else sandbox).call(source, name, tuple(args))
    if not result.ok:
        return f"{_listed(args)} raised {result.error_type or result.status}: {result.error_message}"
    return _difference(result.value, args, wanted)


def _difference(value: Any, args: Any, wanted: Any) -> str:
    same = _equal(value, wanted)
    if isinstance(value, float) or isinstance(wanted, float):
        try:
            same = math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12)
        except TypeError:
            same = False
    return "" if same else f"{_listed(args)} gave {value!r:.100}, {wanted!r:.100} was expected"


def _equal(value: Any, wanted: Any) -> bool:
    """Whether values are equal; arrays as a whole, of the same shape."""
    if isinstance(value, list | tuple) and type(value) is type(wanted):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    try:
        if isinstance(value, np.ndarray) or isinstance(wanted, np.ndarray):
            return bool(np.array_equal(value, wanted))
        return bool(value == wanted)
    except (TypeError, ValueError):  # what has no form as an array, or whose comparison is neither true nor false
        return False


def _listed(args: Any) -> str:
    return f"({', '.join(f'{arg!r:.60}' for arg in args)})"


def weighted(guide: Guide, weights: Mapping[str, float]) -> Guide:
    """A guide of several objectives as one whose score is their weighted sum.

    Args:
        guide: its scores are mappings.
        weights: by objective; one that is not named does not count.

    Example:
        >>> both = weighted(lambda q, r, i: ({"right": 1.0, "short": 0.5}, "ok"), {"right": 0.8, "short": 0.2})
        >>> both("", "", "")
        (0.9, 'ok')
    """
    for name, weight in weights.items():
        check_number(f"weights[{name!r}]", weight)

    def one(query: Any, response: Any, info: Any) -> tuple[float, Any]:
        score, feedback = guide(query, response, info)
        if not isinstance(score, Mapping):
            raise TypeError(f"a mapping of scores is needed, got {score!r:.60} ({type(score).__name__})")
        for name in weights:
            if name not in score:
                raise KeyError(f"no objective {name!r}{suggest(name, map(str, score))}")
        return sum(weight * float(score[name]) for name, weight in weights.items()), feedback

    return one


def expected(info: Any, key: str | None) -> Any:
    """The entry of ``info``, or all of it where ``key`` is None."""
    if key is None:
        return info
    if not isinstance(info, Mapping) or key not in info:
        raise KeyError(f"info has no entry {key!r}: {info!r:.80}")
    return info[key]
