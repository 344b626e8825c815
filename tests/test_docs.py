"""The documentation's Python blocks and the examples run as they stand."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from docs import hooks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{i}")
    for page in PAGES
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


# Forks for each file that it is told of, so that the libraries load once for all blocks; says how the file ended.
FORKS = """
import os, runpy, sys, traceback
import numpy, torch
for line in sys.stdin:
    file = line.strip()
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.chdir(os.path.dirname(file))
            out = os.open("said", os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1), os.dup2(out, 2)
            runpy.run_path(file, run_name="__main__")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def forks():
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("block", BLOCKS)
def test_code_in_the_documentation_runs(block, tmp_path, forks):
    file = tmp_path / "block.py"
    if "compare(" in block:  # starts worker processes, which import the main module: it must not run again there
        file.write_text("if __name__ == '__main__':\n" + textwrap.indent(block, "    "))
        result = subprocess.run([sys.executable, file], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    else:
        file.write_text(block)
        print(file, file=forks.stdin, flush=True)
        assert forks.stdout.readline().strip() == "0", (tmp_path / "said").read_text()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_run(example, tmp_path):
    if example.stem in hooks.pictures():
        assert hooks.draw(example).startswith(b"\x89PNG")  # as for the gallery, which has it already if it was built
        return
    result = subprocess.run([sys.executable, example], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_users_files_of_the_examples_can_be_compared(tmp_path):
    command = [
        sys.executable, "-m", "optimand.lab.cli", "compare", f"{ROOT}/examples/my_problem.py:problem",
        "--methods", f"adamw,{ROOT}/examples/my_opt.py:MyOpt", "--budget", "20", "--seeds", "1", "--jobs", "1",
        "--store", str(tmp_path / "study"),
    ]  # fmt: skip
    result = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "MyOpt" in result.stdout


def test_links_between_pages_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            # these two are made when the documentation is built
            if target not in ("gallery.md", "papers.md") and not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert missing == []
