"""AlphaOPT (arXiv 2510.18428): a library of modelling lessons that improves itself, for models with fixed weights.

Example:
    >>> from optimand.language.modeling.alphaopt import ExperienceLibrary, Insight
    >>> library = ExperienceLibrary()
    >>> rule = Insight(
    ...     {"General Formulation": {"Variable Definition": ["Explicit Bounds"]}},
    ...     "This insight applies when the problem involves our trucks.",
    ...     "When the problem involves our trucks, the best practice is a bound of 12: there are no more.",
    ...     pinned=True,
    ... )
    >>> library.add(rule).insight_id, len(library.taxonomy)
    (1, 42)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .insights import Distribution, Insight, InsightError
    from .leaks import leaks
    from .learner import AlphaOPT
    from .library import ExperienceLibrary
    from .refinement import refinement_baseline, refinement_score
    from .review import Proposal
    from .simulated import SimulatedOracle
    from .simulated_tasks import make_tasks
    from .solving import cost_report, evaluate
    from .tasks import Task, load_released, load_tasks
    from .taxonomy import Taxonomy, TaxonomyError

_HOMES = {
    "AlphaOPT": "learner",
    "Distribution": "insights",
    "ExperienceLibrary": "library",
    "Insight": "insights",
    "InsightError": "insights",
    "Proposal": "review",
    "SimulatedOracle": "simulated",
    "Task": "tasks",
    "Taxonomy": "taxonomy",
    "TaxonomyError": "taxonomy",
    "cost_report": "solving",
    "evaluate": "solving",
    "leaks": "leaks",
    "load_released": "tasks",
    "load_tasks": "tasks",
    "make_tasks": "simulated_tasks",
    "refinement_baseline": "refinement",
    "refinement_score": "refinement",
}

__all__ = [
    "AlphaOPT",
    "Distribution",
    "ExperienceLibrary",
    "Insight",
    "InsightError",
    "Proposal",
    "SimulatedOracle",
    "Task",
    "Taxonomy",
    "TaxonomyError",
    "cost_report",
    "evaluate",
    "leaks",
    "load_released",
    "load_tasks",
    "make_tasks",
    "refinement_baseline",
    "refinement_score",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
