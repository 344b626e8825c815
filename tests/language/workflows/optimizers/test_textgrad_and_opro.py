"""TextGrad: calls per edge, merge and parameter. OPRO: a buffer of values and feedback, no trace."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest

from optimand.language.llm import ChatError, Scripted, schema_of
from optimand.language.workflows.optimizers.multi import OptoPrimeMulti
from optimand.language.workflows.optimizers.opro import OPRO
from optimand.language.workflows.optimizers.textgrad import TextGrad
from optimand.language.workflows.tracing.bundles import bundle
from optimand.language.workflows.tracing.nodes import ParameterNode, node
from optimand.language.workflows.tracing.tape import Tape


@pytest.fixture(autouse=True)
def names_from_zero():
    with Tape():
        yield


def critic(messages, **options):
    """Replies that depend on the prompt alone."""
    if options["role"] == "textgrad.rewrite":
        return f"better: <improved>{len(messages[-1]['content'])}</improved>"
    return f"criticism of {len(messages[-1]['content'])} characters\n#Variables"


def run(parameters, target, feedback="too small", reply=critic, **options):
    model = Scripted(reply)
    optimizer = TextGrad(parameters, model, **options)
    optimizer.zero_feedback()
    optimizer.backward(target, feedback)
    optimizer.step()
    return optimizer, model


def roles(model):
    return [call[1]["role"].removeprefix("textgrad.") for call in model.calls]


def chain():
    x = ParameterNode(1, name="x")
    return [x], (x + 1) * 2, (2, 0, 1)


def diamond():
    x = ParameterNode(3, name="x")
    a, b = x + 1, x * 2
    c = a * b
    return [x], c + a, (6, 2, 1)  # d-c, d-a, c-a, c-b, a-x, b-x; a and x are merged


def double_use():
    x = ParameterNode(3, name="x")
    b = x + 1
    return [x], b + b, (2, 0, 1)


def two_parameters_one_unused():
    x, y, unused = (ParameterNode(1, name=name) for name in "xyz")
    blanket = node(2, name="u") * 3
    return [x, y, unused], (x + blanket) * y, (3, 0, 2)


@pytest.mark.parametrize("make", [chain, diamond, double_use, two_parameters_one_unused])
def test_calls_are_edges_plus_merges_plus_parameters(make):
    parameters, target, counts = make()
    optimizer, model = run(parameters, target)
    assert tuple(map(roles(model).count, ("criticize", "merge", "rewrite"))) == counts
    assert len(model.calls) == sum(counts)
    assert optimizer.report.usage.calls == sum(counts)
    assert optimizer.report.notes[-1] == "{} edges, {} merges, {} parameters".format(*counts)


def random_graph(seed):
    rng = random.Random(seed)
    parameters = [ParameterNode(1.0, name="p") for _ in range(rng.randint(1, 4))]
    nodes = [*parameters, *(node(0.5, name="u") for _ in range(2))]
    for _ in range(rng.randint(3, 25)):
        nodes.append(rng.choice(nodes[-6:]) + rng.choice(nodes))
    return parameters, nodes[-1]


def expected_counts(parameters, target):
    """Edges among nodes that depend on a parameter, ways in to those with several, and parameters reached."""
    reached, stack = {id(target): target}, [target]
    while stack:
        for parent in stack.pop().parents:
            if id(parent) not in reached:
                reached[id(parent)] = parent
                stack.append(parent)

    def depends(item):
        return any(item is p for p in parameters) or any(depends(parent) for parent in item.parents)

    dependent = {key for key, item in reached.items() if depends(item)}
    edges = [(key, id(parent)) for key in dependent for parent in reached[key].parents if id(parent) in dependent]
    merges = sum(1 for key in dependent if sum(end == key for _, end in edges) > 1)
    return len(edges), merges, sum(id(p) in dependent for p in parameters)


@pytest.mark.parametrize("seed", range(12))
def test_call_counts_on_random_graphs(seed):
    parameters, target = random_graph(seed)
    target = target + parameters[0]
    counts = expected_counts(parameters, target)
    assert counts[2] >= 1
    _, model = run(parameters, target)
    assert tuple(map(roles(model).count, ("criticize", "merge", "rewrite"))) == counts


def test_every_edge_adds_the_inputs_that_depend_on_nothing():
    x = ParameterNode(3, name="x")
    _, model = run([x], x * 2 + 1, every_edge=True)
    assert tuple(map(roles(model).count, ("criticize", "merge", "rewrite"))) == (4, 0, 1)


def test_criticism_travels_from_the_output_to_the_parameter():
    x = ParameterNode("a", name="x", constraint="short")

    def reply(messages, **options):
        text = messages[-1]["content"]
        if options["role"] == "textgrad.rewrite":
            assert "from the sum" not in text
            assert "from the product" in text
            assert "short" in text
            return "Sure.\n<improved>\n  b c  \n</improved>"
        if "Operation:\n    add" in text:
            assert "    too small" in text
            return "from the sum"
        assert "    from the sum" in text
        return "from the product"

    _, model = run([x], x * 2 + "!", reply=reply)
    assert x.data == "b c"
    assert roles(model) == ["criticize", "criticize", "rewrite"]


def test_texts_of_criticism_are_indented_in_later_prompts():
    parameters, target, _ = diamond()
    _, model = run(parameters, target, feedback="#evil\n#lines")
    for call in model.calls:
        assert not [line for line in call[0][1]["content"].splitlines() if line.startswith("#")]


def test_threads_change_neither_calls_nor_results():
    def once(threads):
        with Tape():
            parameters, target = random_graph(5)
        started = threading.Event()

        def reply(messages, **options):
            started.set()
            time.sleep(0.001 * (options["seed"] % 3))
            return critic(messages, **options)

        optimizer, model = run(parameters, target, reply=reply, seed=1, threads=threads)
        asked = sorted((call[1]["seed"], call[0][1]["content"]) for call in model.calls)
        return [p.data for p in parameters], asked, optimizer.report, optimizer.state_dict()

    assert once(1) == once(4)


def test_numbers_lists_and_code_are_rewritten_by_their_kind():
    @bundle(trainable=True)
    def act(x):
        """Something."""
        return 10 / x

    n = ParameterNode(2, name="n", maximum=9)

    def reply(messages, **options):
        if options["role"] != "textgrad.rewrite":
            return "change it"
        if "(code)" in messages[-1]["content"]:
            return "<improved>\n```python\ndef act(x):\n    return 20 / x\n```\n</improved>"
        return "<improved> 4 </improved>"

    run([n, act.parameter], act(n), reply=reply)
    assert n.data == 4
    assert act.parameter.data == "def act(x):\n    return 20 / x"


def test_a_rewrite_without_tags_or_out_of_range_leaves_the_parameter_and_says_why():
    x, y = ParameterNode(1, name="x", maximum=9), ParameterNode(1, name="y")

    def reply(messages, **options):
        return "<improved>12</improved>" if "x0 = 1" in messages[-1]["content"] else "twelve"

    optimizer, _ = run([x, y], x + y, reply=reply)
    assert (x.data, y.data) == (1, 1)
    assert "x0 must be in [-inf, 9], got 12" in optimizer.report.rejected["x0"]
    assert "no text between <improved> and </improved>" in optimizer.report.rejected["y0"]
    told = Scripted(critic)
    optimizer.chat = told
    optimizer.zero_feedback()
    optimizer.backward(x + y, "too small")
    optimizer.step()
    rewrites = [call[0][1]["content"] for call in told.calls if call[1]["role"] == "textgrad.rewrite"]
    assert ["Turned down before" in text for text in rewrites] == [True, True]


def test_a_hidden_parameter_is_criticized_through_the_function_that_reads_it():
    k = ParameterNode(3, name="k")

    @bundle(allow_external_dependencies=True)
    def scaled(x):
        """Scales."""
        return x * k.data

    x = node(2, name="x")
    _, model = run([k], scaled(x))
    assert roles(model) == ["criticize", "rewrite"]
    assert "used inside the function" in model.calls[0][0][1]["content"]


def test_a_failed_call_in_a_thread_is_raised():
    def reply(messages, **options):
        raise ChatError("no server")

    parameters, target, _ = diamond()
    with pytest.raises(ChatError, match="no server"):
        run(parameters, target, reply=reply, threads=4)


def opro_run(steps, **options):
    x = ParameterNode(0, name="x", minimum=0, maximum=99)
    model = Scripted([json.dumps({"suggestion": {"x0": number + 1}}) for number in range(steps)])
    optimizer = OPRO([x], model, **options)
    for number in range(steps):
        optimizer.zero_feedback()
        optimizer.backward(x * 2 + 1, f"feedback {number}")
        optimizer.step()
    return x, model, optimizer


def entries(call):
    return [json.loads(line) for line in call[0][1]["content"].splitlines() if line.startswith('    {"variables"')]


def test_opro_asks_once_a_step_and_shows_all_that_was_tried():
    x, model, _ = opro_run(6)
    assert x.data == 6
    assert len(model.calls) == 6
    assert [entry["variables"]["x0"] for entry in entries(model.calls[-1])] == [0, 1, 2, 3, 4, 5]
    assert entries(model.calls[-1])[-1]["feedback"] == "feedback 5"


def test_opro_sees_no_trace():
    _, model, _ = opro_run(1)
    text = model.calls[0][0][1]["content"]
    assert "multiply" not in text
    assert "#" not in text
    assert "from 0 to 99" in text
    schema = schema_of(model.calls[0][1]["response_format"])
    assert list(schema["properties"]) == ["suggestion"]


def test_opros_buffer_can_be_bounded():
    _, model, optimizer = opro_run(6, memory_size=2)
    assert [entry["feedback"][-1] for entry in entries(model.calls[-1])] == ["3", "4", "5"]
    assert len(optimizer.state_dict()["memory"]) == 2


def test_opros_state_brings_the_buffer_along():
    x, _, optimizer = opro_run(3)
    other = OPRO([x], Scripted(['{"suggestion": {"x0": 50}}']))
    other.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
    other.zero_feedback()
    other.backward(x * 2 + 1, "last")
    other.step()
    assert len(entries(other.chat.calls[0])) == 4
    assert other.report.step == 4


def test_opro_leaves_values_that_it_cannot_read():
    x = ParameterNode(0, name="x")
    optimizer = OPRO([x], Scripted(["hm"]))
    optimizer.backward(x + 1, "larger")
    assert optimizer.step() == {}
    assert optimizer.report.fault


@pytest.mark.parametrize("kind", [OPRO, TextGrad, OptoPrimeMulti])
def test_no_secret_reaches_any_prompt(kind, monkeypatch):
    secret = "verysecretvalue2"
    monkeypatch.setenv("SOME_TOKEN", secret)
    s = ParameterNode(f"use {secret}", name="s", constraint=f"not {secret}")
    model = Scripted(lambda messages, **options: f"as you said: {secret}")
    optimizer = kind([s], model, context=secret, objective=secret, memory_size=3)
    for _ in range(2):
        optimizer.zero_feedback()
        optimizer.backward((s + secret) * 2, f"refused {secret}")
        optimizer.step()
    assert len(model.calls) >= 2
    assert secret not in json.dumps([call[0] for call in model.calls])
    assert secret not in json.dumps(optimizer.state_dict())


def test_textgrad_is_told_why_its_code_was_turned_down():
    @bundle(trainable=True)
    def act(x):
        return x

    model = Scripted(lambda messages, **options: "<improved>def act(y): return 1</improved>")
    optimizer = TextGrad(act.parameters(), model)
    for _ in range(2):
        optimizer.zero_feedback()
        optimizer.backward(act(1), "no")
        optimizer.step()
    told = [call[0][-1]["content"] for call in model.calls if call[1]["role"] == "textgrad.rewrite"]
    assert "Turned down before" not in told[0]
    assert "got 'def act(y):'" in told[1].partition("Turned down before")[2]
