"""What modelers say to a language model: the program's form, two worked examples, the formal lines wanted as JSON."""

from __future__ import annotations

import functools
import json
from typing import Any

from ..formulations.formulation import Constraint, Formulation, Variable
from ..formulations.programs import MARK, NOT_OPTIMAL, RESULT

SYSTEM = "You turn optimization problems in words into Python programs that solve them with PySCIPOpt."

PROGRAM_FORM = f"""Write one complete Python program, in a single ```python block, of this form:

```python
import json
from pyscipopt import Model

model = Model()
model.hideOutput()

# Unknowns: vtype "I" for whole numbers, "C" for real ones, "B" for yes or no; bounds where the text gives them.
x = model.addVar(name="x", vtype="I", lb=0)

# SCIP takes linear objectives only: the objective is an unknown without bounds, tied to its formula.
objective = model.addVar(name="objective", vtype="C", lb=None, ub=None)
model.addCons(objective == 3 * x)
model.setObjective(objective, "maximize")

# Constraints: multiply out divisions by unknowns; no strict inequalities.
model.addCons(2 * x <= 11)

model.optimize()
print("{MARK}")
if model.getStatus() == "optimal":
    result = {{"Number of x made": model.getVal(x), "Total profit": model.getVal(objective)}}
    for label, number in result.items():
        print(label + ":", number)
    print("{RESULT} " + json.dumps(result))
else:
    print("{NOT_OPTIMAL}.")
```

The labels are those of the quantities the problem asks for. Print nothing else, read no files, ask for no input."""

FORMAL_FORM = """Write the problem's mathematical model as one JSON object:
- "variables": the unknown quantities to decide on. "name": a short identifier; "meaning": what it counts; "kind": \
"integer" for things that cannot be divided, "real" for amounts, "binary" for yes/no; "low" and "high": bounds, null \
for none.
- "sense": "maximize" or "minimize".
- "objective": a formula of the variables, with numbers from the problem and the signs + - * / ** and brackets.
- "constraints": every limit or requirement in the problem, each an "expression" with <=, >= or == and its "meaning".
Use only numbers that the problem gives, and write computations out: (9 - 4)*x, not 5*x. Write \
a percentage as a decimal fraction. Leave nothing out."""


@functools.cache
def examples() -> tuple[tuple[str, Formulation], ...]:
    """Two worked examples of our own: a linear problem, and one whose objective is a ratio."""
    pottery = Formulation(
        (
            Variable("bowls", "number of bowls thrown in a week", "integer"),
            Variable("jugs", "number of jugs thrown in a week", "integer"),
        ),
        "maximize",
        "9*bowls + 14*jugs",
        (
            Constraint("2*bowls + 3*jugs <= 90", "kilograms of clay"),
            Constraint("bowls + 2*jugs <= 50", "hours at the wheel"),
            Constraint("bowls >= 12", "bowls that are ordered"),
        ),
    )
    ferry = Formulation(
        (
            Variable("cars", "number of cars on a trip", "integer"),
            Variable("lorries", "number of lorries on a trip", "integer", 2.0),
        ),
        "maximize",
        "(20*cars + 55*lorries) / (60 + 2*cars + 7*lorries)",
        (
            Constraint("5*cars + 16*lorries <= 240", "metres of deck"),
            Constraint("cars + lorries <= 36", "lashings"),
        ),
    )
    return (
        (
            "A pottery throws bowls and jugs. A bowl takes 2 kg of clay and 1 hour at the wheel and earns 9 euros; a "
            "jug takes 3 kg and 2 hours and earns 14 euros. Each week there are 90 kg of clay and 50 hours, and 12 "
            "bowls are already ordered. How many of each should it throw to earn the most?",
            pottery,
        ),
        (
            "A ferry carries cars and lorries. A car pays 20 and takes 5 metres of deck, a lorry pays 55 and takes 16 "
            "metres. The deck has 240 metres and there are lashings for 36 vehicles; 2 lorries carry mail and must go. "
            "A trip takes 60 minutes, plus 2 minutes for each car and 7 for each lorry to load. Which load earns the "
            "most per minute?",
            ferry,
        ),
    )


def _asked(question: str) -> dict[str, str]:
    return {"role": "user", "content": f"{PROGRAM_FORM}\n\nProblem:\n{question.strip()}"}


def zero_shot(question: str) -> list[dict[str, str]]:
    """The form of the program and the question."""
    return [{"role": "system", "content": SYSTEM}, _asked(question)]


def few_shot(question: str) -> list[dict[str, str]]:
    """The same after two worked examples."""
    messages = [{"role": "system", "content": SYSTEM}]
    for text, formulation in examples():
        messages.append(_asked(text))
        messages.append({"role": "assistant", "content": f"```python\n{formulation.program()}```"})
    return [*messages, _asked(question)]


def formal(question: str, *, shots: int = 1) -> list[dict[str, str]]:
    """The question, with ``shots`` worked examples, for a reply that is a formulation as JSON."""
    messages = [{"role": "system", "content": FORMAL_FORM}]
    for text, formulation in examples()[:shots]:
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": json.dumps(formulation.to_dict(), separators=(",", ":"))})
    return [*messages, {"role": "user", "content": question.strip()}]


def repair(fault: str) -> dict[str, str]:
    """What went wrong with a program, and that it is wanted again."""
    text = f"That program failed:\n{fault.strip()[-1500:]}\n\nWrite the whole program again with the mistake corrected."
    return {"role": "user", "content": text}


def bounded_schema(variables: int = 6, constraints: int = 8) -> dict[str, Any]:
    """The schema of a formulation with limits on every list and text, so that a weak model comes to an end.

    Args:
        variables, constraints: most of each, >= 1.
    """
    schema: dict[str, Any] = json.loads(json.dumps(Formulation.SCHEMA))
    properties = schema["properties"]
    properties["variables"]["maxItems"] = variables
    item = properties["variables"]["items"]["properties"]
    item["name"] = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,15}$"}
    item["meaning"] = {"type": "string", "maxLength": 40}
    properties["objective"]["maxLength"] = 120
    properties["constraints"]["maxItems"] = constraints
    item = properties["constraints"]["items"]["properties"]
    item["expression"] = {"type": "string", "maxLength": 100}
    item["meaning"] = {"type": "string", "maxLength": 40}
    return schema
