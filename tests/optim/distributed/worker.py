"""One process of a group: trains with every optimizer under DDP or FSDP2 and writes down what it saw.

    python worker.py RANK WORLD STORE FOLDER

``STORE`` is a file over which the processes find each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

STEPS, BATCH = 6, 8
Factory = Callable[[nn.Module], torch.optim.Optimizer]


class Network(nn.Module):
    """Two projected matrices (one wide, one tall), a bias and a head that is not projected."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp_up = nn.Linear(64, 128)
        self.mlp_down = nn.Linear(128, 64, bias=False)
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mlp_down(torch.tanh(self.mlp_up(x)))))


def grouped(model: nn.Module, **options: Any) -> list[dict[str, Any]]:
    """The matrices under ``options``, everything else in a group of its own."""
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if "mlp" in name and p.ndim == 2]
    rest = [p for name, p in named.items() if not ("mlp" in name and p.ndim == 2)]
    return [{"params": matrices, **options}, {"params": rest}]


def factories() -> dict[str, Factory]:
    """Optimizers by name; learning rates such that a few steps move weights visibly."""
    from optimand import optim

    low_bit = {"block_size": 64, "min_8bit_size": 1024}
    found: dict[str, Factory] = {
        "adamw (torch)": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3),
        "lion": lambda m: optim.Lion(m.parameters(), lr=1e-3),
        "exadam": lambda m: optim.EXAdam(m.parameters(), lr=1e-4),
    }
    for name in ("AdamW8bit", "Lion8bit", "AdEMAMix8bit", "LAMB8bit", "LARS8bit"):
        found[name] = lambda m, name=name: getattr(optim, name)(m.parameters(), lr=1e-3, **low_bit)
    found["SGD8bit"] = lambda m: optim.SGD8bit(m.parameters(), lr=1e-2, momentum=0.9, **low_bit)
    found["AdamW4bit"] = lambda m: optim.AdamW4bit(m.parameters(), lr=1e-3, block_size=64, min_8bit_size=1024)
    found["APOLLO"] = lambda m: optim.APOLLO(grouped(m, rank=8, update_proj_gap=4), lr=1e-3)
    found["APOLLOMini"] = lambda m: optim.APOLLOMini(grouped(m, rank=1, update_proj_gap=4), lr=1e-3)
    found["APOLLO 8bit"] = lambda m: optim.APOLLO(grouped(m, rank=8), lr=1e-3, state_dtype="8bit")
    found["FRUGAL columns"] = lambda m: optim.FRUGAL(  # its other subspaces: frugal/test_sharded.py
        grouped(m, is_proj_params=True), lr=1e-3, density=0.5, update_gap=4
    )
    found["BAdam"] = lambda m: optim.BAdam(m.named_parameters(), lr=1e-3, switch_every=2)
    return found


# Their blocks lie within shards, so that sharding moves the boundaries and with them the rounding of the states.
PER_SHARD = ("8bit", "4bit")


def data(step: int, rank: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    return torch.randn(BATCH, 64, generator=generator), torch.randint(0, 4, (BATCH,), generator=generator)


def new_model() -> Network:
    torch.manual_seed(0)
    return Network()


def loss_of(model: nn.Module, step: int, ranks: Iterable[int]) -> Tensor:
    losses = []
    for rank in ranks:
        x, y = data(step, rank)
        losses.append(nn.functional.cross_entropy(model(x), y))
    return torch.stack(losses).mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int, ranks: Iterable[int]) -> None:
    for step in range(begin, end):
        optimizer.zero_grad()
        loss_of(model, step, ranks).backward()
        optimizer.step()


def weights(model: nn.Module) -> Tensor:
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in whole])


_ALONE: dict[Factory, Tensor] = {}


def alone(factory: Factory, world: int) -> Tensor:
    """The weights after training without any distribution on all ranks' data."""
    if factory not in _ALONE:
        model = new_model()
        train(model, factory(model), 0, STEPS, range(world))
        _ALONE[factory] = weights(model)
    return _ALONE[factory]


def spread(mine: Tensor) -> float:
    """Largest difference of the ranks' weights."""
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    return max((other - mine).abs().max().item() for other in every)


def ddp(factory: Factory, rank: int, world: int, folder: Path) -> dict[str, float]:
    model = new_model()
    wrapped = nn.parallel.DistributedDataParallel(model)
    train(wrapped, factory(model), 0, STEPS, [rank])
    return {"ranks": spread(weights(model)), "alone": (weights(model) - alone(factory, world)).abs().max().item()}


def accumulation(factory: Factory, rank: int, world: int, folder: Path) -> dict[str, float]:
    """Two micro-batches a step, the first without synchronization, against both at once."""
    results = []
    for micro in (True, False):
        model = new_model()
        wrapped = nn.parallel.DistributedDataParallel(model)
        optimizer = factory(model)
        for step in range(STEPS):
            optimizer.zero_grad()
            if micro:
                for part in range(2):
                    with wrapped.no_sync() if part == 0 else contextlib.nullcontext():
                        (loss_of(wrapped, 2 * step + part, [rank]) / 2).backward()
            else:
                losses = [loss_of(wrapped.module, 2 * step + part, [rank]) / 2 for part in range(2)]
                sum(losses).backward()
                for p in model.parameters():
                    dist.all_reduce(p.grad)
                    p.grad /= world
            optimizer.step()
        results.append(weights(model))
    return {"once": (results[0] - results[1]).abs().max().item()}


def sharded() -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    model = new_model()
    for module in (model.mlp_up, model.mlp_down):
        fully_shard(module)
    return fully_shard(model)


def fsdp2(factory: Factory, rank: int, world: int, folder: Path) -> dict[str, float]:
    model = sharded()
    train(model, factory(model), 0, STEPS, [rank])
    mine = weights(model)
    return {"ranks": spread(mine), "alone": (mine - alone(factory, world)).abs().max().item()}


def checkpoint(factory: Factory, rank: int, world: int, folder: Path) -> dict[str, float]:
    """Half of the steps, a distributed checkpoint, the other half in fresh objects; against all at once."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    model = sharded()
    optimizer = factory(model)
    train(model, optimizer, 0, STEPS // 2, [rank])
    states = get_state_dict(model, optimizer)
    dcp.save(dict(zip(("model", "optimizer"), states, strict=True)), checkpoint_id=folder)
    train(model, optimizer, STEPS // 2, STEPS, [rank])
    straight = weights(model)

    model = sharded()
    optimizer = factory(model)
    states = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
    dcp.load(states, checkpoint_id=folder)
    set_state_dict(model, optimizer, model_state_dict=states["model"], optim_state_dict=states["optimizer"])
    train(model, optimizer, STEPS // 2, STEPS, [rank])
    return {"straight": (weights(model) - straight).abs().max().item()}


CASES = {"ddp": ddp, "accumulation": accumulation, "fsdp2": fsdp2, "checkpoint": checkpoint}


# Accumulation concerns what a step finds in the gradients: one optimizer of each kind.
ACCUMULATED = ("adamw (torch)", "exadam", "AdamW8bit", "APOLLO", "FRUGAL columns", "BAdam")


def main(rank: int, world: int, store: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    report: dict[str, dict[str, Any]] = {case: {} for case in CASES}
    for name, factory in factories().items():
        for case, check in CASES.items():
            if case == "accumulation" and name not in ACCUMULATED:
                continue
            try:
                report[case][name] = check(factory, rank, world, Path(folder) / name.replace(" ", "-"))
            except BaseException as error:  # a failed checkpoint is none of the usual exceptions
                report[case][name] = {"error": f"{type(error).__name__}: {error}"}
                dist.barrier()
    if rank == 0:
        (Path(folder) / "report.json").write_text(json.dumps(report))
    dist.destroy_process_group()
    # Everything is written. What is left is the end of the interpreter, in which torch now and then destroys a thread
    # of gloo that still runs ("terminate called without an active exception").
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
