"""Signs of influence read from the graph agree with differences, and are unknown rather than wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.language.workflows.heuristic import intervals as iv
from optimand.language.workflows.heuristic.coordinates import Coordinates
from optimand.language.workflows.heuristic.influence import influence
from optimand.language.workflows.instances.numeric_graphs import random_graph
from optimand.language.workflows.tracing.bundles import bundle
from optimand.language.workflows.tracing.graph import trace_of
from optimand.language.workflows.tracing.nodes import ParameterNode


def number(value, name="x", low=-1.0, high=1.0):
    return ParameterNode(value, name=name, minimum=low, maximum=high)


def signs(output, *parameters, **options):
    return influence(trace_of(output), Coordinates(parameters), **options)


@bundle(description="[tanh] The hyperbolic tangent.")
def tanh(x):
    return math.tanh(x)


@bundle(description="[cube] Not the cube at all.")
def liar(x):
    return -x


@bundle(description="[mystery] Unknown.")
def mystery(x, y):
    return y - x


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("params", [1, 3])
def test_signs_of_random_graphs_are_those_of_differences(params, separable):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng, params=params, separable=separable)
        parameters = [number(x) for x in graph.start]
        found = signs(graph.trace(parameters), *parameters)
        if separable:
            assert None not in found
        for axis, sign in enumerate(found):
            if sign is None:
                continue
            for _ in range(8):
                a = rng.uniform(-1, 1, params)
                b = a.copy()
                b[axis] = rng.uniform(-1, 1)
                change = (graph.value(b) - graph.value(a)) * (b[axis] - a[axis])
                assert change * sign >= -1e-9 * max(1.0, abs(graph.low), abs(graph.high))


def test_everywhere_and_at_the_point():
    x = number(0.5)
    assert signs(x * x, x) == [None]
    assert signs(x * x, x, everywhere=False) == [1]
    x = number(-0.5)
    assert signs(x**2 + 3, x, everywhere=False) == [-1]
    y = number(0.5, "y", 0.1, 1.0)
    assert signs(1 / y - y, y) == [-1]
    assert signs(abs(y) * 2, y) == [1]


def test_no_influence_is_zero():
    x, y = number(0.5), number(0.2, "y")
    assert signs(x * 0.0 + 1, x, y) == [0, 0]


def test_a_name_is_believed_only_as_far_as_the_recorded_value():
    x = number(0.5)
    assert signs(tanh(x) * -2, x) == [-1]
    assert signs(liar(x), x) == [None]


def test_unknown_operators_are_unknown_unless_declared():
    x, y = number(0.5), number(0.2, "y")
    output = tanh(mystery(x, y)) * 3
    assert signs(output, x, y) == [None, None]
    assert signs(output, x, y, declared={"mystery": (-1, 1)}) == [-1, 1]
    assert signs(output, x, y, declared={"mystery": (None, 0)}) == [None, 0]


def test_items_of_lists_and_arrays_are_coordinates():
    weights = ParameterNode([0.1, 0.2, 0.3], name="w", minimum=0.0, maximum=1.0)
    assert signs(weights[0] - 2 * weights[-1], weights) == [1, 0, -1]
    matrix = ParameterNode(np.array([[1.0, 2.0]]), name="m")
    assert signs(matrix[0, 1] * 3, matrix) == [0, 1]


def test_what_is_no_number_has_no_sign():
    x = number(0.5)
    text = ParameterNode("a", name="t")
    assert signs(text + "b", x) == [None]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(set(iv.OPERATORS) - {"clone", "identity"})),
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 2)), min_size=2, max_size=2),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_intervals_hold_the_values(name, boxes, s, t):
    functions = {
        "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y,
        "abs": abs, "neg": lambda x: -x, "max": max, "min": min, "square": lambda x: x * x, "cube": lambda x: x**3,
        "tanh": math.tanh, "exp": math.exp, "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "floor": math.floor,
    }  # fmt: skip
    if name not in functions:
        return
    a, b = ((low, low + width) for low, width in boxes)
    x, y = a[0] + s * (a[1] - a[0]), b[0] + t * (b[1] - b[0])
    unary = iv.apply(name, [a]) is not None
    box = iv.apply(name, [a] if unary else [a, b])
    assert box is not None
    value = functions[name](x) if unary else functions[name](x, y)
    assert box[0][0] - 1e-9 <= value <= box[0][1] + 1e-9


def test_ends_of_intervals():
    assert iv.multiply((0.0, math.inf), (0.0, 0.0)) == (0.0, 0.0)
    assert iv.invert((-1.0, 1.0)) == iv.EVERYTHING
    assert iv.power((-2.0, 1.0), 2) == (0.0, 4.0)
    assert iv.power((-2.0, 1.0), 0) == (1.0, 1.0)
    assert iv.power((-1e200, 1e200), 3) == (-math.inf, math.inf)
    assert iv.apply("divide", [(1.0, 1.0), (0.0, 1.0)])[0] == iv.EVERYTHING
    assert iv.apply("power", [(-1.0, 1.0), (0.5, 0.5)])[0] == iv.EVERYTHING
    assert iv.apply("power", [(0.5, 1.0), (-0.5, -0.5)])[1][0][1] <= 0
    assert iv.apply("log", [(-1.0, 1.0)])[0] == (-math.inf, 0.0)
    assert iv.apply("add", [(0.0, 1.0)]) is None
    assert iv.apply("what", [(0.0, 1.0)]) is None
