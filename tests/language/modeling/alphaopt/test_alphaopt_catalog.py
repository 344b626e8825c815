"""The catalog's method and the paper's claims."""

import numpy as np
import pytest

from optimand.core import catalog
from optimand.core.validation import OptimandError
from optimand.language.llm import Scripted
from optimand.language.modeling.alphaopt import AlphaOPT, ExperienceLibrary, SimulatedOracle, make_tasks
from optimand.language.modeling.alphaopt import method as entry
from optimand.language.modeling.benchmarks.grading import grade
from optimand.language.modeling.execution import ModelingProblem
from optimand.language.modeling.loop import Tools, blind
from optimand.papers import get_paper
from optimand.papers.alphaopt import claims

FAST = ("refinement score", "merge safety", "search for what was not retrieved")


def test_the_method_learns_on_the_training_split_and_solves_blind_problems():
    made = make_tasks(24, 2)
    problems = [ModelingProblem(m.task.id, m.task.description, "linear-notable", dict(m.task.answers)) for m in made]
    from optimand.language.modeling.execution import open_sandbox

    with open_sandbox(workers=1) as sandbox:
        tools = Tools(sandbox, seed=0, default=SimulatedOracle(made))
        method = catalog.methods()["alphaopt"]
        solver = method.build(tools, **{**method.defaults, "iterations": 0})
        before = [grade(p, solver.solve(blind(p))).correct for p in problems[18:]]
        solver.learn(problems[:18])
        after = [grade(p, solver.solve(blind(p))).correct for p in problems[18:]]
    assert np.mean(before) == 0
    assert np.mean(after) == 1
    assert tools.usage.calls > 0
    assert entry.PAPER == "alphaopt"


def test_each_hyperparameter_reaches_the_learner(tmp_path):
    library = ExperienceLibrary()
    library.save(tmp_path / "library.json")
    tools = Tools(object(), seed=3, default=Scripted([]))
    given = {"attempts": 3, "iterations": 2, "rewrite": True, "workers": 1, "train": 2}
    method = catalog.methods()["alphaopt"]
    chosen = {**method.defaults, **given, "library": str(tmp_path / "library.json"), "advanced": "embedded"}
    solver = method.build(tools, **chosen)
    settings = solver.learner.settings
    assert (settings.attempts, settings.iterations, settings.rewrite, settings.seed) == (3, 2, True, 3)
    assert solver.learner.workers == 1
    assert solver.learner.asker.advanced is not solver.learner.asker.base
    fitted = []
    solver.learner.fit = lambda problems: fitted.append(len(problems))
    solver.learn(["a", "b", "c"])
    assert fitted == [2]
    with pytest.raises(OptimandError, match="no such file"):
        method.build(tools, **{**chosen, "library": str(tmp_path / "none.json")})


def test_the_embedded_model_is_not_made_to_learn():
    made = make_tasks(6, 2)
    oracle = SimulatedOracle(made)
    oracle.name = "embedded something"
    tools = Tools(object(), seed=0, default=oracle)
    method = catalog.methods()["alphaopt"]
    solver = method.build(tools, **method.defaults)
    solver.learn([ModelingProblem(m.task.id, m.task.description, "linear-notable", dict(m.task.answers)) for m in made])
    assert tools.usage.calls == 0
    assert len(solver.learner.library) == 0


def test_claims_belong_to_the_paper_and_have_names_of_their_own():
    assert get_paper(claims.PAPER).arxiv == "2510.18428"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("claim", [c for c in claims.CLAIMS if c.name in FAST], ids=lambda c: c.name)
def test_a_fast_claim_holds(claim):
    pytest.importorskip("pyscipopt")
    finding = claim.check()
    assert finding.holds, f"{finding.value} ({finding.detail})"
    assert finding.detail


def test_the_endpoint_s_form_runs_and_can_fail(monkeypatch, runner):
    made = make_tasks(claims.TRAIN + claims.TEST, 0, gold=False)
    monkeypatch.setattr(claims, "_has_data", lambda: False)
    for right, holds in ((1.0, True), (0.0, False)):
        oracle = SimulatedOracle(made, right=right)
        monkeypatch.setattr(
            claims,
            "_with_endpoint",
            lambda: AlphaOPT(oracle, runner=runner, attempts=1, iterations=1, workers=1),  # noqa: B023
        )
        finding = claims.accuracy_grows()
        assert finding.holds is holds, finding
        assert "generated tasks" in finding.detail


def test_the_paper_s_numbers_need_a_model_unless_one_is_configured(monkeypatch):
    for name in ("OPTIMAND_LLM", "OPTIMAND_LLM_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert not claims._has_endpoint()
    monkeypatch.setenv("OPTIMAND_LLM", "openai:some-model")
    assert claims._has_endpoint()
