"""Optimizers with 8-bit (4-bit) states: the memory of a state falls to a quarter (an eighth) or so.

Same hyperparameters as the 32-bit optimizers, same first step; see :class:`LowBitOptimizer` for what all share.

Example:
    >>> import torch
    >>> from optimand.optim import state_bytes
    >>> from optimand.optim.low_bit import AdamW8bit
    >>> model = torch.nn.Linear(1024, 1024, bias=False)
    >>> optimizer = AdamW8bit(model.parameters(), lr=1e-3)
    >>> model(torch.ones(1, 1024)).sum().backward()
    >>> optimizer.step()
    >>> state_bytes(optimizer) / model.weight.numel() < 2.04  # AdamW: 8 bytes
    True
"""

from __future__ import annotations

from .adaptive import Adagrad8bit, Adam8bit, AdamW4bit, AdamW8bit, AdEMAMix8bit, LAMB8bit, RMSprop8bit
from .base import LowBitOptimizer
from .momentum import LARS8bit, Lion8bit, SGD8bit
from .stable_embedding import StableEmbedding

__all__ = [
    "AdEMAMix8bit",
    "Adagrad8bit",
    "Adam8bit",
    "AdamW4bit",
    "AdamW8bit",
    "LAMB8bit",
    "LARS8bit",
    "Lion8bit",
    "LowBitOptimizer",
    "RMSprop8bit",
    "SGD8bit",
    "StableEmbedding",
]
