"""Sources of functions: as text without decorators, checked against one another, and with errors marked in them."""

from __future__ import annotations

import ast
import inspect
import os
import sysconfig
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PASSED = "the error was raised in this call"
_warnings = threading.Lock()  # the filters belong to the process
_PACKAGE = str(Path(__file__).parents[3])


@dataclass(frozen=True)
class Source:
    """The source of a function.

    Attributes:
        text: from ``def`` on, without decorators and common indentation.
        line: where that begins in its file, from 1.
        file: the file's name.
    """

    text: str
    line: int
    file: str


def source_of(function: Callable[..., Any] | CodeType, given: str | None = None) -> Source | None:
    """A function's source; None where Python does not know it, as for functions made by ``exec``.

    Args:
        function: the function.
        given: its source where Python does not know it.
    """
    code = function if isinstance(function, CodeType) else getattr(inspect.unwrap(function), "__code__", None)
    file = getattr(code, "co_filename", "")
    if given is not None:
        return _cut(textwrap.dedent(given), 1, file)
    try:
        lines, first = inspect.getsourcelines(code if code is not None else function)
    except (OSError, TypeError, IndexError, SyntaxError):
        return None
    return _cut(textwrap.dedent("".join(lines)), max(first, 1), file)


def _cut(text: str, first: int, file: str) -> Source:
    found = defined(text)
    lines = text.splitlines()
    if found is not None:
        first += found.lineno - 1
        lines = lines[found.lineno - 1 : found.end_lineno]
    return Source("\n".join(lines).strip("\n"), first, file)


def defined(text: str, name: str | None = None) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The function of this name that a source defines at its top level, the last one; of any name where None."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    found = [item for item in tree.body if isinstance(item, _FUNCTIONS) and name in (None, item.name)]
    return found[-1] if found else None


def parse(text: str) -> ast.Module:
    """The syntax tree of code that compiles."""
    compiled(text, "<code>")
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def compiled(text: str, file: str) -> CodeType:
    """Code compiled; what Python warns about is dropped, since it is about somebody else's code."""
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(text, file, "exec", dont_inherit=True)


def signature_of(text: str) -> str:
    """The lines from ``def`` to the colon, and the docstring if there is one."""
    found = defined(text)
    if found is None:
        return ""
    lines = text.splitlines()
    first = found.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    if is_doc and first.lineno > found.lineno:
        return "\n".join(lines[found.lineno - 1 : first.end_lineno])
    return heading(found)


def heading(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """``def name(arguments):``."""
    start = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{start} {function.name}({ast.unparse(function.args)}){returns}:"


def problem_of(code: str, original: str, function: str) -> str | None:
    """Why code cannot take the place of the original, as ``(ErrorType) message``; None if it can.

    Example:
        >>> problem_of("def f(y): return y", "def f(x):\\n    return x", "f")
        "(SignatureError) the code must define 'def f(x):', got 'def f(y):'"
    """
    if not isinstance(code, str):
        return f"(TypeError) the code must be a text, got {type(code).__name__}"
    try:
        parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        detail = error.msg if isinstance(error, SyntaxError) else error
        return f"({type(error).__name__}) {detail}"
    wanted = defined(original, function) or defined(original)
    found = defined(code, function)
    if wanted is None:
        return None if found else f"(SignatureError) the code must define the function {function!r}"
    if found is None:
        return f"(SignatureError) the code must define {heading(wanted)!r}, which it does not"
    if _form(found) != _form(wanted):
        return f"(SignatureError) the code must define {heading(wanted)!r}, got {heading(found)!r}"
    return None


def _form(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[Any, ...]:
    """What callers rely on: names and kinds of the arguments, which have defaults, and whether it is to be awaited."""
    args = function.args
    return (
        isinstance(function, ast.AsyncFunctionDef),
        [item.arg for item in args.posonlyargs],
        [item.arg for item in args.args],
        args.vararg and args.vararg.arg,
        [item.arg for item in args.kwonlyargs],
        args.kwarg and args.kwarg.arg,
        len(args.defaults),
        [item is None for item in args.kw_defaults],
    )


def marked(text: str, line: int | None, note: str) -> str:
    """The text with a note at the end of a line, counted from 1; unchanged where there is no such line.

    Example:
        >>> print(marked("a\\nb", 2, "here"))
        a
        b <--- here
    """
    lines = text.split("\n")
    if line is not None and 1 <= line <= len(lines):
        lines[line - 1] += f" <--- {note}"
    return "\n".join(lines)


def error_text(kind: str, message: str) -> str:
    """``(kind) message`` with a full stop."""
    text = f"({kind}) {message}"
    return text if text.endswith((".", "!", "?")) else text + "."


def marked_frames(text: str, frames: list[int], last: int | None, error: str) -> str:
    """Code with the lines marked through which an exception passed, and the error after it."""
    for line in dict.fromkeys(frames):
        if line != last:
            text = marked(text, line, _PASSED)
    return marked(text, last, error.partition("\n")[0]) + f"\n{error}"


def error_comment(error: BaseException, text: str, known: Mapping[str, Source], rest: str | None = None) -> str:
    """The sources of the user's functions that an exception passed through, its lines marked, and the error.

    Args:
        error: the exception.
        text: what to say of it.
        known: sources by file name, for functions that Python has no source of.
        rest: the same of the call inside from which the exception came, if it is told already.
    """
    blocks: list[tuple[str, int]] = []
    for code, line in _frames(error.__traceback__):
        source = known.get(code.co_filename) or source_of(code)
        if source is not None:
            blocks.append((source.text, line - source.line + 1))
    last = len(blocks) - 1 if rest is None else len(blocks)
    shown = [
        marked(source, line, text.partition("\n")[0] if i == last else _PASSED)
        for i, (source, line) in enumerate(blocks)
    ]
    if rest is not None:
        return "\n\n".join([*shown, rest])
    return "\n\n".join(shown) + f"\n{text}" if shown else text


def _frames(trace: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    """The frames of the user's own functions: not of this package, the standard library or installed packages."""
    foreign = {_PACKAGE, *(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
    while trace is not None:
        code = trace.tb_frame.f_code
        # Comprehensions run in frames of their own; the line that holds them is marked in the function around.
        inner = code.co_name.startswith("<") and code.co_name != "<lambda>"
        if not inner and not any(code.co_filename.startswith(folder + os.sep) for folder in foreign):
            yield code, trace.tb_lineno
        trace = trace.tb_next
