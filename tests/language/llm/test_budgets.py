"""Calls are counted and limited, whoever makes them; roles choose models; equal calls can be answered once."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

import pytest

from optimand.language.llm import BudgetExceeded, Cached, ChatError, ChatResult, Metered, Roles, Scripted, Usage

USER = [{"role": "user", "content": "x" * 40}]


class Fixed:
    name = "fixed"

    def __init__(self, prompt: int = 100, completion: int = 10, cost: float = 0.0) -> None:
        self.usage = Usage(1, prompt, completion, 0.0, cost)
        self.asked = 0

    def chat(self, messages: Any, **options: Any) -> ChatResult:
        self.asked += 1
        return ChatResult(("ok",), self.usage, ("stop",), "fixed")


def test_usage_is_summed_and_split_by_role() -> None:
    told: list[tuple[str, Usage]] = []
    model = Metered(Fixed(), prices=(2.0, 10.0), on_call=lambda role, usage: told.append((role, usage)))
    for role in ("a", "a", "b"):
        model.chat(USER, role=role)
    assert (model.usage.calls, model.usage.prompt_tokens, model.usage.completion_tokens) == (3, 300, 30)
    assert model.usage.cost == pytest.approx(3 * (100 * 2.0 + 10 * 10.0) / 1e6)
    assert {role: usage.calls for role, usage in model.by_role.items()} == {"a": 2, "b": 1}
    assert [role for role, _ in told] == ["a", "a", "b"]
    assert model.name == "fixed"


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ({"max_calls": 3}, 3), ({"max_calls": 0}, 0), ({"max_tokens": 220}, 2), ({"max_tokens": 221}, 3),
        ({"max_cost": 0.0006, "prices": (2.0, 10.0)}, 2), ({"max_cost": 0.0007, "prices": (2.0, 10.0)}, 3),
    ],
)  # fmt: skip
def test_a_call_is_refused_before_it_is_made(limits: dict[str, Any], allowed: int) -> None:
    inner = Fixed()
    model = Metered(inner, **limits)
    for _ in range(allowed):
        model.chat(USER)
    with pytest.raises(BudgetExceeded, match=next(iter(limits))):
        model.chat(USER)
    assert inner.asked == allowed


def test_a_strict_limit_is_never_passed() -> None:
    inner = Fixed(prompt=18, completion=100)
    model = Metered(inner, max_tokens=350, strict=True)
    model.chat(USER, max_tokens=100)
    model.chat(USER, max_tokens=100)
    with pytest.raises(BudgetExceeded, match=r"leaves 114, and a call may take 118"):
        model.chat(USER, max_tokens=100)
    model.chat(USER, max_tokens=90)
    with pytest.raises(BudgetExceeded):
        Metered(inner, max_cost=0.001, prices=(0.0, 1.0), strict=True).chat(USER, n=3, max_tokens=500)


def test_costs_that_the_backend_reports_count_without_prices() -> None:
    model = Metered(Fixed(cost=0.5), max_cost=1.0)
    model.chat(USER)
    model.chat(USER)
    with pytest.raises(BudgetExceeded, match=r"max_cost=1 is reached \(1 used\)"):
        model.chat(USER)


def test_threads_together_keep_the_limit_on_calls() -> None:
    gate = threading.Barrier(8)

    class Slow(Fixed):
        def chat(self, messages: Any, **options: Any) -> ChatResult:
            return super().chat(messages)

    inner = Slow()
    model = Metered(inner, max_calls=20)
    refused = []

    def work() -> None:
        gate.wait()
        for _ in range(10):
            try:
                model.chat(USER, role="t")
            except BudgetExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inner.asked == model.usage.calls == model.by_role["t"].calls == 20
    assert len(refused) == 60


def test_failed_calls_are_not_counted_and_free_their_place() -> None:
    model = Metered(Scripted([]), max_calls=1)
    for _ in range(3):
        with pytest.raises(ChatError, match="used up"):
            model.chat(USER)
    assert model.usage == Usage()


def test_a_budget_goes_on_from_what_was_used_and_survives_pickling() -> None:
    model = Metered(Scripted(["a"], repeat=True), max_calls=3, used=Usage(calls=2))
    model.chat(USER)
    with pytest.raises(BudgetExceeded):
        model.chat(USER)
    again = pickle.loads(pickle.dumps(Metered(Fixed(), max_calls=5, used=Usage(calls=4))))
    again.chat(USER)
    with pytest.raises(BudgetExceeded):
        again.chat(USER)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="max_calls"):
        Metered(Fixed(), max_calls=-1)
    with pytest.raises(TypeError, match="max_tokens"):
        Metered(Fixed(), max_tokens=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prices"):
        Metered(Fixed(), prices=(1.0,))  # type: ignore[arg-type]


def test_roles_choose_by_the_longest_prefix_of_whole_words() -> None:
    a, b, c = Fixed(), Fixed(), Fixed()
    model = Roles({"alpha": a, "alpha.code": b}, c)
    for role in ("alpha", "alpha.text", "alpha.code.fix", "alphabet", ""):
        model.chat(USER, role=role, n=1)
    assert (a.asked, b.asked, c.asked) == (2, 1, 2)
    assert "alpha: fixed" in model.name
    with pytest.raises(ChatError, match="no model for the role 'x'; there are alpha"):
        Roles({"alpha": a}).chat(USER, role="x")
    with pytest.raises(TypeError, match="the model for 'a' must have"):
        Roles({"a": "gpt"})  # type: ignore[dict-item]


def test_threads_with_the_same_request_ask_once_and_a_failure_is_not_kept() -> None:
    class Slow(Fixed):
        def chat(self, messages: Any, **options: Any) -> ChatResult:
            if super().chat(messages) and self.asked == 1:
                raise ChatError("busy")
            time.sleep(0.05)
            return ChatResult((str(self.asked),))

    inner = Slow()
    model = Cached(inner)
    with pytest.raises(ChatError, match="busy"):
        model.chat(USER)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(model.chat(USER).text)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["2"] * 6
    assert (inner.asked, model.hits) == (2, 5)


def test_equal_requests_are_answered_from_memory() -> None:
    inner = Fixed()
    model = Cached(inner, size=2)
    first = model.chat(USER, seed=1)
    again = model.chat(USER, seed=1)
    assert (again.texts, again.usage) == (first.texts, Usage())
    assert (inner.asked, model.hits) == (1, 1)
    for seed in (2, 3, 1):
        model.chat(USER, seed=seed)
    assert inner.asked == 4, "the oldest of three was dropped"
