"""Shapes, sizes and the properties that the networks are defined by."""

from __future__ import annotations

import math

import pytest
import torch

from optimand.training.models import MLP, ConvNet, SignalNet
from optimand.training.transformer import SIZES, Block, ByteTransformer, ViT


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (MLP(64, 32, 2, 10), (8, 8)),
        (MLP(30, 0, 0, 10), (30,)),
        (ConvNet((8, 8), 4, 2, 10), (8, 8)),
        (ConvNet((3, 32, 32), 4, 3, 10), (3, 32, 32)),
        (SignalNet(40, 25, 10), (40,)),
        (ViT((8, 8), 2, 2, 16, 4, 10), (8, 8)),
        (ViT((3, 32, 32), 8, 1, 16, 4, 10), (3, 32, 32)),
    ],
    ids=["mlp", "linear", "conv", "conv-color", "signal", "vit", "vit-color"],
)
def test_classifiers_map_a_batch_to_scores(model, shape):
    assert model(torch.randn(5, *shape)).shape == (5, 10)


def test_signal_network_has_the_published_number_of_parameters():
    # the convolutional baseline of arXiv 2011.14439: 25 channels, 5210 parameters
    assert parameters(SignalNet(40, 25, 10)) == 5210


@pytest.mark.parametrize("size", SIZES)
def test_language_models_have_the_size_in_their_name(size):
    layers, width, heads = SIZES[size]
    with torch.device("meta"):
        count = parameters(ByteTransformer(layers, width, heads, context=128))
    assert count / 1e6 == pytest.approx(float(size.removesuffix("m")), rel=0.15)


def test_language_model_does_not_look_ahead():
    torch.manual_seed(0)
    model = ByteTransformer(2, 32, 4, context=12)
    x = torch.randint(0, 256, (3, 12))
    changed = x.clone()
    changed[:, 7:] = torch.randint(0, 256, (3, 5))
    one, two = model(x), model(changed)
    torch.testing.assert_close(one[:, :7], two[:, :7])
    assert not torch.allclose(one[:, 7:], two[:, 7:])


def test_untrained_language_model_is_close_to_uniform():
    torch.manual_seed(0)
    model = ByteTransformer(*SIZES["0.2m"], context=32)
    x = torch.randint(0, 256, (8, 33))
    loss = torch.nn.functional.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(256), rel=0.02)


def test_attention_equals_its_formula():
    torch.manual_seed(0)
    block = Block(12, 3, causal=True)
    x = torch.randn(2, 5, 12)
    q, k, v = block.qkv(block.norm1(x)).view(2, 5, 3, 3, 4).unbind(2)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / 2.0
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf).softmax(-1)
    mixed = torch.einsum("bhij,bjhd->bihd", scores, v).reshape(2, 5, 12)
    y = x + block.proj(mixed)
    y = y + block.down(torch.nn.functional.gelu(block.up(block.norm2(y))))
    torch.testing.assert_close(block(x), y)


def test_patches_are_the_squares_of_the_image():
    model = ViT((4, 4), 2, 1, 8, 2, 10)
    image = torch.arange(16.0).reshape(1, 4, 4)
    seen = []
    model.embedding.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model(image)
    assert seen[0][0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="width must be a multiple of heads"):
        Block(10, 4, causal=True)
    with pytest.raises(ValueError, match="patch must divide height 8 and width 8, got 3"):
        ViT((8, 8), 3, 1, 8, 2, 10)
