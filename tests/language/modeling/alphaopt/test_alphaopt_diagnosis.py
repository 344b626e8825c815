"""Diagnosis, refinement, merging, and the authors' choices one by one, with scripted replies."""

import itertools
import json

import pytest
from tests.language.modeling.alphaopt.small import GOLD, TASK, alpha, entry, library_of, made

from optimand.language.llm import Scripted
from optimand.language.modeling.alphaopt import (
    AlphaOPT,
)
from optimand.language.modeling.alphaopt.context import Record
from optimand.language.modeling.alphaopt.evolution import combinations
from optimand.language.modeling.alphaopt.running import Runner
from optimand.language.modeling.alphaopt.simulated import sections_of
from optimand.papers.alphaopt.scenarios import (
    OneTask,
    Printed,
    unretrieved_combinations,
)


def diagnosed(world, count, **options):
    with alpha(world, library_of(count), **options) as learner:
        return learner.diagnostician.diagnose(GOLD, learner.library, Record(), ("d",), 1)


# diagnosis, step by step


def test_without_what_misled_the_task_is_solved_and_nothing_more_is_asked():
    world = OneTask(lambda given: given == {"1"}, first=("1", "2", "3"),
                  states={"1": "positive", "2": "negative", "3": "irrelevant"}, issues={1: ()})  # fmt: skip
    outcome = diagnosed(world, 3)
    assert [set(given) for given in world.given] == [{"1", "2", "3"}, {"1"}]
    assert sorted(outcome.marks) == [(1, "positive"), (2, "negative"), (3, "irrelevant")]
    assert outcome.notes == {"solved without misleading insights": 1}
    assert outcome.extracted == []


def test_where_nothing_misled_the_formulation_is_not_made_again():
    world = OneTask(lambda given: "2" in given, first=("1",), states={"1": "invalid"}, issues={1: ("2",)})
    outcome = diagnosed(world, 2)
    assert [set(given) for given in world.given] == [{"1"}, {"1", "2"}]  # what was right but not followed is kept
    assert outcome.marks == [(1, "invalid"), (2, "unretrieved")]


def test_an_insight_that_was_left_out_may_be_tried_again_and_is_not_called_missed():
    """With 3 gone, 2, which was right but not followed, is tried for the issue and solves it."""
    world = OneTask(lambda given: given == {"1", "2"}, first=("1", "2", "3"),
                  states={"1": "positive", "2": "invalid", "3": "negative"}, issues={1: ("2",)})  # fmt: skip
    outcome = diagnosed(world, 3)
    assert [set(given) for given in world.given] == [{"1", "2", "3"}, {"1"}, {"1", "2"}]
    assert sorted(outcome.marks) == [(1, "positive"), (2, "invalid"), (3, "negative")]
    assert outcome.extracted == []


def test_of_combinations_that_fail_the_one_with_the_fewest_issues_left_is_kept():
    world = OneTask(lambda given: False, issues={1: ("1", "2"), 2: ("3",)}, solves={"2": (1,)})
    outcome = diagnosed(world, 3)
    assert outcome.notes["combinations"] == 2
    assert outcome.marks == [(2, "unretrieved")]  # 3 solved nothing
    assert world.roles.count("extractor.formulation") == 3  # what is still missing is asked for


@pytest.mark.parametrize(("official", "solved"), [(False, True), ("judged", False)])
def test_the_value_decides_and_by_the_authors_rule_the_issues_too(official, solved):
    world = OneTask(lambda given: "1" in given, issues={1: ("1",)}, solves={})
    outcome = diagnosed(world, 1, official=official)
    assert ("solved by insights that were not retrieved" in outcome.notes) is solved


@pytest.mark.parametrize(("official", "marks"), [(False, [(1, "positive")]), ("positives", [])])
def test_a_solved_task_counts_for_what_it_was_given(official, marks):
    assert diagnosed(OneTask(lambda given: True, first=("1",)), 1, official=official).marks == marks


def test_a_known_program_is_taken_before_any_is_looked_for():
    world = OneTask(lambda given: False)
    diagnosed(world, 1)
    assert "explorer" not in world.roles


# what is accepted


def learnt(world, task=GOLD, **options):
    with alpha(world, attempts=1, iterations=0, **options) as learner:
        learner.fit([task])
        return learner


def explanations(learner):
    return [insight.explanation for insight in learner.library]


def test_a_task_counts_as_solved_only_if_all_attempts_are_right():
    tried = iter([True, False, True])
    world = OneTask(lambda given: next(tried, False))
    with alpha(world, attempts=3, iterations=0) as learner:
        learner.fit([GOLD])
    assert learner.records["t"].confidence == pytest.approx(2 / 3)
    assert not learner.records["t"].solved


@pytest.mark.parametrize(("official", "kept"), [(False, []), ("conditions", ["good"])])
def test_a_condition_has_to_hold_for_its_own_task(official, kept):
    world = OneTask(lambda given: "good" in given, extracted=[[entry("good")]], applies=False)
    assert explanations(learnt(world, official=official)) == kept


@pytest.mark.parametrize(("official", "kept"), [(False, []), ("leaks", ["it is 3 in all"])])
def test_an_insight_that_holds_the_answer_is_refused(official, kept):
    world = OneTask(lambda given: bool(given), extracted=[[entry("it is 3 in all")]])
    assert explanations(learnt(world, official=official)) == kept


@pytest.mark.parametrize(("official", "kept"), [(False, ["good"]), ("freeloaders", ["idle", "good"])])
def test_an_insight_that_is_not_needed_is_dropped(official, kept):
    world = OneTask(lambda given: "good" in given, extracted=[[entry("idle"), entry("good")]])
    world.extractor_merge = lambda sections: {"groups": []}
    learner = learnt(world, official=official)
    assert explanations(learner) == kept
    assert learner.progress.rounds[0].refused.get("not needed", 0) == 2 - len(kept)


@pytest.mark.parametrize(("official", "kept"), [(False, 0), ("freeloaders", 1)])
def test_where_the_task_comes_out_right_without_a_lesson_none_is_learnt(official, kept):
    """It failed once, at the training temperature."""
    tried = iter([False])
    world = OneTask(lambda given: next(tried, True), extracted=[[entry("idle")]])
    assert len(learnt(world, official=official).library) == kept


@pytest.mark.parametrize(("official", "studies"), [(False, 1), ("repeats", 3)])
def test_failures_that_are_alike_are_studied_once(official, studies):
    world = OneTask(lambda given: False)
    with alpha(world, attempts=3, iterations=0, verify_attempts=1, official=official) as learner:
        learner.fit([GOLD])
    assert world.roles.count("extractor.formulation") == studies


def test_at_most_eight_combinations_are_tried_in_product_order():
    assert unretrieved_combinations((3, 2, 4)) == (8, True)
    assert unretrieved_combinations((2, 2)) == (4, True)
    pools = [[made(n, insight_id=n) for n in range(3)], [], [made(9, insight_id=9)]]
    found = [[i.insight_id for i in c] for c in combinations(pools, 8)]
    assert found == [[0, 9], [1, 9], [2, 9]]  # an issue without candidates does not empty the product
    assert list(itertools.islice(combinations([[]], 8), 1)) == []


# errors of programs


def test_a_repaired_error_gives_an_insight_on_code_and_none_on_formulation():
    """run_error -> repair with marks -> extraction -> verification."""
    bad, good = "bad # x", "good # y"
    lesson = {
        "stage": "Code Implementation", "level1": "Solver & API Syntax", "level2": ["Strict Inequalities"],
        "new_labels": [],
        "condition": "This insight applies when a limit is strict.",
        "explanation": "When the problem involves strict limits, the best practice is <=.", "example": "",
    }  # fmt: skip

    def reply(messages, *, role, **options):
        name, sections = role.removeprefix("alphaopt."), sections_of(messages)
        if name == "programmer.formulate":
            return "f"
        if name == "programmer.code":
            return f"```python\n{good if 'strict' in sections.get('Insights', '') else bad}\n```"
        if name == "diagnostic.program":
            return f"```python\n{good}\n#=== a strict limit\nm.addCons(x <= 3)\n#===\n```"
        if name == "extractor.program":
            assert sections["Repairs"] == "a strict limit\nm.addCons(x <= 3)"
            return json.dumps({"insights": [lesson]})
        if name == "retriever.check":
            return json.dumps({"applies": [{"id": "new-1", "reason": ""}]})
        raise AssertionError(name)

    runner = Runner(
        lambda code: (
            Printed("run_error", {}, "NameError: x") if code.startswith("bad") else Printed("optimal", {"objective": 3})
        )
    )
    with AlphaOPT(Scripted(reply), runner=runner, workers=1, repairs=0, iterations=0) as alpha:
        rounds = alpha.fit([TASK])
    assert [i.stage for i in alpha.library] == ["Code Implementation"]
    assert alpha.library[1].sources == ("t",)
    assert rounds[0].accepted == 1
