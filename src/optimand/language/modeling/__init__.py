"""Words turned into optimization programs: formulations, graders, modelers, synthesis and libraries of experience.

Example:
    >>> from optimand.language.modeling import Formulation, Variable
    >>> bakery = Formulation((Variable("cakes", kind="integer"),), "maximize", "4*cakes", ("2*cakes <= 9",))
    >>> bakery.solve().objective
    16.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import alphaopt as alphaopt
    from . import resocratic as resocratic
    from .answers.answering import Answer as Answer
    from .answers.answering import answer as answer
    from .benchmarks.auditing import AuditEntry as AuditEntry
    from .benchmarks.auditing import audit as audit
    from .benchmarks.auditing import write_audit as write_audit
    from .benchmarks.evaluation import Report as Report
    from .benchmarks.evaluation import evaluate as evaluate
    from .benchmarks.grading import Grade as Grade
    from .benchmarks.grading import grade as grade
    from .benchmarks.grading import grade_answers as grade_answers
    from .benchmarks.matching import match_values as match_values
    from .benchmarks.optibench import load_nl4opt_e as load_nl4opt_e
    from .benchmarks.optibench import load_optibench as load_optibench
    from .execution import Attempt as Attempt
    from .execution import Execution as Execution
    from .execution import ModelingProblem as ModelingProblem
    from .execution import extract_code as extract_code
    from .execution import open_sandbox as open_sandbox
    from .execution import run_program as run_program
    from .formulations.formulation import Constraint as Constraint
    from .formulations.formulation import Formulation as Formulation
    from .formulations.formulation import FormulationError as FormulationError
    from .formulations.formulation import Variable as Variable
    from .modelers.guided import Guided as Guided
    from .modelers.modelers import FewShot as FewShot
    from .modelers.modelers import Modeler as Modeler
    from .modelers.modelers import Solver as Solver
    from .modelers.modelers import Structured as Structured
    from .modelers.modelers import ZeroShot as ZeroShot
    from .modelers.modelers import make_solver as make_solver
    from .modelers.nearest import NearestExample as NearestExample

__getattr__, __dir__, __all__ = lazy_exports(__name__)
