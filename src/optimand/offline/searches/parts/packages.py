"""Packages that some searches need and that are not installed with this one."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from optimand.core.validation import OptimandError


def need(package: str) -> ModuleType:
    """A package that a search needs.

    Args:
        package: as it is installed and imported.

    Raises:
        OptimandError: the package is missing; names the command that installs it.
    """
    try:
        # Deprecations that a package meets while it is imported are its own affair.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise OptimandError(f"this search needs the package {package}: python -m pip install {package}") from error
