"""Words turned into optimization programs: formulations, graders, modelers, synthesis and libraries of experience.

Example:
    >>> from optimand.language.modeling import Formulation, Variable
    >>> bakery = Formulation((Variable("cakes", kind="integer"),), "maximize", "4*cakes", ("2*cakes <= 9",))
    >>> bakery.solve().objective
    16.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .answers.answering import Answer, answer
    from .benchmarks.auditing import AuditEntry, audit, write_audit
    from .benchmarks.evaluation import Report, evaluate
    from .benchmarks.grading import Grade, grade, grade_answers
    from .benchmarks.matching import match_values
    from .benchmarks.optibench import load_nl4opt_e, load_optibench
    from .execution import Attempt, Execution, ModelingProblem, extract_code, open_sandbox, run_program
    from .formulations.formulation import Constraint, Formulation, FormulationError, Variable
    from .modelers.guided import Guided
    from .modelers.modelers import FewShot, Modeler, Solver, Structured, ZeroShot, make_solver
    from .modelers.nearest import NearestExample

_HOMES = {
    "Answer": "answers.answering",
    "Attempt": "execution",
    "AuditEntry": "benchmarks.auditing",
    "Constraint": "formulations.formulation",
    "Execution": "execution",
    "FewShot": "modelers.modelers",
    "Formulation": "formulations.formulation",
    "FormulationError": "formulations.formulation",
    "Grade": "benchmarks.grading",
    "Guided": "modelers.guided",
    "Modeler": "modelers.modelers",
    "ModelingProblem": "execution",
    "NearestExample": "modelers.nearest",
    "Report": "benchmarks.evaluation",
    "Solver": "modelers.modelers",
    "Structured": "modelers.modelers",
    "Variable": "formulations.formulation",
    "ZeroShot": "modelers.modelers",
    "answer": "answers.answering",
    "audit": "benchmarks.auditing",
    "evaluate": "benchmarks.evaluation",
    "extract_code": "execution",
    "grade": "benchmarks.grading",
    "grade_answers": "benchmarks.grading",
    "load_nl4opt_e": "benchmarks.optibench",
    "load_optibench": "benchmarks.optibench",
    "make_solver": "modelers.modelers",
    "match_values": "benchmarks.matching",
    "open_sandbox": "execution",
    "run_program": "execution",
    "write_audit": "benchmarks.auditing",
}

__all__ = [
    "Answer",
    "Attempt",
    "AuditEntry",
    "Constraint",
    "Execution",
    "FewShot",
    "Formulation",
    "FormulationError",
    "Grade",
    "Guided",
    "Modeler",
    "ModelingProblem",
    "NearestExample",
    "Report",
    "Solver",
    "Structured",
    "Variable",
    "ZeroShot",
    "answer",
    "audit",
    "evaluate",
    "extract_code",
    "grade",
    "grade_answers",
    "load_nl4opt_e",
    "load_optibench",
    "make_solver",
    "match_values",
    "open_sandbox",
    "run_program",
    "write_audit",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES, modules=("alphaopt", "resocratic"))


def __dir__() -> list[str]:
    return __all__
