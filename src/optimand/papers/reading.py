"""Readings that several claims share: tuned difference, time per step, steps to the baseline's loss."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from optimand.core.claims import Finding, Outcomes


def paired(outcomes: Outcomes, problem: str, method: str, baseline: str) -> tuple[float, float, float]:
    """Mean of the seed-by-seed differences ``method - baseline`` of the test metric, with Student's 95 % interval."""
    pairs = zip(outcomes.values(problem, method), outcomes.values(problem, baseline), strict=True)
    differences = np.array([a - b for a, b in pairs])
    mean = float(differences.mean())
    if len(differences) < 2 or not math.isfinite(mean):
        return mean, math.nan, math.nan
    spread = float(stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences)))
    return mean, mean - spread, mean + spread


def tuned_difference(outcomes: Outcomes, *, problem: str, method: str, baseline: str) -> Finding:
    """Whether ``method`` has a lower test loss than ``baseline`` by more than the noise, both tuned alike."""
    mean, low, high = paired(outcomes, problem, method, baseline)
    ours, theirs = outcomes.mean(problem, method), outcomes.mean(problem, baseline)
    word = "lower" if high < 0 else "higher" if low > 0 else "no difference beyond the noise"
    return Finding(
        f"{ours:.4f} against {theirs:.4f}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]",
        high < 0,
        f"{problem}, test loss at tuned hyperparameters, paired over the seeds, 95 % interval: {word}",
    )


def per_step_ratio(outcomes: Outcomes, *, problem: str, method: str, baseline: str, most: float) -> Finding:
    """Time of a training step against the baseline's; holds up to the ratio ``most``.

    Forward and backward pass are the same for both, so the baseline's stand for both, and only the updates are
    compared: the times of whole runs differ by more than the updates do, for reasons of the machine.
    """
    whole = outcomes.cost(problem, baseline, "seconds_per_unit")
    ours, theirs = (outcomes.cost(problem, m, "optimizer_seconds_per_unit") for m in (method, baseline))
    ratio = 1 + (ours - theirs) / whole
    return Finding(
        f"{ratio - 1:+.1%}",
        ratio <= most,
        f"{problem}: updates of {ours * 1e3:.3f} ms against {theirs * 1e3:.3f} ms (torch's fused AdamW) in steps of "
        f"{whole * 1e3:.1f} ms, medians",
    )


def steps_to_baseline(
    outcomes: Outcomes, *, problem: str, metric: str, method: str, baseline: str, least: float
) -> Finding:
    """How many times fewer steps ``method`` needs for the baseline's final validation loss; holds from ``least`` on."""
    theirs = outcomes.curve(problem, baseline, metric=metric, split="valid")
    ours = outcomes.curve(problem, method, metric=metric, split="valid")
    goal = float(np.mean(theirs[1][-1]))
    at = next((x for x, ys in zip(*ours, strict=True) if np.mean(ys) <= goal), math.inf)
    speedup = theirs[0][-1] / at
    return Finding(
        f"{speedup:.2f} times fewer steps" if speedup else "never reaches it",
        speedup >= least,
        f"{problem}, steps until the mean validation loss is at {baseline}'s final {goal:.4f}, both tuned alike",
    )
