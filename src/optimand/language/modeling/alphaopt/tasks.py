"""Tasks: a problem in words and the numbers that solving it right gives; loaders of the sets published with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError, check_choice, check_number

from .library import ExperienceLibrary

SETS = ("nlp4lp", "nl4opt", "complexor", "logior", "optibench")
OBJECTIVE = "objective"
OFFICIAL_TOLERANCE = 0.1
FLOOR = 1e-6


@dataclass(frozen=True)
class Task:
    """A problem to formulate and solve.

    Attributes:
        id: unique among the tasks used together.
        description: the problem in words.
        answers: for each number asked for its true value; one under ``objective`` where only the optimum is known.
            Empty for a task that is only to be solved.
        formulation: a right formulation, if there is one.
        program: a right program, if there is one.

    Example:
        >>> Task.of("t1", "maximize x up to 3", 3).truths
        (3.0,)
    """

    id: str
    description: str
    answers: Mapping[str, float] = field(default_factory=dict)
    formulation: str | None = None
    program: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", str(self.id))
        if not isinstance(self.description, str) or not self.description.strip():
            raise OptimandError(f"task {self.id!r} has no description")
        try:
            answers = {q: check_number(f"answer {q!r} of task {self.id!r}", value) for q, value in self.answers.items()}
        except (TypeError, ValueError) as error:
            raise OptimandError(str(error)) from None
        object.__setattr__(self, "answers", answers)

    @classmethod
    def of(cls, id: Any, description: str, ground_truth: float | None = None, **more: Any) -> Task:
        """A task whose only known number is its optimal value."""
        return cls(str(id), description, {} if ground_truth is None else {OBJECTIVE: ground_truth}, **more)

    @property
    def truths(self) -> tuple[float, ...]:
        """The numbers to be found."""
        return tuple(self.answers.values())

    @property
    def queries(self) -> tuple[str, ...]:
        """The numbers' names; the optimum's where none are known."""
        return tuple(self.answers) or (OBJECTIVE,)


def as_task(problem: Any) -> Task:
    """A task of a :class:`Task`, a modeling problem (``id``, ``question``, ``answers``) or a table with a task's parts.

    Raises:
        OptimandError: it is none of these.
    """
    if isinstance(problem, Task):
        return problem
    if isinstance(problem, Mapping):
        if "description" not in problem:
            raise OptimandError(
                f"a task needs a description, got a table with {', '.join(map(str, problem)) or 'nothing'}"
            )
        truth = problem.get("ground_truth")
        identity = problem.get("task_id", problem.get("id", ""))
        return Task.of(
            identity,
            problem["description"],
            truth,
            formulation=problem.get("formulation"),
            program=problem.get("program"),
        )
    if hasattr(problem, "question"):
        return Task(str(problem.id), problem.question, dict(problem.answers))
    raise OptimandError(f"a task must be a Task or a modeling problem, got {problem!r:.60} ({type(problem).__name__})")


def as_tasks(problems: Iterable[Any], *, answered: bool = False) -> list[Task]:
    """Tasks of several problems.

    Args:
        problems: see :func:`as_task`.
        answered: whether each must have its true values.

    Raises:
        OptimandError: an id occurs twice, or a value is missing where one is needed.
    """
    tasks = [as_task(problem) for problem in problems]
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise OptimandError(f"two tasks have the id {task.id!r}; ids name the sources of insights and must differ")
        seen.add(task.id)
        if answered and not task.answers:
            raise OptimandError(f"task {task.id!r} has no ground truth; learning needs each task's optimal value")
    return tasks


def agrees(
    value: float, truth: float, *, tolerance: float = 1e-4, official: bool = False, either_sign: bool = False
) -> bool:
    """Whether a value counts as the truth.

    Args:
        value: what a program found; within 1e-6 (relative from 1 on) of an integer it is taken as that integer.
        truth: the recorded value.
        tolerance: relative to the truth; never less than 1e-6 in absolute terms.
        official: the authors' rule instead, an absolute 0.1.
        either_sign: accept the negative too, for maximization reported as a negative minimum.

    Example:
        >>> agrees(655.00001, 655), agrees(1.05, 1), agrees(1.05, 1, official=True)
        (True, False, True)
    """
    check_number("tolerance", tolerance, low=0)
    if not abs(value) < float("inf"):
        return False
    nearest = float(round(value))
    if abs(value - nearest) <= FLOOR * max(1.0, abs(value)):
        value = nearest
    bar = OFFICIAL_TOLERANCE if official else max(tolerance * abs(truth), FLOOR)
    return abs(value - truth) <= bar or (either_sign and abs(value + truth) <= bar)


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """``alphaopt`` in a folder, by default in ``$OPTIMAND_DATA``.

    Raises:
        OptimandError: no folder is named, or it has no such folder in it.
    """
    base = root if root is not None else os.environ.get("OPTIMAND_DATA")
    if not base:
        raise OptimandError("AlphaOPT's sets come as files: set OPTIMAND_DATA to the folder that holds alphaopt/")
    folder = Path(base).expanduser() / "alphaopt"
    if not folder.is_dir():
        raise OptimandError(f"AlphaOPT's sets were not found: {str(folder)!r} is no folder")
    return folder


def load_tasks(name: str, root: str | os.PathLike[str] | None = None) -> list[Task]:
    """A published set of tasks, each with its optimal value.

    Args:
        name: ``nlp4lp`` (242), ``nl4opt`` (214), ``complexor`` (18), ``logior`` (92) or ``optibench`` (403).
        root: by default ``$OPTIMAND_DATA``.

    Raises:
        OptimandError: the files are not there.
    """
    check_choice("name", name, SETS)
    path = data_folder(root) / f"{name}.json"
    if not path.is_file():
        raise OptimandError(f"set {name!r} was not found: no file {str(path)!r}")
    return as_tasks(json.loads(path.read_text(encoding="utf-8")))


def load_released(root: str | os.PathLike[str] | None = None) -> ExperienceLibrary:
    """The library that the authors published: 139 insights."""
    return ExperienceLibrary.load(data_folder(root) / "library.json")
