"""The roles one by one, with scripted replies: statuses, retrieval, repair, exploration, scores, search, merging."""

import json

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import Scripted
from optimand.language.modeling.alphaopt import (
    AlphaOPT,
    ExperienceLibrary,
    Insight,
    Task,
)
from optimand.language.modeling.alphaopt.asking import ROLES, Asker
from optimand.language.modeling.alphaopt.context import Record, TaskOutcome
from optimand.language.modeling.alphaopt.extracted_insights import ExtractedInsight, merged, read_extracted
from optimand.language.modeling.alphaopt.extraction import fix_blocks
from optimand.language.modeling.alphaopt.programmer import Trial
from optimand.language.modeling.alphaopt.retriever import Retriever
from optimand.language.modeling.alphaopt.running import Outcome, Runner, extract_code, read_values
from optimand.language.modeling.alphaopt.tasks import agrees, as_task, as_tasks
from optimand.papers.alphaopt.scenarios import Printed

LABEL = {"General Formulation": {"Variable Definition": ("Explicit Bounds",)}}
CODE_LABEL = {"Code Implementation": {"Solver & API Syntax": ("Strict Inequalities",)}}
TASK = Task.of("t", "Find the largest value below four.", 3.0)


def made(number=0, taxonomy=LABEL, **more):
    return Insight(taxonomy, f"This insight applies when case {number}.", "When the problem …", **more)


def printing(values):
    """A runner whose programs "print" what their text says: a number, an error, nothing."""

    def execute(code):
        word = code.strip().split("#")[0].strip()
        if word in values:
            return values[word]
        return Printed("optimal", {"objective": float(word.removeprefix("print(").rstrip(")"))})

    return Runner(execute)


# programs and values


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ('print("-" * 10)\nprint("objective: 3.0000001")', "optimal"),
        ('print("-" * 10)\nprint("objective: 3.2")', "not_optimal"),
        ('print("-" * 10)\nprint("hello")', "failure_solve"),
        ('print("-" * 10)\nprint("No optimal solution was found.")', "failure_solve"),
        ("import time\ntime.sleep(60)", "solver_time_out"),
        ("print(1 / 0)", "run_error"),
        ("import socket", "run_error"),
        ("print(", "parse_error"),
        ("", "parse_error"),
    ],
)
def test_the_six_statuses_from_real_programs(program, status):
    from optimand.language.modeling.alphaopt.running import sandbox_runner
    from optimand.language.sandbox import SandboxedPython

    with SandboxedPython(wall_s=1.0) as sandbox:
        runner, own = sandbox_runner(sandbox)
        assert own is None
        assert runner.run(TASK, program).status == status


def test_values_agree_by_a_relative_tolerance():
    assert agrees(10_000.9, 10_000)
    assert not agrees(10_001.1, 10_000)
    assert agrees(5e-7, 0)
    assert not agrees(1e-3, 0)
    assert agrees(2.9999999, 3, tolerance=0)  # integers are rounded
    assert not agrees(3.05, 3)
    assert agrees(3.05, 3, official=True)
    assert not agrees(-3, 3)
    assert agrees(-3, 3, either_sign=True)
    assert not agrees(float("nan"), 3)
    assert not agrees(float("inf"), 3)
    with pytest.raises(ValueError, match="tolerance must be"):
        agrees(1, 1, tolerance=-1)


def test_values_are_read_by_name():
    assert read_values({"Objective value": 3}, TASK) == {"objective": 3.0}
    assert read_values({"x": 1.0, "obj": 2.0}, TASK) == {"objective": 2.0}
    assert read_values({"anything": 4.0}, TASK) == {"objective": 4.0}
    assert read_values({"x": 1.0, "y": 2.0}, TASK) is None
    task = Task("q", "text", {"number of cakes": 1.0, "total profit": 2.0})
    assert read_values({"Total profit": 2.0, "number_of_cakes": 1.0}, task) == {
        "number of cakes": 1.0,
        "total profit": 2.0,
    }
    assert read_values({"total profit": 2.0}, task) is None


def test_a_reply_without_a_program_is_empty():
    assert extract_code("I am sorry.") == ""
    assert extract_code("import x\n") == "import x\n"
    assert extract_code("```python\na = 1\n```\ntext") == "a = 1\n"


def test_equal_programs_run_once_and_stopped_ones_again():
    calls = []

    def execute(code):
        calls.append(code)
        return Printed("timeout" if code == "slow" else "optimal", {"objective": 3.0})

    runner = Runner(execute)
    for code in ("a", "a", "slow", "slow"):
        runner.run(TASK, code)
    assert calls == ["a", "slow", "slow"]


def test_bad_tasks_are_refused():
    with pytest.raises(OptimandError, match="two tasks have the id 'a'"):
        as_tasks([Task.of("a", "x", 1), Task.of("a", "y", 1)])
    with pytest.raises(OptimandError, match="task 'a' has no ground truth"):
        as_tasks([Task.of("a", "x")], answered=True)
    with pytest.raises(OptimandError, match="no description"):
        Task.of("a", " ", 1)
    with pytest.raises(OptimandError, match="answer 'objective' of task 'a'"):
        Task("a", "x", {"objective": "many"})
    with pytest.raises(OptimandError, match="answer 'objective' of task 'a' must be a number, got 'many'"):
        as_task({"task_id": "a", "description": "x", "ground_truth": "many"})
    with pytest.raises(OptimandError, match="needs a description"):
        as_task({"question": "x"})
    with pytest.raises(OptimandError, match="must be a Task"):
        as_task(3)
    assert as_task({"task_id": 4, "description": "d", "ground_truth": 1}).id == "4"


# roles


def test_every_role_is_named_and_has_a_model_and_a_temperature():
    names = "programmer.formulate programmer.code retriever.match retriever.check diagnostic.issues diagnostic.states "
    names += "diagnostic.validate diagnostic.program extractor.formulation extractor.program extractor.merge "
    names += "extractor.online_merge evolver.negative evolver.unretrieved evolver.refine explorer"
    assert set(names.split()) <= set(ROLES)
    base, advanced = Scripted(["b"]), Scripted(["a"])
    asker = Asker(base, advanced, seed=4)
    asker.text("programmer.code", "do", {"Task": "x"}, ("t",))
    asker.text("explorer", "do", {"Task": "x", "Empty": ""}, ("t",))
    assert base.calls[0][1]["role"] == "alphaopt.programmer.code"
    assert advanced.calls[0][1]["temperature"] == 0.7
    assert "Empty" not in advanced.calls[0][0][1]["content"]
    assert asker.by_role["explorer"].calls == 1
    assert asker.seed_of("explorer", ("t", 1)) != asker.seed_of("explorer", ("t", 2))


def retriever(replies, **options):
    model = Scripted(replies)
    return Retriever(Asker(model), **options), model


def test_conditions_are_checked_in_batches_of_thirty_and_unknown_ids_are_dropped():
    pool = [made(n, insight_id=n) for n in range(1, 66)]
    replies = [
        json.dumps({"applies": [{"id": str(n), "reason": ""}, {"id": "999", "reason": ""}]}) for n in (2, 31, 65)
    ]
    found, model = retriever(replies)
    assert [i.insight_id for i in found.check(TASK, pool, ())] == [2, 31, 65]
    assert len(model.calls) == 3
    assert all(options["temperature"] == 0 for _, options in model.calls)


def test_a_malformed_batch_is_dropped_but_for_the_nearest_or_kept():
    pool = [made(n, insight_id=n) for n in range(1, 9)]
    pool[6] = Insight(LABEL, "This insight applies when the largest value is wanted.", "e", insight_id=7)
    drop, model = retriever(["nonsense"] * 9, fallback=1)
    assert [i.insight_id for i in drop.check(TASK, pool, ())] == [7]
    assert len(model.calls) == 3  # two retries
    keep, model = retriever(["nonsense"] * 9, malformed="keep")
    assert len(keep.check(TASK, pool, ())) == 8
    assert len(model.calls) == 6  # five retries


def test_the_nearest_can_be_found_by_an_embedding():
    pool = [made(n, insight_id=n) for n in range(1, 9)]

    def embed(texts):
        return [[1.0, "case 5" in text or text == TASK.description, 0.2] for text in texts]

    drop, _ = retriever(["nonsense"] * 9, fallback=1, embed=embed)
    assert [i.insight_id for i in drop.check(TASK, pool, ())] == [5]
    library = ExperienceLibrary(insights=pool)
    found = library.retrieve(text=TASK.description, k=2, embed=embed)
    assert [i.insight_id for i in found] == [5, 1]
    assert ExperienceLibrary().retrieve(text="x", embed=embed) == []
    with AlphaOPT(Scripted([]), runner=Runner(print), embed=embed) as alpha:
        assert alpha.context.retriever.embed is embed
    for bad in (lambda texts: [[1.0]], lambda texts: [[float("nan")] for _ in texts], lambda texts: [1.0] * len(texts)):
        with pytest.raises(OptimandError, match="embed must give a finite vector for each of 9 texts"):
            library.retrieve(text="x", embed=bad)


def test_the_quick_match_drops_unknown_labels_and_can_be_left_out():
    library = ExperienceLibrary(insights=[made(1), made(2, {"Domain Modeling": {"Routing": ("Flow Conservation",)}})])
    labels = [
        {"stage": "General Formulation", "level1": "variable definition", "level2": ["EXPLICIT BOUNDS", "Nothing"]},
    ]
    check = json.dumps({"applies": [{"id": "1", "reason": ""}, {"id": "2", "reason": ""}]})
    found, model = retriever([json.dumps({"labels": labels}), check])
    assert [i.insight_id for i in found.for_formulation(TASK, library, ())] == [1]
    found, model = retriever([check], use_taxonomy=False)
    assert [i.insight_id for i in found.for_formulation(TASK, library, ())] == [1, 2]
    assert len(model.calls) == 1
    found, model = retriever([])
    assert found.for_program(TASK, "f", library, ()) == []  # nothing of that stage: no call


def learner(replies, runner, **options):
    return AlphaOPT(Scripted(replies), runner=runner, workers=1, **options)


@pytest.mark.parametrize(("replies", "calls", "found"), [("1 2 3", 3, "3"), ("1 2 1 2 1 3", 5, None)])
def test_exploration_ends_with_the_right_program_or_after_five(replies, calls, found):
    codes = [f"```python\n{number}\n```" for number in replies.split()]
    task = Task.of("t", "The number 3 is in the text.", 3.0)
    with learner(codes, printing({})) as alpha:
        outcome = TaskOutcome("t", Record())
        trial = Trial("f", "1", Outcome("not_optimal", {"objective": 1.0}))
        program = alpha.extractor.gold(task, trial, outcome, ())
    assert len(alpha.asker.base.calls) == calls
    assert (program or "").strip() == (found or "")
    assert outcome.record.program == program
    assert "3.0" not in alpha.asker.base.calls[0][0][1]["content"]  # the truth is not told


def test_exploration_does_not_take_a_program_that_states_the_answer():
    with learner(["```python\nprint(3)\n```"] * 5, printing({})) as alpha:
        trial = Trial("f", "1", Outcome("not_optimal", {"objective": 1.0}))
        found, calls = alpha.extractor.explore(TASK, trial, ())
    assert (found, calls) == (None, 5)
    assert "states a result" in alpha.asker.base.calls[1][0][1]["content"]


def test_self_debugging_repairs_and_stops():
    replies = ["f", "```\nbad # 1\n```", "```\nbad # 2\n```", "```\n3 # ok\n```"]
    runner = printing({"bad": Printed("run_error", {}, "NameError: y")})
    with learner(replies, runner) as alpha:
        attempt = alpha.solve("Find the largest value below four.")
    assert attempt.values == {"objective": 3.0}
    assert attempt.rounds == 3
    assert attempt.usage.calls == 4
    assert attempt.notes["formulation"] == "f"


def test_marked_repairs_are_read_in_every_form():
    code = "a\n#=== one\nb\n#=== two\nc\n#===\nd\n# ==== three ====\ne"
    assert fix_blocks(code) == ["one\nb", "two\nc", "three\ne"]
    assert fix_blocks("no marks") == []


def test_extracted_insights_need_known_labels_or_definitions():
    library = ExperienceLibrary()
    entry = {
        "stage": "Domain Modeling", "level1": "network flow", "level2": ["FLOW conservation", "Pipes"],
        "new_labels": [],
        "condition": "c", "explanation": "e", "example": "",
    }  # fmt: skip
    assert "unknown label Domain Modeling / Network Flow / Pipes" in read_extracted(entry, library.taxonomy, "t", 0)
    label = {"level2": "pipes", "definition": "Pipes.", "condition": "When there are pipes."}
    new = read_extracted({**entry, "new_labels": [label]}, library.taxonomy, "t", 2)
    assert new.insight.level2 == ("Flow Conservation", "Pipes")
    assert new.insight.iteration == 2
    assert library.add(new.insight, new.definitions).insight_id == 1
    assert ExtractedInsight.from_dict(new.to_dict()) == new
    assert isinstance(
        read_extracted({**entry, "level2": ["Flow Conservation"], "condition": " "}, library.taxonomy, "t", 0), str
    )


def test_only_insights_of_one_area_are_merged_and_the_lineage_is_kept():
    texts = {"condition": "c", "explanation": "e", "example": ""}
    first, second = made(1, insight_id=1, sources=("a",)), made(2, insight_id=2, sources=("b", "a"), version=3)
    both = merged([first, second], texts, 0)
    assert (both.sources, both.parents, both.version) == (("a", "b"), (1, 2), 4)
    assert merged([first, made(3, CODE_LABEL)], texts, 0) is None


def test_programs_for_highs_run():
    from optimand.language.modeling.alphaopt.running import sandbox_runner

    code = (
        "from scipy.optimize import milp, LinearConstraint\n"
        "r = milp([-1.0], constraints=LinearConstraint([[1.0]], ub=[3.0]))\n"
        'if r.status == 0:\n    print("-" * 10)\n    print("objective:", -r.fun)\n'
    )
    runner, sandbox = sandbox_runner(solver="highs")
    with sandbox:
        assert runner.run(TASK, code).status == "optimal"
    with AlphaOPT(Scripted([]), runner=runner, solver="highs") as alpha:
        assert "milp" in alpha.context.programmer.code_prompt


# arguments


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"solver": "gurobi"}, ValueError, "solver must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"attempts": 1.5}, TypeError, "attempts must be"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"malformed": "guess"}, ValueError, "malformed must be"),
        ({"approve": "yes"}, ValueError, "approve must be"),
        ({"workers": 0}, ValueError, "workers must be"),
        ({"variant": 3}, TypeError, "no argument 'variant'"),
    ],
)
def test_bad_arguments_are_named(options, error, says):
    with pytest.raises(error, match=says):
        AlphaOPT(Scripted([]), runner=Runner(print), **options)
