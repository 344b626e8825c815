"""The measurements count what they say they count, on models whose replies are known."""

from __future__ import annotations

import random
import re
from typing import Any

from optimand.language.llm import Scripted
from optimand.language.llm.measurements import embedded_json_validity, embedded_search_quality


def test_validity_is_counted_by_the_letter_and_after_mending() -> None:
    outside = '{"reasoning": "b", "suggestion": {"x": 99}}'
    replies = iter(["Sure: {'reasoning': 'a', 'suggestion': {'x': 3}}", "no", outside])
    good = '{"reasoning": "c", "suggestion": {"x": 4}}'
    model = Scripted(lambda messages, **options: good if options["response_format"] else next(replies))
    found = embedded_json_validity(3, chat=model)
    assert (found.free, found.free_read, found.enforced) == (0, 1, 3)
    assert found.usage.calls == 6
    assert str(found) == "free text 0/3 valid (1 after mending), with a schema 3/3"


def test_the_search_gives_every_searcher_the_same_game() -> None:
    def bisect(messages: Any, **options: Any) -> str:
        low, high = map(int, re.search(r"from (\d+) to (\d+)\. Your", messages[0]["content"]).groups())  # type: ignore[union-attr]
        return f'{{"x": {(low + high) // 2}}}'

    found = embedded_search_quality(20, steps=7, chat=Scripted(bisect))
    assert found.model == found.bisection == 20
    rng = random.Random(0)

    def guess(messages: Any, **options: Any) -> str:
        limits = options["response_format"]["json_schema"]["schema"]["properties"]["x"]
        return f'{{"x": {rng.randint(limits["minimum"], limits["maximum"])}}}'

    by_chance = embedded_search_quality(20, steps=7, chat=Scripted(guess))
    assert by_chance.model < 20
