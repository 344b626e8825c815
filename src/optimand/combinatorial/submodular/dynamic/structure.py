"""A set that changes, and a good small subset of it at every moment (arXiv 2305.15192 and its peers)."""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from .accounting import Histogram, Oracle
from .buckets import BucketRun
from .engine import Engine, check_options
from .greedy import RerunGreedy
from .incremental import IncrementalGreedy
from .lattanzi import LattanziRun
from .permutation import PermutationRun
from .shell import Guesses, Run

ENGINES = ("incremental", "buckets", "permutation", "lattanzi", "greedy")
OPTIONS = {
    "incremental": ("slack",),
    "buckets": ("literal", "guesses", "growth"),
    "permutation": ("literal", "guesses"),
    "lattanzi": ("literal", "guesses", "slack"),
    "greedy": (),
}


class DynamicSubmodular:
    """At most ``k`` elements of large value, while elements come and go.

    Args:
        f: an ``Objective``, non-negative, monotone, submodular.
        k: most elements of a solution, at least 1.
        eps: in (0, 0.5): the loss in (1/2 - eps) of the engines with guesses; fewer calls as it grows.
        engine: ``incremental`` (greedy's path, repaired where an update changes it: the value of greedy run again, at
            least 1 - 1/e of the optimum), ``buckets`` (arXiv 2305.15192: few calls whatever the order of
            updates, as long as they do not depend on the solution), ``permutation``, ``lattanzi`` (both with the same
            guesses), or ``greedy`` (runs lazy greedy at a query).
        seed: of all random choices, at least 0.
        n_hint: most live elements to expect: levels of ``lattanzi``, the number of trials in theory.
        trials: how many an estimate of ``buckets`` takes, at least 1; ``"theory"``: ``4 eps^-2 log(2 n^2)``.
        options: of the engine. With guesses: ``literal=True`` leaves out whatever saves calls (see
            :mod:`~optimand.combinatorial.submodular.dynamic.shell`); ``guesses``: the largest f({e}) that will ever
            come, for a fixed set of guesses. ``buckets``: ``growth`` > 1: a level is rebuilt when it has grown by this
            factor, 2 (``literal``: 1 + eps). ``lattanzi``: ``slack`` in [0, 1): how far
            a run may fall below half its guess. ``incremental``: ``slack`` >= 0: how much more an element must be
            worth than one of the solution to take its place.

    Raises:
        TypeError, ValueError: a bad argument.
        OptimandError: ``trials="theory"`` without ``n_hint``.

    References:
        Banihashem et al., arXiv 2305.15192; Lattanzi et al., NeurIPS 2020.

    Example:
        >>> from optimand.combinatorial.submodular import Coverage
        >>> d = DynamicSubmodular(Coverage({"a": [1, 2, 3], "b": [3, 4], "c": [4]}), k=2)
        >>> d.update([("+", "a"), ("+", "b"), ("+", "c")])
        >>> d.value, d.solution
        (4.0, ['a', 'b'])
        >>> d.delete("a")
        >>> d.value, d.solution, len(d)
        (2.0, ['b'], 2)
    """

    def __init__(
        self,
        f: Any,
        k: int,
        eps: float = 0.2,
        engine: str = "incremental",
        seed: int = 0,
        n_hint: int | None = None,
        trials: int | str = 16,
        **options: Any,
    ) -> None:
        self.f = f
        self.k = int(f.check_size(check_int("k", k, low=1)))
        self.eps = check_number("eps", eps, low=0.0, high=0.5, low_open=True, high_open=True)
        self.engine = check_choice("engine", engine, ENGINES)
        self.seed = check_int("seed", seed, low=0)
        self.n_hint = None if n_hint is None else check_int("n_hint", n_hint, low=1)
        self.trials = _trials(trials, self.eps, self.n_hint)
        if not f.monotone:
            warnings.warn("the objective is not monotone: no engine's guarantee holds", stacklevel=2)
        self._options = dict(options)
        self._rng = np.random.default_rng(self.seed)
        self._oracle = Oracle(f)
        self._singles: dict[int, float] = {}
        self._top = -1  # the largest id met
        self._engine = self._make(dict(options))
        self._updates = 0
        self._query_calls = 0
        self._seconds, self._calls, self._query_seconds = Histogram(), Histogram(), Histogram()

    def _make(self, options: dict[str, Any]) -> Engine:
        shared = (self._oracle, self.k, self.eps, self._rng, self._singles)
        check_options(self.engine, options, OPTIONS[self.engine])
        if self.engine == "greedy":
            return RerunGreedy(*shared)
        if self.engine == "incremental":
            slack = check_number("slack", options.pop("slack", 0.0), low=0.0, high=math.inf, high_open=True)
            return IncrementalGreedy(*shared, slack=slack)
        literal = bool(options.pop("literal", False))
        fixed = options.pop("guesses", None)
        if fixed is not None:
            fixed = check_number("guesses", fixed, low=0.0, low_open=True, high=math.inf, high_open=True)
        make: Callable[[Guesses, float], Run]
        if self.engine == "buckets":
            growth = options.pop("growth", 1 + self.eps if literal else 2.0)
            growth = check_number("growth", growth, low=1.0, low_open=True)
            make = functools.partial(BucketRun, trials=self.trials, growth=growth)
        elif self.engine == "permutation":
            make = PermutationRun
        else:
            slack = check_number("slack", options.pop("slack", 0.0), low=0.0, high=1.0, high_open=True)
            make = functools.partial(LattanziRun, slack=slack, n=self.n_hint)
        return Guesses(*shared, make=make, literal=literal, fixed=fixed)

    def insert(self, element: Hashable) -> None:
        """An element comes.

        Raises:
            TypeError: it cannot be hashed.
            KeyError: it is not in the ground set of the objective.
            ValueError: it is live already, or its gain is NaN, infinite or negative.
        """
        begin, calls = time.perf_counter(), self._oracle.calls
        i = self._id(element, comes=True)
        self._enter(i, self._oracle.gain(self._oracle.empty, i))
        self._note(begin, calls)

    def delete(self, element: Hashable) -> None:
        """A live element goes.

        Raises:
            TypeError: it cannot be hashed.
            KeyError: it is not live.
        """
        begin, calls = time.perf_counter(), self._oracle.calls
        hash(element)
        self._leave(self._id(element, comes=False))
        self._note(begin, calls)

    def update(self, operations: Iterable[tuple[str, Hashable]]) -> None:
        """Several changes: pairs of ``"+"`` (insert) or ``"-"`` (delete) and an element, in this order.

        All are checked before the first is made, and the values of single elements are asked for in one evaluation.

        Raises:
            TypeError, ValueError, KeyError: as :meth:`insert` and :meth:`delete`; nothing has changed then.
        """
        plan: list[tuple[bool, int]] = []
        live: dict[int, bool] = {}
        for operation in operations:
            try:
                if isinstance(operation, str):  # of two letters it would be a pair
                    raise TypeError
                sign, element = operation
            except (TypeError, ValueError):
                raise TypeError(f"an operation must be a pair such as ('+', element), got {operation!r:.80}") from None
            comes = check_choice("the sign of an operation", sign, ("+", "-")) == "+"
            i = self._id(element, comes, live)
            live[i] = comes
            plan.append((comes, i))
        begin, calls = time.perf_counter(), self._oracle.calls
        singles = iter(self._oracle.gains(self._oracle.empty, [i for comes, i in plan if comes]))
        share = (time.perf_counter() - begin) / max(1, len(plan))
        each = (self._oracle.calls - calls) // max(1, sum(comes for comes, _ in plan))
        for comes, i in plan:
            begin, calls = time.perf_counter() - share, self._oracle.calls - (each if comes else 0)
            if comes:
                self._enter(i, next(singles))
            else:
                self._leave(i)
            self._note(begin, calls)

    def _id(self, element: Hashable, comes: bool, changed: dict[int, bool] | None = None) -> int:
        """The id of an element that may come, or go, where ids in ``changed`` are live or not."""
        i: int = self.f.index(element)
        if (changed or {}).get(i, i in self._singles) is not comes:
            return i
        if comes:
            raise ValueError(f"element to insert must not be live, got {element!r:.80}, which is")
        raise KeyError(f"element to delete must be live, got {element!r:.80}, which is not")

    def _enter(self, i: int, single: float) -> None:
        self._singles[i] = single
        self._top = max(self._top, i)
        self._engine.insert(i, single)

    def _leave(self, i: int) -> None:
        self._engine.delete(i, self._singles.pop(i))

    def _note(self, begin: float, calls: int) -> None:
        self._updates += 1
        self._seconds.add(time.perf_counter() - begin)
        self._calls.add(self._oracle.calls - calls)

    def _ask(self, question: Callable[[], Any]) -> Any:
        begin, calls = time.perf_counter(), self._oracle.calls
        answer = question()
        self._query_seconds.add(time.perf_counter() - begin)
        self._query_calls += self._oracle.calls - calls
        return answer

    @property
    def value(self) -> float:
        """f of the solution."""
        return float(self._ask(self._engine.value)) + self._oracle.base

    @property
    def solution(self) -> list[Hashable]:
        """Live elements, at most k."""
        return [self.f.element(i) for i in self._ask(self._engine.solution)]

    @property
    def oracle_calls(self) -> int:
        """Marginals and values asked for so far, by updates and queries."""
        return self._oracle.calls

    def __len__(self) -> int:
        return len(self._singles)

    def __contains__(self, element: Hashable) -> bool:
        try:
            return self.f.index(element) in self._singles
        except KeyError:
            return False

    @property
    def elements(self) -> list[Hashable]:
        """The live elements, in order of arrival."""
        return [self.f.element(i) for i in self._singles]

    def stats(self) -> dict[str, Any]:
        """What it cost: ``updates``, ``live``, ``oracle_calls``, ``calls_per_update`` (those of queries included),
        ``query_calls``; ``mean``, ``p50``, ``p99``, ``max`` of ``calls`` and ``seconds`` of an update and of
        ``query_seconds``; and numbers of the engine.
        """
        return {
            "engine": self.engine,
            "updates": self._updates,
            "live": len(self._singles),
            "oracle_calls": self._oracle.calls,
            "calls_per_update": self._oracle.calls / max(1, self._updates),
            "query_calls": self._query_calls,
            "calls": self._calls.summary(),
            "seconds": self._seconds.summary(),
            "query_seconds": self._query_seconds.summary(),
            **self._engine.stats(),
        }

    def _settings(self) -> dict[str, Any]:
        return {"engine": self.engine, "k": self.k, "eps": self.eps, "trials": self.trials, "n_hint": self.n_hint,
                "options": self._options}  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Everything that what follows depends on, as plain data (JSON if the elements are)."""
        # An open ground set gives ids in order of first sight: all elements, so that they can be given again.
        named = range(self._top + 1) if self.f.n is None else self._singles
        return {
            **self._settings(),
            "names": [[i, self.f.element(i)] for i in named],
            "live": [[i, single] for i, single in self._singles.items()],
            "top": self._top,
            "oracle_calls": self._oracle.calls,
            "query_calls": self._query_calls,
            "updates": self._updates,
            "histograms": [h.state() for h in self._histograms()],
            "generator": self._rng.bit_generator.state,
            "state": self._engine.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken: the same updates give the same solutions and calls.

        Raises:
            OptimandError: it was taken from a structure with other settings, or with another objective.
        """
        for name, mine in self._settings().items():
            if state.get(name) != mine:
                raise OptimandError(f"the state is one with {name}={state.get(name)!r}, this has {name}={mine!r}")
        for i, element in state["names"]:
            if self.f.index(hashable(element)) != i:
                raise OptimandError(f"the state is one of another objective: element {element!r:.80} has another id")
        self._singles.clear()
        self._singles.update(dict(state["live"]))
        self._top = state["top"]
        self._rng.bit_generator.state = state["generator"]
        self._engine = self._make(dict(self._options))
        self._engine.load(state["state"])
        self._oracle.calls, self._query_calls = state["oracle_calls"], state["query_calls"]
        self._updates = state["updates"]
        for histogram, saved in zip(self._histograms(), state["histograms"], strict=True):
            histogram.load(saved)

    def _histograms(self) -> tuple[Histogram, ...]:
        return self._seconds, self._calls, self._query_seconds

    def __repr__(self) -> str:
        return f"DynamicSubmodular(engine={self.engine!r}, k={self.k}, eps={self.eps:g}, live={len(self)})"


def hashable(element: Any) -> Hashable:
    """Tuples that went through JSON are lists."""
    return tuple(map(hashable, element)) if isinstance(element, list) else element


def _trials(trials: Any, eps: float, n: int | None) -> int:
    if isinstance(trials, str):
        check_choice("trials", trials, ("theory",))
        if n is None:
            raise OptimandError("trials='theory' needs n_hint, the most live elements to expect")
        return math.ceil(4 * eps**-2 * math.log(2 * n**2))
    return check_int("trials", trials, low=1)
