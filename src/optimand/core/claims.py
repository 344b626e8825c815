"""Claims: sentences of a paper made checkable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Verdict = Literal["holds", "falls short", "not testable here", "not checked", "not judged"]


@dataclass(frozen=True)
class StudySpec:
    """A study as data: problems x methods x seeds, with the same tuning effort for each method.

    Attributes:
        problems: as typed on the command line, e.g. ``("digits-mlp", "byte-lm:size=3m")``.
        methods: likewise, e.g. ``("adamw", "lion:lr=1e-4")``; the same method may stand more than once
            with other hyperparameters.
        seeds: number of seeds of each final run.
        tune: trials of hyperparameter search for each method, the defaults being the first; 0 for none.
        budget: the problems' unit; None for each problem's own.
        labels: short names for entries of ``methods`` in tables and plots, by entry.
        tuner: how hyperparameters are sampled: ``qmc`` (quasi-random), ``random`` or ``tpe``.
        root_seed: the seed that all others derive from.
    """

    problems: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int = 3
    tune: int = 0
    budget: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tuner: str = "qmc"
    root_seed: int = 0


class Outcomes(Protocol):
    """What a claim may ask of a finished study; ``method`` is an entry of the spec's ``methods``."""

    def values(self, problem: str, method: str, *, metric: str | None = None, split: str = "test") -> list[float]:
        """Final values, one a seed in the order of the seeds; a diverged run's value is NaN."""

    def mean(self, problem: str, method: str, *, metric: str | None = None, split: str = "test") -> float:
        """The mean of :meth:`values`."""

    def curve(self, problem: str, method: str, *, metric: str, split: str) -> tuple[list[float], list[list[float]]]:
        """Positions in the budget's unit, and for each position the values of all seeds."""

    def cost(self, problem: str, method: str, name: str) -> float:
        """Median over the seeds of a measured cost, e.g. ``state_bytes`` or ``seconds_per_unit``."""

    def best_hyper(self, problem: str, method: str) -> Mapping[str, Any]:
        """The hyperparameters that tuning selected (the defaults without tuning)."""


@dataclass(frozen=True)
class Finding:
    """What was measured for a claim.

    Attributes:
        value: our number(s), as text to stand beside the paper's.
        holds: whether the claim holds here.
        detail: a sentence on how it was measured or why it falls short.
    """

    value: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper made checkable.

    Attributes:
        paper: the paper's slug.
        name: short and unique within the paper.
        sentence: the claim in our words.
        paper_value: the paper's own number or words.
        reference: an independent implementation's number on the same thing, and whose; empty where there is none.
        check: ``check()`` for a claim that needs no study, ``check(outcomes)`` for one that does; returns
            what was found. None when ``untestable`` says why it cannot be checked.
        study: the study that ``check`` reads.
        small: a smaller form of ``study`` that runs in seconds (``--small``, and the tests); its problems are those of
            ``study`` one by one, or smaller ones in their place.
        untestable: why it cannot be tested on an ordinary machine.
    """

    paper: str
    name: str
    sentence: str
    paper_value: str
    check: Callable[..., Finding] | None = None
    study: StudySpec | None = None
    small: StudySpec | None = None
    untestable: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        if (self.check is None) == (not self.untestable):
            raise ValueError(f"claim {self.name!r} needs exactly one of check and untestable")
