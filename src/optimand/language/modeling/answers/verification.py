"""Checks of a formulation against the text it came from, and of a solution against the formulation.

None needs the true answer. Each is a necessary condition only: a formulation that passes all may still misread the
text, one that fails a hard one is not to be trusted.
"""

from __future__ import annotations

from collections import Counter

from ..benchmarks.matching import words
from ..execution import Attempt
from ..formulations.expressions import names
from ..formulations.formulation import Formulation
from ..formulations.programs import objective_label
from .checks import Check, coefficients, key_of, same_number
from .ownership import Reader, stated_rows
from .substance import check_substance
from .wording import Mention, conversions, goal, mentions


def check_solution(attempt: Attempt, *, seconds: float = 5.0, seed: int = 0) -> list[Check]:
    """Check what a program found: it ended optimal, its values satisfy the constraints, a second solver agrees.

    Args:
        attempt: with a formulation whose program was run.
        seconds, seed: of the second solver.
    """
    found = [Check("program", attempt.status == "optimal", _program_detail(attempt))]
    formulation = attempt.formulation
    if formulation is None:
        return [*found, Check("constraints", None, "there are no formal lines to check against"),
                Check("second solver", None, "there are no formal lines to solve again")]  # fmt: skip
    if attempt.status != "optimal":
        return found
    values = {v.name: attempt.values[v.name] for v in formulation.variables if v.name in attempt.values}
    if len(values) < len(formulation.variables):
        return [*found, Check("constraints", False, "the program printed no value for some variable")]
    seen = formulation.check(values, tol=1e-5)
    count = len(formulation.relations)
    fine = f"bounds and {count} constraint{'s' if count != 1 else ''} hold, by arithmetic alone"
    found.append(Check("constraints", seen.feasible, "; ".join(seen.violations) or fine))
    printed = attempt.values.get(objective_label(formulation))
    if printed is not None and not same_number(printed, seen.objective, 1e-4):
        found.append(Check("objective", False, f"printed {printed:.10g}, its formula gives {seen.objective:.10g}"))
    found.append(_second_opinion(formulation, seen.objective, seconds, seed))
    return found


def _program_detail(attempt: Attempt) -> str:
    if attempt.status == "optimal":
        return "it ran in the sandbox and ended optimal"
    error = attempt.error.strip().splitlines()
    return attempt.status.replace("_", " ") + (f": {error[-1][:200]}" if error else "")


def _second_opinion(formulation: Formulation, objective: float, seconds: float, seed: int) -> Check:
    other = formulation.solve(seconds=seconds, seed=seed)
    name = "second solver"
    if other.objective is None:
        ok = None if other.status in ("limit", "unsupported") else False
        return Check(name, ok, f"{other.how}: {other.status}")
    text = f"{other.how}: {other.objective:.10g}, the program: {objective:.10g}"
    if same_number(other.objective, objective):
        return Check(name, True, text if other.status == "optimal" else f"{text}; nothing better was found")
    if other.status == "optimal":
        return Check(name, False, text)
    sign = 1.0 if formulation.sense == "maximize" else -1.0
    if sign * (other.objective - objective) > 0:
        return Check(name, False, f"{text}, so the program's is no optimum")
    return Check(name, None, f"{text}; the searches did not reach it")


def check_wording(formulation: Formulation, text: str) -> list[Check]:
    """Check a formulation against the text: numbers on both sides, limits, whose numbers they are, the goal, variables.

    Args:
        formulation: the formal lines.
        text: the problem in words.

    Example:
        >>> from optimand.language.modeling import Formulation, Variable
        >>> f = Formulation((Variable("cakes"),), "maximize", "4*cakes", ("2*cakes >= 9",))
        >>> checks = check_wording(f, "A cake takes 2 eggs and earns 4. Maximize; at most 9 eggs.")
        >>> [check.name for check in checks if check.ok is False]
        ['limits']
    """
    found = mentions(text)
    return [
        *check_substance(formulation, text),
        *_numbers(formulation, found, text),
        _limits(formulation, found),
        _owners(formulation, found, text),
        _rows(formulation, found, text),
        _goal(formulation, text),
        _variables(formulation),
        _known_names(formulation, text),
    ]


def _numbers(formulation: Formulation, found: tuple[Mention, ...], text: str) -> list[Check]:
    forms: dict[float, list[int]] = {}
    for place, mention in enumerate(found):
        for form in mention.forms:
            forms.setdefault(key_of(form), []).append(place)
    # An unwritten factor of one, a zero side and a count of unknowns need no source.
    free = {0.0, 1.0, 100.0 if any(m.share for m in found) else 1.0, *conversions(text)}
    used: Counter[int] = Counter()
    strangers = []
    for value in map(key_of, map(abs, coefficients(formulation))):
        if value in forms:
            # Of equal numbers in the text, each serves once before one serves twice.
            used[min(forms[value], key=lambda place: used[place])] += 1
        elif value not in free:
            strangers.append(value)
    factors = conversions(text)
    unused = []
    for place, mention in enumerate(found):
        counts_unknowns = mention.value in (len(formulation.variables), 1.0, 0.0)
        converted = any(used[p] for f in factors for p in forms.get(key_of(mention.value * f), []))
        if mention.data and not used[place] and not counts_unknowns and not converted:
            unused.append(mention.text.strip())
    listed = ", ".join(f"{value:g}" for value in strangers[:6])
    if not any(mention.data or mention.value not in (0.0, 1.0) for mention in found):
        nothing = "the text has no numbers"
        known = Check("numbers known", False, f"{nothing}, the model has {listed}") if strangers else Check(
            "numbers known", None, nothing, hard=False)  # fmt: skip
        return [Check("numbers used", None, nothing, hard=False), known]
    strange = f"not in the text: {listed}; what is computed must be written out"
    return [
        Check("numbers used", not unused, "not in the model: " + ", ".join(unused[:6]) if unused else
              "every number of the text is in the model"),
        Check("numbers known", not strangers, strange if strangers else "every number of the model is in the text"),
    ]  # fmt: skip


def _stated_limits(formulation: Formulation) -> list[tuple[float, str]]:
    """Plain limits: ``positive terms <= number``, ``terms <= number * yes or no``, and bounds, as (number, ``upper`` or
    ``lower``)."""
    found = []
    binary = {variable.name for variable in formulation.variables if variable.kind == "binary"}
    for item in formulation.normal:
        if item.polynomial is None or item.op == "==":
            continue
        parts = dict(item.polynomial)
        ends = [key for key in parts if not key or (len(key) == 1 and key[0][0] in binary)]
        if () in parts:
            ends = [()]
        others = [value for key, value in parts.items() if key not in ends]
        if len(ends) == 1 and others and all(value * parts[ends[0]] < 0 for value in others):
            upper = (item.op == "<=") == (others[0] > 0)
            found.append((key_of(abs(parts[ends[0]])), "upper" if upper else "lower"))
    for variable in formulation.variables:
        if variable.kind != "binary":
            found += [
                (key_of(abs(end)), side) for end, side in ((variable.low, "lower"), (variable.high, "upper")) if end
            ]
    return found


def _limits(formulation: Formulation, found: tuple[Mention, ...]) -> Check:
    name = "limits"
    said: dict[float, set[str]] = {}
    for mention in found:
        for form in {mention.value, mention.raw or mention.value}:
            said.setdefault(key_of(form), set()).add(mention.limit)
    checked = 0
    for value, side in _stated_limits(formulation):
        sides = said.get(value, {""})
        if "" not in sides and len(sides) == 1:
            checked += 1
            if side not in sides:
                return Check(name, False, f"the text gives {value:g} as {_bound(next(iter(sides)))}, the model as "
                                          f"{_bound(side)}")  # fmt: skip
    if not checked:
        return Check(name, None, "no limit whose direction the words tell", hard=False)
    return Check(name, True, f"{checked} of the model's limits point the way that the words say")


def _bound(side: str) -> str:
    return "an upper bound" if side == "upper" else "a lower bound"


def _owners(formulation: Formulation, found: tuple[Mention, ...], text: str) -> Check:
    """Coefficients against the clauses and cells that hold the numbers: one of bread must not multiply cakes."""
    name, reader, checked = "owners", Reader(formulation, text), 0
    for row in stated_rows(formulation):
        everyone = frozenset().union(*(variables for variables, _ in row))
        for variables, value in row:
            places = [m for m in found if key_of(value) in map(key_of, m.forms)] if value not in (0, 1) else []
            beside = [reader.around(mention) for mention in places]
            if not beside or not all(one.owners and (variables or one.beside) for one in beside):
                continue
            checked += 1
            if not any(_may_own(one.owners, variables, everyone) for one in beside):
                named = " or ".join(sorted(beside[0].owners)[:3])
                wrong = " and ".join(sorted(variables or everyone)[:3])
                return Check(name, False, f"{places[0].text.strip()} belongs to {named} in the text, to {wrong} in "
                                          "the model")  # fmt: skip
    if not checked:
        return Check(name, None, "the words do not tell whose the numbers are", hard=False)
    return Check(name, True, f"{checked} coefficients stand with the variable that the text names beside them")


def _may_own(owners: frozenset[str], variables: frozenset[str], row: frozenset[str]) -> bool:
    """Whether a number of ``owners`` may multiply ``variables``, or be the limit of a row where they are none."""
    if variables or len(row) == 1:
        return bool(owners & (variables or row))
    # "At most 100 eggs" need not be of the variable that counts eggs; "A can send 38" is of all that A sends, or more.
    return not owners & row or owners <= row or row <= owners


def _rows(formulation: Formulation, found: tuple[Mention, ...], text: str) -> Check:
    """Numbers of one constraint against those of the others: hours must not stand among the kilograms.

    A number is out of place where the words beside it are those of another row and none is of its own.
    """
    name, reader = "rows", Reader(formulation, text)
    at: dict[float, list[Mention]] = {}
    for mention in found:
        for form in {mention.value, mention.raw or mention.value}:
            at.setdefault(key_of(form), []).append(mention)
    rows: list[list[tuple[Mention, frozenset[str], bool]]] = []
    for terms in stated_rows(formulation):
        row = []
        for variables, value in terms:
            hits = at.get(key_of(value), []) if value not in (0, 1) else []
            if variables and len(hits) != 1:
                # A number that stands in several cells, or a one, is that of the cell in the variables' own line.
                hits = [m for m in at.get(key_of(value), []) if value and reader.in_line_of(m, variables)]
            if len(hits) == 1:
                row.append((hits[0], reader.around(hits[0]).about, bool(variables)))
        rows.append(row)
    compared = 0

    def beside(row: list[tuple[Mention, frozenset[str], bool]], but: Mention) -> frozenset[str]:
        return frozenset().union(*(about for other, about, multiplies in row if multiplies and other is not but))

    for row in rows:
        for mention, about, _ in row:
            own = beside(row, mention)
            if not own or not about:
                continue
            compared += 1
            for theirs in (beside(other, mention) for other in rows if other is not row):
                if not about & (own - theirs) and about & (theirs - own):
                    shared = ", ".join(sorted(about & (theirs - own))[:3])
                    return Check(name, False, f"{mention.text.strip()} is about {shared} in the text, as numbers of "
                                              "another row of the model are, and none of its own")  # fmt: skip
    if not compared:
        return Check(name, None, "the words do not tell which numbers go together", hard=False)
    return Check(name, True, f"{compared} numbers stand with those that the text speaks of in the same words")


def _goal(formulation: Formulation, text: str) -> Check:
    wanted = goal(text)
    if not wanted:
        return Check("goal", None, "the words leave open whether most or least is wanted", hard=False)
    return Check("goal", wanted == formulation.sense, f"the text wants to {wanted}, the model to {formulation.sense}")


def _variables(formulation: Formulation) -> Check:
    used = set(names(formulation.objective_node))
    constrained: set[str] = set()
    for relation in formulation.relations:
        constrained |= {*names(relation.left), *names(relation.right)}
    idle = [v.name for v in formulation.variables if v.name not in used | constrained]
    if idle:
        return Check("variables used", False, f"{', '.join(idle)} is in no formula")
    if not used:
        return Check("variables used", False, "the objective is a constant")
    return Check("variables used", True, "every variable is in the objective or in a constraint")


def _known_names(formulation: Formulation, text: str) -> Check:
    """Whether what the variables stand for is spoken of in the text at all."""
    said = words(text)
    strange = [v.name for v in formulation.variables if v.meaning and not words(f"{v.name} {v.meaning}") & said - _DULL]
    if strange:
        return Check("names known", False, f"the text does not speak of {', '.join(strange)}")
    return Check("names known", True, "the text speaks of what every variable stands for")


_DULL = words("number amount quantity total units made produced used count of each")
