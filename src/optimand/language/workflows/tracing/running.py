"""Runs the code of code parameters: the user's own text in this process, changed text in the sandbox.

Code that a language model wrote is not to be trusted, so a changed source runs in
:mod:`optimand.language.sandbox` unless the function was bundled with ``trusted=True``. There it sees what it can see of
the module around the original: imported modules that the sandbox allows, plain constants, and other functions whose
source is known; a method's ``self`` has the instance's plain attributes, as a copy.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import re
import symtable
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .packing import unwrap
from .sources import Source, compiled, error_text, marked_frames, parse, source_of

if TYPE_CHECKING:
    from optimand.language.sandbox import SandboxedPython

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_ENTRY = "call_with_plain_values"
_lock = threading.Lock()
_shared: list[SandboxedPython] = []


class CodeFailure(Exception):  # noqa: N818 (what happened)
    """Code that failed outside this process: what to say, and the code with its lines marked."""

    def __init__(self, text: str, comment: str) -> None:
        super().__init__(text)
        self.text, self.comment = text, comment


def shared_sandbox() -> SandboxedPython:
    """The sandbox of all functions that were given none; made when it is first needed, closed at exit."""
    with _lock:
        if not _shared:
            from optimand.language.sandbox import SandboxedPython

            _shared.append(SandboxedPython(workers=min(4, os.cpu_count() or 1)))
        return _shared[0]


def names_around(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function's own code can see: the globals of its module and the variables that it closes over."""
    known = dict(getattr(function, "__globals__", {}))
    code = getattr(function, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    return known


def compile_trusted(code: str, name: str, function: Callable[..., Any]) -> tuple[Callable[..., Any], str]:
    """Code as a function of this process that sees what the original sees; and the name of its pretended file."""
    file = f"<code of {name}>"
    known = names_around(function)
    exec(compiled(code, file), known)
    return known[name], file


def call_sandboxed(
    code: str, name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], sandbox: Any
) -> Any:
    """The function that code defines, called in the sandbox.

    Raises:
        CodeFailure: it raised, took too long, or did what is not allowed.
    """
    before = _prelude(code, name, function)
    instance = None
    if args and not _is_plain(args[0]) and _takes_self(code, name):
        instance = _attributes(args[0], code)
        args = args[1:]
    program = f"{before}{code.rstrip()}\n\n\n{_entry(name, function, instance)}"
    sandbox = shared_sandbox() if sandbox is None else sandbox
    result = sandbox.call(program, _ENTRY, (instance, list(args), dict(kwargs)))
    if result.ok:
        return result.value
    offset, length = before.count("\n"), code.rstrip().count("\n") + 1
    frames = [line - offset for line, _ in result.frames if 0 < line - offset <= length]
    last = None if result.line is None else result.line - offset
    if last is None or not 0 < last <= length:
        last = frames[-1] if frames else None
    kind = result.error_type or {"timeout": "TimeoutError", "memory": "MemoryError"}.get(result.status, result.status)
    message = result.error_message or f"the program ended with status {result.status}"
    if "line " in message and offset:
        message = re.sub(r"\bline (\d+)\b", lambda found: f"line {max(int(found[1]) - offset, 1)}", message)
    raise CodeFailure(f"({kind}) {message}", marked_frames(code, frames, last, error_text(kind, message)))


def _entry(name: str, function: Callable[..., Any], method: Mapping[str, Any] | None) -> str:
    lines = [f"def {_ENTRY}(instance, args, kwargs):"]
    if method is not None:
        # The sandbox refuses setattr and __dict__, so attributes are written out.
        lines += ["    self = _Instance()", *(f"    self.{key} = instance[{key!r}]" for key in method)]
        lines += ["    args = [self, *args]"]
    lines += [f"    value = {name}(*args, **kwargs)"]
    if inspect.iscoroutinefunction(function):
        lines += [
            "    try:",
            "        value.send(None)",
            "    except StopIteration as ended:",
            "        return ended.value",
            "    raise RuntimeError('code in the sandbox cannot wait for other tasks')",
        ]
    else:
        lines += ["    return value"]
    if method is not None:
        lines += ["", "", "class _Instance:", "    pass"]
    return "\n".join(lines) + "\n"


def _takes_self(code: str, name: str) -> bool:
    for item in parse(code).body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == name:
            first = [*item.args.posonlyargs, *item.args.args][:1]
            return bool(first) and first[0].arg == "self"
    return False


def _attributes(instance: Any, code: str) -> dict[str, Any]:
    """The plain attributes of an instance that code mentions; reading those that are nodes counts as such."""
    mentioned = {item.attr for item in ast.walk(parse(code)) if isinstance(item, ast.Attribute)}
    found = {}
    for key, value in getattr(instance, "__dict__", {}).items():
        if key in mentioned and not key.startswith("_"):
            plain = unwrap(value)
            if _is_plain(plain):
                found[key] = plain
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, _PLAIN) or type(value).__module__ == "numpy":
        return True
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, dict) and all(_is_plain(key) and _is_plain(item) for key, item in value.items())


def _global_names(code: str) -> set[str]:
    """Names that code takes from around it."""
    found: set[str] = set()
    stack = [symtable.symtable(code, "<code>", "exec")]
    while stack:
        table = stack.pop()
        for symbol in table.get_symbols():
            if symbol.is_global() or (table.get_type() == "module" and not symbol.is_assigned()):
                found.add(symbol.get_name())
        stack.extend(table.get_children())
    return found


def _defined_names(code: str) -> set[str]:
    table = symtable.symtable(code, "<code>", "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


def _prelude(code: str, name: str, function: Callable[..., Any]) -> str:
    """Lines that give changed code what the original had around it, as far as the sandbox can have it."""
    from optimand.language.sandbox import DEFAULT_IMPORTS

    lines: list[str] = []
    done = {name, *_defined_names(code)}
    waiting = [(code, names_around(function))]
    while waiting:
        text, known = waiting.pop()
        for wanted in sorted(_global_names(text) - done):
            done.add(wanted)
            if wanted not in known:
                continue
            made, more = _as_line(wanted, known[wanted], DEFAULT_IMPORTS)
            if made is not None:
                lines.insert(0, made)
            if more is not None:
                waiting.append(more)
    return "".join(line + "\n" for line in lines)


def _as_line(name: str, value: Any, allowed: Any) -> tuple[str | None, tuple[str, dict[str, Any]] | None]:
    if isinstance(value, ModuleType):
        inside = value.__name__.split(".")[0] in allowed
        return (f"import {value.__name__} as {name}" if inside else None), None
    if isinstance(value, _PLAIN) or (isinstance(value, list | tuple | dict | set | frozenset) and _is_plain(value)):
        text = repr(value)
        return (f"{name} = {text}" if len(text) < 10_000 and _readable(text) else None), None
    home = str(getattr(value, "__module__", ""))
    own = getattr(value, "__name__", "")
    if own and home and home.split(".")[0] in allowed and home != builtins.__name__:
        return f"from {home} import {own} as {name}", None
    if inspect.isfunction(value):
        source = source_of(value)
        if source is not None and value.__name__ == name:
            return source.text, (source.text, names_around(value))
    return None, None


def _readable(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def known_sources(file: str | None, code: str) -> Mapping[str, Source]:
    """The source of compiled code by the name of its pretended file."""
    return {} if file is None else {file: Source(code, 1, file)}
