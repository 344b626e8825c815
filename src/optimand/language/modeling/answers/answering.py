"""An answer to an optimization problem in words, with what was checked and an honest verdict.

A model's formulation is a guess. Several independent ones are made, each is solved in the sandbox, and each must pass
every check that needs no true answer: arithmetic, a second solver, the text's numbers, its limits, its goal, and
agreement with another attempt. "Verified" means that all hard checks hold; they are necessary, so a misreading that
keeps every number can still pass, and nothing less is ever called verified.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_int, check_number
from optimand.language.llm.base import BudgetExceeded, ChatTimeout, Usage
from optimand.language.llm.waiting import listening

from ..execution import NOT_RUN, Attempt, Sandbox, open_sandbox, read_values, require_solver
from ..formulations.formulation import Formulation
from ..formulations.programs import objective_label
from ..modelers.guided import Guided
from ..modelers.modelers import FewShot, Modeler, Structured
from .checks import Check, same_number
from .substance import check_effect
from .verification import check_solution, check_wording

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel

LONGEST = 20_000
NO_ANSWER = "no verified solution was found"
CHECKED = "checked: every check holds (necessary, not sufficient: read the formulation)"
Event = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Answer:
    """What came of a problem in words.

    Attributes:
        question: the text.
        formulation: the formal lines of the best attempt; None where there are none.
        program: its program.
        values: its solution, by variable; empty where it found none.
        objective: its objective; None where it found none.
        status: of its program, as in :data:`~optimand.language.modeling.execution.STATUSES`.
        checks: what was checked of it.
        verified: every hard check holds.
        reason: the verdict in a sentence.
        attempts: how many were made.
        usage: what the model's calls cost.
        model: which model answered.
        isolation: what the sandbox kept the program from, in words; empty where no program was run.
        seconds: wall time.
    """

    question: str
    formulation: Formulation | None
    program: str
    values: Mapping[str, float]
    objective: float | None
    status: str
    checks: tuple[Check, ...]
    verified: bool
    reason: str
    attempts: int
    usage: Usage
    model: str
    isolation: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for printing and for JSON; ``ran`` tells whether a program was run, ``isolation`` how."""
        return {
            "question": self.question,
            "formulation": None if self.formulation is None else self.formulation.to_dict(),
            "kind": None if self.formulation is None else self.formulation.kind,
            "program": self.program,
            "values": dict(self.values),
            "objective": self.objective,
            "status": self.status,
            "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail, "hard": c.hard} for c in self.checks],
            "verified": self.verified,
            "reason": self.reason,
            "attempts": self.attempts,
            "llm_calls": self.usage.calls,
            "llm_tokens": self.usage.tokens,
            "cost": self.usage.cost,
            "model": self.model,
            "ran": bool(self.program.strip()) and self.status not in NOT_RUN,
            "isolation": self.isolation,
            "seconds": round(self.seconds, 2),
        }


@dataclass
class _Tried:
    attempt: Attempt
    checks: list[Check]
    objective: float | None
    agreeing: int = 0

    @property
    def score(self) -> tuple[int, int, int, int]:
        """Better attempts have larger scores: fewer failed and open checks, more agreement, a formulation."""
        hard = [check for check in self.checks if check.hard]
        return (
            -sum(check.ok is not True for check in hard) if self.attempt.status == "optimal" else -99,
            self.agreeing,
            int(self.attempt.formulation is not None),
            sum(check.ok is True for check in self.checks),
        )


@dataclass
class _Progress:
    tell: Event
    tried: list[_Tried] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


def answer(
    text: str,
    *,
    chat: ChatModel | None = None,
    sandbox: Sandbox | None = None,
    attempts: int = 3,
    seed: int = 0,
    seconds: float = 50.0,
    on_event: Event | None = None,
) -> Answer:
    """Formulate a problem, solve it, check the solution.

    Args:
        text: the problem in words, of at most 20 000 characters.
        chat: the model; None for the configured one (:func:`optimand.language.llm.open_chat`).
        sandbox: runs the programs; None opens one.
        attempts: most formulations; two that pass every check and agree end it earlier. A single one has none to
            agree with, so that check is left open and the answer is not verified.
        seed: of the model's draws and of the second solver.
        seconds: no attempt begins that would, at the pace of the slowest so far, end after this time; > 0.
        on_event: told ``attempt``, ``waiting``, ``solved`` and ``checked`` as they happen, with facts.

    Returns:
        The best attempt and its checks; ``verified`` is False wherever something is left open.

    Raises:
        OptimandError: the text is empty or too long, no model is there, PySCIPOpt is missing.

    Example:
        >>> answer("  ")
        Traceback (most recent call last):
        optimand.core.validation.OptimandError: the problem has no text: say what is to be decided, and in which limits
    """
    check_text(text)
    check_int("attempts", attempts, low=1)
    check_int("seed", seed, low=0)
    check_number("seconds", seconds, low=0, low_open=True)
    if chat is None:
        from optimand.language.llm.choosing import open_chat

        chat = open_chat(None)
    if sandbox is not None:
        return _answer(text, chat, sandbox, attempts, seed, seconds, on_event or _silent)
    require_solver()
    with open_sandbox() as own:
        return _answer(text, chat, own, attempts, seed, seconds, on_event or _silent)


def check_text(text: Any) -> None:
    """Whether a text can be a problem.

    Raises:
        TypeError, OptimandError: it is no string; it is empty, too long, or the name of a file.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r:.60} ({type(text).__name__})")
    if not text.strip():
        raise OptimandError("the problem has no text: say what is to be decided, and in which limits")
    if len(text) > LONGEST:
        raise OptimandError(f"the problem's text may have {LONGEST} characters, got {len(text)}")
    if not any(character.isspace() for character in text.strip()) and _is_file(text.strip()):
        raise OptimandError(f"the problem's text is the name of a file; is {text.strip()} a file with the problem? "
                            f"give it as `optimand solve - < {text.strip()}`")  # fmt: skip


def _is_file(name: str) -> bool:
    try:
        return os.path.isfile(name)
    except (OSError, ValueError):
        return False


def _silent(kind: str, facts: Mapping[str, Any]) -> None:
    pass


def _answer(
    text: str, chat: ChatModel, sandbox: Sandbox, attempts: int, seed: int, seconds: float, tell: Event
) -> Answer:
    started = time.monotonic()
    state = _Progress(tell)
    stopped = ""
    longest = 0.0
    for number, modeler in zip(range(attempts), _modelers(chat, sandbox, seed), strict=False):
        begun = time.monotonic()
        if state.tried and begun - started + longest > seconds:
            stopped = f"; {number} of {attempts} attempts fit in {seconds:g} s"
            break
        tell("attempt", {"number": number + 1, "of": attempts, "how": modeler.name})
        try:
            with listening(lambda sentence: tell("waiting", {"text": sentence})):
                attempt = modeler.solve(text)
        except (BudgetExceeded, ChatTimeout) as error:
            if not state.tried:
                raise
            stopped = f"; stopped: {error}"
            break
        _examine(state, attempt, text, seed)
        longest = max(longest, time.monotonic() - begun)
        if _settled(state.tried):
            break
    _agree(state.tried)
    best = max(state.tried, key=lambda tried: tried.score)
    return _verdict(text, chat, state, best, stopped, time.monotonic() - started)


def _modelers(chat: ChatModel, sandbox: Sandbox, seed: int) -> Iterator[Modeler]:
    """Independent ways to ask: the likeliest formulation first, then others at a positive temperature.

    The embedded model fills slots under its decoder's constraint; formulas and free programs are beyond it.
    """
    if is_weak(chat):
        for number in range(1000):
            temperature = 0.0 if number == 0 else 0.5
            yield Guided(chat, sandbox=sandbox, shots=1, temperature=temperature, seed=seed + number)
    for number in range(1000):
        temperature = 0.0 if number == 0 else 0.7
        options: dict[str, Any] = {"sandbox": sandbox, "temperature": temperature, "seed": seed + number}
        if number % 3 == 2:
            yield FewShot(chat, debug_rounds=1, **options)
        else:
            yield Structured(chat, shots=1 + number % 3, debug_rounds=1, **options)


def is_weak(chat: ChatModel) -> bool:
    """Whether a model is the embedded one, whatever is put around it."""
    return "embedded" in f"{chat.name} {type(chat).__name__}".lower() or bool(getattr(chat, "weak", False))


def _examine(state: _Progress, attempt: Attempt, text: str, seed: int) -> None:
    formulation = attempt.formulation
    state.tell("solved", {"status": attempt.status, "values": dict(attempt.values), "error": attempt.error[-300:]})
    checks = check_solution(attempt, seed=seed)
    if formulation is not None:
        checks += [*check_effect(attempt, text), *check_wording(formulation, text)]
    objective = attempt.values.get(objective_label(formulation)) if formulation is not None else None
    if formulation is None and attempt.status == "optimal":
        objective = _printed_objective(attempt)
    state.usage = state.usage + attempt.usage
    state.tried.append(_Tried(attempt, checks, objective))
    failed = [check.name for check in checks if check.hard and check.ok is not True]
    state.tell("checked", {"failed": failed, "objective": objective})


def _printed_objective(attempt: Attempt) -> float | None:
    """The objective of a free program: the value labelled as a total, a most or a least, if it is one."""
    from ..benchmarks.matching import words

    values, _ = read_values(attempt.stdout)
    goal_words = words("total objective maximum minimum maximized minimized optimal profit cost revenue")
    hits = [number for label, number in values.items() if words(label) & goal_words]
    return hits[-1] if len(hits) == 1 or (hits and len(set(hits)) == 1) else None


def _sound(tried: _Tried) -> bool:
    return tried.attempt.formulation is not None and all(check.ok is True for check in tried.checks if check.hard)


def _agree(tried: list[_Tried]) -> None:
    for one in tried:
        one.agreeing = sum(
            other is not one
            and one.objective is not None
            and other.objective is not None
            and same_number(one.objective, other.objective, 1e-4)
            for other in tried
        )


def _settled(tried: list[_Tried]) -> bool:
    """Two attempts pass every check and agree."""
    _agree(tried)
    return any(_sound(one) and one.agreeing for one in tried)


def _agreement(best: _Tried, tried: list[_Tried]) -> Check:
    name, ended = "agreement", [one for one in tried if one.objective is not None]
    if len(tried) == 1:
        return Check(name, None, "there is one attempt, so none to agree with")
    if best.objective is None or not best.agreeing:
        return Check(name, False, f"no other of {len(tried)} attempts gives this objective")
    return Check(
        name, 2 * (best.agreeing + 1) > len(ended), f"{best.agreeing + 1} of {len(ended)} solved attempts agree"
    )


def _verdict(text: str, chat: ChatModel, state: _Progress, best: _Tried, stopped: str, seconds: float) -> Answer:
    attempt, formulation = best.attempt, best.attempt.formulation
    checks = [*best.checks, _agreement(best, state.tried)]
    open_ones = [check.name for check in checks if check.hard and check.ok is not True]
    verified = formulation is not None and not open_ones
    if verified:
        reason = CHECKED
    elif formulation is None and attempt.status != "optimal":
        reason = f"{NO_ANSWER}: {attempt.error or attempt.status}"[:400]
    else:
        reason = f"{NO_ANSWER}; open or failed: {', '.join(open_ones) or 'no formal lines'}"
    values: dict[str, float] = {}
    if attempt.status == "optimal":
        listed = attempt.values if formulation is None else [v.name for v in formulation.variables]
        values = {name: attempt.values[name] for name in listed if name in attempt.values}
    return Answer(
        question=text,
        formulation=formulation,
        program=attempt.code,
        values=values,
        objective=best.objective,
        status=attempt.status,
        checks=tuple(checks),
        verified=verified,
        reason=reason + stopped,
        attempts=len(state.tried),
        usage=state.usage,
        model=str(attempt.notes.get("model") or chat.name),
        isolation=attempt.isolation,
        seconds=seconds,
    )
