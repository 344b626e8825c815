"""Data as tensors, and the order in which a run meets it. No DataLoader: everything is in memory already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..core.validation import check_choice
from ..data.containers import Split, TableData, TextData
from ..data.tokens import TokenText

Batch = tuple[Tensor, ...]
SPLITS = ("train", "valid", "test")


class Sampler(Protocol):
    """A stream of mini-batches whose position can be saved."""

    def next(self) -> Batch: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Data(Protocol):
    """What a training problem learns from; ``items`` is what its sizes count."""

    items: ClassVar[str]

    def to(self, device: torch.device) -> Data: ...

    def size(self, split: str) -> int: ...

    def sampler(self, batch_size: int, generator: torch.Generator) -> Sampler: ...

    def batches(self, split: str) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class TensorData:
    """Examples in memory: for each split a tuple of tensors with the same first dimension.

    Attributes:
        train: for instance ``(x, y)`` with ``x`` of shape ``[n, …]`` and ``y`` of shape ``[n]``.
        valid: the same for validation.
        test: the same for the report.
        chunk: rows a batch of evaluation.

    Example:
        >>> x, y = torch.randn(10, 3), torch.zeros(10, dtype=torch.long)
        >>> data = TensorData(train=(x, y), valid=(x, y), test=(x, y))
        >>> [part.shape[0] for part in data.sampler(4, torch.Generator()).next()]
        [4, 4]
    """

    train: Batch
    valid: Batch
    test: Batch
    chunk: int = 256

    items: ClassVar[str] = "examples"

    def __post_init__(self) -> None:
        for split in SPLITS:
            part = getattr(self, split)
            if not isinstance(part, tuple) or not part or not all(isinstance(t, Tensor) for t in part):
                raise TypeError(f"{split} must be a tuple of tensors, got {type(part).__name__}")
            lengths = {len(t) for t in part}
            if len(lengths) != 1 or 0 in lengths:
                raise ValueError(
                    f"{split} must hold tensors of the same positive length, got lengths {sorted(lengths)}"
                )

    @classmethod
    def from_table(cls, data: TableData) -> TensorData:
        """Tensors of ``data``, inputs as float32 and labels as int64."""

        def convert(split: Split) -> Batch:
            return torch.tensor(split.x, dtype=torch.float32), torch.tensor(split.y)

        return cls(convert(data.train), convert(data.valid), convert(data.test))

    def to(self, device: torch.device) -> TensorData:
        """The same data on ``device``."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {s: tuple(t.to(device) for t in getattr(self, s)) for s in SPLITS}
        return replace(self, **moved)

    def size(self, split: str) -> int:
        """Number of examples of a split."""
        return len(getattr(self, check_choice("split", split, SPLITS))[0])

    def sampler(self, batch_size: int, generator: torch.Generator) -> Sampler:
        """Mini-batches without replacement, reshuffled every epoch; the incomplete last batch is left out."""
        return _RowSampler(self.train, min(batch_size, self.size("train")), generator)

    def batches(self, split: str) -> Iterator[Batch]:
        """The split in order, ``chunk`` rows at a time."""
        part = getattr(self, check_choice("split", split, SPLITS))
        for start in range(0, len(part[0]), self.chunk):
            yield tuple(t[start : start + self.chunk] for t in part)


class _RowSampler:
    def __init__(self, tensors: Batch, batch_size: int, generator: torch.Generator) -> None:
        self.tensors, self.batch_size, self.generator = tensors, batch_size, generator
        self.last = len(tensors[0]) - batch_size
        self._shuffle()

    def _shuffle(self) -> None:
        self.before = self.generator.get_state()
        order = torch.randperm(len(self.tensors[0]), generator=self.generator)
        self.order, self.position = order.to(self.tensors[0].device), 0

    def next(self) -> Batch:
        if self.position > self.last:
            self._shuffle()
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return tuple([t.index_select(0, rows) for t in self.tensors])

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.before, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self._shuffle()
        self.position = state["position"]


@dataclass(frozen=True)
class WindowData:
    """A text as bytes, met in windows: inputs ``[batch, context]``, targets the same shifted by one byte.

    Attributes:
        train: uint8, one dimension.
        valid: uint8, one dimension.
        test: uint8, one dimension.
        context: bytes a window.
        evaluate: bytes that an evaluation of the validation split reads, in windows spread evenly over it,
            the same ones for every method, seed and time. The other splits, evaluated once a run, are read
            four times as far.
        chunk: windows a batch of evaluation.
    """

    train: Tensor
    valid: Tensor
    test: Tensor
    context: int
    evaluate: int = 16384
    chunk: int = 16

    items: ClassVar[str] = "bytes"
    dtype: ClassVar[torch.dtype] = torch.uint8

    def __post_init__(self) -> None:
        for split in SPLITS:
            part = getattr(self, split)
            if not isinstance(part, Tensor) or part.dtype != self.dtype or part.ndim != 1:
                kind = str(self.dtype).removeprefix("torch.")
                raise TypeError(f"{split} must be a {kind} tensor with one dimension, got {part!r:.60}")
            if len(part) <= self.context:
                raise ValueError(
                    f"{split} must be longer than the context of {self.context} {self.items}, got {len(part)}"
                )

    @classmethod
    def from_text(cls, data: TextData, *, context: int, evaluate: int = 16384, chunk: int = 16) -> WindowData:
        """Tensors of ``data``."""
        parts = {s: torch.tensor(getattr(data, s)) for s in SPLITS}
        return cls(**parts, context=context, evaluate=evaluate, chunk=chunk)

    def to(self, device: torch.device) -> WindowData:
        """The same data on ``device``."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {s: getattr(self, s).to(device) for s in SPLITS}
        return replace(self, **moved)

    def size(self, split: str) -> int:
        """Number of bytes of a split."""
        return len(getattr(self, check_choice("split", split, SPLITS)))

    def sampler(self, batch_size: int, generator: torch.Generator) -> Sampler:
        """Windows at uniformly random places of the training text."""
        return _WindowSampler(self.train, self.context, batch_size, generator)

    def batches(self, split: str) -> Iterator[Batch]:
        """Windows that do not overlap, spread evenly over the split."""
        text = getattr(self, split)
        for piece in self.starts(split).split(self.chunk):
            yield _windows(text, piece, self.context)

    def starts(self, split: str) -> Tensor:
        """Where the windows of :meth:`batches` begin."""
        length = self.size(split) - 1
        wanted = self.evaluate if split == "valid" else 4 * self.evaluate
        count = max(1, min(wanted, length) // self.context)
        return torch.linspace(0, length - self.context, count, dtype=torch.float64).long()


@dataclass(frozen=True, kw_only=True)
class TokenWindows(WindowData):
    """A text as tokens, met in windows like a :class:`WindowData`, whose ``context`` and ``evaluate`` count tokens.

    A batch of evaluation has a third part, the tokens per byte of all that is evaluated of its split, the same number
    for each window: it turns nats per token into bits per byte, which compare across vocabularies.

    Attributes:
        train, valid, test: int32, one dimension.
        lengths: bytes of each token of the vocabulary, int64.
    """

    lengths: Tensor

    items: ClassVar[str] = "tokens"
    dtype: ClassVar[torch.dtype] = torch.int32

    @classmethod
    def from_tokens(cls, data: TokenText, *, context: int, evaluate: int = 16384, chunk: int = 16) -> TokenWindows:
        """Tensors of ``data``."""
        parts = {s: torch.tensor(getattr(data, s), dtype=torch.int32) for s in SPLITS}
        return cls(**parts, lengths=torch.tensor(data.lengths), context=context, evaluate=evaluate, chunk=chunk)

    def batches(self, split: str) -> Iterator[Batch]:
        """Windows that do not overlap, spread evenly over the split, with their tokens per byte."""
        text, starts = getattr(self, split), self.starts(split)
        _, targets = _windows(text, starts, self.context)
        density = targets.numel() / int(self.lengths[targets.cpu()].sum())
        for piece in starts.split(self.chunk):
            x, y = _windows(text, piece, self.context)
            yield x, y, torch.full((len(x),), density, device=x.device)


class _WindowSampler:
    def __init__(self, text: Tensor, context: int, batch_size: int, generator: torch.Generator) -> None:
        self.text, self.context, self.batch_size, self.generator = text, context, batch_size, generator

    def next(self) -> Batch:
        starts = torch.randint(len(self.text) - self.context, (self.batch_size,), generator=self.generator)
        return _windows(self.text, starts, self.context)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


def _windows(text: Tensor, starts: Tensor, context: int) -> Batch:
    places = starts.to(text.device)[:, None] + torch.arange(context + 1, device=text.device)
    window = text[places].long()
    return window[:, :-1], window[:, 1:]
