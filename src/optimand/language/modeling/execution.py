"""Programs run and their printed results read: the contract between a generated program and everything that judges it.

A program prints ten dashes and then its results, as ``label: number`` lines or as one line ``RESULT_JSON: {...}``
(arXiv 2407.09887, with the JSON line added so that most results need no further call of a model to be read). Numbers
are found by a pattern; printed text is never evaluated.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from optimand.core.validation import OptimandError, check_choice
from optimand.language.llm.base import Usage

from .formulations.programs import RESULT

if TYPE_CHECKING:
    from .formulations.formulation import Formulation

Status = Literal["parse_error", "forbidden", "run_error", "timeout", "memory", "not_optimal", "no_values", "optimal"]
STATUSES: tuple[Status, ...] = (
    "parse_error", "forbidden", "run_error", "timeout", "memory", "not_optimal", "no_values", "optimal",
)  # fmt: skip
# A program of these statuses ran to its end inside the limits.
PASSED: frozenset[str] = frozenset({"not_optimal", "no_values", "optimal"})
# A program of these statuses never began.
NOT_RUN: frozenset[str] = frozenset({"parse_error", "forbidden"})
TYPES = ("linear-notable", "linear-table", "nonlinear-notable", "nonlinear-table")
LONGEST_PROGRAM = 64_000

_MARK = re.compile(r"^[ \t]*-{10,}[ \t]*$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d)\.?)(?:[eE][-+]?\d+)?")
_NOT_OPTIMAL = re.compile(
    r"no optimal solution|not (?:be )?solved to optimality|could not be solved|not optimal|no (?:feasible )?solution"
    r"|\binfeasible\b|\bunbounded\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelingProblem:
    """A problem in words with the numbers that answer it.

    Attributes:
        id: names it among the others.
        question: the text; not empty.
        type: one of :data:`TYPES`.
        answers: for each query, a sentence, the true number.
        formulation: a checkable model of the problem, where one is known.
        asks: for each query the variable of ``formulation`` it asks for, or ``objective``; where it is not given,
            queries are matched with the variables' meanings.

    Raises:
        OptimandError: the question is empty, the type unknown, or a true answer is no number.
    """

    id: str
    question: str
    type: str
    answers: Mapping[str, float]
    formulation: Formulation | None = None
    asks: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question.strip():
            raise OptimandError(f"problem {self.id!r} has no question")
        if self.type not in TYPES:
            raise OptimandError(f"problem {self.id!r}: type must be one of {', '.join(TYPES)}, got {self.type!r}")
        for query, answer in self.answers.items():
            if isinstance(answer, bool) or not isinstance(answer, int | float) or answer != answer:
                raise OptimandError(
                    f"problem {self.id!r}: the answer to {query!r:.60} must be a number, got {answer!r}"
                )


@dataclass(frozen=True)
class Execution:
    """What running a program gave.

    Attributes:
        status: one of :data:`STATUSES`.
        values: number by label.
        output: what was printed after the mark.
        log: what was printed before it.
        error: the end of the error text, or why it was not run.
        seconds: wall time.
        isolation: what the sandbox kept the program from, in words; empty where it was not run.
    """

    status: Status
    values: Mapping[str, float] = field(default_factory=dict)
    output: str = ""
    log: str = ""
    error: str = ""
    seconds: float = 0.0
    isolation: str = ""


@dataclass(frozen=True)
class Attempt:
    """One try at a problem.

    Attributes:
        code: the program; empty where the reply held none.
        stdout: what it printed.
        values: number by label.
        status: one of :data:`STATUSES`.
        usage: what the model's calls cost.
        formulation: the formal lines, where the method makes them.
        reply: the last reply of the model.
        error: why it failed, if it did.
        rounds: programs run, 1 without self-debugging.
        isolation: of the sandbox, in words; empty where no program was run.
        seconds: wall time of the programs.
        notes: facts of the method.
    """

    code: str
    stdout: str
    values: Mapping[str, float]
    status: Status
    usage: Usage = field(default_factory=Usage)
    formulation: Formulation | None = None
    reply: str = ""
    error: str = ""
    rounds: int = 1
    isolation: str = ""
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("status", self.status, STATUSES)

    @property
    def passed(self) -> bool:
        """Whether the program ran without error inside the limits ("code pass")."""
        return self.status in PASSED


class Sandbox(Protocol):
    """What runs programs: :class:`optimand.language.sandbox.SandboxedPython`, or a stand-in."""

    def run(self, code: str, *, inputs: str = "") -> Any:
        """Run a program; the result has ``status``, ``stdout``, ``stderr`` and ``seconds``."""


def require_solver() -> None:
    """Say how to install PySCIPOpt where it is missing.

    Raises:
        OptimandError: it is.
    """
    if importlib.util.find_spec("pyscipopt") is None:
        raise OptimandError("running programs needs PySCIPOpt: python -m pip install pyscipopt")


def open_sandbox(*, workers: int = 0, cpu_s: float = 10.0, wall_s: float = 20.0, **options: Any) -> Any:
    """A sandbox for solver programs: 10 s of processor, 20 s of wall time, 1 GiB; PySCIPOpt may be imported.

    Args:
        workers: processes kept warm with PySCIPOpt imported; 0 starts one for each program.
        cpu_s, wall_s: limits of each program.
        options: of :class:`optimand.language.sandbox.SandboxedPython`.

    Raises:
        OptimandError: PySCIPOpt is not installed.
    """
    from optimand.language.sandbox import SandboxedPython

    require_solver()
    preload = ("pyscipopt",) if workers else ()
    return SandboxedPython(cpu_s=cpu_s, wall_s=wall_s, workers=workers, **{"preload": preload, **options})


def extract_code(reply: str) -> str:
    """The program in a reply: the first fenced block of Python, else the first fenced block, else all of it.

    Example:
        >>> extract_code("Here it is:\\n```python\\nprint(1)\\n```\\nDone.")
        'print(1)\\n'
    """
    fences = re.findall(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:```|\Z)", reply, re.DOTALL)
    for language, body in fences:
        if language.lower() in ("python", "py", "python3"):
            return str(body)
    return str(fences[0][1]) if fences else reply


def run_program(code: str, sandbox: Sandbox) -> Execution:
    """Run a program and read its result.

    Args:
        code: Python source of at most 64 kB.
        sandbox: see :func:`open_sandbox`.

    Returns:
        Its status and values; a program that fails is a result, not an exception.
    """
    if not code.strip():
        return Execution("parse_error", error="there is no program")
    if len(code.encode(errors="replace")) > LONGEST_PROGRAM:
        return Execution("forbidden", error=f"a program may have {LONGEST_PROGRAM} bytes")
    ran = sandbox.run(code)
    # A program that was refused did not run, so nothing was kept from it.
    isolation = "" if ran.status in NOT_RUN else str(getattr(ran, "isolation", "") or "")
    seconds = float(ran.seconds)
    log, output = split_output(ran.stdout)
    if ran.status != "ok":
        status: Status = ran.status if ran.status in STATUSES else "run_error"
        error = ran.stderr.strip()[-2000:] or ("it printed too much" if ran.status == "output" else ran.status)
        return Execution(status, {}, output, log, error, seconds, isolation)
    values, said = read_values(output)
    if said is False or (said is None and _NOT_OPTIMAL.search(output)):
        return Execution("not_optimal", values, output, log, output.strip()[-300:], seconds, isolation)
    if not values:
        return Execution("no_values", {}, output, log, "it printed no result", seconds, isolation)
    return Execution("optimal", values, output, log, "", seconds, isolation)


def split_output(stdout: str) -> tuple[str, str]:
    """What was printed before and after the last line of ten dashes; without one, all is result.

    Example:
        >>> split_output("presolving\\n----------\\nx: 3\\n")
        ('presolving\\n', 'x: 3\\n')
    """
    marks = list(_MARK.finditer(stdout))
    if not marks:
        return "", stdout
    return stdout[: marks[-1].start()], stdout[marks[-1].end() :].lstrip("\n")


def read_values(output: str) -> tuple[dict[str, float], bool | None]:
    """Numbers by label, and whether a ``RESULT_JSON`` line says that they are optimal (None without such a line).

    A label that is printed twice keeps its last number.

    Example:
        >>> read_values("The number of cakes:  1,250.0\\nProfit = $-3.5e1\\n")
        ({'The number of cakes': 1250.0, 'Profit': -35.0}, None)
        >>> read_values('RESULT_JSON: {"x": 2, "y": {"a": 1.5}}')
        ({'x': 2.0, 'y a': 1.5}, True)
    """
    for line in reversed(output.splitlines()):
        at = line.find(RESULT)
        if at >= 0:
            data = _json_object(line[at + len(RESULT) :])
            if data is not None:
                status = str(data.get("status", "optimal")).lower()
                return _flat(data), status in ("optimal", "optimum", "ok")
    found: dict[str, float] = {}
    for line in output.splitlines():
        hits = read_numbers(line)
        if not hits or RESULT in line:
            continue
        joined = re.search(r"[:=]", line)
        after = [hit for hit in hits if joined and hit[1] > joined.start()]
        value, start = after[-1] if after else hits[-1]
        label = line[: joined.start()] if after and joined else line[:start]
        label = label.strip(" \t*-•:=$\"'")
        if label:
            found[label] = value
    return found, None


def read_numbers(text: str) -> list[tuple[float, int]]:
    """All numbers in a text with their positions; thousands may be grouped with commas.

    Example:
        >>> read_numbers("$1,000 and -2.5e-1")
        [(1000.0, 1), (-0.25, 11)]
    """
    found = []
    for match in _NUMBER.finditer(text):
        if any(character.isdigit() for character in match.group()):
            found.append((float(match.group().replace(",", "")), match.start()))
    return found


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        data, _ = json.JSONDecoder().raw_decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _flat(data: Any, prefix: str = "") -> dict[str, float]:
    if isinstance(data, bool):
        return {prefix: float(data)}
    if isinstance(data, int | float):
        return {prefix: float(data)} if data == data else {}
    if isinstance(data, str):
        hits = read_numbers(data)
        whole = len(hits) == 1 and not re.search(r"[A-Za-z]{2,}", data)
        return {prefix: hits[0][0]} if whole and prefix else {}
    items = data.items() if isinstance(data, dict) else enumerate(data, 1) if isinstance(data, list) else ()
    found: dict[str, float] = {}
    for key, value in items:
        found.update(_flat(value, f"{prefix} {key}".strip()))
    return found
