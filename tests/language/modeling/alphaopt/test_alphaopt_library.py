"""Insights, taxonomy and library: what is found, what is refused, files that come back byte for byte."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from optimand.language.modeling.alphaopt import (
    Distribution,
    ExperienceLibrary,
    Insight,
    InsightError,
    Taxonomy,
    TaxonomyError,
    load_released,
    load_tasks,
)
from optimand.language.modeling.alphaopt.insights import STAGES, style_faults
from optimand.language.modeling.alphaopt.leaks import hard_coded, leaks, numbers_in
from optimand.language.modeling.alphaopt.library_files import from_released, unfiled
from optimand.papers.alphaopt.experiments import library_of, many_insights, scan

DATA = Path(os.environ.get("OPTIMAND_DATA", "")) / "alphaopt"
needs_data = pytest.mark.skipif(
    not os.environ.get("OPTIMAND_DATA") or not DATA.is_dir(), reason="set OPTIMAND_DATA to the folder with alphaopt/"
)
COUNTED = {"General Formulation": {"Variable Definition": ["Continuous vs. Discrete Confusion"]}}
FLOW = {"Domain Modeling": {"Network Flow": ["Flow Conservation"]}}


def made(taxonomy=COUNTED, **more):
    parts = {
        "condition": "This insight applies when things are counted.",
        "explanation": "When the problem involves counted things, the best practice is integer variables.",
        "example": "# Wrong\nx\n# Correct\ny",
    }
    return Insight(taxonomy, **{**parts, **more})


# the published library


@needs_data
def test_the_released_library_has_its_known_counts():
    library = load_released()
    assert len(library) == 139
    assert list(library.counts().values()) == [72, 42, 25]
    assert max(insight.insight_id for insight in library) == 222
    assert all(insight.triples for insight in library)
    assert len(library.triples) == 38
    assert sorted(library.triples.values())[-3:] == [10, 11, 19]
    assert sum(insight.distribution.needs_refinement for insight in library) == 36
    assert sum("does NOT apply" in insight.condition for insight in library) == 20


@needs_data
def test_labels_find_the_known_insights_whatever_their_case():
    library = load_released()
    for query in (COUNTED, {"general formulation": {"VARIABLE definition": ["continuous vs. discrete confusion"]}}):
        assert [i.insight_id for i in library.retrieve(taxonomy=query)] == [59, 66, 72, 201, 206]
    flow = [i.insight_id for i in library.retrieve(taxonomy=FLOW)]
    assert flow == [118, 129, 131, 132, 134, 136, 140, 143, 146, 152, 188]
    nothing = {"Code Implementation": {"Solver & API Syntax": ["Library Import/Reference Errors"]}}
    assert library.retrieve(taxonomy=nothing) == []


@needs_data
def test_labels_that_the_released_taxonomy_lacks_are_taken_in():
    entries = json.loads((DATA / "library.json").read_text())
    taxonomy = Taxonomy.load(DATA / "latest_taxonomy.json")
    lost = unfiled(entries, taxonomy)
    assert ("General Formulation", "Units Scaling", "Unit Inconsistency") in lost
    library = from_released(entries, taxonomy)
    assert all(triple in library.taxonomy for triple in lost)
    assert len(taxonomy) == 42  # the one given is not changed


@needs_data
@pytest.mark.parametrize(
    ("name", "count"), [("nlp4lp", 242), ("nl4opt", 214), ("complexor", 18), ("logior", 92), ("optibench", 403)]
)
def test_task_sets_have_their_sizes(name, count):
    tasks = load_tasks(name)
    assert len(tasks) == count
    missing = [task.id for task in tasks if not task.truths]
    assert missing == (["F178"] if name == "nl4opt" else [])  # so 968 of the 969 have a value


@needs_data
def test_the_released_library_round_trips(tmp_path):
    for suffix in ("json", "toml"):
        first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        library = load_released()
        library.save(first)
        ExperienceLibrary.load(first).save(second)
        assert first.read_bytes() == second.read_bytes()
        assert not library.diff(ExperienceLibrary.load(second))


def test_the_released_form_is_read_without_the_data(tmp_path):
    entry = {
        "insight_id": 7, "taxonomy": FLOW, "condition": "c", "explanation": "e", "example": "", "iteration": 2,
        "version": 1, "task_id": ["a", "b"], "occurrence": 0, "distribution": {"negative": ["a"]},
    }  # fmt: skip
    path = tmp_path / "library.json"
    path.write_text(json.dumps([entry, {**entry, "insight_id": 9, "task_id": 3}]))
    library = ExperienceLibrary.load(path)
    assert library[7].sources == ("a", "b")
    assert library[9].sources == ("3",)
    assert library[7].distribution.needs_refinement
    assert library.next_id == 10


# rules


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"condition": " "}, "has no condition"),
        ({"explanation": ""}, "has no explanation"),
        ({"taxonomy": {}}, "one stage"),
        ({"taxonomy": {**COUNTED, **FLOW}}, "one stage"),
        ({"taxonomy": {"General Formulation": {"a": ["b"], "c": ["d"]}}}, "one level 1"),
        ({"taxonomy": {"General Formulation": {"a": []}}}, "at least one level 2"),
        ({"taxonomy": {"General Formulating": {"a": ["b"]}}}, "did you mean 'General Formulation'"),
        ({"version": 0}, "version must be"),
        ({"pinned": "yes"}, "pinned must be"),
    ],
)
def test_a_broken_insight_is_refused_by_name(parts, says):
    with pytest.raises(InsightError, match=says) as caught:
        made(**{"insight_id": 12, **parts})
    assert "insight 12" in str(caught.value)


def test_ids_are_given_once_and_labels_must_be_known():
    library = ExperienceLibrary(insights=[made()])
    with pytest.raises(InsightError, match="insight 1 is there already"):
        library.add(made(insight_id=1))
    other = {"Domain Modeling": {"Network Flow": ["Flow Conversation"]}}
    with pytest.raises(TaxonomyError, match="Flow Conservation"):
        library.add(made(other))
    with pytest.raises(TaxonomyError, match="no condition"):
        library.add(made(other), {next(iter(made(other).triples)): {"definition": "d", "condition": ""}})
    assert len(library) == 1
    added = library.add(made(other), {made(other).triples[0]: {"definition": "d", "condition": "c"}})
    assert added.insight_id == 2
    assert library.retrieve(taxonomy=other) == [added]


def test_definitions_are_never_overwritten_and_case_does_not_matter():
    taxonomy = Taxonomy.load()
    triple = ("Domain Modeling", "Network Flow", "Flow Conservation")
    before = taxonomy.text(triple)
    shouted = tuple(label.upper() for label in triple)
    assert taxonomy.update({shouted: {"definition": "other", "condition": "other"}}) == []
    assert taxonomy.text(shouted) == before
    with pytest.raises(TaxonomyError):
        taxonomy.update(
            {("Domain Modeling", "A", "B"): {"definition": "d", "condition": "c"}, ("Domain Modeling", "A", "C"): None}
        )
    assert len(taxonomy) == 42  # an update that fails adds nothing


def test_the_default_taxonomy_has_the_three_stages():
    taxonomy = Taxonomy.load()
    counts = [sum(len(labels) for labels in taxonomy.to_dict()[stage].values()) for stage in STAGES]
    assert counts == [24, 13, 5]
    assert all(len(text) > 20 for triple in taxonomy for text in taxonomy.text(triple).values())


def test_style_is_checked_but_not_enforced():
    faults = style_faults(made(condition="You should use integers.", explanation="Use them.", example="x"))
    assert len(faults) == 4
    assert style_faults(made()) == []


# search


def test_the_index_finds_what_a_scan_finds():
    insights = many_insights(2000)
    library, entries = library_of(insights), [insight.to_dict() for insight in insights]
    for query in (
        {"General Formulation": {"area 1": ["label 3", "label 0"]}},
        {"Domain Modeling": {"area 3": ["none"]}},
    ):
        assert [i.insight_id for i in library.retrieve(taxonomy=query)] == scan(entries, query)


def test_words_rank_and_stages_filter():
    library = ExperienceLibrary(
        insights=[
            made(condition="This insight applies when trucks are counted."),
            made(FLOW, condition="This insight applies when water flows through a reservoir."),
        ]
    )
    assert [i.insight_id for i in library.retrieve(text="water in the reservoir")] == [2, 1]
    assert [i.insight_id for i in library.retrieve(text="water", k=1)] == [2]
    assert [i.insight_id for i in library.retrieve(stages=["General Formulation"])] == [1]
    with pytest.raises(ValueError, match="k must be"):
        library.retrieve(k=0)


# changes, lineage, a person's part


def test_a_pinned_insight_is_neither_rewritten_nor_removed():
    library = ExperienceLibrary(insights=[made()])
    library.pin(1)
    with pytest.raises(InsightError, match="pinned"):
        library.replace(library[1].with_condition("other"))
    with pytest.raises(InsightError, match="pinned"):
        library.remove([1])
    library.replace(library[1].marked("positive", "t"))  # what it did may be counted
    library.pin(1, False)
    library.replace(library[1].with_condition("This insight applies when …"))
    assert library[1].version == 2
    assert library[1].history == ("This insight applies when things are counted.",)


def test_a_replaced_insight_is_followed_to_its_successor():
    library = ExperienceLibrary(insights=[made(), made(FLOW)])
    new = library.add(made())
    library.remove([1], into=[new.insight_id])
    with pytest.raises(InsightError, match="replaced by 3"):
        library[1]
    assert library.add(made()).insight_id == 4  # ids are never given again


def test_diff_and_merge():
    first, second = ExperienceLibrary(insights=[made()]), ExperienceLibrary(insights=[made(), made(FLOW)])
    second.replace(replace(second[1], example="z"))
    diff = first.diff(second)
    assert [i.insight_id for i in diff.added] == [2]
    assert diff.changed == {1: ("example",)}
    added = first.merge(second)
    assert [i.insight_id for i in added] == [2, 3]
    assert first.merge(second) == []


# leaks


def test_numbers_of_the_answer_are_found_however_they_are_written():
    for text in ("5050", "5,050", "5{,}050", "5.05e3", "$5050.00", "-5050"):
        assert leaks(made(example=text), [5050.0]), text
    for text in ("5051", "15050", "x5050", "0.5050"):
        assert not leaks(made(example=text), [5050.0]), text
    assert leaks(made(explanation="it is 33.33"), [100 / 3])
    assert not leaks(made(explanation="about 33"), [100 / 3])
    assert not leaks(made(example="lb=0, 1"), [0.0, 1.0])
    assert numbers_in("1,000 and 2.50") == [(1000.0, 0.5), (2.5, 0.005)]


def test_a_program_that_states_the_answer_is_found():
    assert hard_coded("print(5050)", [5050.0], "some text")
    assert hard_coded('print("objective: 5050")', [5050.0], "some text")
    assert not hard_coded("print(5050)", [5050.0], "the budget is 5050")
    assert not hard_coded("print(2 * 2525)", [5050.0], "")
    assert not hard_coded("print(", [5050.0], "")


def test_a_distribution_marks_once():
    marks = Distribution().marked("positive", "a").marked("positive", "a")
    assert marks.positive == ("a",)
    with pytest.raises(ValueError, match="did you mean 'positive'"):
        marks.marked("positiv", "b")
