"""Compiling of inner loops: Numba with machine code kept on disk, and without it where no folder can be written."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, overload

import numba
import numpy as np

from .caching import cache_folder

F = TypeVar("F", bound=Callable[..., Any])


@overload
def compiled(function: F, /) -> F: ...
@overload
def compiled(**options: Any) -> Callable[[F], F]: ...
def compiled(function: Any = None, /, **options: Any) -> Any:
    """Compile a function on its first call and keep the machine code on disk for later processes.

    Args:
        function: works on numbers and NumPy arrays.
        options: of ``numba.njit``; ``nogil`` is on unless said otherwise.

    Machine code holds that of the compiled functions it calls, and the numbers, tuples and arrays of its module. It is
    kept in :func:`optimand.core.caching.cache_folder` (or ``$NUMBA_CACHE_DIR``) under a digest of its file's text and
    of the imported compiled functions and constants, so it is made again when one of them is another than then.
    What is reached as ``module.name`` counts too, in modules that are files (packages such as NumPy are not looked at).

    Importing this module imports Numba, so modules with compiled loops are imported where they are used.

    Example:
        >>> @compiled
        ... def total(x):
        ...     s = 0.0
        ...     for value in x:
        ...         s += value
        ...     return s
        >>> import numpy as np
        >>> total(np.arange(4.0))
        6.0
    """
    if function is None:
        return lambda f: compiled(f, **options)
    options = {"nogil": True, **options}
    try:
        return _stamped(numba.njit(cache=True, **options)(function))
    except RuntimeError:  # Numba finds no place for a cache: read-only installation, code typed into a session
        return numba.njit(**options)(function)


def _stamped(dispatcher: Any) -> Any:
    """Let stored code count only while what it was made from is the same, and be found by that, not by its place.

    Numba's stamp is time and size of the own file, so that each checkout and installation compiles anew.
    """
    stored = _stored(dispatcher)
    if stored is not None:
        made_from = [_digest(dispatcher.py_func.__code__.co_filename), *_surroundings(dispatcher.py_func)]
        stored._source_stamp = hashlib.sha256(repr(made_from).encode()).hexdigest()
        if not os.environ.get("NUMBA_CACHE_DIR"):
            folder = cache_folder("numba") / stored._source_stamp[:20]
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError:
                return dispatcher  # beside the source, where Numba found a place
            stored._cache_path, stored._index_path = str(folder), str(folder / stored._index_name)
    return dispatcher


@functools.cache
def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _stored(value: Any) -> Any:
    """The files of a compiled function's code, None for anything else; by Numba's private names, hence carefully."""
    file = getattr(getattr(value, "_cache", None), "_cache_file", None)
    return file if hasattr(file, "_source_stamp") and hasattr(file, "_index_name") else None


def _surroundings(function: Any) -> Iterator[tuple[str, str]]:
    """What a function's module has from elsewhere that its machine code, or that of its neighbours, may hold."""
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, ModuleType) and not hasattr(value, "__path__"):
            yield from (fact for inner, other in sorted(vars(value).items()) for fact in _facts(inner, other, function))
        else:
            yield from _facts(name, value, function)


def _facts(name: str, value: Any, function: Any) -> Iterator[tuple[str, str]]:
    stored = _stored(value)
    if stored is not None:
        if value.py_func.__code__.co_filename != function.__code__.co_filename:
            yield name, repr(stored._source_stamp)
    elif _is_constant(value):
        yield name, repr(value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield name, f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, bool | int | float | complex | np.generic)
