"""Checks of the claims of Trace that ask a language model: the configured one, or the embedded one."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.claims import Finding

GRAPHS = 30
CLOSE = 1e-2


def numeric_runs(
    params: int, budget: int, names: tuple[str, ...], graphs: int = GRAPHS, **hyper: Any
) -> dict[str, Any]:
    """Evaluations to an error of a hundredth of the range, of each method on the same graphs."""
    from optimand.language.workflows.problems import numeric_workflow

    from .small_searches import evaluations_to, method_of, run_once

    problem = numeric_workflow(params=params, budget=budget)
    return {
        name: np.array(
            [
                evaluations_to(run_once(problem, method_of(name, **hyper), seed), "error", CLOSE)
                for seed in range(graphs)
            ]
        )
        for name in names
    }


def told(spent: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {int(np.isfinite(at).sum())} of {len(at)} (median {float(np.median(at)):g})"
        for name, at in spent.items()
    )


def embedded_guesses() -> Finding:
    """The embedded model and interval search in the same guessing game."""
    from optimand.language.llm import EmbeddedModel

    from .small_searches import bisect, guess

    targets, steps = (23, 61, 92), 7
    chat = EmbeddedModel(reuse_prompt=True)  # each prompt of a game begins as the one before it
    found = sum(guess(chat, target, steps) for target in targets)
    narrowed = sum(guess(chat, target, steps, narrowed=True) for target in targets)
    ours = sum(bisect(target, steps) for target in targets)
    return Finding(
        f"embedded model {found} of {len(targets)}, with the interval in its schema {narrowed}, bisection {ours}",
        ours > max(found, narrowed),
        f"a whole number of 0 to 100 by larger/smaller in {steps} guesses: the embedded model is a path for trying "
        "things out, not an optimizer",
    )


def numeric_with_a_model() -> Finding:
    """OptoPrime with the configured model on random graphs, with the graph and masked."""
    spent = numeric_runs(1, 10, ("optoprime", "optoprime-masked"), graphs=5)
    ours, masked = (int(np.isfinite(spent[name]).sum()) for name in ("optoprime", "optoprime-masked"))
    return Finding(told(spent), ours > masked, "5 graphs, 10 evaluations each, the configured model")


def traffic_with_a_model() -> Finding:
    """OptoPrime with and without memory, OPRO, and the saturation rule on traffic lights."""
    from optimand.language.workflows.problems import traffic_lights

    from .small_searches import method_of, run_once

    problem = traffic_lights(budget=12)
    methods = {
        "OptoPrime": method_of("optoprime"),
        "without memory": method_of("optoprime", memory=0),
        "OPRO": method_of("opro"),
        "saturation rule": method_of("saturation-rule"),
    }
    waits = {
        label: float(np.mean([run_once(problem, found, seed).last("test", "wait") for seed in range(2)]))
        for label, found in methods.items()
    }
    best = waits["OptoPrime"]
    return Finding(
        ", ".join(f"{name} {wait:.2f}" for name, wait in waits.items()),
        best <= 1.05 * waits["saturation rule"] and best < min(waits["OPRO"], waits["without memory"]),
        "wait in units of Webster's after 12 evaluations, mean of 2 crossings, the configured model",
    )


def battleship_with_a_model() -> Finding:
    """OptoPrime with the configured model writes a policy."""
    from optimand.language.workflows.problems import battleship

    from .small_searches import method_of, run_once

    problem = battleship(policy="code", budget=8)
    rewards = [run_once(problem, method_of("optoprime"), seed).last("test", "reward") for seed in range(2)]
    return Finding(
        f"reward {float(np.mean(rewards)):.2f}",
        float(np.mean(rewards)) >= 0.6,
        "share of ships' cells hit in 18 shots on boards not seen, after 8 evaluations, 2 runs, the configured model",
    )


def textgrad_with_a_model() -> Finding:
    """Seconds of OptoPrime and TextGrad for the same number of steps."""
    from optimand.language.workflows.problems import numeric_workflow

    from .small_searches import evaluations_to, method_of, run_once

    problem, seconds, solved = numeric_workflow(params=2, budget=6), {}, {}
    for name in ("optoprime", "textgrad"):
        runs = [run_once(problem, method_of(name), seed) for seed in range(2)]
        seconds[name] = float(np.mean([recorder.seconds for recorder in runs]))
        solved[name] = sum(evaluations_to(recorder, "error", CLOSE) < float("inf") for recorder in runs)
    ratio = seconds["textgrad"] / seconds["optoprime"]
    return Finding(
        f"TextGrad takes {ratio:.1f} times as long; solved {solved['optoprime']} and {solved['textgrad']} of 2",
        ratio >= 2 and solved["optoprime"] >= solved["textgrad"],
        "2 graphs of two parameters, 6 evaluations each, the configured model",
    )
