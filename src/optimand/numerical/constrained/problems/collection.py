"""The collection of small problems, by name and by set."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from importlib import resources

from optimand.core.validation import UnknownNameError, check_choice, suggest

from ..nlp import EqualityProblem
from .formulas import Formula
from .generated import GENERATED, Mancino


def _published() -> Iterator[Formula]:
    file = resources.files(__package__).joinpath("collection.toml")
    for name, facts in tomllib.loads(file.read_text(encoding="utf-8")).items():
        yield Formula(name, **{"f": "0", **facts, "c": tuple(facts["c"]), "x0": tuple(facts["x0"])})


_ENTRIES: dict[str, Formula | Mancino] = {entry.name: entry for entry in (*_published(), *GENERATED)}

# The twenty problems whose iteration counts tests refer to.
REFERENCE = (
    "HS6", "HS7", "HS9", "HS28", "HS40", "HS42", "HS48", "HS51", "HS52", "HS77", "HS78", "HS79", "BT3", "BT5", "BT9",
    "BT11", "BT12", "BOOTH", "GOTTFR", "INTEQNE",
)  # fmt: skip
# The paper's CUTEst problems in its order, without BA-L1 and BA-L1SP.
CUTEST = (
    "HS6", "BT5", "BT9", "HS28", "BT10", "HIMMELBA", "BT12", "HS40", "BT3", "BT6", "BT11", "HS7", "GENHS28", "HS51",
    "SINVALNE", "BOOTH", "HS52", "HS47", "WAYSEA1NE", "HS48", "HS50", "RSNBRNE", "CUBENE", "HS77", "MWRIGHT",
    "ZANGWIL3", "TRIGON1NE", "HS78", "HS56", "HELIXNE", "HS42", "HS79", "ORTHREGB", "HS100LNP", "GOTTFR", "HIMMELBE",
    "MOREBVNE", "WAYSEA2NE", "DENSCHNCNE", "DENSCHNFNE", "HIMMELBC", "PRICE4NE", "INTEQNE", "MANCINONE", "BT2",
)  # fmt: skip
# Problems of the same sources that are hard for some solvers: nearly infeasible linearization, dependent gradients.
EXTRA = ("BT1", "HS61")
SETS = {"reference": REFERENCE, "cutest": CUTEST, "extra": EXTRA}


def names(which: str = "cutest") -> tuple[str, ...]:
    """Names of the problems in a set.

    Args:
        which: ``reference`` (20 problems), ``cutest`` (45 of the paper's 47) or ``extra``.

    Example:
        >>> len(names("reference")), len(names("cutest"))
        (20, 45)
    """
    return SETS[check_choice("which", which, SETS)]


def entry(name: str) -> Formula | Mancino:
    """What is published about a problem: formulas, start, recorded iteration count.

    Args:
        name: in any case, such as ``hs6``.

    Raises:
        UnknownNameError: there is no such problem; the message names the nearest.

    Example:
        >>> entry("hs7").f, entry("HS7").recorded
        ('log(1 + x1**2) - x2', 10)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} ({type(name).__name__})")
    found = _ENTRIES.get(name.upper())
    if found is None:
        raise UnknownNameError(
            f"unknown problem {name!r}{suggest(name.upper(), _ENTRIES)}; known: {', '.join(_ENTRIES)}"
        )
    return found


@functools.cache
def _made(name: str) -> EqualityProblem:
    return _ENTRIES[name].problem()


def equality_problem(name: str) -> EqualityProblem:
    """A problem of the collection, with exact derivatives; made once per process.

    Args:
        name: in any case, such as ``hs6``.

    Raises:
        UnknownNameError: there is no such problem.

    Example:
        >>> problem = equality_problem("hs6")
        >>> float(problem.fun(problem.x0)), problem.jac(problem.x0).tolist()
        (4.840000000000001, [[24.0, 10.0]])
    """
    return _made(entry(name).name)
