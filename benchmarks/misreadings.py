"""False readings of worded problems: how many pass every check of the text, and how many right ones are refused.

    python benchmarks/misreadings.py FIRST LAST

Problems from templates of the seeds FIRST to LAST - 1, eight a seed; to each right formulation one random change of
each kind, counted where the changed one has another finite optimum. ``docs/modeling.md`` tells the rates.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from optimand.language.modeling import Constraint, Formulation
from optimand.language.modeling.answers.verification import check_wording
from optimand.language.modeling.execution import TYPES
from optimand.language.modeling.resocratic import TemplateGenerator

FACTOR = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*\*\s*([A-Za-z_]\w*)")
LIMIT = re.compile(r"[<>]= (\d+(?:\.\d+)?)$")


def changed(formulation: Formulation, rows: list[str]) -> Formulation:
    """The formulation with another objective (first) and other constraints."""
    return replace(formulation, objective=rows[0], constraints=tuple(Constraint(row) for row in rows[1:]))


def exchanged(rows: list[str], one: tuple[int, re.Match[str]], other: tuple[int, re.Match[str]]) -> list[str]:
    """Rows in which the numbers (group 1) of two matches stand in each other's place."""
    new = list(rows)
    for (place, match), number in sorted(
        ((one, other[1].group(1)), (other, one[1].group(1))), key=lambda pair: -pair[0][1].start(1)
    ):
        new[place] = new[place][: match.start(1)] + number + new[place][match.end(1) :]
    return new


def false_readings(formulation: Formulation, rng: random.Random) -> Iterator[tuple[str, Formulation]]:
    """One change of each kind, where the formulation has room for it."""
    rows = [formulation.objective, *(constraint.expression for constraint in formulation.constraints)]
    sided = [place for place, row in enumerate(rows) if place and re.search(r"[<>]=", row)]
    if sided:
        place = rng.choice(sided)
        turned = rows[place].translate(str.maketrans("<>", "><"))
        yield "limit turned", changed(formulation, [*rows[:place], turned, *rows[place + 1 :]])
    if len(rows) > 2:
        place = rng.randrange(1, len(rows))
        yield "constraint left out", changed(formulation, rows[:place] + rows[place + 1 :])
    factors = [(place, match) for place, row in enumerate(rows) for match in FACTOR.finditer(row)]
    limits = [(place, match) for place, row in enumerate(rows) if place and (match := LIMIT.search(row))]
    pairs = [(a, b) for k, a in enumerate(factors) for b in factors[k + 1 :] if a[1].group(1) != b[1].group(1)]
    kinds = {
        "coefficients of a row exchanged": [(a, b) for a, b in pairs if a[0] == b[0]],
        "coefficients of two rows exchanged": [
            (a, b) for a, b in pairs if a[0] != b[0] and a[1].group(2) == b[1].group(2)
        ],
        "limits of two rows exchanged": [
            (a, b) for k, a in enumerate(limits) for b in limits[k + 1 :] if a[1].group(1) != b[1].group(1)
        ],
    }
    for kind, found in kinds.items():
        if found:
            yield kind, changed(formulation, exchanged(rows, *rng.choice(found)))
    other = "minimize" if formulation.sense == "maximize" else "maximize"
    yield "most for least", replace(formulation, sense=other)  # type: ignore[arg-type]


def passes(formulation: Formulation, text: str) -> bool:
    """Whether every hard check of the text holds."""
    return all(check.ok is True for check in check_wording(formulation, text) if check.hard)


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    given = parser.parse_args()
    made, passed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    right = refused = 0
    for seed in range(given.first, given.last):
        generator, rng = TemplateGenerator(seed), random.Random(seed)
        for kind in TYPES:
            for index in (seed % 9, (seed + 4) % 9):
                item = generator.item(index, kind)
                right += 1
                refused += not passes(item.formulation, item.question)
                for name, false in false_readings(item.formulation, rng):
                    best = false.solve(seconds=0.5).objective
                    if best is not None and abs(best - item.objective) > 1e-5 * max(1.0, abs(item.objective)):
                        made[kind.split("-")[0], name] += 1
                        passed[kind.split("-")[0], name] += passes(false, item.question)
    print(f"right formulations refused: {refused} of {right}")
    for key in sorted(made):
        print(f"{key[0]:<10} {key[1]:<36} pass {passed[key]} of {made[key]}")


if __name__ == "__main__":
    main()
