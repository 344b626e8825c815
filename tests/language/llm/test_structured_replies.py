"""JSON is found in replies as models write them; what would have to be guessed is refused."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.language.llm import Scripted
from optimand.language.llm.structured import ReplyError, ask, read_all_json, read_json

USER = [{"role": "user", "content": "?"}]
TRUE = {"reasoning": "Lower x.", "suggestion": {"x": 7}}


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1, "b": [true, null]}',
        '<think>{not it} {"a": 2}</think>{"a": 1, "b": [true, null]}',
        'no opening tag {"a": 2} </think> {"a": 1, "b": [true, null]}',
        'Sure!\n```json\n{"a": 1, "b": [true, null]}\n```\nHope {this} helps.',
        "{'a': 1, 'b': [True, None],}",
        "{a: 1, b: [true, null]}",
        '{"a": 1 // one\n, /* two */ "b": [true, null,],}',
        '{"a": 1\n "b": [true, null]}',
        "{“a”: 1, “b”: [true, null]}",
        '[1] {"a": 1, "b": [true, null]} [2]',
        '{"a": 1, "b": [true, null]}}',
        '{}\n{"a": 1, "b": [true, null]}',
        r'"{\"a\": 1, \"b\": [true, null]}"',
        '\ufeff{"a": 1, "b": [true, null]}',
        '{"a": +1., "b": [true, null]}',
        '<answer>{"a": 1, "b": [true, null]}</answer>',
        '[THINK]hm[/THINK]{"a": 1, "b": [true, null]}',
    ],
)
def test_one_meaning_is_read_however_it_is_written(reply: str) -> None:
    assert read_json(reply) == {"a": 1, "b": [True, None]}


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('{"s": "say "hi", please"}', 'say "hi", please'),
        ('{"s": "print("a", "b")"}', 'print("a", "b")'),
        ("{'s': 'don't stop'}", "don't stop"),
        ('{"s": "a\nb\tc"}', "a\nb\tc"),
        (r'{"s": "\frac{a}{b} \times \theta"}', r"\frac{a}{b} \times \theta"),
        (r'{"s": "\alpha \neq \nu"}', r"\alpha \neq \nu"),
        (r'{"s": "x\nu = 3\n\treturn \"q\""}', 'x\nu = 3\n\treturn "q"'),
        (r'{"s": "\(x\) \$5 C:\dir"}', r"\(x\) \$5 C:\dir"),
        (r'{"s": "\\frac and \\n"}', r"\frac and \n"),
        (r"{'s': 'it\'s'}", "it's"),
        ('{"s": """def f():\n    return "1"\n"""}', 'def f():\n    return "1"\n'),
        ('{"s": "use </think> here"}', "use </think> here"),
        ('Here: {"s": "use </think> here"}', "use </think> here"),
        (r'{"s": "\ud83d\ude00 \u00e9",}', "😀 é"),
        ('{"s": "{\\"a\\": 1}",}', '{"a": 1}'),
        ('{"s": "```python\\nx = {}\\n```",}', "```python\nx = {}\n```"),
    ],
)
def test_strings_keep_their_text(reply: str, text: str) -> None:
    assert read_json(reply) == {"s": text}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "no JSON at all",
        '{"x": 1,000}',
        '{"x": 007}',
        '{"x": 7%}',
        '{"x": 1/2}',
        '{"x": NaN}',
        '{"x": Infinity}',
        '{"x": 1, "x": 2}',
        '{"x": seven}',
        '{"x": "a" + "b"}',
        '{"x": "a"; "y": "b"}',
        '{"outer": {"x": 1}, oops oops}',
        '{"x": 1}, "y": 2}',
        '{"x": [1, 2, ...]}',
        '{"x": 1 "broken} and then {"y": 2}',
    ],
)
def test_what_would_have_to_be_guessed_is_refused(reply: str) -> None:
    with pytest.raises(ReplyError):
        read_json(reply)


@pytest.mark.parametrize(
    "reply", ['{"x": 1', '{"x": "abc', '{"x": [1, 2', '{"x"', "<think> {", '{"a": {"b": 1}', '[{"x": 1}, {']
)
def test_a_reply_that_ends_inside_its_value_is_said_to_be_cut_off(reply: str) -> None:
    if reply == '{"x"':  # nothing shows yet that this would have become an object
        with pytest.raises(ReplyError):
            read_json(reply)
        return
    with pytest.raises(ReplyError) as caught:
        read_json(reply)
    assert caught.value.cut_off


def test_a_second_value_that_is_cut_off_is_not_passed_over() -> None:
    with pytest.raises(ReplyError, match="cut off"):
        read_json('{"x": 1}\nWait, better: {"x": 2, "y"')
    with pytest.raises(ReplyError, match="cut off"):
        read_json('{"x": 1}\nWait, better: {"x": 2, "y": ')


def test_of_several_values_the_last_that_fits_is_taken() -> None:
    reply = 'First {"x": 1}, no: {"x": 2}. {"note": "done"}'
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    assert read_json(reply, schema) == {"x": 2}
    assert read_json(reply, schema, several="first") == {"x": 1}
    assert read_all_json(reply) == [{"x": 1}, {"x": 2}, {"note": "done"}]
    with pytest.raises(ReplyError, match="different JSON values"):
        read_json(reply, schema, several="error")
    with pytest.raises(ValueError, match="several must be one of"):
        read_json(reply, several="both")
    assert read_json('```json\n{"x": 1}\n```\nnot {"x": 2}') == {"x": 1}


def test_a_correction_after_broken_json_needs_a_schema_to_be_known_as_one() -> None:
    with pytest.raises(ReplyError, match="malformed"):
        read_json('{"x": "a" + "b"} I mean {"x": "ab"}')
    assert read_json('{"x": "7" 7} I mean {"x": 7}', {"type": "object", "required": ["x"]}) == {"x": 7}


def test_scalars_count_only_alone() -> None:
    assert read_json(" 42 ") == 42
    assert read_json('```\n"text"\n```') == "text"
    with pytest.raises(ReplyError):
        read_json("about 42")


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    with pytest.raises(ReplyError):
        read_json("[" * 100_000)
    with pytest.raises(TypeError, match="text must be a string"):
        read_json(None)  # type: ignore[arg-type]


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(plain_json.filter(lambda value: isinstance(value, dict | list)))
def test_correct_json_is_read_as_it_is_by_both_readers(value: Any) -> None:
    text = json.dumps(value)
    assert read_json(text) == value
    if value:
        assert read_json(f"Here you are:\n{text}\nThat is it") == value


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(st.sampled_from("{}[]\"'`,:\\ \n/*#0123456789.-+eEtruefalsNn<>“”")))
def test_any_text_gives_a_value_or_says_why_not(text: str) -> None:
    with contextlib.suppress(ReplyError):
        value = read_json(text)
        assert json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize(
    "piece", ['{"a":', "[{", '{"a": "b" ', "{'", "<think>", '"', "\\", "/*", "{a: 'b', ", "```json\n{"]
)
def test_hostile_replies_are_read_in_little_time(piece: str) -> None:
    with contextlib.suppress(ReplyError):
        read_json(piece * (40_000 // len(piece)))


# Mutations of correct replies. Each keeps the meaning; the reader must find it again or refuse.
def _single_quotes(text: str, value: Any, rng: random.Random) -> str:
    return repr(value)


def _bare_keys(text: str, value: Any, rng: random.Random) -> str:
    for key in ("reasoning", "answer", "suggestion"):
        text = text.replace(f'"{key}":', f"{key}:")
    return text


def _trailing_commas(text: str, value: Any, rng: random.Random) -> str:
    return text[:-1].rstrip() + ",\n}" if text.endswith("}") else text


def _missing_comma(text: str, value: Any, rng: random.Random) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False).replace('",\n "suggestion"', '"\n "suggestion"')


def _python_constants(text: str, value: Any, rng: random.Random) -> str:
    return text.replace(": true", ": True").replace(": false", ": False")


def _raw_line_breaks(text: str, value: Any, rng: random.Random) -> str:
    return re.sub(r"(?<!\\)\\n", "\n", text)


def _single_backslashes(text: str, value: Any, rng: random.Random) -> str:
    return text.replace("\\\\", "\\")


def _bare_quotes(text: str, value: Any, rng: random.Random) -> str:
    return text.replace('\\"', '"')


def _typographic(text: str, value: Any, rng: random.Random) -> str:
    return text.replace('"reasoning":', "“reasoning”:").replace('"suggestion":', "“suggestion”:")


def _comment(text: str, value: Any, rng: random.Random) -> str:
    return text.replace('{"reasoning"', '{ // the reply\n "reasoning"', 1)


def _numbers_as_text(text: str, value: Any, rng: random.Random) -> str:
    x = json.dumps(value["suggestion"]["x"])
    return text.replace(f'"x": {x}', f'"x": "{x}"')


INNER: list[Callable[[str, Any, random.Random], str]] = [
    _bare_keys, _trailing_commas, _python_constants, _raw_line_breaks, _single_backslashes, _bare_quotes, _typographic,
    _comment, _numbers_as_text,
]  # fmt: skip
WHOLE = [_single_quotes, _missing_comma]
OUTER: list[Callable[[str], str]] = [
    lambda text: f"<think>\nShall it be {{x}} or {{\"suggestion\": {{\"x\": 1}}}}?\n</think>\n{text}",
    lambda text: f"I tried {{\"suggestion\": ... }}</think>{text}",
    lambda text: f"```json\n{text}\n```",
    lambda text: f"```\n{text}\n```\nThe set {{x}} is bounded.",
    lambda text: f"Here is my answer [1]:\n\n{text}\n\nLet me know!",
    lambda text: f'{{"note": "before"}}\n{text}',
    lambda text: f'{text}\n{{"note": "after"}}',
    lambda text: f'{{"reasoning": "draft", "answer": "", "suggestion": {{"x": 0}}}}\nBetter:\n{text}',
    lambda text: f"{text}\n{text}",
    lambda text: f"<answer>{text}</answer>",
    lambda text: text + "}",
    lambda text: "\ufeff" + text + "\n\n",
]  # fmt: skip
REASONS = [
    "x is too large, so it must be lowered.",
    'The output says "larger"; it isn\'t small.',
    "Use \\frac{a}{b} \\times \\theta, with \\alpha \\neq 0.",
    "Two lines:\n- the first\n- the second {with braces}",
    "TERMINATE is not what I mean; 1,000 > 7.",
    "größer als 3 → kleiner",
]
CODES = [
    "def act(x):\n    return 10 / x",
    "def act(x):\n    print('a', 'b')\n    return {'k': [1, 2]}",
    'def act(x):\n    return f"{x}: {x + 1}"',
]
SCHEMA = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "answer": {"type": "string"},
        "suggestion": {
            "type": "object",
            "properties": {
                "x": {"type": "number"},
                "flag": {"type": "boolean"},
                "code": {"type": "string"},
                "items": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["x"],
        },
    },
    "required": ["reasoning", "suggestion"],
}


def mutated_replies(count: int, seed: int) -> list[tuple[str, Any]]:
    rng = random.Random(seed)
    replies = []
    for _ in range(count):
        value = {
            "reasoning": rng.choice(REASONS),
            "answer": rng.choice(["", "lower x", "TERMINATE or not"]),
            "suggestion": {
                "x": rng.choice([rng.randint(-99, 99), round(rng.uniform(-5, 5), 3), 1e-7]),
                "flag": rng.random() < 0.5,
                "code": rng.choice(CODES),
                "items": [rng.randint(0, 9) for _ in range(rng.randint(0, 4))],
            },
        }
        text = json.dumps(value, ensure_ascii=False)
        if rng.random() < 0.25:
            text = rng.choice(WHOLE)(text, value, rng)
        else:
            for change in sorted(rng.sample(INNER, rng.randint(1, 3)), key=INNER.index):
                text = change(text, value, rng)
        for change in rng.sample(OUTER, rng.randint(0, 2)):
            text = change(text)
        replies.append((text, value))
    return replies


def test_mutated_replies_are_recovered_and_none_is_read_wrongly() -> None:
    wrong: list[tuple[Any, Any, str]] = []
    recovered = 0
    replies = mutated_replies(1000, seed=0)
    for text, value in replies:
        try:
            found = read_json(text, SCHEMA)
        except ReplyError:
            continue
        if found == value:
            recovered += 1
        else:
            wrong.append((found, value, text))
    assert not wrong, wrong[0]
    assert recovered >= 0.95 * len(replies)


def structure(text: str) -> list[int]:
    """Where brackets, colons, commas and the quotes around strings stand in correct JSON."""
    places = []
    inside = escaped = False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            inside = not inside
            places.append(i)
        elif not inside and char in "{}[]:,":
            places.append(i)
    return places


def test_a_lost_doubled_or_changed_mark_never_makes_another_value() -> None:
    rng = random.Random(2)
    for _, value in mutated_replies(1500, seed=2):
        text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 1]))
        at = rng.choice(structure(text))
        mark = rng.choice(["", text[at] * 2, rng.choice('{}[]:,";')])
        damaged = text[:at] + mark + text[at + 1 :]
        try:
            assert json.loads(damaged)
            continue  # correct JSON of another value, such as an empty text that became a quote
        except ValueError:
            pass
        reply = rng.choice(["{}", "Sure:\n{}\nDone."]).replace("{}", damaged)
        try:
            found = read_json(reply, SCHEMA)
        except ReplyError:
            continue
        assert found == value, reply


def test_replies_cut_anywhere_are_never_read_as_something_else() -> None:
    for text, value in mutated_replies(60, seed=1):
        for end in random.Random(len(text)).sample(range(len(text)), 12):
            try:
                found = read_json(text[:end], SCHEMA)
            except ReplyError:
                continue
            # A draft or a repeated object before the cut is complete in itself.
            assert found == value or found["reasoning"] == "draft", (text, end)


def test_asking_names_the_fault_and_asks_again() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 10}}, "required": ["n"]}
    model = Scripted(["I think twelve", '{"n": 12}', '{"n": 7.0}'])
    assert ask(model, USER, schema, role="test", seed=5) == {"n": 7}
    (_, first), (second, options), (third, _) = model.calls
    assert first["response_format"]["json_schema"]["schema"] == schema
    assert (first["seed"], options["seed"], first["role"]) == (5, 6, "test")
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert "holds no JSON" in second[-1]["content"]
    assert "12 is above the maximum 10" in third[-1]["content"]


def test_asking_gives_up_with_the_last_fault() -> None:
    model = Scripted(['{"n": "many"}'], repeat=True, name="m")
    with pytest.raises(ReplyError, match=r"'test' from 'm' in 2 calls.*must be integer") as caught:
        ask(model, USER, {"properties": {"n": {"type": "integer"}}}, role="test", retries=1)
    assert len(model.calls) == 2
    assert caught.value.faults == ('$.n: must be integer, got "many"',)
    with pytest.raises(ValueError, match="retries"):
        ask(model, USER, {}, role="test", retries=-1)


def test_a_further_condition_counts_as_a_fault() -> None:
    model = Scripted(['{"n": 1}', '{"n": 2}'])
    value = ask(model, USER, {}, role="t", check=lambda reply: "n must be even" if reply["n"] % 2 else None)
    assert value == {"n": 2}
    assert "n must be even" in model.calls[1][0][-1]["content"]


def test_a_reply_cut_off_at_the_limit_is_reported_as_such_and_given_more() -> None:
    from optimand.language.llm import ChatResult

    class Short:
        name = "short"

        def __init__(self) -> None:
            self.limits: list[int] = []
            self.last: Any = None

        def chat(self, messages: Any, *, max_tokens: int = 0, **options: Any) -> ChatResult:
            self.limits.append(max_tokens)
            self.last = messages
            return ChatResult(('{"n": [1, 2',), finish_reasons=("length",))

    model = Short()
    with pytest.raises(ReplyError, match="cut off at max_tokens=200") as caught:
        ask(model, USER, {}, role="t", max_tokens=100, retries=1)
    assert caught.value.cut_off
    assert model.limits == [100, 200]
    assert [message["role"] for message in model.last] == ["user"]
    assert "more briefly" in model.last[0]["content"]


NUMBER = {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 0.1}}}
NESTED = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("[" * 990 + "]" * 990, {"type": "integer"}), ("[" * 900 + "]" * 900, NESTED), ("[1]", {"$ref": "#"}),
        ('{"a": ' + "9" * 400 + "}", NUMBER), ('{"a": "' + "9" * 5000 + '"}', NUMBER),
        ('{"a": "' + "[" * 5000 + '"}', {"properties": {"a": {"type": "array"}}}),
        ("```" + " " * 20_000 + "x", None), ("```" + "a" * 20_000, None), (" " * 20_000, None),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_too_deep_or_too_large_is_refused_as_any_other_reply(text: str, schema: Any) -> None:
    with pytest.raises(ReplyError):
        read_json(text, schema)


def test_large_integers_are_numbers_and_halves_of_characters_are_marked() -> None:
    large = 10**400
    assert read_json(f'{{"a": {large}}}', {"properties": {"a": {"type": "number", "minimum": 3}}}) == {"a": large}
    assert read_json(f"{large}", {"type": "integer", "multipleOf": 10}) == large
    halves = read_json(r'{"\ud800": ["\ud83d\ude00", "\udfff\\"]}')
    assert halves == {"\ufffd": ["\U0001f600", "\ufffd\\"]}
    assert read_json("~~~json\n7\n~~~") == read_json("``` 7```") == 7
