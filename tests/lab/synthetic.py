"""Synthetic studies: plausible runs, written to a store the way real ones are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.pictures import Rectangles, Values, to_plain
from optimand.core.recorder import Record
from optimand.lab.store import Outcome, Results, Store

PROBLEMS: dict[str, dict[str, Any]] = {
    "digits-mlp": {
        "name": "digits-mlp",
        "family": "training",
        "summary": "8x8 handwritten digits, a perceptron with two hidden layers of 128 units, split 60/20/20.",
        "unit": "steps",
        "budget": 600,
        "metric": "accuracy",
        "direction": "max",
        "target": 0.95,
    },
    "byte-lm": {
        "name": "byte-lm",
        "family": "training",
        "summary": "next byte of English text, a transformer with 0.2 million parameters.",
        "unit": "steps",
        "budget": 400,
        "metric": "loss",
        "direction": "min",
        "target": 2.2,
    },
}
PAPERS = {"lion": "symbolic-discovery-lion", "lion-k": "lion-k-constrained", "exadam": "exadam"}
STATE = {"sgd": 4.0, "adamw": 8.0, "lion": 4.0, "lion-k": 4.0, "exadam": 8.0}


def make_info(
    problems: Sequence[str], methods: Sequence[str], *, seeds: int, tune: int, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of ``study.json``."""
    labels = labels or {}
    facts = {
        "defaults": {"lr": 1e-3, "weight_decay": 0.01, "betas": [0.9, 0.99]},
        "given": {},
        "space": {"lr": "1e-05 … 0.1 (log)", "weight_decay": "0 … 0.1"},
        "facts": {"state": "one buffer a parameter"},
    }
    return {
        "spec": {
            "problems": list(problems), "methods": list(methods), "labels": dict(labels), "seeds": seeds, "tune": tune,
            "budget": None, "tuner": "qmc", "root_seed": 0,
        },
        "problems": {p: {**PROBLEMS.get(p, PROBLEMS["digits-mlp"]), "name": p, "label": p} for p in problems},
        "methods": {
            m: {
                "label": labels.get(m, m), "name": m, "family": "training", "summary": f"The method {m}.",
                "paper": PAPERS.get(m), **facts,
            }
            for m in methods
        },
        "command": f"optimand compare {','.join(problems)} --methods {','.join(methods)} --seeds {seeds} --tune {tune}",
        "created": "2025-01-31T12:00:00+0000",
        "environment": {"optimand": "0.1.0", "python": "3.11.2", "torch": "2.6.0", "cores": "2", "processor": "a CPU"},
        "planned_runs": len(problems) * len(methods) * (seeds + tune),
    }  # fmt: skip


def make_run(
    info: Mapping[str, Any],
    problem: str,
    method: str,
    *,
    phase: str,
    trial: int,
    seed: int,
    lr: float,
    status: str = "ok",
) -> tuple[Outcome, list[Record]]:
    """One run: a learning curve that depends on method, seed and learning rate, with noise."""
    facts = info["problems"][problem]
    place = list(info["methods"]).index(method)
    rng = np.random.default_rng([list(info["problems"]).index(problem), place, trial + 1, seed])
    noise = 1 + 0.012 * rng.normal()
    quality = noise / (1 + 0.25 * math.log10(lr / (1e-3 * 3 ** (place % 3))) ** 2)
    budget, metric = facts["budget"], facts["metric"]
    records = []
    ends = budget if status == "ok" else budget // 3
    for at in range(0, ends + 1, max(1, budget // 40)):
        share = 1 - math.exp(-5 * at / budget * (0.6 + 0.2 * (place % 4)))
        level = share * quality * (0.97 - 0.012 * place)
        value = 0.1 + 0.88 * level if facts["direction"] == "max" else 5.5 - 3.6 * level
        seconds = at * 1e-3 * (1 + 0.3 * place)
        for split, shift in (("valid", 0.0), ("test", -0.004)):
            records.append(Record(float(at), seconds, split, metric, value + shift + 0.004 * rng.normal()))
        loss = 2.5 * (1 - share * quality) + 0.1 + 0.01 * rng.random()
        records.append(Record(float(at), seconds, "train", "loss", loss))
    last = {r.split: r.value for r in records if r.metric == metric}
    ok = status == "ok"
    message = {"diverged": "training loss is nan", "failed": "ValueError: shapes differ (model.py line 3)"}.get(
        status, ""
    )
    decay = 0.01 * (trial + 1 if trial > 0 else 1)
    outcome = Outcome(
        run=f"{list(info['problems']).index(problem)}.{place}.{phase}{trial}.{seed}",
        problem=problem, method=method, phase=phase, trial=trial, seed=seed, status=status,
        message=message,
        diverged_at=float(ends) if status == "diverged" else math.nan, budget=budget,
        valid=last["valid"] if ok else math.nan, test=last["test"] if ok else math.nan,
        seconds=records[-1].seconds, hyper={"lr": lr, "weight_decay": decay, "betas": [0.9, 0.99]},
        costs={
            "seconds_per_unit": 1e-3 * (1 + 0.3 * place), "parameters": 1e5,
            "state_bytes": 1e5 * STATE.get(method, 8.0), "peak_bytes": 3e6 + 1e5 * place,
        },
        notes={"device": "cpu"},
    )  # fmt: skip
    return outcome, records


def make_pictures(method: str, seed: int) -> dict[str, dict[str, Any]]:
    """A layout whose rectangles are named after method and seed, and scores."""
    size = 2**20
    boxes = [
        (float(i), i + 2.0, float(i * size), (i + 1.0) * size, f"{method} {seed} {i}", ("param", "output")[i % 2])
        for i in range(6)
    ]
    scores = np.random.default_rng([seed, len(method)]).random(20)
    return {
        "memory layout": to_plain(
            Rectangles(f"layout by {method}", "instruction", "address (bytes)", boxes, limit=8.0 * size)
        ),
        "scores of the designs": to_plain(Values("scores", "normalized score", list(scores))),
    }


def make_study(
    folder: Path,
    *,
    problems: Sequence[str] = ("digits-mlp", "byte-lm"),
    methods: Sequence[str] = ("adamw", "sgd", "lion"),
    seeds: int = 3,
    tune: int = 0,
    labels: Mapping[str, str] | None = None,
    bad: Mapping[tuple[str, str, int], str] | None = None,
    pictures: bool = False,
) -> Results:
    """A whole study in ``folder``.

    Args:
        folder: of the store.
        problems, methods, seeds, tune, labels: as in a study.
        bad: status of final runs that do not end well, by problem, method and seed.
        pictures: whether final runs leave a layout and a set of scores, labelled by their seed.
    """
    store = Store(folder).create()
    info = make_info(problems, methods, seeds=seeds, tune=tune, labels=labels)
    store.write_info(info)
    for problem in problems:
        for method in methods:
            trials = []
            for trial in range(tune):
                lr = 1e-3 if trial == 0 else float(10 ** np.random.default_rng([trial, len(method)]).uniform(-5, -1))
                status = "diverged" if lr > 0.03 else "ok"
                trials.append(make_run(info, problem, method, phase="tune", trial=trial, seed=0, lr=lr, status=status))
            sign = 1 if info["problems"][problem]["direction"] == "max" else -1
            ended = [o for o, _ in trials if o.status == "ok"]
            best = max(ended, key=lambda o: sign * o.valid) if ended else None
            finals = []
            for seed in range(seeds):
                status = (bad or {}).get((problem, method, seed), "ok")
                lr = best.hyper["lr"] if best else 1e-3
                outcome, records = make_run(
                    info, problem, method, phase="final", trial=-1, seed=seed, lr=lr, status=status
                )
                if best:
                    outcome.hyper["weight_decay"] = best.hyper["weight_decay"]  # type: ignore[index]
                if pictures:
                    outcome = replace(outcome, pictures=make_pictures(method, seed))
                finals.append((outcome, records))
            for outcome, records in [*trials, *finals]:
                store.write_run(outcome, records)
    return store.load()
