"""A reader of JSON as language models write it.

It accepts what has one meaning and refuses the rest: trailing or missing commas, comments, single or typographic
quotes, bare keys, ``True``/``None``, raw line breaks and unescaped quotes or LaTeX backslashes in strings. Numbers cut
by a comma, bare words, two values for one key, concatenated strings and missing brackets are errors, because repairing
them means guessing.
"""

from __future__ import annotations

import json
import re
from typing import Any

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_SPACE = re.compile(r"(?:[\s\ufeff\u200b]|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.%/])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_CONSTANTS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'"}
# After a value in an object: the end, a comma and the next key, or the next key where the comma was forgotten.
_AFTER_VALUE = re.compile(
    r"""[}\]]|\Z|,?(?:[\s]|//[^\n]*|/\*.*?\*/)*(?:[}\]]|["'“‘][^"'“”‘’\n]{0,80}["'”’]\s*:|[A-Za-z_]\w*\s*:\s*\S)""",
    re.S,
)
# A string with unescaped quotes that may hold more than a string: another key, or pieces to be joined.
_SUSPECT = re.compile(r"""["'“”‘’`]\s*(?::|\+?\s*["'“‘`])""")

_HALF = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]|[\ud800-\udfff]")
_OPENS = re.compile(r"[^\s,;:)\]}]")

# Commands that begin with a letter which JSON gives a meaning after a backslash. The second group also reads as the
# escape and a word, such as a line break and ``u``: they count only beside other unescaped backslashes.
_LATEX = {
    "bar", "because", "begin", "beta", "between", "big", "bigcap", "bigcup", "bigg", "bigl", "bigoplus", "bigr",
    "binom", "bmod", "boldsymbol", "boxed", "bullet", "fbox", "forall", "frac", "frak", "nabla", "newline", "ngeq",
    "nleq", "nonumber", "notin", "rangle", "rbrace", "rceil", "rfloor", "rho", "right", "rightarrow", "rvert", "tanh",
    "tau", "text", "textbf", "textit", "textrm", "texttt", "tfrac", "therefore", "theta", "tilde", "times", "triangle",
}  # fmt: skip
_LATEX_LIKELY = {
    "bf", "bot", "fi", "natural", "ne", "neg", "neq", "ni", "not", "nu", "rm", "tan", "to", "top",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")


class Malformed(Exception):  # noqa: N818 (what the text is)
    """The text is no JSON, even read tolerantly; ``position`` says where."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Unfinished(Malformed):
    """The text ends inside a value."""


def looks_like_latex(text: str) -> bool:
    """Whether ``text`` holds a LaTeX command whose first letter JSON would take for an escape, as in ``\\frac``."""
    return any(word in _LATEX for word in _COMMAND.findall(text.replace("\\\\", "")))


def read_value(text: str, start: int = 0) -> tuple[Any, int]:
    """Read the value that begins at ``start``.

    Returns:
        The value and the position after it.

    Raises:
        Malformed: no value there; :class:`Unfinished` where the text ends inside it.
    """
    reader = _Reader(text)
    start = reader.skip(start)
    try:
        value, end = _STRICT.raw_decode(text, start)
        if not looks_like_latex(text[start:end]):
            return _without_halves(text[start:end], value), end
    except (ValueError, RecursionError):
        pass
    try:
        value, end = reader.value(start, "")
    except RecursionError:
        raise Malformed("nested too deeply", start) from None
    # A comma missing after a bracket and a bracket too many look like one bracket that stands too early.
    if reader.missing_comma and text[reader.skip(end) :][:1] in ("}", "]"):
        raise Malformed("a bracket too many, and a comma too few", end)
    return value, end


def strict(text: str) -> Any:
    """The value that ``text`` is, by the letter of JSON and with one value for each key; ValueError otherwise."""
    return _without_halves(text, _STRICT.decode(text))


def _without_halves(text: str, value: Any) -> Any:
    """The value with a mark for each half of a character, as ``\\ud800`` writes one: such a text cannot be stored."""
    if not _HALF.search(text):
        return value
    whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(whole)


def _without_conflicts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries and entries[key] != value:
            raise ValueError(f"two values for the key {key!r}")
        entries[key] = value
    return entries


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_STRICT = json.JSONDecoder(object_pairs_hook=_without_conflicts, parse_constant=_refuse)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.missing_comma = False

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, within: str) -> tuple[Any, int]:
        text = self.text
        if at >= len(text):
            raise Unfinished("the text ends where a value is expected", at)
        char = text[at]
        if char == "{":
            return self.object(at)
        if char == "[":
            return self.array(at)
        if char in _QUOTES:
            return self.string(at, within)
        number = _NUMBER.match(text, at)
        if number:
            return self.number(number)
        word = _WORD.match(text, at)
        if word and word.group() in _CONSTANTS:
            if word.end() == len(text) and within:
                raise Unfinished("the text ends inside the JSON", word.end())
            return _CONSTANTS[word.group()], word.end()
        raise Malformed(f"no JSON value at {text[at : at + 20]!r}", at)

    def number(self, found: re.Match[str]) -> tuple[int | float, int]:
        token = found.group()
        if re.fullmatch(r"[+-]?\d+", token):
            if re.match(r"[+-]?0\d", token):
                raise Malformed(f"number with a leading zero: {token}", found.start())
            if len(token) > 4000:  # Python's own limit on digits is near
                raise Malformed("a number of too many digits", found.start())
            return int(token), found.end()
        return float(token), found.end()

    def object(self, at: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}
        at = self.skip(at + 1)
        while True:
            if at >= len(self.text):
                raise Unfinished("the text ends inside an object", at)
            if self.text[at] == "}":
                return entries, at + 1
            begin = at
            key, at = self.key(at)
            at = self.skip(at)
            if at >= len(self.text):
                raise Unfinished("the text ends inside an object", at)
            if self.text[at] != ":":
                raise Malformed(f"':' expected after the key {key!r}", at)
            entry, at = self.value(self.skip(at + 1), "object")
            if key in entries and entries[key] != entry:
                raise Malformed(f"two values for the key {key!r}", begin)
            entries[key] = entry
            at = self.separator(at, "}")

    def key(self, at: int) -> tuple[str, int]:
        if self.text[at] in _QUOTES:
            return self.string(at, "key")
        word = _WORD.match(self.text, at)
        if not word:
            raise Malformed(f"a key expected at {self.text[at : at + 20]!r}", at)
        return word.group(), word.end()

    def array(self, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self.skip(at + 1)
        while True:
            if at >= len(self.text):
                raise Unfinished("the text ends inside an array", at)
            if self.text[at] == "]":
                return items, at + 1
            item, at = self.value(at, "array")
            items.append(item)
            at = self.separator(at, "]")

    def separator(self, at: int, close: str) -> int:
        """Past a comma; a comma may be missing before a quoted key on its own, and stand before the bracket."""
        end = self.skip(at)
        if end >= len(self.text):
            raise Unfinished("the text ends inside the JSON", end)
        char = self.text[end]
        if char == ",":
            return self.skip(end + 1)
        if char == close:
            return end
        if char in _QUOTES and close == "}" and end > at:
            self.missing_comma |= self.text[at - 1] in "}]"
            return end
        raise Malformed(f"',' or {close!r} expected at {self.text[end : end + 20]!r}", end)

    def string(self, at: int, within: str) -> tuple[str, int]:
        text = self.text
        quote = text[at]
        if text.startswith(quote * 3, at) and quote in "\"'" and within != "key":
            return self.triple(at, quote * 3)
        close = _QUOTES[quote]
        begin = at = at + 1
        inside = 0  # unescaped quotes taken as text
        first = 0
        while True:
            if at >= len(text):
                if inside:
                    raise Malformed("a string with unescaped quotes, one of which ended it", begin)
                raise Unfinished("the text ends inside a string", at)
            if text[at] == "\\":
                at += 2
                continue
            if text[at] == close:
                if self.ends(at + 1, within):
                    break
                if within == "key":
                    raise Malformed("':' expected after a key", at + 1)
                apostrophe = close in "'’" and text[at - 1].isalpha() and text[at + 1 : at + 2].isalpha()
                first = first or (0 if apostrophe else at)
                inside += not apostrophe
            at += 1
        raw = text[begin:at]
        # The first of them must open a quotation, not close this string before broken JSON.
        if inside % 2 or (inside and (_SUSPECT.search(raw) or not _OPENS.match(text, first + 1))):
            raise Malformed("a string with unescaped quotes that may have ended it", begin)
        return _unescape(raw), at + 1

    def triple(self, at: int, quote: str) -> tuple[str, int]:
        end = self.text.find(quote, at + 3)
        if end < 0:
            raise Unfinished("the text ends inside a string", len(self.text))
        return _unescape(self.text[at + 3 : end]), end + 3

    def ends(self, at: int, within: str) -> bool:
        """Whether a quote before ``at`` closes its string, judged by what follows."""
        at = self.skip(at)
        if at >= len(self.text):
            return True
        if within == "key":
            return self.text[at] == ":"
        if within == "array":
            return self.text[at] in ",]"
        if within == "object":
            return _AFTER_VALUE.match(self.text, at) is not None
        return True


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw
    unescaped = _unescaped_backslashes(raw)
    out: list[str] = []
    at = 0
    while at < len(raw):
        char = raw[at]
        if char != "\\" or at + 1 >= len(raw):
            out.append(char)
            at += 1
            continue
        follower = raw[at + 1]
        command = _COMMAND.match(raw, at)
        word = command.group(1) if command else ""
        code = raw[at + 2 : at + 6]
        if follower == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", code):
            out.append(chr(int(code, 16)))
            at += 6
        elif word in _LATEX or (unescaped and word in _LATEX_LIKELY) or follower not in _ESCAPES:
            out.append("\\" + follower)
            at += 2
        else:
            out.append(_ESCAPES[follower])
            at += 2
    joined = "".join(out)
    if any("\ud800" <= char <= "\udfff" for char in joined):  # halves of a pair, written as two escapes
        joined = joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined


def _unescaped_backslashes(raw: str) -> bool:
    """Whether the string holds backslashes that JSON would have wanted doubled."""
    plain = raw.replace("\\\\", "")
    if any(found not in _ESCAPES and found != "u" for found in re.findall(r"\\(.)", plain, re.DOTALL)):
        return True
    return looks_like_latex(plain)
