"""Which parameter goes into which group: our models, Hugging Face's, and models whose names say nothing."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from optimand.optim.roles import matrix_width, parameter_roles
from optimand.optim.routing import block_of, param_groups_for, route_of
from optimand.training.llama import Llama, LlamaConfig
from optimand.training.models import MLP
from optimand.training.transformer import ByteTransformer, ViT


def roles(model, **options):
    return {p.name: p.role for p in parameter_roles(model, **options)}


def by_name(groups):
    return {group["name"]: group for group in groups}


def members(model, groups):
    """Names of the parameters of each group."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {group["name"]: [names[id(p)] for p in group["params"]] for group in groups}


def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def llama(**options):
    return Llama(LlamaConfig(vocab=64, width=16, mlp=40, layers=2, heads=2, context=8, **options))


def gpt2():
    hf = transformers()
    config = hf.GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0)
    return hf.GPT2LMHeadModel(config)


def test_llama_is_split_by_galores_rule():
    model = llama()
    found = members(model, param_groups_for(model, "apollo", rank=4))
    assert list(found) == ["matrices", "embeddings", "head", "norms"]
    assert len(found["matrices"]) == 2 * 7
    assert all("self_attn" in name or "mlp" in name for name in found["matrices"])
    assert found["embeddings"] == ["embed_tokens.weight"]
    assert found["head"] == ["lm_head.weight"]
    assert len(found["norms"]) == 5


@pytest.mark.parametrize("method", ["adamw", "apollo", "apollo-mini", "galore", "fira", "frugal", "badam", "lion-8bit"])
def test_every_parameter_is_in_one_group_once(method):
    model = llama(tied=True)
    ids = [id(p) for group in param_groups_for(model, method) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())


def test_groups_carry_what_each_method_needs():
    model = llama()
    assert by_name(param_groups_for(model, "apollo"))["matrices"]["rank"] == 4  # a quarter of the width
    assert by_name(param_groups_for(model, "apollo-mini"))["matrices"]["rank"] == 1
    apollo = by_name(param_groups_for(model, "apollo", rank=3, scale=2.0, update_proj_gap=7))
    assert {k: v for k, v in apollo["matrices"].items() if k not in ("params", "name")} == {
        "rank": 3, "scale": 2.0, "update_proj_gap": 7,
    }  # fmt: skip
    assert not {"rank", "scale", "update_proj_gap"} & {key for name in ("embeddings", "head") for key in apollo[name]}
    frugal = by_name(param_groups_for(model, "frugal", density=0.5))
    assert (frugal["matrices"]["is_proj_params"], frugal["matrices"]["density"]) == (True, 0.5)
    assert "is_proj_params" not in frugal["head"]


def test_norms_and_biases_do_not_decay_and_the_rest_does():
    model = ViT((8, 8), 2, 2, 16, 2, 10)
    groups = by_name(param_groups_for(model, "adamw", weight_decay=0.1))
    decay = {name: group["weight_decay"] for name, group in groups.items()}
    assert decay == {"matrices": 0.1, "embeddings": 0.1, "head": 0.1, "other": 0.1, "biases": 0.0, "norms": 0.0}
    without = by_name(param_groups_for(model, "adamw"))
    assert "weight_decay" not in without["matrices"]  # the constructor's holds
    assert without["biases"]["weight_decay"] == 0.0


def test_groups_work_in_torchs_constructor_and_keep_their_names():
    model = llama()
    optimizer = torch.optim.AdamW(param_groups_for(model, "adamw"), lr=1e-3, weight_decay=0.2)
    assert {g["name"]: g["weight_decay"] for g in optimizer.param_groups} == {
        "matrices": 0.2, "embeddings": 0.2, "head": 0.2, "norms": 0.0,
    }  # fmt: skip


def test_named_groups_are_pairs():
    model = llama()
    groups = param_groups_for(model, "adamw", named=True)
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    assert optimizer.param_groups[1]["param_names"] == ["embed_tokens.weight"]


def test_overrides_reach_their_group_alone():
    groups = by_name(param_groups_for(llama(), "apollo", overrides={"head": {"lr": 1e-4}}))
    assert groups["head"]["lr"] == 1e-4
    assert "lr" not in groups["matrices"]


def test_frozen_parameters_are_left_out():
    model = llama()
    model.embed_tokens.weight.requires_grad_(False)
    assert "embeddings" not in members(model, param_groups_for(model, "apollo"))
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match="must have a trainable parameter"):
        param_groups_for(model, "apollo")


def test_tied_weights_stand_once_with_the_embeddings():
    found = roles(llama(tied=True))
    assert found["embed_tokens.weight"] == "embeddings"
    assert "lm_head.weight" not in found
    # the shared weight is an embedding's, also where the head comes first in the model
    head, embedding = nn.Linear(4, 9, bias=False), nn.Embedding(9, 4)
    head.weight = embedding.weight
    model = nn.ModuleDict({"lm_head": head, "embed": embedding, "mlp": nn.Linear(4, 4, bias=False)})
    assert roles(model) == {"lm_head.weight": "embeddings", "mlp.weight": "matrices"}


def test_model_with_unknown_names_has_all_inner_linear_layers_as_matrices():
    model = ByteTransformer(2, 16, 2, context=8)
    found = roles(model)
    assert {n for n, r in found.items() if r == "matrices"} == {
        f"blocks.{i}.{part}.weight" for i in range(2) for part in ("qkv", "proj", "up", "down")
    }
    assert (found["embedding.weight"], found["positions.weight"]) == ("embeddings", "embeddings")
    assert found["blocks.0.norm1.bias"] == "norms"
    assert found["blocks.0.qkv.bias"] == "biases"


def test_last_layer_of_a_perceptron_is_its_head():
    found = roles(MLP(8, 6, 2, 3))
    assert [found[f"{i}.weight"] for i in (1, 3, 5)] == ["matrices", "matrices", "head"]


def test_blocks_in_a_sequential_have_no_head():
    block = nn.ModuleDict({"up": nn.Linear(4, 8), "down": nn.Linear(8, 4)})
    other = nn.ModuleDict({"up": nn.Linear(4, 8), "down": nn.Linear(8, 4)})
    found = roles(nn.Sequential(block, other))
    assert {found[f"{i}.{n}.weight"] for i in (0, 1) for n in ("up", "down")} == {"matrices"}


def test_attention_of_torch_counts_with_its_joint_weight():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    found = roles(layer)
    assert found["self_attn.in_proj_weight"] == "matrices"
    assert found["self_attn.in_proj_bias"] == "biases"
    assert found["self_attn.out_proj.weight"] == "matrices"
    assert found["linear1.weight"] == "other"
    assert roles(layer, include=("attn", "linear"))["linear1.weight"] == "matrices"


def test_other_linear_layers_share_the_role_of_those_with_known_names():
    found = roles(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False))
    assert {found[f"layers.{i}.linear{k}.weight"] for i in (0, 1) for k in (1, 2)} == {"matrices"}
    # not where the user says what counts, nor outside of layers
    chosen = roles(llama(), include=("self_attn",))
    assert chosen["layers.0.mlp.up_proj.weight"] == "other"
    layers = nn.ModuleList([nn.ModuleDict({"attn": nn.Linear(4, 4)})])
    beside = nn.ModuleDict({"layers": layers, "pool": nn.Linear(4, 4), "head": nn.Linear(4, 2)})
    assert roles(beside)["pool.weight"] == "other"


@pytest.mark.parametrize(
    ("model", "config", "others"),
    [
        ("OPTForCausalLM", ("OPTConfig", {"ffn_dim": 24, "word_embed_proj_dim": 16}), set()),
        ("GPTNeoXForCausalLM", ("GPTNeoXConfig", {"intermediate_size": 24}), set()),
        ("AlbertForMaskedLM", ("AlbertConfig", {"intermediate_size": 24}), {
            "albert.encoder.embedding_hidden_mapping_in.weight", "predictions.dense.weight",
        }),
    ],
)  # fmt: skip
def test_hugging_face_layers_are_matrices_whatever_their_names(model, config, others):
    hf = transformers()
    options = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, **config[1]}
    with torch.device("meta"):
        found = roles(getattr(hf, model)(getattr(hf, config[0])(**options)))
    assert {name for name, role in found.items() if role == "other"} == others


def test_loose_parameters():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp, self.pos_embed = nn.Linear(4, 4), nn.Parameter(torch.zeros(1, 6, 4))
            self.gain, self.mixing = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4, 4))
            self.conv = nn.Conv2d(3, 4, 3)

    found = roles(Loose())
    assert (found["pos_embed"], found["gain"], found["mixing"]) == ("embeddings", "vectors", "other")
    assert found["conv.weight"] == "other"


def test_exclude_wins_over_include():
    found = roles(llama(), exclude=("o_proj",))
    assert found["layers.0.self_attn.o_proj.weight"] == "other"
    assert found["layers.0.self_attn.q_proj.weight"] == "matrices"


def test_a_value_head_is_no_matrix():
    model = nn.ModuleDict({"mlp": nn.Linear(4, 4), "value_head": nn.Linear(4, 1)})
    assert roles(model)["value_head.weight"] == "head"


def test_model_without_matrices_is_pointed_out():
    with pytest.warns(UserWarning, match="no matrix that apollo could project"):
        groups = param_groups_for(nn.Linear(4, 4), "apollo")
    # the constructor's own rank must not reach the head
    assert [(g["name"], g["rank"]) for g in groups] == [("head", None), ("biases", None)]
    with pytest.warns(UserWarning, match="no matrix that frugal could project"):
        groups = param_groups_for(nn.Linear(4, 4), "frugal")
    assert [g["is_proj_params"] for g in groups] == [False, False]


def test_a_model_whose_weights_are_mostly_others_is_pointed_out():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn, self.up_proj = nn.Linear(4, 4), nn.Parameter(torch.zeros(8, 4, 4))

    message = r"more weights in other tensors \(128\) than in matrices that apollo .*'up_proj' of shape \(8, 4, 4\)"
    with pytest.warns(UserWarning, match=message):
        param_groups_for(Experts(), "apollo")


def test_groups_have_their_options_on_the_matrices_alone():
    model = llama()
    groups = by_name(param_groups_for(model, "apollo", include=("mlp",), rank=2, proj="svd"))
    assert len(groups["matrices"]["params"]) == 6
    assert (groups["matrices"]["rank"], groups["matrices"]["proj"]) == (2, "svd")
    assert "rank" not in groups["other"]
    assert len(groups["other"]["params"]) == 8


def test_blocks_are_layers():
    model = llama()
    found = members(model, param_groups_for(model, "badam"))
    assert list(found) == [
        "input.embeddings", "layers.0.matrices", "layers.0.norms", "layers.1.matrices", "layers.1.norms",
        "output.head", "output.norms",
    ]  # fmt: skip
    assert len(found["layers.1.matrices"]) == 7
    blocks = [group["block"] for group in param_groups_for(model, "badam")]
    assert blocks == ["input", "layers.0", "layers.0", "layers.1", "layers.1", "output", "output"]
    assert block_of("transformer.h.11.attn.c_attn.weight") == "transformer.h.11"
    assert block_of("scale") == "scale"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: param_groups_for(m, "apolo"), ValueError, "method must be one of.*did you mean 'apollo'"),
        (lambda m: param_groups_for(m, "apollo", rang=3), ValueError, "rang is no option.*did you mean 'rank'"),
        (lambda m: param_groups_for(m, "adamw", rank=3), ValueError, "rank is no option of the groups of 'adamw'"),
        (lambda m: param_groups_for(m, "apollo", rank=0), ValueError, "rank must be at least 1"),
        (lambda m: param_groups_for(m, "apollo", weight_decay=-1.0), ValueError, "weight_decay must be in"),
        (lambda m: param_groups_for(m, "apollo", overrides={"heads": {}}), ValueError, "must be one of 'matrices'"),
        (lambda m: param_groups_for(list(m.parameters()), "apollo"), TypeError, r"must be a torch.nn.Module, got list"),
        (lambda m: param_groups_for(m, "apollo", include="attn"), TypeError, "include must be a list"),
        (lambda m: param_groups_for(m, "apollo", exclude=[1]), TypeError, "exclude must hold parts of module names"),
        (lambda m: route_of("adamw-9bit"), ValueError, "method must be one of"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(llama())


def test_hugging_face_llama_equals_ours_role_by_role():
    hf = transformers()
    config = hf.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2
    )
    theirs = roles(hf.LlamaForCausalLM(config))
    assert {name.removeprefix("model."): role for name, role in theirs.items()} == roles(llama())


def test_gpt2s_transposed_square_matrices_stand_apart():
    model = gpt2()
    found = members(model, param_groups_for(model, "apollo", rank=4))
    assert found["embeddings"] == ["transformer.wte.weight", "transformer.wpe.weight"]  # wte is the head too
    assert "head" not in found
    assert found["matrices-transposed"] == [f"transformer.h.{i}.attn.c_proj.weight" for i in range(2)]
    assert len(found["matrices"]) == 6
    groups = by_name(param_groups_for(model, "apollo", rank=4))
    assert groups["matrices-transposed"]["proj_type"] == "left"
    assert groups["matrices-transposed"]["rank"] == 4
    assert "proj_type" not in groups["matrices"]
    # one side whatever the shape: every matrix turns
    left = by_name(param_groups_for(model, "galore", proj_type="left"))
    assert "matrices" not in left
    assert left["matrices-transposed"]["proj_type"] == "right"


def test_gpt2s_rows_are_frugals_columns():
    model = gpt2()
    groups = by_name(param_groups_for(model, "frugal", density=0.5))
    assert groups["matrices-transposed"]["subspace"] == "rows"
    assert len(groups["matrices-transposed"]["params"]) == 8
    groups = by_name(param_groups_for(model, "frugal", subspace="randk"))
    assert "matrices" in groups
    assert groups["matrices"]["subspace"] == "randk"
    assert by_name(param_groups_for(model, "frugal", density=0.5))["matrices-transposed"]["subspace"] == "rows"


def test_bert_with_and_without_a_language_model_head():
    hf = transformers()
    config = hf.BertConfig(
        vocab_size=64, hidden_size=16, intermediate_size=40, num_hidden_layers=1, num_attention_heads=2
    )
    masked = roles(hf.BertForMaskedLM(config))
    layer = "bert.encoder.layer.0"
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
             "intermediate.dense", "output.dense")  # fmt: skip
    assert {n for n, r in masked.items() if r == "matrices"} == {f"{layer}.{part}.weight" for part in parts}
    assert masked["bert.embeddings.word_embeddings.weight"] == "embeddings"
    assert "cls.predictions.decoder.weight" not in masked
    assert masked["cls.predictions.transform.dense.weight"] == "other"
    assert masked[f"{layer}.output.LayerNorm.bias"] == "norms"
    classifier = roles(hf.BertForSequenceClassification(config))
    assert classifier["classifier.weight"] == "head"
    assert classifier["bert.pooler.dense.weight"] == "other"


def test_width_is_the_commonest_smaller_side():
    assert matrix_width(parameter_roles(llama())) == 16
    assert matrix_width(parameter_roles(nn.Embedding(3, 3))) == 0
