"""Claims of Lion (arXiv 2302.06675): less memory, faster steps, better results; at the scale of one machine."""

from __future__ import annotations

import functools
import math

from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.papers.reading import per_step_ratio, steps_to_baseline, tuned_difference

PAPER = "symbolic-discovery-lion"
# The paper recommends Lion from batch 64 on; the problem's own batch is 8.
LM, VIT = "byte-lm:batch_size=64", "digits-vit"
BATCHES = ("digits-mlp:batch_size=16", "digits-mlp:batch_size=256")

TUNED = StudySpec((LM, VIT), ("adamw", "lion"), seeds=3, tune=8)
TUNED_SMALL = StudySpec((LM, VIT), ("adamw", "lion"), seeds=2, budget=4)
BATCH_SIZES = StudySpec(BATCHES, ("adamw", "lion"), seeds=5, tune=12)
BATCH_SIZES_SMALL = StudySpec(BATCHES, ("adamw", "lion"), seeds=1, budget=20)


def state_memory(outcomes: Outcomes) -> Finding:
    """Optimizer state of Lion over AdamW's, in bytes as allocated."""
    lion, adamw = (outcomes.cost(LM, m, "state_bytes") for m in ("lion", "adamw"))
    return Finding(
        f"{lion / adamw:.3f} ({lion / 2**20:.2f} MiB against {adamw / 2**20:.2f} MiB)",
        abs(lion / adamw - 0.5) < 0.01,
        f"{LM}, bytes of all state tensors after training",
    )


def tuned_learning_rates(outcomes: Outcomes) -> Finding:
    """AdamW's tuned learning rate over Lion's, and Lion's tuned weight decay over AdamW's."""
    texts, holds = [], True
    for problem in TUNED.problems:
        adamw, lion = (outcomes.best_hyper(problem, m) for m in ("adamw", "lion"))
        ratio, decay = adamw["lr"] / lion["lr"], lion["weight_decay"] / max(adamw["weight_decay"], 1e-12)
        holds = holds and 3 <= ratio <= 10 and decay > 1
        texts.append(f"{problem}: lr {ratio:.1f} times smaller, weight decay {decay:.1f} times larger")
    return Finding("; ".join(texts), holds, "of the best trial of each, so good to a factor of a few")


def gain_with_batch_size(outcomes: Outcomes) -> Finding:
    """Lion's test loss relative to AdamW's at a small and at a large batch."""
    ratios = [outcomes.mean(p, "lion") / outcomes.mean(p, "adamw") for p in BATCHES]
    return Finding(
        f"{ratios[0]:.2f} at batch 16, {ratios[1]:.2f} at batch 256",
        math.isfinite(ratios[0]) and ratios[1] < ratios[0],
        "digits-mlp, Lion's test loss over AdamW's, both tuned (below 1: Lion is better), mean of the seeds",
    )


claim = functools.partial(Claim, PAPER)
tuned = functools.partial(Claim, PAPER, study=TUNED, small=TUNED_SMALL)

CLAIMS = (
    tuned(
        "state-memory",
        "Lion keeps one buffer where Adam keeps two: half the optimizer state.",
        "0.5",
        state_memory,
    ),
    tuned(
        "step-time",
        "Steps are faster than AdamW's.",
        "2 to 15 % less time",
        functools.partial(per_step_ratio, problem=LM, method="lion", baseline="adamw", most=0.98),
    ),
    tuned(
        "language-model-steps",
        "On language models Lion needs fewer steps for AdamW's validation loss.",
        "1.5 to 2 times fewer (Wiki-40B, PG-19)",
        functools.partial(
            steps_to_baseline, problem=LM, metric="bits_per_byte", method="lion", baseline="adamw", least=1.5
        ),
    ),
    tuned(
        "language-model-loss",
        "On language models Lion ends at a lower loss than AdamW.",
        "perplexity 4.18 against 4.25, 3.42 against 3.54, 3.18 against 3.25 (C4, three sizes)",
        functools.partial(tuned_difference, problem=LM, method="lion", baseline="adamw"),
    ),
    tuned(
        "vision-transformer",
        "Vision transformers generalize better with Lion than with AdamW.",
        "80.77 % against 80.12 % (ViT-B/16, ImageNet, strong augmentation)",
        functools.partial(tuned_difference, problem=VIT, method="lion", baseline="adamw"),
    ),
    tuned(
        "smaller-lr",
        "Lion wants a learning rate 3 to 10 times smaller than AdamW's and a weight decay larger by as much.",
        "3 to 10",
        tuned_learning_rates,
    ),
    claim(
        "batch-size",
        "Lion's gain over AdamW grows with the batch size.",
        "best batch 4096 for Lion, 256 for AdamW (ViT-B/16); 77.9 % against 75.4 % at 32 000",
        gain_with_batch_size,
        BATCH_SIZES,
        BATCH_SIZES_SMALL,
    ),
    claim(
        "imagenet",
        "Lion improves ImageNet accuracy over AdamW across ResNet, MLP-Mixer, ViT and CoAtNet.",
        "e.g. ViT-B/16 77.44 % against 75.48 % without augmentation, CoAtNet-3 84.87 % against 84.45 %",
        untestable="needs ImageNet or larger sets and days on accelerators",
    ),
    claim(
        "fine-tuning",
        "Fine-tuning T5 with Lion gives better GLUE scores than with AdamW.",
        "average 87.91 against 87.42 (Base), 89.86 against 89.46 (Large), 91.60 against 91.08 (11B)",
        untestable="needs pretrained checkpoints of up to 11 billion parameters",
    ),
    claim(
        "program-search",
        "A search over programs, warm-started from AdamW, discovers Lion.",
        "about 3000 accelerator days for the full search",
        untestable="the search is not implemented yet, and the paper's scale is far beyond one machine",
    ),
)
