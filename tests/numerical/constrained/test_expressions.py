import math

import pytest
import sympy

from optimand.numerical.constrained.problems.expressions import FUNCTIONS, parse
from optimand.numerical.constrained.problems.formulas import Formula


@pytest.mark.parametrize(
    "text",
    [
        "x1",
        "-x1 + 2.5*x2**3/x1",
        "(1 + x1**2)**2 + x2**2 - 4",
        "sin(pi*x1/12)*cos(x2)",
        "2**0.5*x1 - 1e-3",
        "+x1**-2",
        "atan2(x2, x1)",
    ],
)
def test_formulas_mean_what_sympy_says(text):
    assert parse(text, 2) - sympy.sympify(text) == 0


def test_every_function_is_its_own():
    for name, count in FUNCTIONS.items():
        value = float(parse(f"{name}({', '.join(['x1'] * count)})", 1).subs("x1", 0.5))
        assert value == pytest.approx(getattr(math, name)(*[0.5] * count))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('true')", "no part of a formula"),
        ("(lambda: 0)()", "no part of a formula"),
        ("x1.__class__", "no part of a formula"),
        ("[x1 for x1 in (1,)]", "no part of a formula"),
        ("eval('1')", "'eval' is no function"),
        ("sin(x1, x2)", "sin takes 1 arguments"),
        ("x3 + 1", "'x3' is no unknown: they are x1 to x2"),
        ("y", "'y' is no unknown"),
        ("9**9**9", "exponent must be at most 1000"),
        ("x1 +", "cannot be read"),
        ("'x1'", "no part of a formula"),
        ("True", "no part of a formula"),
        ("x1 < x2", "no part of a formula"),
    ],
)
def test_anything_else_is_refused_unevaluated(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text, 2)


def test_a_formula_must_be_text():
    with pytest.raises(TypeError, match="must be a string"):
        parse(3, 1)
    with pytest.raises(ValueError, match="'open' is no function"):
        Formula("bad", "x1", ("open(x1)",), (1.0,)).problem()
