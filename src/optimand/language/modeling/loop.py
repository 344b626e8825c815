"""The run loop of the family ``modeling``: problems one after another, tried once each, graded from outside.

The budget counts problems. A quarter of them is of the split ``valid``, the rest of ``test``; a method never sees the
answers of either. One that learns first gets the split ``train``, and pays for it. What is recorded is the accuracy so
far. Calls of language models are counted whoever makes them, because a method gets its models from the loop.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.language.llm.base import BudgetExceeded, Usage

from .benchmarks.grading import UsageMeter, grade
from .benchmarks.records import Record
from .execution import Attempt, ModelingProblem, Sandbox, open_sandbox

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel

    from .problems import ModelingTask

_LOCK = type(threading.Lock())


@dataclass
class Tools:
    """What a method gets: models, the sandbox, a seed.

    Attributes:
        sandbox: runs programs, with PySCIPOpt imported.
        seed: of the method's draws.
        default: the model of a run that is given one; None for the configured one.
    """

    sandbox: Sandbox
    seed: int = 0
    default: ChatModel | None = None
    _meters: list[UsageMeter] = field(default_factory=list)

    def model(self, spec: str = "") -> UsageMeter:
        """A language model whose calls are counted.

        Args:
            spec: as :func:`optimand.language.llm.open_chat` reads it; empty for the configured endpoint, or the
                embedded model.
        """
        if self.default is not None and not spec:
            chat = self.default
        else:
            from optimand.language.llm.choosing import open_chat

            chat = open_chat(spec or None)
        meter = UsageMeter(chat)
        self._meters.append(meter)
        return meter

    @property
    def models(self) -> int:
        """How many models were opened."""
        return len(self._meters)

    @property
    def answering(self) -> str:
        """The names of the models that answered, or that were opened."""
        return ", ".join(dict.fromkeys(str(meter.model or meter.name) for meter in self._meters))

    @property
    def usage(self) -> Usage:
        """What all calls cost."""
        return sum((meter.usage for meter in self._meters), Usage())


def blind(problem: ModelingProblem) -> ModelingProblem:
    """A problem as a method may see it: the queries without their answers, and no formal lines."""
    return replace(problem, answers=dict.fromkeys(problem.answers, 0.0), formulation=None, asks=None)


def check_solver(name: str, solver: Any) -> None:
    """Whether a method built something that solves problems.

    Raises:
        OptimandError: it has no ``solve(problem)``.
    """
    if not callable(getattr(solver, "solve", None)):
        raise OptimandError(f"method {name!r} must build an object with solve(problem) -> Attempt, got {solver!r:.80}")


def build(method: Method, tools: Tools, hyper: Mapping[str, Any]) -> Any:
    """The method's solver."""
    solver = method.build(tools, **{**method.defaults, **hyper})
    check_solver(method.name, solver)
    return solver


def ordered(valid: Sequence[ModelingProblem], test: Sequence[ModelingProblem], budget: int) -> list[tuple[str, Any]]:
    """Problems with their splits, in the order of the run: every fourth is of ``valid``, from the first on.

    Example:
        >>> [split for split, _ in ordered([1, 2], [3, 4, 5, 6], 5)]
        ['valid', 'test', 'test', 'test', 'valid']
    """
    rest: dict[str, list[Any]] = {"valid": list(valid), "test": list(test)}
    found: list[tuple[str, Any]] = []
    while len(found) < budget and any(rest.values()):
        wanted = "valid" if len(found) % 4 == 0 else "test"
        if not rest[wanted]:
            wanted = "test" if wanted == "valid" else "valid"
        found.append((wanted, rest[wanted].pop(0)))
    return found


def run(
    problem: ModelingTask,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
    chat: ChatModel | None = None,
    sandbox: Sandbox | None = None,
) -> None:
    """Run ``method`` on ``budget`` problems.

    Args:
        problem: gives the splits from ``seed.child("data")``.
        method: its ``build(tools, **hyper)`` gives a solver with ``solve(problem)``, and perhaps ``learn(problems)``.
        hyper: hyperparameters.
        seed: the run's branch.
        budget: problems tried, of ``valid`` and ``test`` together.
        recorder: takes ``accuracy`` and ``code_pass`` on ``valid`` and ``test``.
        chat: stands for the configured model.
        sandbox: runs the programs; None opens one with a warm worker.

    Raises:
        OptimandError: the method builds no solver, its answer is no attempt, a model cannot be had.
    """
    if sandbox is None:
        with open_sandbox(workers=1) as own:
            run(problem, method, hyper, seed=seed, budget=budget, recorder=recorder, chat=chat, sandbox=own)
        return
    splits = problem.splits(seed.child("data").numpy(), budget)
    tools = Tools(sandbox, seed.child("method").integer(), chat)
    with recorder.timed():
        solver = build(method, tools, hyper)
    done: list[tuple[str, Record]] = []
    spent = paid_before = Usage()
    saved = recorder.restore()
    if saved is not None:
        solver, done, spent = _loaded(saved, tools)
        paid_before = tools.usage
    elif callable(learn := getattr(solver, "learn", None)):
        with recorder.timed():
            learn(list(splits["train"]))
    todo = ordered(splits["valid"], splits["test"], budget)
    try:
        for split, item in todo[len(done) :]:
            with recorder.timed():
                attempt = _tried(method.name, solver, item)
            done.append((split, _record(problem, item, attempt)))
            _write(recorder, done, split)
            recorder.progress(len(done) * budget / len(todo))
            if recorder.checkpoint_due():
                _save(recorder, (solver, done, spent + _less(tools.usage, paid_before)), tools)
    except BudgetExceeded as error:
        recorder.note(stopped=str(error))
    if tools.models:
        recorder.note(language_model=tools.answering)
    _finish(recorder, done, budget, spent + _less(tools.usage, paid_before))


def _save(recorder: Recorder, state: Any, tools: Tools) -> None:
    """Keep a run's state with the solver as it is; of one that cannot be pickled nothing, and the run starts again."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, item: Any) -> Any:
            if isinstance(item, _LOCK):
                return "lock"
            return next((place for place, one in enumerate(_outside(tools)) if one is item), None)

    content = io.BytesIO()
    try:
        Pickler(content).dump(state)
    except (TypeError, pickle.PicklingError, AttributeError):
        recorder.postpone_checkpoint()
    else:
        recorder.save(content.getvalue())


def _loaded(content: bytes, tools: Tools) -> Any:
    """The state that :func:`_save` kept, with the models and the sandbox of this process."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return threading.Lock() if pid == "lock" else _outside(tools)[pid]

    return Unpickler(io.BytesIO(content)).load()


def _outside(tools: Tools) -> list[Any]:
    """What a solver has from the loop and no checkpoint can hold; one that is built again opens the same models."""
    return [tools, tools.sandbox, *tools._meters]


def _tried(name: str, solver: Any, item: ModelingProblem) -> Attempt:
    attempt = solver.solve(blind(item))
    if not isinstance(attempt, Attempt):
        raise OptimandError(f"method {name!r}: solve(problem) must return an Attempt, got {attempt!r:.80}")
    return attempt


def _less(usage: Usage, before: Usage) -> Usage:
    return Usage(
        usage.calls - before.calls,
        usage.prompt_tokens - before.prompt_tokens,
        usage.completion_tokens - before.completion_tokens,
        usage.seconds - before.seconds,
        usage.cost - before.cost,
    )


def _record(problem: ModelingTask, item: ModelingProblem, attempt: Attempt) -> Record:
    judged = grade(item, attempt, problem.grading)
    return Record(item.id, item.type, 0, attempt.status, judged.correct, judged.reason)


def _write(recorder: Recorder, done: list[tuple[str, Record]], split: str) -> None:
    mine = [record for part, record in done if part == split]
    recorder.record(len(done), split, **_measures(mine))


def _measures(records: list[Record]) -> dict[str, float]:
    from .execution import PASSED

    count = max(len(records), 1)
    return {
        "accuracy": sum(record.correct for record in records) / count,
        "code_pass": sum(record.status in PASSED for record in records) / count,
    }


def _finish(recorder: Recorder, done: list[tuple[str, Record]], budget: int, usage: Usage) -> None:
    for split in ("valid", "test"):
        mine = [record for part, record in done if part == split]
        if mine:
            recorder.record(budget, split, **_measures(mine))
    tested = [record for part, record in done if part == "test"]
    by_type: dict[str, list[bool]] = {}
    for record in tested:
        by_type.setdefault(record.type, []).append(record.correct)
    listed = (f"{kind} {sum(found)}/{len(found)}" for kind, found in sorted(by_type.items()))
    recorder.note(solved_by_type=", ".join(listed), statuses=_counted([record.status for record in tested]))
    recorder.cost(
        seconds_per_unit=recorder.seconds / max(len(done), 1),
        llm_calls=usage.calls,
        llm_tokens=usage.tokens,
        llm_cost=usage.cost,
    )


def _counted(statuses: list[str]) -> str:
    return ", ".join(f"{status} {statuses.count(status)}" for status in sorted(set(statuses)))
