"""Recorded conversations come back exactly, without a network and without keys."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from optimand.language.llm import (
    ChatError,
    ChatResult,
    ChatTimeout,
    NotRecorded,
    Record,
    Replay,
    Scripted,
    Usage,
    ask,
    json_format,
    redact,
)

KEY = "sk-proj-0123456789abcdefghij"
USER = [{"role": "user", "content": "?"}]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}, "a": {"type": "string"}}, "required": ["x"]}


def five_steps(chat: Any) -> list[ChatResult]:
    """A run whose prompts depend on the replies."""
    results = []
    text = "start"
    for step in range(5):
        messages = [{"role": "system", "content": "Größe zählt"}, {"role": "user", "content": f"step {step}: {text}"}]
        options = {"temperature": 0.7, "max_tokens": 50, "seed": step, "n": 2, "role": "run.step"}
        result = chat.chat(messages, response_format=json_format(SCHEMA), **options)
        text = result.text
        results.append(result)
    return results


class Counting:
    name = "counting"

    def __init__(self) -> None:
        self.count = 0

    def chat(self, messages: Any, *, n: int = 1, **options: Any) -> ChatResult:
        self.count += 1
        texts = tuple(f'{{"x": {self.count}, "a": "é\\n\u2028{i}"}}' for i in range(n))
        return ChatResult(texts, Usage(1, 10, 3, 0.1234567890123, 1e-7), ("stop", "length")[:n], "model-1")


def test_a_run_replays_identically_with_sockets_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    recorded = five_steps(Record(Counting(), path))

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    replay = Replay(path)
    assert (len(replay), replay.remaining, replay.name) == (5, 5, "recording of model-1")
    again = five_steps(replay)
    assert again == recorded
    assert repr(again).encode() == repr(recorded).encode()
    assert replay.remaining == 0


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5}, {"max_tokens": 7}, {"seed": 1}, {"n": 2}, {"role": "other"},
        {"response_format": {"type": "json_object"}},
    ],
)  # fmt: skip
def test_every_part_of_a_request_counts(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "c.jsonl"
    Record(Counting(), path).chat(USER, role="r")
    with pytest.raises(NotRecorded, match=next(iter(change))):
        Replay(path).chat(USER, **{"role": "r", **change})


def test_a_changed_prompt_fails_with_the_difference_to_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    model = Record(Counting(), path)
    model.chat([{"role": "user", "content": "first line\nx is 3\nlast line"}], role="r")
    model.chat([{"role": "user", "content": "something else entirely"}], role="r")
    with pytest.raises(NotRecorded) as caught:
        Replay(path).chat([{"role": "user", "content": "first line\nx is 4\nlast line"}], role="r")
    message = str(caught.value)
    assert "--- recorded\n+++ asked" in message
    assert "-x is 3\n+x is 4" in message
    assert "something else" not in message


def test_equal_requests_get_their_replies_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    model = Record(Counting(), path)
    recorded = [model.chat(USER).text, model.chat(USER).text]
    replay = Replay(path)
    assert [replay.chat(USER).text, replay.chat(USER).text] == recorded
    with pytest.raises(NotRecorded, match=r"holds 2 replies.*came 3 times"):
        replay.chat(USER)
    repeating = Replay(path, repeat=True)
    assert [repeating.chat(USER).text for _ in range(3)] == [*recorded, recorded[-1]]


def test_failures_are_replayed_as_failures(tmp_path: Path) -> None:
    class Failing(Counting):
        def chat(self, messages: Any, **options: Any) -> ChatResult:
            raise ChatTimeout(f"slow; key {KEY}")

    path = tmp_path / "c.jsonl"
    with pytest.raises(ChatTimeout):
        Record(Failing(), path).chat(USER)
    with pytest.raises(ChatTimeout, match=r"slow; key \[redacted\]"):
        Replay(path).chat(USER)


def test_an_interrupted_recording_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    first = Counting()
    whole = five_steps(Record(first, path))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:50])  # stopped in the midst of the fourth line
    assert len(Replay(path)) == 3
    rest = Counting()
    rest.count = 3
    assert five_steps(Record(rest, path, reuse=True)) == whole
    assert rest.count == 5, "only the two missing calls were made"
    assert len(Replay(path)) == 5
    assert five_steps(Replay(path)) == whole


def test_a_failure_that_ended_a_run_gives_way_when_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with pytest.raises(ChatError, match="used up"):
        Record(Scripted([]), path).chat(USER)
    assert Record(Scripted(["yes"]), path, reuse=True).chat(USER).text == "yes"
    assert Record(Scripted([]), path, reuse=True).chat(USER).text == "yes", "not asked a third time"
    assert Replay(path).chat(USER).text == "yes"
    # in one run, a failure and the next try are two calls
    other = Record(Scripted(["late"]), tmp_path / "d.jsonl")
    other.chat(USER)
    with pytest.raises(ChatError):
        other.chat(USER)
    replay = Replay(tmp_path / "d.jsonl")
    assert replay.chat(USER).text == "late"
    with pytest.raises(ChatError, match="used up"):
        replay.chat(USER)


def test_recordings_one_after_another_in_a_file_are_replayed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for text in "ab":
        Record(Scripted([text]), path).chat(USER)
    replay = Replay(path)
    assert [replay.chat(USER).text, replay.chat(USER).text] == ["a", "b"]
    assert [json.loads(line)["occurrence"] for line in path.read_text().splitlines()] == [0, 1]


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    model = Record(Scripted(lambda messages, **options: messages[0]["content"] * 300), path)
    threads = [
        threading.Thread(target=lambda i=i: [model.chat([{"role": "user", "content": f"{i}-{j} "}]) for j in range(10)])
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replay = Replay(path)
    assert len(replay) == 80
    assert replay.chat([{"role": "user", "content": "3-4 "}]).text == "3-4 " * 300


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are those of POSIX")
def test_a_cassette_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    Record(Counting(), path).chat(USER)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("content", ["hello\n", '{"a": 1}\n', '{"cassette": 1, "request": {"messages": []}}\n'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(content)
    for use in (Replay, lambda path: Record(Counting(), path)):
        with pytest.raises(ChatError, match="line 1 of"):
            use(path)
    assert path.read_text() == content


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    Record(Counting(), path).chat(USER)
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({**entry, "cassette": 2}) + "\n")
    with pytest.raises(ChatError, match="version 2; known is 1"):
        Replay(path)


def test_keys_never_reach_cassettes_logs_errors_or_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    own = "correct-horse-battery-staple"
    monkeypatch.setenv("MY_SERVICE_TOKEN", own)
    leaks = [KEY, own, "abcdef0123456789", "hf_0123456789abcdef", "AKIA0123456789ABCDEF"]
    prompt = (
        f"key {KEY}; token {own}; Authorization: Bearer abcdef0123456789; hf_0123456789abcdef AKIA0123456789ABCDEF; "
        "the basic idea stays, and so does a bearer of news and scikit-learn"
    )
    path = tmp_path / "c.jsonl"
    model = Record(Scripted(lambda messages, **options: f"you said {messages[0]['content']}"), path)
    asked = [{"role": "user", "content": prompt}]
    schema = {"type": "object", "properties": {KEY: {"enum": [own]}}}
    recorded = model.chat(asked, response_format=json_format(schema), role=f"role {KEY}")
    replay = Replay(path)
    assert replay.chat(asked, response_format=json_format(schema), role=f"role {KEY}") == recorded
    with pytest.raises(NotRecorded) as caught:
        replay.chat([{"role": "user", "content": prompt + " changed"}])
    everything = path.read_text() + str(caught.value) + repr(model) + repr(replay) + caplog.text + repr(recorded)
    everything += "".join(capfd.readouterr())
    for leak in leaks:
        assert leak not in everything
    assert "the basic idea stays, and so does a bearer of news and scikit-learn" in recorded.text
    assert recorded.text.count("[redacted]") == 5


def test_a_key_given_to_a_model_is_known_by_its_value(tmp_path: Path) -> None:
    from optimand.language.llm import OpenAICompatible

    key = "anunusualkeywithoutform"
    OpenAICompatible("http://localhost:1/v1", "m", api_key=key)
    path = tmp_path / "c.jsonl"
    Record(Counting(), path).chat([{"role": "user", "content": f"my key is {key}"}])
    assert key not in path.read_text()
    assert redact(f"<{key}>") == "<[redacted]>"
    assert redact("https://user:secret99@host/path") == "https://[redacted]@host/path"
    assert redact('{"api_key": "0123456789abcdef0123"}') == '{"api_key": "[redacted]"}'


def test_asking_for_structure_works_through_a_cassette(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    replies = Scripted(["not JSON", '{"x": 3}'])
    assert ask(Record(replies, path), USER, SCHEMA, role="r") == {"x": 3}
    assert ask(Replay(path), USER, SCHEMA, role="r") == {"x": 3}
