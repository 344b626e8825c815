"""Claims of Lion-K (arXiv 2310.05898) on real networks: weight decay is a constraint of the shape that kappa gives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from optimand.core.catalog import add_claim, get_method, get_problem
from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.training.loop import train
from optimand.training.problem import TrainingProblem

PAPER = "lion-k-constrained"
DECAYS = (1, 2, 5, 10)
STEPS = 600

SPEED = StudySpec(
    ("digits-mlp:schedule=constant",),
    tuple(f"lion:lr=1e-3,weight_decay={decay}" for decay in DECAYS),
    seeds=5,
)
SPEED_SMALL = StudySpec(SPEED.problems, SPEED.methods, seeds=2, budget=200)


def _trained(problem: str, method: str) -> tuple[list[torch.Tensor], list[torch.Tensor], float]:
    """Weights before and after a run, and the factor by which the guarantee lets the distance shrink."""
    task = get_problem(problem)
    if not isinstance(task, TrainingProblem):
        raise TypeError(f"problem must be a training problem, got {task!r}")
    entry, given = get_method(method, family="training")
    seed = SeedTree(0).child("claims")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.child("model").integer())
        before = [p.detach().clone() for p in task.model().parameters()]
    model = train(task, entry, given, seed=seed, budget=STEPS, recorder=Recorder(STEPS))
    steps = [given["lr"] * task.settings.factor(t, STEPS) * given["weight_decay"] for t in range(STEPS)]
    return before, [p.detach() for p in model.parameters()], math.prod(1 - s for s in steps)


def box_on_a_network() -> Finding:
    """The largest weight against 1/weight_decay, for several decays."""
    texts, holds = [], True
    for decay in DECAYS:
        before, after, shrink = _trained("digits-mlp", f"lion:lr=3e-3,weight_decay={decay}")
        start = max(float(p.abs().max()) for p in before)
        end = max(float(p.abs().max()) for p in after)
        bound = 1 / decay + shrink * max(0.0, start - 1 / decay)
        holds = holds and end <= bound * (1 + 1e-4)
        texts.append(f"decay {decay}: max |w| {start:.3f} → {end:.3f} (1/decay {1 / decay:g})")
    return Finding(
        "; ".join(texts),
        holds,
        f"digits-mlp, Lion, lr 3e-3 falling to 0, {STEPS} steps; up to what is left of the way in",
    )


def spectral_norm_on_a_network() -> Finding:
    """The largest singular value of each weight matrix against 1/weight_decay, nuclear kappa."""
    from optimand.optim import LionK

    task = get_problem("digits-mlp")
    if not isinstance(task, TrainingProblem):
        raise TypeError(f"problem must be a training problem, got {task!r}")
    texts, holds = [], True
    for decay in (1, 2, 4):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = task.model()
        matrices = [p for p in model.parameters() if p.ndim == 2]
        rest = [p for p in model.parameters() if p.ndim != 2]
        groups = [{"params": matrices, "kappa": "nuclear"}, {"params": rest, "kappa": "l1"}]
        optimizer = LionK(groups, lr=0.02, weight_decay=float(decay))
        start = [float(torch.linalg.matrix_norm(p.detach(), 2)) for p in matrices]
        sampler = task.loaded.sampler(64, torch.Generator().manual_seed(0))
        for t in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * task.settings.factor(t, STEPS)
            optimizer.zero_grad()
            task.objective.loss(model, sampler.next()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        shrink = math.prod(1 - 0.02 * task.settings.factor(t, STEPS) * decay for t in range(STEPS))
        end = [float(torch.linalg.matrix_norm(p.detach(), 2)) for p in matrices]
        bounds = [1 / decay + shrink * max(0.0, s - 1 / decay) for s in start]
        holds = holds and all(e <= b * (1 + 1e-3) for e, b in zip(end, bounds, strict=True))
        texts.append(f"decay {decay}: {max(start):.2f} → {max(end):.3f} (1/decay {1 / decay:g})")
    return Finding("; ".join(texts), holds, f"digits-mlp, largest singular value of all weight matrices, {STEPS} steps")


def decay_trades_speed_for_loss(outcomes: Outcomes) -> Finding:
    """Early and final training loss along increasing weight decay."""
    problem = SPEED.problems[0]
    final = [outcomes.mean(problem, m, metric="loss", split="train") for m in SPEED.methods]
    settled = []
    for method, end in zip(SPEED.methods, final, strict=True):
        at, values = outcomes.curve(problem, method, metric="loss", split="valid")
        means = np.array([np.mean(v) for v in values])
        gap = means - means.min()
        # where nine tenths of the way from the first evaluation to the lowest one is done
        settled.append(at[int(np.argmax(gap <= 0.1 * gap[0]))] if math.isfinite(end) else math.inf)
    worse = all(a < b for a, b in itertools.pairwise(final))
    faster = settled[-1] <= settled[0]
    rows = zip(DECAYS, final, settled, strict=True)
    return Finding(
        "; ".join(f"decay {d}: {at:g} steps, train loss {loss:.4f}" for d, loss, at in rows),
        worse and faster,
        "digits-mlp, Lion at a constant lr 1e-3; steps until 90 % of the fall of the validation loss; final train loss",
    )


add_claim(
    Claim(
        PAPER,
        "box",
        "Lion with weight decay solves a constrained problem: weights move into [-1/decay, 1/decay] and stay.",
        "|w| ≤ 1/decay (weight histograms)",
        box_on_a_network,
    )
)
add_claim(
    Claim(
        PAPER,
        "spectral-norm",
        "With the nuclear norm as kappa the constraint is on the spectral norm of each matrix.",
        "all singular values ≤ 1/decay (authors' follow-up, arXiv 2506.15054: ≤ 0.5 at decay 2 within about 400 steps)",
        spectral_norm_on_a_network,
    )
)
add_claim(
    Claim(
        PAPER,
        "decay-tradeoff",
        "A larger weight decay converges faster, to a worse loss.",
        "stated with learning curves; no numbers",
        decay_trades_speed_for_loss,
        SPEED,
        SPEED_SMALL,
    )
)
add_claim(
    Claim(
        PAPER,
        "large-scale",
        "Variants of kappa train ImageNet classifiers and GPT-2-scale language models.",
        "learning curves",
        untestable="needs ImageNet and accelerators; 'optimand compare byte-lm:size=30m' is the nearest here",
    )
)

from . import computed as computed  # noqa: E402 (its claims come after these)
