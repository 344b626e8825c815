"""The command ``optimand memory``: what a run would need, before it is made."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..core.validation import OptimandError
from .cli_catalog import JsonOption, known_family, out, print_json, split_commas
from .table import format_bytes, numbers_table

PARTS = ("weights", "gradients", "state")


def memory(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="llama-60m … llama-13b, a problem (llama-lm:size=3m), file.py:NAME or package.module:NAME.",
        ),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "--methods", "-m",
            help="Methods, separated by commas: names, name:key=value,…, or file.py:NAME [default: those that save "
            "memory].",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16: weights and gradients.")] = "fp32",
    rank: Annotated[int | None, typer.Option(help="Rank of the methods that have one.")] = None,
    density: Annotated[float | None, typer.Option(help="Density of the methods that have one.")] = None,
    layerwise: Annotated[
        bool, typer.Option("--layerwise", help="Updates in the backward pass: one gradient at a time.")
    ] = False,
    int8_weights: Annotated[
        bool, typer.Option("--int8-weights", help="8-bit weights in the linear layers inside the network.")
    ] = False,
    family: Annotated[str, typer.Option(help="The family of the methods.")] = "training",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Predict the memory of weights, gradients and optimizer state; nothing is allocated, nothing is trained.

    Example: optimand memory --model llama-7b --method adamw,apollo-mini --dtype bf16
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # so that package.module:NAME finds what lies here, as with ``python -m``
    found = known_family(family)
    if found.memory is None:
        raise OptimandError(f"family {family!r} has no models whose memory could be planned")
    with redirect_stdout(sys.stderr):  # users' files may print, and standard output is for the result
        report = found.memory(
            model, split_commas(methods or ()), dtype=dtype, rank=rank, density=density, layerwise=layerwise,
            int8_weights=int8_weights,
        )  # fmt: skip
    if as_json:
        print_json(report)
        return
    facts, plans = report["model"], report["plans"]
    out.print(_title(facts), style="bold", markup=False)
    out.print(components_table(plans[0]) if len(plans) == 1 else plans_table(plans, facts["parameters"]))
    out.print("K, M, G: powers of 1024 bytes. Activations come on top, the same for all methods.", markup=False)
    if any(plan["rule"] != "formula" for plan in plans):
        names = ", ".join(plan["method"] for plan in plans if plan["rule"] != "formula")
        out.print(f"Measured in a trial step on tensors of these shapes: {names}.", markup=False)


def _title(facts: Mapping[str, Any]) -> str:
    how = [facts["dtype"]]
    how += ["8-bit weights in its linear layers"] if facts["int8_weights"] else []
    how += ["one gradient at a time"] if facts["layerwise"] else []
    return f"{facts['name']}: {facts['parameters']:,} parameters, {', '.join(how)}"


def plans_table(plans: Sequence[Mapping[str, Any]], parameters: int) -> Table:
    """A row a method; fits 80 columns."""
    table = numbers_table("method", *PARTS, "total", "state/parameter")
    for plan in plans:
        per = f"{plan['state'] / parameters:.3f} B" if parameters else "–"
        cells = [plan["method"], *(format_bytes(plan[part]) for part in (*PARTS, "total")), per]
        table.add_row(*map(Text, cells))
    return table


def components_table(plan: Mapping[str, Any]) -> Table:
    """A row a part of the network, for one method."""
    table = numbers_table(plan["method"], "parameters", *PARTS)
    for part in plan["components"]:
        table.add_row(part["name"], f"{part['parameters']:,}", *(format_bytes(part[name]) for name in PARTS))
    table.add_section()
    total = sum(part["parameters"] for part in plan["components"])
    table.add_row("all", f"{total:,}", *(format_bytes(plan[name]) for name in PARTS), style="bold")
    table.add_row("together", "", "", "", format_bytes(plan["total"]), style="bold")
    return table
