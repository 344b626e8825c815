"""Modelers: a language model that writes a program for a problem in words, or its formal lines, from which we write it.

Zero-shot and few-shot prompting as in arXiv 2407.09887, with prompts of our own. ``Structured`` differs: the model
fills a formulation under a JSON schema, which a backend can enforce while it decodes, and the program is written from
that by rule, so it cannot fail for its syntax.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..benchmarks.grading import UsageMeter
from ..execution import Attempt, Execution, ModelingProblem, Sandbox, extract_code, open_sandbox, run_program
from ..formulations.formulation import Formulation, FormulationError
from . import prompts

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel, Message

# What a further round can mend: the model is told what went wrong.
MENDABLE = ("parse_error", "forbidden", "run_error", "no_values", "memory", "timeout")


class Modeler:
    """Base of what turns words into programs with a language model.

    Args:
        chat: the model.
        sandbox: runs the programs; None opens one of its own, closed by :meth:`close` or at the end of ``with``.
        temperature: of the first try, >= 0; needs to be positive for several samples to differ.
        max_tokens: most tokens of a reply.
        debug_rounds: most further rounds after a program that fails to run, each with the error told.
        seed: sample ``s`` is asked with ``seed + s``.

    Reference:
        arXiv 2407.09887, evaluation; rounds as in arXiv 2510.18428.
    """

    name = "modeler"

    def __init__(
        self,
        chat: ChatModel,
        *,
        sandbox: Sandbox | None = None,
        temperature: float = 0.0,
        max_tokens: int = 2048,
        debug_rounds: int = 0,
        seed: int = 0,
    ) -> None:
        if not callable(getattr(chat, "chat", None)):
            raise TypeError(f"chat must be a model with chat(messages), got {chat!r:.80}")
        self.chat = chat
        self.temperature = check_number("temperature", temperature, low=0)
        self.max_tokens = check_int("max_tokens", max_tokens, low=1)
        self.debug_rounds = check_int("debug_rounds", debug_rounds, low=0)
        self.seed = check_int("seed", seed, low=0)
        self._sandbox = sandbox
        self._own: Any = None

    def __enter__(self) -> Modeler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sandbox, if it is one of its own."""
        if self._own is not None:
            self._own.close()
            self._own = None

    @property
    def sandbox(self) -> Sandbox:
        """What runs the programs."""
        if self._sandbox is not None:
            return self._sandbox
        if self._own is None:
            self._own = open_sandbox()
        own: Sandbox = self._own
        return own

    def solve(self, problem: ModelingProblem | str, sample: int = 0) -> Attempt:
        """Try a problem once.

        Args:
            problem: with its question, or the question itself.
            sample: number of the try.

        Raises:
            OptimandError: the question is empty. Errors of the model's backend pass through; an unusable reply does
                not: it is an attempt of status ``parse_error``.
        """
        question = problem if isinstance(problem, str) else problem.question
        if not question.strip():
            raise OptimandError("the problem has no text")
        return self._solve(problem, question, self.seed + check_int("sample", sample, low=0))

    def _solve(self, problem: ModelingProblem | str, question: str, seed: int) -> Attempt:
        raise NotImplementedError


def finished(code: str, ran: Execution, **facts: Any) -> Attempt:
    """An attempt from a program and what running it gave."""
    return Attempt(
        code, ran.output, ran.values, ran.status, error=ran.error, isolation=ran.isolation, seconds=ran.seconds, **facts
    )


class ProgramModeler(Modeler):
    """The model writes the program; see :class:`Modeler`.

    Args:
        prompt: ``zero-shot``, ``few-shot``, or a function of the problem that returns messages or one text.
    """

    name = "program"

    def __init__(
        self,
        chat: ChatModel,
        prompt: str | Callable[[Any], str | Sequence[Message]] = "zero-shot",
        **options: Any,
    ) -> None:
        super().__init__(chat, **options)
        if not callable(prompt):
            check_choice("prompt", prompt, ("zero-shot", "few-shot"))
            self.name = prompt
        else:
            self.name = getattr(prompt, "__name__", "custom")
        self.prompt = prompt

    def _messages(self, problem: ModelingProblem | str, question: str) -> list[Message]:
        if self.prompt == "zero-shot":
            return list(prompts.zero_shot(question))
        if self.prompt == "few-shot":
            return list(prompts.few_shot(question))
        assert callable(self.prompt)
        made = self.prompt(problem)
        return [{"role": "user", "content": made}] if isinstance(made, str) else list(made)

    def _solve(self, problem: ModelingProblem | str, question: str, seed: int) -> Attempt:
        messages, meter = self._messages(problem, question), UsageMeter(self.chat)
        attempt: Attempt | None = None
        seconds = 0.0
        for round_ in range(self.debug_rounds + 1):
            result = meter.chat(
                messages,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                seed=seed + 7919 * round_,
                role="modeling.program" if round_ == 0 else "modeling.debug",
            )
            code = extract_code(result.text)
            ran = run_program(code, self.sandbox)
            seconds += ran.seconds
            attempt = finished(code, ran, reply=result.text, rounds=round_ + 1, usage=meter.usage)
            attempt = replace(attempt, seconds=seconds, notes={"model": meter.model})
            if attempt.status not in MENDABLE:
                break
            fault = f"{attempt.status}: {attempt.error}"
            messages = [*messages, {"role": "assistant", "content": result.text or "(empty)"}, prompts.repair(fault)]
        assert attempt is not None  # there is at least one round
        return attempt


Solver = ProgramModeler


class ZeroShot(ProgramModeler):
    """The form of the program and the question, nothing else."""

    def __init__(self, chat: ChatModel, **options: Any) -> None:
        super().__init__(chat, "zero-shot", **options)


class FewShot(ProgramModeler):
    """The same after two worked examples."""

    def __init__(self, chat: ChatModel, **options: Any) -> None:
        super().__init__(chat, "few-shot", **options)


class Structured(Modeler):
    """The model fills a formulation by JSON schema; the program is written from it by rule.

    Args:
        shots: worked examples shown, 0 to 2.
        retries: further calls for a reply that is no formulation, with the fault named.
        schema: another form of :attr:`Formulation.SCHEMA`, such as one with limits for a weak model.

    Each debug round tells the model that its formulation has no optimum, or no finite one.
    """

    name = "structured"

    def __init__(
        self,
        chat: ChatModel,
        *,
        shots: int = 1,
        retries: int = 1,
        schema: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(chat, **options)
        self.shots = check_int("shots", shots, low=0, high=2)
        self.retries = check_int("retries", retries, low=0)
        self.schema = Formulation.SCHEMA if schema is None else schema

    def _solve(self, problem: ModelingProblem | str, question: str, seed: int) -> Attempt:
        from optimand.language.llm.structured import ReplyError, ask

        messages, meter = prompts.formal(question, shots=self.shots), UsageMeter(self.chat)
        attempt: Attempt | None = None
        for round_ in range(self.debug_rounds + 1):
            try:
                data = ask(
                    meter,
                    messages,
                    self.schema,
                    role="modeling.formulate",
                    retries=self.retries,
                    check=formulation_fault,
                    name="formulation",
                    max_tokens=self.max_tokens,
                    seed=seed + 7919 * round_,
                    temperature=self.temperature,
                )
            except ReplyError as error:
                return Attempt(
                    "", "", {}, "parse_error", meter.usage, reply=error.reply, error=str(error), rounds=round_ + 1,
                    notes={"model": meter.model},
                )  # fmt: skip
            formulation = Formulation.from_dict(data)
            code = formulation.program()
            ran = run_program(code, self.sandbox)
            attempt = finished(code, ran, usage=meter.usage, formulation=formulation, rounds=round_ + 1)
            attempt = replace(attempt, reply=json.dumps(data), notes={"model": meter.model})
            if attempt.status == "optimal":
                break
            messages = [
                *messages,
                {"role": "assistant", "content": json.dumps(data)},
                {"role": "user", "content": f"The solver says: {attempt.error[-300:]}. Correct the model."},
            ]
        assert attempt is not None  # there is at least one round
        return attempt


def formulation_fault(data: Any) -> str | None:
    """What keeps plain data from being a formulation, or None."""
    try:
        Formulation.from_dict(data)
    except FormulationError as error:
        return str(error)
    return None


def make_solver(
    chat: ChatModel, prompt: str | Callable[[Any], str | Sequence[Message]] = "zero-shot", **options: Any
) -> Modeler:
    """A modeler by the name of its prompt: ``zero-shot``, ``few-shot``, ``structured``, or a function.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> make_solver(Scripted([]), "few-shot").name
        'few-shot'
    """
    if prompt == "structured":
        return Structured(chat, **options)
    return ProgramModeler(chat, prompt, **options)


class Written:
    """A function ``text -> program`` as a solver: its programs are run and nothing else is asked of it.

    Args:
        function: gives the source of a program, or a reply that holds one.
        sandbox: runs it.
        name: in reports.
    """

    def __init__(self, function: Callable[[str], str], sandbox: Sandbox, name: str = "") -> None:
        self.function, self.sandbox = function, sandbox
        self.name = name or getattr(function, "__name__", "written")

    def solve(self, problem: ModelingProblem) -> Attempt:
        """Run the program that the function writes for the problem."""
        code = self.function(problem.question)
        if inspect.iscoroutine(code) or not isinstance(code, str):
            raise OptimandError(f"{self.name!r} must return the text of a program, got {code!r:.80}")
        code = extract_code(code)
        return finished(code, run_program(code, self.sandbox))
