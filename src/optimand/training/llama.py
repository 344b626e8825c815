"""LLaMA-type decoders: RMSNorm, SwiGLU, rotary positions, no biases; in the sizes of the papers on memory-efficient
training, and in small ones for one machine.

Parameters are named as in Hugging Face's ``LlamaForCausalLM`` without its prefix ``model.``, so that weights and rules
on names carry over; the output is the same too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..core.validation import check_choice, check_int


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The shape of a :class:`Llama`.

    Attributes:
        vocab: number of tokens.
        width: width of the residual stream.
        mlp: width inside the SwiGLU perceptron, usually 8/3 of ``width``.
        layers: number of layers.
        heads: attention heads; they divide ``width``.
        context: longest input; what ``learned`` positions are allocated for.
        positions: ``rope`` (rotary) or ``learned``.
        tied: whether the output head shares the embedding's weights.

    Raises:
        ValueError: a size below 1, or one that ``heads`` does not divide (into even parts, for ``rope``).

    Example:
        >>> LLAMA["60m"].parameters
        58073600
    """

    vocab: int = 32000
    width: int
    mlp: int
    layers: int
    heads: int
    context: int = 1024
    positions: str = "rope"
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab", "width", "mlp", "layers", "heads", "context"):
            check_int(name, getattr(self, name), low=1)
        check_choice("positions", self.positions, ("rope", "learned"))
        check_choice("tied", self.tied, (False, True))
        parts = self.heads if self.positions == "learned" else 2 * self.heads
        if self.width % parts:
            raise ValueError(
                f"width must be a multiple of {'' if parts == self.heads else '2 * '}heads, "
                f"got width={self.width}, heads={self.heads}"
            )

    @property
    def matrices(self) -> int:
        """Number of parameters of the layers' matrices."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.mlp)

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        tokens = self.vocab * self.width * (1 if self.tied else 2)
        positions = self.context * self.width if self.positions == "learned" else 0
        return self.matrices + tokens + positions + (2 * self.layers + 1) * self.width


def _config(layers: int, width: int, mlp: int, heads: int) -> LlamaConfig:
    return LlamaConfig(layers=layers, width=width, mlp=mlp, heads=heads)


# The sizes of LLaMA (7b, 13b) and of GaLore's and APOLLO's experiments, vocabulary 32,000.
LLAMA: dict[str, LlamaConfig] = {
    "60m": _config(8, 512, 1376, 8),
    "130m": _config(12, 768, 2048, 12),
    "350m": _config(24, 1024, 2736, 16),
    "1b": _config(24, 2048, 5461, 32),
    "3b": _config(32, 2560, 6848, 32),
    "7b": _config(32, 4096, 11008, 32),
    "13b": _config(40, 5120, 13824, 40),
}
# Sizes for a machine without a GPU, named after the parameters of their matrices; the vocabulary is the problem's.
SMALL: dict[str, LlamaConfig] = {
    "1m": _config(5, 128, 344, 4),
    "3m": _config(7, 192, 512, 6),
    "10m": _config(8, 320, 864, 5),
    "30m": _config(9, 512, 1376, 8),
    "60m": LLAMA["60m"],
    # the model of the comparisons in the test-beds of APOLLO and FRUGAL: bytes, learned positions
    "paper": replace(_config(2, 128, 344, 4), vocab=256, context=64, positions="learned"),
}


class Attention(nn.Module):
    """Causal attention of several heads, with rotary positions where they are given."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(config.width, config.width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Map ``[batch, length, width]`` to the same shape."""
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj))
        if rotation is not None:
            q, k = rotate(q, *rotation), rotate(k, *rotation)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class SwiGLU(nn.Module):
    """The perceptron ``down(silu(gate(x)) * up(x))``."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.mlp, bias=False)
        self.up_proj = nn.Linear(config.width, config.mlp, bias=False)
        self.down_proj = nn.Linear(config.mlp, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[…, width]`` to the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and perceptron, each behind an RMSNorm and with a residual connection."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, eps=1e-6)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, eps=1e-6)
        self.mlp = SwiGLU(config)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Map ``[batch, length, width]`` to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """A decoder-only language model of LLaMA's type; weights are normal with deviation 0.02.

    Args:
        config: its shape.

    Example:
        >>> model = Llama(LlamaConfig(vocab=256, width=32, mlp=88, layers=2, heads=2))
        >>> model(torch.zeros(3, 16, dtype=torch.long)).shape
        torch.Size([3, 16, 256])
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab, config.width)
        self.embed_positions = nn.Embedding(config.context, config.width) if config.positions == "learned" else None
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        self.lm_head = nn.Linear(config.width, config.vocab, bias=False)
        if config.tied:
            self.lm_head.weight = self.embed_tokens.weight
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, length, vocab]`` of the token after each token of ``x`` ``[batch, length]``."""
        hidden, rotation = self.embed_tokens(x), None
        if self.embed_positions is not None:
            hidden = hidden + self.embed_positions.weight[: x.shape[1]]
        else:
            # computed anew, so that the model holds nothing but parameters, also on the meta device
            rotation = rotary_angles(x.shape[1], self.config.width // self.config.heads, hidden)
        for layer in self.layers:
            hidden = layer(hidden, rotation)
        return self.lm_head(self.norm(hidden))


def rotary_angles(length: int, size: int, like: Tensor, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine, ``[length, size]`` each, of the angles of rotary positions (Su et al., arXiv 2104.09864).

    Args:
        length: number of positions.
        size: width of a head, even.
        like: a tensor of the wanted dtype and device.
        base: the slowest rotation takes ``2 pi base`` positions.
    """
    speed = base ** (-torch.arange(0, size, 2, dtype=torch.float32, device=like.device) / size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=like.device), speed)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos().to(like.dtype), both.sin().to(like.dtype)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn pairs of ``x`` ``[…, length, size]``, which lie half of ``size`` apart, by their angles."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine
