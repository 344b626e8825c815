"""The language-model problem: the papers' test-bed as published, other sizes, texts and tokenizers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from optimand.core import catalog
from optimand.core.validation import OptimandError
from optimand.data import TextData, load
from optimand.optim import QuantizedLinear
from optimand.training.llama import SMALL
from optimand.training.problems.llama import PRESETS

from .conftest import method, run

ADAMW = method(torch.optim.AdamW, lr=3e-3)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIMAND_CACHE", str(tmp_path))


def problem(text=""):
    return catalog.get_problem("llama-lm" + (f":{text}" if text else ""))


def test_default_is_the_papers_setup():
    paper = problem()
    settings, data = paper.settings, paper.loaded
    assert (paper.budget, settings.batch_size, data.context, settings.clip) == (400, 16, 64, None)
    assert len(data.train) == 1_425_000
    model = paper.model()
    assert sum(p.numel() for name, p in model.named_parameters() if "proj" in name) == 395_264
    assert float(model.layers[0].mlp.up_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    # (t + 1) / 40 for t < 40, then 0.1 + 0.9 (1 + cos(pi (t - 40) / 360)) / 2
    for t in (0, 17, 39):
        assert settings.factor(t, 400) == pytest.approx((t + 1) / 40)
    for t in (40, 123, 399):
        assert settings.factor(t, 400) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * (t - 40) / 360)) / 2)


def test_validation_can_read_the_first_640_consecutive_windows_of_the_tail():
    data = problem("evaluate=40960").loaded
    text = torch.tensor(load("pystdlib_head").valid)
    x = torch.cat([batch[0] for batch in data.batches("valid")])
    y = torch.cat([batch[1] for batch in data.batches("valid")])
    assert torch.equal(x.flatten(), text[:40_960].long())
    assert torch.equal(y.flatten(), text[1:40_961].long())


def test_it_learns_and_reports_bits_per_byte():
    recorder = run(problem("evaluations=2,evaluate=2048"), ADAMW, budget=30)
    first, last = [r.value for r in recorder.records if (r.split, r.metric) == ("valid", "bits_per_byte")]
    assert last < first < 8
    assert recorder.last("test", "bits_per_byte") < 6


@pytest.mark.parametrize("size", list(PRESETS))
def test_sizes_have_their_model_and_budget(size):
    sized = problem(f"size={size}")
    assert sized.budget == PRESETS[size].budget
    with torch.device("meta"):
        model = sized.model()
    assert sum(p.numel() for n, p in model.named_parameters() if "proj" in n) == SMALL[size].matrices
    assert model.config.vocab == 256
    assert (sized.target is None) == (size != "paper")


def test_60m_with_the_papers_vocabulary_is_the_papers_model():
    pytest.importorskip("tokenizers")
    with torch.device("meta"):
        model = problem("size=60m,tokenizer=bpe:32000").model()
    assert sum(p.numel() for p in model.parameters()) == 58_073_600


def test_bits_per_byte_of_tokens_are_those_of_the_text():
    """A model of uniform probabilities needs log2(vocabulary) bits a token, whatever the tokens' lengths."""
    pytest.importorskip("tokenizers")
    tokens = problem("tokenizer=bpe:512,context=16,evaluate=512")
    data = tokens.loaded
    model = tokens.model()
    torch.nn.init.zeros_(model.lm_head.weight)
    for split in ("valid", "test"):
        batches = list(data.batches(split))
        from optimand.training.objective import evaluate

        values = evaluate(model, model, tokens.objective.metrics, batches)
        targets = torch.cat([y.flatten() for _, y, _ in batches])
        size = int(data.lengths[targets].sum())
        assert values["bits_per_byte"] == pytest.approx(len(targets) * 9 / size, rel=1e-5)
        assert values["loss"] == pytest.approx(math.log(512), rel=1e-5)


def test_tokens_train_and_are_shorter_than_bytes():
    pytest.importorskip("tokenizers")
    tokens = problem("tokenizer=bpe:512,context=16,evaluate=512,evaluations=2")
    assert tokens.loaded.size("train") < 0.6 * problem().loaded.size("train")
    assert " tokens" in tokens.summary
    recorder = run(tokens, ADAMW, budget=20)
    first, last = [r.value for r in recorder.records if (r.split, r.metric) == ("valid", "bits_per_byte")]
    assert last < first
    assert recorder.last("train", "loss") == pytest.approx(
        recorder.last("train", "bits_per_byte") * math.log(2) * _bytes_per_token(tokens.loaded), rel=1e-5
    )


def _bytes_per_token(data):
    return 1 / float(next(data.batches("train"))[2][0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("size=2m", "size must be one of 'paper'"),
        ("corpus=bible", "corpus must be one of"),
        ("tokenizer=words", "tokenizer must be 'bytes' or 'bpe:VOCABULARY'"),
        ("tokenizer=bpe:", "tokenizer must be 'bytes' or 'bpe:VOCABULARY'"),
        ("tokenizer=bpe:100", r"vocabulary of tokenizer must be in \[256, 1048576\], got 100"),
        ("tokenizer=bpe:99999999999", "vocabulary of tokenizer must be in"),
        ("tokenizer=bpe:\u00b2", "tokenizer must be 'bytes' or 'bpe:VOCABULARY'"),
        ("context=1", "context must be at least 2"),
        ("evaluate=10", "evaluate must be at least 64"),
        ("tied=3", "tied must be one of"),
    ],
)
def test_bad_parameter_is_named(params, message):
    with pytest.raises(OptimandError, match=message):
        problem(params)


def test_table_is_no_corpus(monkeypatch):
    from optimand.training.problems import text

    monkeypatch.setitem(text.CORPORA, "kjv", "digits")
    with pytest.raises(TypeError, match="corpus must be a text, got the table 'kjv'"):
        problem("corpus=kjv").data()


def test_dictionary_is_read_from_the_data_folder(tmp_path, monkeypatch):
    import gzip

    (tmp_path / "gcide").mkdir()
    words = b"aardvark\n  an animal that eats ants\n" * 4000
    (tmp_path / "gcide" / "gcide.dict.dz").write_bytes(gzip.compress(words))
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    dictionary = problem("corpus=gcide,size=1m")
    assert isinstance(load("gcide"), TextData)
    assert bytes(np.asarray(dictionary.loaded.train[:8])) == b"aardvark"


def test_weights_in_8_bits_train():
    small = problem("int8_weights=true,evaluations=2,evaluate=2048")
    model = small.model()
    assert type(model.layers[0].mlp.up_proj) is QuantizedLinear
    recorder = run(small, ADAMW, budget=20)
    first, last = [r.value for r in recorder.records if (r.split, r.metric) == ("valid", "bits_per_byte")]
    assert last < first < 8
