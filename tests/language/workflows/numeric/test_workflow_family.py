"""The family's run loop, problems, peers: what is counted, what is recorded, resuming, adopting users' optimizers."""

import hashlib
import json
import math

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.language.workflows.methods
import optimand.language.workflows.problems  # noqa: F401 (these two register what is run)
from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Scripted
from optimand.language.workflows.family import adopt, describe
from optimand.language.workflows.instances import battleship as game
from optimand.language.workflows.instances import repair, traffic
from optimand.language.workflows.instances.numeric_graphs import NumericGraph, output_range, random_graph
from optimand.language.workflows.loop import Hidden, Workflow, evaluate
from optimand.language.workflows.optimizers.optimizer import Optimizer
from optimand.language.workflows.optimizers.optoprime import OptoPrime
from optimand.language.workflows.peers import Told
from optimand.language.workflows.problems import (
    WorkflowProblem,
    battleship,
    digits_pipeline,
    function_repair,
    numeric_workflow,
    traffic_lights,
)
from optimand.language.workflows.tracing.bundles import bundle
from optimand.language.workflows.tracing.graph import trace_of
from optimand.language.workflows.tracing.nodes import ParameterNode

run, curve = runner(12), reader("error")
SCORED = ("heuristic", "heuristic-masked", "random-values", "nelder-mead", "tpe")


def line(guide=lambda y: f"score: {-abs(y - 0.3)}", forward=lambda x: x * 2, **about):
    def make(rng):
        x = ParameterNode(0.9, name="x", minimum=-1.0, maximum=1.0)
        return Workflow(
            parameters=(x,), forward=lambda: forward(x), guide=guide, measure=lambda y: abs(y - 0.3), **about
        )

    return WorkflowProblem(name="line", make=make, summary="a line")


@pytest.mark.parametrize("name", ["heuristic", "heuristic-masked", "random-values"])
def test_directional_methods_record_each_evaluation_and_never_get_worse(name):
    values = curve(run(numeric_workflow(), entry(name), seed=5))
    assert [at for at, _ in values] == list(range(1, 13))
    errors = [error for _, error in values]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("name", SCORED)
def test_methods_improve_a_score(name):
    values = curve(run(line(), entry(name), budget=25))
    assert values[-1][1] < 0.3 * values[0][1]


@pytest.mark.parametrize("name", ["nelder-mead", "tpe"])
def test_optimizers_of_scores_say_that_they_need_one(name):
    with pytest.raises(OptimandError, match="needs a score"):
        run(numeric_workflow(), entry(name))


class CutError(Exception):
    pass


def cut_in_the_middle(problem, method, budget, folder):
    """What a run records that is cut off half way, by its checkpoint, and goes on."""

    class Cutting(Recorder):
        def save(self, state):
            super().save(state)
            if len(self.records) >= 4 * (budget // 2):
                raise CutError

    with pytest.raises(CutError):
        run(problem, method, budget=budget,
            recorder=Cutting(budget, checkpoint=folder / "state", checkpoint_every=0.0))  # fmt: skip
    return run(problem, method, budget=budget, recorder=Recorder(budget, checkpoint=folder / "state"))


@pytest.mark.parametrize("name", [*SCORED, "saturation-rule"])
def test_a_run_that_was_cut_off_goes_on_exactly(name, tmp_path):
    problem, budget = traffic_lights(days=1), 14
    curve = reader("wait")
    whole = curve(run(problem, entry(name), budget=budget))
    assert curve(cut_in_the_middle(problem, entry(name), budget, tmp_path)) == whole


def test_a_users_function_of_the_history_goes_on_with_all_of_it(tmp_path):
    def wander(history):
        return {name: value / (1 + 0.1 * len(history)) for name, value in history[-1][0].items()}

    problem, method = line(), adopt("wander", wander)
    whole = curve(run(problem, method, budget=8))
    assert curve(cut_in_the_middle(problem, method, 8, tmp_path)) == whole


@pytest.mark.parametrize("name", ["optoprime", "optoprime-masked", "opro", "textgrad", "optoprime-multi"])
def test_a_run_that_asks_a_model_goes_on_with_the_same_prompts(name, tmp_path, monkeypatch):
    import optimand.language.llm

    prompts = []

    def reply(messages, **options):
        prompts.append(json.dumps(messages))
        digest = int(hashlib.sha256(prompts[-1].encode()).hexdigest()[:8], 16)
        x = -1 + 2 * (digest % 1009) / 1009
        return f'{{"reasoning": "r", "answer": "a", "suggestion": {{"x0": {x}}}}} <improved>{x}</improved>'

    monkeypatch.setattr(optimand.language.llm, "open_chat", lambda spec=None: Scripted(reply))
    problem, budget = numeric_workflow(), 6
    whole = run(problem, entry(name), budget=budget)
    asked, prompts[:] = list(prompts), []
    again = cut_in_the_middle(problem, entry(name), budget, tmp_path)
    assert prompts == asked
    assert curve(again) == curve(whole)
    assert again.costs["llm_calls"] == whole.costs["llm_calls"]


def test_a_run_is_a_function_of_its_seed():
    problem = numeric_workflow(params=3, budget=8)
    a, b, c = (curve(run(problem, entry("heuristic-masked"), seed, budget=8)) for seed in (1, 1, 2))
    assert a == b != c


def test_replays_are_charged():
    @bundle(description="[mystery] Nobody knows.")
    def mystery(x, y):
        return 2 * y - 3 * x

    executed = []

    def make(rng):
        x, y = (ParameterNode(0.1, name=name, minimum=-1.0, maximum=1.0) for name in "xy")

        def forward():
            executed.append(1)
            return mystery(x, y)

        return Workflow(
            parameters=(x, y), forward=forward, guide=lambda v: "larger" if v < 3.1 else "smaller",
            measure=lambda v: abs(v - 3.1),
        )  # fmt: skip

    recorder = run(WorkflowProblem(name="m", make=make, summary=""), entry("heuristic"), budget=10)
    assert recorder.costs["replays"] == 2
    assert len(executed) == 8
    assert [at for at, _ in curve(recorder)] == list(range(1, 11))

    executed.clear()
    recorder = run(WorkflowProblem(name="m", make=make, summary=""), entry("heuristic"), budget=3)
    # A second replay would leave nothing to use it for.
    assert recorder.costs["replays"] == len(executed) == 1
    assert [at for at, _ in curve(recorder)] == [1, 2, 3]


def test_an_exception_is_feedback_with_the_worst_metric():
    @bundle(description="[fail] Fails.")
    def fail(x):
        raise ValueError("never")

    problem = line(forward=fail, worst=7.0)
    recorder = run(problem, entry("random-values"), budget=3)
    assert [value for _, value in curve(recorder)] == [7.0] * 3
    node, feedback, metric = evaluate(problem.instance(np.random.default_rng(0)))
    assert feedback.endswith("(ValueError) never.")
    assert metric == 7.0
    assert "(ValueError) never" in node.data


def test_held_out_values_are_of_the_best_values_and_not_looked_at_more_than_needed():
    looked = []

    def held_out():
        looked.append(1)
        return 5.0

    recorder = run(line(held_out=held_out), entry("heuristic"), budget=6)
    assert {value for _, value in curve(recorder)} == {5.0}
    assert curve(recorder, split="valid") != curve(recorder)
    assert len(looked) <= 6


def test_held_out_values_are_looked_at_where_the_workflow_worked_badly_and_not_where_it_failed():
    bad = line(held_out=lambda: 5.0, worst=0.0, forward=lambda x: x * 0 + 0.3)  # its metric is that of a failure
    assert curve(run(bad, entry("random-values"), budget=2))[-1][1] == 5.0

    @bundle(description="[fail] Fails.")
    def fail(x):
        raise ValueError("never")

    failing = line(held_out=lambda: 5.0, worst=7.0, forward=fail)
    assert curve(run(failing, entry("random-values"), budget=2))[-1][1] == 7.0


def test_a_failure_is_never_the_best_where_more_is_better():
    @bundle(description="[root] The square root.")
    def root(x):
        return math.sqrt(x)

    def make(rng):
        x = ParameterNode(-0.5, name="x", minimum=-1.0, maximum=1.0)
        return Workflow(parameters=(x,), forward=lambda: root(x), guide=lambda y: y, measure=lambda y: y)

    recorder = run(
        WorkflowProblem(name="root", make=make, summary="", direction="max"), entry("random-values"), budget=12
    )
    assert curve(recorder)[0][1] == -math.inf
    assert 0 < curve(recorder)[-1][1] <= 1


def test_replies_of_the_embedded_model_are_limited(monkeypatch):
    import optimand.language.llm
    from optimand.language.llm import EmbeddedModel

    x = ParameterNode(0.0, name="x")
    for name in ("optoprime", "optoprime-masked", "opro", "textgrad", "optoprime-multi"):
        assert entry(name).build([x], chat="embedded").max_tokens == 512
    assert entry("optoprime").build([x], chat="embedded").reasoning_length
    assert isinstance(entry("optoprime").build([x], chat="embedded").chat, EmbeddedModel)
    monkeypatch.setattr(optimand.language.llm, "open_chat", lambda spec=None: Scripted([""]))
    assert entry("optoprime").build([x]).max_tokens == 4096


def test_language_models_are_counted_and_a_spent_budget_ends_the_run():
    chat = Scripted(['{"reasoning": "", "answer": "", "suggestion": {"x0": 0.2}}'] * 3)
    method = Method("scripted", "workflows", lambda parameters: OptoPrime(parameters, chat), {}, {})
    recorder = run(line(), method, budget=4)
    assert recorder.costs["llm_calls"] == 3
    assert recorder.costs["llm_tokens"] > 0
    assert curve(recorder)[-1][1] == pytest.approx(0.1)

    def broke(messages, **options):
        raise BudgetExceeded("no more calls")

    method = Method("broke", "workflows", lambda parameters: OptoPrime(parameters, Scripted(broke)), {}, {})
    recorder = run(line(), method, budget=9)
    assert recorder.notes["stopped"] == "no more calls"
    assert [at for at, _ in curve(recorder)] == [1, 9]


def test_all_methods_with_a_model_take_a_step(monkeypatch):
    import optimand.language.llm

    replies = '{"reasoning": "r", "answer": "a", "suggestion": {"x0": 0.25}} <improved>0.25</improved>'
    monkeypatch.setattr(optimand.language.llm, "open_chat", lambda spec=None: Scripted([replies], repeat=True))
    for name in ("optoprime", "optoprime-masked", "opro", "textgrad", "optoprime-multi"):
        recorder = run(line(), entry(name), budget=3)
        assert recorder.costs["llm_calls"] > 0, name
        assert curve(recorder)[-1][1] == pytest.approx(0.2), name


def test_adopting_a_class_a_function_and_a_function_of_the_history():
    class Mine(Optimizer):
        """Moves left."""

        def __init__(self, parameters, step=0.1, *, seed=0):
            super().__init__(parameters)
            self.by, self.seed = step, seed

        def propose(self):
            return {p: max(p.data - self.by, p.minimum) for p in self.parameters}

    method = adopt("mine", Mine)
    assert method.defaults == {"step": 0.1}
    assert method.summary == "Moves left."
    assert set(method.space) == {"step"}
    assert curve(run(line(), method, budget=9))[-1][1] < 0.1

    def mid(history, low=-1.0, high=1.0):
        for values, feedback in history:
            score = float(feedback.partition(": ")[2].split(" ")[0].rstrip("."))
            assert score <= 0
            assert set(values) in ({"x0"}, {"x0", "z0"})
        return {name: value / 2 for name, value in history[-1][0].items()}

    halving = adopt("mid", mid)
    assert halving.defaults == {"low": -1.0, "high": 1.0}
    assert curve(run(line(), halving, budget=4))[-1][1] < 0.2


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (3, "expected a class or function"),
        (lambda: None, "takes no parameters"),
        (lambda parameters, lr: None, "no default for lr"),
        (lambda parameters: 5, "which lacks zero_feedback, backward, step"),
        (lambda history: 5, r"method 'mine': propose\(history\) must return \{name: value\}, got 5"),
        (lambda history: history[5], "does not work on a small workflow: IndexError"),
    ],
)
def test_adopt_says_what_does_not_fit(thing, text):
    with pytest.raises(OptimandError, match=text):
        adopt("mine", thing)


def test_describe_says_what_a_method_does():
    assert describe(entry("heuristic"))["asks a language model"] == "no"
    assert describe(entry("optoprime")) == {"asks a language model": "yes"}
    assert "saturation" in describe(entry("saturation-rule"))["on a small workflow"]


def test_random_graphs_are_as_described():
    for seed in range(60):
        params = 1 + seed % 3
        graph = random_graph(np.random.default_rng(seed), params=params, separable=seed % 2 == 0)
        assert 2 * params - 1 <= graph.operations <= 10
        assert {name for chain in graph.chains for name, _ in chain} <= {"add", "subtract", "multiply", "tanh", "cube"}
        assert all(c != 0 and -2 <= c <= 2 for chain in graph.chains for _, c in chain)
        assert graph.error(graph.hidden) == 0
        grid = np.random.default_rng(0).uniform(-1, 1, (params, 4000))
        values = graph.value(list(grid))
        assert graph.low - 1e-9 <= values.min()
        assert values.max() <= graph.high + 1e-9
        parameters = [ParameterNode(x, name="x") for x in graph.start]
        traced = graph.trace(parameters)
        assert traced.data == pytest.approx(graph.value(graph.start), rel=1e-12)


def test_the_range_of_a_graph_by_hand():
    assert output_range([[("multiply", -2.0), ("add", 1.0)], [("cube", 1.0)]], ["subtract"]) == (-2.0, 4.0)
    graph = NumericGraph(((("add", 1.0),),), (), (0.5,), (0.0,), 0.0, 2.0)
    assert graph.feedback(1.0) == "The output should be larger."
    assert graph.feedback(1.6) == "The output should be smaller."
    assert graph.feedback(1.5) == "The output is right."
    assert graph.error_of(math.inf) == math.inf


def test_the_target_is_out_of_the_optimizers_reach():
    workflow = numeric_workflow().instance(np.random.default_rng(3))
    output = workflow.forward()
    graph = random_graph(np.random.default_rng(3))
    stack, values = [output], []
    while stack:
        item = stack.pop()
        values.append(item.data)
        stack.extend(item.parents)
    assert graph.target not in values


def test_the_graph_of_a_crossing_holds_neither_rates_nor_other_days():
    crossing = traffic.draw_crossing(np.random.default_rng(0), 2)
    values = [item.data for item in trace_of(traffic.trace(crossing, [ParameterNode(20.0), ParameterNode(30.0)]))]
    hidden = [value.value for value in values if isinstance(value, Hidden)]
    assert len(hidden) == 1
    assert hidden[0] is crossing.days


def test_cars_leave_in_order_and_only_at_green():
    rng = np.random.default_rng(0)
    arrivals = np.sort(rng.uniform(0, 1000, 200))
    out = traffic.leave(arrivals, 30.0, 20.0, 60.0)
    assert (out >= arrivals).all()
    assert (np.diff(out) >= traffic.HEADWAY - 1e-9).all()
    phase = (out - 30.0) % 60.0
    assert ((phase < 20.0 + 1e-9) | (phase > 60 - 1e-9)).all()


def test_the_saturation_rule_reaches_websters_waits():
    for seed in range(3):
        assert reader("wait")(run(traffic_lights(), entry("saturation-rule"), seed, budget=25))[-1][1] < 1.1


def test_random_shooting_hits_half_and_hunting_more():
    rng = np.random.default_rng(0)
    boards = game.draw_boards(rng, 300)
    noise = rng.uniform(0, 1e-3, boards.shape)
    assert game.play([0] * 5, boards, noise).mean() == pytest.approx(0.5, abs=0.03)
    assert game.play([1, 1, 0, 0, 0], boards, noise).mean() > 0.65
    hits = np.zeros((6, 6), dtype=bool)
    hits[2, 2:4] = True
    assert np.argwhere(game.in_line(hits) > 0).tolist() == [[2, 1], [2, 4]]
    assert game.neighbours(hits)[2, 1] == 1


def test_battleship_rewards_more_after_search():
    values = reader("reward")(run(battleship(boards=30), entry("tpe"), budget=25))
    assert values[-1][1] > values[0][1] + 0.1


def test_a_policy_of_code_is_played_and_left_alone_by_the_heuristic():
    recorder = run(battleship(policy="code"), entry("heuristic"), budget=2)
    value = recorder.last("test", "reward")
    boards = game.draw_boards(np.random.default_rng(0), 1)
    assert 0 < value < 0.8
    board = ["......"] * 6
    for cell in ((0, 0), (0, 1)):
        board = game.fire(board, cell, boards[0])
    with pytest.raises(ValueError, match="shot at before"):
        game.fire(board, (0, 0), boards[0])
    with pytest.raises(ValueError, match="row and column"):
        game.fire(board, (6, 0), boards[0])


@pytest.mark.parametrize("name", repair.names())
def test_references_agree_with_the_standard_library_and_faults_show(name):
    task = repair.TASKS[name]
    rng = np.random.default_rng(0)
    cases = [(case, task.reference(*case)) for case in (task.cases(rng) for _ in range(100))]
    assert repair.share_failing(repair.in_process(task.source, name), cases) == 0
    broken = repair.draw_broken(np.random.default_rng(1), name)
    assert repair.share_failing(repair.in_process(broken.source, name), broken.shown) > 0


def test_a_heuristic_repairs_nothing_and_says_so():
    recorder = run(function_repair(task="gcd"), entry("heuristic"), budget=3)
    values = reader("failing")(recorder, split="valid")
    assert values[0][1] == values[-1][1] > 0


def test_settings_of_the_pipeline_matter():
    pytest.importorskip("sklearn")
    values = reader("error")(run(digits_pipeline(train=100), entry("random-values"), budget=5))
    assert values[-1][1] < values[0][1]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: numeric_workflow(params=0), "params"),
        (lambda: numeric_workflow(params=3, ops=4), "ops"),
        (lambda: numeric_workflow(instance=-1), "instance"),
        (lambda: battleship(policy="cod"), "policy"),
        (lambda: function_repair(task="gdc"), "did you mean 'gcd'"),
        (lambda: digits_pipeline(train=5), "train"),
        (lambda: WorkflowProblem(name="x", make=lambda rng: 3, summary="", direction="up"), "direction"),
    ],
)
def test_problems_reject_what_cannot_be(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_code_is_compared_with_models_where_one_is_configured(monkeypatch):
    for name in ("OPTIMAND_LLM", "OPTIMAND_LLM_BASE_URL", "OPENAI_BASE_URL", "OPTIMAND_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    assert function_repair().methods == battleship(policy="code").methods == ("heuristic", "random-values")
    monkeypatch.setenv("OPTIMAND_LLM", "http://localhost:1/v1#m")
    assert function_repair().methods == battleship(policy="code").methods == ("heuristic", "optoprime", "opro")


def test_problems_reject_what_is_no_workflow():
    with pytest.raises(TypeError, match="must be a function"):
        WorkflowProblem(name="x", make=3, summary="")
    with pytest.raises(TypeError, match="must return a Workflow"):
        WorkflowProblem(name="x", make=lambda rng: 3, summary="").instance(np.random.default_rng(0))


@pytest.mark.parametrize("name", ["nelder-mead", "tpe"])
def test_peers_take_a_failure_for_less_than_all_scores(name):
    optimizer = entry(name).build([ParameterNode(0.0, name="x", minimum=-1.0, maximum=1.0)])
    optimizer.told = [Told((0.1 * i,), (), score) for i, score in enumerate((2.0, -math.inf, 5.0))]
    scores = optimizer._scores
    assert scores[1] < -0.9
    assert scores[::2] == [2.0, 5.0]


def test_peers_need_bounds():
    x = ParameterNode(0.0, name="x")
    for name in ("nelder-mead", "tpe"):
        with pytest.raises(OptimandError, match="minimum and a maximum"):
            entry(name).build([x])


def test_problems_find_themselves_by_name():
    assert numeric_workflow(instance=3).name == "numeric-workflow:params=1,ops=10,separable=True,instance=3"
    a, b = (numeric_workflow(instance=3).instance(np.random.default_rng(seed)) for seed in (0, 1))
    assert a.forward().data == b.forward().data
    assert SeedTree(0).child("data").numpy().random() == SeedTree(0).child("data").numpy().random()


@pytest.mark.parametrize(
    "problem", [traffic_lights(days=1), battleship(boards=3), battleship(policy="code"), digits_pipeline(train=60)]
)
def test_prompts_hold_neither_data_nor_answers(problem):
    chat = Scripted(['{"suggestion": {}}'])
    workflow = problem.instance(np.random.default_rng(0))
    optimizer = OptoPrime(workflow.parameters, chat)
    node, feedback, _ = evaluate(workflow)
    optimizer.zero_feedback()
    optimizer.backward(node, feedback)
    prompt = optimizer.prompt()[1]["content"]
    assert "array(" not in prompt
    assert "True" not in prompt or problem.name.startswith("digits")
    assert len(prompt) < 16_000


@pytest.mark.parametrize(("proposed", "text"), [({"x0": 50.0}, "50"), ({"wrong": 1.0}, "no parameter 'wrong' here")])
def test_an_optimizer_for_another_problem_is_adopted_and_its_errors_in_a_run_name_it(proposed, text):
    def elsewhere(history):
        return proposed

    method = adopt("elsewhere", elsewhere)
    with pytest.raises(OptimandError, match=f"method 'elsewhere': .*{text}"):
        run(numeric_workflow(), method, budget=3)
    assert text in describe(method)["on a small workflow"]


@pytest.mark.parametrize(("reply", "usable"), [("no idea", "0 of 3"), ('{"suggestion": {"x0": 0.2}}', "1 of 3")])
def test_how_many_replies_of_a_model_were_usable_is_noted(reply, usable):
    def build(parameters):
        return OptoPrime(parameters, Scripted([reply], repeat=True))

    recorder = run(line(), Method("asks", "workflows", build, {}, {}), budget=4)
    assert recorder.notes["suggestions"] == f"{usable} usable"
    assert "suggestions" not in run(line(), entry("heuristic"), budget=4).notes
