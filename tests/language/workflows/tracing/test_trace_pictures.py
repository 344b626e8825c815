"""Pictures of traces: nothing overlaps, everything is escaped, kinds can be told apart."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from optimand.language.workflows import ExecutionError, bundle, node, to_html, to_svg, trace_of, value_summary
from optimand.language.workflows.tracing.drawing import HEIGHT, WIDTH
from optimand.language.workflows.tracing.layout import Layout, spaced

BAD = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def big_graph(seed=1, count=30):
    rng = random.Random(seed)
    nodes = [node(i, name=c, trainable=i % 2 == 0) for i, c in enumerate("abcdefgh")]
    for i in range(count):
        a, b = rng.choice(nodes[-12:]), rng.choice(nodes[-12:])
        nodes.append(a - b if i % 3 else a + b + i)
    return trace_of(nodes[-1], "f")


def boxes(svg):
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    found = []
    for group in root.iter(space + "g"):
        if "node" in group.get("class", "").split():
            rect = group.find(space + "rect")
            found.append((group, float(rect.get("x")), float(rect.get("y"))))
    return root, found


@pytest.mark.parametrize("direction", ["down", "right"])
def test_each_node_is_one_box_inside_the_picture_and_no_two_overlap(direction):
    for seed in range(4):
        graph = big_graph(seed)
        root, found = boxes(to_svg(graph, direction=direction))
        assert len(found) == len(graph)
        width, height = float(root.get("width")), float(root.get("height"))
        for i, (_, x, y) in enumerate(found):
            assert 0 <= x <= width - WIDTH
            assert 0 <= y <= height - HEIGHT
            for _, other_x, other_y in found[:i]:
                assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT


def test_parents_lie_before_their_children_in_the_direction():
    graph = big_graph()
    for direction, axis in [("down", 2), ("right", 1)]:
        _, found = boxes(to_svg(graph, direction=direction))
        at = {group.get("data-name"): place for group, *xy in found for place in [xy[axis - 1]]}
        for item in graph:
            for parent in item.parents:
                if parent in graph:
                    assert at[graph.name(parent)] < at[graph.name(item)]


def test_texts_from_workflows_cannot_become_markup():
    @bundle(f"[odd] {BAD}")
    def odd(x):
        return x + BAD

    x = node(BAD, name="x", trainable=True, description=BAD)
    out = odd(x)
    out.backward(BAD)
    page = to_html(x.received())
    ElementTree.fromstring(to_svg(x.received()))
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "onerror=alert(2)&gt;" in page
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)


def test_kinds_of_nodes_differ_and_the_legend_names_those_that_occur():
    x = node(2, name="x", trainable=True)
    with pytest.raises(ExecutionError) as caught:
        (x + 1) / 0
    caught.value.exception_node.backward("fix it")
    _, found = boxes(to_svg(x.received()))
    kinds = {group.get("class").split()[1] for group, *_ in found}
    assert kinds == {"variable", "input", "other", "exception"}
    svg = to_svg(x.received())
    assert ">exception</text>" in svg
    assert ">output</text>" not in svg
    assert "data-feedback=" in svg
    assert "fix it" in svg


def test_secrets_are_not_shown():
    key = "sk-" + "a1b2c3d4" * 4
    x = node({"key": key}, name="x", trainable=True)
    x.getattr("keys")().backward(f"key {key} is refused")
    assert key not in to_html(x.received())


def test_notebooks_get_a_piece_and_not_a_page():
    graph = big_graph(count=4)
    assert graph._repr_svg_().startswith("<svg ")
    assert graph._repr_html_().startswith('<div class="trace-view">')
    assert "<body" not in graph._repr_html_()
    with pytest.raises(ValueError, match="direction must be one of"):
        to_svg(graph, direction="up")
    with pytest.raises(ValueError, match="limit must be at least 20"):
        to_svg(graph, limit=3)


def test_hidden_parameters_are_drawn_with_their_edge():
    w = node(3, name="w", trainable=True)

    @bundle(traceable_code=True)
    def line(x):
        return x * w

    line(2).backward("f")
    svg = to_svg(w.received())
    assert svg.count("hidden-edge") == 2  # the style, and one edge
    assert 'data-name="' + w.py_name in svg


def test_long_values_are_cut_and_say_so_and_addresses_are_left_out():
    x = node("y" * 5000, name="x", trainable=True)
    x.upper().backward("f")
    assert "2000 … 3000 characters more" not in to_html(x.received())
    assert "3000 characters more" in to_html(x.received(), limit=2000)
    assert value_summary(object()) == "<object object>"
    assert len(value_summary(list(range(1000)), 100)) < 140


def test_places_are_the_nearest_that_keep_their_room():
    assert spaced([0.0, 0.0, 0.0], [2.0, 2.0]) == [-2.0, 0.0, 2.0]
    rng = random.Random(0)
    for _ in range(50):
        wanted = [rng.uniform(0, 10) for _ in range(6)]
        room = [rng.uniform(0, 3) for _ in range(5)]
        got = spaced(wanted, room)
        assert all(b - a >= r - 1e-9 for (a, b), r in zip(pairwise(got), room, strict=True))
        cost = sum((a - b) ** 2 for a, b in zip(got, wanted, strict=True))
        for _ in range(20):  # no place nearby that keeps the room is cheaper
            moved = [value + rng.uniform(-0.1, 0.1) for value in got]
            if all(b - a >= r for (a, b), r in zip(pairwise(moved), room, strict=True)):
                assert sum((a - b) ** 2 for a, b in zip(moved, wanted, strict=True)) >= cost - 1e-9


def test_an_empty_picture_is_possible():
    layout = Layout([], {}, 10, 5)
    assert layout.place == {}
    single = trace_of(node(1))
    assert len(boxes(to_svg(single))[1]) == 1
