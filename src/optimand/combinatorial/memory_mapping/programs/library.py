"""Recorded programs: real models, extracted once and kept as CSV files beside this module.

``benchmarks/record_programs.py`` made them.

Compute times are those of the machine ``tpuv4i`` (138 TFLOP/s); ``tiny`` is in units of its own machine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

from optimand.core.validation import check_choice

from ..game.hardware import Hardware
from ..game.program import MemoryProgram

MIB = 2**20


@dataclass(frozen=True)
class Recording:
    """What a recorded program is.

    Attributes:
        summary: the model, in words.
        source: what extracted it.
        capacities: bytes of fast memory at which mapping it is neither trivial nor hopeless.
    """

    summary: str
    source: str
    capacities: tuple[int, ...]


TORCH, JAX = "torch.export", "scheduled HLO of JAX on a CPU"
RECORDED: dict[str, Recording] = {
    "tiny": Recording("five instructions, seven buffers; small enough to enumerate", "by hand", (4, 6, 8, 12, 16)),
    "transformer": Recording(
        "nn.TransformerEncoder, 2 layers, d 256, 4 heads, ff 1024, input 4 x 128 x 256",
        TORCH,
        (MIB, 2 * MIB, 4 * MIB, 8 * MIB),
    ),
    "mlp": Recording(
        "six linear layers with residuals and layer norms, width 512, batch 256", TORCH, (MIB // 2, MIB, 2 * MIB)
    ),
    "convnet": Recording(
        "residual convolutional net, 16 to 64 channels, 8 images of 32 x 32", TORCH, (MIB // 4, MIB // 2, MIB)
    ),
    "attention": Recording(
        "one attention block with gated feed-forward, d 192, 6 heads, 2 x 192 tokens", TORCH, (MIB // 2, MIB, 2 * MIB)
    ),
    "lstm": Recording("nn.LSTMCell, hidden 256, 12 steps of batch 64", TORCH, (MIB // 4, MIB, 2 * MIB)),
    "jax-mlp-training": Recording(
        "a step of gradient descent on a network of four layers, width 384, batch 256", JAX, (MIB // 2, MIB, 2 * MIB)
    ),
    "jax-attention": Recording("two attention blocks, d 128, 4 heads, 2 x 128 tokens", JAX, (MIB // 4, MIB // 2, MIB)),
}


@functools.cache
def recorded(name: str) -> MemoryProgram:
    """A recorded program.

    Args:
        name: a key of :data:`RECORDED`.

    Raises:
        ValueError: no program of that name.

    Example:
        >>> recorded("tiny").references
        13
    """
    from .files import parse_program

    check_choice("name", name, RECORDED)
    file = resources.files(__package__).joinpath("recorded", f"{name}.csv")
    return parse_program(file.read_text(encoding="utf-8"), name, source=f"recorded program {name!r}")


def hardware_of(name: str, capacity: int | str | None = None) -> Hardware:
    """The machine that a recorded program's compute times belong to.

    Args:
        name: a key of :data:`RECORDED`.
        capacity: bytes of fast memory, or a text such as ``1MiB``; None for the middle one of the program's list.

    Raises:
        ValueError: no program of that name.
        OptimandError: a text that is no number of bytes.

    Example:
        >>> hardware_of("transformer").capacity, hardware_of("transformer", "1.5MiB").capacity
        (2097152, 1572864)
    """
    sizes = RECORDED[check_choice("name", name, RECORDED)].capacities
    middle = sizes[(len(sizes) - 1) // 2] if capacity is None else capacity
    return Hardware.preset("tiny" if name == "tiny" else "tpuv4i", capacity=middle)
