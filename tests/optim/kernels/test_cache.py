"""The cache of compiled kernels: other processes find it, damage and missing rights do no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from optimand.core.caching import cache_folder
from optimand.optim.kernels import cache
from optimand.optim.kernels.compiler import Variant, digest_of


def outer(p, g, lr):
    return (p - lr * inner(g),)  # noqa: F821


def identity(p, g, lr):
    return (p,)


def cube(x):
    return x * x * x


def double(x):
    return x + x


FIRST_STEP = """
import sys, torch
from optimand import optim
p = torch.nn.Parameter(torch.ones(5))
p.grad = torch.ones(5)
optimizer = getattr(optim, sys.argv[1])([p], lr=0.125, fused=True)
optimizer.step()
print(p.tolist(), optimizer.kernel.failure)
print("numba" in sys.modules)
"""


def first_step(name: str, **environment) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_STEP, name],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_another_process_finds_the_kernels_and_does_not_import_numba(tmp_path: Path):
    cold = first_step("EXAdam", OPTIMAND_CACHE=str(tmp_path))
    warm = first_step("EXAdam", OPTIMAND_CACHE=str(tmp_path))
    assert cold[-1] == "True"
    assert warm[-1] == "False"
    assert cold[:-1] == warm[:-1]
    assert len(list((tmp_path / "kernels").glob("*.kernel"))) == 2


def test_without_a_writable_cache_every_process_compiles(tmp_path: Path):
    (tmp_path / "file").write_text("")
    lines = first_step("Lion", OPTIMAND_CACHE=str(tmp_path / "file"))
    assert lines[-1] == "True"
    assert lines[0].endswith("None")


def test_a_damaged_cache_is_not_loaded(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OPTIMAND_CACHE", str(tmp_path))
    cache.write("key", "symbol", b"code")
    assert cache.read("key") == ("symbol", b"code")
    file = cache_folder("kernels") / "key.kernel"
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.read("key") is None
    file.write_bytes(b"")
    assert cache.read("key") is None
    assert cache.read("other") is None


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMAND_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("kernels") == tmp_path / "optimand" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("kernels") == tmp_path / ".cache" / "optimand" / "kernels"


def test_compiled_code_depends_on_formula_functions_and_dtypes():
    single, wide = Variant(("float32",) * 2), Variant(("float64",) * 2)
    keys = {
        digest_of(outer, {"inner": cube}, "", single),
        digest_of(outer, {"inner": double}, "", single),
        digest_of(outer, {"inner": cube}, "", wide),
        digest_of(outer, {"inner": cube}, "x", single),
        digest_of(identity, {}, "", single),
    }
    assert len(keys) == 5
    assert digest_of(outer, {"inner": cube}, "", single) in keys
