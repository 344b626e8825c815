"""Code as a value: what a suggested source must keep of the one it replaces.

Trainable code of Trace (arXiv 2406.16218) is the source of one function. A suggestion may change everything but the
function's name and its arguments, which callers rely on; a source that breaks that, or Python's syntax, is turned down
before it can be called, and the reason is kept for the next prompt. The source is never printed anew from its syntax
tree, which would lose its comments.
"""

from __future__ import annotations

import re
import textwrap

from ..tracing.sources import defined, heading, parse, problem_of
from .kinds import ValueRejected

_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_UNPARSABLE = (SyntaxError, ValueError, MemoryError, RecursionError)


def signature_text(source: str, function: str | None = None) -> str | None:
    """The line ``def name(arguments):`` of a source's function; None without one.

    Args:
        source: Python.
        function: the function's name; the last one at the top level where None.

    Example:
        >>> signature_text("def act(x, *, n=2):\\n    return x ** n")
        'def act(x, *, n=2):'
    """
    found = defined(source, function)
    return None if found is None else heading(found)


def convert_code(
    current: str, value: object, *, notes: list[str], where: str = "the code", function: str | None = None
) -> str:
    """A suggested source, checked against the current one.

    Fences around it are taken off, a common indentation is removed, and a source that came on one line with ``\\n``
    written as two characters is read with line ends if only that is Python.

    Args:
        current: the source it replaces; without a function in it only the syntax is checked.
        value: the suggestion.
        notes: gets a sentence for every change of form.
        where: how messages call the value.
        function: the name of the function that matters; the last one of the current source where None.

    Raises:
        ValueRejected: no text, empty, no Python, no function of that name, or other arguments.

    Example:
        >>> convert_code("def act(x): return x", "def act(y): return y", notes=[], where="__code0")
        Traceback (most recent call last):
        ...
        optimand.language.workflows.optimizers.kinds.ValueRejected: __code0: the code must define 'def act(x):', got ...
    """
    if not isinstance(value, str):
        raise ValueRejected(f"{where} must be source code as a text, got {type(value).__name__}")
    source = value
    fenced = _FENCE.match(source)
    if fenced:
        source = fenced.group(1)
        notes.append(f"{where}: the fence around the code was taken off")
    source = textwrap.dedent(source).strip("\r\n").rstrip()
    if not source:
        raise ValueRejected(f"{where} must be source code, got an empty text")
    source = _parsable(source, notes, where)
    wanted = defined(current, function)
    problem = None if wanted is None else problem_of(source, current, wanted.name)
    if problem is not None:
        raise ValueRejected(f"{where}: {problem.partition(') ')[2] or problem}")
    return source


def _parsable(source: str, notes: list[str], where: str) -> str:
    try:
        parse(source)
        return source
    except _UNPARSABLE as error:
        if "\\n" in source and "\n" not in source:
            unfolded = source.replace("\\n", "\n").replace("\\t", "\t")
            try:
                parse(unfolded)
            except _UNPARSABLE:
                pass
            else:
                notes.append(f"{where}: line ends were written as two characters and were read as line ends")
                return unfolded
        raise ValueRejected(f"{where} is no valid Python: {_fault(error)}") from None


def _fault(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})"
    return str(error) or type(error).__name__
