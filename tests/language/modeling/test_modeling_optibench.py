"""The benchmark's loader and what its data say of the graders; on the user's files, and the same on small ones."""

import json
import os

import pytest

from optimand.core.validation import OptimandError
from optimand.language.modeling import Formulation, Variable
from optimand.language.modeling.benchmarks.auditing import audit, audit_problem, exclusions, summarize, write_audit
from optimand.language.modeling.benchmarks.grading import grade_answers
from optimand.language.modeling.benchmarks.optibench import (
    FOLDER,
    available,
    find_data,
    load_nl4opt_e,
    load_optibench,
    read_problem,
    split_of,
)
from optimand.language.modeling.benchmarks.reference import bakery
from optimand.language.modeling.execution import ModelingProblem, run_program

needs_data = pytest.mark.skipif(not available(), reason=f"set OPTIMAND_DATA to the folder with {FOLDER}/")


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    items = [
        {"index": i, "question": f"Question {i}, please?", "type": kind, "results": {"The profit": f"{i}.5"}}
        for i, kind in enumerate(["linear-notable", "linear-table", "nonlinear-notable", "nonlinear-table"] * 5)
    ]
    (folder / "OptiBench.json").write_text(json.dumps(items))
    other = [{**item, "question": item["question"].upper() + " !"} for item in items[:4]]
    other += [{**items[0], "index": 77, "question": "Another?"}]
    (folder / "NL4OPT-E.json").write_text(json.dumps(other))
    return tmp_path


def test_small_files_are_loaded_split_and_compared(small):
    problems = load_optibench(root=small)
    assert len(problems) == 20
    assert problems[3].answers == {"The profit": 3.5}
    assert len(load_optibench(types="linear-table", root=small)) == 5
    assert len(load_optibench(types=["linear-table", "nonlinear-table"], root=small)) == 10
    parts = [load_optibench(split, root=small) for split in ("train", "valid", "test")]
    assert sorted(p.id for part in parts for p in part) == sorted(p.id for p in problems)
    assert all(split_of(p) == "test" for p in parts[2])
    assert len(load_nl4opt_e(root=small)) == 5
    assert [p.question for p in load_nl4opt_e(without_optibench=True, root=small)] == ["Another?"]


def test_missing_and_damaged_files_are_said(small, tmp_path, monkeypatch):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA"):
        find_data()
    assert not available()
    with pytest.raises(OptimandError, match="no folder"):
        find_data(tmp_path / "nothing")
    (small / FOLDER / "OptiBench.json").write_text("{")
    with pytest.raises(OptimandError, match="holds no JSON"):
        load_optibench(root=small)
    (small / FOLDER / "NL4OPT-E.json").write_text("{}")
    with pytest.raises(OptimandError, match="list of problems"):
        load_nl4opt_e(root=small)
    (small / FOLDER / "OptiBench.json").unlink()
    with pytest.raises(OptimandError, match="could not be read"):
        load_optibench(root=small)
    with pytest.raises(ValueError, match="split"):
        load_optibench("dev", root=small)
    with pytest.raises(ValueError, match="types"):
        load_optibench(types=["cubic"], root=small)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"question": ""}, "no question"), ({"results": {"q": "1/2"}}, "must be a number"), ({"type": "x"}, "type"),
        ({"results": {"q": None}}, "must be a number"),
    ],
)  # fmt: skip
def test_bad_items_are_refused(change, what):
    item = {"index": 1, "question": "?", "type": "linear-table", "results": {"q": "1"}}
    with pytest.raises(OptimandError, match=what):
        read_problem({**item, **change})
    with pytest.raises(OptimandError, match="must have index"):
        read_problem({"question": "?"})
    with pytest.raises(OptimandError, match="object"):
        read_problem([1])


@needs_data
def test_the_benchmark_has_the_published_counts():
    problems = load_optibench()
    kinds = [p.type for p in problems]
    assert len(problems) == 605
    assert [kinds.count(k) for k in ("linear-notable", "linear-table", "nonlinear-notable", "nonlinear-table")] == [
        342,
        80,
        133,
        50,
    ]
    assert sum(len(p.answers) for p in problems) == 2186
    assert sum(all(a.is_integer() for a in p.answers.values()) for p in problems) == 469
    assert len(load_nl4opt_e()) == 289
    assert len(load_nl4opt_e(without_optibench=True)) == 99
    assert [len(load_optibench(split)) for split in ("train", "valid", "test")] == [113, 94, 398]


@needs_data
def test_graders_accept_what_is_recorded_and_reject_what_is_not():
    for problem in load_optibench():
        for rule in ("official", "robust"):
            assert grade_answers(problem, problem.answers, rule).correct
            rounded = {query: round(value, 5) for query, value in problem.answers.items()}
            assert grade_answers(problem, rounded, rule).correct
            changed = {query: 1.01 * value + 1 for query, value in problem.answers.items()}
            assert not grade_answers(problem, changed, rule).correct


@needs_data
def test_the_exact_answer_to_a_noisy_truth():
    problem = next(p for p in load_optibench() if p.id == "optibench/13")
    exact = dict(zip(problem.answers, (0.5, 0.25, 0.3535534), strict=True))
    assert not grade_answers(problem, exact, "official").correct
    assert grade_answers(problem, exact, "robust").correct


def whole(names):
    return tuple(Variable(name, kind="integer") for name in names)


RETURNS = dict(zip("mcts", (0.085, 0.05, 0.065, 0.13), strict=True))
MINUTES = [
    [0, 10, 20, 30, 30, 20], [10, 0, 25, 35, 20, 10], [20, 25, 0, 15, 30, 20], [30, 35, 15, 0, 15, 25],
    [30, 20, 30, 15, 0, 14], [20, 10, 20, 25, 14, 0],
]  # fmt: skip
REFERENCE = {
    0: Formulation(  # cuts of 10 cents from 1.50, 1000 more sold with each
        (Variable("cuts", kind="integer", high=10),), "maximize", "(1 - 0.1*cuts)*(5000 + 1000*cuts) - 2000"
    ),
    2: Formulation(whole("jp"), "maximize", "5*j + 9*p", ("8*j + 6*p <= 1500", "3*j + 5*p <= 1350")),
    4: Formulation(
        tuple(Variable(f"s{i}", kind="binary") for i in range(6)), "minimize", " + ".join(f"s{i}" for i in range(6)),
        tuple(" + ".join(f"s{j}" for j in range(6) if row[j] <= 15) + " >= 1" for row in MINUTES),
    ),
    5: Formulation(
        whole("bg"), "maximize", "2.5*b + 7*g", ("300*b + 200*g <= 50000", "b >= 3*g", "g >= 10")
    ),
    44: Formulation(
        tuple(Variable(name) for name in "mcts"), "maximize", " + ".join(f"{r}*{v}" for v, r in RETURNS.items()),
        ("m <= 0.2*70000", "c <= m + t + s", "t + c >= 0.3*70000", "c + t >= 1.2*(m + s)", "m + c + t + s == 70000"),
    ),
    157: Formulation(
        tuple(Variable(name, kind="integer", high=100) for name in "abcxy"), "minimize",
        "(500*a + 700*b + 900*c + 1000*x + 1200*y) / (100*a + 150*b + 200*c + 300*x + 400*y)",
        ("500*a + 700*b + 900*c + 1000*x + 1200*y <= 50000", "100*a + 150*b + 200*c + 300*x + 400*y >= 10000",
         "500*a + 700*b + 900*c >= 0.2*50000"),
    ),
}  # fmt: skip
OBJECTIVES = {0: 3600, 2: 2250, 4: 2, 5: 655, 44: 6618.1818, 157: 3.2207792}


@pytest.mark.parametrize("index", REFERENCE)
def test_reference_programs_reach_the_known_objectives(index, solver_sandbox):
    formulation = REFERENCE[index]
    ran = run_program(formulation.program(), solver_sandbox)
    assert ran.values["objective"] == pytest.approx(OBJECTIVES[index], rel=1e-6)
    assert formulation.solve().objective == pytest.approx(OBJECTIVES[index], rel=1e-6)
    points = {2: {"j": 0, "p": 250}, 5: {"b": 136, "g": 45}, 4: {f"s{i}": int(i in (1, 3)) for i in range(6)},
              44: {"m": 0, "c": 0, "t": 38181.818, "s": 31818.182}}  # fmt: skip
    for name, value in points.get(index, {}).items():
        assert ran.values[name] == pytest.approx(value, abs=0.01)


@needs_data
@pytest.mark.parametrize("index", REFERENCE)
def test_reference_programs_agree_with_the_data(index):
    problem = next(p for p in load_optibench() if p.id == f"optibench/{index}")
    assert any(value == pytest.approx(OBJECTIVES[index], rel=1e-6) for value in problem.answers.values())


def test_the_audit_finds_what_cannot_be():
    def made(question, answers, formulation=None, asks=None):
        return ModelingProblem("p", question, "linear-notable", answers, formulation, asks)

    text = "A cake earns $4, a pie $3. There is a budget of $10."
    fine = audit_problem(made(text, {"Number of cakes": 2.0, "Number of pies": 1.0, "Total profit": 11.0}))
    assert fine.derivable == "yes"
    assert fine.suspicions == ()
    beyond = audit_problem(made(text, {"Total profit": 1000.0}))
    assert "at most 13.3333" in beyond.suspicions[0]
    assert beyond.tie == "no"
    half = audit_problem(made(text, {"Number of cakes": 2.5}))
    assert "counts things" in half.suspicions[0]
    assert audit_problem(made(text, {"Number of acres of rye": 2.5})).suspicions == ()
    noisy = audit_problem(made(text, {"x": 0.4998083998257366, "y": 0.5}))
    assert noisy.noise == pytest.approx(1.916e-4, rel=1e-3)
    assert noisy.digits == 16
    assert audit_problem(made(text, {"x": 1 / 3})).noise == 0
    known = bakery()
    assert audit_problem(known).derivable == "yes"
    assert audit_problem(known).tie == "no"
    answers = {**known.answers, "The total earned": 401.0}
    wrong = made(known.question, answers, known.formulation, known.asks)
    assert audit_problem(wrong).derivable == "no"
    tied = Formulation(whole("ab"), "maximize", "a + b", ("a + b <= 3",))
    assert (
        audit_problem(made(text, {"a": 3.0, "The total": 3.0}, tied, {"a": "a", "The total": "objective"})).tie == "yes"
    )


def test_the_audit_is_a_file_of_its_own_without_the_data(tmp_path):
    listed = [bakery(), ModelingProblem("q", "Secret text.", "linear-table", {"Number of cakes": 2.5})]
    summary = write_audit(listed, tmp_path / "audit.json")
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text)["summary"] == summary
    assert "Secret" not in text
    assert summary["suspected"] == ["q"]
    assert list(exclusions(audit(listed))) == ["q"]
    assert os.listdir(tmp_path) == ["audit.json"]


@needs_data
def test_the_audit_of_the_benchmark():
    entries = audit(load_optibench())
    summary = summarize(entries)
    assert summary["problems"] == 605
    assert summary["derivable"]["yes"] > 200
    assert "at most 30000" in entries["optibench/129"].suspicions[0]
    assert entries["optibench/13"].noise > 1e-4
    assert len(summary["suspected"]) < 20
