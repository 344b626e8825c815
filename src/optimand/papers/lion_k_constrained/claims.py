"""Claims of Lion-K (arXiv 2310.05898): weight decay is a constraint of the shape that kappa gives.

On real networks, and those that are mathematics, which are checked in seconds without training.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, cast

import numpy as np
import torch
from scipy.optimize import minimize

from optimand.core.catalog import get_method, get_problem
from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.optim import LionK
from optimand.optim.kappa import get_kappa
from optimand.optim.lion_k import fenchel_young_gap, lion_k_update, lyapunov_weight, regularizer
from optimand.optim.lion_k.flow import lion_k_flow
from optimand.optim.lion_k.minimize import minimize_lionk
from optimand.training.loop import train
from optimand.training.problem import TrainingProblem

PAPER = "lion-k-constrained"
DECAYS = (1, 2, 5, 10)
STEPS = 600
QUADRATIC = np.array([[2.0, 0.8, 0.3], [0.8, 1.5, -0.4], [0.3, -0.4, 1.0]])  # couples the coordinates
LINEAR = np.array([3.0, -2.0, 0.4])

SPEED = StudySpec(
    ("digits-mlp:schedule=constant",),
    tuple(f"lion:lr=1e-3,weight_decay={decay}" for decay in DECAYS),
    seeds=5,
)
SPEED_SMALL = StudySpec(SPEED.problems, SPEED.methods, seeds=2, budget=200)


def _digits() -> TrainingProblem:
    return cast(TrainingProblem, get_problem("digits-mlp"))


def _trained(method: str) -> tuple[list[torch.Tensor], list[torch.Tensor], float]:
    """Weights before and after a run, and the factor by which the guarantee lets the distance shrink."""
    task = _digits()
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
        before, after, shrink = _trained(f"lion:lr=3e-3,weight_decay={decay}")
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
    task = _digits()
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


def two_phases() -> Finding:
    """Worst ratio of the distance to the set and its bound, over kappas, rates and noisy gradients."""
    kappas: list[dict[str, Any]] = [
        {"name": "l1"}, {"name": "l2"}, {"name": "linf"}, {"name": "top_k", "k": 2}, {"name": "softmax"},
        {"name": "huber", "e": 0.5}, {"name": "log_cosh", "a": 2.0}, {"name": "group_l2", "index": [0, 0, 1, 1]},
    ]  # fmt: skip
    worst, escaped = 0.0, 0.0
    for config in kappas:
        kappa = get_kappa(config)
        for lam, eta in ((1.0, 0.05), (2.0, 0.1)):
            generator = torch.Generator().manual_seed(0)
            x = torch.tensor([10.0, -10.0, 10.0, -10.0], dtype=torch.float64) / lam
            m = torch.zeros_like(x)
            first = float(kappa.dist_domain(lam * x))
            inside = False
            for t in range(1, 501):
                grad = torch.randn(4, generator=generator, dtype=torch.float64)
                x, m = lion_k_update(x, m, grad, kappa.grad, lr=eta, weight_decay=lam)
                distance = float(kappa.dist_domain(lam * x))
                bound = (1 - eta * lam) ** t * first
                if bound > 1e-10:
                    worst = max(worst, distance / bound)
                escaped = max(escaped, distance if inside else 0.0)
                inside = inside or distance <= 1e-15
    return Finding(
        value=f"distance at most {worst:.6f} of the bound; at most {escaped:.0e} outside once inside",
        holds=worst <= 1 + 1e-6 and escaped <= 1e-13,
        detail=f"{len(kappas)} kappas, (weight decay, lr) = (1, 0.05) and (2, 0.1), noisy gradients, from 10/lambda",
    )


def lyapunov_along_the_flow() -> Finding:
    """H never rises along the ODE, while f and the composite objective F both do at times."""
    q, b = QUADRATIC, LINEAR
    flow = lion_k_flow(
        lambda x: 0.5 * x @ q @ x - b @ x, lambda x: q @ x - b, [-0.8, 0.5, 0.9], [-20, 20, 10],
        kappa="relativistic", kappa_kwargs={"e": 0.5}, t_span=(0, 60), t_eval=np.linspace(0, 60, 2001),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    rises = {name: np.diff(getattr(flow, name)) for name in ("H", "f", "F")}
    total = {name: float(rise[rise > 1e-12].sum()) for name, rise in rises.items()}
    return Finding(
        value=f"sum of all rises: H {total['H']:.3g}, f {total['f']:.3g}, F {total['F']:.3g}",
        holds=total["H"] == 0 and total["f"] > 1e-3 and total["F"] > 1e-3,
        detail=f"relativistic kappa, coupled quadratic, momentum uphill; H from {flow.H[0]:.4f} to {flow.H[-1]:.4f}",
    )


def kappas_solve_their_problems() -> Finding:
    """Lion-K ends at the minimum that SLSQP finds for the constraint or penalty of each kappa."""
    q, b = QUADRATIC, LINEAR

    def f(x: Any) -> float:
        return float(0.5 * x @ q @ x - b @ x)

    problems: list[tuple[str, dict[str, Any], Any, Any]] = [
        ("l1", {}, lambda x: 1 - np.abs(x), None),
        ("l2", {}, lambda x: 1 - np.linalg.norm(x), None),
        ("lp", {"p": 1.5}, lambda x: 1 - (np.abs(x) ** 3).sum() ** (1 / 3), None),
        ("linf", {}, lambda x: 1 - np.abs(x).sum(), None),
        ("huber", {"e": 0.5}, lambda x: 1 - np.abs(x), lambda x: 0.25 * x @ x),
        ("dead_zone", {"e": 0.5}, lambda x: 1 - np.abs(x), lambda x: 0.5 * np.abs(x).sum()),
        ("softmax", {}, None, lambda x: (x * np.log(np.maximum(x, 1e-300))).sum()),
    ]
    gaps = {}
    for name, kwargs, inequality, penalty in problems:
        constraints: list[dict[str, Any]] = [{"type": "ineq", "fun": inequality}] if inequality else []
        if name == "softmax":
            constraints = [{"type": "eq", "fun": lambda x: x.sum() - 1}]
        reference = minimize(  # type: ignore[call-overload]
            lambda x, penalty=penalty: f(x) + (penalty(x) if penalty else 0.0),
            np.full(3, 1 / 3), method="SLSQP", constraints=constraints,
            bounds=[(1e-12, 1)] * 3 if name == "softmax" else None, options={"ftol": 1e-12, "maxiter": 500},
        )  # fmt: skip
        found = minimize_lionk(
            f, np.full(3, 1 / 3), jac=lambda x: q @ x - b, kappa=name, kappa_kwargs=kwargs, maxiter=4000, tol=1e-8
        )
        gaps[name] = abs(float(found.objective) - float(reference.fun))
    worst = max(gaps, key=lambda name: gaps[name])
    return Finding(
        value=f"objective within {gaps[worst]:.1e} of SLSQP's on all {len(gaps)} problems",
        holds=gaps[worst] < 1e-3,
        detail=f"{', '.join(gaps)}: 4000 steps with lr falling from 0.01 to 0; largest gap at {worst}",
    )


def discrete_inequality() -> Finding:
    """Smallest slack of the per-step inequality for the implicit form."""
    q, b = (torch.from_numpy(a) for a in (QUADRATIC, LINEAR))
    smooth = float(torch.linalg.eigvalsh(q).max())
    beta1, beta2 = 0.9, 0.99
    slack, steps = math.inf, 0
    for name in ("relativistic", "huber"):
        kappa = get_kappa(name, e=0.5)
        for lam, eta in ((1.0, 0.05), (0.5, 0.01), (2.0, 0.1)):
            c = lyapunov_weight(eta, beta1, beta2, lam)
            a = 1 + c * lam
            weight = beta1 * (1 - beta2) / ((beta2 - beta1) * (eta * lam * (1 - beta1) + 1 - beta2))
            x = torch.tensor([0.2, -0.3, 0.5], dtype=torch.float64) / max(lam, 1)
            m = torch.zeros_like(x)
            value, bound = math.inf, math.inf
            for t in range(301):
                loss = 0.5 * x @ q @ x - b @ x
                new = float(loss + regularizer(kappa, x, lam) + c * fenchel_young_gap(kappa, x, m, lam))
                if t:
                    slack, steps = min(slack, bound - (new - value)), steps + 1
                value = new
                g = q @ x - b
                ahead = beta1 * m - (1 - beta1) * g
                x, m = lion_k_update(
                    x, m, g, kappa.grad, lr=eta, beta1=beta1, beta2=beta2, weight_decay=lam, implicit=True
                )
                gap = kappa.grad(ahead) - lam * x
                first = gap @ (ahead - kappa.conj_grad(lam * x))
                second = (kappa.grad(ahead) - kappa.grad(m)) @ (ahead - m)
                bound = float(-eta * (a * first + weight * second) + smooth * eta**2 / 2 * gap @ gap)
    return Finding(
        value=f"smallest slack {slack:.1e} in {steps} steps",
        holds=slack >= -1e-12,
        detail="relativistic and Huber kappas, three settings of weight decay and lr, coupled quadratic",
    )


def nuclear_bounds_the_spectral_norm() -> Finding:
    """Singular values reach the ball of radius 1/lambda at the predicted rate and stay in it."""
    generator = torch.Generator().manual_seed(0)
    lam, lr = 2.0, 0.02
    p = torch.nn.Parameter(3 * torch.randn(12, 8, generator=generator, dtype=torch.float64))
    goal = 5 * torch.randn(12, 8, generator=generator, dtype=torch.float64)
    optimizer = LionK([p], lr=lr, weight_decay=lam, kappa="nuclear")
    start, excess = optimizer.constraint_violation(), 0.0
    for t in range(1, 501):
        p.grad = p.detach() - goal + torch.randn(12, 8, generator=generator, dtype=torch.float64)
        optimizer.step()
        excess = max(excess, optimizer.constraint_violation() - start * (1 - lr * lam) ** t)
    top = float(torch.linalg.svdvals(p.detach()).max())
    return Finding(
        value=f"largest singular value {top:.6f} (1/lambda = {1 / lam}); {excess:.0e} above the rate",
        holds=top <= (1 + 1e-6) / lam and excess <= 1e-10,
        detail="12 x 8 matrix, noisy quadratic with its minimum far outside, start outside, 500 steps",
    )


claim = functools.partial(Claim, PAPER)

CLAIMS = (
    claim(
        "box",
        "Lion with weight decay solves a constrained problem: weights move into [-1/decay, 1/decay] and stay.",
        "|w| ≤ 1/decay (weight histograms)",
        box_on_a_network,
    ),
    claim(
        "spectral-norm",
        "With the nuclear norm as kappa the constraint is on the spectral norm of each matrix.",
        "all singular values ≤ 1/decay",
        spectral_norm_on_a_network,
        reference="≤ 0.5 at decay 2 within about 400 steps (ResNet-18 on CIFAR-10, the authors' arXiv 2506.15054)",
    ),
    claim(
        "decay-tradeoff",
        "A larger weight decay converges faster, to a worse loss.",
        "stated with learning curves; no numbers",
        decay_trades_speed_for_loss,
        SPEED,
        SPEED_SMALL,
    ),
    claim(
        "large-scale",
        "Variants of kappa train ImageNet classifiers and GPT-2-scale language models.",
        "learning curves",
        untestable="needs ImageNet and accelerators; 'optimand compare byte-lm:size=30m' is the nearest here",
    ),
    claim(
        "two-phases",
        "Iterates approach the constraint set at the rate (1 - lr lambda)^t whatever the gradients are, and "
        "never leave it again.",
        "distance contracts by 1 - lr lambda in each step",
        two_phases,
    ),
    claim(
        "lyapunov-flow",
        "In continuous time a Lyapunov function falls monotonically where neither the loss nor the composite "
        "objective does.",
        "dH/dt <= 0",
        lyapunov_along_the_flow,
    ),
    claim(
        "constrained-optimum",
        "Each kappa solves min f(x) + K*(lambda x)/lambda: the choice of K is the choice of the constraint.",
        "the limit is a minimizer of the composite objective",
        kappas_solve_their_problems,
    ),
    claim(
        "discrete-lyapunov",
        "In discrete time the Lyapunov value falls up to a term of order lr² in every step.",
        "H(t+1) - H(t) <= -lr (a D1 + b D2) + (L lr²/2) |dK - lambda x|²",
        discrete_inequality,
    ),
    claim(
        "nuclear-spectral-norm",
        "With the nuclear norm (Muon) all singular values of a weight matrix end at or below 1/lambda.",
        "spectral norm <= 1/lambda",
        nuclear_bounds_the_spectral_norm,
        reference="the same for Muon, in the authors' arXiv 2506.15054",
    ),
)
