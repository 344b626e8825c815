"""Language-model pretraining in small: LLaMA-type decoders, the networks that memory-efficient optimizers are for."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from torch import nn

from optimand.optim.int8_weights import quantize_model_int8

from ...core.validation import check_choice, check_int
from ...data.tokens import LARGEST, bpe
from ..batches import TokenWindows, WindowData
from ..llama import SMALL, Llama, LlamaConfig
from ..objective import language_modeling, token_modeling
from .register import Parts, training_problem
from .text import byte_windows, check_corpus, text_of


class Preset(NamedTuple):
    """What a size of model is trained with: steps, tokens a window, tokens an evaluation, text."""

    budget: int
    context: int
    evaluate: int
    corpus: str = "kjv"


PRESETS: dict[str, Preset] = {
    "paper": Preset(400, 64, 160 * 64, "pystdlib-head"),
    "1m": Preset(1000, 128, 16384),
    "3m": Preset(2000, 128, 16384),
    "10m": Preset(5000, 256, 16384),
    "30m": Preset(10000, 256, 32768),
    "60m": Preset(10000, 256, 32768),
}
_BPE = "bpe:"


@training_problem(
    "llama-lm", budget=400, target=3.2, objective=language_modeling, batch_size=16, warmup=0.1, floor=0.1,
    evaluations=10,
)  # fmt: skip
def llama_lm(
    *,
    size: str = "paper",
    corpus: str | None = None,
    tokenizer: str = "bytes",
    context: int | None = None,
    tied: bool = False,
    int8_weights: bool = False,
    evaluate: int | None = None,
) -> Parts:
    """LLaMA-type language model (RMSNorm, SwiGLU), from the papers' test-bed to 60 million parameters.

    ``size=paper`` is the small language model that APOLLO and FRUGAL are compared on: 2 layers of width 128, learned
    positions, the first 1.5 MB of the standard library's sources, 400 steps of 16 windows of 64 bytes. The others,
    1m, 3m, 10m, 30m, 60m (named after the parameters of their matrices; 60m with 32,000 tokens is the papers'
    LLaMA-60M) have rotary positions and read ``corpus`` kjv, unless told another: pystdlib, pystdlib-head,
    shakespeare, gcide, or ``hub:OWNER/SET``. ``tokenizer`` is bytes or ``bpe:VOCABULARY``. Ranked by bits per byte
    of held-out text, which compare across tokenizers. ``int8_weights`` keeps the weights of the linear layers in 8
    bits, rounded stochastically. Default rates warm up over a tenth and fall to a tenth.
    """
    preset = PRESETS[check_choice("size", size, PRESETS)]
    corpus = check_corpus(preset.corpus if corpus is None else corpus)
    context = check_int("context", preset.context if context is None else context, low=2)
    evaluate = check_int("evaluate", preset.evaluate if evaluate is None else evaluate, low=context)
    vocab = _vocabulary(tokenizer)
    config = replace(SMALL[size], vocab=vocab or 256, context=context, tied=tied)
    return Parts(
        partial(_data, corpus, vocab, context, evaluate),
        partial(_int8_llama if int8_weights else Llama, config),
        f"{tokenizer} of {corpus}, {'8-bit ' if int8_weights else ''}LLaMA of {config.layers} layers, width "
        f"{config.width}, context {context}",
        budget=preset.budget,
        target=None if (size, corpus, vocab, context) == ("paper", preset.corpus, None, preset.context) else math.nan,
        objective=token_modeling if vocab else None,
    )


def _int8_llama(config: LlamaConfig) -> nn.Module:
    return quantize_model_int8(Llama(config))


def _vocabulary(tokenizer: str) -> int | None:
    """Number of tokens; None for bytes."""
    text = str(tokenizer)
    if text == "bytes":
        return None
    if not text.startswith(_BPE) or not text.removeprefix(_BPE).isdecimal():
        raise ValueError(f"tokenizer must be 'bytes' or 'bpe:VOCABULARY' such as bpe:4096, got {tokenizer!r}")
    return check_int("the vocabulary of tokenizer", int(text.removeprefix(_BPE)), low=256, high=LARGEST)


def _data(corpus: str, vocab: int | None, context: int, evaluate: int) -> WindowData:
    if vocab is None:
        return byte_windows(corpus, context, evaluate)
    return TokenWindows.from_tokens(bpe(text_of(corpus), vocab), context=context, evaluate=evaluate)
