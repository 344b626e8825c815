"""Synthesis of modeling problems backwards: a formal demonstration first, then its program and its question.

Example:
    >>> from optimand.language.modeling.resocratic import dedupe
    >>> dedupe(["bread and rolls", "rolls and bread", "wheat"])
    [0, 2]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .chats import ByteTokenizer as ByteTokenizer
    from .chats import encode_chat as encode_chat
    from .chats import to_messages as to_messages
    from .chats import write_chat_jsonl as write_chat_jsonl
    from .decoder import TinyDecoder as TinyDecoder
    from .duplicates import dedupe as dedupe
    from .duplicates import similarities as similarities
    from .finetuning import FineTuning as FineTuning
    from .finetuning import answer_loss as answer_loss
    from .finetuning import finetune as finetune
    from .formal import Reading as Reading
    from .formal import read_formal as read_formal
    from .pools import Demonstration as Demonstration
    from .pools import load_pool as load_pool
    from .pools import own_pool as own_pool
    from .scenarios import Fault as Fault
    from .scenarios import Scenario as Scenario
    from .scenarios import ScenarioError as ScenarioError
    from .scenarios import Section as Section
    from .scenarios import check_scenario as check_scenario
    from .scenarios import explode as explode
    from .scenarios import parse_scenario as parse_scenario
    from .simulated import SimulatedAuthor as SimulatedAuthor
    from .synthesis import ReSocratic as ReSocratic
    from .synthesis import SyntheticPair as SyntheticPair
    from .synthesis import sampling_plan as sampling_plan
    from .templates import TemplateGenerator as TemplateGenerator
    from .templates import TemplateItem as TemplateItem

__getattr__, __dir__, __all__ = lazy_exports(__name__)
