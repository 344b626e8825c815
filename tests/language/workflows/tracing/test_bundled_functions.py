"""Bundled functions: inputs, outputs, what they read besides, inner graphs, recursion, coroutines, threads."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from optimand.language.workflows import (
    ExecutionError,
    MissingInputsError,
    Node,
    ReplayError,
    bundle,
    node,
    replay,
    stop_tracing,
    trace_of,
)


@bundle()
def combine(a, b=2, *rest, scale=1, **more):
    """Adds all up."""
    return scale * (a + b + sum(rest) + sum(more.values()))


def test_arguments_of_every_kind_become_named_inputs():
    x = node(10, name="x")
    out = combine(x, 1, 2, 3, scale=2, other=x)
    assert out.data == 2 * (10 + 1 + 5 + 10)
    assert list(out.inputs) == ["a", "b", "args_0", "args_1", "scale", "other"]
    assert out.inputs["a"] is out.inputs["other"] is x
    assert len(out.parents) == 5
    assert out.description == "[combine] Adds all up."
    short = combine(1)
    assert {key: item.data for key, item in short.inputs.items()} == {"a": 1, "b": 2, "scale": 1}
    assert short.inputs["b"].py_name.startswith("b")
    assert replay(trace_of(out), {x: 0}) == 12
    assert combine(b=1, a=2).data == 3
    with pytest.raises(TypeError, match="missing a required argument"):
        combine()
    with pytest.raises(TypeError, match="clashes"):
        combine(1, 2, 3, args_0=4)


def test_the_decorator_works_with_and_without_parentheses_and_with_a_description():
    @bundle
    def plain(x):
        return x

    @bundle("[Double] Twice the input.")
    def twice(x):
        return 2 * x

    @bundle("Twice, in words.")
    def third(x):
        return 2 * x

    assert plain(1).operator.name == "plain"
    assert (twice(1).operator.name, twice(2).py_name[:6]) == ("Double", "Double")
    assert third(1).description == "[third] Twice, in words."
    assert bundle()(lambda x: x + 1)(2).data == 3
    with pytest.raises(TypeError, match="needs a function"):
        bundle()(3)
    with pytest.raises(TypeError, match="inside staticmethod"):
        bundle()(staticmethod(len))


def test_lists_of_nodes_as_arguments_keep_their_nodes_as_ancestors():
    x = node(1, name="x", trainable=True)

    @bundle()
    def total(items):
        assert items == [1, 5]
        return sum(items)

    out = total([x, 5])
    out.backward("f")
    assert out.data == 6
    assert [item.level for item in x.received()] == [0, 1, 2]


def test_reading_a_node_that_is_no_input_is_an_error_that_names_it():
    w = node(3, name="weight", trainable=True)

    @bundle()
    def reads(x):
        return x + w.data

    @bundle()
    def computes(x):
        return x + w

    @bundle()
    def inside(x):
        return x + node(5).data + len(node([1]))

    for function in (reads, computes):
        with pytest.raises(MissingInputsError, match=rf"{w.py_name} = 3; make them arguments"):
            function(1)
    assert inside(1).data == 7


def test_allowed_external_nodes_are_kept_and_their_parameters_get_feedback():
    w = node(3, name="w", trainable=True)
    doubled = w * 2

    @bundle(allow_external_dependencies=True)
    def reads(x):
        return x + doubled.data

    out = reads(1)
    assert out.info["external_dependencies"] == [doubled]
    assert len(out.parents) == 1
    assert [p is w for p in out.hidden] == [True]
    out.backward("f")
    assert any(item is w for item in w.received())
    assert "# depends on " + w.py_name in w.received().roles().code[-1]


def test_a_call_sees_only_what_was_read_in_its_own_context():
    w = node(3, name="w")
    begun, done = threading.Event(), threading.Event()

    @bundle()
    def waits(x):
        begun.set()
        assert done.wait(5)
        return x

    results = []
    thread = threading.Thread(target=lambda: results.append(waits(1)))
    thread.start()
    assert begun.wait(5)
    assert w.data == 3
    done.set()
    thread.join()
    assert results[0].info["external_dependencies"] == []


def test_traceable_code_keeps_the_inner_graph_and_hidden_parameters_get_feedback():
    w = node(7, name="w", trainable=True)

    @bundle(traceable_code=True)
    def line(x, shift=1):
        """A line."""
        return x * w + shift

    x = node(2, name="x", trainable=True)
    out = line(x)
    assert out.data == 15
    assert [p.name.split(":")[0] for p in out.parents] == ["x", "shift"]
    assert [p is w for p in out.hidden] == [True]
    out.backward("f")
    inner = x.received().inner(out)
    assert [item.operator.name for item in inner if item.inputs] == ["multiply", "add"]
    assert not any(item is x for item in inner)
    assert any(item is w for item in w.received())
    assert any(item is out for item in w.received())
    assert replay(w.received(), {w: 10}) == 21
    assert replay(x.received(), {x: 3}) == 22
    assert out.info["output"].data == 15


def test_hidden_parameters_show_through_several_functions():
    w = node(7, name="w", trainable=True)

    @bundle(traceable_code=True)
    def deep(x):
        return x * w

    @bundle(traceable_code=True)
    def outer(x):
        return {"value": deep(x), "same": (x, 1)}

    out = outer(2)
    assert out.data == {"value": 14, "same": (2, 1)}
    final = out["value"] + 1
    final.backward("f")
    assert [p is w for p in out.hidden] == [True]
    assert any(item is final for item in w.received())
    assert replay(w.received(), {w: 1}) == 3


def test_outputs_that_hold_nodes_become_values():
    @bundle()
    def pair(x):
        return node(x) + 1, {"k": node(x)}

    first, second = pair(1)
    assert (first.data, second.data) == (2, {"k": 1})
    assert pair(1).data == (2, {"k": 1})


def test_recursion_of_a_bundled_function_is_traced_unless_overridden():
    depth = []

    @bundle()
    def factorial(n):
        depth.append(n)
        return 1 if n <= 1 else n * factorial(n - 1)

    @bundle(overwrite_python_recursion=True)
    def plain(n):
        found = 1 if n <= 1 else n * plain(n - 1)
        assert isinstance(found, int)
        return found

    assert factorial(5).data == plain(5).data == 120
    assert len(factorial(4).parents) == 1
    assert depth[:5] == [5, 4, 3, 2, 1]


def test_exceptions_become_nodes_unless_they_are_to_pass():
    @bundle()
    def helper(x):
        raise KeyError("gone")

    def between(x):
        return [helper(item) for item in [x]]

    @bundle(traceable_code=True)
    def outer(x):
        return between(x)

    with pytest.raises(ExecutionError) as caught:
        outer(node(1, name="x"))
    made = caught.value.exception_node
    text = made.create_feedback("full")
    assert made.data == "(KeyError) 'gone'"
    assert "    return between(x) <--- the error was raised in this call" in text
    assert "    return [helper(item) for item in [x]] <--- the error was raised in this call" in text
    assert "    raise KeyError(\"gone\") <--- (KeyError) 'gone'." in text
    assert text.endswith("\n(KeyError) 'gone'.")
    assert "@bundle" not in text

    @bundle(catch_execution_error=False)
    def passes(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        passes(0)


def test_coroutine_functions_give_coroutines_of_nodes_and_keep_apart():
    @bundle()
    async def slow(x):
        """Waits."""
        await asyncio.sleep(0)
        if x < 0:
            raise ValueError("negative")
        return 2 * x

    async def all_of_them():
        return await asyncio.gather(*(slow(node(i, name="i")) for i in range(20)))

    results = asyncio.run(all_of_them())
    assert [item.data for item in results] == [2 * i for i in range(20)]
    assert [item.info["inputs"]["args"] for item in results] == [[i] for i in range(20)]
    with pytest.raises(ExecutionError, match="negative"):
        asyncio.run(slow(-1))


def test_eight_threads_with_two_hundred_calls_each_do_not_mix_up_their_facts():
    @bundle()
    def work(x):
        return (threading.get_ident(), x)

    found: dict[int, list] = {}
    names: list[str] = []

    def run():
        mine = [work(i) for i in range(200)]
        found[threading.get_ident()] = mine
        names.extend(item.py_name for item in mine)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = sum(
        item.info["output"] != (me, i) or item.info["inputs"]["args"] != [i] or item.data != (me, i)
        for me, mine in found.items()
        for i, item in enumerate(mine)
    )
    assert (wrong, len(set(names))) == (0, 1600)


def test_stopping_the_trace_in_one_thread_does_not_stop_it_in_another():
    begun, done = threading.Event(), threading.Event()

    def quiet():
        with stop_tracing():
            begun.set()
            assert done.wait(5)

    thread = threading.Thread(target=quiet)
    thread.start()
    assert begun.wait(5)
    assert (node(1) + 1).parents
    done.set()
    thread.join()


def test_replays_give_values_of_coroutine_functions_and_of_functions_that_return_nodes():
    @bundle()
    async def later(x):
        await asyncio.sleep(0)
        return x * 2

    weight = node(10, name="weight", trainable=True)

    @bundle(allow_external_dependencies=True)
    def weighed(x):
        return [weight * x, x]

    x = node(3, name="x", trainable=True)
    made = asyncio.run(later(x))
    assert replay(trace_of(made), {x: 5}) == 10

    async def inside():
        return replay(trace_of(made), {x: 6})

    assert asyncio.run(inside()) == 12
    made = weighed(x)
    assert made.data == [30, 3]
    assert replay(trace_of(made), {x: 5}) == [50, 5]
    # The function would read the present weight, not the one that is asked for.
    with pytest.raises(ReplayError, match=r"reads weight\d+ besides its inputs"):
        replay(trace_of(made), {weight: 1})


def test_an_instance_has_one_node_whichever_thread_asks_first(monkeypatch):
    from optimand.language.workflows.tracing import bundles

    class Slow(Node):
        def __init__(self, *args, **kwargs):
            time.sleep(0.005)
            super().__init__(*args, **kwargs)

    class Adder:
        @bundle()
        def add(self, x):
            return x + 1

    monkeypatch.setattr(bundles, "Node", Slow)
    adder, gate, made = Adder(), threading.Barrier(4, timeout=5), []

    def call():
        gate.wait()
        made.append(adder.add(1))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one.inputs["self"]) for one in made}) == 1


def test_marked_sources_are_the_users_and_not_this_packages():
    from optimand.core.validation import check_number

    @bundle()
    def positive(x):
        return check_number("x", x, low=0)

    with pytest.raises(ExecutionError) as caught:
        positive(-1)
    told = caught.value.exception_node.create_feedback("full")
    assert told.count("def ") == 1
    assert 'return check_number("x", x, low=0) <--- (ValueError) x must be in' in told
