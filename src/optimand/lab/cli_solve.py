"""The command ``optimand solve``: a problem in words becomes a program, runs, and is checked."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..core.validation import OptimandError
from .cli_catalog import JsonOption, err, known_family, out, print_json
from .table import numbers_table

NOT_VERIFIED = 3


class Require(StrEnum):
    """How much isolation a program must have to be run."""

    any = "any"
    limits = "limits"
    files = "files"
    namespaces = "namespaces"


MARKS = {True: ("yes", "green"), False: ("no", "red"), None: ("–", "dim")}


def solve(
    text: Annotated[str, typer.Argument(help="The problem in words; '-' reads it from standard input.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m",
            help="embedded, openai:NAME, http://HOST:PORT/v1#NAME or replay:FILE [default: $OPTIMAND_LLM, else a "
            "configured endpoint, else the embedded model].",
        ),
    ] = None,
    attempts: Annotated[int, typer.Option("--attempts", "-a", min=1, help="Attempts that the model gets.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the model's draws.")] = 0,
    program: Annotated[Path | None, typer.Option("--program", help="Write the program to this file.")] = None,
    require: Annotated[
        Require, typer.Option(help="Least isolation of the sandbox; any: the best that this machine has.")
    ] = Require.any,
    family: Annotated[str, typer.Option(help="The family that answers.")] = "modeling",
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Turn a problem in words into a program, run it in the sandbox, and check what it found.

    Shows the formulation, the program, the solution and the checks; exit code 3 when no verified solution was found.

    Example: optimand solve "A bakery earns 5 on a cake and 4 on a tart. A cake takes 2 hours of work, a tart 1, and
    there are 100 hours. How many of each?"
    """
    if program is not None and not program.parent.is_dir():  # before the model is asked, who may cost money
        raise OptimandError(f"--program {program}: there is no folder {program.parent}")
    words = sys.stdin.read() if text == "-" else text
    found = known_family(family)
    if found.solve is None:
        raise OptimandError(f"family {family!r} takes no problems in words")
    with err.status("reading the problem", spinner="dots") as status, redirect_stdout(sys.stderr):

        def tell(kind: str, facts: Mapping[str, Any]) -> None:
            if err.is_terminal:
                status.update(Text(sentence(kind, facts)))
            else:
                err.print(sentence(kind, facts), markup=False, soft_wrap=True)

        if quiet:
            status.stop()
        answer = found.solve(
            words, model=model, attempts=attempts, seed=seed, require=require.value, on_event=None if quiet else tell
        )
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
    if program is not None and answer["program"]:
        program.write_text(answer["program"])
    if not answer["verified"]:
        raise typer.Exit(NOT_VERIFIED)


def sentence(kind: str, facts: Mapping[str, Any]) -> str:
    """What is happening, in a line: the events ``attempt``, ``solved`` and ``checked`` of an answer."""
    if kind == "attempt":
        return f"attempt {facts['number']} of {facts['of']} ({facts['how']})"
    if kind == "solved":
        return f"its program ended {facts['status'].replace('_', ' ')}"
    if kind == "waiting":
        return str(facts["text"])
    if kind == "checked":
        return "every check of this attempt holds" if not facts["failed"] else f"open: {', '.join(facts['failed'])}"
    return kind


def print_answer(answer: Mapping[str, Any]) -> None:
    """Formulation, program, solution, checks and verdict, on standard output."""
    from rich.syntax import Syntax

    if answer["formulation"]:
        _heading("formulation")
        out.print(formulation_text(answer["formulation"]), soft_wrap=True)
    if answer["program"]:
        _heading("program")
        code = textwrap.indent(answer["program"].rstrip(), "  ")
        # Neither wrapped nor cut, so that it can be copied.
        out.print(Syntax("", "python", background_color="default").highlight(code), soft_wrap=True, end="")
    _heading("solution")
    out.print(Padding(solution_table(answer), (0, 0, 0, 1)) if answer["values"] else _none(answer))
    _heading("checks")
    out.print(Padding(checks_table(answer["checks"]), (0, 0, 0, 1)) if answer["checks"] else Text("  none"))
    out.print()
    out.print(Text(answer["reason"], style="bold green" if answer["verified"] else "bold red"))
    tries = f"{answer['attempts']} attempt{'s' if answer['attempts'] != 1 else ''}"
    ran = f"the program ran with {answer['isolation']}" if answer["isolation"] else "no program was run"
    out.print(
        f"{answer['model']}: {tries}, {answer['llm_calls']} calls, {answer['llm_tokens']} tokens, "
        f"{answer['seconds']:.0f} s; {ran}",
        markup=False,
    )


def formulation_text(formulation: Mapping[str, Any]) -> Text:
    """A formulation as lines that can be read aloud."""
    lines = [f"{formulation['sense']} {formulation['objective']}"]
    for number, constraint in enumerate(formulation["constraints"]):
        meaning = f"   ({constraint['meaning']})" if constraint.get("meaning") else ""
        lines.append(f"{'subject to' if number == 0 else '          '} {constraint['expression']}{meaning}")
    for variable in formulation["variables"]:
        lines.append(f"{variable['name']}: {_domain(variable)}{': ' if variable.get('meaning') else ''}"
                     f"{variable.get('meaning', '')}")  # fmt: skip
    return Text(textwrap.indent("\n".join(lines), "  "))


def _domain(variable: Mapping[str, Any]) -> str:
    if variable["kind"] == "binary":
        return "0 or 1"
    low, high = variable.get("low"), variable.get("high")
    parts = [variable["kind"]]
    parts += [f"at least {low:g}"] if low is not None else ["of either sign"]
    parts += [f"at most {high:g}"] if high is not None else []
    return ", ".join(parts)


def solution_table(answer: Mapping[str, Any]) -> Table:
    """A row a variable, and the objective."""
    table = numbers_table("variable", "value")
    for name, value in answer["values"].items():
        table.add_row(Text(name), f"{value:.7g}")
    if answer["objective"] is not None:
        table.add_section()
        table.add_row("objective", f"{answer['objective']:.7g}", style="bold")
    return table


def checks_table(checks: list[Mapping[str, Any]]) -> Table:
    """A row a check; those that an answer can do without are marked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "holds", "what was found"):
        table.add_column(name, overflow="fold")
    for check in checks:
        word, style = MARKS[check["ok"]]
        note = "" if check["hard"] or check["ok"] else " (a hint only)"
        table.add_row(Text(check["name"]), Text(word, style=style), Text(check["detail"] + note))
    return table


def _heading(text: str) -> None:
    out.print(Text(f"\n{text}", style="bold"))


def _none(answer: Mapping[str, Any]) -> Text:
    return Text(f"  none: the program ended {answer['status'].replace('_', ' ')}")
