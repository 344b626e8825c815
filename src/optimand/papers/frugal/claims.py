"""Claims of FRUGAL (arXiv 2411.07837) on language models, at the scale of one machine."""

from __future__ import annotations

import functools

from optimand.core.catalog import add_claim
from optimand.core.claims import Claim
from optimand.papers.reading import tuned_difference
from optimand.papers.small_lm import (
    ADAMW,
    FIXED,
    FIXED_SMALL,
    FRUGAL,
    LM,
    PARTIAL,
    STATELESS,
    TUNED,
    TUNED_SMALL,
    margin,
)

PAPER = "frugal"

CLAIMS = (
    Claim(
        PAPER,
        "galore",
        "FRUGAL ends below GaLore at the same memory.",
        "in words (LLaMA pretraining on C4 up to 1B)",
        functools.partial(tuned_difference, problem=LM, method="frugal", baseline="galore"),
        TUNED,
        TUNED_SMALL,
    ),
    Claim(
        PAPER,
        "badam",
        "FRUGAL ends below BAdam.",
        "in words (LLaMA pretraining on C4 up to 1B)",
        functools.partial(tuned_difference, problem=LM, method="frugal-block", baseline="badam"),
        TUNED,
        TUNED_SMALL,
    ),
    Claim(
        PAPER,
        "adamw",
        "With states for a quarter of the entries, FRUGAL comes close to AdamW at the same learning rate.",
        "in words",
        functools.partial(margin, method=FRUGAL, baseline=ADAMW, most=0.0),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "state-free-part",
        "Updating the rest of the entries without states matters.",
        "in words",
        functools.partial(margin, method=FRUGAL, baseline=PARTIAL, most=-0.15),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "density-0",
        "Even without any states for the matrices, FRUGAL is competitive.",
        "in words",
        functools.partial(margin, method=STATELESS, baseline=ADAMW, most=0.02),
        FIXED,
        FIXED_SMALL,
    ),
    Claim(
        PAPER,
        "large-models",
        "From 60M to 7B parameters on C4, and in fine-tuning RoBERTa on GLUE, FRUGAL beats LoRA, GaLore and BAdam.",
        "in words",
        untestable="needs C4, GLUE and accelerators",
    ),
)

for _claim in CLAIMS:
    add_claim(_claim)

from . import computed as computed  # noqa: E402 (its claims come after these)
