"""What the synthesis asks of a model, in words of our own (the steps are those of arXiv 2407.09887)."""

from __future__ import annotations

from collections.abc import Sequence

from .scenarios import MARK, Scenario

_FORMAT = """\
You invent optimization problems that a company, a household or an office could meet. Each is written in steps.
Every step begins with a heading, tells its part in plain words, and then repeats it formally in lines that begin
with //.

The headings are, in this order:
## Define Variables:
## Define Objective Function:
## Generate Constraint-1:
(further constraints are numbered on; five at most)

Rules for the formal lines:
- a variable is an object {"what it means": "symbol", "range": "symbol >= 0", "type": "integer"}; types are integer,
  real, binary
- the objective is one line "Maximize ..." or "Minimize ...", before which sums may be given names
- a constraint is a relation between the symbols
- no words may follow the formal lines of a step, and every number in them must be in the words above them
"""
_SYSTEM_CODE = "You write Python programs that solve optimization problems with pyscipopt. You answer with the program."
_SYSTEM_WORDS = "You turn notes about optimization problems into exercises for students. You answer with the exercise."


def _messages(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def scenario_messages(demonstrations: Sequence[str], kind: str) -> list[dict[str, str]]:
    """Ask for a scenario like some demonstrations, about something else."""
    shown = "\n\n".join(f"[Scenario {k}]:\n{text.strip()}" for k, text in enumerate(demonstrations, 1))
    want = "nonlinear in its objective or a constraint" if kind == "nonlinear" else "linear throughout"
    user = (
        f"{shown}\n\nWrite one more scenario of this form that is {want}, about another subject and with other "
        f"numbers. It must have an optimal solution. Begin after the mark and write nothing else.\n{MARK}"
    )
    return _messages(_FORMAT, user)


def code_messages(scenario: Scenario) -> list[dict[str, str]]:
    """Ask for the program of a scenario."""
    user = f"""{scenario.render()}

Write a complete program for this problem, in one block fenced as python.
- create the model with pyscipopt.Model() and call hideOutput()
- add each variable with its bounds and its type
- SCIP takes linear objectives only: add a variable obj with lb=None, a constraint that ties it to the objective, and
  optimize obj
- where something is divided by an expression, multiply it out instead
- after optimizing, print a line of ten dashes
- if the status is "optimal", print each variable as "name: value", then one line
  RESULT_JSON: {{...}}
  that holds the values by name and the objective's value under the key "objective"
- otherwise print that no optimal solution was found"""
    return _messages(_SYSTEM_CODE, user)


def question_messages(scenario: Scenario, *, table: bool) -> list[dict[str, str]]:
    """Ask for the question of a scenario, with or without a table."""
    form = (
        "Put the numbers that belong to several things of a kind into one table with bars, the rest into sentences."
        if table
        else "Tell everything in sentences, without tables or lists."
    )
    notes = "\n".join(
        f"{section.text}\n" + "\n".join(f"// {line}" for line in section.formal)
        for section in (scenario.sections[0], *scenario.sections[2:], scenario.sections[1])
    )
    user = f"""{notes}

Make one exercise of these notes. {form}
Keep every number and every condition. Show no symbol and no formula of the lines that begin with //: whoever solves the
exercise has to find them. The last sentence says what is to be maximized or minimized."""
    return _messages(_SYSTEM_WORDS, user)
