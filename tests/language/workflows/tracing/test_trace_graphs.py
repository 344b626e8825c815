"""Nodes, levels, backward passes and subgraphs, against small graphs worked out by hand and a reference on networkx."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pytest

from optimand.language.workflows import (
    GraphError,
    GraphPropagator,
    MessageNode,
    Propagator,
    SumPropagator,
    Tape,
    TraceGraph,
    backward,
    bundle,
    node,
    stop_tracing,
    zero_feedback,
)
from optimand.language.workflows.tracing.feedback import received


@bundle()
def sq(x):
    """The square."""
    return x * x


def base_levels(graph):
    return {item.name.split(":")[0]: item.level for item in graph}


def test_a_parameter_gets_the_nodes_on_its_ways_to_the_output_and_their_parents():
    x, w, u = node(2, name="x", trainable=True), node(10, name="w", trainable=True), node(99, name="u")
    y = sq(x)
    sq(w)
    z = y + u
    z.backward("too big")
    assert z.data == 103
    assert base_levels(x.received()) == {"x": 0, "sq": 1, "u": 0, "add": 2}
    assert w.received() is None
    assert not w.feedback
    assert sum(len(messages) for messages in u.feedback.values()) == 1
    assert next(iter(u.feedback)) is z


def test_a_diamond_has_each_node_once_in_order_and_cannot_be_gone_over_twice():
    x = node(3, name="x", trainable=True)
    a = x + 1
    b = x * 2
    c = a * b
    d = c + a
    d.backward("fine")
    graph = x.received()
    assert (a.data, b.data, c.data, d.data) == (4, 6, 24, 28)
    assert [item.level for item in graph] == [0, 0, 0, 1, 1, 2, 3]
    assert len({id(item) for item in graph}) == 7
    with pytest.raises(GraphError, match="retain_graph=True"):
        d.backward("again")
    with pytest.raises(AttributeError):
        c.backward("a part of it")


def test_a_parent_that_is_used_twice_is_one_variable_and_two_arguments():
    x = node(3, name="x", trainable=True)
    b = x + 1
    z = b + b
    z.backward("f")
    assert [item.level for item in x.received()] == [0, 0, 1, 2]
    assert z.parents == (b,)
    assert list(z.inputs) == ["x", "y"]
    with Tape():
        y = node(4, name="y", trainable=True)
        z = y + y
        z.backward("f")
        roles = y.received().roles()
    assert len(roles.variables) == 1
    assert roles.variables[0] is y
    assert roles.code == [f"{z.py_name} = add(x={y.py_name}, y={y.py_name})"]


def random_dag(seed, most=200):
    """A random graph: its roots and nodes in order of creation; the last node is its output."""
    rng = random.Random(seed)
    roots = [node(i, name="p", trainable=rng.random() < 0.5) for i in range(rng.randint(1, 8))]
    nodes = list(roots)
    for _ in range(rng.randint(1, most - len(roots))):
        pool = nodes if rng.random() < 0.5 else nodes[-6:]
        parents = [rng.choice(pool) for _ in range(rng.randint(1, 3))]
        inputs = {f"a{i}": parent for i, parent in enumerate(parents)}
        nodes.append(MessageNode(0, inputs=inputs, description="[op] any."))
    return roots, nodes


def reference_subgraph(nodes, output, starts):
    graph = nx.DiGraph()
    graph.add_nodes_from(id(item) for item in nodes)
    graph.add_edges_from((id(parent), id(item)) for item in nodes for parent in item.inputs.values())
    above = nx.ancestors(graph, id(output)) | {id(output)}
    found = set()
    for start in starts:
        if id(start) in above:
            on_ways = (nx.descendants(graph, id(start)) | {id(start)}) & above
            found |= on_ways
            for item in on_ways:
                found |= set(graph.predecessors(item))
    return found


@pytest.mark.parametrize("seeds", [range(first, first + 100) for first in range(0, 1000, 100)])
def test_subgraphs_of_random_graphs_are_those_of_networkx_in_topological_order(seeds):
    for seed in seeds:
        roots, nodes = random_dag(seed)
        output = nodes[-1]
        output.backward("f")
        parameters = [root for root in roots if root.trainable]
        graph = received(parameters)
        expected = reference_subgraph(nodes, output, parameters)
        if graph is None:
            assert not expected
            continue
        assert {id(item) for item in graph} == expected
        place = {id(item): i for i, item in enumerate(graph)}
        made = {id(item): i for i, item in enumerate(nodes)}
        assert all(place[id(p)] < place[id(c)] for c in graph for p in c.parents if id(p) in place)
        assert all((a.level, made[id(a)]) < (b.level, made[id(b)]) for a, b in itertools.pairwise(graph))
        roles = graph.roles()
        whole = [item for item in graph if item.inputs and all(id(p) in place for p in item.parents)]
        assert len(roles.code) == len(whole)
        assert len(roles.outputs) == 1
        assert roles.outputs[0] is output
        lines = {id(item) for item in whole}
        blankets = {id(item) for item in graph if item.inputs and id(item) not in lines}
        assert blankets <= {id(item) for item in roles.inputs}
        one_by_one = sum(p.received() for p in parameters if p.received() is not None)
        assert [id(item) for item in one_by_one] == [id(item) for item in graph]


def test_the_linear_sweep_gives_what_sending_graphs_edge_by_edge_gives():
    class EdgeByEdge(GraphPropagator):
        """Not the class itself, so that the linear-time way is not taken."""

    for seed in range(40):
        roots, nodes = random_dag(seed, most=40)
        parameters = [root for root in roots if root.trainable]
        nodes[-1].backward("f", retain_graph=True)
        fast = [[id(item) for item in p.received() or ()] for p in parameters]
        zero_feedback(parameters)
        nodes[-1].backward("f", propagator=EdgeByEdge())
        for parameter, expected in zip(parameters, fast, strict=True):
            messages = parameter.messages()
            assert [id(item) for item in sum(messages) or ()] == expected if messages else not expected


def test_backward_again_after_zero_feedback_is_identical():
    roots, nodes = random_dag(3)
    parameters = [root for root in roots if root.trainable]
    nodes[-1].backward("f", retain_graph=True)
    first = [id(item) for item in received(parameters)]
    zero_feedback(parameters)
    assert received(parameters) is None
    nodes[-1].backward("f", retain_graph=True)
    assert [id(item) for item in received(parameters)] == first


def test_the_subgraph_does_not_depend_on_the_order_of_operations():
    def build(order):
        x, y = node(1, name="x", trainable=True), node(2, name="y", trainable=True)
        parts = {}
        for step in order:
            if step == "a":
                parts["a"] = x + y
            elif step == "b":
                parts["b"] = x * y
            else:
                parts["c"] = y - x
        out = parts["a"] * parts["b"] * parts["c"]
        out.backward("f")
        graph = received([x, y])
        edges = {(p.name.split(":")[0], item.operator.name) for item in graph if item.inputs for p in item.parents}
        return [(item.level, item.description) for item in graph if not item.inputs], edges, len(graph)

    results = [build(order) for order in itertools.permutations("abc")]
    assert all(result == results[0] for result in results)


def test_feedback_of_two_passes_adds_up_if_it_is_the_same_and_is_refused_if_it_differs():
    x = node(1, name="x", trainable=True)
    a, b = x + 1, x * 2
    backward(a, "better")
    backward(b, "better")
    assert len(x.received()) == 5
    x.zero_feedback()
    backward(x + 1, "better")
    backward(x * 2, "worse")
    with pytest.raises(GraphError, match="different feedback"):
        x.received()


def test_graphs_add_up_by_identity_and_not_by_value():
    x, y = node(1, name="x"), node(1, name="y")
    graph = TraceGraph([x]) + TraceGraph([y]) + TraceGraph([x])
    assert len(graph) == 2
    assert x in graph
    assert node(1) not in graph
    array = node(np.zeros(2))
    both = TraceGraph([x], x, np.zeros(2)) + TraceGraph([array], array, None)
    assert both.output is array


def test_derivatives_as_messages_are_back_propagation():
    gradients = SumPropagator()
    gradients.register("add", lambda made, d: {"x": d, "y": d})
    gradients.register("subtract", lambda made, d: {"x": d, "y": -d})
    gradients.register("multiply", lambda made, d: {"x": d * made.inputs["y"].data, "y": d * made.inputs["x"].data})
    gradients.register(
        "power", lambda made, d: {"x": d * made.inputs["y"].data * made.inputs["x"].data ** (made.inputs["y"].data - 1)}
    )

    def f(x, y):
        b = x * y + x
        return b * b - y**3 + x * x

    for xv, yv in [(1.5, -2.0), (0.25, 3.0)]:
        x, y = node(xv, name="x", trainable=True), node(yv, name="y")
        out = f(x, y)
        out.backward(1.0, propagator=gradients)
        b = xv * yv + xv
        assert sum(x.messages()) == pytest.approx(2 * b * (yv + 1) + 2 * xv)
        assert sum(m for ms in y.feedback.values() for m in ms) == pytest.approx(2 * b * xv - 3 * yv**2)
        assert x.received() is None


def test_a_rule_that_sends_to_an_unknown_input_is_an_error():
    sums = SumPropagator()
    sums.register("add", lambda made, d: {"z": d})
    with pytest.raises(ValueError, match="'z'; the inputs are 'x', 'y'"):
        (node(1, trainable=True) + 1).backward(1, propagator=sums)
    with pytest.raises(TypeError, match="rule must be a function"):
        sums.register("add", 3)
    with pytest.raises(NotImplementedError):
        (node(1, trainable=True) + 1).backward(1, propagator=Propagator())


def test_texts_join_under_the_sum_propagator():
    x = node(1, trainable=True)
    y = x + x
    y.backward("a;", propagator=SumPropagator())
    assert x.messages() == ["a;", "a;"]


def test_backward_on_something_else_than_a_node_is_refused():
    with pytest.raises(TypeError, match="target must be a node, got 3"):
        backward(3, "f")


def test_backward_on_a_parameter_itself_gives_it_alone():
    x = node(1, trainable=True)
    x.backward("bad start")
    graph = x.received()
    assert list(map(id, graph)) == [id(x)]
    assert graph.feedback == "bad start"


def test_without_tracing_nodes_have_no_parents_and_feedback_goes_nowhere():
    x = node(1, trainable=True)
    with stop_tracing():
        y = sq(x) + 1
        with stop_tracing():
            pass
        z = x * 2
    assert (y.data, y.parents, y.level, z.parents) == (2, (), 0, ())
    assert (x + 1).parents != ()
    y.backward("f")
    assert x.received() is None
