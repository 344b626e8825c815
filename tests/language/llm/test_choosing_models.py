"""A text or the environment says which model answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import (
    ChatError,
    EmbeddedModel,
    OpenAICompatible,
    Record,
    Replay,
    Roles,
    Scripted,
    endpoint_configured,
    open_chat,
)

USER = [{"role": "user", "content": "?"}]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "OPTIMAND_LLM", "OPTIMAND_LLM_BASE_URL", "OPTIMAND_LLM_API_KEY", "OPTIMAND_LLM_MODEL", "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
    ):  # fmt: skip
        monkeypatch.delenv(variable, raising=False)


def test_without_anything_set_it_is_the_embedded_model() -> None:
    assert isinstance(open_chat(), EmbeddedModel)
    assert not endpoint_configured()


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"OPENAI_API_KEY": "sk-0123456789"}, False),  # a key alone is no wish to spend
        ({"OPENAI_API_KEY": "sk-0123456789", "OPTIMAND_LLM_MODEL": "m"}, True),
        ({"OPTIMAND_LLM_MODEL": "m"}, False),
        ({"OPENAI_BASE_URL": "http://localhost:1/v1"}, True),
        ({"OPTIMAND_LLM_BASE_URL": "http://localhost:1/v1"}, True),
        ({"OPTIMAND_LLM": "embedded", "OPENAI_BASE_URL": "http://localhost:1/v1"}, False),
        ({"OPTIMAND_LLM": "openai:m"}, True),
        ({"OPTIMAND_LLM": "http://localhost:1/v1#m"}, True),
    ],
)
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: bool) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert endpoint_configured() is endpoint
    assert isinstance(open_chat(), OpenAICompatible) is endpoint


def test_specs(tmp_path: Path) -> None:
    assert open_chat("openai:gpt").name == "gpt at api.openai.com"
    assert open_chat("https://host/v1#org/model").name == "org/model at host"
    assert open_chat("embedded:other.gguf", threads=1).name == "other (embedded)"
    path = tmp_path / "c.jsonl"
    recorder = open_chat(f"record:{path}=embedded")
    assert isinstance(recorder, Record)
    Record(Scripted(["a"]), path).chat(USER)
    assert isinstance(open_chat(f"replay:{path}"), Replay)
    model = Scripted(["a"])
    assert open_chat(model) is model
    roles = open_chat({"": "embedded", "judge": "openai:gpt"})
    assert isinstance(roles, Roles)
    assert roles.model_for("judge.x").name == "gpt at api.openai.com"
    assert isinstance(roles.model_for("other"), EmbeddedModel)


@pytest.mark.parametrize("spec", ["gpt-4", "openai:", "replay:", "ftp://x"])
def test_what_is_no_spec_is_refused_with_the_forms(spec: str) -> None:
    with pytest.raises(OptimandError, match="expected"):
        open_chat(spec)


def test_bad_specs() -> None:
    with pytest.raises(TypeError, match="spec must be"):
        open_chat(7)  # type: ignore[arg-type]
    with pytest.raises(ChatError, match="no cassette"):
        open_chat("replay:nowhere.jsonl")
