"""What a search is: a function of offline data that proposes designs, deterministic by its seed.

A method is written as a function of a :class:`Job`, which holds the data, the hyperparameters and the random numbers,
and which the decorator :func:`search` turns into a :class:`Search`. All searches are called alike, check their
arguments alike and end alike, in :meth:`Job.propose`.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int

from ...tasks.base import OfflineData
from .fitting import check_ignite, fit_predictor
from .settings import Progress, Table, no_progress, resolve
from .space import Designs, Space

Score = Callable[[Designs], NDArray[np.float64]]


@dataclass
class Proposal:
    """Designs that a search proposes.

    Attributes:
        x: designs, (q, L) integers or (q, d) floats; the search prefers earlier ones.
        predicted: what its surrogate says of each, (q,), in the units of the data; what is known of rows of the data.
        history: a record for each epoch of a fit (``stage`` is ``"fit"`` or the network's name) and each step of the
            search (``"search"``), with ``step`` and what was measured then; predictions in the units of the data.
        reports: what the fits of the surrogates reported.
        method: name of the search.
        distinct: how many designs differ.
    """

    x: Designs
    predicted: NDArray[np.float64]
    history: list[dict[str, Any]]
    reports: list[Any]
    method: str
    distinct: int


class Job:
    """One run of a search: what its function works with.

    Attributes:
        space: the data.
        s: the hyperparameters.
        q: designs to propose.
        ignite: regularizer of every surrogate's fit.
        history, reports: of the proposal.
    """

    def __init__(
        self, name: str, space: Space, s: SimpleNamespace, q: int, seed: int, ignite: Any, unique: bool, hook: Progress
    ) -> None:
        self.name, self.space, self.s, self.q = name, space, s, q
        self.ignite, self.unique, self.hook = ignite, unique, hook
        # Not of the method's name: two methods that fit the same surrogate at the same seed fit it alike.
        self._tree = SeedTree(seed).child("offline")
        self.history: list[dict[str, Any]] = []
        self.reports: list[Any] = []

    def torch(self, *names: str | int) -> torch.Generator:
        """The torch generator of a branch of the seed."""
        return self._tree.child(*names).torch()

    def numpy(self, *names: str | int) -> np.random.Generator:
        """The NumPy generator of a branch of the seed."""
        return self._tree.child(*names).numpy()

    def integer(self, *names: str | int) -> int:
        """A seed below 2^31, for a library that takes one."""
        return self._tree.child(*names).integer() % 2**31

    def log(self, stage: str, step: int, total: int, **values: Any) -> None:
        """Add a record to the history and tell the hook that ``step`` of ``total`` steps are done."""
        kept = {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}
        self.history.append({"stage": stage, "step": step, **kept})
        self.hook(stage, step, total)

    def watch(self, step: int, total: int, predicted: NDArray[np.float64]) -> None:
        """Log a step of the search with the predictions that it has."""
        self.log("search", step, total, predicted_mean=predicted.mean(), predicted_best=predicted.max())

    fit = fit_predictor

    def propose(self, found: Designs, score: Score) -> Proposal:
        """The ``q`` best of ``found`` by ``score``.

        Args:
            found: at least ``q`` designs; any number if they must be distinct, what lacks is then completed with the
                neighbours that score best.
            score: predictions of designs, in the units of the data.
        """
        found = found[np.argsort(-score(found), kind="stable")]
        if self.unique:
            found = self.space.complete(found, self.q, self.numpy("complete"), score)
        found = found[: self.q]
        predicted = score(found)
        order = np.argsort(-predicted, kind="stable")
        return self.proposal(found[order], predicted[order])

    def proposal(self, x: Designs, predicted: NDArray[np.float64]) -> Proposal:
        """These designs with these predictions, and what was recorded on the way."""
        distinct = len(self.space.first_distinct(x))
        return Proposal(x, predicted, self.history, self.reports, self.name, distinct)


class Search:
    """A search method; call it with offline data.

    Args:
        name: what :func:`optimand.offline.optimize` knows it by.
        table: its hyperparameters.
        function: what a job is done by.
        learns: whether it fits a surrogate, which ``ignite`` then regularizes.
    """

    def __init__(self, name: str, table: Table, function: Callable[[Job], Proposal], learns: bool) -> None:
        self.name, self.table, self.function, self.learns = name, table, function, learns
        self.__doc__ = function.__doc__
        self.__name__, self.__module__ = function.__name__, function.__module__

    def __repr__(self) -> str:
        return f"<search {self.name}>"

    def __call__(
        self,
        data: OfflineData,
        *,
        q: int = 128,
        seed: int = 0,
        ignite: Any = None,
        unique: bool = False,
        preset: str = "small",
        progress: Progress | None = None,
        **hyper: Any,
    ) -> Proposal:
        """Propose designs.

        Args:
            data: offline rows.
            q: designs to propose, at least 1.
            seed: of everything random, a non-negative integer; equal seeds give equal proposals.
            ignite: regularizer of the surrogates' fit: None, ``"adaptive"``, ``"fixed"``, another kind that
                :func:`optimand.offline.ignite.make_regularizer` knows, or a mapping with ``kind`` and its options.
            unique: whether no design may occur twice.
            preset: ``"small"``, seconds on one core, or ``"paper"``, the published widths and epochs.
            progress: called as ``progress(stage, done, total)``.
            **hyper: hyperparameters of ``table`` that replace the preset's.

        Raises:
            TypeError, ValueError: an argument that is none of these, named.
            ValueError: ``unique`` and fewer than ``q`` designs exist.
            OptimandError: a package is missing, or the search diverged.
        """
        s = resolve(self.table, preset, hyper)
        space = Space(data)
        check_int("q", q, low=1)
        check_int("seed", seed, low=0)
        if not isinstance(unique, bool):
            raise TypeError(f"unique must be True or False, got {unique!r}")
        if unique:
            space.check_unique(q)
        if check_ignite(ignite)[0] is not None and not self.learns:
            raise ValueError(f"ignite must be None for {self.name!r}, which fits no surrogate, got {ignite!r}")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be a function of stage, done and total, got {progress!r:.60}")
        job = Job(self.name, space, s, q, seed, ignite, unique, progress or no_progress)
        # Generators are passed along; what draws from torch's own all the same is held to the seed here.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.integer("torch"))
            return self.function(job)


def search(name: str, table: Table, *, learns: bool = True) -> Callable[[Callable[[Job], Proposal]], Search]:
    """Make a :class:`Search` of a function of a job."""
    return lambda function: Search(name, table, function, learns)


def need(package: str) -> ModuleType:
    """A package that a search needs.

    Args:
        package: as it is installed and imported.

    Raises:
        OptimandError: the package is missing; names the command that installs it.
    """
    try:
        # Deprecations that a package meets while it is imported are its own affair.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise OptimandError(f"this search needs the package {package}: python -m pip install {package}") from error
