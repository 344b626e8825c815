"""Compiling of inner loops: Numba with its cache on disk, and without it where no folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import numba

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
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # Numba finds no place for a cache: read-only installation, code typed into a session
        return numba.njit(**options)(function)
