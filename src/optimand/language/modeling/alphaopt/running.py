"""Running the programs that are generated, and AlphaOPT's six statuses (arXiv 2510.18428, released program)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optimand.core.validation import check_choice, check_number

from .insights import normalised
from .tasks import OBJECTIVE, Task, agrees

STATUSES = ("optimal", "not_optimal", "failure_solve", "solver_time_out", "run_error", "parse_error")
# What became of a program that gave no number, by the status of its execution.
_WITHOUT_NUMBER = {
    "parse_error": "parse_error",
    "forbidden": "run_error",
    "run_error": "run_error",
    "memory": "run_error",
    "output": "run_error",
    "timeout": "solver_time_out",
    "not_optimal": "failure_solve",
    "no_values": "failure_solve",
}
_OBJECTIVE_NAMES = ("objective", "objective value", "optimal value", "optimal objective", "optimum", "obj", "objval")
_CODE_LINE = re.compile(r"^\s*(?:import |from |print\(|def |[A-Za-z_]\w*\s*=)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a program came to.

    Attributes:
        status: ``optimal`` (right, or where the truth is unknown, a number), ``not_optimal`` (another number),
            ``failure_solve`` (no number), ``solver_time_out``, ``run_error`` or ``parse_error`` (no program).
        values: the numbers asked for, by name.
        detail: the error, or the end of what was printed.
        execution: what running it gave; None where there was no program.
    """

    status: str
    values: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""
    execution: Any = field(default=None, repr=False, compare=False)

    @property
    def right(self) -> bool:
        """Whether the task is solved."""
        return self.status == "optimal"

    @property
    def shown(self) -> str:
        """What a model is told about it."""
        if self.values:
            return "the program printed " + ", ".join(f"{name} = {value:.10g}" for name, value in self.values.items())
        return self.detail or self.status


def extract_code(reply: str) -> str:
    """The first fenced block of a reply, or all of it; empty where it holds no program.

    Example:
        >>> extract_code("Here:\\n```python\\nprint(1)\\n```")
        'print(1)\\n'
        >>> extract_code("I cannot.")
        ''
    """
    from ..execution import extract_code as first_block

    return first_block(reply) if "```" in reply or _CODE_LINE.search(reply) else ""


class Runner:
    """Runs programs and compares what they print with the truth.

    Programs with the same text are run once; runs that were stopped are run again.

    Args:
        execute: ``execute(code)`` gives an object with ``status`` (see ``modeling.execution``), ``values``, ``error``.
        tolerance: relative; see :func:`~optimand.language.modeling.alphaopt.tasks.agrees`.
        official: the authors' tolerance.
        either_sign: accept the negative of a truth too.
    """

    def __init__(
        self,
        execute: Callable[[str], Any],
        *,
        tolerance: float = 1e-4,
        official: bool = False,
        either_sign: bool = False,
    ) -> None:
        self.execute = execute
        self.tolerance = check_number("tolerance", tolerance, low=0)
        self.official, self.either_sign = official, either_sign
        self.runs = 0
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()

    def execution(self, code: str) -> Any:
        """What running a program gave."""
        with self._lock:
            known = self._known.get(code)
        if known is None:
            known = self.execute(code)
            with self._lock:
                self.runs += 1
                if known.status not in ("timeout", "memory"):
                    self._known[code] = known
        return known

    def run(self, task: Task, code: str) -> Outcome:
        """Run a program for a task and judge it."""
        if not code.strip():
            return Outcome("parse_error", {}, "the reply holds no program")
        execution = self.execution(code)
        if execution.status != "optimal":
            detail = str(execution.error)[-2000:] or execution.status
            return Outcome(_WITHOUT_NUMBER[execution.status], {}, detail, execution)
        values = read_values(execution.values, task)
        if values is None:
            names = ", ".join(map(str, execution.values)) or "nothing"
            detail = f"the program must print {', '.join(task.queries)}; it printed {names}"
            return Outcome("failure_solve", {}, detail, execution)
        return Outcome("optimal" if self.right(task, values) else "not_optimal", values, "", execution)

    def right(self, task: Task, values: Mapping[str, float]) -> bool:
        """Whether all of a task's numbers are right; with no truth known, any numbers are."""
        return all(
            agrees(values[query], truth, tolerance=self.tolerance, official=self.official, either_sign=self.either_sign)
            for query, truth in task.answers.items()
        )


def read_values(printed: Mapping[str, Any], task: Task) -> dict[str, float] | None:
    """The numbers that a task asks for among those a program printed, or None if one is missing."""
    numbers = {str(k): float(v) for k, v in printed.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    exact = {normalised(name.replace("_", " ")): value for name, value in numbers.items()}
    if task.queries == (OBJECTIVE,):
        for name in _OBJECTIVE_NAMES:
            if name in exact:
                return {OBJECTIVE: exact[name]}
        return {OBJECTIVE: next(iter(numbers.values()))} if len(numbers) == 1 else None
    if all(normalised(query.replace("_", " ")) in exact for query in task.queries):
        return {query: exact[normalised(query.replace("_", " "))] for query in task.queries}
    from ..benchmarks.matching import match_values

    matched = match_values(numbers, list(task.queries))
    found = {query: value for query in task.queries if (value := matched.get(query)) is not None}
    return found if len(found) == len(task.queries) else None


def sandbox_runner(
    sandbox: Any = None, *, solver: str = "scip", workers: int = 0, **options: Any
) -> tuple[Runner, Any]:
    """A runner on a sandbox.

    Args:
        sandbox: a ``SandboxedPython``; made here, with ``workers`` warm processes, when None.
        solver: ``scip``, or ``highs`` through SciPy.
        workers: warm processes of the sandbox made here.
        options: of :class:`Runner`.

    Returns:
        The runner, and the sandbox if it was made here (the caller closes it), else None.
    """
    check_choice("solver", solver, ("scip", "highs"))
    from ..execution import open_sandbox, run_program

    made = None
    if sandbox is None:
        preload: dict[str, Any] = {"preload": ("scipy.optimize",)} if solver == "highs" and workers else {}
        made = sandbox = open_sandbox(workers=workers, **preload)
    return Runner(lambda code: run_program(code, sandbox), **options), made
