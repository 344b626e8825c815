"""Formal lines are read in full or not at all."""

from __future__ import annotations

import pytest

from optimand.language.modeling.resocratic import TemplateGenerator, own_pool, parse_scenario, read_formal


def scenario(variables: str, objective: str, *constraints: str) -> str:
    parts = ["## Define Variables:\nWords.\n" + variables, "## Define Objective Function:\nWords.\n" + objective]
    parts += [f"## Generate Constraint-{k}:\nWords.\n{text}" for k, text in enumerate(constraints, 1)]
    return "\n\n".join(parts)


X = '// {"boxes": "x", "range": "x >= 0", "type": "integer"}'


def read(*parts: str):
    return read_formal(parse_scenario(scenario(*parts)))


def test_all_demonstrations_of_the_package_are_read_and_have_an_optimum() -> None:
    for one in (*own_pool("linear"), *own_pool("nonlinear")):
        reading = read_formal(one.scenario)
        assert reading.reason == ""
        found = reading.formulation.solve(seconds=0.3)
        assert reading.formulation.check(found.values, tol=1e-5).feasible
        assert (reading.formulation.kind == "linear") == (one.kind == "linear")


def test_named_sums_percentages_and_half_sentences() -> None:
    reading = read(
        X + '\n// {"bags": "y", "range": "0 <= y <= 40", "type": "real"}',
        "// Profit of boxes: P = 20% * x\n// So, the objective function is: Maximize P + 1,000y",
        "// For both together. So, x + 2y <= 50\n// x <= 30; y >= 1",
    )
    f = reading.formulation
    assert (f.variables[1].low, f.variables[1].high) == (0.0, 40.0)
    assert f.solve_linear().objective == pytest.approx(25_000)
    assert len(f.constraints) == 3


def test_binary_ranges_shared_relations_and_free_variables() -> None:
    f = read('// {"open": "o", "range": "o = 0 or 1", "type": "binary"}\n// {"a": "u", "b": "v"}, where u, v >= 2',
             "// Minimize u + v - o", "// u >= 3*o").formulation  # fmt: skip
    assert f.variables[0].kind == "binary"
    assert f.solve_linear().objective == pytest.approx(4.0)
    assert f.variables[1].low is None


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((X, "// Maximize x + z"), "neither a variable"),
        ((X, "// Maximize x", "// (x > 0) + x <= 3"), "cannot be read"),
        ((X, "// The profit counts"), "no line says"),
        ((X, "// Maximize x", "// no more than 30 boxes"), "states a limit in words"),
        ((X + "\n" + X, "// Maximize x"), "declared twice"),
        (('// {"boxes": "x", "type": "colour"}', "// Maximize x"), "unknown"),
        ((X, "// Maximize x", "// x + unknown <= 3"), "cannot be read"),
        ((X, "// P = x\n// P = 2x\n// Maximize P"), "defined twice"),
        ((X, "// Maximize __import__('os').system('true')"), "cannot be read"),
    ],
)
def test_what_cannot_be_read_in_full_gives_a_reason_and_no_formulation(parts, why) -> None:
    reading = read(*parts)
    assert reading.formulation is None
    assert why in reading.reason


def test_formal_lines_of_templates_read_back_to_the_same_problem() -> None:
    for item in TemplateGenerator(5).items(72):
        f = read_formal(item.scenario).formulation
        assert f.check(item.values, tol=1e-6).feasible
        assert f.check(item.values).objective == pytest.approx(item.objective, rel=1e-9)
        assert f.sense == item.formulation.sense
        assert len(f.relations) == len(item.formulation.relations)
