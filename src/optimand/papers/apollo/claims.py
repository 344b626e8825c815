"""Claims of APOLLO (arXiv 2412.05270) on language models, at the scale of one machine."""

from __future__ import annotations

import functools

from optimand.core.catalog import add_claim
from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.papers.reading import tuned_difference
from optimand.papers.small_lm import (
    ADAMW,
    APOLLO,
    BITS,
    FIXED,
    FIXED_SMALL,
    GALORE,
    HALF,
    LM,
    MINI,
    SVD,
    TENSOR,
    TUNED,
    TUNED_SMALL,
    margin,
)

PAPER = "apollo"
INT8_LM = f"{LM}:int8_weights=true"
INT8 = StudySpec((LM, INT8_LM), (APOLLO, MINI), seeds=3, labels={APOLLO: "APOLLO", MINI: "APOLLO-Mini"})
INT8_SMALL = StudySpec((LM, INT8_LM), (APOLLO, MINI), seeds=1, budget=5, labels=INT8.labels)


def weights_in_8_bits(outcomes: Outcomes) -> Finding:
    """How much the test loss rises with weights in 8 bits, for APOLLO and Mini."""
    rises, texts = [], []
    for method in (APOLLO, MINI):
        ours, theirs = (outcomes.mean(problem, method) / BITS for problem in (INT8_LM, LM))
        rises.append(ours - theirs)
        texts.append(f"{INT8.labels[method]} {ours:.3f} against {theirs:.3f}: {ours - theirs:+.3f}")
    return Finding(
        "; ".join(texts),
        max(rises) <= 0.05,
        f"{LM}, test loss in nats a byte, linear layers in 8 bits with stochastic rounding against 32 bits, mean of "
        "the seeds; the bar is at most 0.05 above",
    )


def cheaper_than_galore(outcomes: Outcomes) -> Finding:
    """Time of an update against GaLore's, singular value decompositions included."""
    apollo, galore = (outcomes.cost(LM, m, "optimizer_seconds_per_unit") for m in (APOLLO, GALORE))
    return Finding(
        f"{galore / apollo:.1f} times faster ({apollo * 1e3:.2f} ms against {galore * 1e3:.2f} ms)",
        2 * apollo <= galore,
        f"{LM}: an update without forward and backward pass, medians over the seeds; the bar is twice as fast. With "
        "matrices as small as here, calls weigh more than arithmetic, and a decomposition every 200 steps is cheap",
    )


CLAIMS = (
    Claim(
        PAPER,
        "adamw-learning-rate",
        "At its learning rate of 0.01, APOLLO ends below AdamW at 0.001.",
        "perplexity 31.55 against 34.06 (60M), 14.20 against 15.56 (1B), C4",
        functools.partial(margin, method=APOLLO, baseline=ADAMW, most=-0.15),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "adamw-tuned",
        "APOLLO ends at or below AdamW when both are tuned alike.",
        "perplexity 15.64 against 16.30 (350M, sequences of 1024, AdamW tuned)",
        functools.partial(tuned_difference, problem=LM, method="apollo", baseline="adamw"),
        TUNED,
        TUNED_SMALL,
    ),
    Claim(
        PAPER,
        "mini",
        "APOLLO-Mini, with one scale per matrix and rank 1, ends below AdamW at 0.001.",
        "perplexity 31.93 against 34.06 (60M), 14.17 against 15.56 (1B)",
        functools.partial(margin, method=MINI, baseline=ADAMW, most=-0.05),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "galore",
        "APOLLO ends below GaLore at the same memory.",
        "perplexity 31.55 against 34.88 (60M), 14.20 against 15.64 (1B)",
        functools.partial(tuned_difference, problem=LM, method="apollo", baseline="galore"),
        TUNED,
        TUNED_SMALL,
    ),
    Claim(
        PAPER,
        "no-svd",
        "A random projection serves as well as singular vectors.",
        "perplexity 31.55 against 31.26 with SVD (60M)",
        functools.partial(margin, method=APOLLO, baseline=SVD, most=0.05),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "half-rank",
        "Half the rank costs little.",
        "perplexity 31.26 against 31.55 (60M), 14.25 against 14.20 (1B)",
        functools.partial(margin, method=HALF, baseline=APOLLO, most=0.05),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "granularity",
        "At a quarter of the rank, a scale per channel is slightly better than one per matrix.",
        "perplexity 31.55 against 32.10 (60M), 22.94 against 23.82 (130M)",
        functools.partial(margin, method=APOLLO, baseline=TENSOR, most=0.0),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "update-time",
        "Without singular value decompositions an update is several times faster than GaLore's.",
        "0.051 s against 0.371 s a step (1B, A100)",
        cheaper_than_galore,
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "int8-weights",
        "With weights in 8 bits (Q-APOLLO) the loss rises little.",
        "perplexity 31.97 against 31.55, Mini 33.05 against 31.93 (60M)",
        weights_in_8_bits,
        INT8,
        INT8_SMALL,
    ),
    Claim(
        PAPER,
        "7b",
        "At 7 billion parameters APOLLO and Mini end below 8-bit Adam and 8-bit GaLore.",
        "perplexity 13.02 and 13.09 against 14.61 and 14.65",
        untestable="needs C4 and accelerators for weeks",
    ),
    Claim(
        PAPER,
        "throughput",
        "The memory saved allows larger batches and three times AdamW's throughput on eight A100.",
        "about 3 times",
        untestable="needs eight accelerators; 'optimand memory' computes the memory that is saved",
    ),
    Claim(
        PAPER,
        "fine-tuning",
        "Fine-tuning LLaMA-3, Mistral and Gemma with APOLLO is as good as with AdamW.",
        "equal or better on common sense and MMLU",
        untestable="needs pretrained checkpoints of 7 billion parameters and more",
    ),
)

for _claim in CLAIMS:
    add_claim(_claim)

from . import computed as computed  # noqa: E402 (its claims come after these)
