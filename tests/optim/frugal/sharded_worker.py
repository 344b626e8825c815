"""One process of a group: subspace methods on weights that FSDP2 shards, against whole ones and across checkpoints.

python sharded_worker.py RANK WORLD FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tests.optim.distributed.worker import Factory, checkpoint, fsdp2, grouped

from optimand.optim.fira import Fira
from optimand.optim.frugal import FRUGAL
from optimand.optim.galore import GaLore


def factories() -> dict[str, Factory]:
    """Optimizers by name, refreshed within the steps of a case."""

    def frugal(**options: Any) -> Factory:
        defaults = {"lr": 1e-3, "density": 0.5, "update_gap": 2}
        return lambda m: FRUGAL(grouped(m, is_proj_params=True), **{**defaults, **options})

    return {
        "columns": frugal(on_change="project"),
        "columns, 8 bits": frugal(state_dtype="8bit"),
        "rows": frugal(subspace="rows", density=0.3),
        "few rows": frugal(subspace="rows", density=0.01),
        "randk": frugal(subspace="randk", on_change="project"),
        "block": frugal(subspace="block", density=1.0),
        "svd": frugal(subspace="svd", state_free="none", density=0.1),
        "random": frugal(subspace="random", state_free="sgd"),
        "galore": lambda m: GaLore(grouped(m, rank=8, update_proj_gap=2), lr=1e-3),
        "fira": lambda m: Fira(grouped(m, rank=8, update_proj_gap=2), lr=1e-3),
        "block, 8 bits": frugal(subspace="block", state_dtype="8bit"),
    }


def main(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=world)
    report: dict[str, Any] = {}
    for name, factory in factories().items():
        try:
            report[name] = fsdp2(factory, rank, world, folder)
            report[name] |= checkpoint(factory, rank, world, folder / name.replace(" ", "-"))
        except ValueError as error:
            report[name] = {"error": str(error)}
    if rank == 0:
        (folder / "report.json").write_text(json.dumps(report))
    dist.destroy_process_group()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
