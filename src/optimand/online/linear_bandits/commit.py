"""Searching, then committing: the query searches as learners that pay regret for what they ask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..engine.contracts import Array, Feedback, Learner, Spec
from ..engine.draws import Draws
from .phased import FOREVER
from .queries import repeats_needed, told_features

SEARCHES = ("gdesign", "regression", "net", "cover", "eliminate")


class _UnansweredError(Exception):
    """A search asks for rewards that are not known yet: the second argument says which."""


class SearchThenCommit(Learner):
    """Runs a search for a good arm, then pulls the arm it found for the rest of the horizon.

    A search waits for rewards, a learner waits for nothing: so the search is interrupted when it asks for rewards, and
    begun again when they are there, in plain Python and once for each repetition. :class:`SparseNetCommit` and
    :class:`~optimand.online.linear_bandits.phased.PhasedElimination` do all repetitions at once.

    Args:
        search: ``gdesign``, ``regression``, ``net``, ``cover``, ``eliminate``, or a function ``search(query, Phi,
            **options)`` that returns an object with ``x``; it must ask the same questions whenever it gets the same
            answers.
        options: for the search. Named searches take ``eps``, ``noise`` and ``s`` from what the environment tells where
            they are not given.

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
        if not callable(search):
            check_choice("search", search, SEARCHES)
        self.search, self.options = search, options

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Begin the search, which is the same for all repetitions until the first rewards come."""
        self.features = told_features(spec)
        self._prepare(spec)
        self.answers: list[list[tuple[Array, Array]]] = [[] for _ in range(spec.reps)]
        self.found = np.full(spec.reps, -1, dtype=np.int64)
        self._asked: list[Array] = [np.empty(0, np.int64)] * spec.reps
        self._means: list[dict[int, float]] = [{} for _ in range(spec.reps)]
        for r in range(spec.reps):
            self._search_on(r)

    def act(self, observation: object) -> tuple[Array, Array]:
        """The next arm that the search asks for, as often as it does; after the search its result."""
        arms, self._counts = self.found.copy(), np.full(len(self.found), FOREVER, dtype=np.int64)
        for r in np.flatnonzero(self.found < 0).tolist():
            arms[r] = min(set(self._asked[r].tolist()) - set(self._means[r]))
            self._counts[r] = (self._asked[r] == arms[r]).sum()
        self._last = arms
        return arms, self._counts

    def update(self, feedback: Feedback) -> None:
        """Take down the answers, and go on searching where the search has what it asked for."""
        whole = (self.found < 0) & (np.asarray(feedback.count) == self._counts)
        for r in np.flatnonzero(whole).tolist():
            asked, means = self._asked[r], self._means[r]
            means[int(self._last[r])] = float(feedback.reward[r])
            if len(means) == len(set(asked.tolist())):
                # A reward asked for several times is answered by the mean each time: the same to any average.
                self.answers[r].append((asked, np.array([means[arm] for arm in asked.tolist()])))
                self._means[r] = {}
                self._search_on(r)

    def _search_on(self, r: int) -> None:
        record = iter(self.answers[r])

        def query(indices: Any) -> Array:
            asked = np.asarray(indices, dtype=np.int64)
            known = next(record, None)
            if known is None:
                raise _UnansweredError("not answered yet", asked)
            if not np.array_equal(known[0], asked):
                raise OptimandError("search must ask the same questions when it gets the same answers")
            return known[1]

        try:
            result = self._search(query)
        except _UnansweredError as wait:
            self._asked[r] = wait.args[1]
            if not len(self._asked[r]):
                raise OptimandError("search must ask for at least one reward at a time") from None
        else:
            self.found[r] = check_int("search's x", result.x, low=0, high=len(self.features) - 1)

    def _prepare(self, spec: Spec) -> None:
        self._settings, self._sparse = dict(self.options), None
        if callable(self.search):
            return
        told = {"eps": spec.facts.get("eps"), "noise": spec.facts.get("sigma"), "s": spec.facts.get("sparsity")}
        if self.search == "gdesign":
            del told["s"]
        self._settings = {**{name: value for name, value in told.items() if value is not None}, **self.options}
        missing = sorted(set(told) - {"noise"} - set(self._settings))
        if missing:
            raise OptimandError(
                f"search {self.search!r} needs {', '.join(missing)}, which the environment does not tell"
            )
        if self.search in ("net", "cover", "eliminate"):
            self._sparse = _sparse_search(self.features, method=self.search, **self._settings)

    def _search(self, query: Callable[[Any], Array]) -> Any:
        from .design import gdesign_search
        from .regression import sparse_regression_search

        if self._sparse is not None:
            return self._sparse(query)
        named = gdesign_search if self.search == "gdesign" else sparse_regression_search
        return (self.search if callable(self.search) else named)(query, self.features, **self._settings)


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
        self.method = check_choice("method", method, ("net", "cover"))
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


def _sparse_search(Phi: Array, *, radius: float = 1.0, **options: Any) -> Any:
    """A sparse search on rows of any length: scaling rows down and the parameter up changes no reward."""
    from .search import SparseSearch

    longest = max(float(np.linalg.norm(Phi, axis=1).max()), 1.0)
    return SparseSearch(Phi / longest, radius=radius * longest, **options)
