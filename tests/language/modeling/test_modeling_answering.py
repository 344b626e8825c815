"""Answers: verified only when every check holds and attempts agree; honest about all else."""

import json

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, ChatError, Scripted
from optimand.language.llm.waiting import tell
from optimand.language.modeling.answers.answering import answer, is_weak
from optimand.language.modeling.benchmarks.reference import bakery, workshop

GOOD = json.dumps(bakery().formulation.to_dict())
TEXT = bakery().question


def told(events):
    return lambda kind, facts: events.append((kind, dict(facts)))


def test_two_agreeing_attempts_are_verified(solver_sandbox):
    events = []
    found = answer(TEXT, chat=Scripted([GOOD, GOOD]), sandbox=solver_sandbox, on_event=told(events))
    assert found.verified, found.checks
    assert found.values == {"c": 0, "v": 100}
    assert found.objective == 400
    assert found.attempts == 2  # the third is not needed
    assert found.usage.calls == 2
    assert found.isolation
    assert "pyscipopt" in found.program
    assert [kind for kind, _ in events] == ["attempt", "solved", "checked"] * 2
    assert all(check.ok for check in found.checks if check.hard)
    assert {"program", "constraints", "second solver", "numbers used", "numbers known", "limits", "owners", "rows",
            "goal", "variables used", "names known", "agreement", "data", "not trivial",
            "whole numbers"} == {check.name for check in found.checks}  # fmt: skip
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["kind"] == "linear"
    assert plain["reason"] == "checked: every check holds (necessary, not sufficient: read the formulation)"


def test_a_ratio_is_verified_too(solver_sandbox):
    good = json.dumps(workshop().formulation.to_dict())
    found = answer(workshop().question, chat=Scripted([good, good]), sandbox=solver_sandbox)
    assert found.verified, [c for c in found.checks if not c.ok]
    assert found.objective == pytest.approx(537 / 198)


def test_a_misreading_is_not_verified_however_often_it_is_repeated(solver_sandbox):
    turned = json.loads(GOOD)
    turned["constraints"][0]["expression"] = "2*c + v <= 1000"
    found = answer(TEXT, chat=Scripted([json.dumps(turned)], repeat=True), sandbox=solver_sandbox, attempts=2)
    assert not found.verified
    assert found.reason.startswith("no verified solution was found")
    assert "numbers known" in found.reason
    assert found.values  # the best attempt is shown all the same
    assert found.attempts == 2


def test_one_attempt_has_none_to_agree_with(solver_sandbox):
    found = answer(TEXT, chat=Scripted([GOOD]), sandbox=solver_sandbox, attempts=1)
    assert not found.verified
    assert found.reason.endswith("agreement")
    assert found.checks[-1].ok is None


def test_the_third_attempt_is_a_free_program_that_can_confirm(solver_sandbox):
    wrong = json.loads(GOOD)
    wrong["objective"] = "5*c + 4*v + 4"
    program = bakery().formulation.program()
    found = answer(TEXT, chat=Scripted([json.dumps(wrong), GOOD, f"```python\n{program}```"]), sandbox=solver_sandbox)
    assert found.attempts == 3
    assert found.verified, [c for c in found.checks if not c.ok]
    assert found.objective == 400


def test_attempts_that_differ_are_not_verified(solver_sandbox):
    other = json.loads(GOOD)
    other["constraints"][0]["expression"] = "2*c + 1*v <= 100 - 1"
    replies = [GOOD, json.dumps(other), "```python\nprint(1 / 0)\n```", "```python\nprint(1 / 0)\n```"]
    found = answer(TEXT, chat=Scripted(replies), sandbox=solver_sandbox)
    assert not found.verified
    assert found.objective == 400
    assert "agreement" in found.reason


def test_a_model_that_gives_nothing_usable(solver_sandbox):
    found = answer(TEXT, chat=Scripted(["I cannot."], repeat=True), sandbox=solver_sandbox, attempts=2)
    assert not found.verified
    assert found.formulation is None
    assert found.values == {}
    assert found.objective is None
    assert found.reason.startswith("no verified solution was found")
    assert json.dumps(found.to_dict())


def test_a_text_without_data_is_never_verified(solver_sandbox):
    empty = {"variables": [{"name": "well", "meaning": "well", "kind": "real", "low": 0, "high": None}],
             "sense": "maximize", "objective": "well",
             "constraints": [{"expression": "well <= 0", "meaning": ""}]}  # fmt: skip
    text = "Plan my factory well so that profit is good."
    found = answer(text, chat=Scripted([json.dumps(empty)], repeat=True), sandbox=solver_sandbox, attempts=2)
    checks = {check.name: check for check in found.checks}
    assert not found.verified
    assert checks["data"].ok is False
    assert checks["data"].detail == "the text has no numbers: nothing to check against"
    assert checks["not trivial"].ok is False
    assert checks["numbers used"].ok is None
    assert checks["numbers known"].ok is None
    assert "data" in found.reason


def test_the_name_of_a_file_is_no_problem(tmp_path, solver_sandbox):
    path = tmp_path / "problem.txt"
    path.write_text(TEXT)
    with pytest.raises(OptimandError, match="optimand solve - < ") as caught:
        answer(str(path), chat=Scripted([]), sandbox=solver_sandbox)
    assert str(path) in str(caught.value)
    found = answer("bakery", chat=Scripted(["?"], repeat=True), sandbox=solver_sandbox, attempts=1)
    assert not found.verified
    assert (found.isolation, found.to_dict()["ran"]) == ("", False)


def test_waits_of_the_backend_are_told(solver_sandbox):
    def reply(messages, **options):
        tell("no answer in 120 s, try 2 of 3")
        return GOOD

    events = []
    answer(TEXT, chat=Scripted(reply), sandbox=solver_sandbox, attempts=1, on_event=told(events))
    assert events[1] == ("waiting", {"text": "no answer in 120 s, try 2 of 3"})


def test_a_reply_without_a_program_ran_nothing(solver_sandbox):
    found = answer(TEXT, chat=Scripted(["I cannot."], repeat=True), sandbox=solver_sandbox, attempts=3)
    assert found.isolation == ""
    assert found.to_dict()["ran"] is False


def test_an_infeasible_or_unbounded_reading_is_said(solver_sandbox):
    unbounded = json.loads(GOOD)
    unbounded["constraints"] = []
    found = answer(TEXT, chat=Scripted([json.dumps(unbounded)], repeat=True), sandbox=solver_sandbox, attempts=1)
    assert not found.verified
    assert found.status == "not_optimal"
    assert "unbounded" in found.checks[0].detail


def test_a_spent_budget_ends_with_what_there_is(solver_sandbox):
    calls = []

    def reply(messages, **options):
        calls.append(1)
        if len(calls) == 2:
            raise BudgetExceeded("the limit max_calls=1 is reached")
        return GOOD

    found = answer(TEXT, chat=Scripted(reply), sandbox=solver_sandbox)
    assert not found.verified
    assert "the limit max_calls=1 is reached" in found.reason
    assert found.objective == 400
    with pytest.raises(ChatError):
        answer(TEXT, chat=Scripted([]), sandbox=solver_sandbox)


def test_no_attempt_begins_that_would_end_too_late(solver_sandbox):
    found = answer(TEXT, chat=Scripted([GOOD], repeat=True), sandbox=solver_sandbox, seconds=1e-6)
    assert found.attempts == 1
    assert "fit in" in found.reason


def test_the_embedded_model_gets_slots_to_fill(solver_sandbox):
    named = json.dumps({"sense": "maximize", "amounts_of": ["chestnut", "vanilla"], "whole": True})
    filled = json.dumps({"objective": {"chestnut": 5, "vanilla": 4},
                         "limits": [{"chestnut": 2, "vanilla": 1, "relation": "<=", "limit": 100}]})  # fmt: skip
    chat = Scripted([named, filled, named, filled], name="small (embedded)")
    assert is_weak(chat)
    assert not is_weak(Scripted([]))
    found = answer(TEXT, chat=chat, sandbox=solver_sandbox)
    assert found.verified, [c for c in found.checks if not c.ok]
    assert found.values == {"chestnut": 0, "vanilla": 100}


@pytest.mark.parametrize(("text", "error", "what"), [
    ("", OptimandError, "no text"), (" \n", OptimandError, "no text"),
    ("x" * 30_000, OptimandError, "20000 characters"), (3, TypeError, "must be a string"),
])  # fmt: skip
def test_what_is_no_problem_is_an_error(text, error, what, solver_sandbox):
    with pytest.raises(error, match=what):
        answer(text, chat=Scripted([]), sandbox=solver_sandbox)


def test_bad_options(solver_sandbox):
    for change in ({"attempts": 0}, {"seed": -1}, {"seconds": 0}):
        with pytest.raises(ValueError, match=next(iter(change))):
            answer(TEXT, chat=Scripted([]), sandbox=solver_sandbox, **change)


REAL, CHOICE = "real", "binary"
CLASSICS = {
    "diet": (
        "A diet mixes oats and milk. A kilogram of oats holds 110 g of protein and costs $2; a liter of milk holds 33 "
        "g of protein and costs $1.2. Oats give 10 units of calcium, milk 300. A day needs at least 100 g of protein "
        "and at least 600 units of calcium. Find the cheapest diet.",
        {"oats": ("kilograms of oats", REAL), "milk": ("liters of milk", REAL)}, "minimize", "2*oats + 1.2*milk",
        ["110*oats + 33*milk >= 100", "10*oats + 300*milk >= 600"],
        2 * (100 - 33 * 6500 / 3267) / 110 + 1.2 * 6500 / 3267,
    ),
    "knapsack": (
        "A hiker picks among a tent, a stove and a rope. Values are 60 for the tent, 100 for the stove and 120 for the "
        "rope; weights are 10 kg for the tent, 20 kg for the stove and 30 kg for the rope. The bag can carry 50 kg. "
        "Maximize the value.",
        {name: (f"whether to take the {name}", CHOICE) for name in ("tent", "stove", "rope")}, "maximize",
        "60*tent + 100*stove + 120*rope", ["10*tent + 20*stove + 30*rope <= 50"], 220,
    ),
    "transport": (
        "Ship sand from York and Hull to Leeds and Derby. From York a tonne costs $4 to Leeds and $7 to Derby; from "
        "Hull a tonne costs $5 to Leeds and $3 to Derby. York can send 40 tonnes and Hull can send 60 tonnes. Leeds "
        "needs 50 tonnes and Derby needs 30 tonnes. Minimize the cost.",
        {a[0].lower() + b[0].lower(): (f"tonnes from {a} to {b}", REAL)
         for a in ("York", "Hull") for b in ("Leeds", "Derby")}, "minimize", "4*yl + 7*yd + 5*hl + 3*hd",
        ["yl + yd <= 40", "hl + hd <= 60", "yl + hl >= 50", "yd + hd >= 30"], 300,
    ),
    "assignment": (
        "Ann and Bob do the wash and the cook jobs, one each. Ann needs 3 hours for the wash and 9 for the cook job; "
        "Bob needs 4 hours for the wash and 6 for the cook job. Minimize the total hours.",
        {a[0].lower() + b[0]: (f"whether {a} does the {b}", CHOICE) for a in ("Ann", "Bob") for b in ("wash", "cook")},
        "minimize", "3*aw + 9*ac + 4*bw + 6*bc", ["aw + ac == 1", "bw + bc == 1", "aw + bw == 1", "ac + bc == 1"], 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSICS)
def test_right_readings_of_classic_problems_are_checked_and_solved(name, solver_sandbox):
    text, variables, sense, objective, constraints, best = CLASSICS[name]
    listed = [{"name": key, "meaning": meaning, "kind": kind, "low": 0, "high": None}
              for key, (meaning, kind) in variables.items()]  # fmt: skip
    reply = {"variables": listed, "sense": sense, "objective": objective,
             "constraints": [{"expression": c, "meaning": ""} for c in constraints]}  # fmt: skip
    found = answer(text, chat=Scripted([json.dumps(reply)], repeat=True), sandbox=solver_sandbox)
    assert found.verified, [c for c in found.checks if not c.ok]
    assert found.objective == pytest.approx(best)
