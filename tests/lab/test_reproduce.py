import json
import math
from pathlib import Path

import pytest

from optimand.core.claims import Claim, Finding, StudySpec
from optimand.core.validation import OptimandError
from optimand.lab import reproduce as module
from optimand.lab.reproduce import StudyOutcomes, check_claim, read_claims, reproduce
from optimand.lab.study import Study
from optimand.papers import claims as papers_claims
from optimand.papers import get_paper

TOY = str(Path(__file__).with_name("toy.py"))
PROBLEM, GD, SIGN, BOOM = f"{TOY}:problem:budget=20", f"{TOY}:gd", f"{TOY}:sign", f"{TOY}:exploding"
SPEC = StudySpec((PROBLEM,), (GD, SIGN, BOOM), seeds=2)

# It runs a smaller problem in the place of the one that the check asks for.
SMALL = StudySpec((f"{TOY}:problem:budget=10",), (GD, SIGN), seeds=1)


def better(outcomes):
    gd, sign = outcomes.mean(PROBLEM, GD), outcomes.mean(PROBLEM, SIGN)
    return Finding(f"{gd:.3f} against {sign:.3f}", gd < sign)


CLAIMS = [
    Claim("exadam", "computed", "Two and two make four.", "4", check=lambda: Finding("4", True, "by counting")),
    Claim("exadam", "wrong", "Two and two make five.", "5", check=lambda: Finding("4", False)),
    Claim("exadam", "broken", "A check that raises.", "?", check=lambda: 1 / 0),
    Claim("exadam", "studied", "One is better.", "yes", better, SPEC, SMALL),
    Claim("exadam", "shared", "Another on the same study.", "yes", better, SPEC, SMALL),
    Claim("exadam", "huge", "Too large.", "11B", untestable="needs a data centre"),
]  # fmt: skip


@pytest.fixture
def claims(monkeypatch):
    monkeypatch.setattr("optimand.papers.exadam.claims.CLAIMS", CLAIMS)


def test_each_claim_gets_its_verdict(claims, tmp_path):
    titles = []

    def observe(title):
        import contextlib

        titles.append(title)
        return contextlib.nullcontext(None)

    place = reproduce("exadam", small=True, folder=tmp_path, jobs=1, observe=observe)
    reproduction = read_claims(place)
    found, studies = reproduction.claims, reproduction.studies
    assert (reproduction.paper, reproduction.small) == ("exadam", True)
    verdicts = {c.name: c.verdict for c in found}
    assert verdicts["computed"] == "holds"
    assert verdicts["wrong"] == "falls short"
    assert verdicts["broken"] == "not checked"
    assert verdicts["huge"] == "not testable here"
    assert verdicts["studied"] == verdicts["shared"] == "not judged"
    by_name = {c.name: c for c in found}
    assert "ZeroDivisionError" in by_name["broken"].detail
    assert by_name["huge"].detail == "needs a data centre"
    assert len(titles) == len(studies) == 1  # one study serves both claims
    assert by_name["studied"].study == by_name["shared"].study
    assert by_name["studied"].study.endswith(studies[0][1].info["digest"])
    again = reproduce("exadam", small=True, folder=tmp_path, jobs=1)
    assert read_claims(again).claims == found


def test_what_claims_may_ask(tmp_path):
    study = Study(SPEC, folder=tmp_path / "s", jobs=2)
    outcomes = StudyOutcomes(study.run())
    values = outcomes.values(PROBLEM, GD)
    assert len(values) == 2
    assert outcomes.mean(PROBLEM, GD) == pytest.approx(sum(values) / 2)
    assert outcomes.mean(PROBLEM, GD, metric="loss", split="valid") == pytest.approx(sum(values) / 2)
    assert all(math.isnan(v) for v in outcomes.values(PROBLEM, BOOM))
    at, curves = outcomes.curve(PROBLEM, GD, metric="loss", split="valid")
    assert at == [5, 10, 15, 20]
    assert [len(c) for c in curves] == [2] * 4
    lost = outcomes.curve(PROBLEM, BOOM, metric="loss", split="valid")
    assert all(math.isnan(v) for row in lost[1] for v in row)
    assert outcomes.cost(PROBLEM, GD, "state_bytes") == 0.0
    assert math.isnan(outcomes.cost(PROBLEM, GD, "no_such_cost"))
    assert outcomes.best_hyper(PROBLEM, GD) == {"lr": 0.1}
    with pytest.raises(OptimandError, match="no runs of 'lion'"):
        outcomes.mean(PROBLEM, "lion")


def test_a_paper_without_claims_is_told_apart(tmp_path):
    with pytest.raises(OptimandError, match="not implemented yet"):
        reproduce("feynman-kac-correctors", folder=tmp_path)
    with pytest.raises(OptimandError, match="did you mean"):
        reproduce("exadan", folder=tmp_path)


def test_a_check_without_its_study_is_an_error_not_a_verdict():
    found = check_claim(CLAIMS[3], None, None)
    assert found.verdict == "not checked"
    assert "study was not run" in found.detail


@pytest.mark.parametrize("content", [None, "{", '{"paper": "exadam"}'])
def test_missing_or_damaged_claims_are_named(tmp_path, content):
    if content is not None:
        (tmp_path / "claims.json").write_text(content)
    with pytest.raises(OptimandError, match=r"claims\.json"):
        read_claims(tmp_path)


def test_claims_are_stored_as_json(claims, tmp_path):
    place = reproduce("exadam", small=True, folder=tmp_path, jobs=1)
    content = json.loads((place / "claims.json").read_text())
    assert content["claims"][0]["verdict"] == "holds"
    assert module.study_title(["a", "b"], 3, 0) == "a + b: 3 seeds, defaults"


# Those of the memory-efficient optimizers rest on the same studies, which are made once.
@pytest.mark.parametrize(
    "papers",
    [
        ["lion"], ["lion-k"], ["exadam"], ["blockwise-8bit", "apollo", "frugal"],
        ["relax"], ["adasketch-newton"], ["bilevel"], ["halpern"],
    ],
)  # fmt: skip
def test_the_papers_claims_on_studies_can_be_checked_in_their_small_form(papers, tmp_path, monkeypatch):
    """Every check runs on real results without an error; whether a claim holds is for the full size to say.

    The claims without a study are checked with their rooms.
    """
    for paper in papers:
        slug = get_paper(paper).slug
        on_studies = [claim for claim in papers_claims(slug) if claim.study or not claim.check]
        monkeypatch.setattr(f"optimand.papers.{slug.replace('-', '_')}.claims.CLAIMS", on_studies)
        place = reproduce(paper, small=True, folder=tmp_path, jobs=1)
        found = read_claims(place).claims
        assert len(found) == len(on_studies) > 0
        assert {c.verdict: c.detail for c in found if c.verdict == "not checked"} == {}
        assert all(c.value and c.paper_value for c in found)
