"""Names of a package that load when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any


def lazy_attribute(package: str, name: str, homes: Mapping[str, str], modules: Collection[str] = ()) -> Any:
    """What ``__getattr__`` of a package returns.

    Args:
        package: the package's ``__name__``.
        name: what was asked for.
        homes: the names that the package exports, each with the module, relative to the package, that holds it.
        modules: modules of the package that are exported themselves.

    Raises:
        AttributeError: the package exports no such name.

    Example:
        >>> lazy_attribute("optimand.core", "Float", {"Float": "space"}).__name__
        'Float'
        >>> lazy_attribute("optimand.core", "space", {}, modules=("space",)).__name__
        'optimand.core.space'
    """
    if name in modules:
        return importlib.import_module(f"{package}.{name}")
    if name in homes:
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
