"""An audit of a benchmark's truths by rules: noise, ties, answers that cannot be, sums that do not add up.

Nothing is corrected. The result is a file of its own, keyed by problem, made again from the data at any time; a
suspicion is a reason to look, not a verdict (arXiv 2407.09887's data are solver output, with the solver's noise).
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from optimand.core.recorder import write_atomically

from ..answers.wording import mentions
from ..execution import ModelingProblem
from .grading import is_close
from .matching import words

Known = Literal["yes", "no", "unknown"]
MOST_COMBINATIONS = 200_000
_COUNTS = words("number many")
_DIVISIBLE = words(
    "average percentage rate ratio first second acres hectares hours minutes days weeks feet foot meters metres miles "
    "tons pounds ounces grams kilograms kg liters litres gallons ml units dollars"
)
_GOALS = words("total maximum minimum maximized minimized optimal profit revenue cost objective overall")


@dataclass(frozen=True)
class AuditEntry:
    """What the rules say of one problem's truths.

    Attributes:
        id: the problem.
        derivable: ``yes`` if the objective is a sum of the other answers times numbers of the text (or their
            differences), or the problem's own model gives it; ``no`` if that model gives another; else ``unknown``.
        tie: whether other optima may exist: ``no`` where only the objective is asked; ``yes`` where the model has one;
            else ``unknown``.
        digits: significant digits of the longest truth as written.
        noise: largest distance of a truth to the nearest number of two decimals, where that is below 0.1 % of it: a
            sign of a solver's tolerance; 0 without.
        suspicions: reasons to look at a label.
    """

    id: str
    derivable: Known
    tie: Known
    digits: int
    noise: float
    suspicions: tuple[str, ...]


def audit_problem(problem: ModelingProblem) -> AuditEntry:
    """Apply the rules to one problem.

    Example:
        >>> problem = ModelingProblem("p", "A cake earns 4, a pie 3.", "linear-notable",
        ...     {"Number of cakes": 2.5, "Number of pies": 1.0, "Total profit": 13.0})
        >>> audit_problem(problem).derivable, audit_problem(problem).suspicions
        ('yes', ("'Number of cakes' counts things but is 2.5",))
    """
    truths = list(problem.answers.values())
    derivable = _derivable(problem)
    suspicions = [*_impossible(problem), *_beyond_budget(problem)]
    if derivable == "no":
        suspicions.append("the problem's own model gives another objective")
    return AuditEntry(
        problem.id,
        derivable,
        _tie(problem),
        max((_digits(truth) for truth in truths), default=0),
        max((_noise(truth) for truth in truths), default=0.0),
        tuple(suspicions),
    )


def audit(problems: Iterable[ModelingProblem]) -> dict[str, AuditEntry]:
    """The rules applied to all, by problem."""
    return {problem.id: audit_problem(problem) for problem in problems}


def write_audit(problems: Iterable[ModelingProblem], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the audit as JSON, and return its summary.

    Args:
        problems: of a benchmark.
        path: the file; it never holds questions or answers.
    """
    entries = audit(problems)
    summary = summarize(entries)
    data = {"summary": summary, "problems": {name: asdict(entry) for name, entry in entries.items()}}
    write_atomically(Path(path), json.dumps(data, indent=1, ensure_ascii=False).encode())
    return summary


def summarize(entries: Mapping[str, AuditEntry]) -> dict[str, Any]:
    """Counts of an audit."""
    listed = list(entries.values())
    return {
        "problems": len(listed),
        "derivable": {known: sum(e.derivable == known for e in listed) for known in ("yes", "no", "unknown")},
        "tie": {known: sum(e.tie == known for e in listed) for known in ("yes", "no", "unknown")},
        "noisy": sum(e.noise > 0 for e in listed),
        "suspected": [e.id for e in listed if e.suspicions],
    }


def exclusions(entries: Mapping[str, AuditEntry]) -> dict[str, str]:
    """Problems with a suspicion, with the first reason: a list to pass over, kept apart from the data."""
    return {name: entry.suspicions[0] for name, entry in entries.items() if entry.suspicions}


def _digits(value: float) -> int:
    return len(repr(abs(value)).split("e")[0].replace(".", "").strip("0"))


def _noise(value: float) -> float:
    gap = abs(value - round(value, 2))
    return gap if 1e-9 < gap < 1e-3 * max(abs(value), 0.1) and _digits(value) > 7 else 0.0


def _objective_query(problem: ModelingProblem) -> str | None:
    hits = [query for query in problem.answers if words(query) & _GOALS and not words(query) & _COUNTS]
    return hits[0] if len(hits) == 1 else None


def _derivable(problem: ModelingProblem) -> Known:
    query = _objective_query(problem)
    if problem.formulation is not None:
        from .grading import asked_variables

        named = next((q for q, role in asked_variables(problem).items() if role == "objective"), None)
        best = problem.formulation.solve().objective
        if named is None or best is None:
            return "unknown"
        return "yes" if is_close(best, problem.answers[named], "robust", whole=False) else "no"
    if query is None or len(problem.answers) < 2:
        return "unknown"
    others = [value for other, value in problem.answers.items() if other != query and value]
    return "yes" if _adds_up(others, problem.answers[query], problem.question) else "unknown"


def _adds_up(others: list[float], total: float, text: str) -> bool:
    """Whether the total is a sum of the answers, each times a number of the text or a difference of two."""
    given = {m.value for m in mentions(text) if m.data}
    factors = sorted(
        given | {a - b for a, b in itertools.permutations(given, 2) if a > b} if len(given) <= 10 else given
    )
    if not others or len(factors) ** len(others) > MOST_COMBINATIONS:
        return False
    slack = 1e-4 * max(1.0, abs(total))
    # The last factor is looked up instead of tried.
    for chosen in itertools.product(factors, repeat=len(others) - 1):
        rest = total - sum(a * b for a, b in zip(chosen, others, strict=False))
        wanted = rest / others[-1]
        if any(abs(wanted - factor) * abs(others[-1]) <= slack for factor in factors):
            return True
    return False


def _tie(problem: ModelingProblem) -> Known:
    if len(problem.answers) == 1 and _objective_query(problem):
        return "no"
    if problem.formulation is None:
        return "unknown"
    return _other_optimum(problem)


def _other_optimum(problem: ModelingProblem) -> Known:
    """Whether some variable can take another value at the same objective (linear models)."""
    from dataclasses import replace

    from ..formulations.formulation import Constraint

    formulation = problem.formulation
    assert formulation is not None
    best = formulation.solve()
    if best.status != "optimal" or best.objective is None or formulation.kind != "linear":
        return "unknown"
    op = ">=" if formulation.sense == "maximize" else "<="
    slack = 1e-7 * max(1.0, abs(best.objective))
    edge = best.objective - slack if op == ">=" else best.objective + slack
    held = (*formulation.constraints, Constraint(f"{formulation.objective} {op} {edge!r}"))
    for variable in formulation.variables:
        for sense in ("minimize", "maximize"):
            other = replace(formulation, sense=sense, objective=variable.name, constraints=held).solve()
            if other.objective is None:
                return "unknown"
            if abs(other.objective - best.values[variable.name]) > 1e-3 * max(1.0, abs(other.objective)):
                return "yes"
    return "no"


def _impossible(problem: ModelingProblem) -> list[str]:
    found = []
    for query, value in problem.answers.items():
        asked = words(query)
        shown = f"{query!r:.80}"
        if asked & _COUNTS and not asked & _DIVISIBLE and abs(value - round(value)) > 1e-4:
            found.append(f"{shown} counts things but is {value:g}")
        elif asked & _COUNTS and value < 0:
            found.append(f"{shown} counts things but is negative")
        elif query.lower().startswith("whether") and min(abs(value), abs(value - 1)) > 1e-4:
            found.append(f"{shown} is a yes or no but is {value:g}")
    return found


def _beyond_budget(problem: ModelingProblem) -> list[str]:
    """A money total far beyond what the stated budget could bring at the best ratio of numbers in the text."""
    import re

    query = _objective_query(problem)
    budget = re.search(r"budget of \$?([\d,]*\d(?:\.\d+)?)", problem.question)
    if query is None or budget is None or not words(query) & words("profit revenue"):
        return []
    amount = float(budget[1].replace(",", ""))
    priced = [float(text.replace(",", "")) for text in re.findall(r"\$\s?([\d,]*\d(?:\.\d+)?)", problem.question)]
    priced = [price for price in priced if price > 0 and price != amount]
    if len(priced) < 2:
        return []
    most = amount * max(priced) / min(priced)
    total = problem.answers[query]
    if math.isfinite(total) and total > 1.01 * most:
        return [f"{query!r:.60} is {total:g}, but {amount:g} at the best ratio of the prices brings at most {most:g}"]
    return []
