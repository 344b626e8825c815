"""All trainers: they improve numbers without a model, make the calls they say, repeat exactly, can be broken off."""

from __future__ import annotations

import json

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import Metered, Scripted
from optimand.language.workflows import HeuristicProposer, Module, OptoPrime, Tape, node
from optimand.language.workflows.trainers import (
    AggregatedUpdate,
    BasicSearch,
    BeamSearch,
    GuideError,
    Minibatch,
    ParetoSearch,
    PrioritySearch,
    UCBSearch,
    exact_match,
    function_tests,
    numeric_tolerance,
)

DATA = [(x, 1.5 * x - 0.5) for x in (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)]
VALIDATION = [(x, 1.5 * x - 0.5) for x in (-0.5, 0.5, 1.5)]
TRAINERS = {
    "minibatch": (Minibatch, {"batch_size": 6}),
    "minibatch-ensured": (Minibatch, {"batch_size": 3, "ensure_improvement": True}),
    "aggregated": (AggregatedUpdate, {"batch_size": 3}),
    "basic": (BasicSearch, {"batch_size": 3}),
    "beam": (BeamSearch, {"batch_size": 3, "width": 2}),
    "beam-history": (BeamSearch, {"batch_size": 3, "width": 2, "history": 3, "validation_size": 2}),
    "beam-own": (BeamSearch, {"batch_size": 3, "width": 2, "memory": "own"}),
    "ucb": (UCBSearch, {"batch_size": 3, "buffer_size": 4, "validation_size": 2}),
    "priority": (PrioritySearch, {"batch_size": 2, "num_candidates": 2, "num_batches": 2, "explore": "ucb"}),
    "priority-memories": (
        PrioritySearch,
        {"batch_size": 3, "num_candidates": 2, "num_proposals": 2, "merge_every": 2, "long_memory": 3},
    ),
    "pareto": (ParetoSearch, {"batch_size": 3, "objectives": ("fit", "small")}),
    "pareto-volume": (
        ParetoSearch,
        {"batch_size": 3, "objectives": ("fit", "small"), "selection": "hypervolume", "pool_size": 4},
    ),
}


class Line(Module):
    def __init__(self):
        self.slope = node(0.0, name="slope", trainable=True, minimum=-4.0, maximum=4.0)
        self.offset = node(1.0, name="offset", trainable=True, minimum=-4.0, maximum=4.0)

    def forward(self, x):
        return self.slope * x + self.offset


def scored(query, response, info):
    return 1 / (1 + abs(response - info)), ""


def scored_twice(query, response, info):
    return {"fit": 1 / (1 + abs(response - info)), "small": 1 / (1 + abs(response))}, ""


def guide_of(name):
    return scored_twice if name.startswith("pareto") else scored


def worth(line, name):
    """The mean on the validation set, computed apart; of two objectives with equal weights."""
    total = 0.0
    for x, y in VALIDATION:
        score, _ = guide_of(name)(x, line.slope.data * x + line.offset.data, y)
        total += sum(score.values()) / 2 if isinstance(score, dict) else score
    return total / len(VALIDATION)


def train(name, *, guide=None, steps=12, seed=0, **options):
    """Train a fresh line inside a tape of its own; the line and the result."""
    kind, settings = TRAINERS[name]
    with Tape():
        line = Line()
        optimizer = HeuristicProposer(line.parameters(), seed=seed)
        trainer = kind(line, optimizer, seed=seed, **settings)
        options.setdefault("validation", VALIDATION)
        return line, trainer.train(guide or guide_of(name), DATA, steps=steps, **options)


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_improves_numbers_without_a_model(name):
    before = worth(Line(), name)
    sampled = "validation_size" in TRAINERS[name][1]
    gains = []
    for seed in range(3):
        line, result = train(name, steps=20, seed=seed)
        gains.append(worth(line, name) - before)
        assert result.best == {"slope": line.slope.data, "offset": line.offset.data}
        assert len(result.history) == len(result.scores) == result.steps == 20
        if not sampled:
            assert result.best_score == pytest.approx(worth(line, name))
            assert all(b >= a for a, b in zip(result.scores, result.scores[1:], strict=False))
            assert gains[-1] >= 0
    # One instance at a time tells a heuristic little: aggregation of its proposals is only to gain something.
    assert sorted(gains)[1] > (0.0 if name == "aggregated" else 0.05)


def test_words_of_direction_are_enough_for_one_number():
    with Tape():
        x = node(0.0, name="x", trainable=True, minimum=-8, maximum=8)
        guide = numeric_tolerance(absolute=1e-2, reveal=False)
        trainer = Minibatch(lambda q: x * q + 1, HeuristicProposer([x]), batch_size=3, show_score=False)
        result = trainer.train(guide, [(q, 3.0 * q + 1) for q in (1.0, 2.0, 3.0)], steps=25)
    assert abs(x.data - 3) < 0.01
    assert result.best_score == 1.0


@pytest.mark.parametrize("name", TRAINERS)
def test_the_seed_decides_and_the_threads_do_not(name):
    _, result = train(name, steps=5)
    assert train(name, steps=5)[1] == result
    assert train(name, steps=5, num_threads=3)[1] == result
    assert train(name, steps=5, seed=1)[1] != result


class KilledError(Exception):
    pass


def killing(guide, after):
    """The guide, raising at the evaluation after so many."""
    count = 0

    def inner(query, response, info):
        nonlocal count
        count += 1
        if count > after:
            raise KilledError
        return guide(query, response, info)

    return inner


@pytest.mark.parametrize("name", TRAINERS)
def test_a_run_broken_off_anywhere_and_resumed_equals_an_unbroken_one(name, tmp_path):
    line, result = train(name, steps=6)
    for place, after in enumerate((1, result.evaluations // 2, result.evaluations - 1)):
        folder = tmp_path / str(place)
        with pytest.raises(GuideError, match="KilledError"):
            train(name, guide=killing(guide_of(name), after), steps=6, folder=folder)
        again, resumed = train(name, steps=6, folder=folder)
        assert resumed == result
        assert again.state_dict() == line.state_dict()
    files = [path.name for path in folder.iterdir()]
    assert files == ["training.json"], "nothing half-written is left"


@pytest.mark.parametrize("name", ["minibatch", "basic", "ucb", "priority"])
def test_more_steps_go_on_from_the_checkpoint_of_a_finished_run(name, tmp_path):
    _, whole = train(name, steps=6)
    train(name, steps=4, folder=tmp_path)
    _, longer = train(name, steps=6, folder=tmp_path)
    assert longer == whole
    _, same = train(name, steps=6, folder=tmp_path, guide=killing(guide_of(name), 0))
    assert same == whole, "a finished run is only read"


def test_parameters_are_those_of_the_last_whole_step_after_an_error():
    with Tape():
        line = Line()
        trainer = BasicSearch(line, HeuristicProposer(line.parameters()), batch_size=3)
        rows = []
        with pytest.raises(GuideError):
            trainer.train(killing(scored, 60), DATA, steps=50, progress=lambda *told: rows.append(told))
    step, total, row = rows[-1]
    assert (step, total) == (len(rows), 50)
    assert row["values"] == {"slope": line.slope.data, "offset": line.offset.data}


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train("basic", steps=2, folder=tmp_path)
    for change in ({"seed": 1}, {"min_score": None}, {"validation": None}):
        with pytest.raises(OptimandError, match=f"is of training with {next(iter(change))}="):
            train("basic", steps=2, folder=tmp_path, **change)
    with pytest.raises(OptimandError, match="trainer='BasicSearch', this one has 'BeamSearch'"):
        train("beam", steps=2, folder=tmp_path)
    _, anew = train("basic", steps=2, seed=1, folder=tmp_path, resume=False)
    assert anew == train("basic", steps=2, seed=1)[1]
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(OptimandError, match="is not a checkpoint of training"):
        train("basic", steps=2, folder=tmp_path)


def say(**values):
    return json.dumps({"reasoning": "", "answer": "", "suggestion": values})


def climb(messages, **options):
    """A reply that depends on the call's seed, so that proposals differ."""
    return say(slope=options["seed"] % 1000 / 250 - 1, offset=options["seed"] % 700 / 400)


def with_model(kind, replies=climb, budget=None, folder=None, guide=scored, steps=3, validation=VALIDATION, **settings):
    with Tape():
        line = Line()
        model = Scripted(replies)
        chat = Metered(model, max_calls=budget) if budget is not None else model
        optimizer = OptoPrime(line.parameters(), chat, seed=3, memory_size=2)
        trainer = kind(line, optimizer, **settings)
        result = trainer.train(guide, DATA, validation=validation, steps=steps, folder=folder)
        return model, result, trainer


@pytest.mark.parametrize(
    ("kind", "settings", "calls"),
    [
        (Minibatch, {"batch_size": 3}, 3),
        (Minibatch, {"batch_size": 3, "ensure_improvement": True}, 3),
        (AggregatedUpdate, {"batch_size": 3}, 3 * (3 + 1)),
        (AggregatedUpdate, {"batch_size": 3, "how": "arithmetic"}, 3 * 3),
        (BasicSearch, {"batch_size": 3, "num_proposals": 4}, 3 * 4),
        (UCBSearch, {"batch_size": 3}, 3),
        (ParetoSearch, {"batch_size": 2, "objectives": ("fit", "small"), "num_proposals": 2}, 3 * 2),
    ],
)
def test_trainers_make_exactly_the_calls_they_say(kind, settings, calls):
    guide = scored_twice if kind is ParetoSearch else scored
    model, _, _ = with_model(kind, guide=guide, **settings)
    assert len(model.calls) == calls


def test_beam_search_asks_for_each_candidate_in_the_beam():
    model, result, _ = with_model(BeamSearch, width=2, num_proposals=2, batch_size=2)
    assert [len(row["beam"]) for row in result.history] == [2, 2, 2]
    assert len(model.calls) == 2 * 1 + 2 * 2 + 2 * 2


def test_priority_search_asks_for_each_candidate_batch_and_proposal():
    model, result, _ = with_model(
        PrioritySearch, num_candidates=2, num_batches=2, num_proposals=3, batch_size=2, steps=3
    )
    explored = [len(row["explored"]) for row in result.history]
    assert explored == [1, 3, 3]
    assert len(model.calls) == sum(explored) * 2 * 3


def test_a_spent_budget_writes_the_checkpoint_and_a_larger_one_goes_on(tmp_path):
    unbroken, whole, _ = with_model(BasicSearch, batch_size=3, num_proposals=2, steps=5)
    model, part, _ = with_model(BasicSearch, batch_size=3, num_proposals=2, steps=5, budget=5, folder=tmp_path)
    assert len(model.calls) == 5
    assert part.steps == 2
    assert "max_calls=5" in part.stopped
    assert f"after step 2 of 5, to be resumed from '{tmp_path}'" in part.stopped
    assert part.stopped.startswith(json.loads((tmp_path / "training.json").read_text())["stopped"])
    assert part.history == whole.history[:2]
    assert part.evaluations == whole.history[1]["evaluations"], "the broken step counts for nothing"
    model, rest, _ = with_model(BasicSearch, batch_size=3, num_proposals=2, steps=5, folder=tmp_path)
    assert rest == whole
    assert model.calls == unbroken.calls[4:], "with the same names in the prompts"


def test_a_budget_that_is_spent_before_the_first_step_can_be_resumed_too(tmp_path):
    from optimand.language.llm import BudgetExceeded

    def broke(query, response, info):
        raise BudgetExceeded("the limit max_cost=0 is reached")

    _, part = train("basic", guide=broke, steps=4, folder=tmp_path)
    assert part.steps == 0
    assert part.best == {"slope": 0.0, "offset": 1.0}
    assert "max_cost=0" in str(part)
    assert train("basic", steps=4, folder=tmp_path)[1] == train("basic", steps=4)[1]


def test_plain_parameters_and_a_function_and_a_coroutine_function_train_alike():
    def run(make):
        with Tape():
            x = node(0.0, name="x", trainable=True, minimum=-4, maximum=4)
            trainer = BasicSearch(make(x), HeuristicProposer([x]), batch_size=3)
            return trainer.train(scored, [(q, 2.0 * q) for q in (1, 2, 3)], steps=6, num_threads=2)

    def later(x):
        async def agent(q):
            return x * q

        return agent

    assert run(lambda x: lambda q: x * q) == run(later)


def test_parameters_whose_names_would_clash_have_their_full_names():
    class Odd(Module):
        def __init__(self):
            self.bias0 = node(0.0, name="scale", trainable=True)

        def forward(self, x):
            return self.bias0 * x

    with Tape(fresh=True):
        odd, first = Odd(), node(0.0, name="bias", trainable=True)
        trainer = Minibatch(odd, HeuristicProposer([odd.bias0, first]))
        assert list(trainer.names.values()) == ["bias0", "bias"]
        trainer = Minibatch(odd, HeuristicProposer([odd.bias0, first, node(0.0, name="bias", trainable=True)]))
        assert list(trainer.names.values()) == ["scale0", "bias0", "bias1"]


def test_a_checkpoint_of_parameters_with_other_numbers_says_what_to_do(tmp_path):
    def go():
        x, y = (node(0.0, name="x", trainable=True, minimum=-1.0, maximum=1.0) for _ in range(2))
        Minibatch(lambda q: x * q + y, HeuristicProposer([x, y])).train(scored, DATA, steps=1, folder=tmp_path)

    with Tape(fresh=True):
        go()
        with pytest.raises(OptimandError, match=r"make them inside 'with Tape\(fresh=True\):'"):
            go()
    with Tape(fresh=True):
        go()


def test_epochs_count_batches():
    with Tape():
        line = Line()
        optimizer = HeuristicProposer(line.parameters())
        assert Minibatch(line, optimizer, batch_size=4).train(scored, DATA, epochs=2).steps == 4
        search = PrioritySearch(line, optimizer, batch_size=2, num_batches=2, num_candidates=1)
        assert search.train(scored, DATA, epochs=2).steps == 3
        assert BeamSearch(line, optimizer, depth=2).train(scored, DATA, epochs=9).steps == 2
        assert Minibatch(line, optimizer).train(scored, DATA, steps=0).history == ()


def test_the_history_is_a_table_and_a_csv_file(tmp_path):
    import csv

    _, result = train("priority", steps=3)
    rows = result.table()
    assert rows[2]["step"] == 3
    assert rows[0]["values.slope"] == result.history[0]["values"]["slope"]
    assert json.loads(rows[0]["explored"]) == [0]
    result.to_csv(tmp_path / "new" / "history.csv")
    with (tmp_path / "new" / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["best_score"]) for row in read] == list(result.scores)
    assert "3 steps" in str(result)


def test_what_cannot_be_trained_is_named():
    line = Line()
    optimizer = HeuristicProposer(line.parameters())
    with pytest.raises(TypeError, match="agent must be a module or a function, got 5"):
        Minibatch(5, optimizer)
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got object, which lacks zero_feedback"):
        Minibatch(line, object())
    with pytest.raises(TypeError, match="guide must be a function"):
        Minibatch(line, optimizer).train("guide", DATA)
    with pytest.raises(OptimandError, match="dataset is empty"):
        Minibatch(line, optimizer).train(scored, [])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Minibatch(line, optimizer, batch_size=0)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        Minibatch(line, optimizer).train(scored, DATA, epochs=0)
    with pytest.raises(GuideError, match=r"several scores .* use ParetoSearch"):
        Minibatch(line, optimizer).train(scored_twice, DATA)
    with pytest.raises(GuideError, match="must score 'fit', 'small' on sample 0"):
        ParetoSearch(line, optimizer, objectives=("fit", "small"), shuffle=False).train(scored, DATA)


def test_values_that_json_cannot_hold_are_named():
    x = node(object(), name="thing", trainable=True)
    with pytest.raises(OptimandError, match="parameter 'thing' has a value that training cannot keep"):
        Minibatch(lambda q: x, HeuristicProposer([x])).train(scored, DATA)


def test_checkpoints_hold_no_queries_and_no_answers(tmp_path):
    with Tape():
        x = node(0.5, name="x", trainable=True, minimum=0, maximum=1)
        trainer = BasicSearch(lambda q: q + "-answer", HeuristicProposer([x]))
        with pytest.raises(OptimandError, match="which is no node"):
            trainer.train(lambda q, r, i: (0.5, "told"), [("my-query", "my-info")], folder=tmp_path)
        trainer = BasicSearch(lambda q: x + len(q), HeuristicProposer([x]))
        trainer.train(lambda q, r, i: (0.5, "judged-" + q), [("my-query", "my-info")], steps=2, folder=tmp_path)
    text = (tmp_path / "training.json").read_text()
    assert "my-" not in text
    assert "judged" not in text


def test_an_optimizer_whose_state_is_not_json_is_named():
    class Odd(HeuristicProposer):
        def state_dict(self):
            return {**super().state_dict(), "odd": {1, 2}}

    line = Line()
    with pytest.raises(OptimandError, match=r"state_dict\(\) of Odd holds what JSON cannot"):
        Minibatch(line, Odd(line.parameters())).train(scored, DATA)


def test_failures_without_a_score_never_make_training_fail():
    for name in TRAINERS:
        if name.startswith("pareto"):
            continue
        kind, settings = TRAINERS[name]
        with Tape():
            x = node(0.0, name="x", trainable=True, minimum=-1.0, maximum=1.0)
            trainer = kind(lambda q, x=x: q / x, HeuristicProposer([x]), **settings)
            result = trainer.train(
                lambda q, r, i: (-abs(r - i), "should be larger"), [(1.0, 2.0)] * 4, min_score=None, steps=6
            )
        assert result.steps == 6
        assert result.history[0]["train_score"] is None


def test_a_model_that_is_made_again_in_the_same_process_goes_on(tmp_path):
    def go(steps, folder=None):
        line = Line()  # outside any tape: its parameters get other numbers each time
        trainer = BasicSearch(line, HeuristicProposer(line.parameters()), batch_size=3)
        return trainer.train(scored, DATA, validation=VALIDATION, steps=steps, folder=folder)

    go(3, tmp_path)
    assert go(6, tmp_path) == go(6)


class Listening(HeuristicProposer):
    """Keeps what it is told of compared values, in its state as well."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heard = []

    def observe(self, values, score):
        self.heard.append([[values[parameter] for parameter in self.parameters], score])

    def state_dict(self):
        return {**super().state_dict(), "heard": list(self.heard)}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.heard = list(state["heard"])


@pytest.mark.parametrize("name", [name for name in TRAINERS if not name.startswith("pareto")])
def test_an_optimizer_that_listens_is_told_the_scores_of_compared_values(name):
    kind, settings = TRAINERS[name]
    line = Line()
    optimizer = Listening(line.parameters())
    trainer = kind(line, optimizer, **settings)
    result = trainer.train(scored, DATA, validation=VALIDATION, steps=4)
    if settings.get("memory") == "own":
        heard = [one for candidate in trainer.beam for one in candidate.memory["heard"]]
        assert [[*candidate.values.values()] for candidate in trainer.beam] == [
            candidate.memory["heard"][-1][0] for candidate in trainer.beam
        ], "each candidate's own score came last"
    else:
        heard = optimizer.heard
    assert [[0.0, 1.0], heard[0][1]] == heard[0], "the first values first"
    if settings.get("validation_size") is None:
        told = {tuple(values): score for values, score in heard}
        assert told[tuple(result.best.values())] == pytest.approx(result.best_score)
        if not settings.get("ensure_improvement"):  # which also tells of the batch
            for (slope, offset), score in heard:
                line.slope.data, line.offset.data = slope, offset
                assert score == pytest.approx(worth(line, name))


@pytest.mark.parametrize("target", [2.5, 1.234567, 3.9, 0.3])
@pytest.mark.parametrize("slope", [1, -2])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (BasicSearch, {"num_proposals": 2}),
        (BasicSearch, {"num_proposals": 1}),
        (BeamSearch, {"width": 2}),
        (Minibatch, {"ensure_improvement": True}),
    ],
)
def test_directions_on_a_batch_lead_to_the_target_and_no_value_is_tried_twice(kind, settings, slope, target):
    k = node(1.0, name="k", trainable=True, minimum=0, maximum=4)
    data = [(x, slope * target * x) for x in (1, 2, 3)]
    proposed = []

    class Watched(HeuristicProposer):
        def propose(self, **options):
            found = super().propose(**options)
            proposed.extend(found.values())
            return found

    trainer = kind(lambda x: slope * k * x, Watched([k]), batch_size=3, **settings)
    result = trainer.train(numeric_tolerance(), data, steps=15)
    assert k.data == pytest.approx(target, abs=1e-3)
    assert result.best_score > 0.99
    assert len(proposed) == len(set(proposed)) or kind is BeamSearch  # a beam asks at each of its candidates


def test_comparisons_are_kept_in_the_state():
    k = node(1.0, name="k", trainable=True, minimum=0, maximum=4)
    optimizer = HeuristicProposer([k])
    optimizer.backward(k * 1, "should be larger\nscore: 0.5")
    (value,) = optimizer.propose().values()
    optimizer.observe({k: value}, 0.25)
    state = json.loads(json.dumps(optimizer.state_dict()))
    again = HeuristicProposer([k])
    again.load_state_dict(state)
    for one in (optimizer, again):
        one.zero_feedback()
        one.backward(k * 1, "should be larger\nscore: 0.5")
        assert list(one.propose().values()) == [(1.0 + value) / 2]


def test_a_workflow_that_gives_a_plain_value_is_told():
    k = node(1.0, name="k", trainable=True)
    trainer = Minibatch(lambda x: (k * x).data, HeuristicProposer([k]))
    with pytest.raises(OptimandError, match=r"the workflow gave 3.0 \(float\), which is no node"):
        trainer.train(numeric_tolerance(), [(3, 5)])


@pytest.mark.parametrize("guide", [exact_match, numeric_tolerance, function_tests])
def test_what_makes_a_guide_is_no_guide(guide):
    k = node(1.0, name="k", trainable=True)
    with pytest.raises(TypeError, match=rf"so call it, (guide=)?{guide.__name__}\("):
        Minibatch(lambda x: k * x, HeuristicProposer([k])).train(guide, [(3, 5)])
    with pytest.raises(TypeError, match=r"guide must take \(query, response, info\)"):
        Minibatch(lambda x: k * x, HeuristicProposer([k])).train(lambda query: 1, [(3, 5)])


def test_optimizers_take_a_module_for_its_parameters():
    class Line(Module):
        def __init__(self):
            self.k = node(1.0, name="k", trainable=True)

        def forward(self, x):
            return self.k * x

    line = Line()
    assert HeuristicProposer(line).parameters == OptoPrime(line, Scripted([])).parameters == (line.k,)
    with pytest.raises(OptimandError, match="parameters is empty"):
        HeuristicProposer(Module())


def test_a_report_without_a_model_names_none():
    k = node(1.0, name="k", trainable=True)
    optimizer = HeuristicProposer([k])
    optimizer.backward(k * 1, "correct")
    optimizer.step()
    assert "model" not in str(optimizer.report)
    assert "no change is wanted" in str(optimizer.report)
