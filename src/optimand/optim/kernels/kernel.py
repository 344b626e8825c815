"""A kernel: one formula, run on lists of tensors by compiled code, or on single tensors by torch operations."""

from __future__ import annotations

import functools
import inspect
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import compiler
from .compiler import Variant
from .gather import Batch, Memo, arithmetic_dtype, collect
from .pool import run_pieces

CHUNK = 1 << 15


class Kernel:
    """An update rule for every element of a parameter.

    Args:
        update: ``update(p, g, *states, *scalars) -> (p, *states)``, written under the rules of this package.
        states: names of the states, in the order of the formula's arguments.
        functions: functions that the formula calls by these names (besides those of its module).

    Raises:
        ValueError: the formula's arguments do not start with the parameter, the gradient and the states.

    Example:
        >>> def sgd(p, g, lr):
        ...     return (p - lr * g,)
        >>> kernel = Kernel(sgd)
        >>> kernel.scalars
        ('lr',)
        >>> p = torch.ones(3)
        >>> kernel.launch([p], [torch.ones(3)], [], [(0.5,)])
        []
        >>> p
        tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(
        self,
        update: Callable[..., Any],
        states: Sequence[str] = (),
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        names = list(inspect.signature(update).parameters)
        self.update = update
        self.states = tuple(states)
        self.functions = dict(functions or {})
        if tuple(names[2 : 2 + len(self.states)]) != self.states:
            raise ValueError(f"update must take (p, g, {', '.join(self.states)}, scalars...), got ({', '.join(names)})")
        self.scalars = tuple(names[2 + len(self.states) :])
        self.failure: Exception | None = None
        self._compiled: dict[Variant, Any] = {}
        self._on_tensors = _with_functions(update, self.functions)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.update, self.states, self.functions)

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        return self

    def on_tensors(self, *args: Any) -> tuple[Tensor, ...]:
        """The formula on tensors of one dtype (out of place): ``(p, g, *states, *scalars) -> (p, *states)``."""
        return self._on_tensors(*args)  # type: ignore[no-any-return]

    def compiled(self, variant: Variant) -> Any | None:
        """The compiled loop for these dtypes, or None where it cannot be had (``failure`` tells why)."""
        found = self._compiled.get(variant)
        if found is None:
            found = self.load(compiler.driver_source(len(self.states), len(self.scalars), variant), variant)
            if found is not None:
                self._compiled[variant] = found
        return found

    def load(self, source: str, variant: Variant, outputs: int | None = None) -> Any | None:
        """The compiled code of a driver around the formula; None once it or an earlier one has failed."""
        if self.failure is not None:
            return None
        try:
            return compiler.load(self.update, self.functions, source, variant, outputs)
        except ImportError as error:
            self.failure = error
        except Exception as error:  # any fault of the compiler leaves the tensor path, which needs none
            self.failure = error
            warnings.warn(
                f"no compiled kernel for {self.update.__name__!r}, tensor operations serve: "
                f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}",
                RuntimeWarning,
                stacklevel=3,
            )
        return None

    def launch(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[Sequence[Tensor]],
        table: Sequence[Sequence[float]],
        rows: Sequence[int] | None = None,
        *,
        maximize: bool = False,
        keys: Sequence[int] | None = None,
        memo: Memo | None = None,
    ) -> list[int]:
        """Update ``params`` and ``states`` in place by compiled code, for those tensors that it can serve.

        Args:
            params: parameters of any dtypes and shapes.
            grads: their gradients.
            states: for each state of the formula, one tensor for each parameter.
            table: rows of scalars, in the order of :attr:`scalars`.
            rows: for each parameter its row in ``table``; the first row for all by default.
            maximize: whether the gradients' signs are turned.
            keys: one 32-bit number for each parameter: round 16-bit parameters stochastically with these.
            memo: kept by the caller between calls with the same parameters and states, to save checks.

        Returns:
            The indices of the parameters that are still to be done: not on the CPU, a tensor subclass, a layout
            or dtype that no kernel reads, or no compiler at hand.
        """
        batches, rest = collect(params, grads, states, keys is not None, memo)
        if not batches:
            return rest
        sign = -1.0 if maximize else 1.0
        scalars = np.array([(sign, *row) for row in table], dtype=np.float64)
        for variant, batch in batches.items():
            call, chunks = self.compiled(variant), chunk_table(tuple(batch.numels))
            if call is None:
                rest.extend(batch.indices)
            elif len(chunks[0]):
                row = np.zeros(len(batch.indices), np.int64)
                if rows is not None and len(scalars) > 1:
                    row[:] = [rows[i] for i in batch.indices]
                run_compiled(call, batch, chunks, row, scalars, keys)
        return sorted(rest)

    def run_batch(self, dtypes: tuple[str, ...], batch: Batch) -> bool:
        """Run a formula without scalars on a batch whose tensors the caller has checked; False if not compiled."""
        call = self.compiled(Variant(dtypes))
        if call is None:
            return False
        row = np.zeros(len(batch.indices), np.int64)
        run_compiled(call, batch, chunk_table(tuple(batch.numels)), row, np.ones((1, 1)), None)
        return True

    def apply(
        self,
        param: Tensor,
        grad: Tensor,
        states: Sequence[Tensor],
        scalars: Iterable[Any],
        *,
        maximize: bool = False,
        round_param: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Update one tensor and its states in place by torch operations, on any device and under any tracer.

        Args:
            param: the parameter.
            grad: its gradient.
            states: its states.
            scalars: in the order of :attr:`scalars`; numbers or 0-d tensors.
            maximize: whether the gradient's sign is turned.
            round_param: rounds the new parameter from the precision of the arithmetic to its own.
        """
        target = arithmetic_dtype([param, grad, *states])
        given = [t.to(target) for t in (param, grad, *states)]
        if torch.is_grad_enabled():  # the originals change below, and autograd may still need their values
            given = [t.clone() for t in given]
        if maximize:
            given[1] = -given[1]
        new_param, *new_states = self.on_tensors(*given, *scalars)
        param.copy_(new_param if round_param is None else round_param(new_param))
        for state, new in zip(states, new_states, strict=True):
            state.copy_(new)


def _with_functions(update: Callable[..., Any], functions: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The formula with ``functions`` among its globals."""
    if not functions:
        return update
    space = {**update.__globals__, **functions}
    # With a module's name, torch.compile would look for the functions in that module.
    del space["__name__"]
    twin = types.FunctionType(update.__code__, space, update.__name__, update.__defaults__, update.__closure__)
    twin.__module__ = update.__module__
    return twin


def run_compiled(
    call: Any, batch: Batch, chunks: Sequence[np.ndarray], rows: np.ndarray, table: np.ndarray, keys: Any
) -> None:
    """Run a compiled loop over all chunks of a batch; ``keys``: a number for each of the caller's tensors."""
    key = np.zeros(1, np.uint32) if keys is None else np.array([keys[i] for i in batch.indices], np.uint32)
    lists = [np.array(pointers, dtype=np.int64) for pointers in batch.pointers]
    addresses = [a.ctypes.data for a in (*chunks, rows, table, key, *lists)]
    run_pieces(lambda begin, end: call(begin, end, *addresses), len(chunks[0]), sum(batch.numels))
    # Code outside torch wrote to these: autograd must know, as it would after an in-place operation.
    torch.autograd.graph.increment_version(batch.written)


@functools.lru_cache(maxsize=64)
def chunk_table(numels: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut tensors of these sizes into chunks: for each chunk its tensor, its offset and its length."""
    sizes = np.array(numels, dtype=np.int64)
    pieces = -(-sizes // CHUNK)
    tensors = np.repeat(np.arange(len(sizes)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    offsets = (np.arange(len(tensors)) - first) * CHUNK
    lengths = np.minimum(sizes[tensors] - offsets, CHUNK)
    return tensors.astype(np.int64), offsets.astype(np.int64), lengths.astype(np.int64)
