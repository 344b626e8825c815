"""Checks that there is something to check: the text has data, the model uses them, the solution does something.

A model that says nothing keeps every promise: with no number in the text all of its numbers are known, and all
unknowns at zero satisfy most limits. Such an answer is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..benchmarks.matching import words
from ..execution import Attempt
from ..formulations.formulation import Formulation, Variable
from .checks import Check, coefficients, key_of
from .wording import Mention, mentions

# Words of a text in which doing nothing may be right.
_IDLE = re.compile(r"\b(?:nothing|none at all|not worth|do without|if any)\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow many\s+([^?.;:\d]{1,80})", re.IGNORECASE)
_AFTER_NOUN = re.compile(
    r"\b(?:should|shall|must|can|could|do|does|did|will|would|to|is|are|has|have|may|in order|for|per)\b", re.IGNORECASE
)
# What is measured, not counted.
_MEASURES = words(
    "gram kilogram kg g mg milligram tonne ton pound lb ounce oz liter litre l ml gallon barrel quart pint meter metre "
    "m km kilometer mile foot feet inch yard hectare acre hour minute second day week month year dollar euro cent "
    "percent share fraction unit portion thousand million cup"
)


def check_data(formulation: Formulation, found: Sequence[Mention]) -> Check:
    """Whether the text has numbers, and some formula or bound of the model uses one."""
    name = "data"
    # "One of them" and "both" are no data; "three" is where the model uses it.
    counts = [mention for mention in found if mention.data or mention.value not in (0.0, 1.0)]
    given = {key_of(form) for mention in found for form in mention.forms if form not in (0.0, 1.0)}
    used = given & {key_of(abs(value)) for value in coefficients(formulation)}
    if given and not used:
        return Check(name, False, "no formula of the model uses a number of the text")
    if not used and not any(mention.data for mention in found):
        return Check(name, False, "the text has no numbers: nothing to check against")
    return Check(name, True, f"the text has {len(counts)} numbers")


def check_effect(attempt: Attempt, text: str) -> list[Check]:
    """Whether the solution does something, where its program found one.

    Args:
        attempt: with a formulation whose program was run.
        text: the problem in words.

    Example:
        >>> from optimand.language.modeling.execution import Attempt
        >>> f = Formulation((Variable("well"),), "maximize", "well", ("well <= 0",))
        >>> tried = Attempt("…", "", {"well": 0.0}, "optimal", formulation=f)
        >>> check_effect(tried, "Plan it well.")[0].detail
        'every unknown is 0, so nothing is done'
    """
    formulation = attempt.formulation
    if formulation is None or attempt.status != "optimal":
        return []
    values = {v.name: attempt.values[v.name] for v in formulation.variables if v.name in attempt.values}
    if len(values) < len(formulation.variables):
        return []
    name = "not trivial"
    objective = formulation.check(values).objective
    zero = all(abs(value) <= 1e-9 for value in values.values())
    still = zero or all(_at_end(v, values[v.name]) for v in formulation.variables)
    if not still or abs(objective) > 1e-9:
        return [Check(name, True, "the solution does something")]
    if _IDLE.search(text):
        return [Check(name, True, "nothing is done, which the text speaks of")]
    what = "every unknown is 0, so nothing is done" if zero else "every unknown is at a bound and the objective is 0"
    return [Check(name, False, what)]


def _at_end(variable: Variable, value: float) -> bool:
    """Whether a value is at a bound; of a yes or no, only at no."""
    ends = (0.0,) if variable.kind == "binary" else (variable.low, variable.high)
    return any(end is not None and abs(value - end) <= 1e-9 for end in ends)


def check_whole(formulation: Formulation, text: str) -> Check:
    """A hint: whether what the text asks "how many" of is whole in the model."""
    name = "whole numbers"
    asked: frozenset[str] = frozenset()
    every = False
    for match in _HOW_MANY.finditer(text):
        noun = words(_AFTER_NOUN.split(match[1])[0])
        if noun & _MEASURES:
            continue
        every = every or match[1].lower().startswith("of ")
        asked |= noun
    if not asked and not every:
        return Check(name, None, "the text does not ask how many of what is counted", hard=False)
    split = []
    for variable in formulation.variables:
        said = words(f"{variable.name} {variable.meaning}")
        counted = bool(said & asked) or (every and re.search(r"\bnumbers? of\b", variable.meaning) is not None)
        if variable.kind == "real" and counted and not said & _MEASURES:
            split.append(variable.name)
    if split:
        return Check(name, False, f"the text asks how many; the model allows fractions of {', '.join(split[:6])}",
                     hard=False)  # fmt: skip
    return Check(name, True, "no fractions of what the text asks how many of", hard=False)


def check_substance(formulation: Formulation, text: str) -> list[Check]:
    """The checks of a formulation against the text that need no solution: data, and whole numbers as a hint.

    Args:
        formulation: the formal lines.
        text: the problem in words.
    """
    return [check_data(formulation, mentions(text)), check_whole(formulation, text)]
