"""CPU time and state of optimizers that treat weight matrices apart, as ratios to torch's fused AdamW.

    python benchmarks/matrix_step.py [--repeats 15] [--json FILE]

The case has 5,508,096 float32 parameters (768x768 four times, 768x2048 twice, 768 four times). All optimizers step
in turn in one process on one thread; times are the thread's CPU time, the least of the repeats, with projections
that are drawn in every step. ``products`` is the product of each gradient with a projection of rank 192 alone: what no
implementation of APOLLO can go below.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

MATRICES = [(768, 768)] * 4 + [(768, 2048)] * 2
VECTORS = [(768,)] * 4
RANK = 192
REFERENCE = "AdamW fused (torch)"
FOREACH = "AdamW foreach (torch)"
PRODUCTS = "products"

Params = list[nn.Parameter]


@dataclass(frozen=True)
class Case:
    """An optimizer that is measured.

    Attributes:
        make: from the matrices and the vectors.
        bar: the largest ratio to fused AdamW that we accept.
        above_products: the largest time, in fused AdamW steps, that we accept beyond the bare products.
        to_foreach: the largest ratio to foreach AdamW that we accept.
    """

    make: Callable[[Params, Params], torch.optim.Optimizer]
    bar: float | None = None
    above_products: float | None = None
    to_foreach: float | None = None


def grouped(matrices: Params, vectors: Params, **options: Any) -> list[dict[str, Any]]:
    """The matrices in a group with ``options``, the vectors in one without."""
    return [{"params": matrices, **options}, {"params": vectors}]


def torch_cases() -> dict[str, Case]:
    """The baselines, the reference first."""
    return {
        REFERENCE: Case(lambda ms, vs: torch.optim.AdamW(ms + vs, fused=True)),
        FOREACH: Case(lambda ms, vs: torch.optim.AdamW(ms + vs, foreach=True)),
        "SGD fused (torch)": Case(lambda ms, vs: torch.optim.SGD(ms + vs, lr=1e-3, fused=True)),
    }


def apollo_cases() -> dict[str, Case]:
    """APOLLO, APOLLO-Mini and the authors' package."""
    from optimand.optim.apollo import APOLLO, APOLLOMini

    mini = {"rank": 1, "scale_type": "tensor", "scale": 128.0}
    found = {
        "APOLLO": Case(lambda ms, vs: APOLLO(grouped(ms, vs, rank=RANK)), bar=11.0, above_products=3.0),
        "APOLLO, P kept": Case(
            lambda ms, vs: APOLLO(grouped(ms, vs, rank=RANK), cache_projection=True), bar=10.5, above_products=3.0
        ),
        "APOLLO, 8-bit moments": Case(lambda ms, vs: APOLLO(grouped(ms, vs, rank=RANK), state_dtype="8bit")),
        "APOLLO-Mini": Case(lambda ms, vs: APOLLOMini(grouped(ms, vs, rank=1)), bar=2.0),
    }
    try:
        from apollo_torch import APOLLOAdamW
    except ImportError:
        return found
    keys = {"proj": "random", "scale": 1, "scale_type": "channel", "update_proj_gap": 200, "proj_type": "std"}
    found["APOLLO (apollo-torch)"] = Case(lambda ms, vs: APOLLOAdamW(grouped(ms, vs, rank=RANK, **keys), lr=1e-2))
    found["APOLLO-Mini (apollo-torch)"] = Case(lambda ms, vs: APOLLOAdamW(grouped(ms, vs, **{**keys, **mini}), lr=1e-2))
    return found


def galore_cases() -> dict[str, Case]:
    """GaLore, Fira and the authors' package of GaLore, between refreshes of their projections."""
    from optimand.optim.fira import Fira
    from optimand.optim.galore import GaLore

    keys = {"update_proj_gap": 10**9, "scale": 0.25, "proj_type": "std"}
    found = {
        "GaLore": Case(lambda ms, vs: GaLore(grouped(ms, vs, rank=RANK, **keys))),
        "Fira": Case(lambda ms, vs: Fira(grouped(ms, vs, rank=RANK, **keys))),
    }
    try:
        from galore_torch import GaLoreAdamW
    except ImportError:
        return found
    found["GaLore (galore-torch)"] = Case(
        lambda ms, vs: GaLoreAdamW(grouped(ms, vs, rank=RANK, **keys), lr=1e-2, no_deprecation_warning=True)
    )
    return found


def frugal_cases() -> dict[str, Case]:
    """FRUGAL with different subspaces, between refreshes, and BAdam with a block for each tensor, on a matrix."""
    from optimand.optim.badam import BAdam
    from optimand.optim.frugal import FRUGAL

    def case(bar: float | None = None, to_foreach: float | None = None, **options: Any) -> Case:
        def make(matrices: Params, vectors: Params) -> torch.optim.Optimizer:
            groups = grouped(matrices, vectors, is_proj_params=True)
            return FRUGAL(groups, **{"density": 0.25, "update_gap": 10**9, "weight_decay": 0.01, **options})

        return Case(make, bar=bar, to_foreach=to_foreach)

    return {
        "FRUGAL 0.25 columns": case(bar=3.0, to_foreach=1.0),
        "FRUGAL 0.25 columns, torch": case(fused=False),
        "FRUGAL 0.25 columns, 8 bits": case(state_dtype="8bit"),
        "FRUGAL 0.25 rows": case(subspace="rows"),
        "FRUGAL 0.25 entries": case(subspace="randk"),
        "FRUGAL 0.25 blocks": case(subspace="block"),
        "FRUGAL 0.25 SVD": case(subspace="svd"),
        "FRUGAL 0": case(bar=1.5, density=0.0),
        "FRUGAL 0, torch": case(density=0.0, fused=False),
        "BAdam": Case(lambda ms, vs: BAdam(ms + vs, switch_every=10**9, order="ascending")),
    }


# A family of methods adds its cases here.
REGISTRY: tuple[Callable[[], dict[str, Case]], ...] = (torch_cases, apollo_cases, galore_cases, frugal_cases)


def make_params(shapes: Sequence[tuple[int, ...]]) -> Params:
    params = [nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape) * 0.01
    return params


def products(matrices: Params) -> Callable[[], None]:
    """The one product with a projection that every APOLLO step needs for each matrix."""
    projection = torch.randn(RANK, 768)

    def run() -> None:
        for p in matrices:
            grad = p.grad
            assert grad is not None
            grad @ projection.T if p.shape[0] >= p.shape[1] else projection @ grad

    return run


def measure(repeats: int) -> dict[str, dict[str, Any]]:
    """Least CPU time of a step (ms), its ratio to the reference and bytes of state a parameter, for every case."""
    matrices, vectors = make_params(MATRICES), make_params(VECTORS)
    count = sum(p.numel() for p in matrices + vectors)
    cases = {name: case for family in REGISTRY for name, case in family().items()}
    optimizers: dict[str, torch.optim.Optimizer] = {}
    failed: dict[str, str] = {}
    for name, case in cases.items():
        try:
            optimizers[name] = case.make(matrices, vectors)
            for _ in range(2):
                optimizers[name].step()
        except Exception as error:  # a peer that does not run here is named, and the others go on
            optimizers.pop(name, None)
            failed[name] = f"{type(error).__name__}: {error}"
    steps: dict[str, Callable[[], Any]] = {name: optimizer.step for name, optimizer in optimizers.items()}
    steps[PRODUCTS] = products(matrices)
    least = dict.fromkeys(steps, float("inf"))
    with torch.no_grad():
        for _ in range(repeats):
            for name, step in steps.items():
                begin = time.thread_time()
                step()
                least[name] = min(least[name], time.thread_time() - begin)
    rows: dict[str, dict[str, Any]] = {}
    for name, seconds in least.items():
        rows[name] = {"ms": seconds * 1e3, "ratio": seconds / least[REFERENCE]}
        if name in optimizers:
            rows[name]["state_bytes_per_parameter"] = held_bytes(optimizers[name]) / count
            rows[name]["bars"] = verdicts(cases[name], name, least)
    return {**rows, **{name: {"failed": text} for name, text in failed.items()}}


def held_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the state, with the tensors inside of the peers' projector objects."""
    from optimand.optim.memory import tensor_bytes, tensors_in

    state = dict(optimizer.state)
    inside = [
        vars(x) for values in state.values() for x in values.values() if type(x).__module__.endswith("_projector")
    ]
    return tensor_bytes([*tensors_in(state), *tensors_in(inside)])


def verdicts(case: Case, name: str, least: dict[str, float]) -> list[tuple[str, float, float]]:
    """What is compared, its value and its bar, for every bar of a case."""
    seconds, reference = least[name], least[REFERENCE]
    found = []
    if case.bar is not None:
        found.append(("to fused", seconds / reference, case.bar))
    if case.above_products is not None:
        found.append(("above products", (seconds - least[PRODUCTS]) / reference, case.above_products))
    if case.to_foreach is not None:
        found.append(("to foreach", seconds / least[FOREACH], case.to_foreach))
    return found


def report(rows: dict[str, dict[str, Any]]) -> str:
    """The table as text."""
    lines = [f"{'optimizer':30s} {'ms':>9s} {'ratio':>7s} {'state B/param':>14s}  bars"]
    for name, row in rows.items():
        if "failed" in row:
            lines.append(f"{name:30s} failed: {row['failed']}")
            continue
        bars = [
            f"{what} {value:.2f} <= {bar:g}{'' if value <= bar else ' !'}" for what, value, bar in row.get("bars", ())
        ]
        state = row.get("state_bytes_per_parameter")
        shown = "" if state is None else f"{state:.4f}"
        lines.append(f"{name:30s} {row['ms']:9.2f} {row['ratio']:7.2f} {shown:>14s}  {', '.join(bars)}".rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = measure(options.repeats)
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
