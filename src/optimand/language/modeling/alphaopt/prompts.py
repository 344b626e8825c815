"""What each role is told, in our own words, and the JSON schema of its reply."""

from __future__ import annotations

from typing import Any

from .insights import FORMULATION_STAGES, PROGRAM_STAGES, STAGES

TASK, FORMULATION, PROGRAM, RESULT = "Task", "Formulation", "Program", "Result"
INSIGHTS, GOLD, ISSUES, LABELS, CANDIDATES = "Insights", "Correct program", "Issues", "Labels", "Candidates"

FORMULATE = """You turn an optimization problem in words into a mathematical model.
Give sets, parameters with their values, decision variables (each integer, binary or continuous, with bounds), the
objective, and every constraint, in LaTeX. Keep to the task's data. Insights are lessons from other tasks: use one only
if its condition holds here."""

REWRITE = """You fit general lessons to one task. For each insight write one short paragraph that says what it means for
this task, with the task's own words and data. Leave an insight out if its condition does not hold. Do not solve the
task."""

_CODE = """You write one Python program that solves a formulation with {solver}.
{advice}
If the solution is optimal ({test}), and only then, print ten dashes on a line of their own, then one line `name: value`
for each number in the list Result, then one line `RESULT_JSON: ` followed by these numbers as a JSON object; otherwise
print that no optimal solution was found.
Answer with the program in one ```python block. Insights are lessons from other tasks: use one only if its condition
holds here."""

CODE_SCIP = _CODE.format(
    solver="PySCIPOpt",
    advice="""Begin with `from pyscipopt import Model, quicksum`. Use m.hideOutput(). If the objective is not linear,
    minimize or
maximize a variable with lb=None that a constraint ties to it.""",
    test='`m.getStatus() == "optimal"` after `m.optimize()`',
)

CODE_HIGHS = _CODE.format(
    solver="scipy.optimize.milp, which uses HiGHS",
    advice="Only linear models can be solved: replace products and ratios by linear constraints.",
    test="`result.status == 0`",
)

DEBUG = """You repair a Python program that ended with an error. Change only what the error needs; the model must stay
the same. Answer with the whole program in one ```python block."""

MATCH = """You file an optimization task under labels. From the list choose every label that may matter for modelling
this task; when in doubt, choose it. Use stage and labels exactly as written."""

CHECK = """You decide which insights apply to a task. Judge only by each condition and by what the task says: a
candidate applies if its condition holds for this task, and does not if the condition excludes it. Return the ids that
apply, each with a reason of a few words."""

DIAGNOSE_ISSUES = """A formulation of an optimization task led to a wrong result. Compare it with the task and with the
correct program, if one is given, and name the independent root causes: one entry for each, with evidence from the text.
Do not list consequences of another entry."""

DIAGNOSE_STATES = """A formulation of an optimization task led to a wrong result; its issues are listed. For each
insight that was given say what it did:
positive: it holds for this task, was followed, and helped; invalid: it holds for this task but was not followed;
negative: it does not hold for this task, was followed, and misled; irrelevant: it had nothing to do with the result."""

VALIDATE = """Issues were found in an earlier formulation of an optimization task. Say for each whether the present
formulation solves it."""

DIAGNOSE_PROGRAM = """A program for an optimization task ended with an error. Repair it without changing the model. Put
a line `#=== ` with a short reason before each place that you change, and a line `#===` after it. Answer with the whole
program in one ```python block."""

_INSIGHT_RULES = """An insight has four parts.
Labels: one stage, one level 1, one or more level 2, from the list. If no label fits, a further level 2 may be proposed
with a definition and a condition of a sentence each; for labels of the list give null.
Condition: "This insight applies when <general situation>. For example, when the problem statement mentions <trigger>."
It says when, and gives no advice.
Explanation: "When the problem involves <situation>, the best practice is <what>. A common mistake is <what>, which
happens because <why>. More generally, <principle>."
Example: a few lines under "# Wrong" and under "# Correct".
Insights are for other tasks: never state this task's result, and no number that is only true here."""

EXTRACT_FORMULATION = f"""An attempt to formulate an optimization task failed. From the task, the failed formulation and
the correct program find what has to be understood to get it right, and write it down as insights on formulation.
{_INSIGHT_RULES}"""

EXTRACT_PROGRAM = f"""A program for an optimization task failed and was repaired; the repairs stand between lines of
#===. Write what they teach as insights on code.
{_INSIGHT_RULES}"""

MERGE = f"""Some insights say the same in other words. Propose groups that one insight can stand for, and write that
insight: its condition covers the situations of all, its explanation keeps what each teaches. Insights of different
stages or different level 1 are not grouped, nor are such that teach different things. No group is a good answer too.
{_INSIGHT_RULES}"""

ONLINE_MERGE = f"""An insight is to enter a library. If some of the library's insights teach the same, write one insight
that stands for it and for these, and name their ids. Otherwise return no ids.
{_INSIGHT_RULES}"""

EXPLORE = """You look for a correct program for an optimization task whose earlier program was wrong. Think about what
was misread, then write another program. The program has to find the result by solving a model; it must not contain the
result. {code}"""

EVOLVE_NEGATIVE = """An insight was retrieved for a task on which it misled. Say in two sentences at most what in the
task shows that the insight does not apply, in general words. If it does apply, say so."""

EVOLVE_UNRETRIEVED = """An insight would have helped on a task but its condition did not seem to hold. Say in two
sentences at most what in the task shows that it applies, in general words."""

REFINE = """You sharpen the condition of an insight. Given are its condition, texts on tasks where it wrongly seemed to
apply and texts on tasks where it wrongly seemed not to. Write {variants} different conditions, each by another
strategy: one broad rule; a short list joined by "or"; two features that must both be there; what is stated in the
task against what is missing; keywords; a narrower scope. For each give `applies` ("This insight applies when …") and
`not_applies` ("This insight does NOT apply when …", or an empty text). Give no advice and do not name single tasks."""


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
NEW_LABEL = _object(level2=TEXT, definition=TEXT, condition=TEXT)


def _stage(stages: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(stages)}


def insight_schema(stages: tuple[str, ...]) -> dict[str, Any]:
    """An insight as it is written down by an extractor of these stages."""
    return _object(
        stage=_stage(stages),
        level1=TEXT,
        level2=_array(TEXT, minItems=1),
        new_labels=_array(NEW_LABEL),
        condition=TEXT,
        explanation=TEXT,
        example=TEXT,
    )


def match_schema(stages: tuple[str, ...] = STAGES) -> dict[str, Any]:
    """Labels that may matter."""
    return _object(labels=_array(_object(stage=_stage(stages), level1=TEXT, level2=_array(TEXT))))


CHECK_SCHEMA = _object(applies=_array(_object(id=TEXT, reason=TEXT)))
ISSUES_SCHEMA = _object(issues=_array(_object(id={"type": "integer"}, issue=TEXT, evidence=TEXT), maxItems=8))
STATES_SCHEMA = _object(
    states=_array(
        _object(
            id=TEXT, state={"type": "string", "enum": ["positive", "invalid", "negative", "irrelevant"]}, reason=TEXT
        )
    )
)
VALIDATE_SCHEMA = _object(issues=_array(_object(id={"type": "integer"}, solved=FLAG, reason=TEXT)))
INSIGHTS_SCHEMA = {
    "formulation": _object(insights=_array(insight_schema(FORMULATION_STAGES))),
    "program": _object(insights=_array(insight_schema(PROGRAM_STAGES))),
}
_MERGED = {"ids": _array(TEXT), "condition": TEXT, "explanation": TEXT, "example": TEXT}
MERGE_SCHEMA = _object(groups=_array(_object(**_MERGED)))
ONLINE_SCHEMA = _object(merged_ids=_array(TEXT), condition=TEXT, explanation=TEXT, example=TEXT)
APPLICABILITY_SCHEMA = _object(applies=FLAG, text=TEXT)


def refine_schema(variants: int) -> dict[str, Any]:
    """Several conditions."""
    return _object(
        conditions=_array(_object(strategy=TEXT, applies=TEXT, not_applies=TEXT), minItems=1, maxItems=variants)
    )
