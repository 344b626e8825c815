"""The command ``optimand solve``: what it shows of an answer, its exit codes, mistakes that are named."""

from __future__ import annotations

import io
import json

import pytest
from tests.lab.test_cli import run

from optimand.core import catalog
from optimand.core.contracts import Family

ANSWER = {
    "question": "a bakery",
    "formulation": {
        "variables": [
            {"name": "c", "meaning": "cakes", "kind": "integer", "low": 0.0, "high": None},
            {"name": "v", "meaning": "", "kind": "real", "low": None, "high": 9.0},
            {"name": "b", "meaning": "open", "kind": "binary", "low": 0.0, "high": 1.0},
        ],
        "sense": "maximize",
        "objective": "5*c + 4*v",
        "constraints": [
            {"expression": "2*c + v <= 100", "meaning": "hours"},
            {"expression": "v <= 9 b", "meaning": ""},
        ],
    },
    "program": "print('[bold]not markup[/bold]')\n",
    "values": {"c": 0.0, "v": 100.0},
    "objective": 400.0,
    "status": "optimal",
    "checks": [
        {"name": "feasible", "ok": True, "detail": "2 constraints hold", "hard": True},
        {"name": "agreement", "ok": False, "detail": "no other attempt", "hard": True},
        {"name": "goal", "ok": None, "detail": "cannot be told", "hard": False},
    ],
    "verified": True,
    "reason": "checked: every check holds (necessary, not sufficient)",
    "attempts": 2,
    "llm_calls": 2,
    "llm_tokens": 99,
    "cost": 0.0,
    "model": "scripted",
    "isolation": "limits",
    "seconds": 1.4,
}


@pytest.fixture
def answering(monkeypatch):
    """Makes the family ``modeling`` answer as it is told; returns what it was asked."""
    asked = []

    def prepare(answer=ANSWER, events=()):
        def solve(text, *, on_event, **options):
            asked.append((text, options))
            print("LOUD")
            for event in events if on_event else ():
                on_event(*event)
            return answer

        family = Family("modeling", "words", adopt=lambda *_: None, describe=lambda _: {}, solve=solve)
        monkeypatch.setattr(catalog, "get_family", lambda name: family if name == "modeling" else None)
        return asked

    return prepare


def test_the_answer_is_shown_in_parts_and_fits_80_columns(answering, capsys):
    asked = answering()
    assert run("solve", "a bakery", "--attempts", "4", "--seed", "7", "--model", "embedded") == 0
    shown = capsys.readouterr().out
    for part in (
        "maximize 5*c + 4*v",
        "subject to 2*c + v <= 100   (hours)",
        "c: integer, at least 0: cakes",
        "v: real, of either sign, at most 9",
        "b: 0 or 1: open",
        "print('[bold]not markup[/bold]')",
        "cannot be told (a hint only)",
        "checked: every check holds (necessary, not sufficient)",
    ):
        assert part in shown
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    assert rows["objective"] == ["objective", "400"]
    assert rows["feasible"][1] == "yes"
    assert rows["agreement"][1] == "no"
    assert max(map(len, shown.splitlines()[:-2])) <= 80
    assert asked == [("a bakery", {"model": "embedded", "attempts": 4, "seed": 7, "require": "any"})]


def test_an_answer_that_is_not_verified_ends_with_exit_code_3(answering, capsys):
    empty = {"formulation": None, "program": "", "values": {}, "objective": None, "checks": [], "isolation": ""}
    answering(
        {**ANSWER, **empty, "verified": False, "status": "parse_error", "reason": "no verified solution was found"}
    )
    assert run("solve", "words") == 3
    shown = capsys.readouterr().out
    assert "no verified solution was found" in shown
    assert "none: the program ended parse error" in shown
    assert "no program was run" in shown


def test_json_is_the_answer_and_nothing_else(answering, capsys):
    answering()
    assert run("solve", "words", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_progress_goes_to_the_error_stream_and_can_be_silenced(answering, capsys):
    events = (
        ("attempt", {"number": 1, "of": 3, "how": "structured"}),
        ("solved", {"status": "not_optimal"}),
        ("checked", {"failed": ["goal"]}),
        ("checked", {"failed": []}),
    )
    answering(events=events)
    run("solve", "words")
    told = capsys.readouterr().err
    for line in ("attempt 1 of 3 (structured)", "its program ended not optimal", "open: goal", "every check of this"):
        assert line in told
    run("solve", "words", "--quiet")
    assert "attempt 1" not in capsys.readouterr().err


def test_words_come_from_standard_input_and_the_program_goes_to_a_file(answering, capsys, monkeypatch, tmp_path):
    asked = answering()
    monkeypatch.setattr("sys.stdin", io.StringIO("long words"))
    assert run("solve", "-", "--program", str(tmp_path / "found.py")) == 0
    assert asked[0][0] == "long words"
    assert (tmp_path / "found.py").read_text() == ANSWER["program"]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("training", "family 'training' takes no problems in words"),
        ("modelling", "unknown family 'modelling'; did you mean 'modeling'"),
    ],
)
def test_a_family_that_takes_no_words_is_named(family, message, capsys):
    assert run("solve", "words", "--family", family) == 1
    assert message in capsys.readouterr().err


def test_options_are_checked_before_the_model_is_asked(answering, capsys, tmp_path):
    asked = answering()
    assert run("solve", "words", "--require", "namespace") == 2
    assert run("solve", "words", "--attempts", "0") == 2
    assert run("solve", "words", "--program", tmp_path / "none" / "x.py") == 1
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err
    assert not asked
