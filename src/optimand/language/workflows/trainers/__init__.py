"""Trainers of workflows: batches, searches with one or several objectives, guides, checkpoints.

Example:
    >>> from optimand.language.workflows import HeuristicProposer, node
    >>> from optimand.language.workflows.trainers import BasicSearch, numeric_tolerance
    >>> slope = node(0.0, name="slope", trainable=True, minimum=-4, maximum=4)
    >>> trainer = BasicSearch(lambda x: slope * x, HeuristicProposer([slope]), batch_size=2)
    >>> result = trainer.train(numeric_tolerance(absolute=0.02), [(1, 1.5), (2, 3.0)], steps=8)
    >>> abs(slope.data - 1.5) < 0.02
    True

Reference: arXiv 2406.16218 (Trace), and the trainers of the maintained fork of its implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .candidates import Candidate, CandidateHeap, confidence_bounds, ucb_score
    from .guides import Guide, GuideError, SampleError, exact_match, function_tests, numeric_tolerance, weighted
    from .minibatch import AggregatedUpdate, Minibatch
    from .pareto import contributions, dominates, hypervolume, nondominated
    from .pareto_search import ParetoSearch
    from .priority import PrioritySearch, ScoreRegressor
    from .results import TrainingResult
    from .rollouts import Rollout, batchify, mean_score, roll_out
    from .samples import Batches, Sample, read_dataset
    from .search import BasicSearch, BeamSearch
    from .trainer import Trainer
    from .ucb import UCBSearch

_HOMES = {
    "AggregatedUpdate": "minibatch",
    "BasicSearch": "search",
    "Batches": "samples",
    "BeamSearch": "search",
    "Candidate": "candidates",
    "CandidateHeap": "candidates",
    "Guide": "guides",
    "GuideError": "guides",
    "Minibatch": "minibatch",
    "ParetoSearch": "pareto_search",
    "PrioritySearch": "priority",
    "Rollout": "rollouts",
    "Sample": "samples",
    "SampleError": "guides",
    "ScoreRegressor": "priority",
    "Trainer": "trainer",
    "TrainingResult": "results",
    "UCBSearch": "ucb",
    "batchify": "rollouts",
    "confidence_bounds": "candidates",
    "contributions": "pareto",
    "dominates": "pareto",
    "exact_match": "guides",
    "function_tests": "guides",
    "hypervolume": "pareto",
    "mean_score": "rollouts",
    "nondominated": "pareto",
    "numeric_tolerance": "guides",
    "read_dataset": "samples",
    "roll_out": "rollouts",
    "ucb_score": "candidates",
    "weighted": "guides",
}

__all__ = [
    "AggregatedUpdate",
    "BasicSearch",
    "Batches",
    "BeamSearch",
    "Candidate",
    "CandidateHeap",
    "Guide",
    "GuideError",
    "Minibatch",
    "ParetoSearch",
    "PrioritySearch",
    "Rollout",
    "Sample",
    "SampleError",
    "ScoreRegressor",
    "Trainer",
    "TrainingResult",
    "UCBSearch",
    "batchify",
    "confidence_bounds",
    "contributions",
    "dominates",
    "exact_match",
    "function_tests",
    "hypervolume",
    "mean_score",
    "nondominated",
    "numeric_tolerance",
    "read_dataset",
    "roll_out",
    "ucb_score",
    "weighted",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
