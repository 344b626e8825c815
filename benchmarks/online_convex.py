"""Online convex optimization: rounds per second against PyNOL, and what the engine adds to a bare loop.

    python benchmarks/online_convex.py [--seconds 2] [--json FILE]

Rates are repetition-rounds per second of CPU time of one thread, learner and environment together, in one process: 100
repetitions at once and a single one, quadratic losses in 10 dimensions. The peer is PyNOL (``pip install pynol-xzp``;
its import also needs ``cvxpy``, ``multiprocess`` and ``autograd``, which the package does not declare), with its own
environment and squared loss; without it those rows are left out.

The overhead compares ``simulate`` with a bare loop of act, step and update that records the same regrets at the same
times, and tells what the recording itself costs, against a loop that looks at the regret once, at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.online.convex import OGD, ONS, DynamicOMD, OptimisticOMD, SEAEnvironment, SwordPP
from optimand.online.engine import Draws, recording_grid, simulate

D, ROUNDS, SIGMA = 10, 2000, 0.5
# Repetition-rounds per second over PyNOL's rounds per second: at 100 repetitions, and for a single one.
MANY_BAR, ONE_BAR, OVERHEAD_BAR = 500.0, 20.0, 0.20
# Ours, and PyNOL's learner of the same kind; it has no Newton steps.
PEERS = {"OGD": "OGD", "C1": "OptimisticOGD", "C4": "SwordPP", "Sword++": "SwordPP"}


def ours() -> dict[str, Any]:
    """The learners that are timed."""
    newton = {"C3": OptimisticOMD(curvature="exp_concave"), "ONS": ONS()}
    return {"OGD": OGD(), "C1": OptimisticOMD(), **newton, "C4": DynamicOMD(), "Sword++": SwordPP()}


def rate(run: Callable[[], int], seconds: float) -> float:
    """The best rate of several calls, each of which returns what it has done, in ``seconds`` of CPU time at least."""
    best, spent = 0.0, 0.0
    run()
    while spent < seconds:
        begin = time.thread_time()
        done = run()
        took = time.thread_time() - begin
        best, spent = max(best, done / took), spent + took
    return best


def our_rates(seconds: float) -> list[dict[str, Any]]:
    """Repetition-rounds per second at 100 repetitions and for one."""
    env, rows = SEAEnvironment("iid", d=D, sigma=SIGMA), []
    for name, learner in ours().items():
        row: dict[str, Any] = {"learner": name}
        for reps in (100, 1):

            def run(learner: Any = learner, reps: int = reps) -> int:
                simulate([learner], env, ROUNDS, reps=reps, points=20)
                return ROUNDS * reps

            row[f"reps_{reps}"] = rate(run, seconds)
        rows.append(row)
    return rows


def peer_rates(seconds: float) -> dict[str, float]:
    """PyNOL's rounds per second, by the name of its learner; empty where it is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("pynol", "cvxpy", "multiprocess", "autograd")):
        return {}
    from pynol.environment.domain import Ball
    from pynol.environment.environment import Environment
    from pynol.environment.loss_function import SquareLoss
    from pynol.learner import base
    from pynol.learner.models.dynamic.swordpp import SwordPP as PeerSword
    from pynol.online_learning import online_learning

    rng = np.random.default_rng(0)
    feature = rng.uniform(-1, 1, (ROUNDS, D)) / math.sqrt(D)
    label = feature @ np.full(D, 0.1)
    domain, step = Ball(dimension=D, radius=1.0), 0.05
    makers: dict[str, Callable[[], Any]] = {
        "OGD": lambda: base.OGD(domain, step_size=step),
        "OptimisticOGD": lambda: base.OptimisticOGD(domain, step_size=step),
        "SwordPP": lambda: PeerSword(domain, ROUNDS, 4.0, 1.0),
    }
    found = {}
    for name, make in makers.items():

        def run(make: Callable[[], Any] = make) -> int:
            rounds = 500
            env = Environment(func_sequence=SquareLoss(feature=feature, label=label, scale=1.0))
            online_learning(rounds, env, make())
            return rounds

        found[name] = rate(run, seconds)
    return found


def bare_loop(learner: Any, env: Any, reps: int, points: int) -> None:
    """Act, step and update, with the regret recorded at ``points`` times."""
    tree, grid = SeedTree(0), recording_grid(ROUNDS, points)
    observation = env.reset(Draws(tree.child("environment"), np.arange(reps)), ROUNDS)
    learner.reset(env.spec(), Draws(tree.child("learner"), np.arange(reps)))
    found, done = np.empty((reps, len(grid))), 0
    for position, at in enumerate(grid.tolist()):
        for _ in range(at - done):
            learner.update(env.step(learner.act(observation)))
        found[:, position], done = env.regret("fixed"), at


def overhead(seconds: float) -> list[dict[str, Any]]:
    """The time of ``simulate`` over that of a bare loop, least of several runs that take turns."""
    rows = []
    for name, make in (("OGD", OGD), ("C1", OptimisticOMD)):
        for reps in (100, 1):
            env = SEAEnvironment("iid", d=D, sigma=SIGMA)
            calls: dict[str, Callable[[], Any]] = {
                "bare": lambda make=make, env=env, reps=reps: bare_loop(make(), env, reps, 200),
                "once": lambda make=make, env=env, reps=reps: bare_loop(make(), env, reps, 2),
                "simulate": lambda make=make, env=env, reps=reps: simulate([make()], env, ROUNDS, reps=reps),
            }
            times, spent = dict.fromkeys(calls, math.inf), 0.0
            while spent < 2 * seconds:
                for key, call in calls.items():
                    begin = time.thread_time()
                    call()
                    took = time.thread_time() - begin
                    times[key], spent = min(times[key], took), spent + took
            added, recording = times["simulate"] / times["bare"] - 1, times["bare"] / times["once"] - 1
            micro = times["bare"] / ROUNDS * 1e6
            rows.append({"learner": name, "reps": reps, "microseconds": micro, "added": added, "recording": recording})
    return rows


def verdict(holds: bool, bar: str) -> str:
    """The bar, and whether it is met."""
    return f"bar {bar}: {'met' if holds else 'falls short'}"


def report(found: dict[str, Any]) -> str:
    """The tables as text."""
    lines = [f"{'learner':10s}{'100 repetitions':>18s}{'one':>12s}{'PyNOL':>10s}   (repetition-rounds per second)"]
    for row in found["ours"]:
        peer = found["peers"].get(PEERS.get(row["learner"], ""))
        line = f"{row['learner']:10s}{row['reps_100']:18.3g}{row['reps_1']:12.3g}"
        if peer:
            many, one = row["reps_100"] / peer, row["reps_1"] / peer
            line += f"{peer:10.0f}   {many:.0f} and {one:.0f} times"
            line += f" ({verdict(many >= MANY_BAR and one >= ONE_BAR, f'{MANY_BAR:g} and {ONE_BAR:g}')})"
        lines.append(line)
    if not found["peers"]:
        lines.append("PyNOL is not installed (pynol-xzp, cvxpy, multiprocess, autograd)")
    lines += ["", "simulate against a bare loop"]
    for row in found["overhead"]:
        lines.append(
            f"  {row['learner']}, {row['reps']} repetitions: {row['microseconds']:.1f} us a round, "
            f"{100 * row['added']:+.1f} % ({verdict(row['added'] <= OVERHEAD_BAR, '20 %')}); recording 200 regrets "
            f"instead of 2 costs {100 * row['recording']:+.1f} %"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time for each number")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    found = {
        "peers": peer_rates(options.seconds), "ours": our_rates(options.seconds), "overhead": overhead(options.seconds)
    }  # fmt: skip
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
