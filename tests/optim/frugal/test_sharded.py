"""Subspace methods on weights that FSDP2 shards over two processes."""

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
EXACT = ("columns", "columns, 8 bits", "block")
SUMMED = ("svd", "random", "galore", "fira")
PER_SHARD = ("rows", "few rows", "randk")

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sharded")
    worker = Path(__file__).with_name("sharded_worker.py")
    path = os.pathsep.join([str(worker.parents[3]), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(worker), str(rank), str(WORLD), str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert not any(process.returncode for process in processes), errors
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("name", EXACT)
def test_shards_take_the_same_columns_and_blocks(report, name) -> None:
    # Gradients of a part of the batch may be rounded in another way, depending on the processor.
    assert report[name]["alone"] < 1e-6


@pytest.mark.parametrize("name", SUMMED)
def test_projections_of_shards_are_summed(report, name) -> None:
    assert report[name]["alone"] < 2e-5


@pytest.mark.parametrize("name", PER_SHARD)
def test_shards_draw_their_own_rows_and_entries(report, name) -> None:
    assert 0.0 < report[name]["alone"] < 2e-2


@pytest.mark.parametrize("name", EXACT + SUMMED + PER_SHARD)
def test_shards_agree_and_continue_from_distributed_checkpoints(report, name) -> None:
    assert report[name]["ranks"] == 0.0
    assert report[name]["straight"] == 0.0


def test_what_needs_whole_matrices_says_so(report) -> None:
    assert "state_dtype='8bit' with subspace='block' needs whole matrices" in report["block, 8 bits"]["error"]
