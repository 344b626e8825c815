"""DDP, FSDP2, gradient accumulation and distributed checkpoints, with gloo on two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from tests.optim.distributed.worker import ACCUMULATED, PER_SHARD, factories

WORLD = 2

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the processes of each case saw: for each optimizer its largest differences."""
    folder = tmp_path_factory.mktemp("distributed")
    command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(WORLD), str(folder / "store"), str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert not any(process.returncode for process in processes), errors
    found: dict[str, dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("name", factories())
def test_replicas_agree_and_equal_training_without_distribution(reports: dict[str, Any], name: str) -> None:
    seen = reports["ddp"][name]
    assert "error" not in seen, seen
    assert seen["ranks"] == 0.0
    assert seen["alone"] < 2e-4  # the order of the sums differs; signs and codes near a tie may turn


@pytest.mark.parametrize("name", ACCUMULATED)
def test_gradients_accumulate_without_synchronization(reports: dict[str, Any], name: str) -> None:
    seen = reports["accumulation"][name]
    assert "error" not in seen, seen
    assert seen["once"] < 2e-4


@pytest.mark.parametrize("name", factories())
def test_shards_train_as_the_whole(reports: dict[str, Any], name: str) -> None:
    seen = reports["fsdp2"][name]
    assert "error" not in seen, seen
    assert seen["ranks"] == 0.0
    assert seen["alone"] < (2e-2 if any(word in name for word in PER_SHARD) else 2e-4)


# A checkpoint is read into the states of a fresh optimizer, and BAdam's stand for another block there.
@pytest.mark.parametrize("name", [name for name in factories() if name != "BAdam"])
def test_a_distributed_checkpoint_continues_bit_for_bit(reports: dict[str, Any], name: str) -> None:
    seen = reports["checkpoint"][name]
    assert "error" not in seen, seen
    assert seen["straight"] == 0.0
