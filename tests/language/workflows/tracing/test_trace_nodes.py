"""Names, memory, replays and parameters."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import tracemalloc
import weakref

import pytest

from optimand.language.workflows import (
    ExecutionError,
    MessageNode,
    Node,
    ParameterNode,
    ReplayError,
    Tape,
    TraceGraph,
    bundle,
    node,
    replay,
    trace_of,
)


@bundle()
def sq(x):
    """The square."""
    return x * x


def test_names_count_per_tape_and_repeat_inside_one():
    x = node(1, name="x")
    with Tape():
        first = [(x + 1).py_name, (x + 2).py_name]
    with Tape():
        again = [(x + 1).py_name, (x + 2).py_name]
    assert first == again
    assert len(set(first)) == 2
    assert node(1, name="a1").py_name != node(1, name="a11").py_name
    assert node(1, name="my prompt").py_name.startswith("my_prompt")
    with pytest.raises(TypeError, match="name must be a text"):
        node(1, name="")


def test_names_that_clash_in_a_graph_get_an_ending():
    with Tape():
        x = node(1, name="x", trainable=True)
    with Tape():
        y = node(2, name="x")
    graph = trace_of(x + y)
    assert x.py_name == y.py_name
    assert graph.name(x) == x.py_name
    assert graph.name(y) == y.py_name + "_2"


def test_nodes_are_freed_at_once_without_the_garbage_collector():
    gc.disable()
    try:
        x = node(1, name="x", trainable=True)
        y = sq(x + 1)
        gone = weakref.ref(y)
        y.backward("f")
        del y
        assert gone() is not None
        x.zero_feedback()
        assert gone() is None
        chain = x
        for _ in range(100_000):
            chain = chain + 1
        del chain
    finally:
        gc.enable()


def test_an_input_of_many_passes_does_not_collect_them():
    x, shared = node(1, name="x", trainable=True), node(2, name="shared")
    for _ in range(50):
        (x * shared).backward("f")
        assert len(shared.feedback) == 1
        x.zero_feedback()
    assert not shared.feedback
    assert len(shared._extra["sweeps"]) <= 2


def test_operations_that_are_thrown_away_leave_no_memory_behind():
    x = node(1, name="x", trainable=True)
    for _ in range(200):
        sq(x) + 1
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            sq(x) + 1
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000 / 5


def test_replays_compute_what_depends_on_the_changed_values_and_nothing_else():
    calls = []

    @bundle()
    def noisy(x):
        calls.append(x)
        return x + 0.5

    x, y = node(2.0, name="x", trainable=True), node(3.0, name="y", trainable=True)
    out = noisy(x) * y + [x, y][1]
    graph = trace_of(out)
    assert replay(graph, {}) == out.data == 10.5
    assert replay(graph, {y: 4.0}) == 14.0
    assert calls == [2.0]
    assert replay(graph, {x: 0.5}) == 6.0
    assert calls == [2.0, 0.5]
    assert (x.data, y.data) == (2.0, 3.0)
    packed = node([x, {"k": y}])
    assert replay(trace_of(packed), {y: 7}) == [2.0, {"k": 7}]
    by_hand = MessageNode(1, inputs=[x], description="[made] by hand.")
    with pytest.raises(ReplayError, match="by hand"):
        replay(trace_of(by_hand), {x: 1})
    with pytest.raises(ReplayError, match="no output"):
        replay(TraceGraph([x]), {x: 1})


def test_replays_run_methods_with_arguments_and_failed_operations_again():
    text = node("a-b", name="text", trainable=True)
    sep = node("-", name="sep")
    out = text.split(sep)[1].replace("b", "c", 1).upper()
    assert out.data == "C"
    assert replay(trace_of(out), {text: "x-bb"}) == "CB"
    zero = node(0, name="zero", trainable=True)
    with pytest.raises(ExecutionError) as caught:
        1 / zero
    assert replay(trace_of(caught.value.exception_node), {zero: 4}) == 0.25


def test_parameters_keep_their_limits_and_copies_keep_name_and_value_but_no_feedback():
    x = ParameterNode(3, name="n", minimum=0, maximum=9, constraint="even", description="how many")
    (x + 1).backward("f")
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (other.data, other.py_name, other.minimum, other.constraint) == (3, x.py_name, 0.0, "even")
        assert other.description == "[ParameterNode] how many"
        assert other.received() is None
        other.data = 4
        assert x.data == 3
    for value, error in [(10, ValueError), ("many", TypeError), (float("nan"), ValueError)]:
        with pytest.raises(error, match="n must be"):
            x.data = value
    choice = ParameterNode("a", choices=("a", "b"), name="c")
    with pytest.raises(ValueError, match="one of 'a', 'b'"):
        choice.data = "d"
    with pytest.raises(ValueError, match="at most 3"):
        ParameterNode("long text", max_length=3)
    with pytest.raises(ValueError, match="minimum must not exceed"):
        ParameterNode(1, minimum=2, maximum=0)
    with pytest.raises(ValueError, match="choices must not be empty"):
        ParameterNode(1, choices=[])
    with pytest.raises(ValueError, match="kind must be one of"):
        ParameterNode(1, kind="number")
    assert [ParameterNode(v).kind for v in (True, 1, 1.0, "", [], (), {}, None)] == [
        "bool", "int", "float", "str", "list", "tuple", "dict", "other",
    ]  # fmt: skip


def test_a_message_node_made_by_hand_must_name_its_operator_and_have_nodes_as_inputs():
    with pytest.raises(ValueError, match=r"\[operator\] text"):
        MessageNode(1, inputs={}, description="no operator")
    with pytest.raises(TypeError, match=r"inputs\['x'\] must be a node"):
        MessageNode(1, inputs={"x": 3}, description="[op] any.")
    made = MessageNode(1, inputs=[node(2, name="q")], description="[op] any.")
    assert made.operator.name == "op"
    with pytest.raises(TypeError, match="trainable=True"):
        node(1, minimum=0)


def test_a_node_of_a_node_is_that_node_and_a_new_name_is_traced():
    x = node(1, name="x")
    assert node(x) is x
    renamed = node(x, name="y", description="a copy")
    assert renamed.parents == (x,)
    assert renamed.py_name.startswith("y")
    assert isinstance(node(x, trainable=True), ParameterNode)
    assert Node(x).data == 1
    made = x + 1
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert (other.data, other.parents) == (2, ())


def test_a_tape_can_be_in_use_in_several_threads_and_counts_for_all():
    tape, gate, names, errors = Tape(fresh=True), threading.Barrier(2, timeout=5), [], []

    def use(first):
        try:
            with tape:
                gate.wait()
                names.append(node(1, name="shared").py_name)
                gate.wait()
                if not first:
                    time.sleep(0.01)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(names) == ["shared0", "shared1"]
    with tape:
        assert node(1, name="shared").py_name == "shared0", "it begins anew when nobody uses it"
