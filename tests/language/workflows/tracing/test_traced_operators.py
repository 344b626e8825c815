"""Python's operators and methods on nodes: values as Python gives them, and every input a parent."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

from optimand.language.workflows import ExecutionError, MessageNode, Node, node

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lshift, operator.rshift, operator.and_, operator.or_, operator.xor, divmod,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_binary_operators_give_pythons_value_from_either_side(function):
    a, b = node(7), node(2)
    for out, parents in [(function(a, b), (a, b)), (function(a, 2), (a,)), (function(7, b), (b,))]:
        assert isinstance(out, MessageNode)
        assert type(out.data) is type(function(7, 2))
        assert out.data == function(7, 2)
        assert all(any(parent is one for one in out.parents) for parent in parents)
        assert len(out.parents) == 2


@pytest.mark.parametrize(
    "function",
    [operator.neg, operator.pos, operator.abs, operator.invert, math.floor, math.ceil, math.trunc, round],
    ids=lambda f: f.__name__,
)
def test_unary_operators_give_pythons_value(function):
    value = -7 if function is operator.invert else -7.6
    out = function(node(value))
    assert (out.data, out.level, len(out.parents)) == (function(value), 1, 1)


def test_powers_with_a_modulus_and_rounding_to_digits():
    assert pow(node(3), 4, 5).data == 1
    assert round(node(3.14159), 2).data == 3.14
    assert (2 ** node(5)).data == 32


def test_augmented_assignment_makes_a_node_of_its_own():
    x = first = node(1)
    x += 2
    assert (first.data, x.data, x.parents[0] is first) == (1, 3, True)


def test_arrays_leave_the_operation_to_the_node():
    x = node(2.0, trainable=True)
    for out in (np.array([1.0, 2.0]) * x, x * np.array([1.0, 2.0]), np.array([1.0, 2.0]) * node(np.full(2, 2.0))):
        assert isinstance(out, MessageNode)
        assert out.data.tolist() == [2.0, 4.0]
    assert isinstance(np.float64(3.0) - x, MessageNode)
    assert (np.ones((2, 3)) @ node(np.ones(3))).data.tolist() == [3.0, 3.0]
    assert [row.data.tolist() for row in node(np.eye(2))] == [[1.0, 0.0], [0.0, 1.0]]


def test_truth_length_membership_and_text_are_plain_and_make_no_node():
    x = node([1, 2])
    assert (bool(x), len(x), 2 in x, node(2) in x, f"{node(2.5):.2f}", str(x)) == (
        True,
        2,
        True,
        True,
        "2.50",
        "[1, 2]",
    )
    assert not node([])
    assert x.len().data == 2
    assert x.contains(2).data is True
    assert x.contains(2).parents[0] is x


def test_comparisons_are_traced_and_true_by_value_while_hashes_are_by_identity():
    x, y = node(3, name="x"), node(3, name="y")
    same = x == y
    assert isinstance(same, MessageNode)
    assert same.data is True
    assert x in [y]
    assert len({x: 1, y: 2}) == 2
    if x != 3:
        pytest.fail("3 is 3")
    assert (x == None).data is False  # noqa: E711


def test_text_methods_keep_the_template_and_the_values_as_parents():
    template, who = node("Dear {}, {greeting}", name="template", trainable=True), node("Ann", name="who")
    out = template.format(who, greeting="hello")
    assert out.data == "Dear Ann, hello"
    assert list(out.inputs) == ["x", "args_0", "greeting"]
    assert out.inputs["x"] is template
    assert out.inputs["args_0"] is who
    out.backward("warmer")
    assert any(item is template for item in template.received())
    joined = node(", ").join([who, "Bob"])
    assert (joined.data, joined.inputs["args_0"] is who) == ("Ann, Bob", True)
    assert node("-").join(node(["a", "b"])).data == "a-b"
    assert node(" a b ").strip().upper().split(" ").data == ["A", "B"]
    assert node("abc").replace("b", node("x")).data == "axc"
    assert node("abc").startswith("ab").data is True
    assert node("a,b").partition(",")[2].data == "b"


def test_iterating_gives_traced_items():
    pair = node((1, 2))
    a, b = pair
    assert (a.data, b.data, a.parents[0] is pair) == (1, 2, True)
    table = node({"k": 5})
    (key,) = table
    assert table[key].data == 5
    ((name, value),) = table.items()
    assert (name.data, value.data, value.level > table.level) == ("k", 5, True)
    assert [item.data for item in table.values()] == [5]
    assert table.get("missing", 3).data == 3
    assert sorted(item.data for item in node({3, 1})) == [1, 3]
    assert [c.data for c in node("ab")] == ["a", "b"]


def test_what_cannot_be_iterated_is_an_exception_of_the_workflow():
    with pytest.raises(ExecutionError) as caught:
        _, _ = node(3)
    assert caught.value.exception_node.create_feedback().startswith("(TypeError)")


def test_attributes_and_calls_of_values_are_traced():
    x = node(3 + 4j)
    assert x.getattr("imag").data == 4.0
    assert node(np.arange(4)).call("sum").data == 6
    assert node(np.arange(4).reshape(2, 2)).call("sum", axis=0).data.tolist() == [2, 4]
    assert node(max)(1, node(5)).data == 5
    with pytest.raises(AttributeError, match=r"write x.getattr\('imag'\)"):
        _ = x.imag
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        _ = x.nothing
    with pytest.raises(AttributeError, match="int has no method 'upper'"):
        node(3).upper()
    with pytest.raises(AttributeError, match="int has no method 'format'"):
        node(3).format()


def test_values_of_nodes_do_not_change_in_place():
    x = node([1])
    with pytest.raises(AttributeError, match=r"write x = x \+ \[item\]"):
        x.append(2)
    with pytest.raises(TypeError, match="does not change"):
        x[0] = 2
    with pytest.raises(TypeError, match="does not change"):
        del x[0]
    assert (x + node([2])).data == [1, 2]
    assert (node({"a": 1}) | {"b": 2}).data == {"a": 1, "b": 2}


def test_an_operation_that_raises_stops_with_a_node_whose_parents_are_the_inputs():
    x, y = node(1, name="x", trainable=True), node(0, name="y")
    with pytest.raises(ExecutionError, match="division by zero") as caught:
        x / y
    made = caught.value.exception_node
    assert made.data == "(ZeroDivisionError) division by zero"
    assert [parent is one for parent, one in zip(made.parents, (x, y), strict=True)] == [True, True]
    made.backward(made.create_feedback("full"))
    assert x.received().output is made
    assert x.received().roles().of(made) == "exception"
    with pytest.raises(ValueError, match="style must be"):
        made.create_feedback("long")


def test_containers_of_nodes_become_one_node_that_depends_on_them():
    x, y = node(1, name="x"), node(2, name="y")
    packed = node({"a": [x, 5], "b": (y, x)})
    assert packed.data == {"a": [1, 5], "b": (2, 1)}
    assert len(packed.parents) == 2
    assert node([1, 2]).parents == ()
    assert isinstance(node([1, 2]), Node)
    assert (x + 1 == 2).data is True
    assert node([3]).call("index", 3).data == 0


@pytest.mark.parametrize("function", [int, float, complex, range, math.sqrt, operator.index, [1, 2, 3].__getitem__])
def test_what_python_wants_plain_is_refused_with_what_to_write(function):
    with pytest.raises(TypeError, match=r"use x\.data.*@bundle"):
        function(node(2))


def test_rounding_stays_traced_and_bytes_of_items_too():
    x = node(2.6)
    assert [f(x).data for f in (round, math.floor, math.ceil, math.trunc)] == [3, 2, 3, 2]
    assert (node([1, 2]) * 2).data == ([1, 2] * node(2)).data == [1, 2, 1, 2]
    assert ("ab" * node(2)).data == "abab"
