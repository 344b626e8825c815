"""Worded templates: the same numbers in both renderings, answers that two solvers find, items independent of order."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from optimand.language.modeling.execution import TYPES, ModelingProblem, open_sandbox
from optimand.language.modeling.formulations.formulation import Formulation, Variable
from optimand.language.modeling.resocratic import TemplateGenerator, check_scenario
from optimand.language.modeling.resocratic.optima import enumerated_optimum, linear_optimum
from optimand.language.modeling.resocratic.problem_specs import Column, Facts, identifier, joined, numbers_in, written

ITEMS = [item for kind in TYPES for item in TemplateGenerator(0).items(27, type=kind)]


@pytest.fixture(scope="module")
def sandbox():
    pytest.importorskip("pyscipopt")
    with open_sandbox(workers=1) as made:
        yield made


def test_all_templates_take_turns() -> None:
    for kind in TYPES:
        assert len({item.template for item in ITEMS if item.type == kind}) == 9


def test_both_renderings_hold_the_same_numbers_and_only_one_has_a_table() -> None:
    for item in ITEMS:
        assert numbers_in(item.plain) == numbers_in(item.table)
        assert "|" not in item.plain
        assert item.table.count("|") > 5
        assert item.question == (item.table if item.type.endswith("-table") else item.plain)


def test_kinds_are_as_named() -> None:
    for item in ITEMS:
        assert (item.formulation.kind == "linear") == item.type.startswith("linear")


def test_scenarios_of_items_pass_the_checker() -> None:
    for item in ITEMS:
        assert check_scenario(item.scenario.render(), minimum=3) == []


def test_programs_end_optimal_with_the_recorded_objective(sandbox) -> None:
    for item in ITEMS[1::4]:
        assert item.verify(sandbox), item.id


def test_a_wrong_record_is_not_verified(sandbox) -> None:
    import dataclasses

    wrong = dataclasses.replace(ITEMS[0], objective=ITEMS[0].objective * 1.01)
    assert not wrong.verify(sandbox)


def test_an_item_depends_on_seed_type_and_index_alone() -> None:
    whole = TemplateGenerator(4)
    later = [whole.item(k, "nonlinear-table") for k in range(12)]
    assert TemplateGenerator(4).item(7, "nonlinear-table") == later[7]
    assert TemplateGenerator(5).item(7, "nonlinear-table") != later[7]
    assert [item.id for item in whole.items(5)] == [whole.item(k // 4, TYPES[k % 4]).id for k in range(5)]


def test_problems_have_the_benchmark_s_form() -> None:
    for item in ITEMS:
        problem = item.problem
        assert isinstance(problem, ModelingProblem)
        assert problem.answers[list(item.asks)[-1]] == item.objective
        assert item.unique or len(problem.answers) == 1


def test_values_are_feasible_and_give_the_objective() -> None:
    for item in ITEMS:
        found = item.formulation.check(item.values, tol=1e-6)
        assert found.feasible, (item.id, found.violations)
        assert found.objective == pytest.approx(item.objective, rel=1e-8)


def test_closed_forms_are_not_beaten_by_local_searches() -> None:
    for item in ITEMS:
        if item.template in ("fence", "root-response", "least-risk") and item.type == "nonlinear-table":
            found = item.formulation.solve(seconds=0.4)
            better = found.objective - item.objective
            better = better if item.formulation.sense == "maximize" else -better
            assert better <= 1e-5 * abs(item.objective)


def test_texts_have_articles_cents_and_units() -> None:
    for item in ITEMS:
        for text in (item.plain, item.table):
            assert not re.search(r"\b[Aa] (?=[aeiouAEIOU])(?!uni|Uni|one )", text), text
            assert not re.search(r"\$\d+\.\d(?!\d)", text), text
            assert not re.search(r"\d pieces of ", text), text
    choice = next(item for item in ITEMS if item.template == "choice")
    # Budgets are in thousands, so the costs are.
    assert "cost (thousand)" in choice.plain
    assert "thousand dollars" in choice.plain


def test_the_hours_of_a_ratio_are_those_of_work_alone() -> None:
    ratios = [item for k in range(40) for kind in TYPES[2:] if (item := TemplateGenerator(6).item(9 * k, kind))]
    for item in ratios:
        assert item.template == "ratio"
        assert "hours of work" in item.plain or "per hour" in item.plain
        columns = next(line for line in item.table.splitlines() if line.startswith("|"))
        assert columns.count("(hours)") == 1
        assert "(minutes)" not in columns


def test_ties_are_seen() -> None:
    x, y = Variable("x", kind="integer"), Variable("y", kind="integer")
    tie = Formulation((x, y), "maximize", "x + y", ("x + y <= 7",))
    one = Formulation((x, y), "maximize", "2x + y", ("x + y <= 7",))
    assert [f(tie).unique for f in (linear_optimum, enumerated_optimum)] == [False, False]
    assert [f(one).unique for f in (linear_optimum, enumerated_optimum)] == [True, True]
    assert enumerated_optimum(Formulation((x,), "maximize", "x", ("x >= 5", "x <= 2"))) is None
    with pytest.raises(ValueError, match="real variables"):
        enumerated_optimum(Formulation((Variable("r", high=1.0),), "maximize", "r**2"))


def test_listing_all_points_agrees_with_brute_force() -> None:
    f = Formulation(
        (Variable("x", kind="integer", high=6), Variable("y", kind="integer", high=9)), "minimize", "(x - 3)**2 + x*y",
        ("x + y >= 4", "x*y <= 12"),
    )  # fmt: skip
    best = min((a - 3) ** 2 + a * b for a, b in itertools.product(range(7), range(10)) if a + b >= 4 and a * b <= 12)
    assert enumerated_optimum(f).objective == best


def test_pieces_of_text() -> None:
    assert identifier("Sea salt", "bars") == "sea_salt_bars"
    assert identifier("3 bars") == "n_3_bars"
    assert joined(["a"]) == "a"
    assert written(1500.0) == "1500"
    facts = Facts("Row", ["a", "b"], [Column("cost", "$"), Column("size", unit="m")], [[1, 2], [3, 4.5]])
    assert len({facts.sentences(style) for style in range(3)}) == 3
    assert all(numbers_in(facts.sentences(style)) == numbers_in(facts.table()) for style in range(3))


@pytest.mark.parametrize(("index", "kind"), [(-1, "linear-table"), (0, "cubic-table")])
def test_bad_arguments_are_refused(index, kind) -> None:
    with pytest.raises(ValueError, match=r"index must be|type must be"):
        TemplateGenerator(0).item(index, kind)
    with pytest.raises(ValueError, match="seed"):
        TemplateGenerator(-1)


def test_subjects_rotate() -> None:
    openings = [item.plain.split()[:6] for item in TemplateGenerator(0).items(45, type="linear-notable")]
    assert len({tuple(words) for words in openings}) == 45
    assert np.isfinite([item.objective for item in ITEMS]).all()
