"""A linear model filled in slot by slot: for models too weak to write a formula.

First the unknowns are named; then every coefficient, relation and limit is chosen from lists: the unknowns, and the
numbers that stand in the text. Under a decoder that enforces the schema a reply is always a formulation and never holds
a number of the model's own. It can still be the wrong one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_int

from ..answers.wording import mentions
from ..benchmarks.grading import UsageMeter
from ..execution import Attempt, ModelingProblem, run_program
from ..formulations.expressions import number_text
from ..formulations.formulation import Constraint, Formulation, Variable
from .modelers import Modeler, finished
from .prompts import examples

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel

MOST_UNKNOWNS = 4
MOST_NUMBERS = 40
MOST_WORDS = 80
_COMMON_TEXT = (
    "the and for are has have can how many much each per that this with from its their they should must least most "
    "more less than not there into will would which what when where who every one two three four five only also other "
    "both all any some takes take earns earn costs cost day days week hour hours minute minutes dollars euros maximize "
    "minimize total profit number available order"
)
_COMMON = frozenset(_COMMON_TEXT.split())


def naming_schema(text: str, unknowns: int = MOST_UNKNOWNS) -> dict[str, Any]:
    """The first reply: the sense, and what is to be decided, in words of the text.

    Example:
        >>> naming_schema("Bake bread and rolls.")["properties"]["amounts_of"]["items"]["enum"]
        ['bake', 'bread', 'rolls']
    """
    name = {"type": "string", "enum": candidates(text) or ["x", "y"]}
    return {
        "type": "object",
        "properties": {
            "sense": {"type": "string", "enum": ["maximize", "minimize"]},
            "amounts_of": {"type": "array", "items": name, "minItems": 1, "maxItems": unknowns},
            "whole": {"type": "boolean"},
        },
        "required": ["sense", "amounts_of", "whole"],
        "additionalProperties": False,
    }


def candidates(text: str) -> list[str]:
    """Words of a text that may name an unknown: at least three letters, no common words, each once."""
    found = [word for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in _COMMON]
    return list(dict.fromkeys(found))[:MOST_WORDS]


def filling_schema(unknowns: Sequence[str], numbers: Sequence[float], rows: int) -> dict[str, Any]:
    """The second reply: for the objective and each limit a coefficient of every unknown, out of the text's numbers.

    Args:
        unknowns: their names.
        numbers: what coefficients and limits may be, besides 0 and 1 for coefficients.
        rows: most limits.

    Example:
        >>> schema = filling_schema(["bread"], [3.0], 2)
        >>> schema["properties"]["objective"]["properties"]["bread"]["enum"]
        [0, 1, 3]
    """
    listed = [int(value) if float(value).is_integer() else value for value in numbers]
    factors = {"enum": sorted({0, 1, *listed})}
    terms: dict[str, Any] = dict.fromkeys(unknowns, factors)
    row = {**terms, "relation": {"type": "string", "enum": ["<=", ">=", "=="]}, "limit": {"enum": sorted({0, *listed})}}

    def whole(properties: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": dict(properties), "required": list(properties),
                "additionalProperties": False}  # fmt: skip

    limits = {"type": "array", "items": whole(row), "minItems": 1, "maxItems": max(1, rows)}
    return whole({"objective": whole(terms), "limits": limits})


def assemble(named: Mapping[str, Any], filled: Mapping[str, Any]) -> Formulation:
    """The formulation from the two replies; rows without an unknown, and repeated ones, are left out.

    Example:
        >>> f = assemble({"sense": "maximize", "amounts_of": ["bread"], "whole": True},
        ...              {"objective": {"bread": 3}, "limits": [{"bread": 2, "relation": "<=", "limit": 9}]})
        >>> f.objective, f.constraints[0].expression
        ('3*bread', '2*bread <= 9')
    """
    unknowns = _distinct(named["amounts_of"])
    rows = []
    for row in filled["limits"]:
        left = _sum({name: row[name] for name in unknowns})
        text = f"{left} {row['relation']} {number_text(row['limit'])}"
        if left != "0" and text not in rows:
            rows.append(text)
    kind = "integer" if named["whole"] else "real"
    return Formulation(
        tuple(Variable(name, f"amount of {name.replace('_', ' ')}", kind) for name in unknowns),  # type: ignore[arg-type]
        named["sense"],
        _sum({name: filled["objective"][name] for name in unknowns}),
        tuple(Constraint(row) for row in rows),
    )


def _distinct(listed: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(listed))


def _sum(terms: Mapping[str, float]) -> str:
    found = [name if value == 1 else f"{number_text(value)}*{name}" for name, value in terms.items() if value]
    return " + ".join(found) or "0"


class Guided(Modeler):
    """Names the unknowns, then fills coefficients from the text's numbers; linear problems only.

    Args:
        shots: worked examples shown, 0 or 1.
        options: see :class:`~optimand.language.modeling.modelers.modelers.Modeler`.
    """

    name = "guided"

    def __init__(self, chat: ChatModel, *, shots: int = 1, max_tokens: int = 400, **options: Any) -> None:
        super().__init__(chat, max_tokens=max_tokens, **options)
        self.shots = check_int("shots", shots, low=0, high=1)

    def _solve(self, problem: ModelingProblem | str, question: str, seed: int) -> Attempt:
        from optimand.language.llm.structured import ReplyError, ask

        meter = UsageMeter(self.chat)
        found = mentions(question)
        numbers = list(dict.fromkeys(form for m in found if m.data for form in (m.value,)))[:MOST_NUMBERS]
        rows = min(6, max(1, sum(m.limit != "" for m in found) + 1))

        def asked(messages: list[dict[str, str]], schema: dict[str, Any], role: str, most: int) -> Any:
            return ask(
                meter, messages, schema, role=role, retries=0, max_tokens=min(most, self.max_tokens), seed=seed,
                temperature=self.temperature,
            )  # fmt: skip

        try:
            named = asked(self._naming(question), naming_schema(question), "modeling.name", 120)
            unknowns = _distinct(named["amounts_of"])
            schema = filling_schema(unknowns, numbers, rows)
            filled = asked(self._filling(question, named), schema, "modeling.fill", self.max_tokens)
            formulation = assemble(named, filled)
        except (ReplyError, OptimandError) as error:
            from optimand.language.llm.base import ChatError

            if isinstance(error, ChatError):
                raise
            return Attempt("", "", {}, "parse_error", meter.usage, error=str(error), notes={"model": meter.model})
        code = formulation.program()
        attempt = finished(code, run_program(code, self.sandbox), usage=meter.usage, formulation=formulation)
        return replace(attempt, reply=json.dumps(filled), notes={"model": meter.model})

    def _naming(self, question: str) -> list[dict[str, str]]:
        system = "Name what must be decided in the problem: the things whose amounts are unknown. Reply with JSON."
        messages = [{"role": "system", "content": system}]
        if self.shots:
            text, formulation = examples()[0]
            reply = {"sense": formulation.sense, "amounts_of": [v.name for v in formulation.variables], "whole": True}
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": json.dumps(reply)}]
        return [*messages, {"role": "user", "content": question.strip()}]

    def _filling(self, question: str, named: Mapping[str, Any]) -> list[dict[str, str]]:
        system = (
            "For each unknown give what one unit adds to the objective. Then list the limits: what one unit of each "
            "unknown uses, the relation, and the limit. Use numbers of the problem. Reply with JSON."
        )
        messages = [{"role": "system", "content": system}]
        if self.shots:
            text, formulation = examples()[0]
            filled = _as_filled(formulation)
            messages += [{"role": "user", "content": f"{text}\nUnknowns: bowls, jugs"},
                         {"role": "assistant", "content": json.dumps(filled)}]  # fmt: skip
        listed = ", ".join(_distinct(named["amounts_of"]))
        return [*messages, {"role": "user", "content": f"{question.strip()}\nUnknowns: {listed}"}]


def _as_filled(formulation: Formulation) -> dict[str, Any]:
    """A linear formulation in the form of the second reply."""
    from ..formulations.polynomials import linear_terms

    listed = [variable.name for variable in formulation.variables]

    def terms(polynomial: Any) -> tuple[dict[str, int], int]:
        found, constant = linear_terms(polynomial)
        return {name: int(found.get(name, 0)) for name in listed}, int(constant)

    assert formulation.objective_fraction is not None
    rows = []
    for item in formulation.normal:
        coefficients, constant = terms(item.polynomial)
        rows.append({**coefficients, "relation": item.op, "limit": -constant})
    return {"objective": terms(formulation.objective_fraction[0])[0], "limits": rows}
