"""Searching, then committing: the query searches as learners that pay regret for what they ask.

A search calls ``query(indices)`` and waits for rewards; a learner is called, and waits for nothing. So a search is run
until it asks for something that was not answered yet, interrupted, and run again from the start when the answers are
there: searches are deterministic, so it asks the same again and gets its answers from the record.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number, suggest
from optimand.online.engine.contracts import Array, Feedback, Learner, Spec
from optimand.online.engine.draws import Draws

from .asking import told_features
from .phased import FOREVER
from .queries import repeats_needed

SEARCHES = ("gdesign", "regression", "net", "cover", "eliminate")


class _UnansweredError(Exception):
    """A search asks for rewards that are not known yet."""

    def __init__(self, indices: Array) -> None:
        super().__init__(indices)
        self.indices = indices


class SearchThenCommit(Learner):
    """Runs a search for a good arm, then pulls the arm it found for the rest of the horizon.

    Args:
        search: ``gdesign``, ``regression``, ``net``, ``cover``, ``eliminate``, or a function ``search(query, Phi,
            **options)`` that returns an object with ``x``; it must ask the same questions whenever it gets the same
            answers.
        options: for the search. Named searches take ``eps``, ``noise`` and ``s`` from what the environment tells where
            they are not given.

    The search runs once for each repetition and each time it waits, in plain Python; :class:`SparseNetCommit` and
    :class:`~optimand.online.linear_bandits.phased.PhasedElimination` do all repetitions at once.

    Reference: arXiv 2303.16998, whose searches are queries without regret; committing to their result is ours.

    Example:
        >>> from optimand.online import simulate
        >>> from optimand.online.linear_bandits.environment import MisspecifiedLinearEnvironment
        >>> Phi = np.random.default_rng(0).choice([-1.0, 1.0], (200, 30)) / 30**0.5
        >>> env = MisspecifiedLinearEnvironment(Phi, eps=0.01, noise=0.0, sparsity=1)
        >>> curves = simulate([SearchThenCommit("regression")], env, 1000, reps=3)
        >>> bool((curves.extras["SearchThenCommit"]["gap"] < 3).all())
        True
    """

    batched: ClassVar[bool] = True

    def __init__(self, search: str | Callable[..., Any] = "gdesign", **options: Any) -> None:
        if isinstance(search, str):
            check_choice("search", search, SEARCHES)
        elif not callable(search):
            raise TypeError(f"search must be one of {', '.join(SEARCHES)} or a function, got {search!r:.60}")
        self.search, self.options = search, options

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin the search, which is the same for all repetitions until the first rewards come."""
        self.features = told_features(spec)
        self.facts = dict(spec.facts)
        self._search = self._prepare()
        reps = spec.reps
        self.answers: list[list[tuple[Array, Array]]] = [[] for _ in range(reps)]
        self.found = np.full(reps, -1, dtype=np.int64)
        self._queue: list[tuple[Array, Array, Array]] = []
        self._means: list[Array] = []
        self._at = np.zeros(reps, dtype=np.int64)
        self._every = np.arange(reps)
        first = self._continue(0)
        self._queue = [first] * reps
        self._means = [np.zeros(len(first[0])) for _ in range(reps)]
        self.found[:] = self.found[0]

    def act(self, observation: object) -> tuple[Array, Array]:
        """The next arm that the search asks for, as often as it does; after the search its result."""
        self._last, self._asked = self.found.copy(), np.full(len(self.found), FOREVER, dtype=np.int64)
        for r in np.flatnonzero(self.found < 0).tolist():
            arms, counts, _ = self._queue[r]
            self._last[r], self._asked[r] = arms[self._at[r]], counts[self._at[r]]
        return self._last, self._asked

    def update(self, feedback: Feedback) -> None:
        """Take down the answers, and go on searching where the search has what it asked for."""
        whole = (self.found < 0) & (np.asarray(feedback.count) == self._asked)
        for r in np.flatnonzero(whole).tolist():
            arms, _, asked = self._queue[r]
            self._means[r][self._at[r]] = feedback.reward[r]
            self._at[r] += 1
            if self._at[r] == len(arms):
                # A reward asked for several times is answered by the mean each time: the same to any average.
                self.answers[r].append((asked, self._means[r][np.searchsorted(arms, asked)]))
                self._queue[r] = self._continue(r)
                self._means[r], self._at[r] = np.zeros(len(self._queue[r][0])), 0

    def _continue(self, r: int) -> tuple[Array, Array, Array]:
        """Run the search on the answers of repetition ``r``: what it asks for next, or its result in ``found``."""
        record = iter(self.answers[r])

        def query(indices: Any) -> Array:
            asked = np.asarray(indices, dtype=np.int64)
            known = next(record, None)
            if known is None:
                raise _UnansweredError(asked)
            if not np.array_equal(known[0], asked):
                raise OptimandError("search must ask the same questions when it gets the same answers")
            return known[1]

        try:
            result = self._search(query)
        except _UnansweredError as wait:
            arms, counts = np.unique(wait.indices, return_counts=True)
            if not len(arms):
                raise OptimandError("search must ask for at least one reward at a time") from None
            return arms, counts.astype(np.int64), wait.indices
        self.found[r] = check_int("search's x", result.x, low=0, high=len(self.features) - 1)
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty

    def _prepare(self) -> Callable[[Callable[[Any], Array]], Any]:
        """The search as a function of ``query`` alone."""
        if not isinstance(self.search, str):
            return functools.partial(_call, self.search, self.features, self.options)
        options = self._options()
        if self.search == "gdesign":
            from .design import gdesign_search

            return functools.partial(_call, gdesign_search, self.features, options)
        if self.search == "regression":
            from .regression import sparse_regression_search

            return functools.partial(_call, sparse_regression_search, self.features, options)
        return _sparse_search(self.features, method=self.search, **options)

    def _options(self) -> dict[str, Any]:
        told = {"eps": self.facts.get("eps"), "noise": self.facts.get("sigma")}
        if self.search != "gdesign":
            told["s"] = self.facts.get("sparsity")
        options = {**{name: value for name, value in told.items() if value is not None}, **self.options}
        missing = sorted(set(told) - {"noise"} - set(options))
        if missing:
            raise OptimandError(
                f"search {self.search!r} needs {', '.join(missing)}, which the environment does not tell"
            )
        return options


class SparseNetCommit(Learner):
    """Pulls the greedy arms of a net of sparse parameters, or the centres of a cover; then the best of them for good.

    All repetitions search at once, as the arms to pull do not depend on rewards. Where the horizon is told, at most
    ``share`` of it is spent on searching: each arm is then pulled less often than the guarantee asks for.

    Args:
        s: nonzero entries; what the environment tells (``sparsity``) by default.
        eps: resolution and bound of the misspecification, > 0; what the environment tells by default.
        method: ``net`` or ``cover``.
        radius: bound of the parameter's length, > 0.
        noise: sub-Gaussian level; what the environment tells (``sigma``) by default, else 1.
        delta: failure probability that the number of pulls is for.
        share: of the horizon, in (0, 1]; by default ``(arms / horizon)^{1/3}``, the order that balances searching
            and committing, but at most a half.

    Reference: arXiv 2303.16998, the search with O(eps^{-s} d^s) queries.

    Example:
        >>> SparseNetCommit(s=1, eps=0.1).batched
        True
    """

    batched: ClassVar[bool] = True

    def __init__(
        self, *, s: int | None = None, eps: float | None = None, method: str = "net", radius: float = 1.0,
        noise: float | None = None, delta: float = 0.05, share: float | None = None,
    ) -> None:  # fmt: skip
        self.s = None if s is None else check_int("s", s, low=1)
        self.eps = None if eps is None else check_number("eps", eps, low=0, low_open=True)
        if method not in ("net", "cover"):
            raise ValueError(f"method must be 'net' or 'cover', got {method!r}{suggest(str(method), ('net', 'cover'))}")
        self.method = method
        self.radius = check_number("radius", radius, low=0, low_open=True)
        self.noise = None if noise is None else check_number("noise", noise, low=0)
        self.delta = check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)
        self.share = None if share is None else check_number("share", share, low=0, high=1, low_open=True)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Find the arms to pull."""
        features = told_features(spec)
        s, eps = spec.facts.get("sparsity") if self.s is None else self.s, self.eps or spec.facts.get("eps")
        if s is None or not eps:
            raise OptimandError("SparseNetCommit needs s and eps > 0, which the environment does not tell")
        sigma = float(spec.facts.get("sigma", 1.0)) if self.noise is None else self.noise
        s = min(s, features.shape[1])
        self.arms = _sparse_search(features, method=self.method, s=s, eps=eps, radius=self.radius).actions
        self.repeats = repeats_needed(sigma, eps, self.delta, len(self.arms))
        if spec.horizon is not None:
            balanced = min((len(self.arms) / spec.horizon) ** (1 / 3), 0.5)
            spent = (balanced if self.share is None else self.share) * spec.horizon
            self.repeats = max(1, min(self.repeats, math.floor(spent / len(self.arms))))
        self.means = np.full((spec.reps, len(self.arms)), -np.inf)
        self.at = 0

    def act(self, observation: object) -> tuple[Array, Array]:
        """The next arm of the search in all repetitions, or the best one found in each."""
        reps = len(self.means)
        if self.at < len(self.arms):
            return np.full(reps, self.arms[self.at]), np.full(reps, self.repeats, dtype=np.int64)
        return self.arms[self.means.argmax(axis=1)], np.full(reps, FOREVER, dtype=np.int64)

    def update(self, feedback: Feedback) -> None:
        """Take down the mean of an arm."""
        if self.at < len(self.arms):
            self.means[:, self.at] = feedback.reward
            self.at += 1


def _call(search: Callable[..., Any], Phi: Array, options: dict[str, Any], query: Callable[[Any], Array]) -> Any:
    return search(query, Phi, **options)


def _sparse_search(Phi: Array, *, radius: float = 1.0, **options: Any) -> Any:
    """A sparse search on rows of any length: scaling rows down and the parameter up changes no reward."""
    from .search import SparseSearch

    longest = max(float(np.linalg.norm(Phi, axis=1).max()), 1.0)
    return SparseSearch(Phi / longest, radius=radius * longest, **options)
