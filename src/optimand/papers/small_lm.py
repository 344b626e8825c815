"""The studies that the papers on memory-efficient optimizers share: a small language model, as in their tables.

``FIXED`` has every method at the learning rate that its paper uses, ``TUNED`` gives each the same search. At fixed
rates AdamW stands at 1e-3, as in the papers; how much of a difference is left when it is tuned too, the other study
tells.
"""

from __future__ import annotations

import math
from typing import Any

from optimand.core.claims import Finding, Outcomes, StudySpec
from optimand.papers.reading import paired

LM = "llama-lm"
BITS = 1 / math.log(2)  # the papers' differences are in nats

ADAMW, ADAMW_8BIT = "adamw:lr=1e-3,weight_decay=0", "adamw-8bit:lr=1e-3,weight_decay=0"
APOLLO, HALF, TENSOR = "apollo:lr=1e-2", "apollo:lr=1e-2,rank=16", "apollo:lr=1e-2,scale_type=tensor"
MINI, SVD, GALORE = "apollo-mini:lr=5e-3", "apollo-svd:lr=1e-2", "galore:lr=1e-2"
FRUGAL = "frugal:lr=1e-3,update_gap=50"
STATELESS, PARTIAL = f"{FRUGAL},density=0", f"{FRUGAL},state_free=none"
SGD = "sgd:lr=0.1"

LABELS = {
    ADAMW: "AdamW", ADAMW_8BIT: "AdamW 8-bit", APOLLO: "APOLLO", HALF: "APOLLO, half the rank",
    TENSOR: "APOLLO, one scale a matrix", MINI: "APOLLO-Mini", SVD: "APOLLO, SVD", GALORE: "GaLore", FRUGAL: "FRUGAL",
    STATELESS: "FRUGAL, density 0", PARTIAL: "FRUGAL, no state-free part", SGD: "SGD",
}  # fmt: skip
FIXED = StudySpec((LM,), tuple(LABELS), seeds=3, labels=LABELS)
SMALLER = f"{LM}:evaluate=1024"
FIXED_SMALL = StudySpec((SMALLER,), tuple(LABELS), seeds=1, budget=2, labels=LABELS)
METHODS = (
    "adamw", "adamw-8bit", "apollo", "apollo-mini", "galore", "fira", "badam", "frugal", "frugal-block", "sgd",
)  # fmt: skip
TUNED = StudySpec((LM,), METHODS, seeds=3, tune=5)
TUNED_SMALL = StudySpec((SMALLER,), METHODS, seeds=1, budget=2)


def margin(outcomes: Outcomes, *, method: str, baseline: str, most: float) -> Finding:
    """Whether ``method`` is at most ``most`` nats above ``baseline`` (below it, for a negative ``most``)."""
    mean, low, high = (x / BITS for x in paired(outcomes, LM, method, baseline))
    ours, theirs = (outcomes.mean(LM, m) / BITS for m in (method, baseline))
    bar = f"at least {-most:g} below" if most < 0 else f"at most {most:g} above"
    return Finding(
        f"{ours:.3f} against {theirs:.3f}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]",
        mean <= most,
        f"{LM}, test loss in nats a byte, {LABELS.get(method, method)} against {LABELS.get(baseline, baseline)} at the "
        f"papers' learning rates, paired over the seeds, 95 % interval; the bar is {bar}",
    )


def within(outcomes: Outcomes, *, method: str, baseline: str, share: float) -> Finding:
    """Whether the test loss of ``method`` is at most ``share`` (a fraction) above that of ``baseline``."""
    ours, theirs = (outcomes.mean(LM, m) / BITS for m in (method, baseline))
    return Finding(
        f"{ours:.4f} against {theirs:.4f}: {ours / theirs - 1:+.2%}",
        ours <= theirs * (1 + share),
        f"{LM}, test loss in nats a byte, same hyperparameters, mean of the seeds; the bar is {share:+.0%}",
    )


def layer_state_bytes(build: Any, norms: int = 0) -> int:
    """Bytes of state after a step on the matrices (and ``norms`` norm weights) of a layer of LLaMA-60M."""
    import torch

    from optimand.optim.memory import state_bytes

    shapes = [(512, 512)] * 4 + [(1376, 512)] * 2 + [(512, 1376)] + [(512,)] * norms
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = build(params)
    optimizer.step()
    return state_bytes(optimizer)
