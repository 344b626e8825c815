"""Claims on 8-bit states (arXiv 2110.02861) that need training: quality at unchanged hyperparameters."""

from __future__ import annotations

import functools
import math

from optimand.core.catalog import add_claim
from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.papers.reading import paired
from optimand.papers.small_lm import ADAMW, ADAMW_8BIT, FIXED, FIXED_SMALL, within

PAPER = "blockwise-8bit"
IMAGES = "digits-mlp"
MOMENTUM = StudySpec((IMAGES,), ("sgd", "sgd-8bit"), seeds=5)
MOMENTUM_SMALL = StudySpec((IMAGES,), ("sgd", "sgd-8bit"), seeds=2, budget=20)


def momentum_as_in_32_bits(outcomes: Outcomes) -> Finding:
    """Whether the difference between 8-bit and 32-bit momentum is within the noise of the seeds."""
    mean, low, high = paired(outcomes, IMAGES, "sgd-8bit", "sgd")
    ours, theirs = outcomes.mean(IMAGES, "sgd-8bit"), outcomes.mean(IMAGES, "sgd")
    return Finding(
        f"{ours:.4f} against {theirs:.4f}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]",
        (math.isfinite(mean) and low <= 0 <= high) or mean < 0,
        f"{IMAGES}, test loss at the same hyperparameters, paired over the seeds, 95 % interval",
    )


CLAIMS = (
    Claim(
        PAPER,
        "language-model",
        "Language models trained with 8-bit Adam are as good as with 32-bit Adam, hyperparameters unchanged.",
        "same perplexity (up to 1.5B parameters)",
        functools.partial(within, method=ADAMW_8BIT, baseline=ADAMW, share=0.01),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "momentum",
        "So are image classifiers trained with 8-bit momentum.",
        "same accuracy (ResNet-50 on ImageNet, MoCo v2)",
        momentum_as_in_32_bits,
        MOMENTUM,
        MOMENTUM_SMALL,
    ),
    Claim(
        PAPER,
        "large-tasks",
        "So are networks for GLUE, ImageNet, WMT'14 translation and RoBERTa pretraining.",
        "equal within the noise",
        untestable="needs those data sets, pretrained models and accelerators",
    ),
    Claim(
        PAPER,
        "stability",
        "At a billion parameters, training fails without block-wise scales and the dynamic map.",
        "most runs unstable without, none with them",
        untestable="needs models of a billion parameters; 'outliers' measures the cause",
    ),
    Claim(
        PAPER,
        "stable-embedding",
        "The stable embedding layer lowers perplexity and the number of unstable runs.",
        "in words",
        untestable="not measured: the paper's runs are far larger; the layer is optimand.optim.StableEmbedding",
    ),
)

for _claim in CLAIMS:
    add_claim(_claim)

from . import computed as computed  # noqa: E402 (its claims come after these)
