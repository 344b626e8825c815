"""The HTTP backend against a server on this machine that behaves well, badly, and strangely."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import ChatError, ChatTimeout, OpenAICompatible, json_format, open_chat
from optimand.language.llm.waiting import listening

KEY = "sk-test-0123456789abcdef"
USER = [{"role": "user", "content": "?"}]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
Answer = tuple[int, Any, dict[str, str]]


def completion(*texts: str, **more: Any) -> Answer:
    choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in texts]
    usage = {"prompt_tokens": 5, "completion_tokens": 2 * len(texts)}
    return 200, {"choices": choices, "usage": usage, "model": "m-1", **more}, {}


def refusal(status: int, message: str, **more: Any) -> Answer:
    return status, {"error": {"message": message, **more}}, {}


class Server:
    """Answers with ``answer(path, body)``, or with the entries of a list one after another; keeps what was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, Any], Answer] | list[Answer] = []
        self.asked: list[tuple[str, Any, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.path, body, headers))
                answer = outer.answer
                status, found, more = answer.pop(0) if isinstance(answer, list) else answer(self.path, body)
                data = found.encode() if isinstance(found, str) else json.dumps(found).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), "Content-Type": "text/html", **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("OPTIMAND_LLM_API_KEY", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    found = Server()
    yield found
    found.close()


def client(server: Server, **options: Any) -> OpenAICompatible:
    return OpenAICompatible(server.url, "m", **{"api_key": KEY, "backoff": 0.001, **options})


def test_a_request_has_the_form_of_the_interface_and_its_reply_is_read(server: Server) -> None:
    server.answer = [completion("four", usage={"prompt_tokens": 7, "completion_tokens": 1, "cost": 0.25})]
    result = client(server, extra={"top_p": 0.9}, headers={"X-Title": "t"}).chat(
        USER, response_format=json_format(SCHEMA), temperature=0.5, max_tokens=9, seed=3, role="not.sent"
    )
    path, body, headers = server.asked[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m", "messages": USER, "max_tokens": 9, "temperature": 0.5, "seed": 3, "top_p": 0.9,
        "response_format": json_format(SCHEMA),
    }  # fmt: skip
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["x-title"] == "t"
    assert (result.text, result.model, result.finish_reasons) == ("four", "m-1", ("stop",))
    assert (result.usage.calls, result.usage.prompt_tokens, result.usage.completion_tokens) == (1, 7, 1)
    assert result.usage.cost == 0.25


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_faults_are_tried_again(server: Server, status: int) -> None:
    server.answer = [refusal(status, "busy"), refusal(status, "busy"), completion("ok")]
    sentences: list[str] = []
    assert client(server, progress=sentences.append).chat(USER).text == "ok"
    assert len(sentences) == 2
    assert f"status {status}; trying again" in sentences[0]


def test_waits_grow_and_are_never_more_than_allowed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("optimand.language.llm.openai_compatible.time.sleep", waits.append)
    server.answer = lambda path, body: refusal(500, "broken")
    with pytest.raises(ChatError, match=r"did not answer in 7 tries \(500: broken\)"):
        client(server, retries=6, backoff=1.0, max_wait=10.0).chat(USER)
    for wait, most in zip(waits, (1, 2, 4, 8, 10, 10), strict=True):
        assert most / 2 <= wait <= most


def test_what_the_server_says_about_waiting_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("optimand.language.llm.openai_compatible.time.sleep", waits.append)
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.answer = [
        (429, "{}", {"Retry-After": "7"}), (429, "{}", {"retry-after-ms": "250"}), (429, "{}", {"Retry-After": past}),
        completion("ok"),
    ]  # fmt: skip
    client(server).chat(USER)
    assert waits == [7.0, 0.25, 0.0]
    server.answer = [(429, {"error": "later"}, {"Retry-After": "3600"})]
    with pytest.raises(ChatError, match="asks to wait 3600 s, more than max_wait"):
        client(server).chat(USER)


def test_a_spent_account_is_not_asked_again(server: Server) -> None:
    server.answer = [refusal(429, "You exceeded your quota", code="insufficient_quota")]
    with pytest.raises(ChatError, match="quota"):
        client(server).chat(USER)
    assert len(server.asked) == 1


def test_a_schema_that_is_refused_is_asked_for_with_less_force(server: Server) -> None:
    seen: list[Any] = []

    def answer(path: str, body: Any) -> Answer:
        wanted = body.get("response_format", {})
        seen.append((wanted.get("type"), wanted.get("json_schema", {}).get("strict")))
        if "response_format" in body:
            return refusal(400, "response_format is not supported")
        return completion('{"x": 1}')

    server.answer = answer
    chat = client(server)
    assert chat.chat(USER, response_format=json_format(SCHEMA)).text == '{"x": 1}'
    assert seen == [("json_schema", True), ("json_schema", False), ("json_object", None), (None, None)]
    assert json.dumps(SCHEMA) in server.asked[-1][1]["messages"][-1]["content"]
    chat.chat(USER, response_format=json_format(SCHEMA))
    assert len(seen) == 5, "what was refused is remembered"
    assert chat.chat(USER, response_format={"type": "json_object"}).text == '{"x": 1}'
    assert "JSON" in server.asked[-1][1]["messages"][-1]["content"]


def test_a_refusal_for_another_reason_is_told_as_it_came_first(server: Server) -> None:
    server.answer = lambda path, body: refusal(400, "the prompt has 9000 tokens" if "response_format" in body else "?")
    with pytest.raises(ChatError, match=r"refused the request \(400: the prompt has 9000 tokens\)"):
        client(server).chat(USER, response_format=json_format(SCHEMA))


def test_parameters_that_a_model_refuses_are_left_out_from_then_on(server: Server) -> None:
    def answer(path: str, body: Any) -> Answer:
        if "max_tokens" in body:
            return refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return refusal(400, "Unsupported value", param="temperature")
        if "seed" in body:
            return 422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, {}
        return completion("ok")

    server.answer = answer
    chat = client(server)
    assert chat.chat(USER, seed=1, max_tokens=77).text == "ok"
    assert chat.adaptations == ["max_tokens", "temperature", "seed"]
    assert server.asked[-1][1] == {"model": "m", "messages": USER, "max_completion_tokens": 77}
    before = len(server.asked)
    chat.chat(USER, seed=1)
    assert len(server.asked) == before + 1


@pytest.mark.parametrize("way", ["refused", "ignored"])
def test_several_replies_are_drawn_one_by_one_where_the_server_cannot(server: Server, way: str) -> None:
    def answer(path: str, body: Any) -> Answer:
        if way == "refused" and body.get("n", 1) > 1:
            return refusal(400, "Field 'n': must be 1")
        return completion(f"seed {body['seed']}")

    server.answer = answer
    result = client(server).chat(USER, n=3, seed=10)
    assert result.texts == ("seed 10", "seed 11", "seed 12")
    assert len(result.finish_reasons) == 3
    assert result.usage.calls == 3
    assert result.usage.completion_tokens == 6


def test_several_replies_are_drawn_at_once_where_the_server_can(server: Server) -> None:
    server.answer = [completion("a", "b")]
    assert client(server).chat(USER, n=2).texts == ("a", "b")
    assert server.asked[0][1]["n"] == 2


def test_a_refused_or_missing_key_is_said(server: Server) -> None:
    server.answer = lambda path, body: refusal(401, f"Incorrect API key provided: {KEY}")
    with pytest.raises(ChatError, match="refused the key that was given") as caught:
        client(server).chat(USER)
    assert KEY not in str(caught.value)
    with pytest.raises(ChatError, match="wants a key and none is set; set OPTIMAND_LLM_API_KEY"):
        client(server, api_key=None).chat(USER)


def test_an_unknown_model_is_told_from_a_wrong_path(server: Server) -> None:
    def answer(path: str, body: Any) -> Answer:
        return (200, {"data": [{"id": "llama-3"}]}, {}) if path == "/v1/models" else refusal(404, "not found")

    server.answer = answer
    with pytest.raises(ChatError, match=r"has no model 'lama-3'; did you mean 'llama-3'\? \(it has llama-3\)"):
        OpenAICompatible(server.url, "lama-3", api_key=KEY).chat(USER)
    server.answer = lambda path, body: (404, "<html>nothing here</html>", {})
    with pytest.raises(ChatError, match="does the URL end in /v1"):
        client(server).chat(USER)


def test_the_only_model_need_not_be_named(server: Server) -> None:
    server.answer = [(200, {"data": [{"id": "only"}]}, {}), completion("ok")]
    chat = OpenAICompatible(server.url + "/chat/completions/", api_key=KEY)
    chat.chat(USER)
    assert server.asked[1][1]["model"] == "only"
    server.answer = [(200, {"data": [{"id": "a"}, {"id": "b"}]}, {})]
    with pytest.raises(ChatError, match=r"has 2 models \(a, b\); name one"):
        OpenAICompatible(server.url, api_key=KEY).chat(USER)


@pytest.mark.parametrize("body", ["<html>hello</html>", "[1]", "", '{"choices": []}', '{"choices": [{"text": "old"}]}'])
def test_what_is_no_completion_is_said_to_be_none(server: Server, body: str) -> None:
    server.answer = [(200, body, {})]
    with pytest.raises(ChatError, match=r"not with JSON|without a choice"):
        client(server).chat(USER)


def test_replies_in_parts_refusals_and_missing_counts(server: Server) -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    server.answer = [
        (200, {"choices": [{"message": {"content": parts}}]}, {}),
        (200, {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "content_filter"}]}, {}),
    ]
    first = client(server).chat(USER)
    assert first.text == "ab"
    assert first.usage.tokens > 0, "budgets need a count even where the server gives none"
    second = client(server).chat(USER)
    assert (second.text, second.finish_reasons) == ("no", ("content_filter",))


def test_a_redirect_does_not_take_the_key_to_another_host(server: Server) -> None:
    other = Server()
    try:
        other.answer = lambda path, body: completion("stolen")
        target = other.url + "/chat/completions"
        server.answer = lambda path, body: (307, "", {"Location": target})
        with pytest.raises(ChatError, match=r"redirects to http.*not followed"):
            client(server).chat(USER)
        assert other.asked == []
    finally:
        other.close()
    server.answer = [(308, "", {"Location": "/v2/chat/completions"}), completion("moved")]
    assert client(server).chat(USER).text == "moved"
    assert server.asked[-1][0] == "/v2/chat/completions"
    assert server.asked[-1][2]["authorization"] == f"Bearer {KEY}"
    server.answer = lambda path, body: (302, "", {"Location": "/v1/chat/completions"})
    with pytest.raises(ChatError, match="redirects"):
        client(server).chat(USER)


def test_proxies_of_the_environment_are_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.answer = [completion("through the proxy")]
    chat = OpenAICompatible("http://models.internal/v1", "m", api_key=KEY)
    assert chat.chat(USER).text == "through the proxy"
    assert server.asked[0][0] == "http://models.internal/v1/chat/completions"


def test_no_server_and_a_slow_one_are_different_errors(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ChatError, match=r"no server answers at .*; 2 tries\); is it running") as caught:
        OpenAICompatible(url, "m", retries=1, backoff=0.001).chat(USER)
    assert not isinstance(caught.value, ChatTimeout)
    release = threading.Event()

    def answer(path: str, body: Any) -> Answer:
        release.wait(5)
        return completion("late")

    server.answer = answer
    with pytest.raises(ChatTimeout, match=r"within timeout=0.2 s \(1 try\)"):
        client(server, timeout=0.2, retries=0).chat(USER)
    heard: list[str] = []
    with listening(heard.append), pytest.raises(ChatTimeout, match=r"within timeout=0.05 s \(3 tries\)"):
        client(server, timeout=0.05, retries=6).chat(USER)
    assert [sentence.partition(": ")[2] for sentence in heard] == [
        "no answer in 0.05 s, try 2 of 3", "no answer in 0.05 s, try 3 of 3",
    ]  # fmt: skip
    release.set()


def test_the_time_out_comes_from_the_environment_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTIMAND_LLM_TIMEOUT", raising=False)
    assert OpenAICompatible("http://localhost:1/v1", "m").timeout == 120
    monkeypatch.setenv("OPTIMAND_LLM_TIMEOUT", "7.5")
    assert OpenAICompatible("http://localhost:1/v1", "m").timeout == 7.5
    assert OpenAICompatible("http://localhost:1/v1", "m", timeout=3).timeout == 3
    for wrong in ("soon", "0", "-1", "nan"):
        monkeypatch.setenv("OPTIMAND_LLM_TIMEOUT", wrong)
        with pytest.raises(OptimandError, match="OPTIMAND_LLM_TIMEOUT must be a number of seconds"):
            OpenAICompatible("http://localhost:1/v1", "m")


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"choices": []', b" "),  # its end is the connection's
    ],
    ids=["body", "headers", "chunk", "continue", "unbounded"],
)
def test_a_server_that_trickles_is_cut_off_at_the_deadline(begin: bytes, drop: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(begin)
            while not stop.wait(0.02):
                try:
                    connection.sendall(drop)
                except OSError:
                    return

    thread = threading.Thread(target=trickle)
    thread.start()
    giving_up = threading.Timer(10, stop.set)  # the deadline must come before the server's end
    giving_up.start()
    try:
        with pytest.raises(ChatTimeout):
            OpenAICompatible(f"http://127.0.0.1:{listener.getsockname()[1]}", "m", timeout=0.2, retries=0).chat(USER)
        assert not stop.is_set()
    finally:
        giving_up.cancel()
        stop.set()
        thread.join()
        listener.close()


def test_the_key_is_never_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sentences: list[str] = []
    echo = f"the header was Bearer {KEY}"
    server.answer = lambda path, body: refusal(500, echo)
    chat = client(server, retries=1, progress=sentences.append, headers={"X-Key": KEY})
    with pytest.raises(ChatError) as caught:
        chat.chat(USER)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    shown = [repr(chat), str(chat), chat.name, caplog.text, *sentences, repr(vars(chat)["_key"])]
    assert all(KEY not in text for text in shown)
    assert KEY.encode() not in pickle.dumps(chat)


def test_a_key_in_a_header_is_kept_like_the_other(server: Server) -> None:
    own = "nothing in its form tells"
    server.answer = lambda path, body: refusal(400, f"bad header {own.split()[-1]}-0123456789")
    chat = client(server, headers={"api-key": own + "-0123456789", "X-Title": "a title in plain sight"})
    with pytest.raises(ChatError) as caught:
        chat.chat(USER)
    assert "0123456789" not in str(caught.value)
    data = pickle.dumps(chat)
    assert b"0123456789" not in data
    assert b"a title in plain sight" in data


def test_a_pickled_client_reads_its_key_from_the_environment_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    data = pickle.dumps(client(server, api_key=None))
    assert KEY.encode() not in data
    server.answer = [completion("ok")]
    assert pickle.loads(data).chat(USER).text == "ok"
    assert server.asked[0][2]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("ftp://host/v1", "must be like"), ("host/v1", "must be like"), ("http://", "must be like"),
        ("http://user:pass1234@host/v1", "no user, password"), ("http://host/v1?api_key=1", "no user, password"),
        ("http://host:port/v1", "no address"),
    ],
)  # fmt: skip
def test_addresses_are_checked(url: str, match: str) -> None:
    with pytest.raises(OptimandError, match=match) as caught:
        OpenAICompatible(url, "m")
    assert "pass1234" not in str(caught.value)


def test_options_are_checked_and_an_unencrypted_key_is_warned_about(server: Server) -> None:
    with pytest.raises(ValueError, match="timeout"):
        client(server, timeout=0)
    with pytest.raises(ValueError, match="retries"):
        client(server, retries=-1)
    with pytest.raises(TypeError, match="base_url"):
        OpenAICompatible(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="api_key must be printable"):
        client(server, api_key="a\nb")
    with pytest.raises(ValueError, match="n must be at least 1"):
        client(server).chat(USER, n=0)
    with pytest.warns(UserWarning, match="unencrypted"):
        OpenAICompatible("http://models.example.org/v1", "m", api_key=KEY)


def test_the_environment_names_the_endpoint(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTIMAND_LLM", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://unused.invalid/v1")
    monkeypatch.setenv("OPTIMAND_LLM_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused-0123456789")
    monkeypatch.setenv("OPTIMAND_LLM_API_KEY", KEY)
    monkeypatch.setenv("OPTIMAND_LLM_MODEL", "chosen")
    server.answer = [completion("ok"), completion("ok")]
    open_chat().chat(USER)
    open_chat("openai:other").chat(USER)
    assert [body["model"] for _, body, _ in server.asked] == ["chosen", "other"]
    assert server.asked[0][2]["authorization"] == f"Bearer {KEY}"
