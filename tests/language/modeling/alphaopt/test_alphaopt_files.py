"""Libraries as files and in a person's hands: editing, faults by name, proposals, pages, the shell."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.test_cli import run

from optimand.core.validation import OptimandError
from optimand.language.modeling.alphaopt import ExperienceLibrary, Insight, Proposal, Task
from optimand.language.modeling.alphaopt.toml_text import to_toml

COUNTED = {"General Formulation": {"Variable Definition": ["Continuous vs. Discrete Confusion"]}}
FLOW = {"Domain Modeling": {"Network Flow": ["Flow Conservation"]}}


def made(taxonomy=COUNTED, **more):
    parts = {
        "condition": "This insight applies when things are counted.",
        "explanation": "When the problem involves counted things, the best practice is integer variables.",
        "example": "# Wrong\nx\n# Correct\ny",
    }
    return Insight(taxonomy, **{**parts, **more})


def test_errors_in_an_edited_file_name_the_insight(tmp_path):
    library = ExperienceLibrary(insights=[made()])
    path = tmp_path / "library.toml"
    library.save(path)
    text = path.read_text()
    for old, new, says in (
        ('condition = "This insight applies when things are counted."', "", "insight 1 has no condition"),
        ('"Variable Definition" = ["Continuous', '"Variable Definition" = ["Continuos', "insight 1: .*did you mean"),
        ("explanation =", "explenation =", "insight 1 has an unknown part 'explenation'; did you mean 'explanation'"),
        ("version = 1\nparents", 'version = "x"\nparents', "insight 1: version must be"),
        ('schema = "optimand.experience-library"', 'schema = "other"', "is no library"),
        ("version = 1\nnext_id", "version = 9\nnext_id", "has version 9"),
        ("next_id = 2", "next_id = ", "cannot be read"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(OptimandError, match=says):
            ExperienceLibrary.load(path)


def test_proposals_are_decided_by_a_person(tmp_path):
    library = ExperienceLibrary(insights=[made(sources=("a",)), made(sources=("b",))])
    library.replace(library[1].marked("negative", "t"))
    library.pending.append(Proposal("merge", (1, 2), "alike", (made(sources=("a", "b"), parents=(1, 2)),)))
    kinds = [proposal.kind for proposal in library.review()]
    assert kinds[:2] == ["merge", "remove"]
    path = tmp_path / "library.json"
    library.save(path)
    again = ExperienceLibrary.load(path)
    again.accept(next(iter(again.review())))
    assert [i.insight_id for i in again] == [3]
    assert again[3].parents == (1, 2)
    assert again.pending == []
    hint = next(p for p in library.review() if p.kind == "merge" and not p.insights)
    with pytest.raises(OptimandError, match="hint"):
        library.accept(hint)


def test_validation_names_insight_and_leak():
    library = ExperienceLibrary(insights=[made(example="# Wrong\n1\n# Correct\nprofit 5,050", sources=("t", "u"))])
    found = library.validate([Task.of("t", "text", 5050)])
    assert any("insight 1: the example holds 5050" in text for text in found)
    assert any("source 'u' is not among" in text for text in found)


def test_pages_hold_every_insight_and_escape_it():
    library = ExperienceLibrary(insights=[made(example="<script>alert(1)</script>\n```"), made(FLOW, pinned=True)])
    page, text = library.to_html(), library.to_markdown()
    assert "<script>" not in page
    assert page.count("<article") == 2
    assert text.count("### ") == 2
    assert "pinned" in text
    assert "````" in text  # the fence is longer than the one inside


# files

texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(texts, texts, texts, st.lists(texts, max_size=3))
def test_any_text_survives_both_formats(tmp_path_factory, condition, explanation, example, sources):
    folder = tmp_path_factory.mktemp("library")
    condition, explanation = "c" + condition, "e" + explanation
    library = ExperienceLibrary(
        insights=[made(condition=condition, explanation=explanation, example=example, sources=tuple(sources))]
    )
    for suffix in ("json", "toml"):
        path = folder / f"l.{suffix}"
        library.save(path)
        first = path.read_bytes()
        again = ExperienceLibrary.load(path)
        assert again[1] == library[1]
        again.save(path)
        assert path.read_bytes() == first


def test_toml_writes_nested_tables_and_refuses_what_it_cannot():
    assert to_toml({"a": {"b": {"c": 1}}}).endswith("[a.b]\nc = 1\n")
    with pytest.raises(TypeError, match="no TOML"):
        to_toml({"a": {1, 2}})


def test_files_of_another_kind_are_refused(tmp_path):
    library = ExperienceLibrary()
    with pytest.raises(OptimandError, match=r"\.json or \.toml"):
        library.save(tmp_path / "library.txt")
    with pytest.raises(OptimandError, match="no such file"):
        ExperienceLibrary.load(tmp_path / "none.json")
    with pytest.raises(OptimandError, match="or-default"):
        ExperienceLibrary("or-defalt")


def paths(value, here=()):
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*here, key))


def test_any_part_of_another_form_is_an_error_in_words(tmp_path):
    """Each part of a file in turn is replaced by values of other types, and left out."""
    library = ExperienceLibrary(insights=[made(sources=("a",)), made(FLOW)])
    library.remove([2], into=[1])
    library.replace(library[1].with_condition("This insight applies when …"))
    library.pending.append(Proposal("merge", (1,), "why", (made(),)))
    whole = json.loads(library.dumps())
    whole["taxonomy"] = {"General Formulation": whole["taxonomy"]["General Formulation"]}
    labels = whole["taxonomy"]["General Formulation"]
    whole["taxonomy"]["General Formulation"] = {"Variable Definition": labels["Variable Definition"]}
    path, refused = tmp_path / "library.json", 0
    for here in paths(whole):
        for value in (None, 3, 2.5, "text", True, [1], [None], {"a": 1}, ...):
            data = copy.deepcopy(whole)
            inner = data
            for key in here[:-1]:
                inner = inner[key]
            if not here:
                data = None if value is ... else value
            elif value is ...:
                del inner[here[-1]]
            else:
                inner[here[-1]] = value
            path.write_text(json.dumps(data))
            try:
                ExperienceLibrary.load(path).to_html()
            except OptimandError:
                refused += 1
    assert refused > 300


def test_what_a_person_adds_without_an_id_gets_one_that_was_never_given(tmp_path):
    library = ExperienceLibrary(insights=[made(), made(), made()])
    library.remove([3], into=[1])
    path = tmp_path / "library.toml"
    library.save(path)
    text = path.read_text()
    mine = text[text.index("[[insights]]") : text.index("[[insights]]", text.index("[[insights]]") + 5)]
    mine = mine.replace("insight_id = 1\n", "").replace("things are counted", "my rule holds")
    path.write_text(text.replace("[[insights]]", mine + "[[insights]]", 1))
    again = ExperienceLibrary.load(path)
    assert [insight.insight_id for insight in again] == [1, 2, 4]
    assert "my rule" in again[4].condition


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "library.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptimandError, match="cannot be read"):
        ExperienceLibrary.load(path)


def test_a_label_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "library.json"
    data = json.loads(ExperienceLibrary().dumps())
    area = data["taxonomy"]["Domain Modeling"]["Network Flow"]
    area["FLOW conservation"] = area["Flow Conservation"]
    path.write_text(json.dumps(data))
    with pytest.raises(OptimandError, match="FLOW conservation is there twice"):
        ExperienceLibrary.load(path)


def test_accepting_a_refinement_changes_the_condition_and_nothing_else():
    library = ExperienceLibrary(insights=[made()])
    sharper = Proposal("refine", (1,), "why", (library[1].with_condition("This insight applies when sharper."),))
    library.pending.append(sharper)
    library.replace(library[1].marked("positive", "t"))  # counted after the proposal was made
    library.accept(sharper)
    assert library[1].condition == "This insight applies when sharper."
    assert library[1].distribution.positive == ("t",)
    assert library.pending == []
    with pytest.raises(OptimandError, match="was changed after the proposal"):
        library.accept(sharper)


def test_a_pinned_insight_is_not_merged_by_a_proposal():
    library = ExperienceLibrary(insights=[made(), made(FLOW)])
    library.pin(1)
    with pytest.raises(OptimandError, match="pinned"):
        library.accept(Proposal("merge", (1, 2), "why", (made(),)))
    assert len(library) == 2


# the shell


@pytest.fixture
def saved(tmp_path):
    library = ExperienceLibrary(
        insights=[made(sources=("a",)), made(FLOW, condition="This insight applies when water flows.")]
    )
    better = library[1].with_condition("This insight applies when trucks are counted.")
    library.pending.append(Proposal("refine", (1,), "it scores more", (better,)))
    path = tmp_path / "library.json"
    library.save(path)
    return path


def test_a_library_is_shown_checked_and_compared_from_the_shell(saved, tmp_path, capsys):
    assert run("library", "show", str(saved)) == 0
    assert capsys.readouterr().out == ExperienceLibrary.load(saved).to_markdown()
    assert run("library", "show", str(saved), "--id", "2") == 0
    assert "water" in (text := capsys.readouterr().out)
    assert "### 1" not in text
    page = tmp_path / "page.html"
    assert run("library", "show", saved, "--words", "water", "--most", 1, "--html", page) == 0
    assert "water" in page.read_text()
    capsys.readouterr()
    assert run("library", "check", str(saved)) == 3
    assert capsys.readouterr().out == "insight 2: it was verified on no task\n"
    other = tmp_path / "other.toml"
    assert run("library", "convert", str(saved), str(other)) == 0
    assert run("library", "diff", str(saved), str(other)) == 0
    other.write_text(other.read_text().replace("water flows", "oil flows"))
    capsys.readouterr()
    assert run("library", "diff", str(saved), str(other)) == 3
    assert capsys.readouterr().out == "~ 2: condition\n"


def test_proposals_are_decided_from_the_shell(saved, capsys):
    assert run("library", "review", str(saved)) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("1. refine 1: it scores more\n   This insight applies when trucks are counted.")
    assert "2. verify 2: it was verified on no task (a hint: edit the file)" in listed
    assert run("library", "review", str(saved), "--reject", "2") == 1
    assert run("library", "review", str(saved), "--accept", "2") == 1
    assert run("library", "review", str(saved), "--accept", "7") == 1
    assert run("library", "review", str(saved), "--accept", "1") == 0
    library = ExperienceLibrary.load(saved)
    assert "trucks" in library[1].condition
    assert library.pending == []


def test_faults_of_a_file_are_one_line_on_the_error_stream(tmp_path, capsys):
    assert run("library", "show", str(tmp_path / "none.json")) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: path must be a library's file")
