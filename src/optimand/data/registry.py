"""The one entrance to the data: :func:`load` by name; each source is imported only when it is asked for."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path

from ..core.validation import OptimandError, UnknownNameError, suggest
from .containers import TableData, TextData

ROOT_VARIABLE = "OPTIMAND_DATA"

# name -> module and function of its loader; a loader takes the root folder (or None)
_SOURCES = {
    "digits": "packaged:digits",
    "breast_cancer": "packaged:breast_cancer",
    "mnist1d": "mnist1d:mnist1d",
    "mnist10k": "folders:mnist10k",
    "notmnist10k": "folders:notmnist10k",
    "mnist": "vision:mnist",
    "fashion_mnist": "vision:fashion_mnist",
    "cifar10": "vision:cifar10",
    "kjv": "text:kjv",
    "pystdlib": "text:pystdlib",
    "pystdlib_head": "text:pystdlib_head",
    "gcide": "text:gcide",
    "tinyshakespeare": "text:tinyshakespeare",
}
_HUB = "hub:"


def names() -> list[str]:
    """Names that :func:`load` knows, besides ``hub:DATASET`` and ``hub:DATASET/CONFIG``."""
    return sorted(_SOURCES)


def load(name: str, root: str | os.PathLike[str] | None = None) -> TableData | TextData:
    """Load a data set with its fixed splits; the second call for the same set costs nothing.

    Args:
        name: one of :func:`names`, or ``hub:OWNER/DATASET`` (``hub:OWNER/DATASET/CONFIG``) for a text
            set of the Hugging Face hub that the ``datasets`` library has in its cache.
        root: folder of the sets that come as files; by default ``$OPTIMAND_DATA``.

    Returns:
        A :class:`TableData` or a :class:`TextData`. Its arrays are shared and read-only.

    Raises:
        UnknownNameError: no such set.
        OptimandError: the set is not on this machine; the message says what to install or to set.

    Example:
        >>> data = load("digits")
        >>> data.train.x.shape, data.classes
        ((1078, 8, 8), 10)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} ({type(name).__name__})")
    if name not in _SOURCES and not name.startswith(_HUB):
        raise UnknownNameError(
            f"unknown data set {name!r}{suggest(name, _SOURCES)}; known: {', '.join(names())}, hub:DATASET"
        )
    folder = root if root is not None else os.environ.get(ROOT_VARIABLE)
    return _load(name, None if not folder else str(Path(folder).expanduser().resolve()))


def available(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether :func:`load` finds the set on this machine."""
    try:
        load(name, root)
    except UnknownNameError:
        raise
    except OptimandError:
        return False
    return True


@functools.lru_cache(maxsize=16)
def _load(name: str, root: str | None) -> TableData | TextData:
    folder = None if root is None else Path(root)
    if name.startswith(_HUB):
        from .hub import hub_text

        data = hub_text(name.removeprefix(_HUB))
    else:
        module, _, function = _SOURCES[name].partition(":")
        data = getattr(importlib.import_module(f"{__package__}.{module}"), function)(folder)
    for part in (data.train, data.valid, data.test):
        for array in part if isinstance(part, tuple) else (part,):
            array.flags.writeable = False
    return data
