"""APOLLO on sharded weights: two processes give what one gives, whichever way the matrices are split."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo")

WORKER = """
import copy, json, sys
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh
from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.layerwise_updates import layerwise
from optimand.optim.projection import shard_of

torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=int(sys.argv[1]), world_size=2)
mesh = init_device_mesh("cpu", (2,))
KINDS = {
    "channel": (APOLLO, {"rank": 4}),
    "tensor": (APOLLO, {"rank": 4, "scale_type": "tensor"}),
    "svd": (APOLLO, {"rank": 4, "proj": "svd"}),
    "mini": (APOLLOMini, {}),
    "8bit": (APOLLO, {"rank": 4, "state_dtype": "8bit"}),
}
SHAPES = [(17, 9), (9, 17), (8, 8), (1, 6), (4, 3, 2, 2), (1, 3, 2, 2), (12,)]
report = {}
for kind, (method, options) in KINDS.items():
    for name, placement in (("rows", Shard(0)), ("columns", Shard(1)), ("whole", Replicate())):
        generator = torch.Generator().manual_seed(0)
        whole = [nn.Parameter(torch.randn(s, generator=generator)) for s in SHAPES]
        if name == "columns":  # of a tensor with more dimensions, a split of a later one leaves no block
            del whole[4:6]
        make = lambda params: method(params, lr=0.01, update_proj_gap=3, oversize="clamp", **options)
        split = [
            nn.Parameter(distribute_tensor(p.detach().clone(), mesh, [placement if p.ndim > 1 else Shard(0)]))
            for p in whole
        ]
        alone, together = make(whole), make(split)
        for step in range(7):
            for p, q in zip(whole, split):
                p.grad = torch.randn(p.shape, generator=generator) * (10.0 if step == 4 else 1.0)
                q.grad = distribute_tensor(p.grad, mesh, q.placements)
            alone.step()
            together.step()
            if step == 3:
                state = together.state_dict()
                together = make(split)
                together.load_state_dict(state)
        difference = max((p - q.full_tensor()).abs().max().item() for p, q in zip(whole, split))
        report[f"{kind} {name}"] = difference

# A gradient that is split otherwise than its parameter
p = nn.Parameter(distribute_tensor(torch.zeros(6, 9), mesh, [Shard(0)]))
q = nn.Parameter(torch.zeros(6, 9))
q.grad = torch.arange(54.0).view(6, 9)
optimizers = APOLLO([p], rank=2), APOLLO([q], rank=2)
p.grad = distribute_tensor(q.grad, mesh, [Shard(1)])
for optimizer in optimizers:
    optimizer.step()
report["redistributed"] = (p.full_tensor() - q).abs().max().item()

# The usual way: FSDP2
torch.manual_seed(0)
twin = nn.Sequential(nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 20))
model, hooked = (fully_shard(copy.deepcopy(twin)) for _ in range(2))
make = lambda params: APOLLO(params, rank=4, lr=0.01)
pairs = [(m, make(m.parameters())) for m in (model, twin)] + [(hooked, layerwise(make, hooked))]
for step in range(4):
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(step))
    for m, optimizer in pairs:
        optimizer.zero_grad()
        m(x).square().sum().backward()
        optimizer.step()
report["fsdp2"] = max((p.full_tensor() - q).abs().max().item() for p, q in zip(model.parameters(), twin.parameters()))
shards = [[p.to_local() for p in m.parameters()] for m in (model, hooked)]
report["layerwise"] = all(map(torch.equal, *shards))

kernel = nn.Parameter(distribute_tensor(torch.zeros(4, 6, 2), mesh, [Shard(1)]))
try:
    shard_of(kernel)
except ValueError as error:
    report["refused"] = str(error)
if dist.get_rank() == 0:
    json.dump(report, open(sys.argv[3], "w"))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("sharded")
    arguments = [str(folder / "store"), str(folder / "report.json")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WORKER, str(rank), *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert not any(process.returncode for process in processes), errors
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("kind", ["channel", "tensor", "svd", "mini"])
@pytest.mark.parametrize("placement", ["rows", "columns", "whole"])
def test_shards_train_as_the_whole(report: dict[str, Any], kind: str, placement: str) -> None:
    assert report[f"{kind} {placement}"] <= 1e-6


@pytest.mark.parametrize("placement", ["rows", "columns", "whole"])
def test_eight_bit_moments_of_shards_have_blocks_of_their_own(report: dict[str, Any], placement: str) -> None:
    # The blocks' boundaries move with the shards, and with them the rounding of the moments.
    assert report[f"8bit {placement}"] <= (1e-6 if placement == "whole" else 5e-3)


def test_fsdp2_trains_as_a_single_process(report: dict[str, Any]) -> None:
    assert report["fsdp2"] <= 1e-6
    assert report["redistributed"] <= 1e-6
    assert report["layerwise"]


def test_a_split_that_leaves_no_block_of_the_matrix_is_refused(report: dict[str, Any]) -> None:
    assert "split by rows or columns" in report["refused"]
    assert "(4, 6, 2)" in report["refused"]
