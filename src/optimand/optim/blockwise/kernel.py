"""A formula on quantized states: dequantize a block, update, quantize again, a piece of the tensor at a time.

The parameter moves by the new states as they were computed; only what is stored is rounded. A block whose new states
would not all be finite stays as it was, parameter and states, so one NaN in a gradient cannot spoil its neighbours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from optimand.optim.kernels import Kernel
from optimand.optim.kernels.gather import Memo
from optimand.optim.kernels.rounding import GOLDEN
from optimand.optim.stochastic import HALF, MASK, rounding_of

from .codec import pieces
from .tensor import PIECE, QuantizedTensor

# On accelerators a piece must be worth its launches.
DEVICE_PIECE = 1 << 18


# A plain dict: torch.compile looks through it, but not through functools.cache.
_KERNELS: dict[Kernel, QuantizedKernel] = {}


def quantized_kernel(kernel: Kernel) -> QuantizedKernel:
    """The kernel on quantized states, the same one at every call."""
    if kernel not in _KERNELS:
        _KERNELS[kernel] = QuantizedKernel(kernel)
    return _KERNELS[kernel]


class QuantizedKernel:
    """A formula whose states are quantized.

    Args:
        kernel: the formula.
        compile: whether to run the torch operations through ``torch.compile``, or the name of its backend; None:
            on accelerators, where Triton is installed. Where compiling fails, the operations run one by one.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861, section 2.

    Example:
        >>> def momentum(p, g, m, lr):
        ...     m = m + g
        ...     return p - lr * m, m
        >>> kernel = QuantizedKernel(Kernel(momentum, states=("m",)))
        >>> p, g = torch.zeros(3), torch.tensor([1.0, -2.0, 0.5])
        >>> m = QuantizedTensor.zeros_like(p)
        >>> kernel.launch([p], [g], [[m]], [(0.5,)])
        >>> p, m.dequantize()
        (tensor([-0.5000,  1.0000, -0.2500]), tensor([ 1.0016, -2.0000,  0.4953]))
    """

    def __init__(self, kernel: Kernel, compile: bool | str | None = None) -> None:
        self.kernel = kernel
        self.compile = compile
        self._compiled: Callable[..., Tensor] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kernel, self.compile)

    def launch(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[Sequence[QuantizedTensor]],
        table: Sequence[Sequence[Any]],
        rows: Sequence[int] | None = None,
        *,
        maximize: bool = False,
        keys: Sequence[int] | None = None,
        skipped: list[int] | None = None,
        fused: bool = True,
        memo: Memo | None = None,
    ) -> None:
        """Update all parameters and states in place, by compiled code where that can serve.

        Args:
            params: floating-point parameters of at most 32 bits, of any shapes, on any devices.
            grads: their gradients.
            states: for each state of the formula, one quantized tensor for each parameter.
            table: rows of scalars, in the order of the kernel's ``scalars``.
            rows: for each parameter its row in ``table``; the first row for all by default.
            maximize: whether to follow the gradients upwards.
            keys: one 32-bit number for each parameter: round 16-bit parameters stochastically with these.
            skipped: gets the indices of the parameters of which a block was left as it was, because its new states
                would not be finite.
            fused: whether compiled CPU code may serve.
            memo: kept by the caller between calls with the same parameters and states, to save checks.
        """
        rest = list(range(len(params)))
        if fused:
            from . import fused as compiled

            options: dict[str, Any] = {"maximize": maximize, "keys": keys, "skipped": skipped, "memo": memo}
            rest = compiled.launch(self.kernel, params, grads, states, table, rows, **options)
        flags = []
        for i in rest:
            here, row = [tensors[i] for tensors in states], table[0 if rows is None else rows[i]]
            key = None if keys is None else keys[i]
            flags.append((i, self.apply(params[i], grads[i], here, row, maximize=maximize, key=key)))
        if skipped is not None and flags:
            skipped += _raised(flags)

    def apply(
        self,
        param: Tensor,
        grad: Tensor,
        states: Sequence[QuantizedTensor],
        scalars: Iterable[Any],
        *,
        maximize: bool = False,
        key: int | None = None,
        stochastic: bool = False,
    ) -> Tensor:
        """Update one parameter and its states in place by torch operations, on any device and under ``torch.compile``.

        Args:
            param: the parameter; where its memory order is not that of the states, a copy of it is made.
            grad: its gradient.
            states: its states.
            scalars: in the order of the kernel's ``scalars``; numbers or 0-d tensors.
            maximize: whether to follow the gradient upwards.
            key: round a 16-bit parameter stochastically with this 32-bit number.
            stochastic: round it with torch's own random numbers where there is no key.

        Returns:
            0-d, bool, on the parameter's device: whether a block was left as it was.
        """
        scalars = tuple(scalars)
        first = states[0]
        with torch.no_grad():
            p, g = first.flat(param), first.flat(grad)
            tracing = torch.compiler.is_compiling()
            rounded = param.dtype in HALF and (stochastic or key is not None)
            if not tracing and not rounded and self._compiles(param.device):
                flag = self._apply_compiled(p, g, states, scalars, maximize)
            else:
                flag = torch.zeros((), dtype=torch.bool, device=param.device)
                smallest = PIECE if param.device.type == "cpu" else DEVICE_PIECE
                at_most = first.numel if tracing else max(smallest, first.numel // 2048)
                for begin, end, rows in pieces(first.numel, first.block_size, at_most):
                    shift = None if key is None else (key + begin * GOLDEN) & MASK
                    rounding = rounding_of(p[begin:end].view(rows, -1), shift) if rounded else None
                    flag = flag | self._update(p, g, states, scalars, maximize, (begin, end, rows), rounding)
            if p.data_ptr() != param.data_ptr() if not tracing else param.stride() != first.stride:
                param.copy_(p.as_strided(first.shape, first.stride))
        return flag

    def _update(
        self,
        p: Tensor,
        g: Tensor,
        states: Sequence[QuantizedTensor],
        scalars: Sequence[Any],
        maximize: bool,
        piece: tuple[int, int, int],
        rounding: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Update one piece; returns whether a block of it was left as it was."""
        begin, end, rows = piece
        old = p[begin:end].view(rows, -1)
        gradient = g[begin:end].view(rows, -1).float()
        if maximize:
            gradient = -gradient
        new_param, *new = self.kernel.on_tensors(
            old.float(), gradient, *(q.read(begin, end, rows) for q in states), *scalars
        )
        encoded = [q.encode(x) for q, x in zip(states, new, strict=True)]
        finite = torch.ones((rows, 1), dtype=torch.bool, device=p.device)
        for _, scale in encoded:
            finite = finite & torch.isfinite(scale)
        keep = None
        if torch.compiler.is_compiling() or p.device.type != "cpu" or not bool(finite.all()):
            keep = ~finite
        new_param = new_param.to(p.dtype) if rounding is None else rounding(new_param)
        old.copy_(new_param if keep is None else torch.where(keep, old, new_param))
        for q, (codes, scale) in zip(states, encoded, strict=True):
            q.write(begin, end, codes, scale, keep)
        return ~finite.all()

    def _compiles(self, device: torch.device) -> bool:
        if self.compile is not None:
            return bool(self.compile)
        return device.type not in ("cpu", "mps") and importlib.util.find_spec("triton") is not None

    def _apply_compiled(
        self, p: Tensor, g: Tensor, states: Sequence[QuantizedTensor], scalars: Sequence[Any], maximize: bool
    ) -> Tensor:
        """All full blocks in one graph, which serves tensors of all sizes; what is left is small.

        Numbers travel as tensors and tensors without the parameter they are views of, to compile only once.
        """
        if self._compiled is None:
            backend = self.compile if isinstance(self.compile, str) else "inductor"
            self._compiled = torch.compile(self._update, dynamic=True, backend=backend)
        values = tuple(x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float32) for x in scalars)
        flag = torch.zeros((), dtype=torch.bool, device=p.device)
        for piece in pieces(states[0].numel, states[0].block_size, states[0].numel):
            if piece[2] > 1 and self.compile is not False:
                try:
                    flag = flag | self._compiled(p.data, g.data, states, values, maximize, piece)
                    torch.autograd.graph.increment_version([p])
                    continue
                except Exception:  # whatever the compiler stumbles over, the operations themselves serve
                    self.compile = False
            flag = flag | self._update(p, g, states, scalars, maximize, piece)
        return flag


def _raised(flags: list[tuple[int, Tensor]]) -> list[int]:
    """The indices whose flag is set, read from each device at once."""
    by_device: dict[torch.device, list[tuple[int, Tensor]]] = {}
    for i, flag in flags:
        by_device.setdefault(flag.device, []).append((i, flag))
    found = []
    for entries in by_device.values():
        values = torch.stack([flag for _, flag in entries]).tolist()
        found += [i for (i, _), value in zip(entries, values, strict=True) if value]
    return sorted(found)
