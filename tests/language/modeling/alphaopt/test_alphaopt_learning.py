"""Learning and evolution as a whole, on generated tasks with the scripted stand-in; SCIP runs every program."""

import json
from dataclasses import replace

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Record, Replay
from optimand.language.modeling.alphaopt import (
    AlphaOPT,
    ExperienceLibrary,
    SimulatedOracle,
    make_tasks,
)
from optimand.language.modeling.alphaopt.simulated import condition_holds, lesson, taught, too_broad, too_narrow
from optimand.language.modeling.alphaopt.simulated_tasks import PITFALLS, SETTINGS
from optimand.papers.alphaopt.experiments import learn, recover, solved

SEED = 5


@pytest.fixture(scope="module")
def tasks():
    return make_tasks(36, SEED, prefix="train")


def fitted(tasks, runner, folder=None, chat=None, **options):
    oracle = chat or SimulatedOracle(tasks, seed=SEED)
    learner = AlphaOPT(oracle, runner=runner, seed=SEED, **options)
    learner.fit([made.task for made in tasks], resume=folder)
    return learner


class Limited:
    """A model with a budget of calls, and a key that must not get out."""

    def __init__(self, chat, calls):
        self.name, self.inner, self.left = chat.name, chat, calls
        self.api_key = "sk-verysecret0123456789abcdef"

    def chat(self, messages, **options):
        self.left -= 1
        if self.left < 0:
            raise BudgetExceeded("the budget of calls is spent")
        return self.inner.chat(messages, **options)


# the generated tasks


def test_generated_tasks_have_the_values_that_scip_finds(runner, tasks):
    for made in tasks[:18]:
        right = runner.run(made.task, made.program(made.pitfalls))
        assert right.status == "optimal", (made.task.id, right)
        wrong = runner.run(made.task, made.program(made.pitfalls[1:]))
        assert wrong.status == "not_optimal"
        assert wrong.values["objective"] == pytest.approx(
            made.task.truths[0] - made.scenes[0].cost + made.scenes[0].wrong_cost
        )


@pytest.mark.parametrize("key", PITFALLS)
def test_a_lesson_without_cause_spoils_every_task(runner, tasks, key):
    for made in tasks[:12]:
        if key not in made.pitfalls:
            assert runner.run(made.task, made.program(made.pitfalls, [key])).status == "not_optimal"


def test_the_stand_in_reads_conditions():
    assert condition_holds('This insight applies when "a" or "b".', "b")
    assert not condition_holds('This insight applies when "a" together with "b".', "b")
    assert condition_holds('This insight applies when "a".\nThis insight applies when "b".', "b")
    assert not condition_holds('This insight applies when "b".\nThis insight does NOT apply when "a".', "a b")
    assert not condition_holds("This insight applies when nothing is quoted.", "a")
    assert taught(lesson(PITFALLS["flow"])) is PITFALLS["flow"]
    assert taught({"condition": "keeps nothing", "explanation": "other advice"}) is None


def test_its_draws_depend_on_the_seed_sent_and_not_on_order(tasks):
    oracle = SimulatedOracle(tasks)
    assert oracle._draw(3, "x") == SimulatedOracle(tasks)._draw(3, "x") != oracle._draw(4, "x")


# acceptance


def test_learning_from_nothing_to_all_with_no_wrong_insight(runner):
    run = learn(36, 18, seed=SEED, runner=runner)
    assert max(run.before, run.held_out_before) <= 0.2
    assert run.after >= 0.95
    assert run.held_out >= 0.9
    assert len(run.library) <= 12
    assert run.wrong == ()
    assert all(insight.sources for insight in run.library)


def test_other_tasks_are_solved_by_what_was_learnt_and_by_nothing_else(runner):
    """No text is shared; without the insight on a pitfall exactly the tasks that have it fail."""
    train, test = make_tasks(24, SEED, prefix="train"), make_tasks(12, SEED, prefix="test")
    scenes = [{scene.text for made in part for scene in made.scenes} for part in (train, test)]
    assert not scenes[0] & scenes[1]
    learner = fitted(train, runner, chat=SimulatedOracle([*train, *test], seed=SEED), workers=1)
    whole = learner.library.copy()
    for gone in PITFALLS.values():
        learner.library.become(whole)
        learner.library.remove([i.insight_id for i in whole if taught(i.to_dict()) is gone])
        found = solved(learner, test)
        assert found == {made.task.id for made in test if gone.key not in made.pitfalls}, gone.key


def test_the_model_sees_no_id_of_a_task_and_no_answer_but_in_the_program_it_wrote(tasks, runner):
    seen = []

    class Watched(Limited):
        def chat(self, messages, **options):
            seen.append((options["role"], messages[1]["content"]))
            return self.inner.chat(messages, **options)

    fitted(tasks[:18], runner, chat=Watched(SimulatedOracle(tasks, seed=SEED), 0), workers=1)
    truths = {made.task.description: made.task for made in tasks}
    assert len(seen) > 200
    for role, text in seen:
        assert "train0" not in text, role
        task = next((task for words, task in truths.items() if words in text), None)
        if task is not None and role not in ("alphaopt.extractor.formulation", "alphaopt.diagnostic.issues"):
            # The explorer learns by being told "wrong", the others by nothing.
            assert f"{task.truths[0]:.10g}" not in text.replace(task.description, ""), role


def test_wrong_insights_stay_out_even_when_most_drafts_are_wrong(runner):
    run = learn(24, 6, seed=SEED, right=0.3, runner=runner)
    assert run.wrong == ()
    assert sum(run.refused.values()) >= 10
    assert run.refused["gives the answer away"] > 0


def test_without_our_checks_wrong_insights_get_in(runner):
    run = learn(24, 6, seed=SEED, right=0.3, runner=runner, official=True, iterations=0)
    assert run.wrong


def test_evolution_mends_broad_and_narrow_conditions(runner):
    run = recover(36, seed=SEED, runner=runner)
    assert run.damaged < 0.5
    assert run.recovered >= 0.8


def test_a_draft_that_spoils_solved_tasks_is_refused(runner, tasks):
    learner = fitted(tasks, runner, workers=1)
    from optimand.language.modeling.alphaopt.extracted_insights import ExtractedInsight
    from optimand.language.modeling.alphaopt.merging import Intake, Merger

    merger = Merger(learner.context, learner.extractor, learner.tasks, learner.records)
    flow = next(i for i in learner.library if taught(i.to_dict()) is PITFALLS["flow"])
    broad = replace(too_broad(flow), insight_id=None, sources=flow.sources[:1], parents=())
    size, intake = len(learner.library), Intake()
    merger.online(learner.library, ExtractedInsight(broad), (), ("x",), 0, intake)
    assert intake.refused == 1
    assert len(learner.library) == size


# determinism, interruption


def test_workers_do_not_change_the_library(tasks, runner):
    texts = [fitted(tasks, runner, workers=workers).library.dumps() for workers in (1, 4)]
    assert texts[0] == texts[1]


def test_the_order_in_which_tasks_come_does_not_change_the_library(tasks, runner):
    texts = [fitted(order, runner, workers=1).library.dumps() for order in (tasks, tasks[::-1])]
    assert texts[0] == texts[1]


def test_a_recording_by_one_worker_is_replayed_by_four_with_sockets_disabled(tasks, runner, tmp_path, monkeypatch):
    recorded = Record(SimulatedOracle(tasks, seed=SEED), tmp_path / "calls.jsonl")
    first = fitted(tasks[:18], runner, chat=recorded, workers=1)
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a socket was opened"))
    again = fitted(tasks[:18], runner, chat=Replay(tmp_path / "calls.jsonl"), workers=4)
    assert again.library.dumps() == first.library.dumps()


def test_a_fit_whose_budget_ends_anywhere_is_resumed_to_the_same_library(tasks, runner, tmp_path):
    """In the middle of the calls of each role: while tasks are studied, insights are merged, conditions rewritten."""
    roles, tasks = [], tasks[:20]
    start = fitted(tasks, runner, workers=1, iterations=0).library
    for insight in list(start)[:3]:
        start.replace(too_broad(insight))
    for insight in list(start)[3:]:
        start.replace(too_narrow(insight, SETTINGS[0]))

    def fit(chat, folder=None, **options):
        return fitted(tasks, runner, folder, chat, library=start.copy(), batch_size=7, **options)

    class Noting(Limited):
        def chat(self, messages, **options):
            roles.append(options["role"])
            return self.inner.chat(messages, **options)

    whole = fit(Noting(SimulatedOracle(tasks, seed=SEED), 0), workers=1)
    places = {role: [n for n, name in enumerate(roles) if name == role] for role in set(roles)}
    for role in ("programmer.code", "diagnostic.states", "extractor.online_merge", "evolver.refine"):
        found = places[f"alphaopt.{role}"]
        folder = tmp_path / role
        limited = Limited(SimulatedOracle(tasks, seed=SEED), found[len(found) // 2])
        with pytest.raises(BudgetExceeded):
            fit(limited, folder, workers=1)
        assert (folder / "state.json").is_file()  # written before the error came out
        resumed = fit(None, folder, workers=2)
        assert resumed.library.dumps() == whole.library.dumps(), role
        assert [str(entry) for entry in resumed.progress.rounds] == [str(entry) for entry in whole.progress.rounds]
        assert ExperienceLibrary.load(folder / "library.json").dumps() == whole.library.dumps()


def test_a_fit_killed_after_the_second_minibatch_is_resumed(tasks, runner, tmp_path):
    whole = fitted(tasks, runner, workers=1)

    class KilledError(Exception):
        pass

    learner = AlphaOPT(SimulatedOracle(tasks, seed=SEED), runner=runner, seed=SEED, workers=2)
    inner, batches = learner._minibatch, []

    def minibatch(batch, number):
        if len(batches) == 2:
            raise KilledError
        batches.append(number)
        inner(batch, number)

    learner._minibatch = minibatch
    with pytest.raises(KilledError):
        learner.fit([made.task for made in tasks], resume=tmp_path)
    assert json.loads((tmp_path / "state.json").read_text())["progress"]["batch"] == 2
    assert fitted(tasks, runner, tmp_path).library.dumps() == whole.library.dumps()


def test_partial_work_is_paid_once(tasks, runner, tmp_path):
    whole = fitted(tasks, runner, workers=1)
    with pytest.raises(BudgetExceeded):
        fitted(tasks, runner, tmp_path, Limited(SimulatedOracle(tasks, seed=SEED), 100), workers=1)
    state = json.loads((tmp_path / "state.json").read_text())
    assert len(state["progress"]["partial"]) > 0
    resumed = fitted(tasks, runner, tmp_path, workers=1)
    spent = [sum(usage.calls for usage in learner.usage().values()) for learner in (whole, resumed)]
    # Only the task that was under way when the budget ended is studied again.
    assert spent[0] <= spent[1] <= spent[0] + 40


def test_a_finished_fit_is_not_made_again(tasks, runner, tmp_path):
    first = fitted(tasks, runner, tmp_path, workers=1)
    again = fitted(tasks, runner, tmp_path, Limited(SimulatedOracle(tasks, seed=SEED), 0), workers=1)
    assert again.library.dumps() == first.library.dumps()


def test_a_state_of_other_tasks_or_settings_is_refused(tasks, runner, tmp_path):
    fitted(tasks[:6], runner, tmp_path, workers=1, iterations=0)
    with pytest.raises(OptimandError, match="other tasks"):
        fitted(tasks[:7], runner, tmp_path, iterations=0)
    with pytest.raises(OptimandError, match="iterations=0"):
        fitted(tasks[:6], runner, tmp_path, iterations=1)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(OptimandError, match="cannot be read"):
        fitted(tasks[:6], runner, tmp_path, iterations=0)


def test_state_round_trips_through_json(tasks, runner):
    learner = fitted(tasks[:12], runner, workers=1)
    state = json.loads(json.dumps(learner.state_dict()))
    other = AlphaOPT(SimulatedOracle(tasks), runner=runner, seed=SEED)
    other.load_state_dict(state)
    assert other.library.dumps() == learner.library.dumps()
    assert other.records == learner.records


def test_secrets_are_written_nowhere(tasks, runner, tmp_path, monkeypatch):
    key = "sk-verysecret0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    oracle = SimulatedOracle(tasks, seed=SEED)
    learner = fitted(tasks[:12], runner, tmp_path, Limited(oracle, 10**6), workers=1)
    # Even where a model's words hold it.
    learner.library.replace(replace(learner.library[1], example=f"# Wrong\nkey {key}\n# Correct\nnone"))
    for name in ("library.json", "library.toml"):
        learner.library.save(tmp_path / name)
    for path in tmp_path.iterdir():
        assert key not in path.read_text(), path.name
    assert key not in json.dumps({k: v for k, v in learner.state_dict().items() if k != "library"})
