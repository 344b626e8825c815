"""How the recorded programs were made: ``python benchmarks/record_programs.py FOLDER``.

The models have no weights of interest: a program's buffers and operations do not depend on them. Another version of
PyTorch or JAX may trace another graph, which is why the results are kept as files.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optimand.combinatorial.memory_mapping.game.hardware import Hardware
from optimand.combinatorial.memory_mapping.game.program import MemoryProgram, tiny_program
from optimand.combinatorial.memory_mapping.programs.files import write_program
from optimand.combinatorial.memory_mapping.programs.hlo import from_hlo_text
from optimand.combinatorial.memory_mapping.programs.torch_graph import from_torch_export
from optimand.core.validation import OptimandError


def trace_torch(model: Any, inputs: tuple[Any, ...], name: str) -> MemoryProgram:
    """The program of a module in evaluation mode, in elementary operators, for the machine ``tpuv4i``."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(model.eval(), inputs).run_decompositions()
    # The files were recorded with full_like as a reader of its argument; published numbers refer to them.
    return from_torch_export(exported, Hardware.preset("tpuv4i"), name, fillers_read=True)


def compile_jax(function: Callable[..., Any], inputs: tuple[Any, ...], name: str) -> MemoryProgram:
    """The program of a function that JAX compiled for the CPU, for the machine ``tpuv4i``."""
    try:
        import jax
    except ImportError:
        raise OptimandError("programs of JAX need JAX: python -m pip install jax") from None
    text = jax.jit(function).lower(*inputs).compile().as_text()
    return from_hlo_text(str(text), Hardware.preset("tpuv4i"), name)


def transformer() -> MemoryProgram:
    """nn.TransformerEncoder of 2 layers."""
    import torch
    from torch import nn

    layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return trace_torch(model, (torch.zeros(4, 128, 256),), "transformer")


def mlp(width: int = 512, depth: int = 6, batch: int = 256) -> MemoryProgram:
    """Linear layers with residuals and layer norms."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
            self.head = nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            for layer, norm in zip(self.layers, self.norms, strict=True):
                x = x + torch.nn.functional.gelu(layer(norm(x)))
            return self.head(x)

    return trace_torch(Net(), (torch.zeros(batch, width),), "mlp")


def convnet(channels: int = 16, batch: int = 8) -> MemoryProgram:
    """A residual convolutional net of three stages."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, c_in: int, c_out: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(c_in, c_out, 3, stride, 1)
            self.second = nn.Conv2d(c_out, c_out, 3, 1, 1)
            self.short = nn.Conv2d(c_in, c_out, 1, stride) if stride > 1 else nn.Identity()

        def forward(self, x: Any) -> Any:
            return torch.relu(self.second(torch.relu(self.first(x))) + self.short(x))

    stages = [Block(channels, channels, 1), Block(channels, 2 * channels, 2), Block(2 * channels, 4 * channels, 2)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * channels, 10)]
    net = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1), nn.ReLU(), *stages, *tail)
    return trace_torch(net, (torch.zeros(batch, 3, 32, 32),), "convnet")


def attention(width: int = 192, heads: int = 6, tokens: int = 192, batch: int = 2) -> MemoryProgram:
    """An attention block with a gated feed-forward layer."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
            self.gate, self.up = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
            self.down = nn.Linear(3 * width, width)

        def forward(self, x: Any) -> Any:
            h = self.norm1(x)
            q, k, v = (part(h).view(batch, tokens, heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
            scores = torch.softmax(q @ k.transpose(-1, -2) * (width // heads) ** -0.5, dim=-1)
            x = x + self.o((scores @ v).transpose(1, 2).reshape(batch, tokens, width))
            h = self.norm2(x)
            return x + self.down(torch.nn.functional.silu(self.gate(h)) * self.up(h))

    return trace_torch(Net(), (torch.zeros(batch, tokens, width),), "attention")


def lstm(hidden: int = 256, steps: int = 12, batch: int = 64) -> MemoryProgram:
    """nn.LSTMCell, unrolled over the steps."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(hidden, hidden)
            self.head = nn.Linear(hidden, 10)

        def forward(self, x: Any) -> Any:
            h, c = x[0] * 0, x[0] * 0
            for t in range(steps):
                h, c = self.cell(x[t], (h, c))
            return self.head(h)

    return trace_torch(Net(), (torch.zeros(steps, batch, hidden),), "lstm")


def jax_mlp_training(width: int = 384, depth: int = 4, batch: int = 256) -> MemoryProgram:
    """A step of gradient descent."""
    import jax
    import jax.numpy as jnp

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for w, b in weights:
            x = jnp.tanh(x @ w + b)
        return ((x - y) ** 2).mean()

    def step(weights: Any, x: Any, y: Any) -> Any:
        slopes = jax.grad(loss)(weights, x, y)
        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, slopes)

    weights = [(jnp.zeros((width, width)), jnp.zeros(width)) for _ in range(depth)]
    return compile_jax(step, (weights, jnp.zeros((batch, width)), jnp.zeros((batch, width))), "jax-mlp-training")


def jax_attention(width: int = 128, heads: int = 4, tokens: int = 128, batch: int = 2) -> MemoryProgram:
    """Two attention blocks."""
    import jax
    import jax.numpy as jnp

    def norm(x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def block(w: Any, x: Any) -> Any:
        h = norm(x)
        q, k, v = ((h @ w[name]).reshape(batch, tokens, heads, -1) for name in "qkv")
        scores = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) * (width // heads) ** -0.5)
        x = x + jnp.einsum("bhts,bshd->bthd", scores, v).reshape(x.shape) @ w["o"]
        return x + jax.nn.gelu(norm(x) @ w["up"]) @ w["down"]

    def net(weights: Any, x: Any) -> Any:
        for w in weights:
            x = block(w, x)
        return x

    shapes = {**dict.fromkeys("qkvo", (width, width)), "up": (width, 4 * width), "down": (4 * width, width)}
    weights = [{name: jnp.zeros(shape) for name, shape in shapes.items()} for _ in range(2)]
    return compile_jax(net, (weights, jnp.zeros((batch, tokens, width))), "jax-attention")


MAKERS: dict[str, Callable[[], MemoryProgram]] = {
    "tiny": tiny_program,
    "transformer": transformer,
    "mlp": mlp,
    "convnet": convnet,
    "attention": attention,
    "lstm": lstm,
    "jax-mlp-training": jax_mlp_training,
    "jax-attention": jax_attention,
}


def main(arguments: list[str]) -> None:
    """Record all programs, or those that are named after the folder."""
    if not arguments:
        raise SystemExit("usage: record_programs.py FOLDER [NAME ...]")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or MAKERS:
        program = MAKERS[name]()
        write_program(folder / f"{name}.csv", program)
        print(f"{name}: {len(program.instructions)} instructions, {program.references} references")


if __name__ == "__main__":
    main(sys.argv[1:])
