"""Solving with a library, and how well that goes: accuracy with an interval, pass@k, what each role cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_int
from optimand.language.llm.base import Usage

from .asking import Asker
from .context import LearningContext
from .programmer import Trial, add_lessons
from .tasks import Task, as_tasks

if TYPE_CHECKING:
    from ..benchmarks.evaluation import Share
    from ..execution import Attempt
    from .learner import AlphaOPT


def trial_of(
    learner: AlphaOPT, task: Task, sample: int = 0, repairs: int | None = None, asker: Asker | None = None
) -> Trial:
    """One attempt at a task with the learner's library."""
    settings = learner.settings
    asker = asker if asker is not None else learner.asker
    context = LearningContext(asker, learner.runner, settings, learner.context.retriever.embed)
    retriever, programmer = context.retriever, context.programmer
    key, temperature = ("solve", sample), 0.7 if sample else 0.0
    # Retrieval has one answer, whatever the sample.
    lessons = retriever.for_formulation(task, learner.library, ("solve",))
    formulation = programmer.formulate(task, lessons, key, temperature)
    on_code = retriever.for_program(task, formulation, learner.library, key)
    code = programmer.code(task, formulation, on_code, key, temperature)
    most = settings.final_repairs if repairs is None else repairs
    return programmer.run(task, formulation, code, add_lessons(lessons, on_code), key, most)


def attempt(learner: AlphaOPT, task: Task, sample: int) -> Attempt:
    """What :meth:`AlphaOPT.solve` returns."""
    from ..execution import Attempt

    asker = Asker(
        learner.asker.base, learner.asker.advanced, seed=learner.asker.seed, max_tokens=learner.asker.max_tokens
    )
    trial = trial_of(learner, task, sample, asker=asker)
    usage = Usage()
    for role, spent in asker.by_role.items():
        learner.asker.spend(role, spent)
        usage = usage + spent
    notes = {"formulation": trial.formulation, "insights": list(trial.retrieved)}
    ran = trial.outcome.execution
    if ran is None:
        return Attempt("", "", {}, "parse_error", usage, error=trial.outcome.detail, notes=notes)
    return Attempt(
        trial.code,
        getattr(ran, "log", "") + getattr(ran, "output", ""),
        dict(ran.values),
        ran.status,
        usage,
        error=ran.error,
        rounds=1 + trial.repairs,
        isolation=getattr(ran, "isolation", ""),
        seconds=getattr(ran, "seconds", 0.0),
        notes=notes,
    )


@dataclass(frozen=True)
class AlphaReport:
    """How tasks came out.

    Attributes:
        right: for each task the number of samples that were right.
        statuses: for each task the status of each sample.
        samples: attempts at each task.
    """

    right: Mapping[str, int]
    statuses: Mapping[str, tuple[str, ...]]
    samples: int

    @property
    def accuracy(self) -> Share:
        """Share of tasks whose first attempt, at temperature 0, is right, with its interval."""
        from ..benchmarks.evaluation import share

        return share(sum(listed[0] == "optimal" for listed in self.statuses.values()), len(self.statuses))

    def pass_at(self, k: int) -> float:
        """Chance that one of ``k`` attempts is right, without bias."""
        from ..benchmarks.evaluation import pass_at_k

        check_int("k", k, low=1, high=self.samples)
        return sum(pass_at_k(self.samples, count, k) for count in self.right.values()) / max(1, len(self.right))

    def macro(self, groups: Mapping[str, Sequence[str]]) -> float:
        """Mean over sets of tasks, each by its ids, of the share solved at the first attempt."""
        shares = [
            sum(self.statuses[name][0] == "optimal" for name in names) / len(names)
            for names in groups.values()
            if names
        ]
        return sum(shares) / len(shares)


def evaluate(
    learner: AlphaOPT, tasks: Iterable[Any], pass_at: Sequence[int] = (1,), self_debug: int = 5
) -> AlphaReport:
    """Attempt tasks with known values.

    Args:
        learner: its library is used and not changed.
        tasks: see :func:`~optimand.language.modeling.alphaopt.tasks.as_task`.
        pass_at: each task is attempted as often as the largest of these.
        self_debug: rounds of repair after an error.

    Returns:
        Accuracy and pass@k.

    Raises:
        OptimandError: a task has no known value.
    """
    listed = as_tasks(tasks, answered=True)
    samples = max((check_int("pass_at", k, low=1) for k in pass_at), default=1)
    check_int("self_debug", self_debug, low=0)
    jobs = [(task, sample) for task in listed for sample in range(samples)]

    def status(job: tuple[Task, int]) -> str:
        return trial_of(learner, job[0], job[1], self_debug).outcome.status

    with ThreadPoolExecutor(learner.workers) as pool:
        found = list(pool.map(status, jobs))
    statuses = {task.id: tuple(found[n * samples : (n + 1) * samples]) for n, task in enumerate(listed)}
    right = {name: sum(status == "optimal" for status in each) for name, each in statuses.items()}
    return AlphaReport(right, statuses, samples)


def cost_report(usage: Mapping[str, Usage]) -> str:
    """A table of what each role spent.

    Example:
        >>> print(cost_report({"programmer.code": Usage(2, 10, 5)}).splitlines()[1])
        programmer.code               2         10          5         0.0  0.0000
    """
    lines = [f"{'role':24}{'calls':>7}{'read':>11}{'written':>11}{'seconds':>12}  cost"]
    total = Usage()
    for role, spent in [*sorted(usage.items()), ("all", None)]:
        row = total if spent is None else spent
        total = total + row
        lines.append(
            f"{role:24}{row.calls:7d}{row.prompt_tokens:11d}{row.completion_tokens:11d}{row.seconds:12.1f}  "
            f"{row.cost:.4f}"
        )
    return "\n".join(lines)
