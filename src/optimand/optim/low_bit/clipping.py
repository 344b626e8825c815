"""Percentile clipping: a gradient is scaled down to a low percentile of the norms of the last hundred."""

from __future__ import annotations

import torch
from torch import Tensor

HISTORY = "grad_norms"  # the name of the state
LENGTH = 100
UNSET = -1.0


def new_history(device: torch.device) -> Tensor:
    """A history in which no norm stands yet."""
    return torch.full((LENGTH,), UNSET, dtype=torch.float32, device=device)


def clip_factor(history: Tensor, squared_norm: Tensor, step: Tensor | float, percentile: int) -> Tensor:
    """The factor of a gradient, which is noted in the history; nothing is read by the host.

    The first gradient other than 0 fills the whole history, so early growth is clipped back to it.

    Args:
        history: float32 of 100 squared norms, changed in place.
        squared_norm: 0-d float32, of the gradient; one that is 0 or not finite is not noted, and its factor is 1.
            (Zeros would become the threshold, and stop a parameter that begins with them, or often has them.)
        step: number of the update, from 1.
        percentile: which of the sorted norms is the threshold, from 0; 100 is for the caller: no clipping.

    Returns:
        0-d float32: threshold over norm where the norm is larger, else 1.

    Reference:
        Dettmers et al., arXiv 2110.02861, and the authors' code (percentile clipping).

    Example:
        >>> history = new_history(torch.device("cpu"))
        >>> [clip_factor(history, torch.tensor(x * x), t, 5).item() for t, x in ((1, 1.0), (2, 2.0), (3, 0.5))]
        [1.0, 0.5, 1.0]
    """
    telling = torch.isfinite(squared_norm) & (squared_norm > 0)
    at = torch.arange(LENGTH, device=history.device) == step % LENGTH
    written = telling & (at | (history[0] < 0))
    history.copy_(torch.where(written, squared_norm, history))
    threshold = torch.sqrt(torch.sort(history).values[percentile])
    norm = torch.sqrt(squared_norm)
    return torch.where(telling & (norm > threshold), threshold / norm, torch.ones_like(norm))
