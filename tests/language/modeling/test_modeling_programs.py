"""Programs written from formulations, run in the sandbox, and what is read from their output."""

import random

import pytest

from optimand.core.validation import OptimandError
from optimand.language.modeling import Formulation, Variable
from optimand.language.modeling.benchmarks.reference import bakery, loss, workshop
from optimand.language.modeling.execution import (
    Attempt,
    ModelingProblem,
    extract_code,
    open_sandbox,
    read_numbers,
    read_values,
    run_program,
    split_output,
)
from optimand.language.modeling.formulations.programs import python_names


@pytest.mark.parametrize(("make", "objective"), [(bakery, 400), (workshop, 537 / 198), (loss, -2)])
def test_programs_of_our_problems_reach_their_optima(make, objective, solver_sandbox):
    problem = make()
    ran = run_program(problem.formulation.program(), solver_sandbox)
    assert ran.status == "optimal", ran.error
    assert ran.values["objective"] == pytest.approx(objective, abs=1e-7)
    point = {v.name: ran.values[v.name] for v in problem.formulation.variables}
    assert problem.formulation.check(point).feasible
    assert ran.log == ""
    assert ran.isolation


def test_scip_and_the_second_solvers_agree_on_random_problems(solver_sandbox):
    rng = random.Random(1)
    for number in range(8):
        a, b, c, d = (rng.randint(1, 9) for _ in range(4))
        objective = [
            f"{a}*x + {b}*y",
            f"({a}*x + {b}*y) / (x + {c}*y + 1)",
            f"{a}*x*y - x**2",
            f"max({a}*x, {b}*y) - abs(x - y)",
        ]
        f = Formulation(
            (Variable("x", kind="integer", high=12), Variable("y", kind="integer", high=12)),
            "maximize",
            objective[number % 4],
            (f"{c}*x + {d}*y <= {20 + number}", "x / (x + y + 1) <= 0.8"),
        )
        ran, other = run_program(f.program(), solver_sandbox), f.solve()
        assert ran.values["objective"] == pytest.approx(other.objective, abs=1e-5), f.program()


def test_names_that_the_program_uses_are_not_hidden(solver_sandbox):
    f = Formulation(
        (Variable("model", high=3), Variable("objective", high=2), Variable("lambda", high=1), Variable("print")),
        "maximize", "model + objective + lambda - print", ("print >= 0.5",),
    )  # fmt: skip
    assert len(set(python_names(f).values())) == 4
    ran = run_program(f.program(), solver_sandbox)
    assert ran.values["objective"] == pytest.approx(2)  # the variable
    assert ran.values["objective_value"] == pytest.approx(5.5)


def test_constant_relations_and_functions(solver_sandbox):
    x = Variable("x", high=4)
    fine = Formulation(
        (x,), "maximize", "x + log(x + 1) + 2**x", ("1 <= 2", "x - x <= 4", "sqrt(x) <= 2", "exp(0) <= 1")
    )
    assert run_program(fine.program(), solver_sandbox).values["x"] == pytest.approx(4, abs=1e-5)
    for row in ("3 <= 2", "x - x >= 1", "min(2, 3) >= 3"):
        ran = run_program(Formulation((x,), "maximize", "x", (row,)).program(), solver_sandbox)
        assert ran.status == "not_optimal"
        assert "infeasible" in ran.error
    constant = Formulation((x,), "maximize", "7", ("x >= 1",))
    assert run_program(constant.program(), solver_sandbox).values["objective"] == pytest.approx(7)


@pytest.mark.parametrize(
    ("code", "status", "what"),
    [
        ("", "parse_error", "no program"),
        ("print('x", "parse_error", ""),
        ("import os\nprint(os.getcwd())", "forbidden", ""),
        ("print(1 / 0)", "run_error", "ZeroDivisionError"),
        ("print('-' * 10)\nprint('No optimal solution was found.')", "not_optimal", ""),
        ("print('-' * 10)\nprint('The problem could not be solved to optimality.')", "not_optimal", ""),
        ('print(\'-\' * 10)\nprint(\'RESULT_JSON: {"x": 1, "status": "infeasible"}\')', "not_optimal", ""),
        ("print('-' * 10)\nprint('hello')", "no_values", "no result"),
        ("x = 1\n" * 20_000, "forbidden", "64000 bytes"),
        ("print('-' * 10)\nprint('x: 3')", "optimal", ""),
    ],
)
def test_statuses(code, status, what, solver_sandbox):
    ran = run_program(code, solver_sandbox)
    assert ran.status == status, ran
    assert what in ran.error


def test_a_program_over_its_time_is_a_timeout():
    with open_sandbox(cpu_s=0.5, wall_s=1.0) as sandbox:
        assert run_program("while True: pass", sandbox).status == "timeout"


def test_output_is_split_at_the_last_mark():
    assert split_output("a\n----------\nb\n-----------\nx: 1\n") == ("a\n----------\nb\n", "x: 1\n")
    assert split_output("x: 1") == ("", "x: 1")
    assert split_output("| ---------- | ---------- |\nx: 1")[0] == ""


def test_values_are_read_from_lines_and_from_json():
    found, said = read_values("Number of cakes: 1,250\nTotal profit = $-3.5e1\nShare (%): 12.5 %\nx 3\nnothing here\n")
    assert found == {"Number of cakes": 1250, "Total profit": -35, "Share (%)": 12.5, "x": 3}
    assert said is None
    assert read_values("cakes: 1\ncakes: 2\n")[0] == {"cakes": 2}
    assert read_values("City 2: 0.0")[0] == {"City 2": 0}
    text = 'a: 9\nRESULT_JSON: {"x": "1,000", "y": [2, 3], "z": true, "s": "maybe 3 or so", "n": null, "q": NaN}'
    assert read_values(text) == ({"x": 1000, "y 1": 2, "y 2": 3, "z": 1}, True)
    assert read_values("RESULT_JSON: {broken\nx: 2")[0] == {"x": 2}


def test_quotients_that_differ_in_a_constant_are_not_taken_for_symmetric(solver_sandbox):
    x, y = Variable("x", kind="integer", low=1, high=23), Variable("y", kind="integer", low=1, high=30)
    costs = "26320/x + 139200/y + 2x + 2y"
    formulation = Formulation((x, y), "minimize", costs, ("x + y <= 24",))
    best = min(26320 / i + 139200 / j + 2 * i + 2 * j for i in range(1, 24) for j in range(1, 25 - i))
    program = formulation.program()
    assert run_program(program, solver_sandbox).values["objective"] == pytest.approx(best, rel=1e-6)
    divided = program.replace(
        next(line for line in program.splitlines() if "addCons(objective" in line),
        "model.addCons(objective == 26320/x + 139200/y + 2*x + 2*y)",
    )
    assert divided != program
    assert run_program(divided, solver_sandbox).values["objective"] == pytest.approx(best, rel=1e-6)
    guarded = 'model.setParam("misc/usesymmetry", 0)'
    assert guarded in program
    linear = Formulation((x, y), "minimize", "x + y", ("x + y >= 4",)).program()
    assert guarded not in linear


def test_numbers_and_no_others():
    assert [value for value, _ in read_numbers("-3, 4.5 1,000,000.5 .5 2e-3 x12 v1.2")] == [
        -3,
        4.5,
        1_000_000.5,
        0.5,
        2e-3,
    ]
    assert read_numbers("1,2,3")[0][0] == 1


def test_the_first_python_block_is_the_program():
    assert extract_code("```\nno\n```\n```py\nyes\n```") == "yes\n"
    assert extract_code("```\nfirst\n```") == "first\n"
    assert extract_code("plain") == "plain"
    assert extract_code("```python\ncut off") == "cut off"


def test_bad_problems_and_attempts_are_refused():
    for change, what in (
        ({"question": " "}, "no question"), ({"type": "cubic"}, "type must be one of"),
        ({"answers": {"q": "x"}}, "'q'"),
        ({"answers": {"q": float("nan")}}, "must be a number"), ({"answers": {"q": True}}, "must be a number"),
    ):  # fmt: skip
        with pytest.raises(OptimandError, match=what):
            ModelingProblem(**{"id": "p", "question": "?", "type": "linear-table", "answers": {"q": 1.0}, **change})
    with pytest.raises(ValueError, match="status"):
        Attempt("", "", {}, "fine")
