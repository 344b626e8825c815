"""The LLaMA-type decoder: the papers' sizes, Hugging Face's output, causality."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from optimand.training.llama import LLAMA, SMALL, Llama, LlamaConfig


def small(**options):
    return Llama(
        LlamaConfig(**{"vocab": 50, "width": 16, "mlp": 40, "layers": 2, "heads": 2, "context": 12, **options})
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("60m", 58_073_600), ("130m", 134_105_856), ("350m", 367_969_280), ("1b", 1_339_082_752),
        ("3b", 2_685_831_680), ("7b", 6_738_415_616), ("13b", 13_015_864_320),
    ],
)  # fmt: skip
def test_papers_sizes_count_as_published(name, parameters):
    assert LLAMA[name].parameters == parameters
    with torch.device("meta"):  # no memory is taken
        model = Llama(LLAMA[name])
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_parts_of_60m_are_the_papers():
    with torch.device("meta"):
        model = Llama(LLAMA["60m"])
    count = {"matrices": 0, "tokens": 0, "norms": 0}
    for name, p in model.named_parameters():
        kind = "matrices" if "proj" in name else "norms" if "norm" in name else "tokens"
        count[kind] += p.numel()
    assert count == {"matrices": 25_296_896, "tokens": 32_768_000, "norms": 8_704}
    assert LLAMA["60m"].matrices == 25_296_896


def test_small_language_model_of_the_papers():
    model = Llama(SMALL["paper"])
    matrices = [p for name, p in model.named_parameters() if "proj" in name]
    assert (len(matrices), sum(p.numel() for p in matrices)) == (14, 395_264)
    assert model.embed_positions.weight.shape == (64, 128)
    assert model.lm_head.weight.shape == (256, 128)
    assert not [name for name, _ in model.named_parameters() if "bias" in name]


@pytest.mark.parametrize("size", [s for s in SMALL if s not in ("paper", "60m")])
def test_small_sizes_are_named_after_their_matrices(size):
    assert SMALL[size].matrices == pytest.approx(float(size[:-1]) * 1e6, rel=0.06)


def test_output_equals_hugging_faces():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hf = pytest.importorskip("transformers")
    config = hf.LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
        rms_norm_eps=1e-6, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    ours, theirs = small(), hf.LlamaForCausalLM(config)
    for p in ours.parameters():
        nn.init.normal_(p, std=0.5)  # far from linear, where a mistake shows
    weights = {("" if name.startswith("lm_head") else "model.") + name: p for name, p in ours.state_dict().items()}
    theirs.load_state_dict(weights)
    x = torch.randint(50, (3, 12))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_no_token_sees_what_comes_after_it(positions):
    model, x = small(positions=positions), torch.randint(50, (1, 12))
    changed = x.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 50
    with torch.no_grad():
        before, after = model(x), model(changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_order_of_the_past_matters(positions):
    torch.manual_seed(0)
    model = small(positions=positions)
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    x = torch.randint(50, (1, 12))
    with torch.no_grad():
        turned = torch.cat((x[:, :11].flip(1), x[:, 11:]), dim=1)
        assert not torch.allclose(model(x)[0, -1], model(turned)[0, -1], atol=1e-3)


def test_weights_begin_normal_with_deviation_002():
    torch.manual_seed(0)
    model = small(width=64, mlp=172, vocab=500)
    for name, p in model.named_parameters():
        if "norm" in name:
            assert torch.equal(p, torch.ones_like(p))
        else:
            assert float(p.detach().std()) == pytest.approx(0.02, rel=0.1), name


def test_tied_head_is_the_embedding():
    model = small(tied=True)
    assert model.lm_head.weight is model.embed_tokens.weight
    assert sum(p.numel() for p in model.parameters()) == model.config.parameters


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, r"width must be a multiple of 2 \* heads, got width=15, heads=2"),
        ({"width": 15, "positions": "learned"}, "width must be a multiple of heads"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"positions": "sine"}, "positions must be one of 'rope', 'learned'"),
        ({"tied": None}, "tied must be one of"),
    ],
)
def test_bad_shape_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)
