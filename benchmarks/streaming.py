"""Streams of arms: arms per second of the simulator against plain Python, and against the published code if given.

    python benchmarks/streaming.py [--published FOLDER] [--repeats 5] [--json FILE]

Every row simulates 200 streams of 500 arms, T = 500^3, in the clear-cut setting, and counts arms. Times are CPU time of
one thread, the least of the repeats: the simulator with instances, rewards, accounts and curves on the recording grid;
the peers a whole run on a stream that is there already.

* ``plain``: the same tower with ``ln ln K`` levels as one writes it in Python with NumPy, a call of
  ``Generator.binomial`` for each batch;
* ``published``: the authors' code (github.com/jhwjhw0123/streaming-regret-minimization-MABs), where ``--published``
  names a clone of it. Without a clone the bar, 100 times the 20 000 arms a second that it was measured at elsewhere, is
  shown beside the plain tower, and is only a number.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.online import simulate
from optimand.online.engine.draws import Draws
from optimand.online.streaming import (
    AnytimeEpsBest,
    KingEpsBest,
    NaiveEpsBest,
    StreamingBandit,
    TowerEpsBest,
    UniformExplore,
    clear_cut,
    schedules,
)

K, REPS = 500, 200
T = K**3
BAR, KNOWN = 100.0, 2e4  # times; arms a second of the published code where it is not here
LEARNERS = {
    "uniform": UniformExplore(),
    "naive": NaiveEpsBest(),
    "log": TowerEpsBest("log"),
    "loglog": TowerEpsBest("loglog"),
    "logstar": TowerEpsBest("logstar"),
    "king": KingEpsBest(),
    "anytime": AnytimeEpsBest(),
}


def least(call: Callable[[], Any], repeats: int) -> float:
    """Least CPU seconds of a call."""
    found = math.inf
    for _ in range(repeats):
        begin = time.thread_time()
        call()
        found = min(found, time.thread_time() - begin)
    return found


def ours(repeats: int) -> dict[str, float]:
    """Arms per second of ``simulate`` by learner, and of the plain step interface."""
    env = StreamingBandit(clear_cut(K))
    found = {}
    for name, learner in LEARNERS.items():
        made = {name: learner}
        simulate(made, env, T, reps=2)  # compiled, or loaded, beforehand
        found[name] = REPS * K / least(lambda made=made: simulate(made, env, T, reps=REPS), repeats)
    plain = {"loglog": LEARNERS["loglog"]}
    found["loglog, step interface"] = 5 * K / least(lambda: simulate(plain, env, T, reps=5, backend="loop"), repeats)
    return found


def plain_tower(means: np.ndarray, rng: np.random.Generator) -> float:
    """The tower with ``ln ln K`` levels in plain Python: the regret of one run."""
    plan = schedules(len(means), T)["loglog"]
    best, regret, spent = float(means.max()), 0.0, 0
    champions: dict[int, tuple[int, float]] = {}
    seen = [0] * len(plan.pulls)

    def pull(arm: int, n: int) -> float:
        nonlocal regret, spent
        regret, spent = regret + n * (best - means[arm]), spent + n
        return rng.binomial(n, means[arm]) / n

    for number in range(len(means)):
        arm, level = number, 0
        while True:
            mean = pull(arm, plan.pulls[level])
            if level not in champions or mean > champions[level][1]:
                champions[level] = (arm, mean)
            seen[level] += 1
            if level == len(plan.pulls) - 1 or seen[level] < plan.arms[level]:
                break
            arm, _ = champions.pop(level)
            seen[level], level = 0, level + 1
    arms = [champions[level][0] for level in sorted(champions)]
    finals = [pull(arm, plan.final) for arm in arms] if len(arms) > 1 else [0.0]
    return regret + (T - spent) * (best - means[arms[int(np.argmax(finals))]])


def plain(repeats: int) -> float:
    """Arms per second of the plain tower."""
    rng = np.random.default_rng(0)
    means = clear_cut(K).draw(Draws(SeedTree(0), np.arange(10)), T)
    return 10 * K / least(lambda: [plain_tower(row, rng) for row in means], repeats)


def published(folder: Path, repeats: int) -> float:
    """Arms per second of the published code, its tower with ``ln ln K`` levels."""
    sys.path.insert(0, str(folder))
    sys.modules.setdefault("tqdm", types.ModuleType("tqdm"))  # imported there, not needed
    arms_of, algorithms = importlib.import_module("streamingMAB"), importlib.import_module("algorithms")
    streams = []
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002 (the published code draws from it)
        random.seed(seed)
        arms = [arms_of.Bernoulli_Arm(random_mean="gaussian") for _ in range(K - 1)] + [arms_of.Bernoulli_Arm(p=0.82)]
        random.shuffle(arms)
        streams.append(arms_of.Arm_Reading_Buffer(arm_set=np.array(arms)))

    def run() -> None:
        for stream in streams:
            stream.reset()
            algorithms.loglog_eps_best_algorithm(stream, T, verbose=False)

    return len(streams) * K / least(run, repeats)


def report(rows: dict[str, Any]) -> str:
    """The table as text."""
    lines = [f"{'200 streams of 500 arms, T = 1.25e8':40s}{'arms a second':>15s}"]
    lines += [f"{name:40s}{speed:15.3g}" for name, speed in rows["ours"].items()]
    lines.append(f"{'loglog, plain Python and NumPy':40s}{rows['plain']:15.3g}")
    speed = rows["ours"]["loglog"]
    if "published" in rows:
        ratio = speed / rows["published"]
        lines.append(f"{'loglog, published code':40s}{rows['published']:15.3g}")
        lines.append(
            f"loglog is {ratio:.0f} times the published code (bar {BAR:g}: {'met' if ratio >= BAR else 'falls short'})"
        )
    else:
        lines.append(
            f"published code not given: loglog is {speed / KNOWN:.0f} times its {KNOWN:.0f} arms a second, measured on "
            f"another machine (bar {BAR:g}: not measured here)"
        )
    lines.append(f"loglog is {speed / rows['plain']:.0f} times the plain tower")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--published", type=Path, help="folder with a clone of the published code")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows: dict[str, Any] = {"ours": ours(options.repeats), "plain": plain(options.repeats)}
    if options.published:
        rows["published"] = published(options.published, options.repeats)
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
