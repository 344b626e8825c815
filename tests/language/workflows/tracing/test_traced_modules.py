"""Modules and bundled methods: parameters found, each instance's own, state as JSON."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import weakref

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.workflows import Module, bundle, model, node, trace_of
from optimand.language.workflows.tracing.modules import decode, encode


@model
class Agent:
    def __init__(self, k):
        self.k = k

    @bundle()
    def scale(self, x):
        """Scaled."""
        return self.k * x

    @bundle()
    def shift(self, x):
        """Shifted."""
        return self.k + x


def test_methods_have_their_instance_as_one_input_node():
    two, three = Agent(2), Agent(3)
    out = two.shift(two.scale(5))
    assert (out.data, three.scale(5).data, Agent.scale(three, 1).data) == (12, 15, 3)
    roots = [item for item in trace_of(out) if item.name.startswith("self")]
    assert len(roots) == 1
    assert roots[0].data is two
    assert list(two.scale(x=4).inputs) == ["self", "x"]


def test_a_function_that_is_also_a_class_attribute_still_runs_by_itself():
    @bundle(trainable=True)
    def tool(x):
        """Twice."""
        return 2 * x

    class Holder:
        held = staticmethod(tool)
        method = tool

    assert (tool(3).data, Holder.held(4).data, tool(node(5)).data) == (6, 8, 10)
    assert list(tool(3).inputs) == ["x", "__code"]


def test_an_instance_is_freed_when_nothing_uses_it():
    gc.disable()
    try:
        agent = Agent(2)
        out = agent.scale(1)
        gone = weakref.ref(agent)
        del agent
        assert gone() is not None
        del out
        assert gone() is None
    finally:
        gc.enable()


def test_instances_without_a_dict_can_have_bundled_methods_but_no_code_parameters():
    class Slotted:
        __slots__ = ()

        @bundle()
        def one(self):
            return 1

        @bundle(trainable=True)
        def two(self):
            return 2

    assert Slotted().one().data == 1
    with pytest.raises(OptimandError, match="__slots__"):
        Slotted().two()


class Step(Module):
    def __init__(self, prompt):
        self.prompt = node(prompt, name="prompt", trainable=True)

    @bundle(trainable=True)
    def clean(self, text):
        """Without spaces."""
        return text.strip()

    def forward(self, text):
        return self.prompt.format(self.clean(text))


class Pipeline(Module):
    def __init__(self):
        self.steps = [Step("a {}"), Step("b {}")]
        self.shared = self.steps[0].prompt
        self.table = {"rate": node(0.5, name="rate", trainable=True, minimum=0, maximum=1), "fixed": 3}
        self.held = node(1, name="held", trainable=True)
        self.held.trainable = False
        self.myself = self

    def forward(self, text):
        for step in self.steps:
            text = step(text)
        return text


NAMES = ["steps.0.prompt", "steps.0.clean", "steps.1.prompt", "steps.1.clean", "table.rate", "held"]


def test_a_module_finds_its_parameters_each_once_by_the_way_to_them():
    pipeline = Pipeline()
    assert [name for name, _ in pipeline.named_parameters()] == NAMES
    assert [name for name, _ in pipeline.named_parameters(trainable=True)] == NAMES[:-1]
    assert len(pipeline.parameters(trainable=False)) == 1
    assert pipeline(" x ").data == "b a x"
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()()


def test_each_instance_has_its_own_code_parameter_also_after_copies():
    first = Step("a {}")
    others = [Step("a {}"), copy.deepcopy(first), copy.copy(first), pickle.loads(pickle.dumps(first))]
    code = first.clean.parameter
    assert first.clean.parameter is code
    owned = [code, *(other.clean.parameter for other in others)]
    assert len({id(parameter) for parameter in owned}) == len(owned)
    assert [other.clean.parameter is parameter for other, parameter in zip(others, owned[1:], strict=True)] == [
        True
    ] * 4
    assert others[1].prompt is not first.prompt
    assert others[1].prompt.py_name == first.prompt.py_name


def test_feedback_reaches_the_parameters_of_a_module_and_is_forgotten_on_demand():
    pipeline = Pipeline()
    pipeline(" x ").backward("shorter")
    got = [name for name, parameter in pipeline.named_parameters() if parameter.received() is not None]
    assert got == NAMES[:4]
    pipeline.zero_feedback()
    assert all(parameter.received() is None for parameter in pipeline.parameters())


def test_state_is_saved_as_json_and_loaded_all_or_nothing(tmp_path):
    pipeline = Pipeline()
    pipeline.steps[0].prompt.data = "new {}"
    file = tmp_path / "deep" / "state.json"
    pipeline.save(file)
    assert json.loads(file.read_text())["parameters"]["steps.0.prompt"] == "new {}"
    other = Pipeline()
    other.load(file)
    assert other.state_dict() == pipeline.state_dict()
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]
    state = pipeline.state_dict() | {"table.rate": 7.0, "steps.1.prompt": "changed"}
    with pytest.raises(ValueError, match="rate must be in"):
        other.load_state_dict(state)
    assert other.steps[1].prompt.data == "b {}"
    with pytest.raises(OptimandError, match=r"no parameter 'step\.0'"):
        other.load_state_dict({"step.0": 1})
    with pytest.raises(OptimandError, match=r"no value for 'steps\.0\.clean'"):
        other.load_state_dict({"steps.0.prompt": "x"})
    other.load_state_dict({"steps.0.prompt": "x", "else": 1}, strict=False)
    assert other.steps[0].prompt.data == "x"


def test_files_that_are_no_state_are_refused(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("[1]")
    with pytest.raises(OptimandError, match="not a file of parameters"):
        Pipeline().load(bad)
    with pytest.raises(OptimandError, match="cannot read"):
        Pipeline().load(tmp_path / "none.json")
    pipeline = Pipeline()
    pipeline.held._data = object()
    with pytest.raises(OptimandError, match="'held' cannot be saved"):
        pipeline.save(bad)


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 2.5, "x", [1, (2, 3)], {"a": {1, 2}}, {1: b"\x00"}, {"$tuple": 1}, frozenset({1}), ()],
    ids=repr,
)
def test_values_come_back_from_json_as_they_were(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert (back, type(back)) == (value, type(value))


def test_arrays_come_back_from_json_with_their_type():
    value = np.arange(6, dtype=np.int16).reshape(2, 3)
    back = decode(json.loads(json.dumps(encode(value))))
    assert back.dtype == value.dtype
    assert back.tolist() == value.tolist()
    assert encode(np.float64(2.5)) == 2.5


def test_the_model_decorator_keeps_the_class_and_what_it_defines():
    @model
    class Own:
        """Mine."""

        def parameters(self):
            return "own"

        def forward(self, x):
            return x

    assert (Own.__name__, Own.__doc__, Own().parameters(), Own()(3)) == ("Own", "Mine.", "own", 3)
    assert isinstance(Own(), Module)
    assert model(Step) is Step
    with pytest.raises(TypeError, match="decorates a class"):
        model(3)
    assert pickle.loads(pickle.dumps(Agent(4))).scale(2).data == 8


def test_a_plain_value_does_not_replace_a_parameter():
    class Greeter(Module):
        def __init__(self):
            self.template = node("Hello", name="template", trainable=True)
            self.count = 0

    agent = Greeter()
    with pytest.raises(TypeError, match=r"set agent\.template\.data to change its value"):
        agent.template = "Hi"
    agent.template.data = "Hi"
    assert agent.state_dict() == {"template": "Hi"}
    agent.template = node("Dear", name="template", trainable=True)
    agent.count = 3
    assert agent.state_dict() == {"template": "Dear"}
    del agent.template
    agent.template = "plain"
    assert copy.deepcopy(agent).template == "plain"
