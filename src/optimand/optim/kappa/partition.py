"""Partitions of the elements of a tensor into groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def as_labels(index: Sequence[Any] | Tensor) -> Tensor:
    """One group label (0, 1, …) per flat element, from groups of flat indices or from labels.

    Args:
        index: ``[[0, 1], [2]]`` (groups that together hold 0, …, n-1 once each) or ``[0, 0, 1]`` (labels).

    Raises:
        ValueError: an element is in no group or in two, or the labels are not 0, …, number of groups - 1.

    Example:
        >>> as_labels([[0, 2], [1]]).tolist()
        [0, 1, 0]
    """
    if isinstance(index, Tensor):
        index = index.flatten().tolist()
    if not len(index):
        raise ValueError("index must hold at least one group, got none")
    if not isinstance(index[0], int):
        groups = [[int(i) for i in group] for group in index]
        members = [i for group in groups for i in group]
        if not members:
            raise ValueError("index must hold at least one element, got empty groups")
        lost = sorted(set(range(max(members) + 1)) - set(members))
        twice = sorted({i for i in members if members.count(i) > 1}) if len(set(members)) < len(members) else []
        if lost or twice or min(members) < 0:
            raise ValueError(
                f"index must hold every flat element exactly once; missing {lost[:5]}, repeated {twice[:5]}, "
                f"smallest {min(members)}"
            )
        labels = torch.empty(len(members), dtype=torch.int64)
        for label, group in enumerate(groups):
            labels[group] = label
        return labels
    labels = torch.tensor([int(i) for i in index], dtype=torch.int64)
    if labels.min() < 0 or len(labels.unique()) != int(labels.max()) + 1:
        raise ValueError(f"index must hold the labels 0, …, number of groups - 1, got {labels.unique().tolist()[:10]}")
    return labels
