"""Which parameters form a block: from names, labels, or each for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

BlockOf: TypeAlias = Callable[[str], Any] | Sequence[Any] | None


def block_labels(block_of: BlockOf, group: dict[str, Any]) -> list[Any] | None:
    """The label of each parameter's block, None where ``block_of`` is.

    Args:
        block_of: a function of a parameter's name, a label for each parameter, or None.
        group: the group: its ``params``, and ``param_names`` where they are named.

    Raises:
        TypeError: ``block_of`` is neither a function nor a sequence.
        ValueError: a function is given but the parameters have no names, or the number of labels is not theirs.

    Example:
        >>> names = ["layers.0.q", "layers.0.k", "layers.1.q"]
        >>> block_labels(lambda name: name[-1], {"params": [0, 0, 0], "param_names": names})
        ['q', 'k', 'q']
    """
    if block_of is None:
        return None
    count = len(group["params"])
    if callable(block_of):
        names = group.get("param_names")
        if names is None:
            raise ValueError(
                "block_of as a function needs names: give the optimizer model.named_parameters(), or pairs of name "
                "and parameter as a group's params"
            )
        return [block_of(name) for name in names]
    if not isinstance(block_of, Sequence) or isinstance(block_of, str):
        raise TypeError(f"block_of must be a function of a name, a list of labels or None, got {block_of!r}")
    if len(block_of) != count:
        raise ValueError(f"block_of must have a label for each of the group's {count} parameters, got {len(block_of)}")
    return list(block_of)


def block_numbers(block_of: BlockOf, group: dict[str, Any]) -> list[int]:
    """A number for each parameter of a group, equal where they belong to the same block, from 0 in their order.

    Args:
        block_of: as for :func:`block_labels`; None for a block each.
        group: likewise.

    Raises:
        TypeError, ValueError: as for :func:`block_labels`.

    Example:
        >>> block_numbers(["a", "b", "a"], {"params": [0, 0, 0]}), block_numbers(None, {"params": [0, 0]})
        ([0, 1, 0], [0, 1])
    """
    labels = block_labels(block_of, group)
    if labels is None:
        return list(range(len(group["params"])))
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]
