"""Synthesis of modeling problems backwards: a formal demonstration first, then its program and its question.

Example:
    >>> from optimand.language.modeling.resocratic import dedupe
    >>> dedupe(["bread and rolls", "rolls and bread", "wheat"])
    [0, 2]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .chats import ByteTokenizer, encode_chat, to_messages, write_chat_jsonl
    from .decoder import TinyDecoder
    from .duplicates import dedupe, similarities
    from .finetuning import FineTuning, answer_loss, finetune
    from .formal import Reading, read_formal
    from .pools import Demonstration, load_pool, own_pool
    from .scenarios import Fault, Scenario, ScenarioError, Section, check_scenario, explode, parse_scenario
    from .simulated import SimulatedAuthor
    from .synthesis import ReSocratic, SyntheticPair, sampling_plan
    from .templates import TemplateGenerator, TemplateItem

_HOMES = {
    "ByteTokenizer": "chats",
    "Demonstration": "pools",
    "Fault": "scenarios",
    "FineTuning": "finetuning",
    "ReSocratic": "synthesis",
    "Reading": "formal",
    "Scenario": "scenarios",
    "ScenarioError": "scenarios",
    "Section": "scenarios",
    "SimulatedAuthor": "simulated",
    "SyntheticPair": "synthesis",
    "TemplateGenerator": "templates",
    "TemplateItem": "templates",
    "TinyDecoder": "decoder",
    "answer_loss": "finetuning",
    "check_scenario": "scenarios",
    "dedupe": "duplicates",
    "encode_chat": "chats",
    "explode": "scenarios",
    "finetune": "finetuning",
    "load_pool": "pools",
    "own_pool": "pools",
    "parse_scenario": "scenarios",
    "read_formal": "formal",
    "sampling_plan": "synthesis",
    "similarities": "duplicates",
    "to_messages": "chats",
    "write_chat_jsonl": "chats",
}

__all__ = [
    "ByteTokenizer",
    "Demonstration",
    "Fault",
    "FineTuning",
    "ReSocratic",
    "Reading",
    "Scenario",
    "ScenarioError",
    "Section",
    "SimulatedAuthor",
    "SyntheticPair",
    "TemplateGenerator",
    "TemplateItem",
    "TinyDecoder",
    "answer_loss",
    "check_scenario",
    "dedupe",
    "encode_chat",
    "explode",
    "finetune",
    "load_pool",
    "own_pool",
    "parse_scenario",
    "read_formal",
    "sampling_plan",
    "similarities",
    "to_messages",
    "write_chat_jsonl",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
