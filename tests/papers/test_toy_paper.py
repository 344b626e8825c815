"""A paper with a family of its own is a few new files, in this package or in a plugin; no shared file is touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOM = '''
from optimand.core.catalog import Family, add_family, method, problem
from optimand.core.contracts import Method


class Halving:
    name, family, summary = "halving", "toy", "halve a number"
    unit, budget, metric, direction, target = "steps", 4, "loss", "min", None

    def run(self, method, hyper, *, seed, budget, recorder):
        step, x = method.build(**hyper), 1.0
        for t in range(budget):
            with recorder.timed():
                x = step(x)
            recorder.record(t + 1, "valid", loss=x)
        recorder.record(budget, "test", loss=x)


def adopt(name, found):
    return Method(name, "toy", found, {}, {})


add_family(Family("toy", "halve numbers", adopt, lambda m: {}, ("halve",), takes="a function of a number"))


@problem("halving", family="toy")
def halving():
    """Halve a number."""
    return Halving()


@method("halve", family="toy", paper="toy-paper")
def halve(factor=0.5):
    """Multiply by a factor."""
    return lambda x: factor * x
'''
PAPER = """
title = "Halving Numbers"
year = 2026
arxiv = "2601.00001"
first_author = "A. Toy"
authors = 1
venue = "arXiv preprint"
room = "toy"
status = "implemented"
aliases = ["toy"]
keywords = ["halving numbers"]
summary = "Numbers become smaller when they are halved."
"""
CLAIMS = """
from optimand.core.claims import Claim, Finding, StudySpec


def smaller(outcomes):
    return Finding(str(outcomes.mean("halving", "halve")), outcomes.mean("halving", "halve") < 0.1)


CLAIMS = [Claim("toy-paper", "smaller", "Halving makes small.", "1/16", smaller, StudySpec(("halving",), ("halve",)))]
"""
USE = """
import contextlib, io, json, sys
from optimand.lab import cli

said = {}
for line in sys.argv[1].split(";"):
    out = io.StringIO()
    sys.argv = ["optimand", *line.split()]
    with contextlib.redirect_stdout(out):
        try:
            code = cli.main()
        except SystemExit as ended:
            code = ended.code
    said[line] = [code, out.getvalue()]
print(json.dumps(said))
"""
PAGES = """
import sys
sys.path.insert(0, sys.argv[1])
import hooks
print(hooks.commands(), hooks.family_table(), hooks.paper_page())
"""
COMMANDS = (
    "list problems --json", "list methods --json", "list families --json", "list claims --json", "show halve --json",
    "show halving --json", "papers halving numbers --json", "compare halving --seeds 1 --jobs 1 --json",
    "reproduce toy --small -j 1 --json",
)  # fmt: skip


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def call(path, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("place", ["plugin", "package"])
def test_a_new_paper_touches_no_shared_file(place, tmp_path):
    path = tmp_path / "path"
    paper = {"papers/toy_paper/paper.toml": PAPER, "papers/toy_paper/claims.py": CLAIMS}
    if place == "plugin":
        write(path / "toyplugin", {"__init__.py": "", "toy.py": ROOM, **paper})
        entries = "[optimand.plugins]\ntoy = toyplugin.toy\n"
        write(
            path / "toyplugin-1.dist-info", {"METADATA": "Name: toyplugin\nVersion: 1\n", "entry_points.txt": entries}
        )
        search = f"{path}{os.pathsep}{ROOT / 'src'}"
    else:
        shutil.copytree(ROOT / "src/optimand", path / "optimand", ignore=shutil.ignore_patterns("__pycache__"))
        write(path / "optimand", {"toy.py": ROOM, **paper})
        search = str(path)
        call(search, tmp_path, "-m", "optimand.lab.indexing")
    said = json.loads(call(search, tmp_path, "-c", USE, ";".join(COMMANDS)).splitlines()[-1])
    for command, (code, text) in said.items():
        assert code in (0, None), (command, text)
        assert "halv" in text.lower() or '"toy"' in text, (command, text)
    assert "holds" in said[COMMANDS[-1]][1] or "not judged" in said[COMMANDS[-1]][1]
    if place == "package":
        pages = call(search, tmp_path, "-c", PAGES, str(ROOT / "docs"))
        assert "optimand reproduce toy " in pages
        assert "| `toy` | a function of a number |" in pages
        assert "## Halving Numbers" in pages
