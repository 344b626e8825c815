"""Machine code on disk: used again, and made again when anything that it holds has changed."""

import os
import subprocess
import sys

import pytest

CALLEE = (
    "from optimand.core.compiled import compiled\nSTEP = {step}\n\n\n@compiled\ndef shift(x):\n    return x + {by}\n"
)
CALLER = """
from callee import STEP, shift
from optimand.core.compiled import compiled


@compiled
def outer(x):
    return inner(x) * STEP


@compiled
def inner(x):
    return shift(x)


print(outer(1), len(outer.stats.cache_hits))
"""


def run(folder, by, step):
    (folder / "callee.py").write_text(CALLEE.format(by=by, step=step))
    # The time of a file counts in its stamp; two writings within a tick of the clock would look alike.
    os.utime(folder / "callee.py", ns=(10**18 + by, 10**18 + by))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "caller.py"], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("by_module", [False, True])
def test_code_is_made_again_when_a_callee_or_a_constant_of_another_file_changes(tmp_path, by_module):
    caller = CALLER
    if by_module:
        caller = caller.replace("from callee import STEP, shift", "import callee")
        caller = caller.replace("* STEP", "* callee.STEP").replace("return shift", "return callee.shift")
    (tmp_path / "caller.py").write_text(caller)
    assert run(tmp_path, 1, 10) == ["20", "0"]
    assert run(tmp_path, 1, 10) == ["20", "1"]
    assert run(tmp_path, 5, 10) == ["60", "0"]
    assert run(tmp_path, 5, 7) == ["42", "0"]


def test_code_is_shared_by_copies_of_a_file(tmp_path):
    caller = CALLER.replace("from callee import STEP, shift", "STEP = 3").replace("shift(x)", "x + 1")
    hits = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "caller.py").write_text(caller)
        environment = {**os.environ, "OPTIMAND_CACHE": str(tmp_path / "cache")}
        environment.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(
            [sys.executable, "caller.py"], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        hits.append(done.stdout.split())
    assert hits == [["6", "0"], ["6", "1"]]
