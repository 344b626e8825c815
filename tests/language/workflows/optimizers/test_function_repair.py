"""Whole steps: code that fails is repaired, a run is recorded and replayed, the embedded model answers."""

from __future__ import annotations

import json
import socket

import pytest

from optimand.language.llm import ChatError, Scripted
from optimand.language.llm.cassettes import Record, Replay
from optimand.language.workflows.optimizers.opro import OPRO
from optimand.language.workflows.optimizers.optoprime import OptoPrime
from optimand.language.workflows.tracing.bundles import bundle
from optimand.language.workflows.tracing.nodes import ExecutionError, ParameterNode
from optimand.language.workflows.tracing.tape import Tape


@pytest.fixture(autouse=True)
def names_from_zero():
    with Tape():
        yield


def say(**values):
    return json.dumps({"reasoning": "", "answer": "", "suggestion": values})


def divider(trusted=True):
    @bundle(trainable=True, trusted=trusted)
    def act(x):
        return 10/(x-x)  # fmt: skip

    return act


def failing_step(act, reply, **options):
    """Call with 5, send the exception back, step."""
    model = Scripted([reply])
    optimizer = OptoPrime(act.parameters(), model, **options)
    with pytest.raises(ExecutionError) as caught:
        act(5)
    stopped = caught.value.exception_node
    optimizer.zero_feedback()
    optimizer.backward(stopped, stopped.create_feedback("full"))
    optimizer.step()
    return optimizer, model, stopped


def test_a_function_that_divides_by_zero_is_repaired_from_its_traceback():
    act = divider()
    optimizer, model, stopped = failing_step(act, say(__code0="def act(x):\n    return 10/x"))
    feedback = stopped.create_feedback("full")
    assert "<--- (ZeroDivisionError) division by zero." in feedback
    assert feedback.endswith("(ZeroDivisionError) division by zero.")
    assert act(5).data == 2.0
    text = model.calls[0][0][1]["content"]
    assert "return 10/(x-x)" in text
    assert "(code) __code0:" in text
    assert "= exception(x=" in text or "= eval(" in text
    assert len(model.calls) == 1
    assert optimizer.report.applied


def test_repaired_code_runs_in_the_sandbox_unless_it_is_trusted():
    act = divider(trusted=False)
    failing_step(act, say(__code0="import os\ndef act(x):\n    return os.getpid() if x else 10/x"))
    with pytest.raises(ExecutionError) as caught:
        act(5)
    assert "os" in caught.value.exception_node.data
    act = divider(trusted=False)
    failing_step(act, say(**{act.parameter.py_name: "def act(x):\n    return 10/x"}))
    assert act(5).data == 2.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def act(x) return 10/x", "no valid Python"),
        ("def act(y):\n    return 10/y", "must define 'def act"),
        ("def other(x):\n    return 10/x", "must define 'def act"),
        ("", "empty text"),
    ],
)
def test_code_that_cannot_be_called_is_turned_down_and_the_reason_is_told_next_time(code, reason):
    act = divider()
    before = act.parameter.data
    optimizer, _, _ = failing_step(act, say(__code0=code))
    assert act.parameter.data == before
    assert reason in optimizer.report.rejected["__code0"]
    optimizer.chat = again = Scripted([say(__code0="def act(x):\n    return 10/x")])
    with pytest.raises(ExecutionError) as caught:
        act(5)
    optimizer.zero_feedback()
    optimizer.backward(caught.value.exception_node, "fails")
    optimizer.step()
    assert reason in again.calls[0][0][1]["content"]
    assert act(5).data == 2.0


def run_five_steps(chat):
    """Numbers and a text, five steps with memory; the values after each, the prompts, and the state at the end."""
    with Tape():
        x, word = ParameterNode(3, name="x", minimum=0, maximum=99), ParameterNode("a", name="word")
        optimizer = OptoPrime([x, word], chat, memory_size=3, seed=11, temperature=0.5)
        values = []
        for _ in range(5):
            with Tape():
                out = word * x
            optimizer.zero_feedback()
            optimizer.backward(out, f"should have 40 characters, has {len(out.data)}")
            optimizer.step()
            values.append((x.data, word.data))
    prompts = [report.messages for report in optimizer.log]
    return json.dumps([values, prompts, [str(report) for report in optimizer.log], optimizer.state_dict()])


def replies():
    return Scripted([say(x0=n, word0="ab" * n) for n in range(1, 4)] + ["hm", say(x0=200, word0="fine")])


def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def test_a_recorded_run_of_five_steps_replays_byte_for_byte_without_sockets(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    recorded = run_five_steps(Record(replies(), path))
    no_sockets(monkeypatch)
    assert run_five_steps(Replay(path)) == recorded
    assert run_five_steps(Replay(path)) == recorded


def test_a_changed_prompt_fails_with_the_difference(tmp_path):
    path = tmp_path / "run.jsonl"
    run_five_steps(Record(replies(), path))
    with Tape():
        x, word = ParameterNode(4, name="x", minimum=0, maximum=99), ParameterNode("a", name="word")
        optimizer = OptoPrime([x, word], Replay(path), memory_size=3, seed=11, temperature=0.5)
        with Tape():
            optimizer.backward(word * x, "should have 40 characters, has 3")
    with pytest.raises(ChatError, match=r"(?s)differs so:.*-.*x0 = 3.*\+.*x0 = 4"):
        optimizer.step()
    assert x.data == 4


def test_no_key_reaches_the_cassette(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVICE_API_KEY", "topsecretvalue9")
    path = tmp_path / "run.jsonl"
    x = ParameterNode("topsecretvalue9", name="x")
    optimizer = OptoPrime([x], Record(Scripted([say(x0="b")]), path))
    optimizer.backward(x + "!", "do not show topsecretvalue9")
    optimizer.step()
    assert "topsecretvalue9" not in path.read_text()


def test_the_embedded_model_makes_a_step_within_the_range():
    from optimand.language.llm.embedded import EmbeddedModel

    if not EmbeddedModel.available():
        pytest.skip("the embedded model is not installed")
    x = ParameterNode(10, name="x", minimum=0, maximum=100)
    # OPRO's prompt is short, which on one thread is most of the time; the way through the decoder is the same.
    optimizer = OPRO([x], EmbeddedModel(threads=1, timeout=120), max_tokens=40, seed=0)
    optimizer.backward(x * 2, "should be larger")
    optimizer.step()
    assert 0 <= x.data <= 100
    assert optimizer.report.usage.calls == 1
    assert not optimizer.report.fault
    assert not optimizer.report.rejected
