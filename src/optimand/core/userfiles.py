"""What a user types for a problem or a method, and the Python files that it may name."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .validation import OptimandError, suggest

MODULE_PREFIX = "_optimand_file_"


def split_spec(text: str) -> tuple[str, str | None, dict[str, Any]]:
    """Take ``name``, ``name:key=value,…``, ``file.py:attr`` or ``file.py:attr:key=value,…`` apart.

    Returns the name or file, the attribute (None for a name) and the parameters; values are read as
    Python literals where they are one, else as strings.
    """
    parts = text.split(".py:", 1)
    if len(parts) == 2:
        head = parts[0] + ".py"
        attr, _, tail = parts[1].partition(":")
    elif text.endswith(".py"):
        raise OptimandError(f"{text!r} names a file; say which object of it: {text}:NAME")
    else:
        head, _, tail = text.partition(":")
        attr = ""
    params: dict[str, Any] = {}
    for piece in _split_commas(tail):
        key, equals, value = piece.partition("=")
        if not equals or not key.strip():
            raise OptimandError(f"{text!r}: {piece!r} is not of the form key=value")
        try:
            params[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            params[key.strip()] = value.strip()
    return head, attr or None, params


def short_spec(text: str) -> str:
    """``text`` for people: a file by its name without folders, everything else as typed."""
    head, attr, _ = split_spec(text)
    return Path(head).name + text[len(head) :] if attr is not None else text


def _split_commas(text: str) -> list[str]:
    """Split at the commas that stand outside brackets; empty pieces are dropped."""
    pieces, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            pieces.append(text[start:i])
            start = i + 1
    pieces.append(text[start:])
    return [piece for piece in pieces if piece.strip()]


def load_file(path: str | Path) -> ModuleType:
    """Import a user's Python file; OptimandError names the file and the fault when that fails."""
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise OptimandError(f"file {str(path)!r} does not exist")
    place = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    module_name = f"{MODULE_PREFIX}{place}_{file_digest(file)}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise OptimandError(f"file {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        fault = f"{type(error).__name__}: {error}{line_in(error, file)}"
        raise OptimandError(f"file {str(path)!r} could not be loaded: {fault}") from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def same_place(module: str, other: str) -> bool:
    """Whether two module names are of one user's file, at different times of editing."""
    names = (module.partition(":")[0], other.partition(":")[0])
    return all(n.startswith(MODULE_PREFIX) for n in names) and len({n.rpartition("_")[0] for n in names}) == 1


def line_in(error: BaseException, file: Path) -> str:
    """`` (line N)`` of the deepest frame of ``error`` in ``file``, for the user to go to; nothing if there is none."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f" (line {error.lineno})" if f"line {error.lineno}" not in str(error) else ""
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = f" (line {trace.tb_lineno})"
        trace = trace.tb_next
    return line


def file_digest(path: str | Path) -> str:
    """Digest of a user file's bytes."""
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:12]


def object_in_file(head: str, attr: str) -> Any:
    """The object called ``attr`` in a user's file; OptimandError with the nearest names if there is none."""
    module = load_file(head)
    if not hasattr(module, attr):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise OptimandError(f"file {head!r} has no {attr!r}{suggest(attr, names)}")
    return getattr(module, attr)
