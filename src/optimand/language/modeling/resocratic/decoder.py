"""A small causal decoder on tokens, enough to see a fine-tuning work on one core."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from optimand.core.validation import check_int


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.mix(self.before(x)).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.down(nn.functional.gelu(self.up(self.after(x))))


class TinyDecoder(nn.Module):
    """Token ids ``[B, T]`` to logits ``[B, T, V]``.

    Args:
        size: tokens V.
        width: of the states; a multiple of ``heads``.
        depth: blocks.
        heads: of attention.
        context: longest sequence.
        seed: of the initial weights.
    """

    def __init__(
        self, size: int = 260, *, width: int = 64, depth: int = 2, heads: int = 4, context: int = 1024, seed: int = 0
    ) -> None:
        super().__init__()
        for name, value in (("size", size), ("width", width), ("depth", depth), ("heads", heads), ("context", context)):
            check_int(name, value, low=1)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads={heads}, got {width}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tokens, self.places = nn.Embedding(size, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
            self.norm = nn.LayerNorm(width)
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.02 if parameter.shape[0] in (size, context) else width**-0.5 / 2)

    @property
    def context(self) -> int:
        """The longest sequence."""
        return self.places.num_embeddings

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, with the embedding as the last layer.

        Raises:
            ValueError: more tokens than ``context``.
        """
        if ids.shape[1] > self.places.num_embeddings:
            raise ValueError(f"ids must have at most context={self.places.num_embeddings} tokens, got {ids.shape[1]}")
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T

    @torch.no_grad()
    def continued(self, prompt: Sequence[int], most: int, end: int) -> list[int]:
        """The likeliest continuation, token by token, up to ``end`` or ``most`` tokens."""
        ids = list(prompt)
        context = self.places.num_embeddings
        while len(ids) - len(prompt) < most and len(ids) < context:
            token = int(self(torch.tensor([ids]))[0, -1].argmax())
            if token == end:
                break
            ids.append(token)
        return ids[len(prompt) :]
