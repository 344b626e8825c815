"""Problems of the family ``submodular``: windows that slide over verses, images, tables and graphs; graphs that drain.

The budget counts updates, each an insertion or a deletion. The metric is the mean over checkpoints of the value of a
method's solution over that of lazy greedy on the elements that are there; it is 1 for a method that runs greedy again
after every update, which costs most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from .instances.graphs import GRAPHS, graph_coverage
from .instances.streams import ORDERS, fill_and_drain, ordered, window
from .instances.tables import OBJECTIVES, TABLES, table_objective
from .loop import Stream, run


@dataclass(frozen=True, kw_only=True)
class StreamProblem:
    """Keep a good small solution while elements come and go.

    Attributes:
        name: what users type.
        make: draws an instance from a generator.
        summary: one line.
        query: the solution is asked for after every so many updates.
        budget: updates by default.
        target: ratio that counts for time-to-target, or None.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.combinatorial.submodular.methods import sieve_streaming
        >>> recorder = Recorder(300)
        >>> method = Method("sieve", "submodular", sieve_streaming, {"eps": 0.1}, {})
        >>> task = graph_window(nodes=200, width=100, k=5)
        >>> task.run(method, {}, seed=SeedTree(0), budget=300, recorder=recorder)
        >>> 0.5 < recorder.last("test", "ratio") <= 1.1
        True
    """

    name: str
    make: Callable[[np.random.Generator], Stream]
    summary: str
    query: int = 1
    budget: int = 6000
    target: float | None = None

    family: ClassVar[str] = "submodular"
    unit: ClassVar[str] = "updates"
    metric: ClassVar[str] = "ratio"
    direction: ClassVar[Literal["min", "max"]] = "max"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        check_int("query", self.query, low=1)
        if self.target is not None:
            check_number("target", self.target)
        if not callable(self.make):
            raise TypeError(f"make must be a function of a generator, got {self.make!r:.60}")

    def instance(self, rng: np.random.Generator) -> Stream:
        """An instance drawn from ``rng``."""
        stream = self.make(rng)
        if not isinstance(stream, Stream):
            raise TypeError(f"make must return a Stream, got a {type(stream).__name__}")
        return stream

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.combinatorial.submodular.loop.run`."""
        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


def _window(f: Any, k: int, width: int, order: str, rng: np.random.Generator) -> Stream:
    return Stream(f, f.check_size(k), window(ordered(order, _singletons(f), rng), width))


def _singletons(f: Any) -> Any:
    found = f.gains(f.start(), f.ids())
    f.nfev = 0
    return found


def _check(k: int, width: int, order: str) -> None:
    check_int("k", k, low=1)
    check_int("width", width, low=1)
    check_choice("order", order, ORDERS)


@problem("verse-window", family="submodular")
def verse_window(
    k: int = 20, width: int = 2000, order: str = "given", query: int = 1, budget: int = 6000
) -> StreamProblem:
    """The latest verses of the King James Bible, summed up by a few that cover most of their words.

    Args:
        k: verses of the summary.
        width: verses in the window.
        order: ``given`` (as one reads), ``random`` or ``sorted`` (the wordiest first).
        query: the summary is asked for after every so many updates.
        budget: updates.
    """
    _check(k, width, order)

    def make(rng: np.random.Generator) -> Stream:
        from .instances.texts import verse_coverage

        f = verse_coverage()
        stream = _window(f, k, width, order, rng)
        if order != "given":
            return stream
        # A reader begins anywhere.
        return Stream(f, k, window(np.roll(f.ids(), -int(rng.integers(f.n or 1))), width))

    return StreamProblem(
        name=f"verse-window:k={k},width={width},order={order},query={query}", make=make, query=query, budget=budget,
        summary=f"the latest {width} verses of a text, {k} of them that cover most words by weight",
    )  # fmt: skip


@problem("digits-window", family="submodular")
def digits_window(
    k: int = 10, width: int = 500, order: str = "random", query: int = 1, budget: int = 3000
) -> StreamProblem:
    """A window over images of digits, a few of which stand for all (facility location).

    Args:
        k: images chosen.
        width: images in the window.
        order: ``given``, ``random`` or ``sorted`` (the most typical first).
        query: the solution is asked for after every so many updates.
        budget: updates.
    """
    _check(k, width, order)

    def make(rng: np.random.Generator) -> Stream:
        return _window(table_objective("digits", "facility", k), k, width, order, rng)

    return StreamProblem(
        name=f"digits-window:k={k},width={width},order={order},query={query}", make=make, query=query, budget=budget,
        summary=f"{width} of 1797 images of digits, {k} that all images are most like",
    )  # fmt: skip


@problem("table-window", family="submodular")
def table_window(
    data: str = "breast_cancer", objective: str = "log-det", k: int = 10, width: int = 100, order: str = "random",
    query: int = 1, budget: int = 3000,
) -> StreamProblem:  # fmt: skip
    """A window over rows of a table, a few of which differ most, or stand for all.

    Args:
        data: ``digits``, ``wine`` or ``breast_cancer``.
        objective: ``log-det``, ``graph-cut`` or ``facility``.
        k: rows chosen.
        width: rows in the window.
        order: ``given``, ``random`` or ``sorted`` (by falling value alone).
        query: the solution is asked for after every so many updates.
        budget: updates.
    """
    _check(k, width, order)
    check_choice("data", data, TABLES)
    check_choice("objective", objective, OBJECTIVES)

    def make(rng: np.random.Generator) -> Stream:
        return _window(table_objective(data, objective, k), k, width, order, rng)

    return StreamProblem(
        name=f"table-window:data={data},objective={objective},k={k},width={width},order={order},query={query}",
        make=make, query=query, budget=budget, summary=f"{width} rows of {data}, {k} of them by {objective}",
    )  # fmt: skip


def _graph(graph: str, nodes: int) -> str:
    return f"graph={graph},nodes={nodes}" if graph == "generated" else f"graph={graph}"


@problem("graph-window", family="submodular")
def graph_window(
    graph: str = "generated", nodes: int = 6000, k: int = 20, width: int = 2000, order: str = "random",
    query: int = 1, budget: int = 6000,
) -> StreamProblem:  # fmt: skip
    """A window over the nodes of a graph, a few of which have most neighbours together.

    Args:
        graph: ``generated``, ``karate``, ``les-miserables``, ``florentine``, ``davis``, ``ego-facebook``,
            ``email-enron``.
        nodes: of a generated graph.
        k: nodes chosen.
        width: nodes in the window.
        order: ``random``, ``given`` or ``sorted`` (the highest degrees first, and so the first to leave).
        query: the solution is asked for after every so many updates.
        budget: updates.
    """
    _check(k, width, order)
    check_choice("graph", graph, GRAPHS)
    check_int("nodes", nodes, low=4)

    def make(rng: np.random.Generator) -> Stream:
        return _window(graph_coverage(graph, nodes), k, width, order, rng)

    return StreamProblem(
        name=f"graph-window:{_graph(graph, nodes)},k={k},width={width},order={order},query={query}", make=make,
        query=query, budget=budget, summary=f"{width} nodes of graph {graph}, {k} with most neighbours together",
    )  # fmt: skip


@problem("graph-drain", family="submodular")
def graph_drain(
    graph: str = "generated", nodes: int = 3000, k: int = 20, query: int = 1, budget: int = 6000
) -> StreamProblem:
    """All nodes of a graph come in random order, and leave from the highest degree to the lowest.

    Args:
        graph: as in ``graph-window``.
        nodes: of a generated graph.
        k: nodes chosen.
        query: the solution is asked for after every so many updates.
        budget: updates; twice the number of nodes empties the graph.
    """
    check_int("k", k, low=1)
    check_choice("graph", graph, GRAPHS)
    check_int("nodes", nodes, low=4)

    def make(rng: np.random.Generator) -> Stream:
        f = graph_coverage(graph, nodes)
        order = rng.permutation(f.n or 0)
        return Stream(f, k, fill_and_drain(order, _singletons(f)[order]))

    return StreamProblem(
        name=f"graph-drain:{_graph(graph, nodes)},k={k},query={query}", make=make, query=query, budget=budget,
        summary=f"graph {graph} fills up and is drained of its best nodes, {k} with most neighbours together",
    )  # fmt: skip
