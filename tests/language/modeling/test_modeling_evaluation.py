"""Evaluation: exact shares end to end, code pass, intervals, pass@k, workers, resuming after a kill."""

import json
import math
from itertools import combinations

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Scripted
from optimand.language.modeling.benchmarks.evaluation import evaluate, pass_at_k, share
from optimand.language.modeling.benchmarks.reference import bakery
from optimand.language.modeling.execution import Attempt, ModelingProblem, open_sandbox
from optimand.language.modeling.modelers.modelers import ZeroShot

PROGRAM = "print('-' * 10)\nprint('The number of pots: {}')"


def problems(count):
    kinds = ("linear-notable", "linear-table", "nonlinear-notable", "nonlinear-table")
    return [
        ModelingProblem(f"p{i}", f"Problem {i}?", kinds[i % 4], {"The number of pots": float(i)}) for i in range(count)
    ]


class Known:
    """Solves the problems whose number is in a set, without running anything."""

    name = "known"

    def __init__(self, right, limit=None):
        self.right, self.limit, self.calls = right, limit, 0

    def solve(self, problem, sample=0):
        if self.calls == self.limit:
            raise BudgetExceeded("spent")
        self.calls += 1
        index = int(problem.id[1:])
        value = float(index) if self.right(index, sample) else -1.0
        return Attempt("", "", {"number of pots": value}, "optimal")


def test_a_scripted_model_gets_exactly_its_share_and_failures_are_counted(solver_sandbox):
    def reply(messages, **options):
        index = int(messages[-1]["content"].rsplit("Problem ", 1)[1].split("?")[0])
        if index % 10 == 0:
            return "```python\nprint(1 / 0)\n```"
        if index % 10 == 1:
            return "```python\nprint('----------')\nprint('No optimal solution was found.')\n```"
        return f"```python\n{PROGRAM.format(index if index % 2 else index + 1)}\n```"

    chat = Scripted(reply)
    report = evaluate(ZeroShot(chat, sandbox=solver_sandbox), problems(50))
    right = sum(i % 10 != 1 and i % 2 == 1 for i in range(50))
    assert report.accuracy.value == right / 50
    assert report.accuracy.count == 50
    assert report.code_pass.value == 45 / 50
    assert report.confusion["run_error"] == {"right": 0, "wrong": 5}
    assert report.confusion["not_optimal"] == {"right": 0, "wrong": 5}
    assert report.confusion["optimal"]["right"] == right
    assert len(report.failures) == 50 - right
    assert report.usage.calls == 50
    assert sum(share.count for share in report.by_type.values()) == 50
    assert json.dumps(report.to_dict())


def test_a_timeout_is_a_failed_code_pass():
    reply = "```python\nwhile True: pass\n```"
    with open_sandbox(cpu_s=0.3, wall_s=0.6) as sandbox:
        report = evaluate(ZeroShot(Scripted([reply]), sandbox=sandbox), problems(1))
    assert report.code_pass.value == 0
    assert list(report.confusion) == ["timeout"]


def test_workers_do_not_change_the_report():
    solver = Known(lambda i, s: i % 3 == 0)
    reports = [evaluate(solver, problems(20), workers=workers, samples=2).to_dict() for workers in (1, 4)]
    assert reports[0] == reports[1]


def test_pass_at_k_is_the_share_of_subsets_with_a_hit():
    for n, c, k in ((5, 2, 3), (4, 0, 2), (4, 4, 1), (6, 1, 6)):
        hits = [any(i < c for i in chosen) for chosen in combinations(range(n), k)]
        assert pass_at_k(n, c, k) == pytest.approx(sum(hits) / len(hits))
    report = evaluate(Known(lambda i, s: s < i), problems(4), samples=3)
    assert report.accuracy.value == pytest.approx((0 + 1 + 2 + 3) / 12)
    assert report.pass_at(1) == pytest.approx(report.accuracy.value)
    assert report.pass_at(3) == pytest.approx(3 / 4)
    assert report.pass_at(2) == pytest.approx((0 + 2 / 3 + 1 + 1) / 4)
    with pytest.raises(ValueError, match="k must be"):
        report.pass_at(4)


def test_wilson_intervals():
    found = share(267, 342)
    z = 1.959963984540054
    for end in (found.low, found.high):  # the ends solve (p - end)^2 = z^2 end (1 - end) / n
        assert (267 / 342 - end) ** 2 == pytest.approx(z * z * end * (1 - end) / 342)
    assert share(0, 10).low == 0
    assert share(10, 10).high == 1
    assert math.isnan(share(0, 0).value)


def test_a_killed_evaluation_goes_on_and_gives_the_same_report(tmp_path):
    path, listed = tmp_path / "deep" / "run.jsonl", problems(12)
    whole = evaluate(Known(lambda i, s: i % 2), listed).to_dict()
    with pytest.raises(BudgetExceeded):
        evaluate(Known(lambda i, s: i % 2, limit=5), listed, resume=path)
    assert len(path.read_text().splitlines()) == 6
    with path.open("a") as file:
        file.write('{"problem": "p5", "type": "lin')  # a kill in the middle of a line
    again = Known(lambda i, s: i % 2)
    seen = []
    report = evaluate(again, listed, resume=path, progress=lambda done, total, record: seen.append((done, total)))
    assert report.to_dict() == whole
    assert again.calls == 7
    assert seen[0] == (6, 12)
    assert seen[-1] == (12, 12)
    third = Known(lambda i, s: i % 2)
    assert evaluate(third, listed, resume=path).to_dict() == whole
    assert third.calls == 0


def test_records_of_something_else_are_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    evaluate(Known(lambda i, s: True), problems(3), resume=path)
    with pytest.raises(OptimandError, match="another"):
        evaluate(Known(lambda i, s: True), problems(4), resume=path)
    with pytest.raises(OptimandError, match="another"):
        evaluate(Known(lambda i, s: True), problems(3), resume=path, grading="official")
    path.write_text("hello\n")
    with pytest.raises(OptimandError, match="no records"):
        evaluate(Known(lambda i, s: True), problems(3), resume=path)


def test_bad_arguments():
    twice = [problems(1)[0], problems(1)[0]]
    with pytest.raises(OptimandError, match="distinct"):
        evaluate(Known(lambda i, s: True), twice)
    for change, what in (({"workers": 0}, "workers"), ({"samples": 0}, "samples"), ({"grading": "x"}, "grading")):
        with pytest.raises(ValueError, match=what):
            evaluate(Known(lambda i, s: True), problems(1), **change)
    with pytest.raises(TypeError, match="solve"):
        evaluate(object(), problems(1))


def test_records_of_another_model_or_temperature_are_not_taken_for_ones_own(tmp_path):
    path = tmp_path / "run.jsonl"
    solver = Known(lambda i, s: True)
    evaluate(solver, problems(3), resume=path)
    for change in ({"temperature": 0.7}, {"chat": Scripted([], name="another")}):
        other = Known(lambda i, s: True)
        for key, value in change.items():
            setattr(other, key, value)
        with pytest.raises(OptimandError, match="another evaluation"):
            evaluate(other, problems(3), resume=path)


def test_a_function_from_a_text_to_a_program_can_be_evaluated():
    known = bakery()

    def written(text):
        return "```python\nprint('-' * 10)\n" + "".join(f"print({q!r}, ':', {a})\n" for q, a in known.answers.items())

    report = evaluate(written, [known])
    assert report.solver == "written"
    assert report.accuracy.value == 1.0
    with pytest.raises(TypeError, match="a function text -> program"):
        evaluate(dict, [known])
    with pytest.raises(TypeError, match="a function text -> program"):
        evaluate(3, [known])
