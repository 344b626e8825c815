"""Transformers: a decoder over bytes in nanoGPT's sizes, and a small vision transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..core.validation import check_int

# name -> layers, width, heads. About 12 * layers * width**2 parameters, and 256 * width for the bytes.
SIZES: dict[str, tuple[int, int, int]] = {
    "0.2m": (4, 64, 4),
    "0.5m": (4, 96, 4),
    "1m": (5, 128, 4),
    "3m": (7, 192, 6),
    "10m": (8, 320, 5),
    "30m": (9, 512, 8),
}


class Block(nn.Module):
    """Pre-norm attention and a perceptron of four times the width, each with a residual connection."""

    def __init__(self, width: int, heads: int, *, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got width={width}, heads={heads}")
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, length, width]`` to the same shape."""
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, dropout_p=dropout)
        x = x + self._drop(self.proj(mixed.transpose(1, 2).reshape(batch, length, width)))
        return x + self._drop(self.down(F.gelu(self.up(self.norm2(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


def _initialize(model: nn.Module, layers: int) -> None:
    """GPT-2's scheme: normal weights of deviation 0.02, those before a residual sum smaller by sqrt(2 layers)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            residual = name.endswith(("proj", "down"))
            nn.init.normal_(module.weight, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class ByteTransformer(nn.Module):
    """A decoder-only language model over bytes: learned positions, output weights tied to the embedding.

    Args:
        layers: number of blocks.
        width: width of the residual stream.
        heads: attention heads.
        context: longest input.
        dropout: probability in [0, 1).

    Example:
        >>> ByteTransformer(2, 32, 2, context=16)(torch.zeros(3, 16, dtype=torch.long)).shape
        torch.Size([3, 16, 256])
    """

    def __init__(self, layers: int, width: int, heads: int, *, context: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_int("context", context, low=1)
        self.embedding, self.positions = nn.Embedding(256, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, causal=True, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        _initialize(self, layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, length, 256]`` of the byte after each byte of ``x`` ``[batch, length]``."""
        hidden = self.embedding(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return F.linear(self.norm(hidden), self.embedding.weight)


class ViT(nn.Module):
    """A vision transformer: patches, learned positions, mean over the patches, linear head.

    Args:
        shape: ``(height, width)`` or ``(channels, height, width)`` of an image; multiples of ``patch``.
        patch: side of a patch.
        layers: number of blocks.
        width: width of the residual stream.
        heads: attention heads.
        classes: outputs.
    """

    def __init__(self, shape: tuple[int, ...], patch: int, layers: int, width: int, heads: int, classes: int) -> None:
        super().__init__()
        channels, height, breadth = shape if len(shape) == 3 else (1, *shape)
        if height % patch or breadth % patch:
            raise ValueError(f"patch must divide height {height} and width {breadth}, got {patch}")
        self.shape = (channels, height // patch, patch, breadth // patch, patch)
        self.embedding = nn.Linear(channels * patch * patch, width)
        self.positions = nn.Parameter(torch.zeros((height // patch) * (breadth // patch), width))
        self.blocks = nn.ModuleList(Block(width, heads, causal=False) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        _initialize(self, layers)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[batch, classes]`` of images ``[batch, *shape]``."""
        patches = x.reshape(-1, *self.shape).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        hidden = self.embedding(patches) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden).mean(1))
