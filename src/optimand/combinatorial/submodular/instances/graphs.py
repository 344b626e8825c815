"""Graphs as coverage: an element is a node, and covers itself and its neighbours."""

from __future__ import annotations

import functools
import gzip
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int

from ..objectives.coverage import Coverage

FOLDER = "dynamic-submodular"
# What networkx calls them; parts of bipartite graphs are nodes like all others.
PACKAGED = {
    "karate": "karate_club_graph",
    "les-miserables": "les_miserables_graph",
    "florentine": "florentine_families_graph",
    "davis": "davis_southern_women_graph",
}
FILES = ("ego-facebook", "email-enron")
GRAPHS = ("generated", *PACKAGED, *FILES)


def graph_coverage(name: str, nodes: int = 6000, seed: int = 0) -> Coverage:
    """Closed neighbourhoods of a graph.

    Args:
        name: ``generated`` (preferential attachment), ``karate``, ``les-miserables``, ``florentine``, ``davis`` (of
            networkx), ``ego-facebook`` or ``email-enron`` (files of ``$OPTIMAND_DATA/dynamic-submodular``).
        nodes: of ``generated``.
        seed: of ``generated``.

    Raises:
        OptimandError: networkx or the file is missing; says what to do.

    Example:
        >>> graph_coverage("generated", nodes=50).n
        50
    """
    check_choice("graph", name, GRAPHS)
    if name == "generated":
        ends = attachment_edges(check_int("nodes", nodes, low=4), seed)
        return Coverage(closed_neighbourhoods(ends, nodes))
    if name in PACKAGED:
        elements, ends = _packaged(name)
        rows = closed_neighbourhoods(ends, len(elements))
        return Coverage({e: rows[1][rows[0][i] : rows[0][i + 1]] for i, e in enumerate(elements)})
    ends = read_edges(name)
    return Coverage(closed_neighbourhoods(ends, int(ends.max()) + 1))


def closed_neighbourhoods(ends: Any, nodes: int) -> tuple[Any, Any]:
    """Rows ``(indptr, indices)``: each node with its neighbours, of edges shape ``(m, 2)``."""
    own = np.arange(nodes)
    rows = np.concatenate([own, ends[:, 0], ends[:, 1]])
    columns = np.concatenate([own, ends[:, 1], ends[:, 0]])
    order = np.lexsort((columns, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=nodes))])
    return indptr.astype(np.int64), columns[order].astype(np.int64)


def attachment_edges(nodes: int, seed: int, each: int = 3) -> Any:
    """Edges of preferential attachment (Barabási, Albert 1999): a new node joins ``each`` ends of earlier edges."""
    rng = np.random.default_rng(seed)
    ends = np.empty((each * nodes, 2), dtype=np.int64)
    ends[:each] = [(a, (a + 1) % each) for a in range(each)]
    count = each
    for node in range(each, nodes):
        joined = np.unique(ends[:count].ravel()[rng.integers(2 * count, size=each)])
        ends[count : count + len(joined), 0] = node
        ends[count : count + len(joined), 1] = joined
        count += len(joined)
    return ends[:count]


def _packaged(name: str) -> tuple[list[Hashable], Any]:
    try:
        import networkx
    except ImportError as error:
        raise OptimandError(f"graph {name!r} is part of networkx: python -m pip install networkx") from error
    graph = getattr(networkx, PACKAGED[name])()
    elements = list(graph.nodes)
    index = {e: i for i, e in enumerate(elements)}
    return elements, np.array([(index[a], index[b]) for a, b in graph.edges], dtype=np.int64).reshape(-1, 2)


def read_edges(name: str) -> Any:
    """Edges of a file ``<name>.edges.gz`` with a pair of node numbers a line, shape ``(m, 2)``; read once."""
    from optimand.data.folders import find_folder
    from optimand.data.registry import ROOT_VARIABLE

    folder = os.environ.get(ROOT_VARIABLE)
    return _read(find_folder(None if not folder else Path(folder).expanduser().resolve(), FOLDER) / f"{name}.edges.gz")


@functools.lru_cache(maxsize=4)
def _read(file: Path) -> Any:
    try:
        text = gzip.decompress(file.read_bytes())
    except (OSError, EOFError) as error:
        raise OptimandError(f"file {str(file)!r} could not be read: {error}") from error
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise OptimandError(f"file {str(file)!r} must hold pairs of node numbers: {error}") from error
    if len(numbers) % 2 or not len(numbers) or numbers.min() < 0:
        raise OptimandError(f"file {str(file)!r} must hold pairs of node numbers, got {len(numbers)} numbers")
    ends = numbers.reshape(-1, 2)
    ends.flags.writeable = False
    return ends
