"""Fine-tuning: the masked loss by hand, the schedule, a resume bit for bit, held-out answers learned."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from optimand.core.validation import OptimandError
from optimand.language.modeling.resocratic import ByteTokenizer, TinyDecoder, encode_chat, finetune, write_chat_jsonl
from optimand.language.modeling.resocratic.chats import IGNORED, to_messages
from optimand.language.modeling.resocratic.finetuning import (
    answer_loss,
    held_out_loss,
    learning_rate,
)
from optimand.papers.optibench_resocratic.toy_finetuning import ToyPair, toy_pair

PAIRS = [ToyPair(f"add {k} and 1", f"print({k} + 1)", k + 1.0) for k in range(12)]
TOKENS = ByteTokenizer()
SETTINGS = {"epochs": 2, "lr": 1e-2, "batch": 2, "accumulation": 2, "system": "s", "seed": 3}


def decoder(seed: int = 0) -> TinyDecoder:
    return TinyDecoder(width=16, depth=1, heads=2, context=96, seed=seed)


def test_only_the_answer_is_learned() -> None:
    ids, targets = encode_chat(to_messages(PAIRS[3], "s"), TOKENS)
    begin = ids.index(TOKENS.assistant) + 1
    assert targets[:begin] == [IGNORED] * begin
    assert targets[begin:] == ids[begin:]
    assert ids[-1] == TOKENS.end
    assert TOKENS.decode(ids[begin:]) == "```python\nprint(3 + 1)\n```"


def test_masked_loss_is_that_of_a_hand_computation() -> None:
    logits = torch.tensor([[[0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [9.0, 9.0, 9.0]]])
    targets = torch.tensor([[IGNORED, IGNORED, 0, 1]])
    # Position 1 predicts token 0, position 2 predicts token 1; the rest is masked.
    by_hand = -(1 - math.log(math.e + 2)) - (3 - math.log(math.e**3 + 2))
    total, number = answer_loss(logits, targets)
    assert number == 2
    assert float(total) == pytest.approx(by_hand, rel=1e-6)


def test_the_prompt_s_tokens_have_no_gradient_of_their_own() -> None:
    model, (ids, targets) = decoder(), encode_chat(to_messages(PAIRS[0], "s"), TOKENS)
    total, number = answer_loss(model(torch.tensor([ids])), torch.tensor([targets]))
    log = torch.log_softmax(model(torch.tensor([ids]))[0], -1).tolist()
    by_hand = -sum(log[k - 1][ids[k]] for k in range(1, len(ids)) if targets[k] != IGNORED)
    assert total.item() == pytest.approx(by_hand, rel=1e-5)
    assert number == sum(target != IGNORED for target in targets)


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    # Answers of different lengths: a mean of means would weigh them differently.
    pairs = [ToyPair("say", "x" * length, 0.0) for length in (2, 5, 12, 40)]
    results = []
    for batch, accumulation in ((4, 1), (1, 4), (2, 2)):
        model = decoder()
        finetune(model, pairs, TOKENS, **{**SETTINGS, "batch": batch, "accumulation": accumulation})
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], atol=3e-4, rtol=0)
    torch.testing.assert_close(results[0], results[2], atol=3e-4, rtol=0)


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(k, 1000, 2e-5, 0.03) for k in range(1000)]
    assert rates[0] == pytest.approx(2e-5 / 30)
    assert max(rates) == rates[29] == pytest.approx(2e-5)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert sorted(rates[29:], reverse=True) == rates[29:]


def test_the_rate_is_the_usual_cosine_schedule_one_update_on() -> None:
    transformers = pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    usual = transformers.get_cosine_schedule_with_warmup(optimizer, 6, 200)
    for k in range(200):
        optimizer.step()
        usual.step()
        assert learning_rate(k, 200, 2e-5, 0.03) == pytest.approx(usual.get_last_lr()[0], abs=1e-15)
    # By hand: update 2 of 6 in the warm-up; a third, a half and two thirds of the 194 after it.
    assert learning_rate(2, 200, 1.0, 0.03) == pytest.approx(0.5)
    assert learning_rate(6 + 97 - 1, 200, 1.0, 0.03) == pytest.approx(0.5)
    assert learning_rate(5, 6, 1.0, 0.0) == pytest.approx(0.0, abs=1e-15)
    assert learning_rate(0, 1, 1.0, 0.03) == 1.0


def test_an_incomplete_last_group_is_one_update_of_its_own_mean() -> None:
    pairs = PAIRS[:5]  # groups of four and of one
    model, twin = decoder(), decoder()
    done = finetune(model, pairs, TOKENS, epochs=1, lr=1e-2, batch=2, accumulation=2, system="s", seed=3, warmup=1.0)
    assert (done.updates, done.rates) == (2, [pytest.approx(5e-3), pytest.approx(1e-2)])
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.0)
    order = np.random.default_rng([3, 0]).permutation(5)
    for rate, group in ((5e-3, order[:4]), (1e-2, order[4:])):
        sums = [
            answer_loss(twin(torch.tensor([ids])), torch.tensor([targets]))
            for ids, targets in (encode_chat(to_messages(pairs[k], "s"), TOKENS) for k in group)
        ]
        optimizer.zero_grad()
        (sum(total for total, _ in sums) / sum(number for _, number in sums)).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=3e-4, rtol=0)


def test_a_resumed_run_is_bit_identical(tmp_path) -> None:
    whole = decoder()
    straight = finetune(whole, PAIRS, TOKENS, **SETTINGS, held_out=PAIRS[:2])
    path = tmp_path / "state.pt"
    finetune(decoder(), PAIRS, TOKENS, **SETTINGS, held_out=PAIRS[:2], checkpoint=path, stop_after=4)
    resumed_model = decoder(seed=9)
    resumed = finetune(resumed_model, PAIRS, TOKENS, **SETTINGS, held_out=PAIRS[:2], checkpoint=path)
    assert resumed == straight
    assert resumed.finished
    assert resumed.updates == 6
    for a, b in zip(whole.parameters(), resumed_model.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(OptimandError, match="belongs to another run: seed"):
        finetune(decoder(), PAIRS, TOKENS, **{**SETTINGS, "seed": 4}, checkpoint=path)
    for change in ({"warmup": 0.5}, {"weight_decay": 0.1}, {"clip": None}, {"bf16": True}):
        with pytest.raises(OptimandError, match=f"belongs to another run: {next(iter(change))}"):
            finetune(decoder(), PAIRS, TOKENS, **SETTINGS, **change, checkpoint=path)
    other = [ToyPair(pair.question, pair.code.replace("1", "2"), 0.0) for pair in PAIRS]  # as many tokens
    with pytest.raises(OptimandError, match="belongs to another run: pairs"):
        finetune(decoder(), other, TOKENS, **SETTINGS, checkpoint=path)


def test_the_loss_on_held_out_answers_falls() -> None:
    model = TinyDecoder(width=32, depth=1, heads=2, context=448)
    held = [toy_pair(1, k) for k in range(4)]
    before = held_out_loss(model, held, TOKENS, "")
    seen = []
    done = finetune(model, [toy_pair(0, k) for k in range(160)], TOKENS, epochs=1, lr=1e-2, batch=8, accumulation=1,
                    system="", held_out=held, progress=lambda *row: seen.append(row))  # fmt: skip
    assert done.valid[-1][1] < 0.75 * before
    assert [row[:2] for row in seen] == [(k, 20) for k in range(1, 21)]


def hugging_face_tokenizer(end: str = "<|turn|>"):
    """A tokenizer of bytes with a chat template, made here."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    plain = tokenizers.Tokenizer(tokenizers.models.BPE({letter: k for k, letter in enumerate(letters)}, []))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    made.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}" + end + "{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return made


@pytest.mark.parametrize(("end", "token"), [("<|turn|>", "<|turn|>"), ("", "</s>")])
def test_the_answer_ends_as_the_chat_template_ends_a_turn(end, token) -> None:
    tokenizer = hugging_face_tokenizer(end)
    ids, targets = encode_chat(to_messages(PAIRS[3], "s"), tokenizer)
    begin = next(k for k, target in enumerate(targets) if target != IGNORED)
    assert tokenizer.decode(ids[:begin]) == f"<s>[system]s{end}[user]add 3 and 1{end}[assistant]"
    assert tokenizer.decode(targets[begin:-1]) == "```python\nprint(3 + 1)\n```"
    assert targets[begin:] == ids[begin:]
    assert targets[-1] == tokenizer.convert_tokens_to_ids(token)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_hugging_face_causal_model_is_trained(bf16) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = hugging_face_tokenizer()
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128,
        )
    )  # fmt: skip
    before = held_out_loss(model, PAIRS[:3], tokenizer, "s")
    # The library's own loss, which masks -100 and shifts by one, is ours.
    ids, targets = encode_chat(to_messages(PAIRS[0], "s"), tokenizer)
    theirs = model(input_ids=torch.tensor([ids]), labels=torch.tensor([targets])).loss.item()
    assert held_out_loss(model, PAIRS[:1], tokenizer, "s") == pytest.approx(theirs, rel=1e-5)
    done = finetune(model, PAIRS, tokenizer, **SETTINGS, bf16=bf16)
    assert held_out_loss(model, PAIRS[:3], tokenizer, "s") < before
    assert done.updates == 6


def test_a_tokenizer_without_parts_of_a_conversation_is_refused() -> None:
    tokenizer = hugging_face_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(OptimandError, match="must have a chat_template"):
        encode_chat(to_messages(PAIRS[0]), tokenizer)


def test_any_module_from_tokens_to_logits_is_trained() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(260, 16), torch.nn.Linear(16, 260))
    done = finetune(model, PAIRS, TOKENS, **SETTINGS)
    assert done.losses[-1] < done.losses[0]


def test_the_exported_lines_are_chats(tmp_path) -> None:
    path = tmp_path / "folder" / "pairs.jsonl"
    assert write_chat_jsonl(PAIRS, path) == 12
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert rows[5]["messages"][1]["content"] == PAIRS[5].question
    assert PAIRS[5].code in rows[5]["messages"][2]["content"]
    assert list(path.parent.iterdir()) == [path]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(OptimandError, match="none of the 12 pairs"):
        finetune(decoder(), PAIRS, TOKENS, max_length=5)
    with pytest.raises(OptimandError, match="max_length=2048 and the model's context=16 tokens; the shortest has"):
        finetune(TinyDecoder(width=16, depth=1, heads=2, context=16), PAIRS, ByteTokenizer())
    for wrong in ({"lr": 0.0}, {"clip": 0.0}, {"weight_decay": -1.0}, {"max_length": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            finetune(decoder(), PAIRS, TOKENS, **wrong)
    with pytest.raises(ValueError, match="at most context=96 tokens, got 97"):
        decoder()(torch.zeros(1, 97, dtype=torch.long))
    with pytest.raises(ValueError, match="the last message"):
        encode_chat([{"role": "user", "content": "x"}], TOKENS)
    with pytest.raises(ValueError, match="multiple of heads"):
        TinyDecoder(width=10, heads=4)


def test_the_decoder_looks_back_only() -> None:
    model, ids = decoder(), torch.tensor([[5, 6, 7, 8, 9]])
    later = ids.clone()
    later[0, 3:] = 1
    assert torch.equal(model(ids)[:, :3], model(later)[:, :3])
    assert len(model.continued([1, 2], 7, -1)) == 7
