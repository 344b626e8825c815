"""The family ``modeling``: what turns worded problems into solved programs, compared by the share solved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.validation import OptimandError
from optimand.language.llm.choosing import endpoint_configured

from .execution import ModelingProblem
from .loop import Tools, check_solver

GIVEN = ("chat", "sandbox", "seed")
TUNED = ("temperature",)

_EXPECTED = (
    "expected a class or function build(chat=…, sandbox=…, seed=…, **hyper), each of the three only if it wants it, "
    "that returns an object with solve(problem) -> Attempt, or a function text -> source of a program"
)
_SMALL = ModelingProblem(
    "small", "A potter earns 3 on a pot, which takes 2 kg of clay; there are 11 kg. How many pots for the most?",
    "linear-notable", {"The number of pots": 5.0, "The total earned": 15.0},
)  # fmt: skip


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's modeler into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function ``build(chat=…, sandbox=…, seed=…, **hyper)`` that names any of the three as arguments
            and returns an object with ``solve(problem) -> Attempt``, and perhaps ``learn(problems)``; ``chat`` is the
            configured model, its calls counted. Or a function ``program(text, **hyper)`` that returns the source of a
            program, or a reply with one. Hyperparameters need defaults; ``temperature`` is tuned.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small problem.

    Example:
        >>> def five(text, pots=5):
        ...     return f"print('----------')\\nprint('The number of pots:', {pots})"
        >>> adopt("five", five).defaults
        {'pots': 5}
    """
    if not callable(obj):
        raise OptimandError(f"method {name!r} is {obj!r:.80} ({type(obj).__name__}); {_EXPECTED}")
    wanted = _wanted(name, obj)

    def build(tools: Tools, **hyper: Any) -> Any:
        given: dict[str, Any] = {}
        if "chat" in wanted:
            given["chat"] = tools.model()
        if "sandbox" in wanted:
            given["sandbox"] = tools.sandbox
        if "seed" in wanted:
            given["seed"] = tools.seed
        if wanted:
            return obj(**given, **hyper)
        from .modelers.modelers import Written

        return Written(lambda text: obj(text, **hyper), tools.sandbox, name)

    return adoption.adopt(
        name,
        obj,
        family="modeling",
        takes="text",
        expected=_EXPECTED,
        on="a small problem",
        trial=lambda method: _rehearse(method, obj, wanted),
        build=build,
        given=GIVEN,
        leading=0 if wanted else 1,
        tuned=TUNED,
        factor=4,
    )


def _wanted(name: str, obj: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(obj).parameters
    except (TypeError, ValueError) as error:
        raise OptimandError(f"method {name!r}: the signature of {obj!r:.80} cannot be read ({error})") from error
    return tuple(key for key in GIVEN if key in parameters and (key != "seed" or len(parameters) > 0))


def _rehearse(method: Method, obj: Any, wanted: tuple[str, ...]) -> None:
    """Build it, with a scripted model and a sandbox that runs nothing; a function also writes a program."""
    from optimand.language.llm.scripted import Scripted

    tools = Tools(_Idle(), 0, Scripted(lambda messages, **options: "{}", name="rehearsal"))
    if wanted:
        check_solver(method.name, method.build(tools, **method.defaults))
        return
    code = obj(_SMALL.question, **method.defaults)
    if not isinstance(code, str):
        raise OptimandError(f"method {method.name!r} must return the text of a program, got {code!r:.80}; {_EXPECTED}")


class _Idle:
    """A sandbox in which every program prints nothing."""

    def run(self, code: str, *, inputs: str = "") -> Any:
        """Nothing printed."""
        from types import SimpleNamespace

        return SimpleNamespace(status="ok", stdout="", stderr="", seconds=0.0, isolation="none")


def describe(method: Method) -> dict[str, str]:
    """Whether a method asks a language model, and whether it learns from examples first."""
    facts = {"asks a language model": "yes" if "chat" in method.defaults else "no"}
    try:
        from optimand.language.llm.scripted import Scripted

        tools = Tools(_Idle(), 0, Scripted(lambda messages, **options: "{}", name="scripted"))
        solver = method.build(tools, **{**method.defaults, **({"chat": ""} if "chat" in method.defaults else {})})
        facts["asks a language model"] = "yes" if tools.models else "no"
        if tools.models and not endpoint_configured():
            facts["model here"] = "the embedded one, which solves next to none; set OPTIMAND_LLM for another"
        facts["learns from examples first"] = "yes" if callable(getattr(solver, "learn", None)) else "no"
    except OptimandError as error:
        facts["on this machine"] = str(error)
    return facts


def solve(
    text: str,
    *,
    model: str | None = None,
    attempts: int = 3,
    seed: int = 0,
    require: str = "any",
    seconds: float = 50.0,
    on_event: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> Mapping[str, Any]:
    """Answer a problem in words: formulation, program, solution, checks and verdict in plain values.

    Args:
        text: the problem.
        model: a language model as :func:`optimand.language.llm.open_chat` reads it; None for the configured one.
        attempts, seed, seconds, on_event: see :func:`optimand.language.modeling.answers.answering.answer`.
        require: least isolation of the sandbox: ``any``, ``limits``, ``files`` or ``namespaces``.

    Raises:
        OptimandError: the text is empty, no model is there, the isolation cannot be had, PySCIPOpt is missing.
    """
    from .answers.answering import answer, check_text
    from .execution import open_sandbox

    check_text(text)
    chat = None
    if model is not None:
        from optimand.language.llm.choosing import open_chat

        chat = open_chat(model)
    with open_sandbox(require=require) as sandbox:
        found = answer(
            text, chat=chat, sandbox=sandbox, attempts=attempts, seed=seed, seconds=seconds, on_event=on_event
        )
    return found.to_dict()


add_family(
    Family(
        name="modeling",
        takes="a function from a problem's text to a program, or a class with `solve(problem)` and perhaps "
        "`learn(problems)`",
        guide="modeling.md",
        summary="turn problems in words into programs that solve them; compared by the share solved",
        adopt=adopt,
        describe=describe,
        methods=("nearest-example", "structured"),
        solve=solve,
    )
)
