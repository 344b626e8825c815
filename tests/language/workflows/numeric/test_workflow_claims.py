"""The claims of Trace in the form that they are reproduced in; those that need a model, with scripted ones."""

import pytest

from optimand.core.claims import Finding
from optimand.language.llm import Scripted
from optimand.papers import get_paper
from optimand.papers.trace_opto import claims, model_claims
from optimand.papers.trace_opto.small_searches import bisect, guess

COMPUTED = (
    claims.one_number,
    claims.three_numbers,
    claims.minimal_subgraphs,
    claims.calls_of_a_step,
    claims.feedback_from_exceptions,
)


@pytest.mark.parametrize("check", COMPUTED, ids=lambda check: check.__name__)
def test_a_computed_claim_holds(check):
    finding = check()
    assert finding.holds, f"{finding.value} ({finding.detail})"
    assert finding.value
    assert finding.detail


def test_the_cost_of_backward_is_measured():
    assert isinstance(claims.linear_backward(200), Finding)


def test_claims_belong_to_the_paper_and_have_names_of_their_own():
    assert get_paper(claims.PAPER).arxiv == "2406.16218"
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_the_guessing_game_needs_a_player():
    assert all(bisect(target, 8) for target in range(101))
    assert not bisect(93, 2)
    assert not guess(Scripted(lambda messages, **options: '{"x": 50}'), 51, 3)

    def clever(messages, *, response_format, **options):
        bounds = response_format["json_schema"]["schema"]["properties"]["x"]
        return f'{{"x": {(bounds["minimum"] + bounds["maximum"]) // 2}}}'

    assert guess(Scripted(clever), 51, 7, narrowed=True)
    assert not guess(Scripted(clever), 51, 7)


def test_a_claim_on_the_embedded_model_says_what_is_missing_where_it_is_not_installed(monkeypatch):
    from optimand.language.llm import EmbeddedModel

    monkeypatch.setattr(EmbeddedModel, "available", staticmethod(lambda: False))
    assert "pip install xllamacpp" in claims._where_embedded(model_claims.embedded_guesses)["untestable"]
    monkeypatch.setattr(EmbeddedModel, "available", staticmethod(lambda: True))
    assert claims._where_embedded(model_claims.embedded_guesses) == {"check": model_claims.embedded_guesses}


def test_claims_with_a_model_are_judged(monkeypatch):
    import optimand.language.llm

    reply = '{"reasoning": "r", "answer": "a", "suggestion": {"x0": 0.0}} <improved>0.0</improved>'
    monkeypatch.setattr(optimand.language.llm, "open_chat", lambda spec=None: Scripted([reply], repeat=True))
    assert not model_claims.numeric_with_a_model().holds
    finding = model_claims.textgrad_with_a_model()
    assert "times as long" in finding.value
    assert not model_claims.traffic_with_a_model().holds
    assert not model_claims.battleship_with_a_model().holds
