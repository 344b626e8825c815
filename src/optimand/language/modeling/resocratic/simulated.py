"""An author that stands for a language model in the synthesis: right but for faults that it injects and remembers.

It lets the whole pipeline run without a model, and shows what the filters catch: each fault is known by the text that
carries it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from optimand.core.validation import check_int, check_number
from optimand.language.llm.base import Backend, ChatResult, Request, Usage
from optimand.language.modeling.formulations.formulation import Formulation

from .formal import read_formal
from .scenarios import MARK, parse_scenario
from .templates import TemplateGenerator

SCENARIO_FAULTS = ("two marks", "no formal line", "wrong order", "copy")
CODE_FAULTS = ("syntax", "wrong objective", "infeasible", "endless", "constraint left out")
QUESTION_FAULTS = ("lost number",)


class SimulatedAuthor(Backend):
    """A :class:`~optimand.language.llm.ChatModel` that answers the synthesis from templates.

    Args:
        seed: of its templates and faults.
        faults: share of replies with a fault, in [0, 1].
        endless: whether programs that never end are among the faults; each costs the sandbox's limit.

    ``injected`` counts faults by name; ``bad_code`` and ``bad_questions`` hold the texts that carry one.

    Example:
        >>> SimulatedAuthor(0).chat([{"role": "user", "content": ""}], role="resocratic.scenario").text[:20]
        '## Define Variables:'
    """

    def __init__(self, seed: int = 0, *, faults: float = 0.0, endless: bool = False) -> None:
        self.seed = check_int("seed", seed, low=0)
        self.faults = check_number("faults", faults, low=0, high=1)
        self.endless = endless
        self.name = f"simulated author {seed}"
        self.injected: Counter[str] = Counter()
        self.bad_code: dict[str, str] = {}
        self.bad_questions: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._written: list[str] = []

    def complete(self, request: Request) -> ChatResult:
        """The reply to one of the three requests of the synthesis."""
        role = request.role
        self.calls[role] += 1
        text = request.messages[-1]["content"]
        if role == "resocratic.scenario":
            reply = self._scenario(text, request.seed or 0)
        elif role == "resocratic.code":
            reply = self._code(text.split("\n\nWrite a complete program")[0])
        else:
            reply = self._question(text)
        return ChatResult((reply,), Usage(1, len(text.split()), len(reply.split())), ("stop",), self.name)

    def _fault(self, names: Sequence[str], text: str) -> str:
        """The fault to inject in the reply to a text, or nothing."""
        draw = int.from_bytes(hashlib.blake2b(f"{self.seed}/{text}".encode(), digest_size=8).digest(), "big")
        if draw % 1000 >= 1000 * self.faults:
            return ""
        return names[(draw // 1000) % len(names)]

    def _scenario(self, text: str, seed: int) -> str:
        kind = "nonlinear" if "nonlinear in its objective" in text else "linear"
        item = TemplateGenerator(self.seed).item(seed % 5000, f"{kind}-notable")
        written = item.scenario.render()
        fault = self._fault(SCENARIO_FAULTS, f"{text}/{seed}")
        if fault == "two marks":
            written = f"{MARK}\n{written}\n\n{MARK}\n{written}"
        elif fault == "no formal line":
            written = "\n".join(
                line for line in written.split("\n") if "Maximize" not in line and "Minimize" not in line
            )
        elif fault == "wrong order":
            written = written.replace("## Define Variables:", "## Define Objective Function:", 1)
        elif fault == "copy":
            written = self._written[0] if self._written else written
            fault = fault if self._written else ""
        if not fault:
            self._written.append(written)
        if fault:
            self.injected[fault] += 1
        return written

    def _code(self, text: str) -> str:
        formulation = read_formal(parse_scenario(text)).formulation
        if formulation is None:
            return "print('no program')"
        fault = self._fault([f for f in CODE_FAULTS if self.endless or f != "endless"], text)
        code = _with_fault(formulation, fault)
        if fault:
            self.injected[fault] += 1
            self.bad_code[code] = fault
        return f"```python\n{code}```"

    def _question(self, text: str) -> str:
        notes, wish = text.split("\n\nMake one exercise")
        words = " ".join(line for line in notes.splitlines() if not line.startswith("//"))
        fault = self._fault(QUESTION_FAULTS, text)
        if fault and (numerals := re.findall(r"(?<![\w.])\d{2,}(?![\w.])", words)):
            words = re.sub(rf"(?<![\w.]){numerals[0]}(?![\w.])", "some", words)
            self.injected[fault] += 1
        else:
            fault = ""
        if "one table" in wish:
            parts = re.split(r"(?<=[.?]) ", words)
            words = "| What is known |\n| --- |\n" + "\n".join(f"| {part} |" for part in parts)
        if fault:
            self.bad_questions.add(words.strip())
        return words


def _with_fault(formulation: Formulation, fault: str) -> str:
    if fault == "syntax":
        return formulation.program().replace("model = Model()", "model = Model(", 1)
    if fault == "wrong objective":
        return dataclasses.replace(formulation, objective=f"1.25 * ({formulation.objective}) + 10").program()
    if fault == "infeasible":
        first = formulation.variables[0].name
        more = f"{first} >= {first} + 1"
        return dataclasses.replace(formulation, constraints=(*formulation.constraints, more)).program()  # type: ignore[arg-type]
    if fault == "endless":
        return "while True:\n    pass\n"
    if fault == "constraint left out":
        return dataclasses.replace(formulation, constraints=formulation.constraints[:-1]).program()
    return formulation.program()
