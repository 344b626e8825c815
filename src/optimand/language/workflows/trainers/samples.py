"""Data sets of trainers: samples in a fixed order, and batches that are a function of the seed and a number.

No generator's state is kept: the order of an epoch hangs on the seed and the epoch's number, so a run that is resumed
meets the batches that an unbroken one meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int


@dataclass(frozen=True)
class Sample:
    """A query and what is known about it.

    Attributes:
        index: its place in the data set.
        query: what the workflow is called with.
        info: what the guide is told.
    """

    index: int
    query: Any
    info: Any = None

    def __str__(self) -> str:
        return f"sample {self.index} (query {self.query!r:.80})"


def read_dataset(name: str, dataset: Any) -> tuple[Sample, ...]:
    """Samples of a data set.

    Args:
        name: the argument's name, for errors.
        dataset: a sequence of pairs ``(query, info)`` or of mappings with ``query`` and, if wanted, ``info``; or a
            mapping of two sequences, ``{"inputs": queries, "infos": infos}``.

    Raises:
        OptimandError: it is empty.
        TypeError: it is none of these.

    Example:
        >>> [sample.info for sample in read_dataset("dataset", [("2 + 2", 4), {"query": "1 + 1", "info": 2}])]
        [4, 2]
    """
    if isinstance(dataset, Mapping):
        if set(dataset) != {"inputs", "infos"}:
            raise TypeError(f"{name} as a mapping must have 'inputs' and 'infos', got {', '.join(map(repr, dataset))}")
        if len(dataset["inputs"]) != len(dataset["infos"]):
            raise ValueError(f"{name} has {len(dataset['inputs'])} inputs and {len(dataset['infos'])} infos")
        dataset = list(zip(dataset["inputs"], dataset["infos"], strict=True))
    if isinstance(dataset, str) or not isinstance(dataset, Sequence):
        raise TypeError(f"{name} must be a sequence of (query, info), got {dataset!r:.60} ({type(dataset).__name__})")
    found = []
    for index, item in enumerate(dataset):
        if isinstance(item, Sample):
            found.append(Sample(index, item.query, item.info))
        elif isinstance(item, Mapping) and "query" in item and set(item) <= {"query", "info"}:
            found.append(Sample(index, item["query"], item.get("info")))
        elif isinstance(item, tuple | list) and len(item) == 2:
            found.append(Sample(index, *item))
        else:
            raise TypeError(
                f"{name}[{index}] must be (query, info) or {{'query': ..., 'info': ...}}, got {item!r:.60} "
                f"({type(item).__name__})"
            )
    if not found:
        raise OptimandError(f"{name} is empty")
    return tuple(found)


class Batches:
    """Batches of a data set, each sample once an epoch; the last batch of an epoch may be smaller.

    Args:
        samples: the data set.
        size: samples in a batch, >= 1.
        seed: of the orders.
        shuffle: each epoch has an order of its own; else all have the order of the data set.

    Example:
        >>> batches = Batches(read_dataset("dataset", [(i, None) for i in range(5)]), 2, shuffle=False)
        >>> [[sample.query for sample in batches.batch(i)] for i in range(4)]
        [[0, 1], [2, 3], [4], [0, 1]]
    """

    def __init__(self, samples: Sequence[Sample], size: int, *, seed: int = 0, shuffle: bool = True) -> None:
        self.samples = tuple(samples)
        self.size = check_int("batch_size", size, low=1)
        self.per_epoch = -(-len(self.samples) // self.size)
        self.shuffle = shuffle
        self._tree = SeedTree(seed)

    @property
    def whole(self) -> bool:
        """Whether a batch is the whole data set."""
        return self.size >= len(self.samples)

    def batch(self, number: int) -> list[Sample]:
        """The batch of this number, from 0."""
        epoch, place = divmod(number, self.per_epoch)
        order = list(range(len(self.samples)))
        if self.shuffle and not self.whole:
            order = self._tree.child("epoch", epoch).numpy().permutation(len(order)).tolist()
        return [self.samples[i] for i in order[place * self.size : (place + 1) * self.size]]


def drawn(samples: Sequence[Sample], size: int | None, tree: SeedTree) -> list[Sample]:
    """``size`` of the samples without repetition, in the order of the data set; all where None."""
    if size is None or size >= len(samples):
        return list(samples)
    places = tree.numpy().choice(len(samples), size=size, replace=False)
    return [samples[i] for i in sorted(places.tolist())]
