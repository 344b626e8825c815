"""Programs from the text of scheduled HLO modules, as ``jax.jit(f).lower(x).compile().as_text()`` gives it.

The instructions of the entry computation run in the order of the text, which in a module with ``is_scheduled=true`` is
the schedule. Parameters and constants are parameters of the program; ``bitcast``, ``tuple``, ``get-tuple-element``,
``opt-barrier`` and the like only pass buffers on. A loop is one instruction: what its body hands on unchanged stays
the same buffer, everything else that it carries is written anew. Arithmetic is that of ``dot`` and ``convolution``, in
called computations and loops (times the known trip count, 1 where it is unknown) too.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from optimand.core.validation import OptimandError

from ..game.program import Buffer, Instruction, MemoryProgram
from .hlo_text import Operation, parse_module

if TYPE_CHECKING:
    from ..game.hardware import Hardware

_BITS = {"pred": 8, "token": 0, "opaque": 0}
_PASSING = frozenset({"bitcast", "get-tuple-element", "tuple", "opt-barrier", "add-dependency", "after-all"})


def from_hlo_text(text: str, hardware: Hardware, name: str | None = None) -> MemoryProgram:
    """The program of a scheduled HLO module.

    Args:
        text: of the module.
        hardware: its ``flops`` turn operations into seconds.
        name: of the program; None for the module's.

    Raises:
        OptimandError: no HLO module, one without ``is_scheduled=true``, a machine without ``flops``, a line that cannot
            be read.
    """
    if not isinstance(text, str) or "HloModule" not in text:
        raise OptimandError("text must be an HLO module, which begins with HloModule")
    head = text[text.index("HloModule") :].splitlines()[0]
    if "is_scheduled=true" not in head:
        raise OptimandError(
            "text must be a module with is_scheduled=true, whose order is the schedule: "
            "take that of jax.jit(f).lower(x).compile().as_text()"
        )
    if hardware.flops is None:
        raise OptimandError("hardware must have flops to turn operations into seconds, got None")
    module = re.match(r"HloModule\s+([\w.\-]+)", head)
    computations, entry = parse_module(text)
    title = name if name is not None else (module.group(1) if module else "")
    return _Builder(computations, hardware.flops).build(entry, title)


class _Builder:
    """Walks the entry computation and collects buffers and instructions."""

    def __init__(self, computations: dict[str, list[Operation]], rate: float) -> None:
        self.computations, self.rate = computations, rate
        self.buffers: list[Buffer] = []
        self.instructions: list[Instruction] = []
        self.leaves: dict[str, tuple[int, ...]] = {}  # buffers of each operation's result; none for tokens
        self.parts: dict[str, list[tuple[int, ...]]] = {}  # of tuples: buffers of each element
        self.scope: dict[str, Operation] = {}  # the operations of the entry computation

    def build(self, entry: str, name: str) -> MemoryProgram:
        self.scope = {x.name: x for x in self.computations[entry]}
        for operation in self.computations[entry]:
            self._visit(operation)
        if not self.instructions:
            raise OptimandError("the module's entry computation has no operation that computes")
        roots = [o.name for o in self.computations[entry] if o.root]
        results = {b for root in roots for b in self.leaves[root]}
        final = [Buffer(x.size, x.param, b in results and not x.param, x.name) for b, x in enumerate(self.buffers)]
        return MemoryProgram(tuple(self.instructions), tuple(final), name=name)

    def _visit(self, o: Operation) -> None:
        for operand in o.operands:
            if operand not in self.leaves:
                raise OptimandError(f"operation {o.name!r} uses {operand!r}, which no line before defines")
        if o.opcode in ("parameter", "constant"):
            self._define(o, [self._add(o, k, param=True) for k in range(len(o.shapes))])
        elif o.opcode == "get-tuple-element":
            self.leaves[o.name] = self.parts[o.operands[0]][o.index]
            self.parts[o.name] = [(b,) for b in self.leaves[o.name]]
        elif o.opcode in _PASSING:
            elements = [self.leaves[x] for x in o.operands]
            self.leaves[o.name] = tuple(b for element in elements for b in element)
            single = len(o.operands) == 1 and o.opcode != "tuple"
            self.parts[o.name] = self.parts[o.operands[0]] if single else elements
        else:
            inputs = tuple(dict.fromkeys(b for x in o.operands for b in self.leaves[x]))
            carried = self._unchanged(o) if o.opcode == "while" else set()
            same = self.leaves[o.operands[0]] if carried else ()
            found = [same[k] if k in carried else self._add(o, k) for k in range(len(o.shapes))]
            outputs = tuple(b for k, b in enumerate(found) if k not in carried and b >= 0)
            seconds = _flops(o, self.computations, self.scope) / self.rate
            self.instructions.append(Instruction(seconds, outputs, inputs, o.name))
            self._define(o, found)

    def _add(self, o: Operation, k: int, *, param: bool = False) -> int:
        """A buffer for a leaf; -1 for tokens, which have no bytes."""
        size = _bytes(o.shapes[k])
        if size == 0 and o.shapes[k][0] in _BITS and _BITS[o.shapes[k][0]] == 0:
            return -1
        title = o.name if len(o.shapes) == 1 else f"{o.name}.{k}"
        self.buffers.append(Buffer(max(1, size), param=param, name=title))
        return len(self.buffers) - 1

    def _define(self, o: Operation, found: list[int]) -> None:
        self.parts[o.name] = [(b,) if b >= 0 else () for b in found]
        self.leaves[o.name] = tuple(b for b in found if b >= 0)

    def _unchanged(self, o: Operation) -> set[int]:
        """Elements that a loop's body hands on as they came; empty where its tuples are nested."""
        body = self.computations.get((o.attribute("body") or "").lstrip("%"), [])
        root = next((x for x in body if x.root), None)
        names = {x.name: x for x in body}
        if root is None or root.opcode != "tuple" or len(root.operands) != len(o.shapes):
            return set()
        if len(self.leaves[o.operands[0]]) != len(o.shapes):
            return set()
        found = set()
        for k, operand in enumerate(root.operands):
            source = names.get(operand)
            if source and source.opcode == "get-tuple-element" and source.index == k:
                origin = names.get(source.operands[0])
                if origin and origin.opcode == "parameter":
                    found.add(k)
        return found


def _bytes(shape: tuple[str, tuple[int, ...]]) -> int:
    kind, dims = shape
    bits = _BITS.get(kind)
    if bits is None:
        digits = re.search(r"\d+", kind)
        bits = int(digits.group()) if digits else 32
    return (math.prod(dims) * bits + 7) // 8


def _integers(text: str | None) -> tuple[int, ...]:
    return tuple(int(x) for x in re.findall(r"\d+", text or ""))


def _flops(o: Operation, computations: dict[str, list[Operation]], scope: dict[str, Operation]) -> float:
    """Floating-point operations of an operation and of what it calls."""
    if o.opcode == "dot":
        left = scope[o.operands[0]].shapes[0][1]
        return (
            2.0 * math.prod(o.shapes[0][1]) * math.prod(left[d] for d in _integers(o.attribute("lhs_contracting_dims")))
        )
    if o.opcode == "convolution":
        kernel = scope[o.operands[1]].shapes[0][1]
        labels = (o.attribute("dim_labels") or "").partition("_")[2].partition("->")[0]
        features = kernel[labels.index("o")] if "o" in labels else 1
        return 2.0 * math.prod(o.shapes[0][1]) * math.prod(kernel) / max(1, features)
    times = 1
    if o.opcode == "while":
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', o.attributes)
        times = int(known.group(1)) if known else 1
    called = [(o.attribute(key) or "").lstrip("%") for key in ("calls", "to_apply", "body")]
    total = 0.0
    for computation in called:
        inner = computations.get(computation, [])
        names = {x.name: x for x in inner}
        total += sum(_flops(x, computations, names) for x in inner)
    return times * total
