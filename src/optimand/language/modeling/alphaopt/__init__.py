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

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .insights import Distribution as Distribution
    from .insights import Insight as Insight
    from .insights import InsightError as InsightError
    from .leaks import leaks as leaks
    from .learner import AlphaOPT as AlphaOPT
    from .library import ExperienceLibrary as ExperienceLibrary
    from .refinement import refinement_baseline as refinement_baseline
    from .refinement import refinement_score as refinement_score
    from .review import Proposal as Proposal
    from .simulated import SimulatedOracle as SimulatedOracle
    from .simulated_tasks import make_tasks as make_tasks
    from .solving import cost_report as cost_report
    from .solving import evaluate as evaluate
    from .tasks import Task as Task
    from .tasks import load_released as load_released
    from .tasks import load_tasks as load_tasks
    from .taxonomy import Taxonomy as Taxonomy
    from .taxonomy import TaxonomyError as TaxonomyError

__getattr__, __dir__, __all__ = lazy_exports(__name__)
