"""The native library: which code runs, and which library is accepted. What it computes: ``blockwise/test_fused.py``."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optimand.optim import formulas
from optimand.optim.kernels import native
from optimand.optim.lion import Lion

needs_library = pytest.mark.skipif(not native.available(), reason="the native library has not been built")


def level_in_new_process(isa: str) -> subprocess.CompletedProcess[str]:
    code = "from optimand.optim.kernels import native; print(native.level())"
    environment = {**os.environ, "OPTIMAND_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@needs_library
def test_the_best_level_is_chosen_unless_another_is_forced():
    assert native.available()[0] == "avx2"
    if "OPTIMAND_ISA" not in os.environ:
        assert native.level() == native.available()[-1]
    with native.using("avx2"):
        assert native.level() == "avx2"
        with native.using("none"):
            assert native.level() == "none"
        assert native.level() == "avx2"


def test_a_level_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="none"), native.using("sse9"):
        pass


def test_the_environment_forces_a_level():
    forced = "avx2" if native.available() else "none"
    assert level_in_new_process(forced).stdout.strip() == forced
    refused = level_in_new_process("neon")
    assert refused.returncode != 0
    assert "OPTIMAND_ISA must be one of" in refused.stderr


@needs_library
def test_a_library_of_other_sources_is_refused(monkeypatch):
    path = next(Path(native.__file__).parent.glob("_engine*"))
    assert native.Library(path).best >= 1
    monkeypatch.setattr(native, "sources_digest", lambda: "another")
    with pytest.raises(OSError, match="older than its sources"):
        native.Library(path)
    monkeypatch.setattr(native, "sources_digest", lambda: "")  # an installation without the sources
    assert native.Library(path).best >= 1


@needs_library
def test_a_library_that_does_not_fit_is_named_and_left_alone(monkeypatch):
    native.library.cache_clear()
    monkeypatch.setattr(native, "sources_digest", lambda: "another")
    try:
        with pytest.warns(RuntimeWarning, match="install the package again"):
            assert native.library() is None
    finally:
        native.library.cache_clear()


@pytest.mark.skipif(ctypes.util.find_library("m") is None, reason="needs another library")
def test_another_library_is_refused():
    with pytest.raises(OSError, match="another library"):
        native.Library(Path(str(ctypes.util.find_library("m"))))


def test_a_job_has_a_field_for_everything():
    job = native.make_job({"block": 64, "grads": 7}, [{"map": 1, "scales": 5}, {"root": 1}])
    assert len(job) == len(native.JOB_FIELDS) + 3 * len(native.STATE_FIELDS)
    assert job[native.JOB_FIELDS.index("block")] == 64
    assert job[15:26].tolist() == [7, 1, 0, 0, 0, 5, 0, 0, 1, 0, 0]


def test_every_rule_is_a_formula():
    for name in native.RULES:
        kernel = Lion.kernel if name == "lion" else getattr(formulas, name.upper())
        assert kernel.update.__name__ == name
        assert len(kernel.states) <= native.MAX_STATES
        assert len(kernel.scalars) <= 16
