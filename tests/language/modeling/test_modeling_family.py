"""The family: splits that share nothing, what is recorded and charged, resuming, adopting users' modelers, solving."""

import hashlib
import json

import pytest
from tests.running import entry, reader

import optimand.language.modeling.methods  # noqa: F401 (registers them)
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Scripted
from optimand.language.modeling import family
from optimand.language.modeling.benchmarks.reference import bakery, workshop
from optimand.language.modeling.execution import Attempt
from optimand.language.modeling.family import adopt, describe
from optimand.language.modeling.loop import Tools, blind, ordered, run
from optimand.language.modeling.problems import ModelingTask, nl4opt_e, optibench, worded_templates
from optimand.papers import get_paper
from optimand.papers.optibench_resocratic import claims

curve = reader("accuracy")


def task(count=8):
    """Copies of the bakery under other names, in three splits."""
    from dataclasses import replace

    def make(rng, budget):
        return {
            split: [replace(bakery(), id=f"{split}{i}") for i in range(count)] for split in ("train", "valid", "test")
        }

    return ModelingTask(name="small", make=make, summary="a bakery")


def go(method, budget=8, sandbox=None, chat=None, recorder=None, problem=None, **hyper):
    recorder = recorder or Recorder(budget)
    run(
        problem or task(), method, hyper, seed=SeedTree(0), budget=budget, recorder=recorder, chat=chat, sandbox=sandbox
    )
    return recorder


def test_splits_of_templates_share_no_problem_and_follow_the_seed():
    problem = worded_templates(train=6)
    splits = problem.splits(SeedTree(3).numpy(), 8)
    assert [len(splits[s]) for s in ("train", "valid", "test")] == [6, 2, 8]
    questions = [p.question for part in splits.values() for p in part]
    assert len(set(questions)) == len(questions)
    again = problem.splits(SeedTree(3).numpy(), 8)
    assert [p.question for p in again["test"]] == [p.question for p in splits["test"]]
    other = problem.splits(SeedTree(4).numpy(), 8)
    assert [p.question for p in other["test"]] != [p.question for p in splits["test"]]
    pinned = worded_templates(instance=1)
    assert pinned.name == "worded-templates:types=all,train=80,instance=1"
    assert {p.type for p in worded_templates(types="linear", train=4).splits(SeedTree(0).numpy(), 4)["test"]} == {
        "linear-notable", "linear-table",
    }  # fmt: skip
    with pytest.raises(ValueError, match="types"):
        worded_templates(types="cubic")


def test_problems_of_files_say_what_they_need(monkeypatch):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    for make in (optibench, nl4opt_e):
        task = make()  # it can be listed and shown without its files
        assert task.summary
        for use in (lambda task=task: task.solved, lambda task=task: task.splits(SeedTree(0).numpy(), 4)):
            with pytest.raises(OptimandError, match="set OPTIMAND_DATA"):
                use()
    with pytest.raises(ValueError, match="grading"):
        optibench(grading="x")


def test_a_method_sees_no_answers():
    seen = blind(workshop())
    assert seen.question == workshop().question
    assert list(seen.answers) == list(workshop().answers)
    assert set(seen.answers.values()) == {0.0}
    assert seen.formulation is None
    assert seen.asks is None


def test_order_of_a_run():
    assert ordered(["v"], ["t1", "t2", "t3", "t4", "t5"], 6) == [
        ("valid", "v"), ("test", "t1"), ("test", "t2"), ("test", "t3"), ("test", "t4"), ("test", "t5"),
    ]  # fmt: skip
    assert len(ordered(["v"], ["t"], 9)) == 2


def test_accuracy_so_far_costs_and_notes_are_recorded(solver_sandbox):
    good = f"```python\n{bakery().formulation.program()}```"
    replies = [good, good, "```python\nprint(1 / 0)\n```", good, good, good, good, good]
    names = {"c": "chestnut", "v": "vanilla"}
    replies = [reply.replace("'c'", f"'{names['c']}'").replace("'v'", f"'{names['v']}'") for reply in replies]
    chat = Scripted(replies)
    recorder = go(entry("zero-shot"), sandbox=solver_sandbox, chat=chat)
    test, valid = curve(recorder), curve(recorder, split="valid")
    assert [at for at, _ in valid] == [1, 5, 8]
    assert [value for _, value in valid] == [1, 1, 1]
    assert test[-1] == (8, pytest.approx(5 / 6))
    assert test[0] == (2, 1)
    assert curve(recorder, "code_pass")[-1] == (8, pytest.approx(5 / 6))
    assert recorder.costs["llm_calls"] == 8
    assert recorder.costs["llm_tokens"] > 8
    assert recorder.notes["solved_by_type"] == "linear-notable 5/6"
    assert recorder.notes["statuses"] == "optimal 5, run_error 1"
    assert recorder.costs["seconds_per_unit"] > 0


def test_a_method_learns_from_train_and_pays(solver_sandbox):
    class Learner:
        def __init__(self, chat):
            self.chat = chat

        def learn(self, problems):
            self.known = {p.question for p in problems if p.answers}
            self.chat.chat([{"role": "user", "content": "note"}], role="learn")

        def solve(self, problem):
            return Attempt("", "", {"chestnut cakes": 0.0, "vanilla cakes": 100.0, "objective": 400.0}, "optimal")

    method = adopt("learner", Learner)
    recorder = go(method, 4, solver_sandbox, Scripted(["ok"], repeat=True))
    assert recorder.costs["llm_calls"] == 1
    assert recorder.last("test", "accuracy") == 1
    facts = describe(method)
    assert (facts["asks a language model"], facts["learns from examples first"]) == ("yes", "yes")
    assert recorder.notes["language_model"]


def test_a_spent_budget_ends_the_run_with_what_is_done(solver_sandbox):
    calls = []

    def reply(messages, **options):
        calls.append(1)
        if len(calls) > 3:
            raise BudgetExceeded("spent")
        return "```python\nprint(1)\n```"

    recorder = go(entry("zero-shot"), sandbox=solver_sandbox, chat=Scripted(reply))
    assert recorder.notes["stopped"] == "spent"
    assert recorder.costs["llm_calls"] == 3


class Stateful:
    """A user's modeler whose answers depend on how many problems it has had, before and after learning."""

    def __init__(self, *, chat, sandbox, good="pots"):
        self.chat, self.sandbox, self.seen = chat, sandbox, 0

    def learn(self, problems):
        self.chat.chat([{"role": "user", "content": "learn"}])
        self.seen = len(problems)

    def solve(self, problem):
        self.seen += 1
        text = self.chat.chat([{"role": "user", "content": f"{self.seen}"}]).text
        return Attempt(text, "", bakery().answers if self.seen % 3 else {}, "optimal")


@pytest.mark.parametrize(
    "name", ["zero-shot", "few-shot", "structured", "guided", "nearest-example", "alphaopt", "a user's class"]
)
def test_a_resumed_run_gives_what_an_unbroken_one_gives(name, solver_sandbox, tmp_path):
    method = adopt("mine", Stateful) if name == "a user's class" else entry(name)
    prompts = []

    def reply(messages, **options):
        prompts.append(json.dumps([messages, options], default=str))
        right = int(hashlib.sha256(prompts[-1].encode()).hexdigest(), 16) % 2
        if name in ("zero-shot", "few-shot"):
            return f"```python\n{bakery().formulation.program()}```" if right else "no"
        return json.dumps(bakery().formulation.to_dict()) if right else "{}"

    class Cutting(Recorder):
        def save(self, state):
            super().save(state)
            if len(self.records) == 6:  # of three problems
                raise KeyboardInterrupt

    def went(recorder):
        one = {"workers": 1} if name == "alphaopt" else {}  # so that the prompts have an order
        return go(method, 6, solver_sandbox, Scripted(reply), recorder, **one)

    whole, asked = went(None), list(prompts)
    prompts.clear()
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        went(Cutting(6, checkpoint=path, checkpoint_every=0.0))
    before = len(prompts)
    resumed = went(Recorder(6, checkpoint=path, checkpoint_every=1e9))
    assert prompts == asked
    assert before < len(asked) or name == "nearest-example"
    assert curve(resumed) == curve(whole)
    assert resumed.costs["llm_calls"] == whole.costs["llm_calls"] == len(asked)


def test_a_modeler_that_cannot_be_kept_starts_again(solver_sandbox, tmp_path):
    class Unkept(Stateful):
        def __init__(self, *, chat, sandbox):
            super().__init__(chat=chat, sandbox=sandbox)
            self.generator = iter(x for x in range(9))

    path = tmp_path / "checkpoint"
    recorder = Recorder(4, checkpoint=path, checkpoint_every=0.0)
    go(adopt("mine", Unkept), 4, solver_sandbox, Scripted(["x"], repeat=True), recorder)
    assert not path.exists()


def test_methods_of_the_catalog_build_and_the_baseline_needs_no_model(solver_sandbox, monkeypatch):
    problem = worded_templates(types="nonlinear-table", train=40, instance=0)
    recorder = go(entry("nearest-example"), 8, solver_sandbox, problem=problem)
    assert recorder.costs["llm_calls"] == 0
    assert recorder.last("test", "code_pass") > 0.5
    tools = Tools(solver_sandbox, 0, Scripted([]))
    for name in ("zero-shot", "few-shot", "structured", "guided"):
        method = entry(name)
        solver = method.build(tools, **method.defaults)
        assert callable(solver.solve)
        assert solver.seed >= 0
        assert set(method.space) <= set(method.defaults)
    weak = Tools(solver_sandbox, 0, Scripted([], name="tiny (embedded)"))
    assert entry("structured").build(weak).name == "guided"
    assert entry("structured").build(tools).name == "structured"
    assert describe(entry("nearest-example"))["asks a language model"] == "no"
    monkeypatch.setenv("OPTIMAND_LLM", "http://localhost:1/v1#m")
    assert describe(entry("few-shot")) == {"asks a language model": "yes", "learns from examples first": "no"}
    monkeypatch.setenv("OPTIMAND_LLM", "embedded")
    assert describe(entry("few-shot"))["model here"].startswith("the embedded one")
    assert "model here" not in describe(entry("nearest-example"))


def test_users_functions_and_classes_are_adopted(solver_sandbox):
    def always(text, vanilla=100):
        """Says what it is told."""
        return (
            f"print('-' * 10)\nprint('chestnut cakes: 0')\nprint('vanilla cakes: {vanilla}')\nprint('objective: 400')"
        )

    method = adopt("always", always)
    assert method.defaults == {"vanilla": 100}
    assert method.summary == "Says what it is told."
    assert go(method, 4, solver_sandbox).last("test", "accuracy") == 1
    assert go(method, 4, solver_sandbox, vanilla=3).last("test", "accuracy") == 0

    class Mine:
        def __init__(self, sandbox, seed, chat, temperature=0.5):
            self.given = sandbox, seed, chat, temperature

        def solve(self, problem):
            return Attempt("", "", {}, "no_values")

    method = adopt("mine", Mine)
    assert method.defaults == {"temperature": 0.5}
    assert "temperature" in method.space
    assert go(method, 4, solver_sandbox, Scripted([])).last("test", "accuracy") == 0


@pytest.mark.parametrize(
    ("obj", "what"),
    [
        (3, "expected a class or function"),
        (lambda text: 3, "must return the text of a program"),
        (lambda: "x", "takes no text"),
        (lambda text, size: "x", "no default for size"),
        (lambda chat: object(), "solve"),
        (lambda text: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_adopted_is_said(obj, what):
    with pytest.raises(OptimandError, match=what):
        adopt("bad", obj)


def test_an_answer_that_is_no_attempt_is_an_error(solver_sandbox):
    class Wrong:
        def __init__(self, seed):
            pass

        def solve(self, problem):
            return 42

    with pytest.raises(OptimandError, match="must return an Attempt"):
        go(adopt("wrong", Wrong), 4, solver_sandbox)


def test_the_hook_of_the_command_gives_plain_values(monkeypatch):
    good = json.dumps(bakery().formulation.to_dict())
    chats = []

    def opened(spec, **options):
        chats.append(spec)
        return Scripted([good, good])

    monkeypatch.setattr("optimand.language.llm.choosing.open_chat", opened)
    found = family.solve(bakery().question, model="replay:x", attempts=2, seed=0, require="any", on_event=None)
    assert found["verified"]
    assert chats == ["replay:x"]
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(OptimandError, match="no text"):
        family.solve("", model="replay:x")
    assert len(chats) == 1  # no model is opened for nothing


def test_a_missing_solver_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptimandError, match="python -m pip install pyscipopt"):
        family.solve("A problem?")


# The start of the solver is timed, and templates are checked on fewer items beside the other claims on synthesis.
ELSEWHERE = (
    "few-shot",
    "nonlinear",
    "solver-start",
    "templates-linear",
    "templates-linear-table",
    "templates-nonlinear",
)
CHECKED = [claim for claim in claims.CLAIMS if claim.check is not None and claim.name not in ELSEWHERE]


@pytest.mark.parametrize("claim", CHECKED, ids=lambda c: c.name)
def test_claims_hold_here(claim):
    finding = claim.check()
    assert finding.holds, f"{finding.value} ({finding.detail})"
    assert finding.value


def test_claims_belong_to_the_paper_and_say_why_they_cannot_be_checked():
    assert get_paper(claims.PAPER).arxiv == "2407.09887"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)
    for claim in claims.CLAIMS:
        assert claim.check is None or not claim.untestable
