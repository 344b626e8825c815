"""Two processes with gloo: gradients of predictions are averaged before they are normalized."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

WORLD = 2
KINDS = ("adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay", "wrapped", "noised")

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("ignite")
    command = [sys.executable, str(Path(__file__).with_name("ignite_worker.py"))]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(WORLD), str(folder / "store"), str(folder / "report.json")],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert not any(process.returncode for process in processes), errors
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_agree_and_equal_one_process_with_all_rows(report: dict[str, Any], kind: str) -> None:
    seen = report[kind]
    assert "error" not in seen, seen
    assert seen["ranks"] == 0.0
    assert seen["multipliers"] == 0.0
    assert seen["alone"] < 1e-9
    assert seen["lam"] < 1e-9
    assert seen["norm"] < 1e-9
