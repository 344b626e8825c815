"""Parameters moved for a moment and put back bit for bit; forward passes that leave no trace in a model.

Adding a step and subtracting it again does not give back the same floats, so a copy is kept. Passes that only measure
must not advance a model's statistics (BatchNorm, spectral norm) nor the random numbers of its dropout, and two passes
whose difference is taken must draw the same masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def global_norm(tensors: Sequence[Tensor]) -> float:
    """The 2-norm over all entries of all tensors; 0 for none.

    Example:
        >>> global_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
        5.0
    """
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack([n.double() for n in torch._foreach_norm(tuple(tensors))])))


@contextmanager
def moved(params: Sequence[Tensor], directions: Sequence[Tensor], step: float) -> Iterator[None]:
    """Within the context ``params`` are moved by ``step * directions``; afterwards they are back, bit for bit.

    The direction may be overwritten or freed within the context.
    """
    with torch.no_grad():
        kept = [p.detach().clone() for p in params]
        torch._foreach_add_(list(params), list(directions), alpha=step)
    del directions
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(params), kept)


class Sealed:
    """A context in which passes through a model leave its buffers and the random number generators unchanged.

    Args:
        model: the model; only buffers of modules in training mode are looked after.
        device: a CUDA device whose generator is looked after too, or None.
        start: a state of the generators, from :meth:`state`, with which the context begins; the present one if None.
    """

    def __init__(self, model: nn.Module, device: torch.device | None = None, start: list[Tensor] | None = None) -> None:
        self.model = model
        self.device = device if device is not None and device.type == "cuda" else None
        self.start = start

    def state(self) -> list[Tensor]:
        """The generators' present state."""
        state = [torch.get_rng_state()]
        if self.device is not None:
            state.append(torch.cuda.get_rng_state(self.device))
        return state

    def replay(self, state: list[Tensor]) -> None:
        """Put the generators into a state, so that what follows draws what followed it before."""
        torch.set_rng_state(state[0])
        if self.device is not None:
            torch.cuda.set_rng_state(state[1], self.device)

    def __enter__(self) -> None:
        self._before = self.state()
        if self.start is not None:
            self.replay(self.start)
        self._buffers = [
            (buffer, buffer.detach().clone())
            for module in self.model.modules()
            if module.training
            for buffer in module.buffers(recurse=False)
        ]

    def __exit__(self, *_: object) -> None:
        self.replay(self._before)
        with torch.no_grad():
            for buffer, kept in self._buffers:
                buffer.copy_(kept)
