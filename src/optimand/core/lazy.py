"""Names of a package that load when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package from what it imports under ``if TYPE_CHECKING:``.

    So each export is named once, where type checkers see it: ``from .lion import Lion as Lion`` for a name,
    ``from . import kappa as kappa`` for a module.

    Args:
        package: its ``__name__``.

    Example:
        >>> get, listed, names = lazy_exports("optimand.numerical")
        >>> get("ssor_cg").__name__, "monotone" in names
        ('ssor_cg', True)
    """
    file = sys.modules[package].__file__
    assert file is not None
    homes: dict[str, str | None] = {}
    for block in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.level == 1:
                    homes.update({alias.asname or alias.name: line.module for alias in line.names})

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        if home is None:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(f"{package}.{home}"), name)

    return get, lambda: sorted(homes), sorted(homes)
