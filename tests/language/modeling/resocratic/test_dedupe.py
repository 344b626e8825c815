"""Near-duplicates: exact similarities, a fixed point, the order kept, and the same pairs as all pairs give."""

from __future__ import annotations

import numpy as np
import pytest

from optimand.language.modeling.resocratic import TemplateGenerator, dedupe, similarities

TEXTS = [
    "A bakery makes chocolate cakes and vanilla cakes each day",
    "A bakery makes chocolate cakes and vanilla cakes every day",
    "A farmer plants wheat and corn on land",
    "A bakery makes bread",
]
STOP = ("a", "an", "and", "the", "on", "each", "every")


def sentences(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    words = [f"w{k}" for k in range(60)]
    return [" ".join(rng.choice(words, rng.integers(1, 14), p=rng.dirichlet(np.full(60, 0.1)))) for _ in range(n)]


def test_similarities_of_four_sentences() -> None:
    found = similarities(TEXTS, stop_words=STOP)
    assert found[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert found[0, 2] == 0
    assert found[0, 3] == pytest.approx(0.2661, abs=5e-5)
    assert dedupe(TEXTS, stop_words=STOP) == [0, 2, 3]


def test_similarities_are_those_of_scikit_learn() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = [*TEXTS, "Rye, rye bread; 12.5 kg of RYE", "café au lait at 7"]
    rows = text.TfidfVectorizer(stop_words=list(STOP)).fit_transform(texts)
    np.testing.assert_allclose(similarities(texts, stop_words=STOP), (rows @ rows.T).toarray(), atol=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_one_pass_is_greedy_on_all_pairs(threshold, seed) -> None:
    texts = sentences(700, seed)
    near = similarities(texts) > threshold
    kept: list[int] = []
    for k in range(len(texts)):
        if not near[k, kept].any():
            kept.append(k)
    assert dedupe(texts, threshold, until_stable=False) == kept


@pytest.mark.parametrize("seed", range(4))
def test_the_result_is_idempotent_and_keeps_the_order(seed) -> None:
    texts = sentences(300, seed)
    kept = dedupe(texts, 0.5)
    assert kept == sorted(kept)
    assert dedupe([texts[k] for k in kept], 0.5) == list(range(len(kept)))
    left = similarities([texts[k] for k in kept])
    np.fill_diagonal(left, 0)
    assert left.max() <= 0.5


def test_a_single_pass_is_not_idempotent_in_general_so_passes_are_repeated() -> None:
    cases = [sentences(300, seed) for seed in range(12)]
    single = [dedupe(texts, 0.5, until_stable=False) for texts in cases]
    assert any(
        dedupe([t[k] for k in kept], 0.5) != list(range(len(kept))) for t, kept in zip(cases, single, strict=True)
    )


def test_accepted_texts_stay_and_count() -> None:
    assert dedupe(["rye bread", "oats"], accepted=["bread of rye"]) == [1]
    assert dedupe([], accepted=["x"]) == []


def test_nothing_is_more_similar_than_one() -> None:
    texts = [" ".join(f"w{k}" for k in range(n, n + 7)) for n in range(40)] * 2
    assert dedupe(texts, 1.0) == list(range(80))


@pytest.mark.parametrize("seed", range(3))
def test_one_pass_with_accepted_texts_is_greedy_on_all_pairs(seed) -> None:
    texts = sentences(700, seed)
    near = similarities(texts) > 0.6
    kept = list(range(90))
    for k in range(90, 700):
        if not near[k, kept].any():
            kept.append(k)
    assert [90 + k for k in dedupe(texts[90:], 0.6, accepted=texts[:90], until_stable=False)] == kept[90:]


def test_texts_without_words_are_no_duplicates() -> None:
    assert dedupe(["", "the", "a"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("texts", "threshold", "error"), [("one text", 0.7, TypeError), ([1], 0.7, TypeError), (["a"], 1.5, ValueError)]
)
def test_bad_arguments_are_refused(texts, threshold, error) -> None:
    with pytest.raises(error):
        dedupe(texts, threshold)


def test_questions_of_distinct_templates_have_no_near_duplicates() -> None:
    items = TemplateGenerator(1).distinct(60, "nonlinear-table")
    for texts in ([item.question for item in items], [item.scenario.opening for item in items]):
        found = similarities(texts)
        np.fill_diagonal(found, 0)
        assert found.max() <= 0.7
