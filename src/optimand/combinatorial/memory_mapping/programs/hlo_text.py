"""Reading the text of HLO modules: computations as lists of operations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimand.core.validation import OptimandError

_ARRAY = re.compile(r"(?P<kind>[a-z]+[0-9a-z]*)\[(?P<dims>[0-9,<=]*)\]")
_HEAD = re.compile(r"^(?P<entry>ENTRY\s+)?%?(?P<name>[\w.\-]+)\s*(?:\(.*\)\s*->.*)?\{\s*$")
_LINE = re.compile(r"^\s*(?P<root>ROOT\s+)?%?(?P<name>[\w.\-]+)\s*=\s*(?P<rest>.*)$")


@dataclass(frozen=True)
class Operation:
    """A line of a computation."""

    name: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]  # leaves of the result
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    root: bool

    def attribute(self, key: str) -> str | None:
        """The value of ``key=`` up to the next comma outside brackets."""
        found = re.search(rf"(?:^|[\s,]){re.escape(key)}=(\{{[^}}]*\}}|[^,\s]+)", self.attributes)
        return found.group(1) if found else None

    @property
    def index(self) -> int:
        return int(self.attribute("index") or 0)


def parse_module(text: str) -> tuple[dict[str, list[Operation]], str]:
    """The computations by name, and the name of the entry."""
    computations: dict[str, list[Operation]] = {}
    current: list[Operation] | None = None
    entry = None
    for number, line in enumerate(text.splitlines(), start=1):
        if current is None:
            head = _HEAD.match(line)
            if head and not line.startswith("HloModule"):
                current = computations.setdefault(head["name"], [])
                entry = head["name"] if head["entry"] else entry
            continue
        if line.strip() == "}" or line.strip().startswith("} "):
            current = None
            continue
        found = _LINE.match(line)
        if found:
            current.append(_operation(number, found["name"], found["rest"], bool(found["root"])))
        elif line.strip():
            raise OptimandError(f"line {number} of the module is no operation: {line.strip()[:80]!r}")
    if entry is None:
        raise OptimandError("the module has no ENTRY computation")
    return computations, entry


def _operation(number: int, name: str, rest: str, root: bool) -> Operation:
    shape, after = _split_shape(rest)
    call = re.match(r"\s*([\w\-]+)\(", after)
    if call is None:
        raise OptimandError(f"line {number} of the module is no operation: {rest.strip()[:80]!r}")
    inside, attributes = _brackets(after[call.end() :])
    opcode = call.group(1)
    parts = [] if opcode in ("constant", "parameter") else _top_level(inside)
    operands = tuple(_last_word(part) for part in parts if part.strip())
    shapes = tuple(
        (m["kind"], tuple(int(d.strip("<=")) for d in m["dims"].split(",") if d)) for m in _ARRAY.finditer(shape)
    )
    return Operation(name, shapes or (("token", ()),), opcode, operands, attributes, root)


def _split_shape(rest: str) -> tuple[str, str]:
    """The type of a result and what comes after it."""
    if rest.startswith("("):
        inside, after = _brackets(rest[1:])
        return re.sub(r"/\*.*?\*/", "", inside), after
    shape, _, after = rest.partition(" ")
    return shape, after


def _brackets(text: str) -> tuple[str, str]:
    """What lies before the bracket that closes one opened before ``text``, and what comes after."""
    depth, quoted = 1, False
    for k, letter in enumerate(text):
        if letter == '"' and text[k - 1 : k] != "\\":
            quoted = not quoted
        elif not quoted and letter in "({[":
            depth += 1
        elif not quoted and letter in ")}]":
            depth -= 1
            if depth == 0:
                return text[:k], text[k + 1 :]
    return text, ""


def _top_level(text: str) -> Iterator[str]:
    """Parts between commas that lie in no bracket."""
    depth, begin = 0, 0
    for k, letter in enumerate(text):
        depth += (letter in "({[") - (letter in ")}]")
        if letter == "," and depth == 0:
            yield text[begin:k]
            begin = k + 1
    yield text[begin:]


def _last_word(text: str) -> str:
    """The name of an operand, which some versions write after its type."""
    return re.sub(r"/\*.*?\*/", "", text).split()[-1].lstrip("%")
