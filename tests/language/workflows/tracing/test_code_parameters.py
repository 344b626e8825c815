"""Functions whose source is a parameter: original, changed, wrong; here and in the sandbox."""

from __future__ import annotations

import asyncio
import math
import os

import pytest

from optimand.core.validation import OptimandError
from optimand.language.workflows import CodeParameter, ExecutionError, Module, bundle, node, replay, trace_of

FACTOR = 3


def times(x):
    return x * FACTOR


def act_of(**options):
    @bundle(trainable=True, **options)
    def act(x):
        return 10/(x-x)  # fmt: skip

    return act


def failure(function, *args):
    with pytest.raises(ExecutionError) as caught:
        function(*args)
    return caught.value.exception_node


def test_an_exception_in_a_trainable_function_is_feedback_with_its_line_marked():
    act = act_of(trusted=True)
    made = failure(act, 5)
    text = made.create_feedback("full")
    assert "    return 10/(x-x)  # fmt: skip <--- (ZeroDivisionError) division by zero." in text.splitlines()
    assert text.endswith("(ZeroDivisionError) division by zero.")
    assert text.startswith("def act(x):")
    assert made.create_feedback() == "(ZeroDivisionError) division by zero"
    assert list(made.inputs) == ["x", "__code"]
    made.backward(text)
    assert act.parameter.received().feedback == text
    act.parameter.data = "def act(x):\n    return 10/x"
    out = act(5)
    assert (out.data, out.operator.name, out.inputs["__code"] is act.parameter) == (2.0, "eval", True)
    assert replay(trace_of(out), {act.parameter: "def act(x):\n    return x"}) == 5


def test_the_feedback_of_the_official_example_is_the_line_and_the_message():
    @bundle(trainable=True, source="@bundle(trainable=True)\ndef act(x):\n    return 10/(x-x)")
    def act(x):
        return 10 / (x - x)

    act.parameter.data = act.parameter.original.replace("act(x):", "act(x):  # changed")
    lines = failure(act, 5).create_feedback("full").splitlines()
    assert lines[1] == "    return 10/(x-x) <--- (ZeroDivisionError) division by zero."
    assert lines[-1] == "(ZeroDivisionError) division by zero."


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("code", "kind", "marked"),
    [
        ("def act(x) return x", "SyntaxError", True),
        ("def act(x):\n    return 1 +", "SyntaxError", True),
        ("def act(x):\n    yield x\nreturn 3", "SyntaxError", True),
        ("def act(x, y): return x", "SignatureError", False),
        ("def act(y): return y", "SignatureError", False),
        ("def act(x=1): return x", "SignatureError", False),
        ("async def act(x): return x", "SignatureError", False),
        ("def other(x): return x", "SignatureError", False),
        ("x = 3", "SignatureError", False),
    ],
)
def test_code_that_cannot_be_called_is_feedback_to_the_code_alone(code, kind, marked, trusted):
    act = act_of(trusted=trusted)
    act.parameter.data = code
    made = failure(act, 5)
    assert made.data.startswith(f"({kind})")
    assert made.parents == (act.parameter,)
    text = made.create_feedback("full")
    assert (" <--- (SyntaxError)" in text) is marked
    assert text.splitlines()[-1].startswith(f"({kind})")
    assert act.parameter.problem(code).startswith(f"({kind})")
    made.backward(text)
    assert act.parameter.received().output is made


def test_code_that_fails_while_it_is_defined_is_feedback():
    act = act_of(trusted=True)
    act.parameter.data = "def act(x):\n    return x\n\nact.limit = 1 / 0"
    made = failure(act, 1)
    assert made.data == "(ZeroDivisionError) division by zero"
    assert made.parents == (act.parameter,)


def test_warnings_about_changed_code_are_dropped():
    act = act_of(trusted=True)
    act.parameter.data = "def act(x):\n    return 1 is 1"
    assert act(1).data is True


def test_comments_docstrings_annotations_and_helpers_may_change():
    act = act_of(trusted=True)
    act.parameter.data = (
        'import math\n\ndef act(x: float) -> float:\n    """Root."""\n    return half(math.sqrt(x))\n\n\n'
        "def half(x):\n    return x / 2"
    )
    assert act(16).data == 2.0


def test_the_constraint_holds_the_signature_and_docstring():
    @bundle(trainable=True)
    def act(x, *, n=2):
        """Do it."""
        return x * n

    assert isinstance(act.parameter, CodeParameter)
    assert act.parameter.kind == "code"
    assert act.parameter.constraint.endswith('def act(x, *, n=2):\n    """Do it."""')
    assert act.parameter.data.startswith("def act(x, *, n=2):")
    assert act.parameter.py_name.startswith("__code")
    with pytest.raises(TypeError, match="source of a function"):
        act.parameter.data = ""


def test_functions_whose_source_python_does_not_know_need_it_given():
    space: dict = {}
    text = "def act(x):\n    return 10/(x-x)"
    exec(text, space)
    with pytest.raises(OptimandError, match="source=\\.\\.\\."):
        bundle(trainable=True)(space["act"])
    with pytest.raises(OptimandError, match="source"):
        bundle(trainable=True)(eval("lambda x: x"))
    act = bundle(trainable=True, source=text)(space["act"])
    assert "return 10/(x-x) <--- (ZeroDivisionError)" in failure(act, 5).create_feedback("full")
    silent = bundle()(space["act"])
    assert failure(silent, 5).create_feedback("full") == "(ZeroDivisionError) division by zero."


def test_changed_code_recurs_and_is_traced_as_one_operation():
    @bundle(trainable=True, trusted=True)
    def total(n):
        """Sum to n."""
        return n if n <= 0 else n + total(n - 1)

    assert total(4).data == 10
    total.parameter.data = "def total(n):\n    return 1 if n <= 0 else 2 * total(n - 1)"
    out = total(4)
    assert out.data == 16
    assert len(trace_of(out)) == 3


def test_an_exception_in_changed_code_inside_another_function_shows_both():
    @bundle(trainable=True, trusted=True)
    def inner(x):
        """One more."""
        return x + 1

    @bundle(traceable_code=True)
    def outer(x):
        return inner(x) * 2

    inner.parameter.data = "def inner(x):\n    return x.nothing"
    made = failure(outer, 1)
    text = made.create_feedback("full")
    assert "    return inner(x) * 2 <--- the error was raised in this call" in text
    assert "    return x.nothing <--- (AttributeError) 'int' object has no attribute 'nothing'." in text
    assert text.count("\n(AttributeError)") == 1
    made.backward(text)
    assert inner.parameter.received().output is made


def test_calls_of_trainable_functions_inside_others_give_their_code_feedback():
    @bundle(trainable=True)
    def inner(x):
        return x + 1

    @bundle()
    def outer(x):
        return inner(x) * 2

    out = outer(1)
    assert out.data == 4
    out.backward("f")
    assert any(item is out for item in inner.parameter.received())


@pytest.fixture(scope="module")
def sandbox():
    from optimand.language.sandbox import SandboxedPython

    with SandboxedPython(workers=1, wall_s=4, cpu_s=2) as python:
        yield python


def test_changed_code_runs_in_the_sandbox_by_default(sandbox):
    @bundle(trainable=True, sandbox=sandbox)
    def where(x):
        """The process."""
        return os.getpid()

    assert where(1).data == os.getpid()
    where.parameter.data = "def where(x):\n    return os.getpid()"
    assert failure(where, 2).data.startswith("(NameError)")
    where.parameter.data = where.parameter.original
    assert where(1).data == os.getpid()


def test_code_in_the_sandbox_sees_modules_constants_and_functions_around_the_original(sandbox):
    @bundle(trainable=True, sandbox=sandbox)
    def act(x, y=(1, 2)):
        """Any."""
        return times(x) + math.floor(0.5)

    act.parameter.data = "def act(x, y=(1, 2)):\n    return {'a': times(x), 'b': math.sqrt(16), 'c': (y, None)}"
    out = act(node(2, name="x"))
    assert out.data == {"a": 6, "b": 4.0, "c": ((1, 2), None)}
    assert list(out.inputs) == ["x", "y", "__code"]


def test_errors_in_the_sandbox_are_marked_in_the_code(sandbox):
    act = act_of(sandbox=sandbox)
    act.parameter.data = "def act(x):\n    y = times(x)\n    return helper(y)\n\n\ndef helper(y):\n    return y / 0"
    made = failure(act, 5)
    text = made.create_feedback("full")
    assert "    return helper(y) <--- the error was raised in this call" in text
    assert "    return y / 0 <--- (ZeroDivisionError) division by zero." in text
    assert text.endswith("\n(ZeroDivisionError) division by zero.")
    assert [parent.name.split(":")[0] for parent in made.parents] == ["x", "__code"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import os\n\ndef act(x):\n    return os.getpid()", "ForbiddenCode"),
        ("def act(x):\n    return open('/etc/passwd').read()", "ForbiddenCode"),
        ("def act(x):\n    while True:\n        pass", "TimeoutError"),
        ("def act(x):\n    return lambda: 3", "CodecError"),
        ("def act(x):\n    return unknown", "NameError"),
    ],
)
def test_what_the_sandbox_stops_is_feedback(code, kind, sandbox):
    act = act_of(sandbox=sandbox)
    act.parameter.data = code
    made = failure(act, 5)
    assert made.data.startswith(f"({kind})")
    made.backward("f")
    assert act.parameter.received() is not None


class Agent(Module):
    def __init__(self, sandbox):
        self.k = 2
        self.w = node(5.0, name="w", trainable=True)
        self.sandbox = sandbox
        type(self).step.sandbox = sandbox
        type(self).later.sandbox = sandbox

    @bundle(trainable=True)
    def step(self, x):
        """Scaled."""
        return self.k * x

    @bundle(trainable=True)
    async def later(self, x):
        """Scaled."""
        return self.k * x


def test_methods_in_the_sandbox_see_plain_attributes_of_their_instance(sandbox):
    first, second = Agent(sandbox), Agent(sandbox)
    first.step.parameter.data = "def step(self, x):\n    return self.k * x + self.w + 100"
    out = first.step(1)
    assert (out.data, second.step(1).data) == (107.0, 2)
    out.backward("f")
    assert any(item is first.w for item in first.w.received())
    assert second.w.received() is None
    first.step.parameter.data = "def step(self, x):\n    self.k = 9\n    return self.k"
    assert (first.step(1).data, first.k) == (9, 2)


def test_coroutines_run_in_the_sandbox_too(sandbox):
    agent = Agent(sandbox)
    assert asyncio.run(agent.later(4)).data == 8
    agent.later.parameter.data = "async def later(self, x):\n    return x * 5"
    assert asyncio.run(agent.later(4)).data == 20
