"""Catalog entries of the family ``online-convex``.

A method builds a learner from the problem's :class:`~optimand.online.engine.contracts.Spec`. Constants are what the
problem tells; ``scale`` and its like are factors of what the analysis prescribes, so one default serves all problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float

from .. import convex

if TYPE_CHECKING:
    from ..engine.contracts import Spec

PAPER = "optimistic-omd-sea"
SCALE = Float(0.03, 10.0, log=True)


@method("oco-ogd", family="online-convex", space={"scale": SCALE})
def oco_ogd(spec: Spec, *, scale: float = 1.0) -> Any:
    """Online gradient descent; scale in units of D/(G √t)."""
    return convex.OGD(step=scale)


@method("oco-ogd-sc", family="online-convex", space={"curvature": Float(0.1, 10.0, log=True)})
def oco_ogd_sc(spec: Spec, *, curvature: float = 1.0) -> Any:
    """Online gradient descent with steps 1/(λ t), for strongly convex losses; curvature in units of λ."""
    return convex.StronglyConvexOGD(lam=_told(spec, "lam", "oco-ogd-sc") * curvature)


@method("oco-adagrad-norm", family="online-convex", space={"scale": SCALE})
def oco_adagrad_norm(spec: Spec, *, scale: float = 1.0) -> Any:
    """AdaGrad with one step size, D/√(2 Σ‖g‖²); scale in units of D."""
    return convex.AdaGradNorm(D=_told(spec, "D", "oco-adagrad-norm") * scale)


@method("ons", family="online-convex", space={"gamma": Float(0.1, 1000.0, log=True)})
def ons(spec: Spec, *, gamma: float = 1.0) -> Any:
    """The online Newton step, for exp-concave losses; gamma in units of min(1/(4GD), α)/2."""
    return convex.ONS(gamma=cautious_beta(spec, "ons") * gamma)


@method("oftrl", family="online-convex", space={"scale": SCALE})
def oftrl(spec: Spec, *, scale: float = 1.0) -> Any:
    """Optimistic follow-the-regularized-leader (Sachs et al. 2022); scale in units of D."""
    return convex.OptimisticFTRL(D=_told(spec, "D", "oftrl") * scale)


@method("optimistic-omd", family="online-convex", paper=PAPER, space={"scale": SCALE, "delta": Choice(None, 0.0, 1.0)})
def optimistic_omd(spec: Spec, *, scale: float = 1.0, delta: float | None = None) -> Any:
    """Optimistic mirror descent for convex losses; scale in units of D, delta of G² (None: 10 D² L²)."""
    D, G, L = _told(spec, "D", "optimistic-omd"), _told(spec, "G", "optimistic-omd"), spec.facts.get("L")
    chosen = (G**2 if L is None else 10 * (D * L) ** 2) if delta is None else float(delta) * G**2
    return convex.OptimisticOMD(D=D * scale, delta=chosen)


@method("optimistic-omd-sc", family="online-convex", paper=PAPER, space={"curvature": Float(0.1, 10.0, log=True)})
def optimistic_omd_sc(spec: Spec, *, curvature: float = 1.0) -> Any:
    """Optimistic mirror descent for strongly convex losses, steps 2/(λ t); curvature in units of λ."""
    return convex.OptimisticOMD(curvature="strongly_convex", lam=_told(spec, "lam", "optimistic-omd-sc") * curvature)


@method("optimistic-omd-exp", family="online-convex", paper=PAPER, space={"beta": Float(0.1, 1000.0, log=True)})
def optimistic_omd_exp(spec: Spec, *, beta: float = 1.0) -> Any:
    """Optimistic online Newton steps for exp-concave losses; beta in units of min(1/(4GD), α)/2."""
    return convex.OptimisticOMD(curvature="exp_concave", beta=cautious_beta(spec, "optimistic-omd-exp") * beta)


@method(
    "optimistic-omd-implicit", family="online-convex", paper=PAPER,
    space={"scale": SCALE, "delta": Float(0.01, 10.0, log=True)},
)  # fmt: skip
def optimistic_omd_implicit(spec: Spec, *, scale: float = 1.0, delta: float = 1.0) -> Any:
    """Optimistic mirror descent with proximal steps on the last loss, for kinks; scale of D, delta of G²."""
    D, G = _told(spec, "D", "optimistic-omd-implicit"), _told(spec, "G", "optimistic-omd-implicit")
    return convex.OptimisticOMD(implicit=True, D=D * scale, delta=delta * G**2)


@method("dynamic-omd", family="online-convex", paper=PAPER, space={"smoothness": Float(0.03, 3.0, log=True)})
def dynamic_omd(spec: Spec, *, smoothness: float = 1.0) -> Any:
    """A pool of steps under Hedge, for points that move; smoothness in units of L (G/D where L is 0 or unknown)."""
    return convex.DynamicOMD(L=_scaled(spec, smoothness), stretch=1 / smoothness)


@method("dynamic-omd-implicit", family="online-convex", paper=PAPER)
def dynamic_omd_implicit(spec: Spec) -> Any:
    """The pool with proximal base learners, for comparators that move and losses with kinks."""
    return convex.DynamicOMD(implicit=True)


@method("sword-pp", family="online-convex", space={"smoothness": Float(0.03, 3.0, log=True)})
def sword_pp(spec: Spec, *, smoothness: float = 1.0) -> Any:
    """Sword++ with the constants of its public code; smoothness in units of L (of G/D where L is 0 or unknown)."""
    return convex.SwordPP(L=_scaled(spec, smoothness), stretch=1 / smoothness)


def cautious_beta(spec: Spec, name: str) -> float:
    """``min(1/(4 G D), alpha)/2``, which the analyses of Newton steps prescribe."""
    G, D, alpha = (_told(spec, fact, name) for fact in ("G", "D", "alpha"))
    return 0.5 * min(1 / (4 * G * D), alpha)


def _scaled(spec: Spec, factor: float) -> float | None:
    L = spec.facts.get("L")
    return None if L is None else float(L) * factor


def _told(spec: Spec, fact: str, name: str) -> float:
    from optimand.core.validation import OptimandError

    value = spec.facts.get(fact)
    if value is None:
        known = ", ".join(f"{key}={found:.4g}" for key, found in spec.facts.items())
        raise OptimandError(f"method {name!r} needs to know {fact}, which the problem does not tell; it tells {known}")
    return float(value)
