"""What a study ran on: versions and the machine, without anything that names it."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from .._version import __version__

PACKAGES = ("numpy", "scipy", "torch", "numba", "scikit-learn", "optuna")


def environment() -> dict[str, str]:
    """Versions of this package, Python and the packages results depend on; processor, cores and memory."""
    import psutil

    facts = {"optimand": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "not installed"
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["processor"] = _processor()
    facts["cores"] = str(psutil.cpu_count(logical=True))
    facts["memory"] = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    return facts


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
