"""Compiled C++ code for optimizer steps on quantized states, where the installation has it.

The sources beside this file become one library without a Python interface, built by ``setup.py`` if there is a
compiler. It holds one engine for several instruction sets and chooses when it is loaded; all give the same bits.
Processors with none of these have Numba's kernels, which are faster than such code without them.
``$OPTIMAND_ISA`` forces one of ``none`` (as if there were no library), ``avx2`` and ``avx512``.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.machinery
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from optimand.core.validation import check_choice

LEVELS = ("none", "avx2", "avx512")
# The formulas that the library knows, by name; the number is their place.
RULES = ("adam", "amsgrad", "sgd", "rmsprop", "rmsprop_momentum", "adagrad", "ademamix", "lamb", "lion")
OPERATIONS = ("step", "norms", "quantize", "dequantize")

# The C++ struct Job: every field has 8 bytes, those from "tensors" on are addresses.
JOB_FIELDS = (
    *("rule", "param_dtype", "grad_dtype", "stochastic", "block", "width"),
    *("tensors", "offsets", "lengths", "rows", "table", "keys", "skipped", "norms", "params", "grads"),
)
STATE_FIELDS = ("map", "signed_scale", "root", "codes", "scales")
MAX_STATES = 3


class Library:
    """The loaded library.

    Args:
        path: of the shared object.

    Raises:
        OSError: it cannot be loaded, or was made of other sources than those beside it.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        try:
            sources, self._level, self._run = library.optimand_sources, library.optimand_level, library.optimand_run
        except AttributeError as error:
            raise OSError(f"{path.name} is another library") from error
        sources.restype, self._level.restype, self._run.restype = ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64
        expected = sources_digest()
        if expected and sources().decode() != expected:
            raise OSError(f"{path.name} is older than its sources: install the package again")
        self._run.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        self.best = int(self._level())

    def run(self, level: str, operation: str, job: np.ndarray, begin: int, end: int) -> bool:
        """Run the chunks from ``begin`` to ``end - 1`` of a job; False if the library cannot serve it."""
        status = self._run(LEVELS.index(level), OPERATIONS.index(operation), job.ctypes.data, begin, end)
        return bool(status == 0)


def sources_digest() -> str:
    """A digest of the C++ files beside this one; empty where an installation lacks them."""
    folder = Path(__file__).parent
    files = sorted(path for pattern in ("*.cpp", "*.h", "*.inc") for path in folder.glob(pattern))
    content = b"".join(path.name.encode() + path.read_bytes() for path in files)
    return hashlib.sha256(content).hexdigest() if files else ""


@functools.cache
def library() -> Library | None:
    """The library, or None where it has not been built.

    Warns:
        RuntimeWarning: there is one, but it does not fit.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_engine{suffix}")
        if path.exists():
            try:
                return Library(path)
            except OSError as error:
                warnings.warn(f"no native kernels, Numba's serve: {error}", RuntimeWarning, stacklevel=2)
    return None


def available() -> tuple[str, ...]:
    """The instruction sets that the library can use here, the best last; none without the library."""
    found = library()
    return () if found is None else LEVELS[1 : found.best + 1]


_chosen: list[str] = []


def level() -> str:
    """The instruction set in use, or ``none``.

    Raises:
        ValueError: ``$OPTIMAND_ISA`` names one that is not available.
    """
    if not _chosen:
        wanted = os.environ.get("OPTIMAND_ISA", "")
        best = ("none", *available())
        _chosen.append(check_choice("OPTIMAND_ISA", wanted, best) if wanted else best[-1])
    return _chosen[-1]


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Use another instruction set for a while, in all threads.

    Args:
        name: ``none`` or one of :func:`available`.

    Raises:
        ValueError: it is not available.

    Example:
        >>> with using("none"):
        ...     level()
        'none'
    """
    _chosen.append(check_choice("name", name, ("none", *available())))
    try:
        yield
    finally:
        _chosen.pop()


def make_job(values: dict[str, int], states: list[dict[str, int]]) -> np.ndarray:
    """The memory of a C++ Job: numbers and addresses by name, 0 where there is none."""
    rows = [*states, *({} for _ in range(MAX_STATES - len(states)))]
    fields = [values.get(name, 0) for name in JOB_FIELDS]
    return np.array([*fields, *(row.get(name, 0) for row in rows for name in STATE_FIELDS)], np.int64)
