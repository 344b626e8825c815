"""Small experiments that claims and tests share: evaluations to a target, and a language model's guessing game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.language.llm.base import ChatModel
from optimand.language.workflows.problems import WorkflowProblem

NEVER = float("inf")


def method_of(name: str, **hyper: Any) -> Method:
    """A registered method of the family, with hyperparameters set."""
    from dataclasses import replace

    from optimand.core import catalog
    from optimand.language.workflows import methods  # noqa: F401 (registers them)

    found = catalog._methods[name]
    return replace(found, defaults=found.hyper(hyper))


def run_once(problem: WorkflowProblem, method: Method, seed: int, budget: int | None = None) -> Recorder:
    """One run; what was recorded."""
    budget = problem.budget if budget is None else budget
    recorder = Recorder(budget)
    problem.run(method, {}, seed=SeedTree(seed), budget=budget, recorder=recorder)
    return recorder


def evaluations_to(recorder: Recorder, metric: str, value: float) -> float:
    """Evaluations after which the best values' metric on ``test`` was at most ``value``; infinite if never."""
    return next((r.at for r in recorder.records if (r.split, r.metric) == ("test", metric) and r.value <= value), NEVER)


def guess(chat: ChatModel, target: int, steps: int, *, high: int = 100, narrowed: bool = False) -> bool:
    """Whether a model finds a number by the words "larger" and "smaller".

    Args:
        chat: is asked once a step for a number, with all guesses and answers so far.
        target: the number, 0 to ``high``.
        steps: guesses.
        high: largest number.
        narrowed: the reply's schema allows only numbers that the answers leave possible.
    """
    from optimand.language.llm.structured import ask

    low, top = 0, high
    lines: list[str] = []
    for _ in range(steps):
        bounds: Mapping[str, int] = {"minimum": low, "maximum": top} if narrowed else {"minimum": 0, "maximum": high}
        schema = {
            "type": "object",
            "properties": {"x": {"type": "integer", **bounds}},
            "required": ["x"],
            "additionalProperties": False,
        }
        text = f"Find the hidden whole number x between 0 and {high}. Answers to your guesses so far:\n"
        text += "\n".join(lines) if lines else "none yet"
        messages = [{"role": "user", "content": text + '\nReply with your next guess as JSON: {"x": number}.'}]
        x = int(ask(chat, messages, schema, role="workflows.guess", max_tokens=24)["x"])
        if x == target:
            return True
        lines.append(f"{x}: x should be {'larger' if x < target else 'smaller'}")
        if x < target:
            low = max(low, x + 1)
        else:
            top = min(top, x - 1)
    return False


def bisect(target: int, steps: int, *, high: int = 100) -> bool:
    """The same game by :class:`HeuristicProposer <optimand.language.workflows.heuristic.proposer.HeuristicProposer>`.

    Example:
        >>> bisect(93, 10)
        True
    """
    from optimand.language.workflows.heuristic.proposer import HeuristicProposer
    from optimand.language.workflows.tracing.nodes import ParameterNode

    x = ParameterNode(high // 2, name="x", minimum=0, maximum=high)
    optimizer = HeuristicProposer([x])
    for _ in range(steps):
        guessed = +x
        if guessed.data == target:
            return True
        optimizer.zero_feedback()
        optimizer.backward(guessed, f"x should be {'larger' if guessed.data < target else 'smaller'}")
        optimizer.step()
    return False
