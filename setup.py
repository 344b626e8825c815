"""Builds the native library of ``optimand.optim.kernels.native``; everything else stands in ``pyproject.toml``.

The library has no Python interface: it is loaded with ctypes. Where it cannot be built, the installation goes on
without it, and Numba's kernels serve instead.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("src/optimand/optim/kernels/native")
FILES = sorted(path for pattern in ("*.cpp", "*.h", "*.inc") for path in SOURCES.glob(pattern))
# native/__init__.py computes the same, to see whether a library is older than the sources beside it.
DIGEST = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in FILES)).hexdigest()


class build_library(build_ext):  # noqa: N801  # the command's name in messages
    """Builds a plain shared library: no module to initialise, so no symbol of one to export."""

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return list(ext.export_symbols)


native = Extension(
    "optimand.optim.kernels.native._engine",
    sources=[str(path) for path in FILES if path.suffix == ".cpp"],
    depends=[str(path) for path in FILES],
    define_macros=[("OPTIMAND_SOURCES", f'"{DIGEST}"')],
    language="c++",
    # No contraction and no reassociation: every instruction set gives the same bits. The two others only say that
    # nobody reads errno or the floating-point exception flags.
    extra_compile_args=[
        *("-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-Wno-psabi"),
        *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    ],
    optional=True,
)

# The sources need GCC's or clang's vector types, which Microsoft's compiler does not have.
setup(ext_modules=[] if os.name == "nt" else [native], cmdclass={"build_ext": build_library})
