"""Bandits: pulls per second of UCB1 against two simulators, what the engine adds to a step, and two processes.

    python benchmarks/bandits.py [--repeats 5] [--json FILE]

* Pulls per second: UCB1 with width sqrt(2 ln t / n) on ten Bernoulli arms, 10^4 pulls; ours in 100 repetitions, in the
  compiled loop and a step of all repetitions at a time; SMPyBandits's ``UCB`` in its plain loop of ``choice``, ``draw``
  and ``getReward``; MABWiser's ``UCB1`` with ``predict`` and ``partial_fit`` for every pull. CPU time of one thread,
  the least of the repeats, all in turn in one process. The mean regret shows that they do the same.
* What the engine adds: ``simulate`` with ``backend="numpy"`` against a bare loop of the same calls of ``act``, ``step``
  and ``update``.
* Two processes: wall time of 200 repetitions of KL-UCB with ``n_jobs=1`` and ``n_jobs=2``, processes started before.
  It means something on a machine with two idle cores only, so the load is printed with it, and what CPU time says.

The peers: ``pip install --no-deps SMPyBandits==0.9.7 mabwiser==2.7.4 && pip install seaborn`` (their pins would bring
old versions of packages, and both import seaborn or pandas). SMPyBandits imports ``scipy.special.btdtri``, which SciPy
has no more; it is set to its successor ``betaincinv`` here before the import.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.online.bandits import KLUCB, UCB1, BernoulliBandit, Exp3, ThompsonSampling, UniformRandom
from optimand.online.engine import Draws, simulate

MEANS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
HORIZON, REPS = 10_000, 100
SPEED_BAR, OVERHEAD_BAR, JOBS_BAR = 100.0, 0.2, 1.6


def smpybandits() -> tuple[Any, Any]:
    """SMPyBandits's UCB policy and Bernoulli arm."""
    import scipy.special

    if not hasattr(scipy.special, "btdtri"):
        scipy.special.btdtri = scipy.special.betaincinv
    before = np.geterr()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from SMPyBandits.Arms.Bernoulli import Bernoulli
        from SMPyBandits.Policies.UCB import UCB
    np.seterr(**before)  # its modules set the process's
    return UCB, Bernoulli


def play_smpybandits(rounds: int) -> float:
    """Regret of a run of SMPyBandits's UCB in a plain loop."""
    UCB, Bernoulli = smpybandits()
    arms = [Bernoulli(mean) for mean in MEANS]
    policy = UCB(len(arms))
    policy.startGame()
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(rounds):
            arm = policy.choice()
            policy.getReward(arm, arms[arm].draw())
    return float((max(MEANS) - np.array(MEANS)) @ policy.pulls)


def play_mabwiser(rounds: int) -> float:
    """Regret of a run of MABWiser's UCB1, one pull at a time."""
    from mabwiser.mab import MAB, LearningPolicy

    rng = np.random.default_rng(0)
    rewards = rng.random((rounds + len(MEANS), 1)) < np.array(MEANS)
    learner = MAB(list(range(len(MEANS))), LearningPolicy.UCB1(alpha=1.0))
    # it wants a first pull of every arm
    learner.fit(list(range(len(MEANS))), [float(rewards[a, a]) for a in range(len(MEANS))])
    pulls = np.ones(len(MEANS))
    for t in range(rounds - len(MEANS)):
        arm = learner.predict()
        learner.partial_fit([arm], [float(rewards[len(MEANS) + t, arm])])
        pulls[arm] += 1
    return float((max(MEANS) - np.array(MEANS)) @ pulls)


def pulls_per_second(repeats: int) -> list[dict[str, Any]]:
    """For each simulator the most pulls per second, and mean regret where it was played to the horizon."""

    def ours(backend: str) -> float:
        curves = simulate([UCB1()], BernoulliBandit(MEANS), HORIZON, reps=REPS, backend=backend)
        return float(curves.mean("UCB1")[-1])

    calls: dict[str, tuple[Callable[[], float], int]] = {
        "ours, compiled loop": (lambda: ours("numba"), HORIZON * REPS),
        "ours, a step at a time": (lambda: ours("numpy"), HORIZON * REPS),
        "SMPyBandits": (lambda: play_smpybandits(HORIZON), HORIZON),
        "MABWiser": (lambda: play_mabwiser(HORIZON), HORIZON),
    }
    least, regrets = dict.fromkeys(calls, math.inf), {name: [] for name in calls}  # type: ignore[var-annotated]
    for call, _ in calls.values():
        call()  # compiled, imported
    for _ in range(repeats):
        for name, (call, _) in calls.items():
            begin = time.thread_time()
            regrets[name].append(call())
            least[name] = min(least[name], time.thread_time() - begin)
    return [
        {"simulator": name, "rate": pulls / least[name], "regret": float(np.mean(regrets[name]))}
        for name, (_, pulls) in calls.items()
    ]


def overhead(repeats: int, rounds: int = 3000) -> list[dict[str, Any]]:
    """What ``simulate`` adds to the calls of learner and environment, as a share of them."""
    rows = []
    for learner in (UniformRandom, UCB1, Exp3, ThompsonSampling):

        def bare(make: Any = learner) -> float:
            env, player = BernoulliBandit(MEANS), make()
            draws = Draws(SeedTree(0).child("environment"), np.arange(REPS))
            observation = env.reset(draws, rounds)
            player.reset(env.spec(), Draws(SeedTree(0).child("learner", make.__name__), np.arange(REPS)))
            for _ in range(rounds):
                feedback = env.step(player.act(observation))
                player.update(feedback)
                observation = feedback.observation
            return float(env.regret("best-arm").mean())

        def engine(make: Any = learner) -> float:
            curves = simulate([make()], BernoulliBandit(MEANS), rounds, reps=REPS, backend="numpy")
            return float(curves.mean(make.__name__)[-1])

        assert abs(bare() - engine()) < 1e-9  # the same numbers, so the same work
        times = {"bare": math.inf, "engine": math.inf}
        for _ in range(repeats):
            for name, call in (("bare", bare), ("engine", engine)):
                begin = time.thread_time()
                call()
                times[name] = min(times[name], time.thread_time() - begin)
        step = {name: seconds / rounds * 1e6 for name, seconds in times.items()}
        rows.append({"learner": learner.__name__, **step, "share": step["engine"] / step["bare"] - 1})
    return rows


def two_processes(repeats: int) -> dict[str, float]:
    """Wall time with one process and with two, and CPU time of the one against the busier of the two."""
    import psutil

    env, me = BernoulliBandit(MEANS), psutil.Process()

    def spent() -> dict[int, float]:
        return {p.pid: sum(p.cpu_times()[:2]) for p in (me, *me.children(recursive=True))}

    def timed(jobs: int) -> tuple[float, float]:
        before, begin = spent(), time.perf_counter()
        simulate([KLUCB()], env, 20_000, reps=200, n_jobs=jobs)
        wall, after = time.perf_counter() - begin, spent()
        return wall, max(after[pid] - before.get(pid, 0.0) for pid in after)

    simulate([KLUCB()], env, 20_000, reps=20, n_jobs=2)  # start the processes
    least = {1: (math.inf, math.inf), 2: (math.inf, math.inf)}
    for _ in range(max(2, repeats // 2)):
        for jobs in least:
            wall, cpu = timed(jobs)
            least[jobs] = min(least[jobs][0], wall), min(least[jobs][1], cpu)
    (one, one_cpu), (two, two_cpu) = least[1], least[2]
    return {"one": one, "two": two, "speedup": one / two, "share": one_cpu / two_cpu, "load": os.getloadavg()[0]}


def verdict(met: bool, bar: str) -> str:
    """The bar, and whether it is met."""
    return f"bar {bar}: {'met' if met else 'falls short'}"


def report(rows: dict[str, Any]) -> str:
    """The tables as text."""
    rates = {row["simulator"]: row["rate"] for row in rows["pulls"]}
    lines = ["UCB1 on ten Bernoulli arms, 10^4 pulls", f"{'':26s}{'pulls/s':>12s}{'regret':>10s}"]
    lines += [f"{row['simulator']:26s}{row['rate']:12.3g}{row['regret']:10.1f}" for row in rows["pulls"]]
    for peer in ("SMPyBandits", "MABWiser"):
        for mine in ("ours, compiled loop", "ours, a step at a time"):
            times = rates[mine] / rates[peer]
            lines.append(f"  {mine}: {times:.0f} times {peer} ({verdict(times >= SPEED_BAR, f'{SPEED_BAR:.0f}')})")
    lines += ["", f"{'step of 100 repetitions':26s}{'bare us':>10s}{'engine us':>11s}{'added':>9s}"]
    lines += [
        f"{row['learner']:26s}{row['bare']:10.1f}{row['engine']:11.1f}{row['share']:8.1%}  "
        f"({verdict(row['share'] <= OVERHEAD_BAR, f'{OVERHEAD_BAR:.0%}')})"
        for row in rows["overhead"]
    ]
    jobs = rows["jobs"]
    lines += [
        "",
        f"n_jobs=2: {jobs['one']:.2f} s to {jobs['two']:.2f} s, {jobs['speedup']:.2f} times as fast, load "
        f"{jobs['load']:.1f} on {os.cpu_count()} cores ({verdict(jobs['speedup'] >= JOBS_BAR, str(JOBS_BAR))})",
        f"  by CPU time, that of one process over that of the busier of two: {jobs['share']:.2f}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows: dict[str, Any] = {
        "pulls": pulls_per_second(options.repeats),
        "overhead": overhead(options.repeats),
        "jobs": two_processes(options.repeats),
    }
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
