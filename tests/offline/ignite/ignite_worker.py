"""One process of a group: trains a surrogate with each regularizer under DDP and writes down what it saw.

    python ignite_worker.py RANK WORLD STORE REPORT

``STORE`` is a file over which the processes find each other.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

STEPS, BATCH = 5, 8
KINDS = ("adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay", "wrapped", "noised")


def data(step: int, ranks: list[int]) -> tuple[Tensor, Tensor]:
    parts = []
    for rank in ranks:
        generator = torch.Generator().manual_seed(1000 * step + rank)
        # The ranks' inputs differ in scale, so that a norm of averages differs much from an average of norms.
        x = (1 + 3 * rank) * torch.randn(BATCH, 3, generator=generator, dtype=torch.float64)
        parts.append((x, torch.randn(BATCH, generator=generator, dtype=torch.float64)))
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def train(kind: str, ranks: list[int], parallel: bool) -> tuple[nn.Module, Any]:
    from optimand.offline.ignite import IGNITE, make_regularizer
    from optimand.offline.surrogates import GaussianMLP, gaussian_nll

    plain = GaussianMLP(3, 16, generator=torch.Generator().manual_seed(0)).double()
    model: nn.Module = nn.parallel.DistributedDataParallel(plain) if parallel else plain
    options = {"lam": 5.0} if kind in ("adaptive", "fixed", "wrapped", "noised") else {}
    options |= {"alpha": 10.0} if kind == "sensitivity" else {}
    adam = torch.optim.Adam(plain.parameters(), lr=1e-2)
    if kind == "wrapped":
        optimizer = IGNITE(adam, model, **options)
        regularizer = optimizer.regularizer
    else:
        regularizer = make_regularizer("adaptive" if kind == "noised" else kind, model, **options)
    for step in range(STEPS):
        x, y = data(step, ranks)
        adam.zero_grad()
        if kind == "wrapped":
            gaussian_nll(*model(x), y).backward()
            optimizer.step(x=x)
            continue
        regularizer.backward(x, lambda out, y=y: gaussian_nll(*out, y), x + 0.1 if kind == "noised" else None)
        adam.step()
    return plain, regularizer


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def spread(mine: Tensor) -> float:
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    return max((other - mine).abs().max().item() for other in every)


def main(rank: int, world: int, store: str, report: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    seen: dict[str, Any] = {}
    for kind in KINDS:
        try:
            model, regularizer = train(kind, [rank], parallel=True)
            alone, whole = train(kind, list(range(world)), parallel=False)
            mine = weights(model)
            seen[kind] = {
                "ranks": spread(mine),
                "multipliers": spread(torch.tensor([regularizer.lam, regularizer.norm], dtype=torch.float64)),
                "alone": (mine - weights(alone)).abs().max().item(),
                "lam": abs(regularizer.lam - whole.lam),
                "norm": abs(regularizer.norm - whole.norm),
            }
        except Exception as error:
            seen[kind] = {"error": f"{type(error).__name__}: {error}"}
    if rank == 0:
        Path(report).write_text(json.dumps(seen))
    dist.barrier()
    dist.destroy_process_group()
    # Everything is written; the end of the interpreter may destroy a thread of gloo that still runs.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
