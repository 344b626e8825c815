"""Catalog entries of the family ``monotone``.

A method builds a solver from an :class:`~optimand.numerical.monotone.loop.Inclusion`. Steps are in units of what the
analysis of the method allows on the operator at hand, so one default serves all problems.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float

if TYPE_CHECKING:
    from .loop import Inclusion

PAPER = "variance-reduced-halpern"
STEP = Float(0.1, 4.0, log=True)


def _solver(name: str, task: Inclusion, **options: Any) -> Any:
    from .solve import make_method

    return make_method(name, task.op, task.u0, task.resolvent, task.rng, **options)


@method("extragradient", family="monotone", space={"step": Float(0.1, 1.1, log=True)})
def extragradient(task: Inclusion, *, step: float = 1.0) -> Any:
    """Extragradient (EG) with the full operator; step in units of 0.9/L."""
    return _solver("eg", task, step=step * 0.9 / _known(task.op.L))


@method("eag", family="monotone", space={"step": STEP})
def eag(task: Inclusion, *, step: float = 1.0) -> Any:
    """Extragradient anchored to its start (EAG); step in units of 0.5/L."""
    return _solver("eag", task, step=step * 0.5 / _known(task.op.L))


@method("halpern", family="monotone", space={"eta": Float(0.5, 50.0, log=True)})
def halpern(task: Inclusion, *, eta: float = 20.0) -> Any:
    """Halpern's iteration on the resolvent, which is found with the full operator; eta in units of 1/L."""
    return _solver("halpern", task, step=eta / _known(task.op.L))


@method("halpern-one-step", family="monotone", space={"step": STEP})
def halpern_one_step(task: Inclusion, *, step: float = 1.0) -> Any:
    """One-step Halpern with the full operator, for cocoercive ones; step in units of one over F's own constant."""
    return _solver("halpern-one-step", task, step=step / _finite(task.op.L_own, _known(task.op.L)))


@method("svrg-eg", family="monotone", space={"step": STEP}, options={"compiled": True})
def svrg_eg(task: Inclusion, *, step: float = 1.0) -> Any:
    """Variance-reduced extragradient, loopless; step in units of 0.99 √p / L_mean."""
    n = task.op.n_effective
    p = min(1.0, 2.0 / n)
    return _solver("svrg-eg", task, step=step * 0.99 * p**0.5 / _known(task.op.L_mean), p=p)


@method("omwu", family="monotone", space={"step": Float(0.1, 100.0, log=True)})
def omwu(task: Inclusion, *, step: float = 1.0) -> Any:
    """Optimistic multiplicative weights, for matrix games; step in units of one over twice the largest payoff."""
    return _solver("omwu", task, step=step * 0.5 / getattr(task.op, "largest_payoff", 1.0))


@method("vr-halpern", family="monotone", paper=PAPER, space={"step": Float(0.5, 8.0, log=True)})
def vr_halpern(task: Inclusion, *, step: float = 1.0) -> Any:
    """One-step Halpern with PAGE (Algorithm 1), for operators cocoercive on average; step in units of 1/(4 L)."""
    return _solver("vr-halpern", task, step=step / (4 * _finite(task.op.L_cocoercive, _known(task.op.L_mean))))


@method(
    "vr-halpern-inexact",
    family="monotone",
    paper=PAPER,
    space={"eta": Float(1.0, 50.0, log=True), "c": Float(0.25, 1.5, log=True), "power": Choice(1.0, 2.0, 4.0)},
    options={"compiled": True},
)
def vr_halpern_inexact(task: Inclusion, *, eta: float = 20.0, c: float = 1.0, power: float = 1.0) -> Any:
    """Halpern on the resolvent, found by VR-FoRB to a certified tolerance (Algorithm 2); eta in units of √n/L."""
    return _solver("vr-halpern-inexact", task, eta_factor=eta, c=c, power=power)


@method(
    "vr-halpern-restarted",
    family="monotone",
    space={"eta": Float(1.0, 50.0, log=True), "factor": Float(0.05, 0.8)},
    options={"compiled": True},
)
def vr_halpern_restarted(task: Inclusion, *, eta: float = 20.0, factor: float = 0.5) -> Any:
    """Algorithm 2 with its anchor moved whenever the residual has fallen by a factor; not in the paper."""
    from .restarted import Restarted

    return Restarted(_solver("vr-halpern-inexact", task, eta_factor=eta), factor)


@method("monotone-auto", family="monotone", options={"compiled": True})
def monotone_auto(task: Inclusion) -> Any:
    """What ``solve_inclusion`` chooses from the operator's constants."""
    return _solver("auto", task)


def _known(constant: float | None) -> float:
    assert constant is not None  # an inclusion estimates what its operator does not know
    return constant


def _finite(constant: float | None, otherwise: float) -> float:
    # An operator that is not cocoercive has no such constant: the solver warns, and shows what it does there.
    return otherwise if constant is None or math.isinf(constant) else constant
