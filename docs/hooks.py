"""Draws the pictures of the gallery when the documentation is built: each by its script in examples/."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGE = "gallery.md"


def pictures() -> dict[str, Path]:
    """The scripts in examples/ whose docstring says that they draw one, by their names."""
    scripts = sorted((ROOT / "examples").glob("*.py"))
    return {path.stem: path for path in scripts if ".png" in docstring(path)}


def docstring(script: Path) -> str:
    """What a script says of itself."""
    return ast.get_docstring(ast.parse(script.read_text())) or ""


def on_files(files: Files, config: Any) -> Files:
    """Add ``gallery/NAME.png`` for each script, and a page that shows them with what the scripts say."""
    parts = ["# Gallery", "", "Each picture is made by a short script, when these pages are built."]
    for name, script in pictures().items():
        files.append(File.generated(config, f"gallery/{name}.png", content=draw(script)))
        title, _, text = docstring(script).partition("\n")
        parts += ["", f"## {title.rstrip('.')}", "", f"![{title}](gallery/{name}.png)", *prose(text)]
        parts += ["", f"`examples/{name}.py`"]
    files.append(File.generated(config, PAGE, content="\n".join(parts) + "\n"))
    return files


def prose(text: str) -> list[str]:
    """A docstring's text without its indented lines, which say how the script is called."""
    return ["", *(line for line in text.strip().split("\n") if not line.startswith("    "))]


def draw(script: Path) -> bytes:
    """The picture that a script draws; RuntimeError with its output where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "picture.png"
        environment = {**os.environ, "MPLBACKEND": "Agg"}
        done = subprocess.run([sys.executable, script, target], env=environment, capture_output=True, text=True)
        if done.returncode != 0 or not target.exists():
            raise RuntimeError(f"{script.name} drew no picture: {done.stderr[-2000:]}")
        return target.read_bytes()
