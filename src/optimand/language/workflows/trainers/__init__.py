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

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .candidates import Candidate as Candidate
    from .candidates import CandidateHeap as CandidateHeap
    from .candidates import confidence_bounds as confidence_bounds
    from .candidates import ucb_score as ucb_score
    from .guides import Guide as Guide
    from .guides import GuideError as GuideError
    from .guides import SampleError as SampleError
    from .guides import exact_match as exact_match
    from .guides import function_tests as function_tests
    from .guides import numeric_tolerance as numeric_tolerance
    from .guides import weighted as weighted
    from .minibatch import AggregatedUpdate as AggregatedUpdate
    from .minibatch import Minibatch as Minibatch
    from .pareto import contributions as contributions
    from .pareto import dominates as dominates
    from .pareto import hypervolume as hypervolume
    from .pareto import nondominated as nondominated
    from .pareto_search import ParetoSearch as ParetoSearch
    from .priority import PrioritySearch as PrioritySearch
    from .priority import ScoreRegressor as ScoreRegressor
    from .results import TrainingResult as TrainingResult
    from .rollouts import Rollout as Rollout
    from .rollouts import batchify as batchify
    from .rollouts import mean_score as mean_score
    from .rollouts import roll_out as roll_out
    from .samples import Batches as Batches
    from .samples import Sample as Sample
    from .samples import read_dataset as read_dataset
    from .search import BasicSearch as BasicSearch
    from .search import BeamSearch as BeamSearch
    from .trainer import Trainer as Trainer
    from .ucb import UCBSearch as UCBSearch

__getattr__, __dir__, __all__ = lazy_exports(__name__)
