"""When may the best action of a linear model be trusted? A diagnostic from the rewards that were queried.

Under ``r(a) = <phi(a), theta> + e(a)`` with ``|e(a)| <= eps`` (arXiv 2303.16998) data never prove that eps is small, as
the error of an action that was not queried could be anything; but they prove that it is not smaller than the best
fit in the sup norm, and given eps they leave a polytope of models. How far these disagree about the action that looks
best is what a user risks. The question is the paper's; this diagnostic is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number

from .consistent import ROUNDING, Polytope, consistent_supports, held_out_residuals, largest_gap
from .design import amplification
from .queries import Array, check_features, check_rows
from .regression import omp
from .subsets import MAX_SUBSETS, best_subset, chebyshev_fit

# Rewards beyond the coefficients' number from which on errors are estimated: with fewer they look small by chance.
SPARE = 3


@dataclass(frozen=True)
class TrustReport:
    """What queried rewards say about a linear model; ``str(report)`` says it in words.

    Attributes:
        action: the action of the largest prediction, by least squares or, with ``s``, orthogonal matching pursuit.
        prediction: its predicted reward.
        theta: the fitted model, shape ``(d,)``.
        eps: level that everything below is for: the one given, else the larger of ``eps_low`` and ``eps_held_out``.
        eps_low: no linear (with ``s``: no s-sparse) model agrees with the data at a smaller level.
        eps_held_out: the largest residual of least squares at actions that were left out in turn (with ``s`` on the
            columns that fit best); NaN where too few were queried. An estimate: other actions may err more.
        interval: the mean of ``action`` under all models that agree with the data at level ``eps``.
        worst: how far below the best action ``action`` is under some model that agrees with the data.
        worst_bound: a number that no such model exceeds; equal to ``worst`` where enough programs were solved.
        rival: the action that is best in the case ``worst``: the one to query next.
        amplification: how much bounded errors can be enlarged at ``action`` by least squares on what was queried.
        largest_amplification: the same at the worst action; of the order ``√d`` for a good design.
        models: supports with models that agree with the data (1 without ``s``).
        exhaustive: whether all supports were looked at.
        tolerance: what is still trusted, in units of ``eps + width``.
        s: nonzero entries that a model may have; None for any number.
        width: how far noise may have moved the mean of a queried action, the median of them; 0 without noise.
        query_next: which of ``action`` and ``rival`` to query, or with noise to query again.
        estimated: whether ``eps`` was estimated.
        verdict: ``trust`` where ``worst_bound`` is within the tolerance and half of what the queried rewards differ by;
            ``distrust`` where ``worst`` is beyond the tolerance; ``uninformative`` where it is within, but beyond that
            half: the model says too little; ``undecided`` where rewards to estimate eps from, or programs, were too
            few; ``refuted`` where no model agrees with the data at the level that was given.
    """

    action: int
    prediction: float
    theta: Array
    eps: float
    eps_low: float
    eps_held_out: float
    interval: tuple[float, float]
    worst: float
    worst_bound: float
    rival: int
    amplification: float
    largest_amplification: float
    models: int
    exhaustive: bool
    tolerance: float
    s: int | None
    width: float
    query_next: tuple[int, ...]
    estimated: bool
    verdict: str

    def __str__(self) -> str:
        kind = "linear model"
        if self.s is not None:
            kind += f" with {self.s} nonzero coefficient{'s' if self.s > 1 else ''}"
        scope = kind if self.exhaustive else f"{kind}, of the supports that were looked at,"
        unknown = self.estimated and math.isnan(self.eps_held_out)
        level = f"errors of up to {self.eps:.3g}{' (estimated)' if self.estimated and not unknown else ''}"
        if self.width:
            if self.estimated and not unknown and self.eps == 0:
                level = "errors that cannot be told from the noise"
            level += f" and means known within {self.width:.3g}"
        far = "arbitrarily far" if math.isinf(self.worst) else self._told(self.worst)
        at_most = f"action {self.action} is at most {self._told(self.worst_bound)} below the best one"
        may_be = f"action {self.action} may be {far} below action {self.rival}"
        undecided = (
            f"too few rewards to estimate the errors from; even with {level}, {may_be if self.worst > 0 else at_most}; "
            f"{self._advice()}, and more"
            if unknown
            else f"with {level}, action {self.action} may be between {far} and {self._told(self.worst_bound)} below "
            f"the best one; {self._advice()}, or more"
        )
        return {
            "refuted": f"Refuted: no {scope} agrees with the rewards within {self.eps:.3g}; the smallest level is "
            f"{self.eps_low:.3g}.",
            "trust": f"Trust: with {level}, {at_most} under every {scope} that agrees with the rewards.",
            "uninformative": f"Uninformative: with {level}, {may_be}, more than half of what the queried rewards "
            "differ by: the model explains too little of them.",
            "undecided": f"Undecided: {undecided}.",
            "distrust": f"Do not trust: with {level}, the rewards agree with a {kind} in which action {self.action} is "
            f"{far} below action {self.rival}; {self._advice()}.",
        }[self.verdict]

    def _told(self, value: float) -> str:
        if self.width or not 0 < self.eps < math.inf or not value < 1e4 * self.eps:
            return f"{value:.3g}"
        return f"{value:.3g} ({value / self.eps:.1f} eps)"

    def _advice(self) -> str:
        if not self.query_next:
            return "both were queried"
        return f"query action{'s' if len(self.query_next) > 1 else ''} {' and '.join(map(str, self.query_next))}"


def trust_linear_model(
    Phi: Any,
    indices: Any,
    rewards: Any,
    *,
    s: int | None = None,
    eps: float | None = None,
    noise: float = 0.0,
    delta: float = 0.05,
    tolerance: float = 4.0,
    max_subsets: int = MAX_SUBSETS,
    max_programs: int = 60,
) -> TrustReport:
    """How far the best action of a linear model can be trusted, given some rewards.

    Args:
        Phi: features of all actions, shape ``(N, d)``; rows of any length.
        indices: actions that were queried, repeats allowed, shape ``(n,)``.
        rewards: what they gave, shape ``(n,)``.
        s: nonzero entries that the parameter has at most; None for dense models.
        eps: bound of the misspecification where it is known; estimated from the data by default.
        noise: sub-Gaussian level of the rewards' noise.
        delta: probability with which the noise may break the statements.
        tolerance: suboptimality that is still trusted, in units of eps and, with noise, of what it may have moved a
            mean by. No method can do better than 2 eps in general.
        max_subsets: supports that are looked at at most; beyond, those near that of matching pursuit are.
        max_programs: linear programs for ``worst`` at most.

    Returns:
        The report. With the true ``eps`` (and where ``exhaustive``), ``interval`` holds the action's mean and
        ``worst_bound`` is not exceeded, with probability ``1 - delta`` over the noise.

    Raises:
        ValueError: an argument is out of its range, or shapes do not fit.

    Reference: arXiv 2303.16998, for the model; Lattimore et al. (2020), for the amplification by ``√d``.

    Example:
        >>> Phi = np.column_stack([np.linspace(-1, 1, 41), np.ones(41)])
        >>> report = trust_linear_model(Phi, np.arange(0, 41, 4), 0.5 * Phi[::4, 0] + 0.01)
        >>> report.action, report.verdict
        (40, 'trust')
    """
    Phi = check_features(Phi)
    if s is not None:
        check_int("s", s, low=1, high=Phi.shape[1])
    if eps is not None:
        check_number("eps", eps, low=0, high=math.inf, high_open=True)
    check_number("noise", noise, low=0, high=math.inf, high_open=True)
    check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)
    check_number("tolerance", tolerance, low=0, low_open=True)
    check_int("max_programs", max_programs, low=1)
    asked, y, widths = _observations(Phi, indices, rewards, noise, delta)
    A = Phi[asked]
    theta = omp(A, y, s) if s is not None else np.linalg.lstsq(A, y, rcond=1e-12)[0]
    predicted = Phi @ theta
    action = int(predicted.argmax())
    low, held_out = _levels(A, y, widths, theta, s, max_subsets)
    # Programs that touch their limits need room for rounding.
    room = ROUNDING * (1 + float(np.abs(y).max()))
    level = eps
    if level is None:
        level = max(low, 0.0 if math.isnan(held_out) else held_out)
        level = 0.0 if level <= room else level  # rounding is no error
    slack = level + widths + room
    columns, exhaustive = [np.arange(Phi.shape[1])] if low <= level + room else [], True
    if s is not None:
        columns, exhaustive = consistent_supports(A, y, slack, s, max_subsets)
    models = [(part, Polytope(A[:, part], y, slack)) for part in columns]
    enlarged = amplification(Phi, A, np.full(len(A), 1 / len(A)))
    facts: dict[str, Any] = {
        "action": action, "prediction": float(predicted[action]), "theta": theta, "eps": level, "eps_low": low,
        "eps_held_out": held_out, "amplification": float(enlarged[action]), "models": len(models),
        "largest_amplification": float(enlarged.max()), "exhaustive": exhaustive, "tolerance": tolerance,
        "s": s, "width": float(np.median(widths)), "estimated": eps is None,
    }  # fmt: skip
    if not models:
        return TrustReport(
            **facts, interval=(math.nan, math.nan), worst=math.nan, worst_bound=math.nan,
            rival=action, query_next=(), verdict="refuted",
        )  # fmt: skip
    seen = dict(zip(asked.tolist(), range(len(asked)), strict=True))
    limit = tolerance * (level + facts["width"]) + 10 * room
    caps = np.full(len(Phi), math.inf)
    caps[asked] = y + widths
    floor = float(y[seen[action]] - widths[seen[action]]) if action in seen else -math.inf
    # Under all models; and as far as the action was queried itself.
    low_end = -max(polytope.largest(-Phi[action, part]) for part, polytope in models) - level
    high_end = max(polytope.largest(Phi[action, part]) for part, polytope in models) + level
    ends = max(low_end, floor), min(high_end, float(caps[action]))
    differ = max(float((y - widths).max() - (y + widths).min()), 0.0)
    # Beyond half of what rewards differ by, a bound says too little, however many eps it is.
    trusted = min(limit, differ / 2 + 10 * room)
    worst, bound, rival = largest_gap(models, Phi, action, level, caps, floor, max_programs, trusted)
    return TrustReport(
        **facts, interval=ends, worst=worst, worst_bound=bound, rival=rival,
        query_next=tuple(a for a in dict.fromkeys((action, rival)) if noise or a not in seen),
        verdict=_verdict(eps is not None or not math.isnan(held_out), worst, bound, trusted, limit),
    )  # fmt: skip


def _verdict(known: bool, worst: float, bound: float, trusted: float, limit: float) -> str:
    if not known:  # with too few rewards nothing is known of the errors but that they may be as small as the level
        return "undecided"
    if bound <= trusted:
        return "trust"
    if worst <= trusted:
        return "undecided"
    return "distrust" if worst > limit else "uninformative"


def _observations(Phi: Array, indices: Any, rewards: Any, noise: float, delta: float) -> tuple[Array, Array, Array]:
    """Distinct actions, their mean rewards, and how far noise may have moved each mean."""
    found = np.asarray(indices)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        raise ValueError(
            f"indices must be integers of shape (n,) with n >= 1, got {found.dtype} of shape {found.shape}"
        )
    if found.min() < 0 or found.max() >= len(Phi):
        raise ValueError(f"indices must be in [0, {len(Phi)}), got {found.min()} … {found.max()}")
    expected = f"rewards must be {len(found)} finite numbers, one for each index"
    try:
        given = np.asarray(rewards, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{expected}, got {rewards!r:.60}") from error
    if given.shape != found.shape:
        raise ValueError(f"{expected}, got shape {given.shape}")
    if not np.isfinite(given).all():
        bad = np.flatnonzero(~np.isfinite(given))
        raise ValueError(f"{expected}, got {given[bad[0]]} at position {bad[0]} ({len(bad)} such)")
    asked, which, counts = np.unique(found, return_inverse=True, return_counts=True)
    means = np.bincount(which, given) / counts
    check_rows(Phi[asked], means)
    return asked, means, noise * np.sqrt(2 * math.log(2 * len(asked) / delta) / counts)


def _levels(A: Array, y: Array, widths: Array, theta: Array, s: int | None, max_subsets: int) -> tuple[float, float]:
    """The level that is proved, and the one that held-out actions show."""
    columns = np.arange(A.shape[1])
    if s is not None and math.comb(A.shape[1], s) <= max_subsets:
        found, low = best_subset(A, y, s, widths=widths, max_subsets=max_subsets)
        columns = np.flatnonzero(found)
    else:
        low = chebyshev_fit(A, y, widths)[1]
        columns = columns if s is None else np.flatnonzero(theta)
    missed = held_out_residuals(A[:, columns], y, SPARE) if len(columns) else y
    return low, math.nan if missed is None else max(float((np.abs(missed) - widths).max()), 0.0)
