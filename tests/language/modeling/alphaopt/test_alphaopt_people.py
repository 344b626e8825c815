"""What people do with a learner: rules of their own, approval, costs, evaluation, models that fail."""

from dataclasses import replace

import pytest

from optimand.language.llm import ChatTimeout, Scripted
from optimand.language.modeling.alphaopt import (
    AlphaOPT,
    ExperienceLibrary,
    Insight,
    SimulatedOracle,
    Task,
    cost_report,
    evaluate,
    make_tasks,
)
from optimand.language.modeling.alphaopt.running import Runner
from optimand.language.modeling.alphaopt.simulated import lesson, too_broad
from optimand.language.modeling.alphaopt.simulated_tasks import PITFALLS
from optimand.papers.alphaopt.experiments import wrong_insights
from optimand.papers.alphaopt.scenarios import Printed

SEED = 5


@pytest.fixture(scope="module")
def tasks():
    return make_tasks(36, SEED, prefix="train")


def fitted(tasks, runner, folder=None, chat=None, **options):
    oracle = chat or SimulatedOracle(tasks, seed=SEED)
    learner = AlphaOPT(oracle, runner=runner, seed=SEED, **options)
    learner.fit([made.task for made in tasks], resume=folder)
    return learner


def test_pinned_rules_are_followed_and_left_alone(tasks, runner):
    library = ExperienceLibrary()
    pitfall = PITFALLS["flow"]
    stage, level1, level2 = pitfall.label
    rule = library.add(Insight({stage: {level1: (level2,)}}, **lesson(pitfall), pinned=True))
    learner = fitted(tasks, runner, workers=1, library=library)
    kept = learner.library[rule.insight_id]
    assert (kept.condition, kept.version, kept.pinned) == (rule.condition, 1, True)
    assert kept.occurrence > 0
    assert learner.library is library


def test_with_approval_changes_wait_as_proposals(tasks, runner):
    learner = fitted(tasks, runner, workers=1, iterations=0)
    library = learner.library
    for insight in list(library)[:2]:
        library.replace(too_broad(insight))
    asking = AlphaOPT(
        SimulatedOracle(tasks, seed=SEED), library=library, runner=runner, seed=SEED, approve="ask", iterations=1
    )
    asking.evolve([made.task for made in tasks])
    waiting = [proposal for proposal in library.review() if proposal.kind == "refine" and proposal.insights]
    assert len(waiting) == 2
    version = library[waiting[0].ids[0]].version
    library.accept(waiting[0])
    assert library[waiting[0].ids[0]].version == version + 1
    library.reject(waiting[1])
    assert library.pending == []


def test_a_second_proposal_for_an_insight_takes_the_place_of_the_first(tasks, runner):
    learner = fitted(tasks[:18], runner, workers=1, iterations=0)
    learner.library.replace(too_broad(learner.library[1]))
    options = {"library": learner.library, "runner": runner, "seed": SEED, "approve": "ask", "iterations": 1}
    for _ in range(2):
        AlphaOPT(SimulatedOracle(tasks, seed=SEED), **options).evolve([made.task for made in tasks[:18]])
    assert [proposal.kind for proposal in learner.library.pending if proposal.ids == (1,)] == ["refine"]


def test_distributions_are_of_the_last_round(tasks, runner):
    learner = fitted(tasks, runner, workers=1)
    for insight in learner.library:
        assert insight.distribution.positive
        assert not insight.distribution.negative


def test_costs_are_reported_by_role(tasks, runner):
    learner = fitted(tasks[:12], runner, workers=1, iterations=0)
    usage = learner.usage()
    assert usage["programmer.code"].calls >= 36
    report = cost_report(usage)
    assert "extractor.formulation" in report
    assert report.splitlines()[-1].split()[1] == str(sum(spent.calls for spent in usage.values()))


def test_evaluation_gives_accuracy_and_pass_at_k(tasks, runner):
    learner = fitted(tasks, runner, workers=1, iterations=0)
    report = evaluate(learner, [made.task for made in tasks[:8]], pass_at=(1, 3))
    assert report.samples == 3
    assert report.accuracy.count == 8
    assert report.pass_at(1) <= report.pass_at(3) <= 1
    assert report.macro({"all": [made.task.id for made in tasks[:8]]}) == report.accuracy.value
    with pytest.raises(ValueError, match="k must be"):
        report.pass_at(4)
    assert wrong_insights(learner.library) == ()


def test_solving_does_not_look_at_the_answer(tasks, runner):
    learner = fitted(tasks, runner, workers=1, iterations=0)
    made = tasks[0]
    honest = learner.solve(made.task)
    blind = learner.solve(replace(made.task, answers=dict.fromkeys(made.task.answers, 0.0)))
    assert honest.values == blind.values
    assert honest.values["objective"] == pytest.approx(made.task.truths[0])
    assert honest.notes["insights"]


def test_a_program_that_was_stopped_is_not_run_again_for_the_report():
    calls = []

    def execute(code):
        calls.append(code)
        return Printed("timeout", {}, "stopped after 20 s")

    with AlphaOPT(Scripted(["f", "print(1)"]), runner=Runner(execute)) as learner:
        attempt = learner.solve(Task.of("t", "text", 1))
    assert (attempt.status, attempt.error, len(calls)) == ("timeout", "stopped after 20 s", 1)


@pytest.mark.parametrize("options", [{"rewrite": True}, {"use_taxonomy": False, "official": "freeloaders"}])
def test_variants_learn_too(tasks, runner, options):
    learner = fitted(tasks[:18], runner, workers=1, iterations=0, **options)
    report = evaluate(learner, [made.task for made in tasks[:18]])
    assert report.accuracy.value == 1.0


def test_a_model_that_talks_nonsense_teaches_nothing_and_breaks_nothing(tasks, runner):
    chat = Scripted(lambda messages, **options: "I am a teapot {")
    learner = fitted(tasks[:4], runner, chat=chat, workers=1, iterations=2)
    assert len(learner.library) == 0
    assert set(learner.records["train000"].statuses) == {"parse_error"}
    assert learner.solve(tasks[0].task).status == "parse_error"


def test_a_model_that_answers_no_more_leaves_a_state_to_resume(tasks, runner, tmp_path):
    oracle = SimulatedOracle(tasks, seed=SEED)

    class Offline:
        name, left = oracle.name, 300

        def chat(self, messages, **options):
            self.left -= 1
            if self.left < 0:
                raise ChatTimeout("no answer")
            return oracle.chat(messages, **options)

    with pytest.raises(ChatTimeout):
        fitted(tasks, runner, tmp_path, Offline(), workers=2)
    whole = fitted(tasks, runner, workers=1)
    assert fitted(tasks, runner, tmp_path).library.dumps() == whole.library.dumps()
