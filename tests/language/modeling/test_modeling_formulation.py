"""Formulations: what they refuse, their kinds, the evaluator, plain data, second solvers against brute force."""

import json
import random

import pytest

from optimand.language.llm.schemas import faults_of
from optimand.language.modeling import Constraint, Formulation, FormulationError, Variable
from optimand.language.modeling.benchmarks.reference import bakery, loss, workshop
from optimand.language.modeling.formulations.solving import (
    enumerate_points,
    search,
    solve_linear,
    solve_ratio,
    tightened,
)


def whole(*names, **bounds):
    return tuple(Variable(name, kind="integer", **bounds) for name in names)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Variable("2x"), "identifier"),
        (lambda: Variable("x", kind="complex"), "kind of x"),
        (lambda: Variable("x", low=3, high=2), "cross"),
        (lambda: Variable("x", low="a"), "low of x"),
        (lambda: Formulation((), "maximize", "1"), "at least one"),
        (lambda: Formulation((Variable("x"),), "max", "x"), "sense"),
        (lambda: Formulation((Variable("x"), Variable("x")), "maximize", "x"), "distinct"),
        (lambda: Formulation((Variable("cost"),), "maximize", "costs"), "did you mean 'cost'"),
        (lambda: Formulation((Variable("x"),), "maximize", "x +"), "the objective cannot be read"),
        (lambda: Formulation((Variable("x"),), "maximize", "x", ("x",)), "a constraint cannot be read"),
        (lambda: Formulation((Variable("x"),), "maximize", "x / 0"), "zero"),
        (lambda: Formulation((Variable("x"),), "maximize", "x", ("y <= 1",)), "no variable"),
    ],
)
def test_what_is_no_formulation_is_refused(make, what):
    with pytest.raises((FormulationError, ValueError, TypeError), match=what):
        make()


def test_kinds_of_formulations():
    x, y = Variable("x"), Variable("y", low=1)
    assert Formulation((x, y), "maximize", "x", ("x / (x + y) <= 0.3",)).kind == "linear"  # the sign is known
    assert Formulation((Variable("x", low=None), y), "maximize", "x", ("1 / x <= 3",)).kind == "nonlinear"
    assert Formulation((x, y), "maximize", "x * y").kind == "quadratic"
    assert Formulation((x, y), "maximize", "x / y").kind == "nonlinear"
    assert Formulation((x,), "maximize", "sqrt(x)").kind == "nonlinear"


def test_the_evaluator_knows_bounds_whole_numbers_and_relations():
    f = Formulation(
        (Variable("c", kind="integer", high=9), Variable("r")), "maximize", "c + r", ("2*c + r <= 10", "r == 1")
    )
    assert f.check({"c": 4, "r": 1}).feasible
    assert f.check({"c": 4, "r": 1}).objective == 5
    for values, what in (
        ({"c": 4.5, "r": 1}, "whole number"), ({"c": 5, "r": 1}, "2 * c"), ({"c": -1, "r": 1}, "outside"),
        ({"c": 1, "r": 1.1}, "r == 1"),
    ):  # fmt: skip
        seen = f.check(values)
        assert not seen.feasible
        assert what in " ".join(seen.violations)
    assert f.check({"c": 4 + 1e-8, "r": 1}).feasible  # a solver's tolerance
    with pytest.raises(FormulationError, match="'r' is missing"):
        f.check({"c": 1})


def test_a_share_of_nothing_is_decided_by_its_multiplied_form():
    f = Formulation((Variable("x"), Variable("y")), "maximize", "x", ("x / (x + y) >= 0.3",))
    assert f.check({"x": 0, "y": 0}).feasible
    assert not f.check({"x": 0, "y": 1}).feasible


def test_strict_relations_on_whole_numbers_mean_one_more():
    f = Formulation(whole("a", "b"), "maximize", "a", ("a < b", "b <= 7"))
    assert f.solve().objective == 6
    assert not f.check({"a": 7, "b": 7}).feasible
    assert "<= 0" in f.program()
    real = Formulation((Variable("a"),), "maximize", "a", ("a < 7",))
    assert real.solve().objective == 7  # between real numbers the bound itself is the limit


def test_plain_data_round_trip_and_models_variants():
    f = workshop().formulation
    again = Formulation.from_dict(json.loads(json.dumps(f.to_dict())))
    assert again == f
    assert faults_of(f.to_dict(), Formulation.SCHEMA)[1] == []
    loose = {
        "variables": [{"name": "x", "type": "int"}, "y"],
        "sense": "MAX",
        "objective": "x + y",
        "constraints": ["x + y <= 4"],
    }
    found = Formulation.from_dict(loose)
    assert found.variables[0].kind == "integer"
    assert found.sense == "maximize"
    assert found.constraints == (Constraint("x + y <= 4"),)
    for broken, what in (
        (3, "object"), ({}, "'variables'"), ({**loose, "variables": "x"}, "list"),
        ({**loose, "variables": [3]}, "name"),
        ({**loose, "constraints": [3]}, "expression"), ({**loose, "sense": "best"}, "sense"),
        ({**loose, "variables": [{"name": "x", "low": "abc"}]}, "low of x"),
    ):  # fmt: skip
        with pytest.raises(FormulationError, match=what):
            Formulation.from_dict(broken)


def test_statuses_of_the_second_solver():
    assert Formulation(whole("x"), "maximize", "x").solve_linear().status == "unbounded"
    assert Formulation(whole("x"), "maximize", "x", ("x >= 3", "x <= 2")).solve_linear().status == "infeasible"
    assert Formulation(whole("x"), "maximize", "x*x", ("x <= 2",)).solve_linear().status == "unsupported"
    assert Formulation(whole("x"), "maximize", "3 + x", ("x <= 2.5",)).solve_linear().objective == 5
    assert Formulation(whole("x", high=3), "minimize", "x**2 - 100", ("x >= 4",)).solve().status == "infeasible"


def test_linear_and_ratio_problems_against_brute_force():
    rng = random.Random(0)
    for _ in range(25):
        a, b, c, d, e = (rng.randint(1, 9) for _ in range(5))
        limit, gap = rng.randint(10, 30) + a + b, rng.randint(0, 5)
        base = whole("x", "y", low=1)
        rows = (f"{a}*x + {b}*y <= {limit}", f"x - y >= -{gap}")
        points = [(x, y) for x in range(1, 60) for y in range(1, 60) if a * x + b * y <= limit and x - y >= -gap]
        for sense, best in (("maximize", max), ("minimize", min)):
            linear = Formulation(base, sense, f"{c}*x - {d}*y", rows)
            ratio = Formulation(base, sense, f"({c}*x + {d}*y) / ({e}*x + y)", rows)
            assert solve_linear(linear).objective == pytest.approx(best(c * x - d * y for x, y in points))
            wanted = best((c * x + d * y) / (e * x + y) for x, y in points)
            assert solve_ratio(ratio).objective == pytest.approx(wanted)
            assert enumerate_points(ratio).objective == pytest.approx(wanted)


def test_ratio_refuses_a_denominator_that_may_vanish():
    f = Formulation((Variable("x"), Variable("y")), "maximize", "x / y", ("x + y <= 3",))
    assert solve_ratio(f).status == "unsupported"


def test_enumeration_tightens_bounds_and_knows_its_limit():
    f = Formulation(whole("x", "y"), "maximize", "x*y - x", ("2*x + 3*y <= 30",))
    assert tightened(f) == {"x": (0, 15), "y": (0, 10)}
    best = max(x * y - x for x in range(16) for y in range(11) if 2 * x + 3 * y <= 30)
    assert enumerate_points(f).objective == best
    assert f.solve().how == "enumeration"
    assert enumerate_points(Formulation(whole("x"), "minimize", "x**2")).status == "unsupported"  # no upper bound
    assert enumerate_points(Formulation(whole(*"abcdefg", high=99), "maximize", "a*b")).status == "unsupported"


def test_local_searches_reach_a_closed_form_and_do_not_claim_proof():
    r = 3.14159
    f = Formulation(
        (Variable("r", low=0.01), Variable("h", low=0.01)),
        "minimize",
        f"2*{r}*r*h + 2*{r}*r**2",
        (f"{r}*r**2*h >= 300",),
    )
    found = search(f, seconds=3)
    radius = (300 / (2 * r)) ** (1 / 3)
    assert found.status == "limit"
    assert found.objective == pytest.approx(2 * r * radius * (300 / (r * radius**2)) + 2 * r * radius**2, rel=1e-5)
    mixed = Formulation(
        (Variable("n", kind="integer", high=6), Variable("x", high=4)), "maximize", "n*sqrt(x) - x", ("n + x <= 6",)
    )
    best = max(n * x**0.5 - x for n in range(7) for x in (i / 1000 for i in range(4001)) if n + x <= 6)
    assert search(mixed, seconds=3).objective == pytest.approx(best, rel=1e-4)


def test_our_problems_have_the_recorded_optima():
    assert bakery().formulation.solve().objective == 400
    found = workshop().formulation.solve()
    assert found.objective == pytest.approx(2.71212121, abs=1e-8)
    assert tuple(found.values.values()) == (10, 10, 37)
    assert loss().formulation.solve().objective == -2


def test_crossing_bounds_of_a_nonlinear_problem_are_infeasible_and_no_crash():
    f = Formulation((Variable("x"), Variable("y")), "maximize", "sqrt(x) * y", ("x + y <= 1", "x >= 5"))
    assert f.solve(seconds=1).status == "infeasible"
