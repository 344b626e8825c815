"""The grammar of scenarios: faults are named, prefixes are the longest valid ones, every prefix is an item."""

from __future__ import annotations

import random

import pytest

from optimand.language.modeling.resocratic import (
    ScenarioError,
    TemplateGenerator,
    check_scenario,
    explode,
    own_pool,
    parse_scenario,
    read_formal,
)
from optimand.language.modeling.resocratic.scenarios import FAULTS, MARK, PREFIXES

POOL = [*own_pool("linear"), *own_pool("nonlinear")]
TEXT = POOL[0].text


def faults(text: str, **options: int) -> list[str]:
    return [fault.name for fault in check_scenario(text, **options)]


def test_own_pool_has_six_linear_and_four_nonlinear_valid_demonstrations() -> None:
    assert [one.kind for one in POOL] == ["linear"] * 6 + ["nonlinear"] * 4
    assert all(one.valid for one in POOL)
    assert {one.scenario.level for one in POOL} <= set(range(3, 8))


def test_rendering_reads_back() -> None:
    for one in POOL:
        assert parse_scenario(one.scenario.render()) == one.scenario


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda t: t.replace("// mugs + bowls <= 150", ""), "no-formal"),
        (lambda t: t + "\nThat is all.", "text-after-formal"),
        (lambda t: t.replace("Constraint-1", "Constraint-2", 1), "wrong-section"),
        (lambda t: f"{MARK}\n{t}\n{MARK}\n{t}", "several-scenarios"),
        (lambda t: "Here it is:\n" + t, "leading-text"),
        (lambda t: t.replace("The kiln holds 150 pieces in a week.\n", ""), "no-text"),
        (lambda t: "Nothing of the kind.", "empty"),
        (lambda t: t.split("## Define Objective")[0], "too-few-sections"),
        (lambda t: t + "".join(f"\n## {p}\nMore.\n// bowls >= 1" for p in (*PREFIXES[5:], "Generate Constraint-6:")),
         "too-many-sections"),
    ],
)  # fmt: skip
def test_each_fault_is_found_and_named(change, name) -> None:
    assert faults(TEXT) == []
    assert name in faults(change(TEXT))
    assert name in FAULTS
    with pytest.raises(ScenarioError, match="not a valid scenario"):
        parse_scenario(change(TEXT))


def test_one_mark_is_skipped() -> None:
    assert parse_scenario(f"{MARK}\n{TEXT}") == parse_scenario(TEXT)


def test_longest_prefix_ends_before_the_first_fault() -> None:
    broken = TEXT.replace("// mugs + bowls <= 150", "")
    assert parse_scenario(broken, longest_prefix=True) == parse_scenario(TEXT).prefix(3)
    with pytest.raises(ScenarioError, match="2 times"):
        parse_scenario(f"{MARK}{TEXT}{MARK}{TEXT}", longest_prefix=True)


def test_a_scenario_of_k_constraints_explodes_into_k_items() -> None:
    for one in POOL:
        k = len(one.scenario.constraints)
        assert [item.level for item in explode(one.scenario)] == list(range(3, k + 3))
        assert [item.level for item in explode(one.scenario, geometry=True)] == list(range(2, k + 3))


def test_skeleton_ends_with_the_objective() -> None:
    words = POOL[0].scenario.words()
    assert words.startswith("A pottery workshop")
    assert words.endswith("the largest revenue.")
    assert "//" not in words


def _mutated(text: str, rng: random.Random) -> tuple[str, bool]:
    """A changed scenario and whether it must be refused."""
    lines = text.split("\n")
    kind = rng.randrange(8)
    heads = [k for k, line in enumerate(lines) if line.startswith("## ")]
    formal = [k for k, line in enumerate(lines) if line.startswith("//")]
    k = rng.randrange(len(heads))
    begin, end = heads[k], heads[k + 1] if k + 1 < len(heads) else len(lines)
    if kind == 0:  # all formal lines of a section go
        return "\n".join(line for i, line in enumerate(lines) if not (begin < i < end and i in formal)), True
    if kind == 1:  # all words of a section go
        keep = [line for i, line in enumerate(lines) if not (begin < i < end and i not in formal and line.strip())]
        return "\n".join(keep), True
    if kind == 2:  # words after the last formal line of a section
        last = max(i for i in formal if begin < i < end)
        return "\n".join([*lines[: last + 1], "And so on.", *lines[last + 1 :]]), True
    if kind == 3:  # two sections change places
        other = (k + 1) % len(heads)
        swapped = list(lines)
        swapped[heads[k]], swapped[heads[other]] = lines[heads[other]], lines[heads[k]]
        return "\n".join(swapped), True
    if kind == 4:  # the mark twice
        return f"{MARK}\n" + "\n".join(lines[:begin]) + f"\n{MARK}\n" + "\n".join(lines[begin:]), True
    if kind == 5:  # a heading with another number or name
        changed = list(lines)
        changed[begin] = rng.choice(["## Generate Constraint-9:", "## Define Everything:", "# Define Variables:"])
        return "\n".join(changed), True
    if kind == 6:  # blank lines and blanks at the ends are no fault
        return "\n".join(rng.choice(["", "\n"]) + line + rng.choice(["", "  "]) for line in lines), False
    return "\n".join([*lines[:end], *lines[end:]]) + "\n" * rng.randrange(3), False


def test_five_hundred_mutated_scenarios_are_judged_as_they_were_mutated() -> None:
    rng = random.Random(0)
    texts = [one.text for one in POOL]
    texts += [item.scenario.render() for item in TemplateGenerator(3).items(12)]
    refused: list[ScenarioError] = []
    for number in range(500):
        text, refuse = _mutated(texts[number % len(texts)], rng)
        found = faults(text)
        assert bool(found) == refuse, (text, found)
        assert set(found) <= set(FAULTS)
        try:
            prefix = parse_scenario(text, longest_prefix=True)
        except ScenarioError as error:
            refused.append(error)
            continue
        # Whatever is taken is valid by itself, and read_formal never raises on it.
        assert check_scenario(prefix.render()) == []
        assert read_formal(prefix).formulation is not None or read_formal(prefix).reason
    assert 0 < len(refused) < 500
    assert all(error.faults for error in refused)


@pytest.mark.parametrize(
    ("text", "minimum", "error"), [(3, 2, TypeError), (TEXT, 0, ValueError), (TEXT, 8, ValueError)]
)
def test_bad_arguments_are_refused(text, minimum, error) -> None:
    with pytest.raises(error):
        check_scenario(text, minimum=minimum)
    with pytest.raises(ValueError, match="level must be"):
        parse_scenario(TEXT).prefix(9)
