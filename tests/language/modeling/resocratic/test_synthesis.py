"""The synthesis end to end with a simulated author: what is kept is right, what is wrong is dropped and counted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm.scripted import Scripted
from optimand.language.modeling.execution import open_sandbox
from optimand.language.modeling.formulations.formulation import Formulation, Variable
from optimand.language.modeling.resocratic import (
    Demonstration,
    ReSocratic,
    SimulatedAuthor,
    own_pool,
    parse_scenario,
    sampling_plan,
)
from optimand.language.modeling.resocratic.filters import (
    cross_check,
    leaks_formula,
    missing_numbers,
    printed_objective,
)

POTTERY = own_pool("linear")[0]


@pytest.fixture(scope="module")
def sandbox():
    pytest.importorskip("pyscipopt")
    with open_sandbox(cpu_s=3, wall_s=8, workers=1) as made:
        yield made


def test_the_plan_has_the_paper_s_sizes() -> None:
    assert len(sampling_plan({"linear": 13})) == 5200
    assert len(sampling_plan({"nonlinear": 14})) == 5950
    both = sampling_plan({"linear": 13, "nonlinear": 14}, seed=0)
    assert len({prompt.key for prompt in both}) == 11_150
    assert both != sampling_plan({"linear": 13, "nonlinear": 14}, seed=1)
    assert sum(len(prompt.shown) == 1 for prompt in both) == 2700


def test_without_faults_nothing_but_resemblances_and_formulas_is_dropped(sandbox) -> None:
    author = SimulatedAuthor(2)
    maker = ReSocratic(author, own_pool("linear"), singles=1, pairs=0, sandbox=sandbox)
    pairs = list(maker.synthesize(100))
    assert len(pairs) == maker.counters["pairs"] == 2 * maker.counters["items"]
    assert all(pair.checked for pair in pairs)
    assert {pair.type for pair in pairs} == {"linear-table", "linear-notable"}
    assert maker.counters["replies"] == 6
    for pair in pairs[:4]:
        scenario = parse_scenario(pair.scenario)
        assert missing_numbers(scenario, pair.question) == []
        assert json.dumps(pair.to_dict())


def test_injected_faults_that_change_an_answer_never_come_through(sandbox) -> None:
    author = SimulatedAuthor(1, faults=0.5)
    maker = ReSocratic(author, own_pool("linear"), singles=3, pairs=0, sandbox=sandbox)
    pairs = list(maker.synthesize(1000))
    assert pairs
    assert {"lost number", "syntax", "wrong objective", "infeasible"} <= set(author.injected)
    kept = [author.bad_code[pair.code] for pair in pairs if pair.code in author.bad_code]
    # A constraint that does not bind can be left out without a trace in the objective.
    assert set(kept) <= {"constraint left out"}
    assert not any(pair.question in author.bad_questions for pair in pairs)
    assert maker.counters["dropped: question lost a number"] >= 1
    assert maker.counters["dropped: program parse_error"] >= 1
    dropped = sum(number for name, number in maker.counters.items() if name.startswith("dropped: scenario"))
    assert maker.counters["replies"] == maker.counters["scenarios"] + dropped + maker.counters["dropped: duplicate"]


def test_the_same_seed_gives_the_same_pairs_and_a_folder_asks_only_for_what_is_missing(sandbox, tmp_path) -> None:
    pool = own_pool("linear")[:3]
    first = SimulatedAuthor(3)
    whole = list(ReSocratic(first, pool, singles=1, pairs=0, sandbox=sandbox, wave=2).synthesize(50))
    part = ReSocratic(SimulatedAuthor(3), pool, singles=1, pairs=0, sandbox=sandbox, wave=2, folder=tmp_path)
    assert list(part.synthesize(3)) == whole[:3]
    again = SimulatedAuthor(3)
    with (tmp_path / "question.jsonl").open("a") as file:
        file.write('{"key": "linear:0:0:3:table", "val')  # what a kill leaves
    rest = ReSocratic(again, pool, singles=1, pairs=0, sandbox=sandbox, wave=2, folder=tmp_path)
    assert list(rest.synthesize(50)) == whole
    assert 0 < sum(again.calls.values()) < sum(first.calls.values())
    silent = ReSocratic(
        _named(Scripted([]), again.name), pool, singles=1, pairs=0, sandbox=sandbox, wave=2, folder=tmp_path
    )
    assert list(silent.synthesize(50)) == whole


def _named(chat: Scripted, name: str) -> Scripted:
    chat.name = name
    return chat


def test_a_folder_of_another_run_is_refused(tmp_path) -> None:
    ReSocratic(SimulatedAuthor(0), folder=tmp_path)
    with pytest.raises(OptimandError, match="holds another run: seed was 0"):
        ReSocratic(SimulatedAuthor(0), seed=1, folder=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OptimandError, match="must be a folder"):
        ReSocratic(SimulatedAuthor(0), folder=tmp_path / "file")


def test_a_broken_card_of_a_folder_is_named(tmp_path) -> None:
    (tmp_path / "identity.json").write_text('{"seed": ')
    with pytest.raises(OptimandError, match="identity of a run"):
        ReSocratic(SimulatedAuthor(0), folder=tmp_path)


KILLED = """
import sys
from optimand.language.modeling.resocratic import ReSocratic, SimulatedAuthor, own_pool
maker = ReSocratic(SimulatedAuthor(3), own_pool("linear")[:2], singles=1, pairs=0, wave=2, folder=sys.argv[1])
for pair in maker.synthesize(50):
    print(pair.key, flush=True)
"""


def test_a_killed_process_leaves_a_folder_that_gives_the_same_pairs(sandbox, tmp_path) -> None:
    pool = own_pool("linear")[:2]
    whole = list(ReSocratic(SimulatedAuthor(3), pool, singles=1, pairs=0, sandbox=sandbox, wave=2).synthesize(50))
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        seen = [process.stdout.readline().strip() for _ in range(2)]
        process.kill()
    assert seen == [pair.key for pair in whole[:2]]
    author = SimulatedAuthor(3)
    rest = ReSocratic(author, pool, singles=1, pairs=0, sandbox=sandbox, wave=2, folder=tmp_path)
    assert list(rest.synthesize(50)) == whole
    assert author.calls["resocratic.scenario"] == 0  # both were asked for before the first pair


def test_the_verdict_of_the_second_solve_is_kept(sandbox, tmp_path, monkeypatch) -> None:
    from optimand.language.modeling.resocratic import synthesis

    pool = own_pool("linear")[:1]
    first = ReSocratic(SimulatedAuthor(3), pool, singles=1, pairs=0, sandbox=sandbox, folder=tmp_path)
    whole = list(first.synthesize(50))

    def judged_anew(*args, **options):
        raise AssertionError("a slow machine may judge otherwise")

    monkeypatch.setattr(synthesis, "cross_check", judged_anew)
    again = ReSocratic(SimulatedAuthor(3), pool, singles=1, pairs=0, sandbox=sandbox, folder=tmp_path)
    assert list(again.synthesize(50)) == whole
    assert whole


class Prints:
    """A sandbox whose programs print what the test says."""

    def __init__(self, status: str, stdout: str) -> None:
        self.status, self.stdout, self.stderr, self.seconds = status, stdout, "", 0.0

    def run(self, code: str, *, inputs: str = "") -> Prints:
        return self


@pytest.mark.parametrize(
    ("status", "stdout", "reason"),
    [
        ("timeout", "", "dropped: program timeout"),
        ("ok", "----------\nNo optimal solution was found", "dropped: program not_optimal"),
        ("ok", "----------\n", "dropped: program no_values"),
        ("ok", "----------\nmugs: 3", "dropped: no objective printed"),
        ("ok", '----------\nRESULT_JSON: {"objective": 1.0}', "dropped: objective differs"),
    ],
)
def test_a_program_that_does_not_end_with_the_right_optimum_is_dropped(status, stdout, reason) -> None:
    def reply(messages, **options):
        return POTTERY.text if options["role"] == "resocratic.scenario" else "print(1)"

    maker = ReSocratic(Scripted(reply), [POTTERY], singles=1, pairs=0, sandbox=Prints(status, stdout))
    events = []
    maker._progress = lambda event, counters: events.append(event)
    assert list(maker.synthesize(9)) == []
    assert maker.counters[reason] == 3
    assert reason in events


def test_unread_formal_lines_are_kept_marked_or_dropped() -> None:
    text = POTTERY.text.replace("// mugs + bowls <= 150", "// (mugs > 0) + bowls <= 150")

    def reply(messages, **options):
        if options["role"] == "resocratic.scenario":
            return text
        return (
            " ".join(parse_scenario(text).words().split()) if options["role"] == "resocratic.question" else "print(1)"
        )

    printed = Prints("ok", '----------\nRESULT_JSON: {"objective": 1.0}')
    kept = list(ReSocratic(Scripted(reply), [POTTERY], singles=1, pairs=0, sandbox=printed).synthesize(9))
    assert [pair.checked for pair in kept] == [False, False]
    strict = ReSocratic(Scripted(reply), [POTTERY], singles=1, pairs=0, sandbox=printed, unread="drop")
    assert list(strict.synthesize(9)) == []
    assert strict.counters["dropped: formal lines unread"] == 2


def test_numbers_in_other_forms_count_as_kept() -> None:
    scenario = parse_scenario(
        '## Define Variables:\nA.\n// {"a": "a", "range": "a >= 0"}\n## Define Objective Function:\nB.\n'
        "// Maximize 0.3*a^2 + 1,500 - 15%*a - a/2"
    )
    assert missing_numbers(scenario, "30% of it, $1500, 0.15 and half") == []
    assert missing_numbers(scenario, "30% of it, 1,500") == [0.15, 2.0]
    assert missing_numbers(POTTERY.scenario, POTTERY.scenario.words()) == []


def test_an_unrelated_number_does_not_stand_for_a_lost_one() -> None:
    scenario = parse_scenario(
        '## Define Variables:\nA.\n// {"a": "a", "range": "a >= 0"}\n## Define Objective Function:\nB.\n'
        "// Maximize 5*a + 20 + 50*a/100"
    )
    # 20 is no 0.2, whose inverse would be the 5; and a per cent brings its hundred.
    assert missing_numbers(scenario, "earns some, 20 at first and 50% more") == [5.0]
    assert missing_numbers(scenario, "earns 5, 20 at first and 50 in the end") == [100.0]
    assert missing_numbers(scenario, "earns 5, 20 at first and 50 percent more") == []


def test_symbols_with_a_digit_are_no_words() -> None:
    scenario = parse_scenario(POTTERY.text.replace('"mugs",', '"x1",').replace("14*mugs", "14*x1"))
    assert leaks_formula(scenario, "Choose x1 and more.")
    assert not leaks_formula(scenario, "Choose mugs and x11.")


def test_questions_must_not_show_formal_lines() -> None:
    scenario = parse_scenario(POTTERY.text.replace('"mugs",', '"n_mugs",').replace("14*mugs", "14*n_mugs"))
    assert leaks_formula(scenario, "Choose n_mugs.")
    assert leaks_formula(scenario, "How many?\n// Maximize x")
    assert not leaks_formula(scenario, scenario.words())


def test_objectives_are_found_by_label() -> None:
    assert printed_objective({"Objective": 2.0, "objective bound": 3.0}) == 2.0
    assert printed_objective({"x": 2.0}) is None


def test_local_searches_refute_and_the_second_program_decides(sandbox) -> None:
    f = Formulation((Variable("x", high=4.0), Variable("y", high=4.0)), "maximize", "x*y - x**3", ("x + y <= 4",))
    best = cross_check(f, 0.0, sandbox)
    assert (best.verdict, best.how) == ("differs", "SCIP on the formal lines")
    assert cross_check(f, best.objective, sandbox).verdict == "agrees"
    assert cross_check(None, 0.0, sandbox).verdict == "unread"
    none = Formulation((Variable("x"),), "maximize", "x", ("x <= -1",))
    assert cross_check(none, 0.0, sandbox).verdict == "unsolved"


def test_a_pool_without_a_valid_demonstration_is_refused() -> None:
    with pytest.raises(OptimandError, match="must hold a valid demonstration"):
        ReSocratic(SimulatedAuthor(0), [Demonstration("nothing", "linear")])
    with pytest.raises(ValueError, match="unread must be one of"):
        ReSocratic(SimulatedAuthor(0), unread="maybe")
