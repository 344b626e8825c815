"""Is an attempt right? The published rule, and one that forgives noise in the truth and accepts other optima.

``official`` (arXiv 2407.09887): every answer within 1e-4, absolute. The truths themselves are solver output, so this
calls exact answers wrong where the truth is noisy, and any answer of a tie but one. ``robust``: within
1e-4 + 1e-6|t| where all truths of the problem are whole numbers, else within 1e-3 max(|t|, 0.1); and where a checkable
model of the problem is known, any feasible point with the optimal objective is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from optimand.core.validation import OptimandError, check_choice
from optimand.language.llm.base import Usage

from ..execution import Attempt, ModelingProblem, read_numbers
from ..formulations.programs import RESULT
from .matching import GOAL_WORDS, match_values, meanings_of, read_by_model, same_label, words

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel

    from ..formulations.formulation import Formulation

Grading = Literal["official", "robust"]
GRADINGS: tuple[Grading, ...] = ("official", "robust")


@dataclass(frozen=True)
class Grade:
    """What a grader says.

    Attributes:
        correct: every query is right.
        answers: the number read for each query; None where there is none.
        right: for each query whether it is within the tolerance of the truth.
        reason: why it is wrong, or that another optimum was accepted; empty for plainly right.
        usage: of the calls that read the output.
    """

    correct: bool
    answers: Mapping[str, float | None] = field(default_factory=dict)
    right: Mapping[str, bool] = field(default_factory=dict)
    reason: str = ""
    usage: Usage = field(default_factory=Usage)


def is_close(answer: float, truth: float, grading: Grading, *, whole: bool) -> bool:
    """The rule for one number.

    Args:
        answer, truth: the numbers.
        grading: which rule.
        whole: all truths of the problem are whole numbers (``robust`` only).

    Example:
        >>> is_close(0.5, 0.4998084, "official", whole=False), is_close(0.5, 0.4998084, "robust", whole=False)
        (False, True)
    """
    if not (math.isfinite(answer) and math.isfinite(truth)):
        return False
    gap = abs(answer - truth)
    if grading == "official":
        return gap < 1e-4
    return gap <= (1e-4 + 1e-6 * abs(truth) if whole else 1e-3 * max(abs(truth), 0.1))


def grade_answers(problem: ModelingProblem, answers: Mapping[str, float | None], grading: Grading = "robust") -> Grade:
    """Judge numbers that are already assigned to the queries.

    Args:
        problem: its truths; its formulation, if any, is used by ``robust``.
        answers: by query, in any order; a missing one counts as None.
        grading: ``official`` or ``robust``.

    Raises:
        OptimandError: the problem has no query.
    """
    check_choice("grading", grading, GRADINGS)
    if not problem.answers:
        raise OptimandError(f"problem {problem.id!r} has no answers to grade by")
    whole = all(float(truth).is_integer() for truth in problem.answers.values())
    given = {query: answers.get(query) for query in problem.answers}
    right = {
        query: value is not None and is_close(value, problem.answers[query], grading, whole=whole)
        for query, value in given.items()
    }
    if all(right.values()):
        return Grade(True, given, right)
    missing = [query for query, value in given.items() if value is None]
    if grading == "robust" and not missing and problem.formulation is not None:
        refusal = refused(problem, {query: float(value) for query, value in given.items() if value is not None})
        if not refusal:
            return Grade(True, given, right, "another optimum of the problem's model")
        return Grade(False, given, right, refusal)
    if missing:
        return Grade(False, given, right, f"no number for {missing[0]!r:.80}")
    query = next(query for query, fine in right.items() if not fine)
    return Grade(False, given, right, f"{query!r:.80}: {given[query]:.10g} instead of {problem.answers[query]:.10g}")


def grade(
    problem: ModelingProblem,
    attempt: Attempt,
    grading: Grading = "robust",
    *,
    chat: ChatModel | None = None,
) -> Grade:
    """Judge an attempt.

    Args:
        problem: with its truths.
        attempt: what was tried.
        grading: ``official`` reads the output with one call of ``chat`` for each query (role
            ``modeling.read-official``), or by labels without ``chat``; ``robust`` reads by labels, and what is left
            with one call (role ``modeling.read``).
        chat: the model that reads.

    Returns:
        Wrong for every program that did not end with values.

    Reference:
        arXiv 2407.09887, evaluation.
    """
    check_choice("grading", grading, GRADINGS)
    if attempt.status != "optimal" and not (grading == "official" and attempt.status == "no_values" and chat):
        return Grade(False, dict.fromkeys(problem.answers), dict.fromkeys(problem.answers, False), attempt.status)
    if grading == "official" and chat is not None:
        answers, usage = _read_one_by_one(attempt, problem, chat)
        return replace(grade_answers(problem, answers, grading), usage=usage)
    meanings = meanings_of(attempt.formulation)
    answers = match_values(attempt.values, problem.answers, meanings=meanings)
    usage = Usage()
    missing = [query for query, value in answers.items() if value is None]
    if missing and chat is not None:
        counted = UsageMeter(chat)
        answers.update(read_by_model(_shown(attempt), missing, counted))
        usage = counted.usage
    return replace(grade_answers(problem, answers, grading), usage=usage)


class UsageMeter:
    """A model that adds up what its calls cost."""

    def __init__(self, chat: ChatModel) -> None:
        self.name, self._chat, self.usage, self.model = chat.name, chat, Usage(), ""

    def chat(self, messages, **options):  # type: ignore[no-untyped-def]
        """Ask the model; see :meth:`ChatModel.chat <optimand.language.llm.ChatModel.chat>`."""
        result = self._chat.chat(messages, **options)
        self.usage = self.usage + result.usage
        self.model = result.model or self.model
        return result


def _shown(attempt: Attempt) -> str:
    """What a reader sees: the lines with labels, or the JSON where there is nothing else."""
    lines = [line for line in attempt.stdout.splitlines() if RESULT not in line and line.strip()]
    return "\n".join(lines) or attempt.stdout


def _read_one_by_one(
    attempt: Attempt, problem: ModelingProblem, chat: ChatModel
) -> tuple[dict[str, float | None], Usage]:
    usage, answers = Usage(), {}
    for query in problem.answers:
        prompt = (
            f"Output of a solver program:\n{_shown(attempt)[:6000]}\n\nQuestion: {query}\n\nFind the number in the "
            "output that answers the question. Reply with that number alone, with 5 decimals, inside \\boxed{}."
        )
        result = chat.chat(
            [{"role": "user", "content": prompt}], temperature=0.0, max_tokens=256, role="modeling.read-official"
        )
        usage = usage + result.usage
        answers[query] = boxed_number(result.text)
    return answers, usage


def boxed_number(reply: str) -> float | None:
    """The last number in the last box of a reply, or of the whole reply without a box; ``a/b`` is divided.

    Example:
        >>> boxed_number("The profit is \\\\boxed{$1,250.50000}."), boxed_number("so 3/4"), boxed_number("none")
        (1250.5, 0.75, None)
    """
    boxes = re.findall(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", reply)
    text = (boxes[-1] if boxes else reply).replace("\\$", "").replace("$", "").replace("\\,", "")
    hits = read_numbers(text)
    if not hits:
        return None
    value, start = hits[-1]
    if len(hits) > 1:
        before, at = hits[-2]
        between = text[at:start]
        if re.fullmatch(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s*/\s*", between) and value:
            return before / value
    return value


def refused(problem: ModelingProblem, answers: Mapping[str, float]) -> str:
    """Why answers are no optimum of the problem's own model; empty if they are one.

    Variables that no query asks for are chosen by the solver.

    Args:
        problem: with a formulation.
        answers: a number for each query.
    """
    formulation = problem.formulation
    assert formulation is not None  # the callers looked
    roles = asked_variables(problem)
    unknown = [query for query in problem.answers if query not in roles]
    if unknown:
        return f"the model does not tell what {unknown[0]!r:.80} asks for"
    best = formulation.solve()
    if best.objective is None:
        return "the problem's model could not be solved for comparison"
    slack = 1e-4 + 1e-4 * abs(best.objective)
    fixed: dict[str, float] = {}
    for query, role in roles.items():
        if role == "objective":
            if abs(answers[query] - best.objective) > slack:
                return f"the objective {answers[query]:.10g} is not the optimum {best.objective:.10g}"
        else:
            fixed[role] = answers[query]
    if len(fixed) == len(formulation.variables):
        seen = formulation.check(fixed, tol=1e-4)
        if not seen.feasible:
            return seen.violations[0]
        reached: float | None = seen.objective
    else:
        reached = _with_fixed(formulation, fixed)
    if reached is None:
        return "no feasible point has these values"
    sign = 1.0 if formulation.sense == "maximize" else -1.0
    if sign * (best.objective - reached) > slack:
        return f"these values reach {reached:.10g}, the optimum is {best.objective:.10g}"
    return ""


def asked_variables(problem: ModelingProblem) -> dict[str, str]:
    """For each query the variable of the problem's model that it asks for, or ``objective``, where that is known."""
    if problem.asks is not None:
        return dict(problem.asks)
    if problem.formulation is None:
        return {}
    meanings = {same_label(v.meaning): v.name for v in problem.formulation.variables if v.meaning}
    found = {query: meanings[same_label(query)] for query in problem.answers if same_label(query) in meanings}
    left = [query for query in problem.answers if query not in found]
    if len(left) == 1 and words(left[0]) & (GOAL_WORDS | words("profit cost revenue")):
        found[left[0]] = "objective"
    return found


def _with_fixed(formulation: Formulation, fixed: Mapping[str, float]) -> float | None:
    """The best objective with some variables held (within rounding, where they are real)."""
    from ..formulations.formulation import FormulationError

    held = []
    for variable in formulation.variables:
        if variable.name in fixed:
            value = fixed[variable.name]
            if variable.whole and abs(value - round(value)) > 1e-4:
                return None
            room = 0.0 if variable.whole else 1e-4 * max(1.0, abs(value))
            middle = float(round(value)) if variable.whole else value
            low, high = variable.bounds
            if not low - room <= middle <= high + room:
                return None
            variable = replace(variable, low=max(low, middle - room), high=min(high, middle + room))
        held.append(variable)
    try:
        return replace(formulation, variables=tuple(held)).solve().objective
    except FormulationError:
        return None
