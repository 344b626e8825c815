"""Catalog entries of the family ``modeling``: ``build(tools, **hyper)`` gives a solver of worded problems.

``tools`` holds the sandbox, a seed, and ``tools.model(spec)``, which opens a language model and counts its calls
(:class:`~optimand.language.modeling.loop.Tools`). Methods that ask one take ``chat``, which names it as
:func:`optimand.language.llm.open_chat` reads it; empty for the configured endpoint, or the embedded model. A solver
that has ``learn(problems)`` gets the split ``train`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Float, Int

if TYPE_CHECKING:
    from .loop import Tools

PAPER = "optibench-resocratic"
TEMPERATURE = {"temperature": Float(0.0, 1.0)}
ROUNDS = {"debug_rounds": Int(0, 3)}


def _options(tools: Tools, **given: Any) -> dict[str, Any]:
    return {"sandbox": tools.sandbox, "seed": tools.seed % 2**31, **given}


@method("zero-shot", family="modeling", paper=PAPER, space={**TEMPERATURE, **ROUNDS})
def zero_shot(tools: Tools, *, chat: str = "", temperature: float = 0.0, debug_rounds: int = 0) -> Any:
    """A language model writes the program from the question and the program's form."""
    from .modelers.modelers import ZeroShot

    return ZeroShot(tools.model(chat), **_options(tools, temperature=temperature, debug_rounds=debug_rounds))


@method("few-shot", family="modeling", paper=PAPER, space={**TEMPERATURE, **ROUNDS})
def few_shot(tools: Tools, *, chat: str = "", temperature: float = 0.0, debug_rounds: int = 0) -> Any:
    """The same after two worked examples."""
    from .modelers.modelers import FewShot

    return FewShot(tools.model(chat), **_options(tools, temperature=temperature, debug_rounds=debug_rounds))


@method("structured", family="modeling", space={**TEMPERATURE, **ROUNDS, "shots": Int(0, 2)})
def structured(tools: Tools, *, chat: str = "", temperature: float = 0.0, debug_rounds: int = 0, shots: int = 1) -> Any:
    """A language model fills formal lines by schema, the program is written by rule; the embedded one fills slots."""
    from .answers.answering import is_weak
    from .modelers.guided import Guided
    from .modelers.modelers import Structured

    model = tools.model(chat)
    if is_weak(model):
        return Guided(model, **_options(tools, temperature=temperature, shots=min(shots, 1)))
    return Structured(model, **_options(tools, temperature=temperature, debug_rounds=debug_rounds, shots=shots))


@method("guided", family="modeling", space=TEMPERATURE)
def guided(tools: Tools, *, chat: str = "", temperature: float = 0.0, shots: int = 1) -> Any:
    """A language model names the unknowns, then picks coefficients out of the text's numbers; linear problems."""
    from .modelers.guided import Guided

    return Guided(tools.model(chat), **_options(tools, temperature=temperature, shots=shots))


@method("nearest-example", family="modeling")
def nearest_example(tools: Tools) -> Any:
    """No language model: the nearest known problem by TF-IDF, its numbers and words exchanged for the text's."""
    from .modelers.nearest import NearestExample

    return NearestExample(tools.sandbox)
