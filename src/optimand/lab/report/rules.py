"""The rules of a comparison, said on the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..statistics import CONFIDENCE, RESAMPLES
from . import formatting

TUNERS: Mapping[str, str] = {
    "qmc": "quasi-random points (scrambled Sobol)",
    "random": "random points",
    "tpe": "a tree-structured Parzen estimator",
}


def rules(spec: Mapping[str, Any], several_problems: bool, targets: bool) -> list[tuple[str, str]]:
    """Pairs of a heading and a sentence or two, as they hold for this study."""
    share = f"{CONFIDENCE:.0%}"
    found = [
        ("Same budget", "Every run of a problem gets the same budget, counted in the problem's own unit."),
        ("Same tuning effort", _tuning(spec)),
        (
            "Selected on validation, reported on test",
            "Hyperparameters are selected by the validation value. What is ranked is the test value at the end of the "
            "budget, not the best one along the way. The final runs draw other random numbers than the tuning trials. "
            "A problem that is to be solved, not learned from, has no held-out data: there both values are the same.",
        ),
    ]
    if spec["seeds"] > 1:
        found += [
            (
                "Paired by seed",
                f"{formatting.plural(spec['seeds'], 'seed')} for each method. A seed fixes the initial state and the "
                "order of the data, the same for all methods, so differences are taken seed by seed.",
            ),
            (
                "Intervals",
                f"A value ± half its {share} confidence interval of the mean over the seeds: the bootstrap "
                f"({formatting.number(RESAMPLES)} resamples), never narrower than Student's t. It covers the choice of "
                "the seed, not the choice of the data.",
            ),
            (
                "Ties",
                f"A method is tied with the best where the {share} interval of their paired difference includes zero, "
                "after Holm's correction for comparing several methods with the best at once.",
            ),
        ]  # fmt: skip
    found.append(
        (
            "Diverged runs",
            "A run whose objective is no longer finite, or has blown up (in training: to 1000 times its first value), "
            "is counted as diverged, at its position, and stays out of the averages. A method that loses a seed this "
            "way is not called the best while another loses none.",
        )
    )  # fmt: skip
    if targets:
        found.append(
            (
                "Time to target",
                "The first evaluation at which the validation value is at the target; the median over the seeds, and "
                "only where more than half of them reach it.",
            )
        )
    found.append(
        (
            "Stopwatch",
            "Seconds are those of the method's own work (gradients and updates, or its field's equal). Evaluation, "
            "recording and checkpoints are not charged. Runs that share a machine slow each other down.",
        )
    )
    if several_problems and targets:
        found.append(
            (
                "Performance profile",
                "Share of problems whose target is reached within a multiple of the fastest method's budget "
                "(Dolan and Moré 2002).",
            )
        )
    return found


def _tuning(spec: Mapping[str, Any]) -> str:
    if not spec["tune"]:
        return "No method was tuned: each runs with its defaults, or with what was given on the command line."
    tuner = TUNERS.get(spec.get("tuner", ""), str(spec.get("tuner", "")))
    return (
        f"Every method gets {formatting.plural(spec['tune'], 'trial')} on each problem, the defaults being the first "
        f"and the others {tuner} from its own ranges. A method with nothing to tune runs its defaults once. The "
        "expected best after k trials counts the defaults and k − 1 of the others, drawn without replacement (after "
        "Dodge et al. 2019)."
    )
