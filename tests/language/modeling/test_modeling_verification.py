"""Numbers in texts, and checks of formulations against texts: true ones pass, false ones are found out."""

import random
from dataclasses import replace

import pytest

from optimand.language.modeling import Constraint, Formulation, Variable
from optimand.language.modeling.answers.checks import coefficients
from optimand.language.modeling.answers.substance import check_effect, check_whole
from optimand.language.modeling.answers.verification import check_solution, check_wording
from optimand.language.modeling.answers.wording import conversions, goal, mentions
from optimand.language.modeling.benchmarks.reference import bakery, workshop
from optimand.language.modeling.execution import TYPES, Attempt
from optimand.language.modeling.resocratic.templates import TemplateGenerator


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,000 kg and 2.5 l", [1000, 2.5]), ("twenty-five men and one hundred and five women", [25, 105]),
        ("three dozen eggs", [36]), ("two thirds of it", [2 / 3]), ("half of it", [0.5]),
        ("30% or 5 percent", [0.3, 0.05]),
        ("$1.5 million and 20k", [1.5e6, 20_000]), ("3/4 of them, twice as many", [0.75, 2]),
        ("Table 6 has 12 rows", [6, 12]), ("version v2 of x1", []), ("a cost (thousand)", []),
        ("in 1.5 hours. 3 men", [1.5, 3]),
    ],
)  # fmt: skip
def test_numbers_in_digits_and_words(text, values):
    assert [m.value for m in mentions(text)] == pytest.approx(values)


def test_labels_and_small_counts_are_no_data():
    assert [m.data for m in mentions("Cities 1-3, Table 6, Process 2 need 7 units of two kinds")] == [False] * 4 + [
        True,
        False,
    ]
    assert [m.data for m in mentions("1. Bake 12 loaves.\n2. Sell 3.")] == [False, True, False, True]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("at most 100 kg", "upper"), ("no more than $100", "upper"), ("cannot exceed 100", "upper"),
        ("No month can bring out more than 100 pieces", "upper"),
        ("at least 100", "lower"), ("no fewer than 100", "lower"),
        ("more than 100", "lower"), ("100 eggs are available", "upper"), ("earns 100 dollars", ""),
        ("There are 100 hours", "upper"), ("Nobody may use less than 100", "lower"),
        ("a budget of $100", "upper"),
        ("at most 3. Each takes 100", ""),
    ],
)  # fmt: skip
def test_limits_in_words(text, limit):
    assert mentions(text)[-1].limit == limit


def test_goals_and_conversions():
    assert goal("Maximize profit at minimum cost") == ""
    assert goal("to maximize the profit") == "maximize"
    assert goal("at least 6 pieces; the profit as large as possible") == "maximize"
    assert goal("Keep the total cost least.") == goal("The pay should sum to the least.") == "minimize"
    assert (
        goal("The total reach should be largest.") == goal("Choose so that the values sum to the most.") == "maximize"
    )
    assert goal("at most 6 pieces, and at least 3 a day of the largest machine") == ""
    assert goal("find the cheapest mix") == "minimize"
    assert conversions("20 minutes of 8 hours") >= {60.0}
    assert 2.0 in conversions("a rectangular fence")
    assert not conversions("nothing here")


def failed(formulation, text):
    return [check.name for check in check_wording(formulation, text) if check.hard and check.ok is not True]


def test_our_problems_pass_and_each_kind_of_misreading_is_found():
    problem = bakery()
    f, text = problem.formulation, problem.question
    assert failed(f, text) == []
    assert failed(workshop().formulation, workshop().question.replace("costs $5 to make", "costs $5 to make")) == []
    turned = replace(f, constraints=(Constraint("2*c + v >= 100"),))
    assert failed(turned, text) == ["limits"]
    assert failed(replace(f, sense="minimize"), text) == ["goal"]
    swapped = replace(f, objective="4*c + 5*v")
    assert failed(swapped, text) == ["owners"]
    assert failed(replace(f, objective="5*c + 4.5*v"), text) == ["numbers used", "numbers known"]
    assert failed(replace(f, objective="5*c"), text) == ["numbers used"]
    idle = replace(f, variables=(*f.variables, Variable("z", "number of eggs")))
    assert failed(idle, text) == ["variables used"]
    strange = replace(f, variables=(Variable("c", "number of trucks", "integer"), f.variables[1]))
    assert "names known" in failed(strange, text)


def test_computations_must_be_written_out():
    text = "A pot sells for $9 and costs $4; there are 30% more pots than the 20 of last year at most. Maximize it."
    f = Formulation((Variable("pots", "number of pots"),), "maximize", "(9 - 4)*pots", ("pots <= 1.3*20",))
    assert failed(f, text) == []
    # A number that two others happen to give may as well be invented.
    assert failed(replace(f, objective="5*pots"), text) == ["numbers used", "numbers known"]


def test_exponents_need_no_source():
    f = Formulation((Variable("x", "side"),), "maximize", "3*x**2 + sqrt(x)", ("x <= 4",))
    assert sorted(coefficients(f)) == [3, 4]


TABLE = """Bake for the market; the profit should be largest.

| Good | profit | flour (kg) | capacity (pieces) |
| --- | --- | --- | --- |
| loaves | $7 | 3 | 40 |
| rolls | $5 | 2 | 60 |

There are 150 kg of flour. Each good must stay within its capacity."""


def table_model(objective="7*loaves + 5*rolls", flour="3*loaves + 2*rolls <= 150", first="loaves <= 40"):
    made = (Variable("loaves", "number of loaves", "integer"), Variable("rolls", "number of rolls", "integer"))
    return Formulation(made, "maximize", objective, (flour, first, "rolls <= 60"))


def test_tables_tell_whose_the_numbers_are_and_which_way_limits_point():
    assert failed(table_model(), TABLE) == []
    assert failed(table_model(objective="5*loaves + 7*rolls"), TABLE) == ["owners"]
    assert failed(table_model(first="loaves >= 40"), TABLE) == ["limits"]
    assert failed(table_model(objective="3*loaves + 5*rolls", flour="7*loaves + 2*rolls <= 150"), TABLE) == ["rows"]


def test_limits_exchanged_between_goods_are_found():
    text = "Pots earn 4 and jugs 6. At most 20 pots can be sold, at most 30 jugs. Earn the most."
    made = (Variable("p", "number of pots"), Variable("j", "number of jugs"))
    assert failed(Formulation(made, "maximize", "4*p + 6*j", ("p <= 20", "j <= 30")), text) == []
    assert "owners" in failed(Formulation(made, "maximize", "4*p + 6*j", ("p <= 30", "j <= 20")), text)


def test_numbers_listed_apart_from_their_owners_conclude_nothing():
    made = (Variable("p", "number of pots"), Variable("j", "number of jugs"))
    f = Formulation(made, "maximize", "4*p + 6*j", ("p + j <= 20",))
    for text in ("Pots and jugs earn 4 and 6 respectively; at most 20 in all. Earn the most.",
                 "The earnings of pots and jugs are 4 and 6; at most 20 in all. Earn the most."):  # fmt: skip
        assert failed(f, text) == []


def test_true_formulations_of_templates_pass():
    generator = TemplateGenerator(99)
    items = [generator.item(index, kind) for index in range(6) for kind in TYPES]
    rejected = [item.id for item in items if failed(item.formulation, item.question)]
    assert rejected == []


def test_most_false_formulations_of_templates_are_found():
    generator, rng = TemplateGenerator(98), random.Random(0)
    caught = {"number": 0, "dropped": 0, "turned": 0}
    count = 0
    for index in range(12):
        item = generator.item(index, "linear-notable")
        f = item.formulation
        plain = [i for i, c in enumerate(f.constraints) if "<=" in c.expression]
        if not plain or len(f.constraints) < 2:
            continue
        count += 1
        place = rng.choice(plain)
        old = f.constraints[place]
        rest = f.constraints[:place] + f.constraints[place + 1 :]
        turned = replace(f, constraints=(*rest, Constraint(old.expression.replace("<=", ">="))))
        other = replace(f, objective=f"{f.objective} + 0.123*{f.variables[0].name}")
        for kind, false in (("dropped", replace(f, constraints=rest)), ("turned", turned), ("number", other)):
            caught[kind] += bool(failed(false, item.question))
    assert count >= 8
    assert caught["number"] == count
    assert caught["dropped"] >= 0.6 * count
    assert caught["turned"] >= 0.7 * count


def attempt(values, formulation, status="optimal"):
    return Attempt("code", "", values, status, formulation=formulation)


def test_solutions_are_checked_by_arithmetic_and_by_a_second_solver():
    f = bakery().formulation
    good = check_solution(attempt({"c": 0, "v": 100, "objective": 400}, f))
    assert [c.name for c in good] == ["program", "constraints", "second solver"]
    assert all(c.ok for c in good)
    outside = {c.name: c.ok for c in check_solution(attempt({"c": 1, "v": 100, "objective": 405}, f))}
    assert outside["constraints"] is False
    short = {c.name: c.ok for c in check_solution(attempt({"c": 0, "v": 99, "objective": 396}, f))}
    assert short["second solver"] is False
    lying = {c.name: c.ok for c in check_solution(attempt({"c": 0, "v": 99, "objective": 400}, f))}
    assert lying["objective"] is False
    assert check_solution(attempt({"c": 0.0}, f))[1].ok is False
    assert [c.ok for c in check_solution(attempt({"x": 1.0}, None))] == [True, None, None]
    assert [c.ok for c in check_solution(attempt({}, f, "run_error"))] == [False]


def test_local_searches_refute_but_leave_open_what_they_do_not_reach():
    f = Formulation((Variable("x", high=3), Variable("y", high=3)), "maximize", "sqrt(x) + sqrt(y)", ("x + y <= 4",))
    right = {c.name: c for c in check_solution(attempt({"x": 2.0, "y": 2.0, "objective": 8**0.5}, f))}
    assert right["second solver"].ok is True
    assert "nothing better" in right["second solver"].detail
    worse = {c.name: c for c in check_solution(attempt({"x": 1.0, "y": 3.0, "objective": 1 + 3**0.5}, f))}
    assert worse["second solver"].ok is False


def test_a_text_must_have_numbers_and_the_model_must_use_them():
    pots = Formulation((Variable("p", "number of pots"),), "maximize", "p", ("p <= 0",))
    assert "data" in failed(pots, "Make pots so that profit is good.")
    assert "data" in failed(pots, "Make one kind of pots or both so that profit is good.")
    assert {"data", "numbers used"} <= set(failed(pots, "Pots earn 4. Maximize the profit; at most 20."))
    assert "data" not in failed(
        replace(pots, constraints=("p <= 3",)), "Make at most three pots. Maximize their number."
    )
    checks = {c.name: c for c in check_wording(replace(pots, constraints=("p <= 7",)), "Make pots, good ones.")}
    assert checks["numbers used"].ok is None
    assert checks["numbers known"].ok is False


def test_a_solution_that_does_nothing_is_found_unless_the_text_speaks_of_it():
    text = "Pots earn 4. At most 20. How many?"
    pots = Formulation((Variable("p", "number of pots", high=20),), "maximize", "4*p - 80")
    assert [c.ok for c in check_effect(attempt({"p": 3.0}, pots), text)] == [True]
    assert [c.ok for c in check_effect(attempt({"p": 20.0}, pots), text)] == [False]
    worth = Formulation(pots.variables, "maximize", "4*p")
    assert [c.ok for c in check_effect(attempt({"p": 0.0}, worth), text)] == [False]
    assert [c.ok for c in check_effect(attempt({"p": 0.0}, worth), text + " Perhaps nothing.")] == [True]
    assert [c.ok for c in check_effect(attempt({"p": 20.0}, worth), text)] == [True]
    assert check_effect(attempt({}, worth, "run_error"), text) == []
    # Of yes and no, one yes is something.
    taken = Formulation((Variable("a", "whether to take it", "binary"),), "minimize", "0*a")
    assert check_effect(attempt({"a": 1.0}, taken), text)[0].ok is True


def test_right_optima_of_templates_do_something():
    generator = TemplateGenerator(97)
    items = [generator.item(index, kind) for index in range(6) for kind in TYPES]
    for item in items:
        values = item.formulation.solve(seconds=0.5).values
        assert all(c.ok for c in check_effect(attempt(dict(values), item.formulation), item.question)), item.id


@pytest.mark.parametrize(
    ("text", "kind", "ok"),
    [
        ("How many cakes should it bake?", "real", False), ("How many of each should it bake?", "real", False),
        ("How many cakes should it bake?", "integer", True), ("How many kilograms of cake?", "real", None),
        ("How should it bake?", "real", None), ("How many spoons does it need for 3 cakes?", "real", True),
    ],
)  # fmt: skip
def test_what_is_counted_should_be_whole(text, kind, ok):
    f = Formulation((Variable("c", "number of cakes", kind),), "maximize", "4*c", ("c <= 9",))
    found = check_whole(f, text)
    assert (found.ok, found.hard) == (ok, False)


def test_limits_exchanged_between_columns_whose_numbers_repeat_are_found():
    text = """A joiner makes tables and chairs to earn the most.

| Good | profit | carpentry (h) | painting (h) |
| --- | --- | --- | --- |
| tables | $70 | 2 | 1 |
| chairs | $50 | 1 | 1 |

There are 240 hours of carpentry and 100 hours of painting."""
    made = (Variable("t", "number of tables", "integer"), Variable("c", "number of chairs", "integer"))
    right = Formulation(made, "maximize", "70*t + 50*c", ("2*t + c <= 240", "t + c <= 100"))
    assert failed(right, text) == []
    assert failed(replace(right, constraints=("2*t + c <= 100", "t + c <= 240")), text) == ["rows"]
