"""Modelers with scripted models: prompts, rounds of repair, formulations by schema, slots, the nearest example."""

import json

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import ChatError, Scripted, schema_of
from optimand.language.llm.schemas import faults_of
from optimand.language.modeling import Formulation
from optimand.language.modeling.benchmarks.reference import bakery, workshop
from optimand.language.modeling.execution import Attempt, ModelingProblem
from optimand.language.modeling.modelers.guided import Guided, assemble, candidates, filling_schema, naming_schema
from optimand.language.modeling.modelers.modelers import FewShot, Structured, Written, ZeroShot, make_solver
from optimand.language.modeling.modelers.nearest import Example, NearestExample, adapt
from optimand.language.modeling.modelers.prompts import bounded_schema, examples, few_shot, zero_shot

GOOD = f"```python\n{bakery().formulation.program()}```"
BAD = "```python\nprint(1 / 0)\n```"


def test_the_worked_examples_are_right_and_their_own(solver_sandbox):
    for _, formulation in examples():
        assert formulation.solve().status == "optimal"
    assert examples()[1][1].kind == "nonlinear"
    messages = few_shot("How many?")
    assert [m["role"] for m in messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert "How many?" in messages[-1]["content"]
    assert len(zero_shot("How many?")) == 2
    # The program's form, shown in every prompt, is itself a program that runs.
    form = zero_shot("?")[-1]["content"].split("```python\n")[1].split("```")[0]
    attempt = ZeroShot(Scripted([form]), sandbox=solver_sandbox).solve("?")
    assert attempt.values == {"Number of x made": pytest.approx(5), "Total profit": pytest.approx(15)}


def test_zero_shot_runs_what_the_model_writes(solver_sandbox):
    chat = Scripted([GOOD])
    attempt = ZeroShot(chat, sandbox=solver_sandbox, seed=7).solve(bakery(), sample=2)
    assert attempt.status == "optimal"
    assert attempt.values["objective"] == 400
    assert attempt.usage.calls == 1
    _, options = chat.calls[0]
    assert options["temperature"] == 0
    assert options["max_tokens"] == 2048
    assert options["seed"] == 9
    assert options["role"] == "modeling.program"


def test_rounds_of_repair_tell_the_error_and_stop_when_it_runs(solver_sandbox):
    chat = Scripted([BAD, BAD, GOOD, GOOD])
    attempt = FewShot(chat, sandbox=solver_sandbox, debug_rounds=3).solve(bakery())
    assert attempt.status == "optimal"
    assert attempt.rounds == 3
    assert attempt.usage.calls == 3
    assert "ZeroDivisionError" in chat.calls[1][0][-1]["content"]
    assert [options["role"] for _, options in chat.calls] == ["modeling.program", "modeling.debug", "modeling.debug"]
    never = FewShot(Scripted([BAD], repeat=True), sandbox=solver_sandbox, debug_rounds=2).solve(bakery())
    assert never.status == "run_error"
    assert never.rounds == 3


def test_no_repair_without_rounds_or_for_an_infeasible_model(solver_sandbox):
    assert ZeroShot(Scripted([BAD]), sandbox=solver_sandbox).solve(bakery()).rounds == 1
    infeasible = "```python\nprint('-' * 10)\nprint('No optimal solution was found.')\n```"
    attempt = ZeroShot(Scripted([infeasible, GOOD]), sandbox=solver_sandbox, debug_rounds=1).solve(bakery())
    assert attempt.status == "not_optimal"


def test_a_prompt_of_ones_own(solver_sandbox):
    chat = Scripted([GOOD, GOOD])

    def mine(problem):
        return f"Please: {problem.question}"

    solver = make_solver(chat, mine, sandbox=solver_sandbox)
    assert solver.name == "mine"
    assert solver.solve(bakery()).status == "optimal"
    assert chat.calls[0][0][0]["content"].startswith("Please: A bakery")
    solver = make_solver(chat, lambda p: [{"role": "user", "content": "x"}], sandbox=solver_sandbox)
    assert solver.solve(bakery()).status == "optimal"
    with pytest.raises(ValueError, match="prompt"):
        make_solver(chat, "zero shot")
    with pytest.raises(TypeError, match="chat must be"):
        ZeroShot("model")
    with pytest.raises(ValueError, match="temperature"):
        ZeroShot(chat, temperature=-1)
    with pytest.raises(OptimandError, match="no text"):
        ZeroShot(chat, sandbox=solver_sandbox).solve("  ")


def test_structured_fills_a_formulation_and_corrects_itself(solver_sandbox):
    good = workshop().formulation.to_dict()
    unknown = {**good, "objective": "5*hook"}
    chat = Scripted([json.dumps(unknown), json.dumps(good)])
    attempt = Structured(chat, sandbox=solver_sandbox).solve(workshop())
    assert attempt.status == "optimal"
    assert attempt.formulation == workshop().formulation
    assert attempt.values["objective"] == pytest.approx(537 / 198)
    assert attempt.usage.calls == 2
    assert "no variable" in chat.calls[1][0][-1]["content"]
    assert schema_of(chat.calls[0][1]["response_format"]) == Formulation.SCHEMA
    unbounded = {**good, "objective": "hooks", "constraints": []}
    chat = Scripted([json.dumps(unbounded), json.dumps(good)])
    attempt = Structured(chat, sandbox=solver_sandbox, debug_rounds=1).solve(workshop())
    assert attempt.status == "optimal"
    assert "unbounded" in chat.calls[1][0][-1]["content"]
    attempt = Structured(Scripted(["no"], repeat=True), sandbox=solver_sandbox).solve(workshop())
    assert attempt.status == "parse_error"
    assert attempt.usage.calls == 2


def test_the_bounded_schema_takes_less():
    small = bounded_schema(variables=1)
    assert faults_of(bakery().formulation.to_dict(), Formulation.SCHEMA)[1] == []
    assert faults_of(bakery().formulation.to_dict(), small)[1]
    assert Formulation.SCHEMA["properties"]["variables"].get("maxItems") is None


def test_guided_replies_are_formulations_by_construction(solver_sandbox):
    text = bakery().question
    named = {"sense": "maximize", "amounts_of": ["chestnut", "vanilla", "vanilla"], "whole": True}
    filled = {
        "objective": {"chestnut": 5, "vanilla": 4},
        "limits": [{"chestnut": 2, "vanilla": 1, "relation": "<=", "limit": 100},
                   {"chestnut": 0, "vanilla": 0, "relation": "<=", "limit": 2}],
    }  # fmt: skip
    assert faults_of(named, naming_schema(text))[1] == []
    assert faults_of({**named, "amounts_of": ["unicorn"]}, naming_schema(text))[1]
    schema = filling_schema(["chestnut", "vanilla"], [2, 5, 4, 100], 3)
    assert faults_of(filled, schema)[1] == []
    assert faults_of({**filled, "objective": {"chestnut": 7, "vanilla": 4}}, schema)[1]
    chat = Scripted([json.dumps(named), json.dumps(filled)])
    attempt = Guided(chat, sandbox=solver_sandbox).solve(text)
    assert attempt.values["objective"] == 400
    assert attempt.usage.calls == 2
    assert [options["role"] for _, options in chat.calls] == ["modeling.name", "modeling.fill"]
    assert assemble(named, filled).constraints[0].expression == "2*chestnut + vanilla <= 100"
    assert "eggs" in candidates(text)
    assert Guided(Scripted(["?"]), sandbox=solver_sandbox).solve(text).status == "parse_error"
    with pytest.raises(ChatError):
        Guided(Scripted([]), sandbox=solver_sandbox).solve(text)


def test_the_nearest_example_exchanges_numbers_and_words(solver_sandbox):
    text = (
        "A bakery makes almond tarts and cherry tarts. An almond tart takes 3 eggs and earns $7; a cherry tart takes "
        "one egg and earns $2. At most 60 eggs can be used. How many of each should it bake to earn the most?"
    )
    known = Example(bakery().question, bakery().formulation)
    made = adapt(known, text)
    assert made.objective == "7 * c + 2 * v"
    assert made.constraints[0].expression == "3 * c + v <= 60"
    assert made.variables[0].meaning == "number of almond tarts"
    solver = NearestExample(solver_sandbox, [known])
    attempt = solver.solve(ModelingProblem("t", text, "linear-notable", {"x": 1.0}))
    assert attempt.values["objective"] == 140
    assert adapt(known, known.text).solve().objective == 400
    with pytest.raises(OptimandError, match="no text"):
        solver.formulate(" ")
    fresh = NearestExample(solver_sandbox)
    fresh.learn([bakery(), ModelingProblem("u", "?", "linear-table", {})])
    assert fresh.formulate(text).objective == "7 * c + 2 * v"


def test_a_function_that_writes_programs(solver_sandbox):
    attempt = Written(lambda text: GOOD, solver_sandbox, "mine").solve(bakery())
    assert isinstance(attempt, Attempt)
    assert attempt.values["objective"] == 400
    with pytest.raises(OptimandError, match="text of a program"):
        Written(lambda text: 3, solver_sandbox).solve(bakery())
