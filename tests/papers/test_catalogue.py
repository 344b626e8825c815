from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimand.core import catalog
from optimand.core.validation import OptimandError, UnknownNameError
from optimand.papers import STATUSES, Paper, claims, get_paper, listed_claims, load_papers, search_papers
from optimand.papers.search import STOP_WORDS, Search, words

ROOMS = {
    "combinatorial/memory_mapping",
    "combinatorial/submodular",
    "discovery",
    "generative/diffusion",
    "generative/transport",
    "language/modeling",
    "language/workflows",
    "numerical/bilevel",
    "numerical/constrained",
    "numerical/linear_systems",
    "numerical/monotone",
    "offline",
    "online",
    "optim",
    "rl",
    "training",
    "training/profile",
    "training/quantization",
}

# What somebody might type, the papers that should come up, and within how many places.
QUERIES = [
    ("low memory optimizer state", {"apollo", "blockwise-8bit", "frugal"}, 4),
    ("bandit with few arms in memory", {"streaming-bandits"}, 3),
    ("LLM writes optimization models", {"alphaopt", "optibench-resocratic"}, 3),
    ("preconditioner parameter tuning", {"learning-to-relax"}, 3),
    ("sign momentum optimizer", {"symbolic-discovery-lion"}, 3),
    ("evolutionary search for new optimizers", {"symbolic-discovery-lion"}, 3),
    ("weight decay as a bound constraint", {"lion-k-constrained"}, 3),
    ("batch size that grows during training", {"adadagrad"}, 3),
    ("hyperparameter tuning as a bilevel problem", {"bilevel-penalty"}, 3),
    ("deleting elements from a submodular maximization", {"dynamic-submodular"}, 3),
    ("equality constrained nonlinear programming", {"exact-al-sketching"}, 3),
    ("saddle point games with finite sums", {"variance-reduced-halpern"}, 3),
    ("hidden context revealed after the episode", {"latent-mdp-horizon-free"}, 3),
    ("adversarial losses in reinforcement learning", {"adversarial-linear-mdp"}, 3),
    ("queueing control without episodes or discounting", {"loop-average-reward"}, 3),
    ("offline data to warm start exploration", {"actor-critic-optimal"}, 3),
    ("black-box design from a fixed dataset", {"ignite-offline"}, 3),
    ("compare point clouds", {"sliced-wasserstein-vdsw"}, 3),
    ("combine diffusion models at sampling time", {"feynman-kac-correctors"}, 3),
    ("optimize prompts of an agent", {"trace-opto"}, 3),
    ("place tensors in fast on-chip memory", {"malloc-muzero"}, 3),
    ("which optimizer survives 4-bit quantization", {"optimizers-under-quantization"}, 3),
    ("does the choice of optimizer change the learned representation", {"optimizers-qualitatively-alter"}, 3),
    ("expensive simulator gradients, cheap model", {"target-surrogates-sso"}, 3),
    ("gradual variation between stochastic and adversarial losses", {"optimistic-omd-sea"}, 3),
    ("linear model that is slightly wrong, sparse parameter", {"sparse-misspecified-bandits"}, 3),
    ("better Adam", {"exadam"}, 3),
    ("quantize Adam moments to bytes", {"blockwise-8bit"}, 3),
    ("train a large language model on one GPU", {"apollo"}, 3),
    ("catastrophic forgetting", {"optimizers-qualitatively-alter"}, 3),
    ("protein design with surrogate models", {"ignite-offline"}, 3),
    ("Kaczmarz", {"exact-al-sketching"}, 3),
    ("von Mises-Fisher", {"sliced-wasserstein-vdsw"}, 3),
    ("compiler memory allocation", {"malloc-muzero"}, 3),
    ("AlphaZero style tree search", {"malloc-muzero"}, 3),
    ("Muon spectral norm", {"lion-k-constrained"}, 3),
    ("sequential Monte Carlo resampling", {"feynman-kac-correctors"}, 3),
    ("experiment platform where candidates arrive once", {"streaming-bandits"}, 3),
    ("successive over-relaxation", {"learning-to-relax"}, 3),
    ("word problems solved with a solver program", {"optibench-resocratic"}, 3),
    ("variational inequalities", {"variance-reduced-halpern"}, 3),
    ("meta-learning without Hessians", {"bilevel-penalty"}, 3),
    ("imitation learning", {"target-surrogates-sso"}, 3),
    ("video summarization sliding window", {"dynamic-submodular"}, 3),
    ("regret when nature drifts", {"optimistic-omd-sea"}, 3),
    ("tracing Python programs", {"trace-opto"}, 3),
    ("network routing with changing costs", {"adversarial-linear-mdp"}, 3),
    ("I run out of GPU memory when training", {"apollo", "blockwise-8bit", "frugal"}, 5),
    ("automatically discovered algorithm", {"symbolic-discovery-lion"}, 3),
    ("bounded weights", {"lion-k-constrained"}, 3),
    ("choose minibatch sizes automatically", {"adadagrad"}, 3),
    ("find Nash equilibria", {"variance-reduced-halpern"}, 3),
    ("stochastic gradients with nested problems", {"bilevel-penalty"}, 3),
    ("solving many similar sparse linear systems", {"learning-to-relax"}, 3),
    ("Newton method with constraints", {"exact-al-sketching"}, 3),
    ("choosing k representative items from a changing set", {"dynamic-submodular"}, 3),
    ("no access to further experiments, only logged data", {"ignite-offline"}, 3),
    ("ask ChatGPT to improve my code", {"trace-opto"}, 3),
    ("operations research benchmark for language models", {"optibench-resocratic"}, 3),
    ("Wasserstein distances", {"sliced-wasserstein-vdsw"}, 3),
    ("guided image generation", {"feynman-kac-correctors"}, 3),
    ("low-bit deployment", {"optimizers-under-quantization"}, 3),
    ("POMDPs", {"latent-mdp-horizon-free"}, 3),
    ("long-run average cost control", {"loop-average-reward"}, 3),
    ("exploration with a pretrained critic", {"actor-critic-optimal"}, 3),
    ("data arrives one at a time, distribution shift", {"optimistic-omd-sea"}, 3),
    ("implicit regularization of optimizers", {"optimizers-qualitatively-alter"}, 3),
    ("quantizing", {"blockwise-8bit", "optimizers-under-quantization"}, 2),
    ("regularisation by weight decay", {"lion-k-constrained"}, 3),
    ("Dettmers", {"blockwise-8bit"}, 1),
]

every_paper = pytest.mark.parametrize("paper", load_papers(), ids=lambda paper: paper.slug)


def test_there_are_29_papers():
    assert len(load_papers()) == 29


def test_no_name_leads_to_two_papers():
    names = [name for paper in load_papers() for name in (paper.slug, *paper.aliases, paper.arxiv)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and re.fullmatch(r"[a-z0-9.-]+", name) for name in names)


def test_titles_and_summaries_are_all_different():
    assert len({paper.title for paper in load_papers()}) == 29
    assert len({paper.summary for paper in load_papers()}) == 29


@every_paper
def test_fields_are_filled_and_in_range(paper):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+|[a-z]+", paper.slug)
    assert re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
    assert paper.year == 2000 + int(paper.arxiv[:2])
    assert 1 <= int(paper.arxiv[2:4]) <= 12
    assert 1 <= paper.authors <= 30
    assert len(paper.first_author.split()) >= 2
    assert paper.status in STATUSES
    assert set(paper.room.split(", ")) <= ROOMS
    assert paper.aliases
    assert len(paper.keywords) >= 8
    assert len(set(paper.keywords)) == len(paper.keywords)
    assert paper.title == " ".join(paper.title.split())


@every_paper
def test_venue_is_a_preprint_or_names_a_year_from_the_first_version_on(paper):
    match = re.fullmatch(r"(ICLR|ICML|MLSys|NeurIPS) (\d{4})", paper.venue)
    assert paper.venue == "arXiv preprint" or match
    # A conference paper may reach arXiv shortly after its conference.
    assert match is None or paper.year - 1 <= int(match[2]) <= paper.year + 2


@every_paper
def test_summary_is_one_paragraph_of_three_to_six_sentences(paper):
    assert 200 <= len(paper.summary) <= 1200
    assert "\n" not in paper.summary
    assert "  " not in paper.summary
    assert paper.summary.endswith(".")
    assert 3 <= len(re.findall(r"[.?!](?=\s|$)", paper.summary)) <= 6
    assert not paper.summary.lower().startswith(paper.title.split(":")[0].lower())


@every_paper
def test_methods_are_named_exactly_where_something_is_implemented(paper):
    assert bool(paper.methods) == (paper.status != "planned")


def test_what_is_implemented():
    by_status = {status: {p.slug for p in load_papers() if p.status == status} for status in STATUSES}
    assert by_status["implemented"] == {
        "lion-k-constrained", "exadam", "blockwise-8bit", "apollo", "frugal", "learning-to-relax", "exact-al-sketching",
        "bilevel-penalty", "variance-reduced-halpern", "streaming-bandits", "sparse-misspecified-bandits",
        "optimistic-omd-sea", "dynamic-submodular", "malloc-muzero", "ignite-offline", "trace-opto",
        "optibench-resocratic", "alphaopt",
    }  # fmt: skip
    assert by_status["partial"] == {"symbolic-discovery-lion"}


def test_papers_of_methods_are_in_the_catalogue():
    known = catalog.methods()
    slugs = {paper.slug for paper in load_papers()}
    assert {m.paper for m in known.values() if m.origin.startswith("optimand.") and m.paper} <= slugs


def test_papers_are_loaded_once_and_cannot_be_changed():
    paper = load_papers()[0]
    assert load_papers()[0] is paper
    with pytest.raises(FrozenInstanceError):
        paper.year = 1999


@every_paper
def test_every_name_finds_its_paper(paper):
    for name in (paper.slug, *paper.aliases, paper.arxiv, f" {paper.slug.upper()} ", f"arXiv:{paper.arxiv}"):
        assert get_paper(name) is paper


def test_unknown_paper_suggests_the_nearest_names():
    with pytest.raises(UnknownNameError, match=r"unknown paper 'symbolic-lion'.*'symbolic-discovery-lion'"):
        get_paper("symbolic-lion")
    with pytest.raises(UnknownNameError, match=r"unknown paper 'zzz'; 'optimand papers' lists all"):
        get_paper("zzz")


def test_name_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match="name must be a string, got 7"):
        get_paper(7)


@every_paper
def test_dictionary_survives_json_and_rebuilds_the_paper(paper):
    plain = json.loads(json.dumps(paper.to_dict()))
    assert plain == paper.to_dict()
    assert plain.pop("url") == paper.url == f"https://arxiv.org/abs/{paper.arxiv}"
    assert Paper(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}) == paper


def test_byline_names_others_only_where_there_are_some():
    assert get_paper("exadam").byline == "Ahmed M. Adly (2024)"
    assert get_paper("lion").byline == "Xiangning Chen et al. (2023)"


@pytest.mark.parametrize(("query", "expected", "places"), QUERIES, ids=[query for query, _, _ in QUERIES])
def test_query_in_plain_words_finds_its_papers(query, expected, places):
    found = [paper.slug for paper, _ in search_papers(query, limit=places)]
    assert expected <= set(found), found


def test_scores_are_those_of_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [paper.summary for paper in load_papers()]
    search = Search(texts)
    levels = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words=sorted(STOP_WORDS)),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )
    vectors = [level.fit_transform(texts) for level in levels]
    for query, _, _ in QUERIES:
        expected = []
        for level, vector in zip(levels, vectors, strict=True):
            content = " ".join(words(query))
            terms = [t for t in level.build_analyzer()(content) if " " not in t.strip()]
            share = sum(t in level.vocabulary_ for t in terms) / max(len(terms), 1)
            expected.append(share * (vector @ level.transform([content]).T).toarray().ravel())
        np.testing.assert_allclose(search.scores(query), sum(expected) / 2, atol=1e-12)


@every_paper
def test_the_name_of_a_paper_puts_it_first(paper):
    for name in (paper.slug, *paper.aliases, paper.arxiv):
        assert search_papers(name, limit=1) == [(paper, 1.0)]
    assert search_papers(paper.title, limit=1)[0][0] is paper


def test_scores_fall_and_the_limit_cuts_without_reordering():
    everything = search_papers("memory of an optimizer", limit=29)
    scores = [score for _, score in everything]
    assert scores == sorted(scores, reverse=True)
    assert len(everything) > 3
    assert search_papers("memory of an optimizer", limit=3) == everything[:3]


def test_inflection_and_case_do_not_hide_a_paper():
    for query in ("quantize", "QUANTIZED", "quantization", "quantisation"):
        assert "blockwise-8bit" in [paper.slug for paper, _ in search_papers(query, limit=4)], query


@pytest.mark.parametrize("query", ["zebra pizza", "croissant recipe with butter", "the of and", "xqzt", "日本語"])
def test_query_foreign_to_the_catalogue_finds_nothing(query):
    assert search_papers(query) == []


@pytest.mark.parametrize("query", ["", "   ", "?!", "--"])
def test_query_without_a_word_is_refused(query):
    with pytest.raises(OptimandError, match="query must contain a word to search for, got "):
        search_papers(query)


def test_wrong_types_and_limits_are_refused():
    with pytest.raises(TypeError, match="query must be a string, got None"):
        search_papers(None)
    with pytest.raises(TypeError, match="limit must be an integer, got '3'"):
        search_papers("memory", limit="3")
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        search_papers("memory", limit=0)


@given(st.text(max_size=60))
def test_any_text_gives_scores_between_0_and_1_or_a_clear_refusal(query):
    try:
        found = search_papers(query, limit=29)
    except OptimandError:
        assert not any(char.isalnum() for char in query)
        return
    assert all(0.0 < score <= 1.0 for _, score in found)
    assert len({paper.slug for paper, _ in found}) == len(found)


def test_the_documented_tables_say_of_each_claim_what_its_paper_does():
    page = Path(__file__).parents[2] / "docs" / "reproducing.md"
    rows = {line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")}
    for slug in listed_claims():
        for claim in claims(slug):
            said = (claim.sentence, claim.paper_value, claim.reference or "–")
            start = " | ".join(text.replace("|", r"\|") for text in said)
            assert any(row.startswith(f"| {start} | ") for row in rows), (slug, claim.name)
