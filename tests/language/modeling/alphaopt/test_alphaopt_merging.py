"""Refinement and merging with scripted replies, and the authors' choices as a setting."""

import json
from dataclasses import replace

import pytest
from tests.language.modeling.alphaopt.small import GOLD, LABEL, TASK, alpha, library_of, made

from optimand.language.llm import Scripted
from optimand.language.modeling.alphaopt import (
    AlphaOPT,
    Distribution,
    ExperienceLibrary,
    Insight,
    Task,
    refinement_baseline,
    refinement_score,
)
from optimand.language.modeling.alphaopt.context import Record, Settings
from optimand.language.modeling.alphaopt.deviations import DEVIATIONS
from optimand.language.modeling.alphaopt.extracted_insights import ExtractedInsight
from optimand.language.modeling.alphaopt.merging import Intake, Merger
from optimand.language.modeling.alphaopt.refinement import Refiner, assemble, best_variant
from optimand.language.modeling.alphaopt.simulated import entries_of
from optimand.papers.alphaopt.scenarios import (
    OneTask,
    merge_with_bystander,
)

# refinement


# scores


def test_refinement_scores_are_the_reference_ones():
    assert refinement_baseline(9, 2, 3) == pytest.approx(0.642857, abs=1e-6)
    for hits in ((8, 0, 2), (9, 2, 3)):
        assert refinement_score(9, 2, 3, *hits) == pytest.approx(0.857143, abs=1e-6)
    assert refinement_score(4, 1, 0, 3, 0, 0) == refinement_baseline(4, 1, 0) == 0.8
    assert best_variant(0.8, [0.8, 0.8]) is None
    assert best_variant(0.8, [0.81, 0.9, 0.9]) == 1
    assert best_variant(0.8, []) is None
    for bad in ((1, 0, 0, 2, 0, 0), (0, 0, 0, 0, 0, 0), (1, -1, 0, 0, 0, 0)):
        with pytest.raises(ValueError, match="must be"):
            refinement_score(*bad)


def test_a_refined_condition_keeps_the_first_paragraph_and_does_not_grow():
    once = assemble("This insight applies when a.", "This insight applies when b.", "c.")
    assert once.split("\n") == [
        "This insight applies when a.", "This insight applies when b.", "This insight does NOT apply when c."
    ]  # fmt: skip
    assert assemble(once, "d.", "").split("\n") == ["This insight applies when a.", "This insight applies when d."]


def refine(world, insight, task_ids, **options):
    tasks = {name: Task.of(name, f"task {name}", 3) for name in task_ids}
    library = ExperienceLibrary(insights=[insight])
    with alpha(world, library, **options) as learner:
        return Refiner(learner.context, tasks, library.taxonomy, ("evolve", 1)).refine(library[1], ("refine", 1))


class Sharpener(OneTask):
    """Proposes conditions; each holds for the tasks whose names it quotes."""

    def __init__(self, conditions):
        super().__init__(lambda given: True)
        self.conditions = conditions

    def evolver_negative(self, sections):
        return {"applies": False, "text": "other"}

    evolver_unretrieved = evolver_negative

    def evolver_refine(self, sections):
        return {"conditions": [{"strategy": "", "applies": text, "not_applies": ""} for text in self.conditions]}

    def retriever_check(self, sections):
        name = sections["Task"].split()[-1]
        shown = entries_of(sections["Candidates"])
        return {"applies": [{"id": i["id"], "reason": ""} for i in shown if f'"{name}"' in i["condition"]]}


MARKED = made(1, sources=("a",), distribution=Distribution(("a",), ("b",), ("c",)))


@pytest.mark.parametrize(("official", "taken"), [(False, '"a" "c"'), ("ties", '"a" "c" "d"')])
def test_of_conditions_that_score_alike_the_narrowest_is_taken(official, taken):
    world = Sharpener(['"a" "b"', '"a" "c" "d"', '"a" "c"'])
    found = refine(world, MARKED, "abcd", official=official)
    assert found.baseline == pytest.approx(1 / 3)
    assert found.scores == pytest.approx((1 / 3, 1.0, 1.0))
    assert found.insight.condition.endswith(taken)
    assert (found.insight.version, found.insight.history) == (2, (MARKED.condition,))


def test_a_condition_is_not_rewritten_for_a_task_that_is_filed_under_other_labels():
    """The quick match would leave the insight out whatever its condition says."""
    world = Sharpener(['"a" "c"'])
    world.retriever_match = lambda sections: {"labels": []}
    assert refine(world, replace(MARKED, distribution=Distribution(("a",), (), ("c",))), "abcd") is None
    assert "evolver.refine" not in world.roles
    ablation = refine(world, replace(MARKED, distribution=Distribution(("a",), (), ("c",))), "abcd", use_taxonomy=False)
    assert ablation.insight is not None


@pytest.mark.parametrize("part", ["pinned", "nothing"])
def test_what_is_pinned_or_never_misled_is_not_refined(part):
    insight = replace(MARKED, pinned=True) if part == "pinned" else replace(MARKED, distribution=Distribution(("a",)))
    assert refine(Sharpener(['"a"']), insight, "abc") is None


# merging


def test_a_merge_deletes_what_it_names_and_nothing_else(runner):
    ours = merge_with_bystander(official=False, runner=runner)
    assert ours.deleted == ours.merged == (1,)
    assert ours.kept_bystander
    new = ours.library[3]
    assert new.parents == (1,)
    assert len(new.sources) == 2
    assert new.triples == ours.library[2].triples  # so retrieval by label finds it
    assert ours.library.retired == {1: (3,)}


def test_the_official_rule_deletes_the_bystander(runner):
    theirs = merge_with_bystander(official=True, runner=runner)
    assert theirs.deleted == (1, 2)
    assert not theirs.kept_bystander


@pytest.mark.parametrize(("official", "parts"), [(False, {"id", "labels", "condition", "explanation"}),
                                                 ("candidates", {"id", "labels", "condition"})])  # fmt: skip
def test_what_a_merge_is_shown(official, parts):
    world = OneTask(lambda given: True)
    with alpha(world, library_of(1), official=official) as learner:
        learner.tasks = {"t": TASK}
        merger = Merger(learner.context, learner.extractor, learner.tasks, {})
        merger.online(learner.library, ExtractedInsight(made(7, sources=("t",))), (), ("m",), 0, Intake())
    assert set(world.offered[0]) == parts


@pytest.mark.parametrize("insight", [made(1, sources=("t",), pinned=True), made(1, sources=("elsewhere",)), made(1)])
def test_pinned_insights_and_those_of_unknown_tasks_are_not_offered_for_merging(insight):
    world = OneTask(lambda given: True)
    with alpha(world, ExperienceLibrary(insights=[insight])) as learner:
        learner.tasks = {"t": TASK}
        merger = Merger(learner.context, learner.extractor, learner.tasks, {})
        merger.online(learner.library, ExtractedInsight(made(7, sources=("t",))), (), ("m",), 0, Intake())
    assert "extractor.online_merge" not in world.roles
    assert len(learner.library) == 2


def test_a_merge_whose_text_holds_an_answer_is_refused():
    world = OneTask(lambda given: True)
    with alpha(world) as learner:
        learner.tasks = {"t": TASK}
        merger = Merger(learner.context, learner.extractor, learner.tasks, {})
        for text, holds in (("the best is 3", False), ("the best is a bound", True)):
            insight = Insight(LABEL, "This insight applies when x.", text, sources=("t",))
            assert merger.holds(learner.library, insight, (), (), (text,)) is holds


@pytest.mark.parametrize(("official", "refused"), [(False, 1), ("replay", 0)])
def test_a_draft_is_tried_on_tasks_that_are_solved(official, refused):
    world = OneTask(lambda given: not given)
    world.retriever_check = lambda sections: {"applies": [{"id": "new-1", "reason": ""}]}
    with alpha(world, official=official) as learner:
        learner.tasks = {name: Task.of(name, f"task {name}", 3) for name in "ab"}
        intake = Intake()
        merger = Merger(learner.context, learner.extractor, learner.tasks, {"a": Record(["optimal"], 1.0, True)})
        merger.online(learner.library, ExtractedInsight(made(1, sources=("b",))), (), ("m",), 0, intake)
        assert intake.refused == refused
        # One that was proved on more tasks than it spoils is taken, and what it spoils is remembered.
        learner.tasks["c"] = Task.of("c", "task c", 3)
        merger.online(learner.library, ExtractedInsight(made(2, sources=("b", "c"))), (), ("n",), 0, intake)
    assert intake.refused == refused
    spoilt = [insight.distribution.negative for insight in learner.library][-1]
    assert spoilt == (() if official else ("a",))


def test_a_merge_that_waits_for_approval_names_all_its_parents():
    world = OneTask(lambda given: True)
    merged = {"merged_ids": ["1"], "condition": "This insight applies when both.", "explanation": "e", "example": ""}
    world.extractor_online_merge = lambda sections: merged
    with alpha(world, library_of(1), approve="ask") as learner:
        learner.tasks = {"t": TASK}
        merger = Merger(learner.context, learner.extractor, learner.tasks, {})
        merger.online(learner.library, ExtractedInsight(made(7, sources=("t",))), (), ("m",), 0, Intake())
    library = learner.library
    assert [insight.insight_id for insight in library] == [1, 2]
    library.accept(library.pending[0])
    assert [(insight.insight_id, insight.parents) for insight in library] == [(3, (2, 1))]
    assert library.retired == {2: (3,), 1: (3,)}


# the authors' choices as a setting


def test_the_authors_choices_come_all_or_by_name():
    assert Settings(official=True).official == tuple(DEVIATIONS)
    assert Settings().official == ()
    assert Settings(official=["ties", "leaks"]).official == ("leaks", "ties")
    assert [Settings(official=o).malformed for o in (False, "ties", "malformed", True)] == ["drop"] * 2 + ["keep"] * 2
    assert Settings(official=True, malformed="drop").malformed == "drop"
    assert json.loads(json.dumps(Settings(official="ties").to_dict())) == Settings(official="ties").to_dict()
    with pytest.raises(ValueError, match="official must be one of"):
        Settings(official="tolerence")
    with pytest.raises(TypeError, match="official must be"):
        Settings(official=3)


@pytest.mark.parametrize(("official", "right"), [(False, False), (True, True), ("tolerance", True), ("ties", False)])
def test_the_authors_tolerance_is_an_absolute_tenth(official, right):
    class Sandbox:
        def run(self, code, *, inputs=""):
            raise AssertionError

    with AlphaOPT(Scripted([]), sandbox=Sandbox(), official=official) as learner:
        assert learner.runner.right(TASK, {"objective": 3.05}) is right


@pytest.mark.parametrize(("official", "left"), [(False, ()), ("distributions", ("t",))])
def test_distributions_begin_anew_in_each_round(official, left):
    library = ExperienceLibrary(insights=[made(1, sources=("t",), distribution=Distribution(irrelevant=("t",)))])
    with alpha(OneTask(lambda given: True), library, official=official, iterations=1) as learner:
        learner.evolve([GOLD])
    assert learner.library[1].distribution.irrelevant == left
