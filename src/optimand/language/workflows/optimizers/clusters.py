"""Which of several answers most agree on: complete-linkage clusters of texts, and the middle of the largest.

OptoPrime with several candidates (arXiv 2406.16218 and the maintained fork of its implementation) votes so: answers
closer than 0.2 count as the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def text_distance(a: str, b: str) -> float:
    """One minus the share of matching characters, averaged over both orders, since matching depends on the order.

    Example:
        >>> text_distance("abcd", "abcd"), text_distance("abcd", "wxyz")
        (0.0, 1.0)
    """
    if a == b:
        return 0.0
    there = difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()
    back = difflib.SequenceMatcher(None, b, a, autojunk=False).ratio()
    return 1.0 - (there + back) / 2


def complete_linkage(distances: Sequence[Sequence[float]], threshold: float) -> list[list[int]]:
    """Join clusters, the nearest first, while the largest distance within the joined one stays below the threshold.

    Args:
        distances: symmetric, n × n.
        threshold: two clusters at this distance or more stay apart.

    Returns:
        Clusters of indices, each sorted, in the order of their first members.

    Example:
        >>> complete_linkage([[0, 0.1, 0.9], [0.1, 0, 0.15], [0.9, 0.15, 0]], 0.2)
        [[0, 1], [2]]
    """
    clusters = [[index] for index in range(len(distances))]
    while len(clusters) > 1:
        apart, i, j = min(
            (max(distances[a][b] for a in clusters[i] for b in clusters[j]), i, j)
            for i in range(len(clusters))
            for j in range(i + 1, len(clusters))
        )
        if apart >= threshold:
            break
        clusters[i] = sorted(clusters[i] + clusters[j])
        del clusters[j]
    return sorted(clusters)


def majority(texts: Sequence[str], threshold: float = 0.2) -> int:
    """The index of the medoid of the largest cluster; the earliest where several are equal.

    Example:
        >>> majority(["x = 41", "x = 7, since seven", "x = 42"], 0.3)
        0
    """
    distances = [[text_distance(a, b) for b in texts] for a in texts]
    largest = max(complete_linkage(distances, threshold), key=len)
    return min(largest, key=lambda index: (sum(distances[index][other] for other in largest), index))
